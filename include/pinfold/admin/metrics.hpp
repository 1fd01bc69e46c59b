#pragma once
// The figures of the server as metrics of Prometheus. INFO shows the same figures (command/figures.hpp); names, types and texts of metrics
// are in tables of their own (metrics.cpp), because Prometheus names things otherwise: base units, and _total for what only grows.

#include <string>
#include <vector>

#include "pinfold/command/figures.hpp"

namespace pinfold::admin {

/// The sections of figures that metrics are made of.
command::Sections sections_of_metrics();

/// The metrics in Prometheus' text format 0.0.4. O(figures). Throws std::bad_alloc.
std::string metrics_text(const command::Figures& figures);

/// What the page docs/metrics.md says of a metric.
struct MetricDoc {
  std::string name;  // "pinfold_command_calls_total"
  std::string type;  // "counter", "gauge" or "histogram"
  std::string help;
  std::vector<std::string> labels;  // the names of its labels; a histogram has "le" beside these
};
/// All metrics there can be, in the order of metrics_text().
std::vector<MetricDoc> metric_docs();

}  // namespace pinfold::admin
