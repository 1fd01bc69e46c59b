#pragma once
// Errors that name the word that is wrong and say what is wanted instead. For Pinfold's own commands: those that Redis has too
// answer with its texts.

#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

/// Replies what is wrong with the next word: it is no option of the command, it has no value, or it does not go with those before it.
/// Where no word is left, that one is missing.
void wrong_option(Call& call, const Cursor& options);

/// What a number counts, and its bounds: {"WAIT", "milliseconds", 0, 86'400'000}.
struct NumberOption {
  std::string_view name;
  std::string_view unit;
  std::int64_t least;
  std::int64_t most;
};
/// `text` as such a number; if it is none, "ERR WAIT takes milliseconds, 0 to 86400000, not '10s'" has been replied.
std::optional<std::int64_t> read_number(Call& call, std::string_view text, const NumberOption& option);
/// The next argument, of which there must be one, as such a number.
std::optional<std::int64_t> take_number(Call& call, Cursor& options, const NumberOption& option);

}  // namespace pinfold::command
