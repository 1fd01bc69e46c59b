#pragma once
// The types of values, and handles for what a value keeps outside of the log.
//
// An entry holds its value inline, or a reference to something outside of the log: a large string's block, later a large collection.
// Whoever owns the entry (the table) knows nothing about that but what ValueType's operations do. There is one row per type, in
// src/store/value_type.cpp; the next type is one more row and a file that implements its operations. Inline (packed) values need
// no operations: they are moved, copied and overwritten as bytes.

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

/// Numbers that entries keep: 0 to 31.
enum class Type : std::uint8_t { string = 0 };

constexpr unsigned most_types = 32;
constexpr unsigned most_forms = 8;

/// What an entry says about its value. A type numbers its forms (how it lays a value out: packed, as a tree ...) as it likes.
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

/// What a type is called, and what can be done with a value that lies outside of the log. `raw` is the value as the type knows it, with
/// at least one reference to it. Unless something else is said, the lock of the shard that holds the value is held, and an operation is
/// O(1) and takes no memory.
struct ValueType {
  std::string_view name;                                    // as TYPE answers it
  std::array<std::string_view, most_forms> encodings = {};  // as OBJECT ENCODING answers them, by form

  /// Gives up one reference. With the last one it frees the value as far as the budget goes; false: more is left, and it is to be called
  /// again for the same reference. Overwrites what it frees if wipe_when_freed() was called, or the heap does so. No lock need be held.
  bool (*release)(void* raw, Budget& budget) = nullptr;
  /// Where a value that was given up keeps its place in the list of those (Leftovers), in memory that it does not need any more. Only
  /// for types whose release() may return false.
  Handle* (*link)(void* raw) = nullptr;
  /// One more reference, for another entry: the same value with a count, or a copy of a small one. Null: no memory. A type that counts
  /// must not change what has several.
  void* (*share)(void* raw) = nullptr;
  /// Bytes of memory that the value occupies. Changes only through Table::change().
  std::size_t (*memory)(const void* raw) = nullptr;
  /// An entry has come to keep the value (+1), or does so no longer (-1).
  void (*note_stored)(void* raw, int sign) = nullptr;
  /// Has release() overwrite what it frees.
  void (*wipe_when_freed)(void* raw) = nullptr;
  /// Overwrites what older elements have left in the value's blocks, from `at` on (0: the start), as far as the budget goes. False: more is
  /// left, and `at` says where to go on. While Memory::erasing(), a type leaves no such bytes when it changes a value.
  bool (*wipe_slack)(void* raw, std::uint64_t& at, Budget& budget) = nullptr;
  /// Elements; bytes of a string.
  std::uint64_t (*count)(const void* raw) = nullptr;
  /// The entry has moved to another segment (compaction, eviction), and the value may move as well: returns where it is then. Cannot fail.
  /// Null: it stays where it is.
  void* (*moved)(void* raw) = nullptr;

  struct Recount {
    std::size_t stores = 0;      // entries that keep it, as it knows itself
    std::size_t references = 0;  // of those and of others
  };
  /// Shows all blocks of the heap that the value consists of. O(blocks); for tests.
  Recount (*recount)(const void* raw, const std::function<void(const void* block, std::size_t bytes)>& show) = nullptr;
};

/// The row of a type that entries may have.
const ValueType& value_type(Type type);
/// The type of that name, in any case; nothing if there is none.
std::optional<Type> find_value_type(std::string_view name);
/// Adds a type, or (null) takes it away. For tests, before there are keyspaces: it is not guarded.
void set_value_type_for_test(Type type, const ValueType* row);

class OwnedHandle;

/// A value outside of the log, or nothing. A view: copying it counts no reference. Valid as long as some owner is.
class Handle {
 public:
  Handle() = default;
  Handle(Type type, void* raw) : raw_(raw), type_(type) {}

  explicit operator bool() const { return raw_ != nullptr; }
  void* raw() const { return raw_; }
  Type type() const { return type_; }

  // As ValueType's operations. Only if there is a value.
  bool release(Budget& budget) const { return row().release(raw_, budget); }
  Handle* link() const { return row().link(raw_); }
  inline OwnedHandle share() const;
  std::size_t memory() const { return row().memory(raw_); }
  void note_stored(int sign) const { row().note_stored(raw_, sign); }
  void wipe_when_freed() const { row().wipe_when_freed(raw_); }
  bool wipe_slack(std::uint64_t& at, Budget& budget) const { return row().wipe_slack(raw_, at, budget); }
  /// All of it, however long it takes: for what is stored while an erasure is under way.
  void wipe_slack() const;
  std::uint64_t count() const { return row().count(raw_); }
  Handle moved() const { return row().moved == nullptr ? *this : Handle(type_, row().moved(raw_)); }
  ValueType::Recount recount(const std::function<void(const void*, std::size_t)>& show) const { return row().recount(raw_, show); }

 private:
  const ValueType& row() const { return value_type(type_); }

  void* raw_ = nullptr;
  Type type_ = Type::string;
};

/// A reference of its own to a value outside of the log, or nothing. Gives it up in one go: an entry's, which may be the last one to
/// something large, goes to Leftovers::give_up() instead.
class OwnedHandle {
 public:
  OwnedHandle() = default;
  /// Takes the reference over.
  explicit OwnedHandle(Handle handle) : handle_(handle) {}
  explicit OwnedHandle(Blob block) : handle_(Type::string, block.detach()) {}
  OwnedHandle(OwnedHandle&& other) noexcept : handle_(other.detach()) {}
  OwnedHandle& operator=(OwnedHandle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~OwnedHandle() {
    if (handle_) release();
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }
  Handle get() const { return handle_; }
  /// Hands the reference over.
  Handle detach() { return std::exchange(handle_, Handle()); }
  /// A string's block, whose reference is handed over.
  Blob take_block() { return Blob::attach(detach().raw()); }

 private:
  void release();

  Handle handle_;
};

inline OwnedHandle Handle::share() const { return OwnedHandle(Handle(type_, row().share(raw_))); }

/// A value of another type than a plain string, to be stored: packed bytes, or a handle of the kind's type.
struct TypedValue {
  ValueKind kind{};
  std::string_view packed = {};  // at most `most_packed`
  OwnedHandle outside = {};      // if set, `packed` is not looked at

  /// Longer ones are to be given a form outside of the log.
  static constexpr std::size_t most_packed = 8 * 1024;

  std::size_t bytes() const { return outside ? outside.get().memory() : packed.size(); }
};

}  // namespace pinfold::store
