#pragma once
// The index of one table: from a key's hash to the entry's place in the log, in about 6 bytes per key.
//
// Extendible hashing (Fagin et al., 1979) over small groups of buckets. The top bits of the hash choose a group through a
// directory. 16 other bits choose the home bucket in the group. A bucket is one cache line with 12 slots; a slot has a tag,
// which is one more byte of the hash, and a 4-byte reference. A full home bucket spills to one alternate bucket, which follows
// from home and tag alone (partial-key cuckoo hashing: Fan et al., MemC3, NSDI '13). So entries can be moved between the two
// without reading their keys. A lookup reads one bucket, and a second one if the home bucket ever spilled. The two buckets have
// slots for 24 keys of one home and tag, or for 12 if the tag makes them the same bucket. More such keys do not come by chance:
// only an attacker who knows the hash key can choose them. They overflow into the other buckets of the group, and a lookup of
// such a key reads the whole group, 20 cache lines at most.
//
// A new table has one group of 2 buckets. A group grows in small steps (8, 10, 12, 14, 16 buckets, then two groups of 8). So
// the slots are 75-95 % full once a table has some hundred keys. No operation rebuilds more than one group, or a pair that it
// joins. At most 192 entries are read and placed anew, or 240 in a group that could not be split (most_buckets).
//
// A reference is an opaque 32-bit number that says where an entry lies; 0 is none (see Log::ref). The index cannot read
// entries, so the caller passes functions that can: `equals(ref)` tells whether the entry has the key that is looked
// for, `hash_of(ref)` returns the hash of its key, and `fetch(ref)` starts fetching the entry into the processor's
// cache.

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "pinfold/base/prefetch.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/directory.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::store {

using Ref = std::uint32_t;

/// Not thread-safe: guarded by the shard's lock. Counts its memory as Use::index in `memory`, which must outlive it.
class Index {
 public:
  /// Throws std::bad_alloc.
  explicit Index(Memory& memory);
  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  /// The address of a slot; no slot if `ref` is null. Valid until the next insert() or shrink_some().
  struct Slot {
    Ref* ref = nullptr;
    void* bucket = nullptr;
    explicit operator bool() const { return ref != nullptr; }
  };

  /// The slot of the entry with this hash for which `equals` returns true; no slot if there is none. O(1).
  template <class Equals>
  Slot find(std::uint64_t hash, Equals&& equals);

  /// Adds a reference to an entry whose key is not in the index yet. Returns false if there is no memory, or if far too many
  /// hashes lie close together. The latter happens only if an attacker has chosen the hashes. Every key is then found as
  /// before. O(1) amortized; at worst one group is rebuilt.
  template <class HashOf, class Fetch>
  bool insert(std::uint64_t hash, Ref ref, HashOf&& hash_of, Fetch&& fetch);

  /// Empties a slot. O(1).
  void erase(Slot slot);

  /// Gives memory back, one bounded step in each call. The step looks for the next sparse group and rebuilds it with
  /// fewer buckets, or joins it with its neighbour. When the heap of the indexes has many holes, the step also moves
  /// groups out of sparse pages. A round is as many calls as it takes to go through all groups. Returns false at the
  /// end of a round in which no memory came back. The directory does not shrink.
  template <class HashOf, class Fetch>
  bool shrink_some(HashOf&& hash_of, Fetch&& fetch);

  /// Starts fetching the home bucket of `hash` into the processor's cache.
  void prefetch(std::uint64_t hash) const { pinfold::prefetch(&home(group_of(hash), hash)); }

  /// Bytes of the groups and of the directory.
  std::uint64_t memory() const { return memory_used_ + directory_.memory(); }

  /// Frees up to `groups` groups. Returns true when none is left. Afterwards only dismantle(), memory(), audit() and
  /// the destructor may be called.
  bool dismantle(std::size_t groups);

