#pragma once
// Lists: what RPUSH, LSET or LREM do to the elements under a key.
//
// A packed list is a run of elements (run.hpp); a larger one is a Collection whose tree `items` has an element for each item. Lists of
// few elements that have come to lie in a tree go back into their entries when elements are taken from their ends.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/store/memory.hpp"
#include "pinfold/types/edit.hpp"
#include "pinfold/types/run.hpp"

namespace pinfold::types {

/// The ends of a list. Element 0 is at the left.
enum class End : std::uint8_t { left, right };

/// Elements from `from` up to and without `to`.
struct ListRange {
  std::uint64_t from = 0;
  std::uint64_t to = 0;

  std::uint64_t size() const { return to - from; }
  bool operator==(const ListRange&) const = default;
};

/// The range of LRANGE and LTRIM: both ends belong to it, negative ones count from the end of the list. Empty if there is no such element.
ListRange list_range(std::int64_t first, std::int64_t last, std::uint64_t size);
/// The position that an index names, which may be negative; nothing if it is outside of the list.
std::optional<std::uint64_t> list_position(std::int64_t index, std::uint64_t size);

/// A list to be read: a view, valid as long as the value that it was made of.
class List {
 public:
  explicit List(const store::Value& value) : value_(value) {}
  /// The list under a key; nothing if there is no such key. Throws store::WrongType.
  static std::optional<List> find(store::Database& db, const store::Key& key, store::Access access = store::Access::read());

  bool packed() const { return !value_.handle(); }
  /// Only if packed().
  Run run() const { return {store::TreeKind::list, value_.text}; }
  /// Only if not packed().
  store::Collection& collection() const { return store::Collection::of(value_.handle()); }
  const store::Tree& tree() const { return collection().items; }
  std::uint64_t size() const { return packed() ? run().count() : tree().size(); }
  /// The element at a position, which must be less than size(). O(log size).
  store::Element at(std::uint64_t position) const;

 private:
  store::Value value_;
};

/// A search for the elements that are equal to a text, from one end of a list, a piece at a time. Not thread-safe.
class ListSearch {
 public:
  struct Options {
    End from = End::left;
    std::uint64_t skip = 0;      // matches that do not count
    std::uint64_t most = 0;      // matches to be found; 0: all
    std::uint64_t compared = 0;  // elements to be compared; 0: all
  };
  /// The text must stay valid as long as the object is used.
  ListSearch(std::string_view text, const Options& options) : needle_(text), options_(options) {}
  /// Overwrites its copy of the text: a search may lie in the heap, where a text that has been purged must not stay.
  ~ListSearch() { needle_.forget(); }
  ListSearch(const ListSearch&) = delete;
  ListSearch& operator=(const ListSearch&) = delete;

  /// Searches the whole of a packed list. O(its elements).
  void search(const Run& run);
  /// Compares up to `items` further elements. Returns true if the search is over, also if it was before. O(log of the tree + items).
  bool search(const store::Tree& tree, std::uint64_t items);
  /// Begins again.
  void reset() { looked_at_ = skipped_ = 0, over_ = false, found_.clear(); }
  /// The positions of the matches, in the order in which they were met.
  const std::vector<std::uint64_t>& found() const { return found_; }

 private:
  bool look_at(const char* item, std::uint64_t position);

  store::PackedElement needle_;
  const Options options_;
  std::uint64_t looked_at_ = 0;
  std::uint64_t skipped_ = 0;
  bool over_ = false;
  std::vector<std::uint64_t> found_;
};

/// A list that a command is about to change. Not thread-safe: a local variable of a command, while the shard of the key is locked. What it
/// is made of must outlive it. Each function that stores may be called once, and is the last that is called. Texts of more than
/// store::most_inline_element bytes are stored in blocks.
class ListEdit {
 public:
  /// Returns the block in which the text with this index has been received, or an empty one.
  using BlockOf = std::function<Blob(std::size_t index)>;
  /// Throws store::WrongType. With a `draft`: see Edit.
  ListEdit(store::Database& db, const store::Key& key, store::Memory& memory, const Thresholds& thresholds, Draft* draft = nullptr)
      : edit_(db, key, store::Type::list, draft), memory_(memory), list_size_(thresholds.list_size) {}

