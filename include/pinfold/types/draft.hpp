#pragma once
// A changed copy of a collection that is made with nothing locked: how a command changes a hundred thousand elements.
//
// A draft begins with what is under a key at one moment. A packed collection is copied. Of a large one it has a clone, which shares all
// nodes with the original, and a reference to the original itself. While there is that reference nobody changes the original where it
// lies: a write finds that it is not unique and puts a clone in its place (Collection::unique). So the address of a collection tells
// whether it has been written since.
//
// Edit works with a draft as with a key. Edit::put() stores the draft, if its caller has found that nobody has written meanwhile.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "pinfold/store/collection.hpp"
#include "pinfold/store/memory.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::types {

/// Not thread-safe: it belongs to one command. What it gives up is freed in pieces, as leftovers of `memory`, which must outlive it.
class Draft {
 public:
  Draft(store::Memory& memory, store::Type type) : memory_(memory), type_(type) {}
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  /// Begins anew with a value of the draft's type, or with nothing, as find_collection() has found it. To be called with its shard locked.
  /// Returns false if there is no memory. O(1), or the bytes of a packed collection.
  bool begin(const std::optional<store::Value>& value);
  /// Whether this is still the value that the draft began with. To be called with its shard locked. As begin().
  bool began_with(const std::optional<store::Value>& value) const;

  /// The value that the draft began with, if there was one. Valid until begin().
  std::optional<store::Value> before() const { return before_.value(type_); }
  /// The draft as it is, if it has elements. Valid until it is changed.
  std::optional<store::Value> now() const { return now_.value(type_); }
  /// The reference to the large collection that the draft began with; empty if it began with none.
  const store::OwnedHandle& pin() const { return before_.tree; }
  /// Whether its command has changed it.
  bool changed() const { return changed_; }
  /// Bytes of a large collection; 0 for a packed one.
  std::size_t memory() const { return now_.tree ? now_.tree.get().memory() : 0; }
  /// Whether it is larger than the collection with which it began.
  bool has_grown() const;

  store::Type type() const { return type_; }

  /// A reference to the large collection that is under the key now, with the form of the one that the draft began with; empty if it cannot
  /// be compared with that. To be called with the shard locked. O(1).
  store::OwnedHandle successor(const std::optional<store::Value>& value) const;
  /// Makes a change in the draft that others have made under the key. changed() does not tell of it. Returns what `change()` returns.
  template <class Change>
  auto follow(Change&& change) {
    const bool changed = changed_;
    const auto result = change();
    changed_ = changed;
    return result;
  }
  /// From now on the draft counts as one that began with this, because it has all changes that have led to it.
  void succeed(store::OwnedHandle now) { before_.tree = std::move(now); }

  // What Edit does with it, in place of what it does with an entry.

  void remove();
  void put_bytes(store::Form form, std::string_view bytes);
  void put(store::Form form, store::OwnedHandle tree);
  void rename(store::Form form);
  /// Calls `change(OwnedHandle&)` with the large collection. It returns whether it has changed it.
  template <class Change>
  void change(Change&& change) {
    changed_ |= change(now_.tree);
  }
  /// Hands over the large collection. The draft is of no more use then, but for before().
  store::OwnedHandle take() { return std::move(now_.tree); }

 private:
  struct State {
    bool exists = false;
    store::Form form = store::Form::packed_small;
    std::string bytes;
    store::OwnedHandle tree;

    std::optional<store::Value> value(store::Type type) const;
  };

  store::Memory& memory_;
  const store::Type type_;
  State before_;
  State now_;
  bool changed_ = false;
};

}  // namespace pinfold::types