  struct Audit {
    std::uint64_t entries = 0;
    std::uint64_t directory = 0;                  // bytes of the directory that are not in `blocks`: its root
    std::map<const void*, std::size_t> blocks{};  // of groups and chapters, with their bytes
    bool consistent = true;                       // whether counters and directory agree with the groups
  };
  /// Recounts everything from the groups. Of an index that is being dismantled it counts what is left. O(buckets); for
  /// tests.
  Audit audit() const;

  // Iteration goes in the order of (directory prefix, tag), because growth does not change that order: see
  // Keyspace::scan.
  static constexpr unsigned prefix_bits = Directory::prefix_bits;
  struct GroupView {
    unsigned depth;                                     // how many top bits of the hash lead to the group
    std::vector<std::pair<std::uint8_t, Ref>> entries;  // references with their tags
  };
  /// The group for hashes whose top `prefix_bits` bits are `prefix`, with its references whose tag is at least `tag`. O(group).
  GroupView view(std::uint32_t prefix, std::uint8_t tag) const;
  /// A reference from the bucket that the random number selects. 0 if that bucket is empty. O(1).
  Ref sample(std::uint64_t random) const;

 private:
  static constexpr unsigned slots = 12;
  static constexpr unsigned max_buckets = 16;
  static constexpr unsigned most_buckets = 20;  // of a group that cannot be split further
  static constexpr unsigned step = 2;           // buckets by which a group grows: two fill one unit (128 bytes) of the index heap

  enum Spilled : std::uint8_t { nowhere, to_alternate, anywhere };
  struct alignas(64) Bucket {
    std::uint8_t tags[slots];
    std::uint16_t occupied;
    std::uint8_t spilled;  // a Spilled: where else entries may lie whose home is this bucket
    std::uint8_t spare;
    Ref refs[slots];
  };
  static_assert(sizeof(Bucket) == 64);

  // A group as the directory stores it: the pointer to its buckets, their number and the depth in one word, so that a
  // lookup reads no cache line between the directory and the bucket.
  class Group {
   public:
    Group() = default;
    explicit Group(Directory::Word packed) : packed_(packed) {}
    Group(Bucket* buckets, unsigned count, unsigned depth)
        : packed_(reinterpret_cast<std::uint64_t>(buckets) << 16 | std::uint64_t{count} << 8 | depth) {}
    Bucket* buckets() const { return reinterpret_cast<Bucket*>(packed_ >> 16); }
    unsigned count() const { return packed_ >> 8 & 0xff; }
    unsigned depth() const { return packed_ & 0xff; }
    Directory::Word packed() const { return packed_; }

   private:
    Directory::Word packed_ = 0;
  };
  struct Item {
    std::uint64_t hash;
    Ref ref;
  };
  // The entries of one group, and one more to be added; or the entries of two groups that are to be joined.
  struct Items {
    std::array<Item, most_buckets * slots + 1> all;
    std::size_t size = 0;
    Item* begin() { return all.data(); }
    Item* end() { return all.data() + size; }
  };

  static std::uint8_t tag_of(std::uint64_t hash) { return static_cast<std::uint8_t>(hash >> 8); }
  // Scales the low 32 bits of the hash to the number of buckets by a multiplication (Lemire, "Fast Random Integer
  // Generation in an Interval", 2019). Bits 16 to 31 decide the bucket. Only for the few values at the border of two buckets,
  // the lower bits decide.
  static unsigned home_of(std::uint64_t hash, unsigned count) {
    return static_cast<unsigned>(std::uint64_t{static_cast<std::uint32_t>(hash)} * count >> 32);
  }
  // The other bucket of an entry. The function is its own inverse: the alternate of the alternate is the home.
  static unsigned alternate_of(unsigned home, std::uint8_t tag, unsigned count) {
    const unsigned sum = tag * count >> 8;
    return sum >= home ? sum - home : sum + count - home;
  }
  static Bucket& home(Group group, std::uint64_t hash) { return group.buckets()[home_of(hash, group.count())]; }

  /// How many hashes a group of this depth covers: a power of two. 0 stands for all 2^64.
  static std::uint64_t span_of(unsigned depth) { return depth == 0 ? 0 : 1ULL << (64 - depth); }
  Group group_of(std::uint64_t hash) const { return Group(directory_.at(hash)); }

