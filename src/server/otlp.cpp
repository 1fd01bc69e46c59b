#include "pinfold/server/otlp.hpp"

#include <cstdint>
#include <optional>

#include "pinfold/base/hexadecimal.hpp"
#include "pinfold/base/json.hpp"
#include "pinfold/base/numbers.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/command_table.hpp"

namespace pinfold::server {

namespace {

using command::Span;

// The numbers of the protocol's enumerations and flags.
constexpr int kind_server = 2;
constexpr int status_error = 2;
constexpr unsigned flag_sampled = 0x1;
constexpr unsigned flag_has_is_remote = 0x100;
constexpr unsigned flag_is_remote = 0x200;

constexpr std::size_t longest_text = 256;

void add(JsonWriter& json, std::string_view key, std::string_view text) {
  json.begin_object().add("key", key).key("value").begin_object().add("stringValue", presentable(text, longest_text));
  json.end_object().end_object();
}

// 64-bit numbers are texts in the JSON mapping.
void add(JsonWriter& json, std::string_view key, std::uint64_t number) {
  json.begin_object().add("key", key).key("value").begin_object().add("intValue", std::to_string(number)).end_object().end_object();
}

struct Duration {
  std::string_view key;
  std::uint64_t Span::*value;
};
constexpr Duration kDurations[] = {
    {"pinfold.queue_ns", &Span::queue},     {"pinfold.lock_wait_ns", &Span::lock_wait}, {"pinfold.room_wait_ns", &Span::room_wait},
    {"pinfold.execute_ns", &Span::execute}, {"pinfold.wait_ns", &Span::wait},           {"pinfold.write_ns", &Span::write},
};

// "192.0.2.1:4000", "[2001:db8::1]:4000", or the path of a unix socket with ":0" behind it.
void add_client(JsonWriter& json, std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return add(json, "client.address", address);
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  add(json, "client.address", host);
  const std::optional<std::int64_t> port = parse_i64(address.substr(colon + 1));
  if (port && *port > 0) add(json, "client.port", static_cast<std::uint64_t>(*port));
}

void add_attributes(JsonWriter& json, const Span& span, const std::string& name) {
  json.key("attributes").begin_array();
  add(json, "db.system.name", "pinfold");
  add(json, "db.operation.name", name);
  add(json, "db.namespace", std::to_string(span.db));
  if (span.queued > 0) add(json, "db.operation.batch.size", span.queued);
  add_client(json, span.address.view());
  add(json, "user.name", span.user.view());
  add(json, "pinfold.arguments", span.arguments);
  for (const Duration& one : kDurations) add(json, one.key, span.*one.value);
  if (!span.error.view().empty()) add(json, "error.type", span.error.view());
  json.end_array();
}

void add_span(JsonWriter& json, const Span& span) {
  // The name of a command that does not exist is a text of the client.
  const std::string name = span.row != nullptr ? shown_command(span.row->name) : "unknown";
  const bool root = span.parent == SpanId{};
  json.begin_object();
  json.add("traceId", hexadecimal(span.trace)).add("spanId", hexadecimal(span.id));
  if (!root) json.add("parentSpanId", hexadecimal(span.parent));
  json.add("flags", flag_sampled | flag_has_is_remote | (root ? 0U : flag_is_remote));
  json.add("name", name).add("kind", kind_server);
  json.add("startTimeUnixNano", std::to_string(span.start_ns));
  json.add("endTimeUnixNano", std::to_string(span.start_ns + static_cast<std::int64_t>(span.duration())));
  add_attributes(json, span, name);
  json.key("status").begin_object();
  if (!span.error.view().empty()) json.add("code", status_error);
  json.end_object();
  json.end_object();
}

}  // namespace

std::string otlp_json(const TracedService& service, std::span<const Span> spans) {
  JsonWriter json;
  json.begin_object().key("resourceSpans").begin_array().begin_object();
  json.key("resource").begin_object().key("attributes").begin_array();
  add(json, "service.name", service.name);
  add(json, "service.version", version);
  add(json, "service.instance.id", service.instance);
  json.end_array().end_object();
  json.key("scopeSpans").begin_array().begin_object();
  json.key("scope").begin_object().add("name", "pinfold").add("version", version).end_object();
  json.key("spans").begin_array();
  for (const Span& span : spans) add_span(json, span);
  json.end_array().end_object().end_array();
  json.end_object().end_array().end_object();
  return std::move(json).text();
}

}  // namespace pinfold::server
