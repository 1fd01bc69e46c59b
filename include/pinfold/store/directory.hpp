#pragma once
// The directory of an index: from the top bits of a hash to the word that describes the group of buckets for it.
//
// Extendible hashing doubles one array; here that would copy megabytes at a time. So the array is cut in chapters of 512 slots,
// and a root leads to those by the first bits of the hash. A chapter that has to tell more bits apart is cut in two. A step
// copies 8 KB, or the root: 8 bytes per chapter, so per 25 000 keys or more.
//
// A word fills a run of slots: all those whose prefix begins with the bits that lead to its group. A run lies in one chapter.
// Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pinfold/store/memory.hpp"

namespace pinfold::store {

class Directory {
 public:
  using Word = std::uint64_t;  // 0: none
  /// Throws std::bad_alloc. All hashes lead nowhere until point() is called for them.
  explicit Directory(Memory& memory);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  /// No group is reached by more bits of the hash. 4 million groups are more than references lead to, and the root stays
  /// within 64 KB, however the hashes were chosen.
  static constexpr unsigned prefix_bits = 22;

  Word at(std::uint64_t hash) const {
    const Chapter chapter = root_[root_slot(hash)];
    return chapter.slots()[chapter.slot(hash)];
  }
  /// Makes all hashes that share the top `depth` bits of `prefix` lead to `word`. They must have been told apart from others.
  void point(std::uint64_t prefix, unsigned depth, Word word);
  /// Sees to it that the hashes that share the top `depth` bits of `prefix` can be told apart from others. False if there is no
  /// memory; what the directory says has not changed.
  bool tell_apart(std::uint64_t prefix, unsigned depth);
  /// The least depth of a group there: those above lie in several chapters.
  unsigned least_depth(std::uint64_t prefix) const { return chapter_of(prefix).depth(); }

  /// Bytes of chapters and of the root, but for its first entries.
  std::uint64_t memory() const { return memory_used_; }

  /// Frees up to `chapters` chapters; true when none is left. Only this, audit() and the destructor may follow.
  bool dismantle(std::size_t chapters);

  /// Whether exactly the slots for the top `depth` bits of `prefix` hold `word`, for the recount of Index.
  bool holds(std::uint64_t prefix, unsigned depth, Word word) const;
  /// Whether the chapters come in whole runs. Calls `visit(address, bytes)` for each. O(root).
  template <class Visit>
  bool audit(Visit&& visit) const;

 private:
  static constexpr unsigned chapter_bits = 9;
  static constexpr std::size_t chapter_size = std::size_t{1} << chapter_bits;
  static constexpr std::size_t chapter_bytes = chapter_size * sizeof(Word);

  // As the root knows it: where its slots are and, in the bits that are free because a chapter is a page, by how much a hash is
  // shifted for its slot. A lookup needs few instructions so.
  class Chapter {
   public:
    Chapter() = default;
    Chapter(Word* slots, unsigned depth) : packed_(reinterpret_cast<std::uint64_t>(slots) | (deepest - depth)) {}
    Word* slots() const { return reinterpret_cast<Word*>(packed_ & ~std::uint64_t{chapter_bytes - 1}); }
    /// How many bits of the hash lead to it.
    unsigned depth() const { return deepest - shift(); }
    std::size_t slot(std::uint64_t hash) const { return hash >> shift() & (chapter_size - 1); }
    bool operator==(const Chapter&) const = default;

   private:
    static constexpr unsigned deepest = 64 - chapter_bits;
    unsigned shift() const { return packed_ & 63; }

    std::uint64_t packed_ = 0;
  };

  unsigned root_bits() const { return 64 - root_shift_; }
  std::size_t root_slot(std::uint64_t hash) const { return hash >> root_shift_; }
  Chapter chapter_of(std::uint64_t hash) const { return root_[root_slot(hash)]; }
  Word* allocate();
  void release(Chapter chapter);
  void replace(std::uint64_t prefix, Chapter chapter);
  bool cut_chapter(std::uint64_t prefix);
  bool double_root();

  Memory& memory_;
  std::uint64_t memory_used_ = 0;
  unsigned root_shift_ = 63;  // of the hash, so that the bits for the root are left
  std::vector<Chapter> root_;
  std::size_t dismantled_ = 0;  // entries of the root whose chapters are gone
};

template <class Visit>
bool Directory::audit(Visit&& visit) const {
  bool whole = root_.size() == std::size_t{1} << root_bits();
  for (std::size_t i = dismantled_; i < root_.size();) {
    const Chapter chapter = root_[i];
    if (chapter.depth() > root_bits()) return false;
    const std::size_t run = std::size_t{1} << (root_bits() - chapter.depth());
    whole &= i % run == 0;
    for (std::size_t k = i; k < i + run; ++k) whole &= root_[k] == chapter;
    visit(static_cast<const void*>(chapter.slots()), chapter_bytes);
    i += run;
  }
  return whole;
}

}  // namespace pinfold::store