  // A bit for each slot whose tag is `tag`, occupied or not. Bits above the 12 of the slots mean nothing.
  static unsigned equal_tags(const Bucket& bucket, std::uint8_t tag) {
#ifdef __SSE2__
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(&bucket));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)))));
#else
    unsigned hits = 0;
    for (unsigned i = 0; i < slots; ++i) hits |= static_cast<unsigned>(bucket.tags[i] == tag) << i;
    return hits;
#endif
  }
  template <class Equals>
  static Slot match(Bucket& bucket, std::uint8_t tag, Equals&& equals) {
    unsigned hits = equal_tags(bucket, tag) & bucket.occupied;
    for (; hits != 0; hits &= hits - 1) {
      Ref& ref = bucket.refs[std::countr_zero(hits)];
      if (equals(ref)) return {&ref, &bucket};
    }
    return {};
  }
  static bool put(Bucket& bucket, std::uint8_t tag, Ref ref);
  static bool place(Group group, std::uint64_t hash, Ref ref);
  static bool displace(Group group, unsigned from);
  static bool place_anywhere(Group group, std::uint64_t hash, Ref ref);

  Bucket* allocate(unsigned count);
  void release(Group group);
  /// A new group that holds the items, with at least `least` buckets. Its pointer is null if there is no memory, or if
  /// no group can hold the items.
  Group build(const Item* items, std::size_t size, unsigned least, unsigned depth);
  bool grow(std::uint64_t hash, Items& items);
  bool enlarge(std::uint64_t hash, const Items& items);
  bool split(std::uint64_t hash, Items& items);
  bool add_neighbour(std::uint64_t hash);
  bool may_deepen(std::uint64_t hash, unsigned depth);
  bool replace_by_smaller(std::uint64_t start, bool merge, const Items& items);
  void move_out_of_holes(std::uint64_t start);
  bool more_to_shrink() const { return shrink_at_ != 0 || memory_.used(Use::index) < round_began_with_; }
  void point(std::uint64_t prefix, unsigned depth, Group group) { directory_.point(prefix, depth, group.packed()); }
  static void gather(Group group, Items& items);
  static std::size_t population(Group group);
  static constexpr std::size_t block_of(unsigned count) { return PageHeap::rounded(count * sizeof(Bucket)); }
  /// The next larger size of a group.
  static constexpr unsigned larger(unsigned count) { return count < max_buckets / 2 ? count * 2 : count + step; }
  /// The least size, from 8 buckets on, in which this many entries are likely to find places.
  static constexpr unsigned holding(std::size_t entries) {
    constexpr std::size_t percent = 94;
    unsigned count = max_buckets / 2;
    while (entries * 100 > count * slots * percent && count < most_buckets) count += step;
    return count;
  }
  /// A size with free slots for about a third more entries.
  static unsigned fitting(std::size_t entries) {
    const std::size_t buckets = entries * 4 / (3 * slots) + 1;
    return static_cast<unsigned>((buckets + step - 1) / step * step);
  }
  template <class HashOf, class Fetch>
  static void collect(Group group, Items& items, HashOf&& hash_of, Fetch&& fetch);
  template <class HashOf, class Fetch>
  [[gnu::noinline]] bool insert_growing(std::uint64_t hash, Ref ref, HashOf&& hash_of, Fetch&& fetch);

  Memory& memory_;
  std::uint64_t memory_used_ = 0;  // by groups, in bytes; the directory counts its own
  Directory directory_;
  // The least hash of the group that shrink_some() looks at next. A hash stays valid where a slot would not: between
  // two calls the directory may double, and groups may split or be joined.
  std::uint64_t shrink_at_ = 0;
  std::uint64_t round_began_with_ = 0;  // bytes of all indexes when the round of shrink_some() began
  std::uint64_t dismantle_at_ = 0;      // the least hash of the groups that dismantle() has left
  bool no_groups_ = false;              // dismantle() has freed all groups
};

