#pragma once
// Helpers for error messages about words that people have typed.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pinfold {

/// Cuts a client's text for an error message: at most 128 bytes, and nothing from a NUL on.
std::string excerpt(std::string_view text);

/// Levenshtein's distance, ignoring case: how many letters must be changed, added or left out to turn one word into the other.
std::size_t distance(std::string_view a, std::string_view b);

/// The one of `words` that was probably meant, or nothing if none is close.
std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> words);

}  // namespace pinfold
