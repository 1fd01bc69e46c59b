#pragma once
// The patterns of a selector: which keys and channels it concerns.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/glob.hpp"

namespace pinfold::security {

/// What a request does with a key, or what a pattern allows. A set of two.
enum class Access : std::uint8_t {
  none = 0,  // of a request: it learns or changes nothing of the key's value, as EXISTS. Any pattern that matches the key allows it.
  read = 1,
  write = 2,
  both = 3,
};
constexpr Access operator|(Access a, Access b) { return static_cast<Access>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b)); }
/// Whether all of `wanted` is in `allowed`.
constexpr bool includes(Access allowed, Access wanted) { return (allowed | wanted) == allowed; }

/// How many comparisons of keys with patterns may still be made for one request. Matching takes time linear in the key for each pattern,
/// keys may be very long, and the request is checked before anything else is done with it: without a bound, a user that may do little could
/// keep a thread busy for minutes. Not thread-safe.
class MatchBudget {
 public:
  /// For one request, or for all commands of a transaction: 20 to 50 ms.
  static constexpr std::uint64_t most = 4'000'000;

  explicit MatchBudget(std::uint64_t comparisons = most) : left_(comparisons) {}
  /// Takes so many. Returns false, now and ever after, if so many are not left: then nothing may be compared any more.
  bool take(std::uint64_t comparisons) {
    spent_ = spent_ || comparisons > left_;
    if (spent_) [[unlikely]]
      return false;
    left_ -= comparisons;
    return true;
  }
  std::uint64_t left() const { return left_; }
  bool spent() const { return spent_; }

 private:
  std::uint64_t left_;
  bool spent_ = false;
};

/// A glob pattern that is matched against many texts. Immutable; copies share the compiled pattern, so they are cheap.
class Pattern {
 public:
  explicit Pattern(std::string_view text);

  /// The error in the pattern, such as "has too many parts ..."; null if it can be used. A pattern that is refused matches nothing, so it
  /// must not become a rule: one that denies would deny nothing.
  const char* refused() const { return glob_ != nullptr ? glob_->refused() : nullptr; }

  const std::string& text() const { return text_; }
  bool matches(std::string_view text) const;
  /// Whether every text that begins with `prefix` matches. May return false for patterns that have more than one wildcard.
  bool matches_all_with(std::string_view prefix) const;
  /// Whether a text that begins with `prefix` can match. May return true although none does.
  bool may_match_with(std::string_view prefix) const;
  /// The most comparisons that matches() makes for `text`. Plain characters are compared 16 at a time.
  std::uint64_t most_compared(std::string_view text) const;
  /// Whether it is plain characters and a star behind them.
  bool is_prefix() const { return kind_ == Kind::prefix; }
  /// The plain characters with which each text that matches begins.
  const std::string& head() const { return head_; }
  /// Bytes that the pattern takes, with its compiled form.
  std::size_t memory() const { return sizeof(Pattern) + text_.capacity() + head_.capacity() + (glob_ != nullptr ? glob_->memory() : 0); }

 private:
  enum class Kind : std::uint8_t { literal, prefix, glob };

  std::string text_;
  std::string head_;
  Kind kind_ = Kind::glob;
  std::shared_ptr<const Glob> glob_;  // null unless kind_ is Kind::glob
};

/// A pattern for keys and what it allows with them. With `deny` it forbids everything instead.
struct KeyPattern {
  Pattern pattern;
  Access access = Access::both;
  bool deny = false;
};

/// Patterns for keys, arranged for the request path. The first byte of a key tells which patterns come into question, and most of these are
/// ruled out by comparing the first eight bytes. Immutable after construction.
class KeyPatterns {
 public:
  KeyPatterns() = default;
  explicit KeyPatterns(const std::vector<KeyPattern>& patterns);

  /// Whether a pattern allows `wanted` with `key`, and none denies it. Takes what that costs off the budget: for `key` itself, and for each
  /// pattern that its first bytes do not rule out before it is matched. Returns false if the budget is spent. O(patterns), and what the
  /// budget allows; allocates nothing.
  bool allow(std::string_view key, Access wanted, MatchBudget& budget) const;
  /// Whether the first bytes of `key` alone tell that allow() is true. O(patterns).
  bool plainly_allow(std::string_view key, Access wanted) const;
  /// Whether all keys are allowed that begin with `prefix`, which may be empty for all keys. False if it cannot be told.
  bool allow_all_with(std::string_view prefix, Access wanted) const;
  /// The most comparisons that allow() makes for `key`.
  std::uint64_t most_compared(std::string_view key) const;

 private:
  // The first bytes of a pattern's head. A key that begins otherwise does not match.
  struct Filter {
    std::uint64_t mask;  // of the bytes that count
    std::uint64_t word;
    Access access;
    bool deny;
    bool decides;  // whether a key that begins so matches: the pattern is a short head and a star
  };
  // The first bytes of a text, with zeros behind a shorter one.
  static std::uint64_t first_bytes(std::string_view text) {
    std::uint64_t word = 0;
    if (text.size() >= sizeof word) [[likely]] {
      std::memcpy(&word, text.data(), sizeof word);
      return word;
    }
    std::memcpy(&word, text.data(), std::min(text.size(), sizeof word));
    return word;
  }
  static std::uint64_t mask_of(std::size_t size);
  static constexpr std::size_t word_bits = 64;
  // First bytes of keys that differ in their upper two bits share a bucket.
  static constexpr std::size_t buckets = 64;
  static std::size_t bucket_of(std::string_view key) { return key.empty() ? 0 : static_cast<unsigned char>(key.front()) % buckets; }

  std::vector<KeyPattern> patterns_;  // first those that deny
  std::vector<Filter> filters_;       // of each pattern
  std::size_t words_ = 0;
  std::uint64_t cost_ = 1;  // of finding out which patterns come into question: eight filters take about as long as one comparison
  std::vector<std::uint64_t> candidates_;  // for each bucket `words_` words, with a bit for each pattern that comes into question
};

inline bool KeyPatterns::plainly_allow(std::string_view key, Access wanted) const {
  const std::uint64_t begins = first_bytes(key);
  const std::uint64_t* const candidates = candidates_.data() + bucket_of(key) * words_;
  for (std::size_t w = 0; w < words_; ++w) {
    for (std::uint64_t left = candidates[w]; left != 0; left &= left - 1) {
      const Filter& filter = filters_[w * word_bits + static_cast<std::size_t>(std::countr_zero(left))];
      if (((begins ^ filter.word) & filter.mask) == 0 && includes(filter.access, wanted)) return filter.decides && !filter.deny;
    }
  }
  return false;
}

}  // namespace pinfold::security
