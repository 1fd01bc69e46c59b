#pragma once
// A client's text in an error: an argument may be as large as memory, an error may not.

#include <cstddef>
#include <string>
#include <string_view>

namespace pinfold::command {

inline constexpr std::size_t longest_excerpt = 128;

/// The text as C's %s takes it: up to a NUL, at most `most` characters.
inline std::string excerpt(std::string_view text, std::size_t most = longest_excerpt) {
  text = text.substr(0, most);
  return std::string(text.substr(0, text.find('\0')));
}

}  // namespace pinfold::command
