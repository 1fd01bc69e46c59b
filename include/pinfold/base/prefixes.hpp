#pragma once
// Finds which of many texts a key begins with. The texts are sorted, and what neighbours have in common is compared only once.

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace pinfold {

/// Texts with a value attached to each. The caller keeps each text alive while it is here. The same text may be here several times.
/// Not thread-safe.
template <class T>
class Prefixes {
 public:
  std::size_t size() const { return items_.size(); }
  std::size_t capacity() const { return items_.capacity(); }
  static constexpr std::size_t item_size() { return sizeof(Item); }

  /// O(items + text). Throws std::bad_alloc, with nothing changed.
  void add(std::string_view text, T attached) {
    const auto at = items_.insert(std::ranges::upper_bound(items_, text, {}, &Item::text), Item{text, 0, attached});
    relate(static_cast<std::size_t>(at - items_.begin()));
  }
  /// O(items).
  template <class Condition>
  void remove_if(Condition&& condition) {
    std::size_t kept = 0;
    std::size_t least = 0;  // bytes that all items since the last kept one have in common with it
    for (const Item& item : items_) {
      least = std::min(least, item.common);
      if (condition(item.attached)) continue;
      items_[kept] = item;
      items_[kept].common = least;
      ++kept;
      least = std::string_view::npos;
    }
    items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(kept), items_.end());
  }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Item& item : items_) visit(item.attached);
  }
  /// Visits the attached value of each text that the key begins with. Returns how many bytes it has read: a few for each text, and
  /// the key once.
  template <class Visit>
  std::size_t for_each_of(std::string_view key, Visit&& visit) const {
    std::size_t matched = 0;  // bytes at the start of the key that equal those of the text before
    std::size_t looked_at = 0;
    for (const Item& item : items_) {
      looked_at += item_size();
      if (item.common < matched) {
        matched = item.common;
      } else if (item.common == matched) {
        const std::size_t before = matched;
        matched = common(key, item.text, matched);
        looked_at += matched - before;
      }
      if (matched == item.text.size()) visit(item.attached);
    }
    return looked_at;
  }

 private:
  struct Item {
    std::string_view text;
    std::size_t common;  // bytes at its start that equal those of the text before
    T attached;
  };

  static std::size_t common(std::string_view a, std::string_view b, std::size_t from) {
    const std::size_t end = std::min(a.size(), b.size());
    return static_cast<std::size_t>(std::mismatch(a.begin() + static_cast<std::ptrdiff_t>(from),
                                                  a.begin() + static_cast<std::ptrdiff_t>(end),
                                                  b.begin() + static_cast<std::ptrdiff_t>(from))
                                        .first -
                                    a.begin());
  }
  void relate(std::size_t at) {
    if (at > 0) items_[at].common = common(items_[at - 1].text, items_[at].text, 0);
    if (at + 1 < items_.size()) items_[at + 1].common = common(items_[at].text, items_[at + 1].text, 0);
  }

  std::vector<Item> items_;  // sorted by text
};

}  // namespace pinfold
