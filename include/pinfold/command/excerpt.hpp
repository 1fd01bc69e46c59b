#pragma once
// Cuts a client's text for an error: an argument may be very large, an error may not.

#include <cstddef>
#include <string>
#include <string_view>

namespace pinfold::command {

inline constexpr std::size_t longest_excerpt = 128;

/// Returns the text up to a NUL, as C's %s does, and at most `most` characters of it.
inline std::string excerpt(std::string_view text, std::size_t most = longest_excerpt) {
  text = text.substr(0, most);
  return std::string(text.substr(0, text.find('\0')));
}

}  // namespace pinfold::command
