#include "pinfold/command/pattern.hpp"

#include <algorithm>
#include <string>

namespace pinfold::command {

std::unique_ptr<const Pattern> compile_pattern(Call& call, std::string_view text, bool ignore_case) {
  std::unique_ptr<Pattern> pattern(new Pattern(call));
  if (!pattern->memory_.ask(Glob::most_memory(text))) {
    call.reply.error("ERR the pattern would take more memory than clients may have (maxmemory-clients, maxmemory-user)");
    return nullptr;
  }
  const Glob& glob = pattern->glob_.emplace(text, ignore_case);
  if (glob.refused() != nullptr) {
    call.reply.error("ERR the pattern " + std::string(glob.refused()));
    return nullptr;
  }
  pattern->memory_.give_back(pattern->memory_.held() - std::min<std::uint64_t>(pattern->memory_.held(), glob.memory()));
  return pattern;
}

}  // namespace pinfold::command