template <class Equals>
Index::Slot Index::find(std::uint64_t hash, Equals&& equals) {
  const Group group = group_of(hash);
  const unsigned at = home_of(hash, group.count());
  Bucket& bucket = group.buckets()[at];
  const std::uint8_t tag = tag_of(hash);
  const Slot slot = match(bucket, tag, equals);
  if (slot || bucket.spilled == nowhere) return slot;
  if (bucket.spilled == to_alternate) return match(group.buckets()[alternate_of(at, tag, group.count())], tag, equals);
  work::entries(group.count());
  for (unsigned i = 0; i < group.count(); ++i) {
    if (const Slot found = match(group.buckets()[i], tag, equals)) return found;
  }
  return {};
}

template <class HashOf, class Fetch>
void Index::collect(Group group, Items& items, HashOf&& hash_of, Fetch&& fetch) {
  const std::size_t first = items.size;
  gather(group, items);
  work::entries(items.size - first);
  // The entries lie anywhere in the log. Without fetching ahead, most of the time would go into waiting for memory.
  constexpr std::size_t ahead = 16;
  for (std::size_t i = first; i < items.size; ++i) {
    if (i + ahead < items.size) fetch(items.all[i + ahead].ref);
    items.all[i].hash = hash_of(items.all[i].ref);
  }
}

template <class HashOf, class Fetch>
bool Index::insert(std::uint64_t hash, Ref ref, HashOf&& hash_of, Fetch&& fetch) {
  return place(group_of(hash), hash, ref) || insert_growing(hash, ref, hash_of, fetch);
}

template <class HashOf, class Fetch>
bool Index::insert_growing(std::uint64_t hash, Ref ref, HashOf&& hash_of, Fetch&& fetch) {
  const Group group = group_of(hash);
  // If the hash finds no place in a group that is at most half full, too many entries share its two buckets. That does not come
  // by chance, so the group does not grow for it.
  if (population(group) * 2 <= group.count() * slots) return place_anywhere(group, hash, ref);
  Items items;
  collect(group, items, hash_of, fetch);
  items.all[items.size++] = {hash, ref};
  return grow(hash, items);
}

template <class HashOf, class Fetch>
bool Index::shrink_some(HashOf&& hash_of, Fetch&& fetch) {
  constexpr unsigned most_looked_at = 64;  // buckets in one call, of groups that stay as they are
  if (shrink_at_ == 0) round_began_with_ = memory_.used(Use::index);
  for (unsigned looked_at = 0; looked_at < most_looked_at;) {
    const Group group = group_of(shrink_at_);
    const std::uint64_t span = span_of(group.depth());
    const std::uint64_t start = shrink_at_ & ~(span - 1);
    shrink_at_ = start + span;  // 0 after the last group
    // Two groups that can be joined differ only in the last bit of their prefix. Both are looked at when the lower one
    // is met.
    const bool lower = group.depth() > directory_.least_depth(start) && (start & span) == 0;
    const Group buddy = lower ? group_of(start + span) : Group();
    const bool pair = lower && buddy.depth() == group.depth();
    const std::size_t own = population(group);
    const std::size_t both = own + (pair ? population(buddy) : max_buckets * slots);
    const bool merge = pair && fitting(both) <= max_buckets / 2;
    const unsigned seen = group.count() + (pair ? buddy.count() : 0);
    work::entries(seen);
    if (!merge && fitting(own) + step > group.count()) {
      looked_at += seen;
      if (memory_.index_heap().wasteful()) move_out_of_holes(start);
      if (shrink_at_ == 0) return more_to_shrink();
      continue;
    }
    Items items;
    collect(group, items, hash_of, fetch);
    if (merge) collect(buddy, items, hash_of, fetch);
    if (replace_by_smaller(start, merge, items) && merge) {
      shrink_at_ = start & ~span_of(group.depth() - 1);  // the joined group may be the upper one of another pair
      return true;
    }
    return more_to_shrink();
  }
  return true;
}

}  // namespace pinfold::store
