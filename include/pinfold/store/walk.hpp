#pragma once
// Going through all keys of a database in short steps, with nothing locked in between: see Keyspace::collect.

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

/// Names of keys that outlast the lock: short ones are copied, blocks are shared. Used again and again, it allocates little.
class Names {
 public:
  void clear();
  void add(const Entry& entry);
  std::size_t size() const { return names_.size(); }
  /// Of all of them, shared ones included.
  std::size_t bytes() const { return bytes_; }
  std::size_t copied() const { return text_.size(); }
  std::string_view operator[](std::size_t i) const {
    const Name& name = names_[i];
    return name.block ? name.block.view() : std::string_view(text_).substr(name.offset, name.size);
  }
  /// The block that the name is; an empty Blob if it is a short one.
  const Blob& block(std::size_t i) const { return names_[i].block; }
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

/// How far a walk has come. Entries are met in the order of shard, directory prefix and tag, all of them bits of the key's hash.
/// A group of the index may split or merge while the walk stands within it, so the walk notes which prefixes and tags it has
/// seen, and not which groups: an entry that is there from start to end is met exactly once.
class Walk {
 public:
  bool done(unsigned shards) const { return shard_ >= shards; }

 private:
  friend class Keyspace;
  static constexpr std::uint32_t prefixes = 1U << Index::prefix_bits;

  // Of the prefixes from where the walk is to `end`, tags below `tag` have been seen.
  struct Part {
    std::uint32_t end;
    unsigned tag;
  };
  Part& enter(std::uint32_t group_end);
  void leave();
  void next_shard();

  unsigned shard_ = 0;
  std::uint32_t prefix_ = 0;
  // Each within the one before it: a part that was split while the walk was in it.
  std::array<Part, Index::prefix_bits + 1> parts_{};
  unsigned depth_ = 0;
};

}  // namespace pinfold::store
