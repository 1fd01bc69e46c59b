#include "pinfold/command/kept_value.hpp"

#include <algorithm>

#include "pinfold/base/words.hpp"
#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

std::string shown_name(const Call& call) { return shown_command(call.row.name); }

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
  call.reply.error("ERR " + shown_name(call) + " inside MULTI looks at values of " + std::to_string(most_locked_bytes / 1024) +
                   " KB at most");
  return true;
}

resp::Written refuse_beyond_budget(Call& call) {
  return call.reply.error("ERR " + shown_name(call) + " was not executed: the commands of a transaction may together visit " +
                          std::to_string(TransactionBudget::most_entries) + " keys, clients or users and look at " +
                          std::to_string(TransactionBudget::most_bytes / 1024) + " KB beyond what they name, and copy " +
                          std::to_string(TransactionBudget::most_bytes_in_all >> 20) + " MB in all");
}

}  // namespace pinfold::command
