#pragma once
// Texts that a task keeps until its end: a million of them lie in some hundred blocks, so that to free them takes no time.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "pinfold/command/task.hpp"

namespace pinfold::command {

/// Not thread-safe. A text stays where it is until clear().
class KeptTexts {
 public:
  /// Keeps a copy, whose place is to be passed to at(). Null if the account of clients does not allow it. O(size).
  const char* add(std::string_view text, ClientMemory& memory) {
    const auto size = static_cast<std::uint32_t>(text.size());
    const std::size_t needed = sizeof size + text.size();
    if (needed > left_) {
      // Few texts should not cost much, and a long one gets a block of its own.
      const std::size_t block = std::max<std::size_t>(needed, blocks_.empty() ? 4 * 1024 : 64 * 1024);
      if (!memory.ask(block + sizeof blocks_[0])) return nullptr;
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(block));
      next_ = blocks_.back().get();
      left_ = block;
    }
    char* const place = next_;
    std::memcpy(place, &size, sizeof size);
    std::memcpy(place + sizeof size, text.data(), text.size());
    next_ += needed;
    left_ -= needed;
    return place;
  }
  static std::string_view at(const char* place) {
    std::uint32_t size = 0;
    std::memcpy(&size, place, sizeof size);
    return {place + sizeof size, size};
  }
  /// Frees all texts. O(bytes / 64 KB).
  void clear() {
    blocks_.clear();
    left_ = 0;
  }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  std::size_t left_ = 0;
};

}  // namespace pinfold::command
