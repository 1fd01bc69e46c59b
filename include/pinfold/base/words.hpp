#pragma once
// Helpers for error messages about words that people have typed.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pinfold {

/// Text of a client for an error: up to a NUL, at most `most` bytes. An argument may be as large as memory, an error may not.
inline constexpr std::size_t longest_excerpt = 128;
std::string excerpt(std::string_view text, std::size_t most = longest_excerpt);

/// The name of a command as people write it: "CONFIG SET" for "config|set".
std::string shown_command(std::string_view name);

/// Levenshtein's distance, ignoring case: how many letters must be changed, added or left out to turn one word into the other.
std::size_t distance(std::string_view a, std::string_view b);

/// The one of `words` that was probably meant, or nothing if none is close.
std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> words);

}  // namespace pinfold
