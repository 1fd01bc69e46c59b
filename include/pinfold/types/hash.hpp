#pragma once
// Hashes: fields and their values.
//
// A small hash is a run of fields, each with its value behind it (run.hpp), in the order in which they were added. A hash with more than
// 128 fields, of more than 4 KB, or with a field or value of more than 512 bytes is a Collection. It becomes packed again when it has
// shrunk to a quarter of these bounds.

#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/types/keyed.hpp"

namespace pinfold::types {

/// A hash where it lies, for reading. A view: valid until the key is changed, and only while its shard is locked. Not thread-safe.
class Hash {
 public:
  explicit Hash(const store::Value& value) : bytes_(value.text), outside_(value.handle()) {}

  bool packed() const { return !outside_; }
  /// Fields. O(1).
  std::uint64_t size() const { return packed() ? run().count() : tree().size(); }
  /// Only if packed().
  Run run() const { return {store::TreeKind::hash, bytes_}; }
  /// Only if not packed().
  const store::Collection& collection() const { return store::Collection::of(outside_); }
  const store::Tree& tree() const { return collection().items; }
  /// The item of a field; null if there is no such field. O(fields) if packed(), else O(log fields).
  const char* find(const store::PackedElement& field) const { return packed() ? find_item<true>(bytes_, field) : find_item(tree(), field); }

 private:
  std::string_view bytes_;
  store::Handle outside_;
};

/// The field of an item of a hash, and its value.
inline store::Element field_of(const char* item) { return store::Element(item); }
inline store::Element value_of(const char* item) { return store::Element(store::Element(item).end()); }

/// A hash that a command changes. Not thread-safe: a local variable of the command, while the shard of the key is locked. What it refers to
/// must outlive it. One of the functions that store may be called, once.
class HashEdit {
 public:
  /// Throws store::WrongType. With a `draft`: see Edit.
  HashEdit(store::Database& db, const store::Key& key, BlockHeap& heap, const Thresholds& thresholds, Draft* draft = nullptr)
      : edit_(db, key, store::Type::hash, draft), heap_(heap), thresholds_(thresholds) {}

  bool exists() const { return edit_.exists(); }
  /// The item of a field as it is before the change; null if there is none.
  const char* find(const store::PackedElement& field) const {
    return edit_.packed() ? find_item<true>(edit_.bytes(), field) : find_item(edit_.collection().items, field);
  }

  /// Sets fields to values: `pairs` has them in turn. `added` becomes the number of fields that are new. If memory is refused in the midst,
  /// some of the fields may have been set.
  store::Stored set(const Texts& pairs, std::uint64_t& added);
  /// Removes fields. `removed` becomes the number of those that were there. As for set() if memory is refused, which a tree needs only
  /// if others share its nodes.
  store::Stored remove(const Texts& fields, std::uint64_t& removed);

 private:
  store::Stored put_run(const RunBuffer& run, bool large);
  store::Stored grow_into_tree(const RunBuffer& run, const Texts& pairs, std::size_t next, bool large, std::uint64_t& added);
  store::Stored set_in_tree(const Texts& pairs, bool large, std::uint64_t& added);
  store::Stored remove_from_run(const Texts& fields, std::uint64_t& removed);
  store::Stored remove_from_tree(const Texts& fields, std::uint64_t& removed);
  bool is_large() const { return edit_.form() == store::Form::packed_large || edit_.form() == store::Form::tree_large; }

  Edit edit_;
  BlockHeap& heap_;
  const Thresholds& thresholds_;
};

}  // namespace pinfold::types
