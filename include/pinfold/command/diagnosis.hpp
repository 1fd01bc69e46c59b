#pragma once
// What is wrong with a server, or about to be, in words: the findings that PINFOLD.DIAGNOSE and the status page show.
//
// A finding has the name, the threshold and the runbook of its alert in config/prometheus, if there is one. Alerts see more, because
// Prometheus remembers weeks and waits until something lasts; a finding is about the last minute. One table (findings.cpp) has a row for
// each.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/histogram.hpp"
#include "pinfold/command/figures.hpp"

namespace pinfold::command {

enum class Severity : std::uint8_t {
  critical,  // clients suffer, or soon will
  warning,   // it costs hits or time, or will be critical if it goes on
  info,      // worth to be known while one looks for a cause
};
/// "critical", "warning", "info".
std::string_view severity_name(Severity severity);

struct Finding {
  std::string_view name;  // "PinfoldHitRatioLow"
  Severity severity;
  std::string value;         // the number that it is about, with its unit: "97.0 %"
  std::string text;          // a sentence or two for people, with the numbers
  std::string_view runbook;  // the page in docs/runbooks: "memory.md"
};

/// Figures of a while ago, which those of now are compared with.
struct Past {
  std::shared_ptr<const Figures> figures;  // never null
  double seconds = 1;                      // how long ago
};
/// Those of the last minute (Engine::history); of the start of the server, when all counts were 0, if it has run for less than that. Then
/// max-leases is what it is now.
Past past_of(const Engine& engine);

/// What findings are made of: figures now and a while ago, and the limits that are set.
struct Evidence {
  const Figures& now;
  const Figures& before;
  double seconds = 1;  // between the two
  std::uint64_t clients = 0;
  std::uint64_t most_clients = 0;  // 0: no limit
  std::uint64_t most_waiters = 0;
  std::uint64_t monitors = 0;    // clients that have sent MONITOR
  std::uint64_t up_seconds = 0;  // since the start of the server
};

/// All findings, the most severe first and otherwise in the order of the table. At most one for each row, and five for policies that miss.
/// O(figures * log figures). Throws std::bad_alloc.
std::vector<Finding> findings(const Evidence& evidence);

/// The sections of figures that findings are made of.
Sections sections_of_diagnosis();
/// Collects them, with nothing locked. O(shards + policies + commands).
std::shared_ptr<const Figures> collect_for_diagnosis(Engine& engine);
/// The findings of the engine at this moment. `now` has the figures of sections_of_diagnosis().
std::vector<Finding> diagnose(const Engine& engine, const Figures& now, const Past& past);

/// How long the calls of a command have taken since a while ago.
struct RecentCalls {
  std::string_view command;
  histogram::Counts durations;
};
/// Those of all commands that were called since then, those of which there were most first, and behind them `all`. There are none while the
/// setting metrics is off. O(commands * log commands).
std::vector<RecentCalls> recent_calls(const Figures& now, const Figures& before);

}  // namespace pinfold::command
