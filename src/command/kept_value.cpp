#include "pinfold/command/kept_value.hpp"

#include <algorithm>

#include "pinfold/base/words.hpp"
#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

std::string shown_name(const Call& call) { return shown_command(call.row.name); }
std::string_view shown_place(const Call& call) { return call.session.group->in_script ? " in a script" : " inside MULTI"; }

std::size_t most_locked_bytes_of(const Call& call) {
  if (!call.in_transaction) return most_locked_bytes;
  return std::min<std::uint64_t>(most_locked_bytes, call.session.group->budget.bytes_left());
}

bool refuse_long_inside_exec(Call& call, std::size_t bytes) {
  if (!call.in_transaction) return false;
  if (bytes <= most_locked_bytes) {
    refuse_beyond_budget(call);
    return true;
  }
  call.reply.error(("ERR " + shown_name(call)).append(shown_place(call)) + " looks at values of " +
                   std::to_string(most_locked_bytes / 1024) + " KB at most");
  return true;
}

resp::Written refuse_beyond_budget(Call& call) {
  const TransactionBudget::Limits& limits = call.session.group->budget.limits();
  const std::string_view whose = &limits == &TransactionBudget::of_script ? "script" : "transaction";
  return call.reply.error("ERR " + shown_name(call) + " was not executed: the commands of a " + std::string(whose) +
                          " may together visit " + std::to_string(limits.entries) + " keys, clients or users and look at " +
                          std::to_string(limits.bytes / 1024) + " KB beyond what they name, and copy " +
                          std::to_string(limits.bytes_in_all >> 20) + " MB in all");
}

}  // namespace pinfold::command
