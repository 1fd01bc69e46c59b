#pragma once
// Small collections: what lies in an entry.
//
// A packed collection is two bytes, the number of its items, and the items one behind the other. An item of a list or set is an element
// (store/element.hpp), of a hash a field and its value, of a sorted set 8 bytes of score and the member. Sorted sets keep the order of
// scores and members, the others that in which items were added. A set of numbers is kept differently (set.hpp).

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "pinfold/store/tree.hpp"

namespace pinfold::types {

/// What a packed collection has at most. A larger one is a store::Collection. These are bounds of memory and time, and not the
/// thresholds for which OBJECT ENCODING has names (Thresholds).
constexpr std::size_t most_packed_items = 128;
constexpr std::size_t most_packed_bytes = 4096;

/// A packed collection where it lies. A view that owns nothing. Needs `kind` to know what an item is; TreeKind::index is not used.
class Run {
 public:
  static constexpr std::size_t header = 2;

  Run(store::TreeKind kind, std::string_view bytes) : bytes_(bytes), kind_(kind) {}

  store::TreeKind kind() const { return kind_; }
  std::string_view bytes() const { return bytes_; }
  std::size_t count() const {
    std::uint16_t count = 0;
    if (bytes_.size() >= header) std::memcpy(&count, bytes_.data(), sizeof count);
    return count;
  }
  const char* begin() const { return bytes_.data() + header; }
  const char* end() const { return bytes_.data() + bytes_.size(); }
  /// The item behind `item`; end() at the end.
  const char* next(const char* item) const { return item + store::item_size(kind_, item); }
  /// The item with this number, which must be less than count(). O(position).
  const char* at(std::size_t position) const {
    const char* item = begin();
    while (position-- > 0) item = next(item);
    return item;
  }
  /// Where `item` begins in bytes().
  std::size_t offset(const char* item) const { return static_cast<std::size_t>(item - bytes_.data()); }

 private:
  std::string_view bytes_;
  store::TreeKind kind_;
};

/// A packed collection that is being changed: a copy of its bytes. There is room for one item more than a packed collection may have, so
/// that it is looked at afterwards whether the result is still one. Not thread-safe. Large: to be made once for each thread (scratch()).
class RunBuffer {
 public:
  /// The buffer of this thread. Each call begins with no items. Whoever uses it calls forget_scratch() in the end.
  static RunBuffer& scratch();

  void clear() { size_ = Run::header, set_count(0); }
  /// Takes over a copy of the bytes of a packed collection. `run` must not be longer than most_packed_bytes.
  void assign(std::string_view run);

  std::string_view bytes() const { return {bytes_.data(), size_}; }
  Run run(store::TreeKind kind) const { return {kind, bytes()}; }
  std::size_t count() const { return run(store::TreeKind::list).count(); }
  bool empty() const { return count() == 0; }
  /// Whether it may still be packed.
  bool fits() const { return size_ <= most_packed_bytes && count() <= most_packed_items; }
  /// Whether `bytes` more, in any number of items, can be added without asking fits() in between.
  bool has_room(std::size_t bytes) const { return size_ + bytes <= bytes_.size(); }

  /// Inserts an item at an offset. Requires has_room().
  void insert(std::size_t offset, std::string_view item);
  void append(std::string_view item) { insert(size_, item); }
  /// Removes `items` items that take `bytes` bytes together.
  void erase(std::size_t offset, std::size_t bytes, std::size_t items = 1);
  /// Overwrites all that has been in it since the last call. O(the most bytes that were in it).
  void forget() {
    std::memset(bytes_.data(), 0, most_);
    most_ = 0;
  }
  /// Puts other bytes in the place of some; the number of items stays. Requires has_room() for what is more.
  void replace(std::size_t offset, std::size_t bytes, std::string_view with);

 private:
  void set_count(std::size_t count);
  void move(std::size_t offset, std::size_t bytes, std::size_t now);

  void note_size() { most_ = std::max(most_, size_); }

  std::size_t size_ = Run::header;
  std::size_t most_ = 0;  // bytes that have been in it since the last forget()
  std::array<char, most_packed_bytes + 2 * store::most_packed_element + 2 * sizeof(double)> bytes_{};
};

/// Overwrites what is in the buffers of this thread (RunBuffer and NumberSetBuffer): what a client has purged must not stay there. Edit
/// does so in its destructor.
void forget_scratch();

}  // namespace pinfold::types
