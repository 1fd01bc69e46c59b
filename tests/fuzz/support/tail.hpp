#pragma once
// Reads an input whose last bytes are choices and whose rest is text. So the text of a seed is a file that one can read, and the fuzzer can
// change the text without moving the choices.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fuzz {

class Tail {
 public:
  Tail(const std::uint8_t* data, std::size_t size) : text_(reinterpret_cast<const char*>(data), size) {}

  /// Takes the last byte that is left; 0 if there is none.
  std::uint8_t byte() {
    if (text_.empty()) return 0;
    const auto last = static_cast<std::uint8_t>(text_.back());
    text_.remove_suffix(1);
    return last;
  }
  /// Takes the last `size` bytes that are left, or all.
  std::string_view bytes(std::size_t size) {
    const std::string_view taken = text_.substr(text_.size() - (size < text_.size() ? size : text_.size()));
    text_.remove_suffix(taken.size());
    return taken;
  }
  /// What is left.
  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

}  // namespace fuzz
