#pragma once
// Words that people write, for errors about them.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pinfold {

/// Text of a client for an error: at most 128 bytes of it, up to a NUL.
std::string excerpt(std::string_view text);

/// How many letters must be changed, added or left out to make one word of the other, whatever the case (Levenshtein's distance).
std::size_t distance(std::string_view a, std::string_view b);

/// Which of `words` was probably meant; nothing if all are other words.
std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> words);

}  // namespace pinfold
