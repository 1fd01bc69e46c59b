#pragma once
// The types of values, and handles to values outside of the log.
//
// An entry either holds its value inline, or refers to a value outside of the log: the block of a large string (in future also
// a large collection). The table knows such a value only by the operations of its ValueType. There is one row of operations per
// type, in src/store/value_type.cpp. A new type adds a row, and a file that implements its operations. Inline values are also
// called packed. They need no operations, because the table moves, copies and overwrites them as bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "pinfold/base/blob.hpp"
#include "pinfold/store/budget.hpp"

namespace pinfold::store {

/// A type's number, which entries keep: 0 to 31.
enum class Type : std::uint8_t { string = 0, list = 1, set = 2, zset = 3, hash = 4 };

constexpr unsigned most_types = 32;
constexpr unsigned most_forms = 8;

/// The type and the form of a value, in one byte. The form says how the type lays the value out (packed, as a tree ...). Each
/// type numbers its forms from 0 to 7 as it likes.
class ValueKind {
 public:
  constexpr ValueKind() = default;
  constexpr explicit ValueKind(Type type, unsigned form = 0) : bits_(static_cast<std::uint8_t>(static_cast<unsigned>(type) | form << 5)) {}
  constexpr Type type() const { return static_cast<Type>(bits_ & 31U); }
  constexpr unsigned form() const { return bits_ >> 5; }

 private:
  std::uint8_t bits_ = 0;
};
static_assert(sizeof(ValueKind) == 1);

class Handle;

/// The row of one type: its names, and its operations on a value outside of the log. `raw` points to such a value, as the type
/// defines it. The caller must make sure that at least one reference to the value exists. Unless its comment says otherwise, an
/// operation is called with the shard of the value locked, is O(1), and takes no memory. Where a comment says that no lock need
/// be held, the store may call the operation without one, but only for a reference of an entry that nobody can find any more.
///
/// COPY puts one value into entries of several shards. Then several threads may call operations on it at the same time, each
/// with another shard locked. So reference counts and flags must be atomic. The value itself is changed only while it has one
/// reference. `moved` may be called with more, and must then leave the value where it is.
struct ValueType {
  std::string_view name;                                    // what TYPE replies
  std::array<std::string_view, most_forms> encodings = {};  // what OBJECT ENCODING replies, by form

  /// Gives up one reference. If it was the last one, frees the value as far as the budget goes. Returns false if more is left:
  /// the caller then calls it again for the same reference. After wipe_when_freed(), the freed memory is overwritten, here or
  /// by the heap. No lock need be held.
  bool (*release)(void* raw, Budget& budget) = nullptr;
  /// Returns where the value keeps its link to the next one in the list of Leftovers. The link lies in memory that a value in
  /// this list no longer needs. No lock need be held. Only for types whose release() may return false.
  Handle* (*link)(void* raw) = nullptr;
  /// Makes a reference for another entry. A type either counts references to one value, or copies a small value, which takes
  /// memory. Null: no memory. A type that counts must not change a value with several references.
  void* (*share)(void* raw) = nullptr;
  /// Bytes of memory that the value occupies. They change only inside Table::change_handle(), which
  /// Table::change() and resize() use.
  std::size_t (*memory)(const void* raw) = nullptr;
  /// Tells the value that one more entry refers to it (`sign` 1), or one less (-1). No lock need be held.
  void (*note_stored)(void* raw, int sign) = nullptr;
  /// From now on release() overwrites the memory of the value when it frees it.
  void (*wipe_when_freed)(void* raw) = nullptr;
  /// Overwrites the bytes that removed elements have left in the value's blocks, as far as the budget goes, for the erasure with
  /// the number `erasure`. Returns false if more is left. While Memory::erasing(), a type that changes a value leaves no such
  /// bytes.
  ///
  /// `at` is how far the caller has come with this value, 0 for the start. It is for types whose values have so little to
  /// overwrite that one fresh budget is nearly always enough. A value of any other type must itself keep how far the erasure has
  /// come with it, because its entry may be stored in another place before the erasure is done, and `at` does not go with it.
  /// Once the erasure is done with the value, the operation must return true in O(1). A value that is made while
  /// Memory::erasing() counts as done from the start.
  bool (*wipe_slack)(void* raw, std::uint64_t erasure, std::uint64_t& at, Budget& budget) = nullptr;
  /// The number of elements; of a string the number of bytes.
  std::uint64_t (*count)(const void* raw) = nullptr;
  /// Called when the entry has moved to another segment (compaction, eviction). The value may move too; returns where it is
  /// then. Must not fail. A row without this operation (null) has values that stay where they are.
  void* (*moved)(void* raw) = nullptr;

