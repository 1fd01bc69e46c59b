#pragma once
// Finds the keys that one I/O thread is asked for most, in bounded memory, and counts them over the last five seconds.
//
// A sketch (key_sketch.hpp) finds the keys, and a table counts them. The counters of the sketch are halved every 2.5 seconds. A key whose
// counter exceeds the count of the weakest key in the table by half takes its place. From then on its accesses are counted one by one, in
// panes of half a second, and leave the count after five seconds. docs/hot-keys.md has the bounds and what was measured.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/key_sketch.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::command {

/// A key in the table of one thread, or of all.
struct CountedKey {
  std::uint64_t hash = 0;  // of the key and the database
  unsigned db = 0;
  std::string name;         // the first HotKeys::longest_name bytes of it
  bool cut = false;         // whether the key is longer than `name`
  std::uint64_t count = 0;  // accesses in the window
};

/// Not thread-safe. Its size is fixed: about 66 KB. A time that goes back counts as no time.
class HotKeys {
 public:
  static constexpr std::int64_t pane_ms = 500;
  static constexpr unsigned panes = 10;  // the present one, which is not over, and those before it
  static constexpr unsigned slots = 256;
  static constexpr std::size_t longest_name = 128;  // bytes

  explicit HotKeys(MonoMs now);

  /// The hash of a key together with its database.
  static std::uint64_t hash_of(unsigned db, const store::Key& key) { return key.hash + db * 0x9E37'79B9'7F4A'7C15U; }

  /// Counts a sampled access that stands for `weight` accesses. `hash` is hash_of() the key, and `random` any 64 random bits, of which the
  /// lower half is used. It belongs to the time of the last advance(). O(1); O(slots) if the key takes another one's place.
  void add(unsigned db, const store::Key& key, std::uint64_t hash, std::uint32_t weight, std::uint64_t random) {
    all_[pane_] += weight;
    KeySketch::Bucket& bucket = sketch_.bucket_of(hash);
    const unsigned hits = bucket.equal(KeySketch::fingerprint_of(hash));
    if (hits == 0) [[unlikely]]
      return replace(bucket, db, key, hash, weight, random);
    const auto at = static_cast<unsigned>(std::countr_zero(hits));
    const std::uint32_t cell = bucket.cells[at];
    if ((cell & in_table) != 0) [[likely]] {
      const unsigned slot = cell & ~in_table;
      counts_[slot] += weight;
      slots_[slot].panes[pane_] += weight;
      return;
    }
    bucket.cells[at] = cell + weight;
    if ((cell & count_mask) + weight > bar_) admit(bucket, at, db, key, hash);
  }

  /// Lets time pass: forgets what is older than the window.
  void advance(MonoMs now);
  /// Appends the keys in the table that were asked for in the window, as of the last advance().
  void append_to(std::vector<CountedKey>& keys) const;
  /// All accesses in the window.
  std::uint64_t all() const;
  /// When the window began: four and a half to five seconds before the last advance(), or when counting began.
  MonoMs window_began() const;

 private:
  using Bucket = KeySketch::Bucket;
  static constexpr unsigned halve_every = 5;  // panes

  // A cell of the sketch is a counter (24 bits) and the number of the pane in which it began (7 bits), or in_table and the slot. A counter
  // that was halved more than once has a beginning ten panes before the last time: it holds about as much as five panes have brought.
  static constexpr std::uint32_t in_table = 1U << 31;
  static constexpr std::uint32_t count_mask = (1U << 24) - 1;
  static constexpr std::uint32_t most_counted = 1U << 23;
  static constexpr unsigned born_shift = 24;
  static constexpr std::uint32_t born_mask = 127;
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t panes[HotKeys::panes] = {};
    std::uint16_t cell = 0;  // its place in the sketch
    std::uint16_t length = 0;
    std::uint8_t db = 0;
    bool cut = false;
    char name[longest_name];  // `length` bytes of it
  };

  std::uint32_t born_now() const { return (static_cast<std::uint32_t>(pane_number_) & born_mask) << born_shift; }
  std::uint32_t age(std::uint32_t cell) const { return (static_cast<std::uint32_t>(pane_number_) - (cell >> born_shift)) & born_mask; }
  // For a key that is not in its bucket.
  void replace(Bucket& bucket, unsigned db, const store::Key& key, std::uint64_t hash, std::uint32_t weight, std::uint64_t random) {
    const auto at = static_cast<unsigned>(random >> 29) % KeySketch::ways;
    const std::uint32_t cell = bucket.cells[at];
    if ((cell & in_table) != 0) return;
    const std::uint32_t count = cell & count_mask;
    if (!KeySketch::decays(count / weight, (random >> 13) & 0xFFFF)) return;
    if (count > weight) {
      bucket.cells[at] = cell - weight;
      return;
    }
    bucket.fingerprints[at] = KeySketch::fingerprint_of(hash);
    bucket.cells[at] = born_now() | weight;
    if (weight > bar_) admit(bucket, at, db, key, hash);
  }
  [[gnu::noinline]] void admit(Bucket& bucket, unsigned at, unsigned db, const store::Key& key, std::uint64_t hash);
  unsigned weakest() const;
  void next_pane();
  void halve();
  void forget_window();
  std::uint32_t& cell_of(const Slot& slot) { return sketch_.buckets[slot.cell / KeySketch::ways].cells[slot.cell % KeySketch::ways]; }

  KeySketch sketch_;
  std::array<std::uint32_t, slots> counts_{};  // the sums of their panes; 0: the slot is free, or was not asked for lately
  std::array<Slot, slots> slots_{};
  std::array<bool, slots> taken_{};
  std::array<std::uint64_t, panes> all_{};
  std::uint32_t bar_ = 0;  // a counter above it may belong into the table; it only rises within a pane
  unsigned pane_ = 0;      // the present one of all_ and Slot::panes
  std::int64_t pane_number_;
  MonoMs began_;
};

}  // namespace pinfold::command
