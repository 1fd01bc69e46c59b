#pragma once
// The words of a request as SLOWLOG, COMMANDLOG, MONITOR and FUNCTION STATS show them: shortened, and without passwords. Who is shown which
// of them: sight_of() (rights.hpp).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

/// What stands in the place of a word that nobody may see. Redis has the same.
inline constexpr std::string_view redacted = "(redacted)";

/// How much of a request is kept. If it has more words, the last one kept says how many more.
struct WordLimits {
  std::size_t words = 32;
  std::size_t bytes_of_word = 128;
  std::size_t bytes = SIZE_MAX;  // of all words together
};

/// A plain value, in two blocks of memory whatever the number of words is.
class RequestWords {
 public:
  RequestWords() = default;
  /// Overwrites the words, which may be parts of values that were to be erased.
  ~RequestWords();
  RequestWords(const RequestWords&) = default;
  RequestWords& operator=(const RequestWords&) = default;
  RequestWords(RequestWords&&) noexcept = default;
  RequestWords& operator=(RequestWords&&) noexcept = default;
  /// O(what is kept). `args` need not be valid. Throws std::bad_alloc.
  RequestWords(const Row& row, Args args, const WordLimits& limits = {});

  std::size_t count() const { return ends_.size(); }
  /// Whether all words of the request are there. If not, the last one is none of them.
  bool are_all() const { return all_; }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  /// The memory that it takes beside itself.
  std::size_t memory() const { return text_.capacity() + ends_.capacity() * sizeof(ends_[0]); }

 private:
  void end_word() { ends_.push_back(static_cast<std::uint32_t>(text_.size())); }

  std::string text_;
  std::vector<std::uint32_t> ends_;
  bool all_ = true;
};

/// The bytes of a request as the protocol has them. O(words).
std::uint64_t request_bytes(Args args);

}  // namespace pinfold::command
