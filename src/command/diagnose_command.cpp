// PINFOLD.DIAGNOSE: what is wrong with the server, in words.

#include <string_view>
#include <utility>

#include "pinfold/command/diagnosis.hpp"
#include "pinfold/command/families.hpp"

namespace pinfold::command {
namespace {

Outcome diagnose_command(Call& call) {
  const std::vector<Finding> found = diagnose(call.engine, *collect_for_diagnosis(call.engine), past_of(call.engine));
  call.reply.array(found.size());
  for (const Finding& finding : found) {
    const std::pair<std::string_view, std::string_view> fields[] = {
        {"name", finding.name},       {"severity", severity_name(finding.severity)}, {"value", finding.value}, {"text", finding.text},
        {"runbook", finding.runbook},
    };
    call.reply.map(std::size(fields));
    for (const auto& [name, value] : fields) {
      call.reply.bulk(name);
      call.reply.bulk(value);
    }
  }
  return Outcome::done;
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "pinfold.diagnose", .handler = diagnose_command, .arity = 1,
     .flags = kNoScript | kLoading | kNoMulti, .categories = kAdministrative | kDangerous, .touches = Touches::no_key,
     .group = "server", .since = "0.1.0",
     .complexity = "O(N) for N policies.",
     .summary = "What is wrong with the server or about to be, the worst first: for each finding its name, its severity (critical, "
                "warning, info), the number that it is about, a sentence for people, and the page in docs/runbooks. What happens at a rate "
                "is that of the last minute."},
};
// clang-format on

}  // namespace

std::span<const Row> diagnose_commands() { return kRows; }

}  // namespace pinfold::command
