#include "pinfold/security/patterns.hpp"

#include <algorithm>
#include <cstring>

namespace pinfold::security {
namespace {

using Word = std::uint64_t;

// The first bytes of a text, with zeros behind a shorter one.
Word first_bytes(std::string_view text) {
  Word word = 0;
  if (text.size() >= sizeof word) [[likely]] {
    std::memcpy(&word, text.data(), sizeof word);
    return word;
  }
  std::memcpy(&word, text.data(), std::min(text.size(), sizeof word));
  return word;
}

// All bits of the first `size` bytes.
Word mask_of(std::size_t size) {
  std::array<char, sizeof(Word)> bytes{};
  std::fill_n(bytes.begin(), std::min(size, bytes.size()), '\xff');
  return first_bytes({bytes.data(), bytes.size()});
}

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
  return kind_ == Kind::glob ? glob_->most_compared(text) : std::min(text.size(), head_.size());
}

KeyPatterns::KeyPatterns(const std::vector<KeyPattern>& patterns) : patterns_(patterns) {
  const auto begin_allowing = std::stable_partition(patterns_.begin(), patterns_.end(), [](const KeyPattern& one) { return one.deny; });
  denying_ = static_cast<std::size_t>(begin_allowing - patterns_.begin());
  for (const KeyPattern& one : patterns_) {
    const std::string& head = one.pattern.head();
    // A NUL in a head cannot be told from the end of a shorter key.
    const bool decides = one.pattern.is_prefix() && head.size() <= sizeof(Word) && head.find('\0') == std::string::npos;
    filters_.push_back({mask_of(head.size()), first_bytes(head), one.access, decides});
  }
}

bool KeyPatterns::any_matches(std::size_t from, std::size_t to, std::string_view key, Access wanted) const {
  const Word word = first_bytes(key);
  for (std::size_t i = from; i < to; ++i) {
    const Filter& filter = filters_[i];
    if (((word ^ filter.word) & filter.mask) != 0) continue;
    if (includes(filter.access, wanted) && (filter.decides || patterns_[i].pattern.matches(key))) return true;
  }
  return false;
}

bool KeyPatterns::allow(std::string_view key, Access wanted) const {
  if (denying_ > 0 && any_matches(0, denying_, key, Access::none)) return false;
  return any_matches(denying_, patterns_.size(), key, wanted);
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
  std::uint64_t sum = patterns_.size();
  for (const KeyPattern& one : patterns_) sum += one.pattern.most_compared(key);
  return sum;
}

}  // namespace pinfold::security
