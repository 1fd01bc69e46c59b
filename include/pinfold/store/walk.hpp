#pragma once
// A walk goes through all keys of a database in short steps, with nothing locked between two steps: see
// Keyspace::collect. KEYS uses it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/blob.hpp"
#include "pinfold/store/index.hpp"

namespace pinfold::store {

class Entry;

/// A list of key names that stay valid after the shard is unlocked. Names inside entries are copied; a name that is a
/// block of its own is shared. clear() keeps the memory, so a list that is used again allocates little. Not
/// thread-safe. Functions that add throw std::bad_alloc.
class Names {
 public:
  void clear();
  void add(const Entry& entry);
  std::size_t size() const { return names_.size(); }
  /// The bytes of all names, shared ones included.
  std::size_t bytes() const { return bytes_; }
  /// The bytes of the names that were copied.
  std::size_t copied() const { return text_.size(); }
  std::string_view operator[](std::size_t i) const {
    const Name& name = names_[i];
    return name.block ? name.block.view() : std::string_view(text_).substr(name.offset, name.size);
  }
  /// The block of a shared name; an empty Blob for a copied one.
  const Blob& block(std::size_t i) const { return names_[i].block; }
  /// Removes the names for which `keep(name)` is false. bytes() and copied() stay as they are. O(names).
  template <class Keep>
  void keep_if(Keep&& keep) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (!keep((*this)[i])) continue;
      if (kept != i) names_[kept] = std::move(names_[i]);
      ++kept;
    }
    names_.resize(kept);
  }

 private:
  struct Name {
    std::size_t offset = 0;
    std::size_t size = 0;
    Blob block;
  };
  std::string text_;
  std::size_t bytes_ = 0;
  std::vector<Name> names_;
};

/// How far a walk has come. The walk meets entries in the order of shard, directory prefix and tag, which are all bits
/// of the key's hash. Between two steps a group of the index may split or merge while the walk is in the middle of it.
/// So the walk notes which prefixes and tags it has seen, and not which groups. It meets an entry that is there from
/// start to end exactly once. Not thread-safe, but the steps may run on different threads one after the other. A plain
/// value of about 200 bytes.
class Walk {
 public:
  /// Whether the walk has been through all shards. `shards` is their number.
  bool done(unsigned shards) const { return shard_ >= shards; }

 private:
  friend class Keyspace;
  static constexpr std::uint32_t prefixes = 1U << Index::prefix_bits;

  // Of the prefixes from prefix_ up to `end` (exclusive), entries with tags below `tag` have been seen.
  struct Part {
    std::uint32_t end;
    unsigned tag;
  };
  Part& enter(std::uint32_t group_end);
  void leave();
  void next_shard();

  unsigned shard_ = 0;
  std::uint32_t prefix_ = 0;  // prefixes below have been seen completely
  // When a group splits while the walk is in the middle of it, its part gets a smaller part inside. The last part in use is the
  // innermost.
  std::array<Part, Index::prefix_bits + 1> parts_{};
  unsigned depth_ = 0;  // parts in use
};

}  // namespace pinfold::store
