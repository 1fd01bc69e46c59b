#pragma once
// The directory of an index. It maps the top bits of a hash to a word that describes the group of buckets for this
// hash.
//
// The directory of extendible hashing (Fagin et al., 1979) is one array that doubles. Here that would copy megabytes
// with a shard locked. So the array is cut into chapters of 512 slots, and a root array leads from the first bits of
// the hash to the chapter. A chapter whose groups need more bits is cut in two. One step of growth writes 8 KB of chapters. It
// also copies the root, if the root has to double. The root is small: it has about 8 bytes for each chapter, and a chapter
// leads to 25 000 keys or more.
//
// The depth of a group, or of a chapter, is how many top bits of the hash lead to it. A group's word fills all slots
// whose prefix begins with the bits of the group. These slots are neighbours (a run) and lie in one chapter.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pinfold/store/memory.hpp"

namespace pinfold::store {

/// Not thread-safe: guarded by the shard's lock, as its index is. Counts its memory as Use::index in `memory`, which
/// must outlive it.
class Directory {
 public:
  using Word = std::uint64_t;  // 0: no group
  /// All slots are 0 until point() is called for them. Throws std::bad_alloc.
  explicit Directory(Memory& memory);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  /// The greatest depth of a group. 4 million groups have slots for 800 million entries, about as many as fit into the 8 GB of
  /// log that references can name. The root stays within 64 KB, even if an attacker chooses the hashes.
  static constexpr unsigned prefix_bits = 22;

  /// The word for a hash. O(1): it reads two cache lines.
  Word at(std::uint64_t hash) const {
    const Chapter chapter = root_[root_slot(hash)];
    return chapter.slots()[chapter.slot(hash)];
  }
  /// Makes all hashes that share the top `depth` bits of `prefix` lead to `word`. `depth` must be at least
  /// least_depth(prefix), and tell_apart() must have returned true for it. Writes at most 512 slots.
  void point(std::uint64_t prefix, unsigned depth, Word word);
  /// Cuts chapters until the hashes that share the top `depth` bits of `prefix` have slots of their own. Returns false if there
  /// is no memory. In any case at() returns for every hash what it returned before.
  bool tell_apart(std::uint64_t prefix, unsigned depth);
  /// The least depth that a group at `prefix` can have. With fewer bits its slots would lie in several chapters.
  unsigned least_depth(std::uint64_t prefix) const { return chapter_of(prefix).depth(); }

  /// Bytes of all chapters and of the root, without the first two entries of the root, which every directory has.
  std::uint64_t memory() const { return memory_used_; }

  /// Frees up to `chapters` chapters. Returns true when none is left. Afterwards only dismantle(), memory(), audit()
  /// and the destructor may be called.
  bool dismantle(std::size_t chapters);

  /// Whether the slots for the top `depth` bits of `prefix` are one run that holds `word`. For Index::audit().
  bool holds(std::uint64_t prefix, unsigned depth, Word word) const;
  /// Whether each chapter fills one aligned run of the root. Calls `visit(address, bytes)` for each chapter. O(root).
  template <class Visit>
  bool audit(Visit&& visit) const;

 private:
  static constexpr unsigned chapter_bits = 9;
  static constexpr std::size_t chapter_size = std::size_t{1} << chapter_bits;
  static constexpr std::size_t chapter_bytes = chapter_size * sizeof(Word);

  // A chapter as the root stores it: one word, so that a lookup needs few instructions. The word holds the slots' address,
  // which is a multiple of 4 KB. In its low bits, which are zero in such an address, it holds the shift that makes a slot
  // number of a hash.
  class Chapter {
   public:
    Chapter() = default;
    Chapter(Word* slots, unsigned depth) : packed_(reinterpret_cast<std::uint64_t>(slots) | (deepest - depth)) {}
    Word* slots() const { return reinterpret_cast<Word*>(packed_ & ~std::uint64_t{chapter_bytes - 1}); }
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
  unsigned root_shift_ = 63;  // bits by which a hash is shifted to get its slot in the root
  std::vector<Chapter> root_;
  std::size_t dismantled_ = 0;  // entries of the root whose chapters have been freed
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
