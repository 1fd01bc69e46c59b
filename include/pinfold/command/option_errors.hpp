#pragma once
// Errors that name the wrong word and say what the command takes. They are for Pinfold's own commands. Commands that Redis has too reply
// with Redis' texts.

#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

/// Replies with the error about the next word: it is no option of the command, or it has no value, or it does not go with the words
/// before it. If no word is left, the error says that an argument is missing.
resp::Written wrong_option(Call& call, const Cursor& options);

/// The unit and the bounds of a number: {"WAIT", "milliseconds", 0, 86'400'000}.
struct NumberOption {
  std::string_view name;
  std::string_view unit;
  std::int64_t least;
  std::int64_t most;
};
/// Reads `text` as such a number. Returns nothing if it is not one. Then it has replied with an error such as "ERR WAIT takes
/// milliseconds, 0 to 86400000, not '10s'".
std::optional<std::int64_t> read_number(Call& call, std::string_view text, const NumberOption& option);
/// Takes the next argument, which must be there, as such a number.
std::optional<std::int64_t> take_number(Call& call, Cursor& options, const NumberOption& option);

}  // namespace pinfold::command
