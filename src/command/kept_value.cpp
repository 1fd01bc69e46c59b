#include "pinfold/command/kept_value.hpp"

#include <algorithm>

#include "pinfold/base/text.hpp"
#include "pinfold/command/table.hpp"

namespace pinfold::command {

bool refuse_long_inside_exec(Call& call) {
  if (!call.in_transaction) return false;
  std::string name(call.row.name);
  std::transform(name.begin(), name.end(), name.begin(), upper);
  call.reply.error("ERR " + name + " inside MULTI looks at values of " + std::to_string(most_locked_bytes / 1024) + " KB at most");
  return true;
}

}  // namespace pinfold::command
