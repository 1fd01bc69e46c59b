#pragma once
// A collection under a key that a command is about to change: what lists, sets, sorted sets and hashes have in common when they are
// written.
//
//   Edit edit(db, key, Type::hash);        // throws WrongType
//   if (edit.packed()) {                   // also if there is no such key
//     RunBuffer& run = RunBuffer::scratch();
//     run.assign(edit.bytes());
//     ...
//     return edit.put(Form::packed_small, run.bytes());
//   }
//   if (const Stored refused = edit.may_grow(bytes); !refused) return refused;
//   return edit.change([&](Collection& collection) { ...; return true; });
//
// The last element takes the key with it, as in Redis.

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "pinfold/store/collection.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/types/draft.hpp"
#include "pinfold/types/run.hpp"

namespace pinfold::types {

/// What OBJECT ENCODING makes of a collection: the settings hash-max-listpack-entries and so on. A collection that has passed a
/// threshold keeps its larger name, as in Redis.
struct Thresholds {
  std::uint64_t hash_entries = 512;
  std::uint64_t hash_value = 64;  // bytes, as all that end in `value`
  std::uint64_t set_numbers = 512;
  std::uint64_t set_entries = 128;
  std::uint64_t set_value = 64;
  std::uint64_t zset_entries = 128;
  std::uint64_t zset_value = 64;
  std::int64_t list_size = -2;  // above 0: elements; -1 to -5: 4 KB to 64 KB
};

/// Not thread-safe: a local variable of a command, while the shard of the key is locked. The database and the key must outlive it. Each
/// function that stores may be called once, and is the last that is called.
class Edit {
 public:
  /// Looks the key up. Throws store::WrongType. With a `draft`, what follows changes the draft in place of what is under the key, and
  /// nothing need be locked. may_grow() then asks for room only, and put(Draft&) asks the policies in the end.
  Edit(store::Database& db, const store::Key& key, store::Type type, Draft* draft = nullptr);
  ~Edit() { forget_scratch(); }
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;

  bool exists() const { return value_.has_value(); }
  /// What was found under the key.
  const std::optional<store::Value>& value() const { return value_; }
  /// Whether the collection lies in its entry, or there is none.
  bool packed() const { return !value_ || !value_->handle(); }
  store::Form form() const { return value_ ? store::form_of(value_->kind) : store::Form::packed_small; }
  /// The packed bytes; empty if there is no such key. Valid until the collection is stored.
  std::string_view bytes() const { return value_ ? value_->text : std::string_view(); }
  /// The handle of a collection that is not packed().
  store::Handle handle() const { return value_ ? value_->handle() : store::Handle(); }
  /// The collection as it is. Only if it is not packed().
  const store::Collection& collection() const { return store::Collection::of(value_->handle()); }

  /// Whether policies and memory allow the collection to become `bytes` larger. To be asked before change() adds elements, and before
  /// put() of a collection; put() of packed bytes asks by itself. `received`: bytes that the collection gets in blocks which are there
  /// already, because the request came in them. Policies judge them, and they take no more room. `changes`: how many items of its trees
  /// will change, for the room that copies of nodes take if others refer to them.
  store::Stored may_grow(std::size_t bytes, std::size_t received = 0, std::size_t changes = 0);

  /// Stores a packed collection in the place of what was there. Keeps the deadline. If it has no items, the key is removed.
  store::Stored put(store::Form form, std::string_view run);
  /// The same with a packed collection in another layout than Run's, which has items.
  store::Stored put_bytes(store::Form form, std::string_view bytes);
  /// The same with a large collection, of which the caller hands over the only reference.
  store::Stored put(store::Form form, store::Collection* collection);
  /// Stores a draft that began with what is under the key now. O(1) beside the bytes of a packed collection.
  store::Stored put(Draft& draft);
  /// Calls `alter(Collection&)` with the collection, which is the caller's alone: if others refer to it, it is cloned first. `alter`
  /// returns whether it has changed anything. If no elements are left afterwards, the key is removed. Only if it is not packed().
  /// Returns Stored::no_memory, without a call, if there is no memory for the clone.
  template <class Alter>
  store::Stored change(Alter&& alter) {
    bool cloned = true;
    bool emptied = false;
    const auto with_handle = [&](store::OwnedHandle& handle) {
      cloned = make_unique(handle);
      if (!cloned) return false;
      store::Collection& collection = store::Collection::of(handle.get());
      const bool altered = alter(collection);
      emptied = collection.size() == 0;
      return altered && !emptied;
    };
    if (draft_ != nullptr) [[unlikely]] {
      draft_->change(with_handle);
    } else {
      db_.change(key_, type_, std::cref(with_handle));  // a function that refers to it takes no memory
    }
    if (emptied) remove();
    return cloned ? store::Stored::done : store::Stored::no_memory;
  }

  // These two follow a change() whose `alter` has changed the collection and has returned false, because the result is to be stored in
  // another form. They tell observers of the write in any case. If there is no memory for the other form, the collection keeps the one
  // that it has.

  /// Stores the collection under another form.
  void rename(store::Form form);
  /// Stores packed bytes in the place of the collection, which has the same elements. With Run's layout or another one. Returns whether
  /// it was stored.
  bool pack(store::Form form, std::string_view bytes);

 private:
  void remove();
  void tell_written();
  std::size_t copied_by(std::size_t changes) const;
  bool make_unique(store::OwnedHandle& handle) const;

  store::Database& db_;
  const store::Key& key_;
  store::Type type_;
  Draft* draft_;
  std::optional<store::Value> value_;
};

/// The collection under a key, for reading: nothing if there is no such key. Throws store::WrongType.
std::optional<store::Value> find_collection(store::Database& db, const store::Key& key, store::Type type,
                                            store::Access access = store::Access::read());

}  // namespace pinfold::types