  struct Recount {
    std::size_t stores = 0;      // entries that refer to the value, as note_stored() has counted them
    std::size_t references = 0;  // references of entries and of all others, such as replies
  };
  /// Calls `show` for each block of the heap that the value consists of. O(blocks); for tests.
  Recount (*recount)(const void* raw, const std::function<void(const void* block, std::size_t bytes)>& show) = nullptr;
};

/// The row of a type. The type must have one. Thread-safe, and the reference is valid forever.
const ValueType& value_type(Type type);
/// The type with this name, in upper or lower case; nothing if there is none. Thread-safe.
std::optional<Type> find_value_type(std::string_view name);
/// Sets the row of a type; null removes it. For tests. Not thread-safe, so it must be called before there is a keyspace. The
/// row must outlive the last use of the type.
void set_value_type_for_test(Type type, const ValueType* row);

class OwnedHandle;

/// A value outside of the log, or nothing. A plain pair of pointer and type that owns nothing: copying it counts no reference.
/// It is valid as long as an entry or an OwnedHandle refers to the value. Its operations are those of ValueType, and need a value.
class Handle {
 public:
  Handle() = default;
  Handle(Type type, void* raw) : raw_(raw), type_(type) {}

  explicit operator bool() const { return raw_ != nullptr; }
  void* raw() const { return raw_; }
  Type type() const { return type_; }

  bool release(Budget& budget) const { return row().release(raw_, budget); }
  Handle* link() const { return row().link(raw_); }
  inline OwnedHandle share() const;
  std::size_t memory() const { return row().memory(raw_); }
  void note_stored(int sign) const { row().note_stored(raw_, sign); }
  void wipe_when_freed() const { row().wipe_when_freed(raw_); }
  bool wipe_slack(std::uint64_t erasure, std::uint64_t& at, Budget& budget) const { return row().wipe_slack(raw_, erasure, at, budget); }
  std::uint64_t count() const { return row().count(raw_); }
  Handle moved() const { return row().moved == nullptr ? *this : Handle(type_, row().moved(raw_)); }
  ValueType::Recount recount(const std::function<void(const void*, std::size_t)>& show) const { return row().recount(raw_, show); }

 private:
  const ValueType& row() const { return value_type(type_); }

  void* raw_ = nullptr;
  Type type_ = Type::string;
};

class Leftovers;

/// Owns one reference to a value outside of the log, or nothing. Its destructor gives the reference up, and frees the value in
/// one go, however large it is. After free_in() it uses Leftovers::give_up() instead, because freeing a large value may take too
/// long for a lock. Not thread-safe.
class OwnedHandle {
 public:
  OwnedHandle() = default;
  /// Takes over the reference of `handle`.
  explicit OwnedHandle(Handle handle) : handle_(handle) {}
  explicit OwnedHandle(Blob block) : handle_(Type::string, block.detach()) {}
  OwnedHandle(OwnedHandle&& other) noexcept : handle_(other.detach()), leftovers_(other.leftovers_) {}
  OwnedHandle& operator=(OwnedHandle&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(leftovers_, other.leftovers_);
    return *this;
  }
  ~OwnedHandle() {
    if (handle_) release();
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }
  Handle get() const { return handle_; }
  /// From now on a value that this object gives up goes to `leftovers`. These must outlive this object, and every OwnedHandle into
  /// which it is moved.
  void free_in(Leftovers& leftovers) { leftovers_ = &leftovers; }
  /// Hands the reference over to the caller.
  Handle detach() { return std::exchange(handle_, Handle()); }
  /// Hands the reference over to the caller as a Blob. Only for a string.
  Blob take_block() { return Blob::attach(detach().raw()); }

 private:
  void release();

  Handle handle_;
  Leftovers* leftovers_ = nullptr;
};

inline OwnedHandle Handle::share() const { return OwnedHandle(Handle(type_, row().share(raw_))); }

/// A value to be stored that is no plain string: packed bytes, or a handle of the type that `kind` names.
struct TypedValue {
  ValueKind kind{};
  std::string_view packed = {};  // at most `most_packed` bytes
  OwnedHandle outside = {};      // if set, `packed` is not used

  /// Bytes. A longer value must be given a form outside of the log.
  static constexpr std::size_t most_packed = 8 * 1024;

  std::size_t bytes() const { return outside ? outside.get().memory() : packed.size(); }
};

}  // namespace pinfold::store
