#include "pinfold/security/patterns.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace pinfold::security {

namespace {
using Word = std::uint64_t;
}  // namespace

Pattern::Pattern(std::string_view text) : text_(text) {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    char c = text[at];
    if (c == '*' || c == '?' || c == '[') break;
    if (c == '\\' && at + 1 < text.size()) c = text[++at];
    head_.push_back(c);
  }
  if (at == text.size()) {
    kind_ = Kind::literal;
  } else if (text.find_first_not_of('*', at) == std::string_view::npos) {
    kind_ = Kind::prefix;
  } else {
    glob_ = std::make_shared<const Glob>(text);
  }
}

bool Pattern::matches(std::string_view text) const {
  if (kind_ == Kind::prefix) return text.starts_with(head_);
  return kind_ == Kind::literal ? text == head_ : glob_->matches(text);
}

bool Pattern::matches_all_with(std::string_view prefix) const { return kind_ == Kind::prefix && prefix.starts_with(head_); }

bool Pattern::may_match_with(std::string_view prefix) const {
  return std::string_view(head_).starts_with(prefix) || (kind_ != Kind::literal && prefix.starts_with(head_));
}

std::uint64_t Pattern::most_compared(std::string_view text) const {
  constexpr std::size_t at_a_time = 16;
  return kind_ == Kind::glob ? glob_->most_compared(text) : 1 + std::min(text.size(), head_.size()) / at_a_time;
}

// All bits of the first `size` bytes.
std::uint64_t KeyPatterns::mask_of(std::size_t size) {
  std::array<char, sizeof(Word)> bytes{};
  std::fill_n(bytes.begin(), std::min(size, bytes.size()), '\xff');
  return first_bytes({bytes.data(), bytes.size()});
}

KeyPatterns::KeyPatterns(const std::vector<KeyPattern>& patterns) : patterns_(patterns) {
  std::stable_partition(patterns_.begin(), patterns_.end(), [](const KeyPattern& one) { return one.deny; });
  words_ = (patterns_.size() + word_bits - 1) / word_bits;
  candidates_.resize(buckets * words_);
  constexpr std::size_t filters_a_comparison = 8;
  cost_ += patterns_.size() / filters_a_comparison;
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    const KeyPattern& one = patterns_[i];
    const std::string& head = one.pattern.head();
    // A NUL in a head cannot be told from the end of a shorter key.
    const bool decides = one.pattern.is_prefix() && head.size() <= sizeof(Word) && head.find('\0') == std::string::npos;
    filters_.push_back({mask_of(head.size()), first_bytes(head), one.deny ? Access::both : one.access, one.deny, decides});
    for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
      if (!head.empty() && bucket_of(head) != bucket) continue;
      candidates_[bucket * words_ + i / word_bits] |= Word{1} << i % word_bits;
    }
  }
}

bool KeyPatterns::allow(std::string_view key, Access wanted, MatchBudget& budget) const {
  if (!budget.take(cost_)) return false;
  const Word begins = first_bytes(key);
  const Word* const candidates = candidates_.data() + bucket_of(key) * words_;
  for (std::size_t w = 0; w < words_; ++w) {
    for (Word left = candidates[w]; left != 0; left &= left - 1) {
      const std::size_t i = w * word_bits + static_cast<std::size_t>(std::countr_zero(left));
      const Filter& filter = filters_[i];
      if (((begins ^ filter.word) & filter.mask) != 0 || !includes(filter.access, wanted)) continue;
      // The patterns that deny come first, and deny whatever is wanted.
      if (filter.decides) return !filter.deny;
      const Pattern& pattern = patterns_[i].pattern;
      if (!budget.take(pattern.most_compared(key))) return false;
      if (pattern.matches(key)) return !filter.deny;
    }
  }
  return false;
}

bool KeyPatterns::allow_all_with(std::string_view prefix, Access wanted) const {
  bool allowed = false;
  for (const KeyPattern& one : patterns_) {
    if (one.deny && one.pattern.may_match_with(prefix)) return false;
    allowed = allowed || (!one.deny && includes(one.access, wanted) && one.pattern.matches_all_with(prefix));
  }
  return allowed;
}

std::uint64_t KeyPatterns::most_compared(std::string_view key) const {
  std::uint64_t sum = cost_;
  for (const KeyPattern& one : patterns_) sum += one.pattern.most_compared(key);
  return sum;
}

}  // namespace pinfold::security
