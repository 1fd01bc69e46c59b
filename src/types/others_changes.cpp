#include "pinfold/types/others_changes.hpp"

#include <array>

#include "pinfold/base/work.hpp"
#include "pinfold/types/hash.hpp"
#include "pinfold/types/set.hpp"
#include "pinfold/types/sorted_set.hpp"

namespace pinfold::types {

using store::Collection;
using store::Element;
using store::PackedElement;
using store::Stored;
using store::Type;

namespace {

constexpr std::size_t leaves_at_once = 16;

template <class Visit>
void for_each_item(store::TreeKind kind, const store::Tree::Leaf& leaf, Visit&& visit) {
  const char* item = leaf.first;
  for (std::uint32_t i = 0; i < leaf.count; ++i) {
    const std::size_t size = store::item_size(kind, item);
    visit(std::string_view(item, size));
    item += size;
  }
  work::entries(leaf.count);
}

// The item of an element; null if there is none.
const char* find(const Collection& collection, const Element& element) {
  if (collection.type() != Type::zset) return find_item(collection.items, PackedElement(element));
  Element::Digits digits;
  const std::string_view member = element.text(digits);
  const auto score = SortedSet(collection).score(member);
  return score ? collection.items.find(*score, member).item() : nullptr;
}

// The texts of one or two elements, with the blocks in which they lie.
class ElementTexts final : public Texts {
 public:
  ElementTexts(std::span<const Element> elements, std::span<std::string_view> texts, std::span<Element::Digits> digits)
      : Texts(texts.first(elements.size())), elements_(elements) {
    for (std::size_t i = 0; i < elements.size(); ++i) texts[i] = elements[i].text(digits[i]);
  }

 private:
  Blob received(std::size_t at, bool /*take*/) const override { return elements_[at].is_block() ? elements_[at].share() : Blob(); }

  std::span<const Element> elements_;
};

}  // namespace

std::unique_ptr<OthersChanges> OthersChanges::between(const Collection& before, const Collection& now) {
  std::unique_ptr<OthersChanges> made(new OthersChanges(before, now));
  if (!before.items.unshared_leaves(now.items, most_leaves, made->leaves_before_, made->leaves_now_)) return nullptr;
  // To hash all of them anew when the set has grown would take long.
  std::size_t items = 0;
  for (const store::Tree::Leaf& leaf : made->leaves_before_) items += leaf.count;
  made->only_before_.reserve(items);
  return made;
}

std::uint64_t OthersChanges::memory() const {
  constexpr std::uint64_t of_item = 96;  // in the set, and among the changes
  std::uint64_t items = 0;
  for (const auto* const leaves : {&leaves_before_, &leaves_now_}) {
    for (const store::Tree::Leaf& leaf : *leaves) items += leaf.count;
  }
  return items * of_item + (leaves_before_.size() + leaves_now_.size()) * sizeof(store::Tree::Leaf);
}

bool OthersChanges::go_on() {
  const store::TreeKind kind = before_.items.kind();
  const auto element_of = [&](const char* item) { return Element(kind == store::TreeKind::scored ? item + sizeof(double) : item); };
  for (std::size_t some = leaves_at_once; some > 0; --some) {
    if (!leaves_before_.empty()) {
      for_each_item(kind, leaves_before_.back(), [&](std::string_view item) { only_before_.insert(item); });
      leaves_before_.pop_back();
    } else if (!leaves_now_.empty()) {
      for_each_item(kind, leaves_now_.back(), [&](std::string_view item) {
        if (only_before_.erase(item) == 0) changes_.push_back({find(before_, element_of(item.data())), item.data()});
      });
      leaves_now_.pop_back();
    } else {
      if (!left_) left_ = only_before_.begin();
      if (*left_ == only_before_.end()) return true;
      const char* const item = (*left_)++->data();
      if (find(now_, element_of(item)) == nullptr) changes_.push_back({item, nullptr});
    }
  }
  return false;
}

Stored put_item(store::Database& db, const store::Key& key, BlockHeap& heap, const Thresholds& thresholds, Draft& draft,
                const Element& element, const char* item) {
  const Type type = draft.type();
  std::array<Element, 2> elements{element, element};
  if (type == Type::hash && item != nullptr) elements[1] = value_of(item);
  std::array<std::string_view, 2> room;
  std::array<Element::Digits, 2> digits;
  const std::size_t words = type == Type::hash && item != nullptr ? 2 : 1;
  const ElementTexts texts({elements.data(), words}, room, digits);
  std::uint64_t count = 0;
  switch (type) {
    case Type::hash: {
      HashEdit edit(db, key, heap, thresholds, &draft);
      return item != nullptr ? edit.set(texts, count) : edit.remove(texts, count);
    }
    case Type::set: {
      SetEdit edit(db, key, heap, thresholds, &draft);
      return item != nullptr ? edit.add(texts, count) : edit.remove(texts, count);
    }
    default: {
      Edit edit(db, key, type, &draft);
      if (item == nullptr) return remove(edit, std::span(room).first(1), count);
      Addition addition{.score = store::ScoredItem(item).score(), .member = room[0], .block = texts.block(0)};
      Added added;
      return add(edit, heap, thresholds, {&addition, 1}, {}, added);
    }
  }
}

}  // namespace pinfold::types