  bool exists() const { return edit_.exists(); }
  bool packed() const { return edit_.packed(); }
  Run run() const { return {store::TreeKind::list, edit_.bytes()}; }
  const store::Tree& tree() const { return edit_.collection().items; }
  std::uint64_t size() const { return packed() ? run().count() : tree().size(); }
  /// The element at a position, which must be less than size().
  store::Element at(std::uint64_t position) const;

  /// Adds texts at one end, one after the other. O(bytes of the texts + texts * log size).
  store::Stored push(End end, std::span<const std::string_view> texts, const BlockOf& block_of = {});
  /// Adds one text before the element at a position. O(log size).
  store::Stored insert(std::uint64_t position, std::string_view text, Blob block = {});
  /// Replaces the element at a position. O(log size).
  store::Stored set(std::uint64_t position, std::string_view text, Blob block = {});
  /// Removes all elements outside of the range, and the key if the range is empty. Many elements are freed in pieces. O(log size), and
  /// O(size) for a packed list.
  store::Stored keep(const ListRange& range);
  /// Takes elements from one end of a list that is not packed. `taken` gets a tree that begins with them, or that ends with them if they
  /// are those at the right end. O(log size).
  store::Stored take(End end, std::uint64_t count, store::Tree& taken);
  /// Removes the elements at these positions, which ascend. O(positions * log size).
  store::Stored remove(std::span<const std::uint64_t> positions);
  /// Undoes the push of one text. If the list is a tree, this cannot fail as long as nothing else has happened since that push.
  store::Stored take_back(End end);
  /// Adds at `to` the element that it takes from the other end. The list must not be empty. O(log size).
  store::Stored rotate(End to);
  /// Replaces a list that is not packed by a collection that was made of it, which has elements and of which the caller hands over the only
  /// reference.
  store::Stored replace(store::Collection* changed);

 private:
  // Where elements are added. Beside the ends there is a position, for one element.
  struct Place {
    enum class Kind : std::uint8_t { left, right, position };
    Kind kind = Kind::right;
    std::uint64_t position = 0;

    std::size_t in(const RunBuffer& run) const;
    store::Tree::Path in(const store::Tree& tree) const;
  };
  // What a change does to the size of the list, for its name.
  enum class Resizing : std::uint8_t { grows, shrinks, replaces };

  store::Stored add(const Place& place, std::span<const std::string_view> texts, const BlockOf& block_of);
  store::Stored add_to_tree(const Place& place, std::span<const std::string_view> texts, const BlockOf& block_of);
  template <class Alter>
  store::Stored store_as_tree(Resizing how, const RunBuffer& run, std::size_t added, Alter&& alter);
  template <class Alter>
  store::Stored change_tree(store::Form form, Alter&& alter);
  bool add_all(store::Tree& tree, const Place& place, std::span<const std::string_view> texts, const BlockOf& block_of, std::size_t from);
  std::optional<store::Stored> keep_packed(const ListRange& range);
  store::Stored cut(const ListRange& range, store::Tree& front, store::Tree& back);
  store::Form packed_form(Resizing how, const RunBuffer& run) const;
  store::Form form_after(Resizing how, bool packed, std::uint64_t items, std::uint64_t bytes) const;

  Edit edit_;
  store::Memory& memory_;
  const std::int64_t list_size_;
};

/// A list that is made apart from its key. Not thread-safe. Its destructor frees few elements at once, and many in pieces.
class ListDraft {
 public:
  ListDraft(store::Memory& memory, const Thresholds& thresholds) : memory_(memory), list_size_(thresholds.list_size) {}

  std::uint64_t size() const { return made_ ? collection().size() : 0; }
  /// Adds a text at the right end. Returns false if there is no memory. O(log size + bytes).
  bool append(std::string_view text, Blob block = {});
  /// Stores it as a new value of the key, whatever was there. It must have elements, and has none afterwards.
  store::Stored put(store::Database& db, const store::Key& key);

 private:
  store::Collection& collection() const { return store::Collection::of(made_.get()); }

  store::Memory& memory_;
  const std::int64_t list_size_;
  store::OwnedHandle made_;
};

}  // namespace pinfold::types
