#pragma once
// Spans in the form of OpenTelemetry's protocol (OTLP 1.x): an ExportTraceServiceRequest in the JSON mapping of its protobuf, with ids in
// hexadecimal. The attributes are named as OpenTelemetry's semantic conventions say, and the times of a request as pinfold.queue_ns and so
// on.

#include <span>
#include <string>
#include <string_view>

#include "pinfold/command/tracing.hpp"

namespace pinfold::server {

/// Who the spans are of.
struct TracedService {
  std::string_view name;
  std::string_view instance;  // service.instance.id
};

/// At most about 3 KB for each span. Throws std::bad_alloc.
std::string otlp_json(const TracedService& service, std::span<const command::Span> spans);

}  // namespace pinfold::server
