#pragma once
// The account of memory: how many bytes are used for what, and how many more may be.
//
// maxmemory bounds the data, which is everything but what clients use. Clients have a bound of their own
// (maxmemory-clients), which is not enforced here.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "pinfold/base/block_heap.hpp"
#include "pinfold/base/page_heap.hpp"
#include "pinfold/eviction/ghost_pages.hpp"
#include "pinfold/store/leftovers.hpp"
#include "pinfold/store/room.hpp"

namespace pinfold::store {

/// What memory is used for.
enum class Use : unsigned {
  segments,    // the log
  index,       // buckets and directories
  blobs,       // values and keys outside the log: the pages in use
  ghosts,      // fingerprints of keys that were evicted lately (eviction/ghost.hpp)
  coalescing,  // of misses: leases, waiting clients, refused versions; and purges under way
  clients,     // connections: unfinished requests, replies not yet sent
  scripts,     // interpreters of scripts with what scripts have allocated, cached scripts, libraries of functions
  sampling,    // of accesses, to learn about the traffic (command/working_set.hpp), and spans of requests (command/tracing.hpp)
  tracking,    // which clients have read which keys, and what they are still to be told of that (cache/tracking_table.hpp)
  count,       // the number of uses
};

/// Thread-safe: every figure is atomic and exact once the call that changes it has returned. Two figures that are read
/// one after the other may belong to different moments. All are in bytes, and every function is O(1) and takes no lock.
class Memory {
 public:
  /// `limit` is maxmemory; 0: none.
  explicit Memory(std::uint64_t limit)
      : limit_(limit),
        heap_([this](std::int64_t bytes) { add(Use::blobs, bytes); }),
        index_heap_([this](std::int64_t bytes) { add(Use::index, bytes); }, index_spare) {}

  /// Where large values live; counted as Use::blobs.
  BlockHeap& heap() { return heap_; }
  /// Large values that were given up, on their way to be freed.
  Leftovers& leftovers() { return leftovers_; }
  /// Where buckets and directories of indexes live. Counted as Use::index.
  PageHeap& index_heap() { return index_heap_; }
  /// The pages for ghosts. The tables count them as Use::ghosts.
  eviction::GhostPages& ghost_pages() { return ghost_pages_; }

  /// The number of the erasure that is under way (Keyspace::erase()); 0: none is. Meanwhile code that frees or moves bytes must
  /// overwrite the old place.
  std::uint64_t erasing() const { return erasing_.load(std::memory_order_relaxed); }
  void set_erasing(std::uint64_t number) {
    erasing_.store(number, std::memory_order_relaxed);
    heap_.wipe_freed(number != 0);
  }
  /// Notes that the erasure has to go through the tables once more, because one of them has stored bytes that are still to be
  /// overwritten, perhaps in a place where the erasure has been already.
  void erase_again() { erase_again_.store(true, std::memory_order_relaxed); }
  /// Whether that was noted since the last call.
  bool take_erase_again() { return erase_again_.exchange(false, std::memory_order_relaxed); }

  /// Counts bytes that were allocated for `use`; a negative number counts bytes that were freed. Allocated data is
  /// deducted from what is promised to this thread (Room).
  void add(Use use, std::int64_t bytes) {
    uses_[static_cast<unsigned>(use)].fetch_add(bytes, std::memory_order_relaxed);
    if (use != Use::clients) data_.fetch_add(bytes, std::memory_order_relaxed);
    const std::int64_t now = used_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (bytes > 0 && use != Use::clients) Room::consume(*this, static_cast<std::uint64_t>(bytes));
    if (bytes > 0 && now > peak_.load(std::memory_order_relaxed)) peak_.store(now, std::memory_order_relaxed);
  }
  /// Counts bytes of entries under the cache policy with this slot (1 to 255), or of negative entries, which say that the
  /// origin has no value for their key. Both are part of data(), to which add() has added them.
  void add_to_policy(std::uint8_t slot, std::int64_t bytes) { policies_[slot].fetch_add(bytes, std::memory_order_relaxed); }
  void add_to_negatives(std::int64_t bytes) { negatives_.fetch_add(bytes, std::memory_order_relaxed); }
  std::uint64_t used_by_policy(std::uint8_t slot) const { return clamp(policies_[slot]); }
  std::uint64_t used_by_negatives() const { return clamp(negatives_); }
  /// All bytes in the account, or those for one use.
  std::uint64_t used() const { return clamp(used_); }
  std::uint64_t used(Use use) const { return clamp(uses_[static_cast<unsigned>(use)]); }
  /// Everything but Use::clients.
  std::uint64_t data() const { return clamp(data_); }
  /// The most that used() has been since the start or the last reset_peak().
  std::uint64_t peak() const { return clamp(peak_); }
  void reset_peak() { peak_.store(used_.load(std::memory_order_relaxed), std::memory_order_relaxed); }

  /// Adapts the limit to what the account does not see. `resident_growth` is the number of bytes of resident memory that the
  /// process has gained since its start, as the kernel measures it. The part that is in no account (pages kept for the next
  /// allocation, the C library's heap, stacks) is taken off the limit, but at most a sixteenth of the limit. So maxmemory
  /// bounds the memory that is really resident, while a wrong measurement cannot empty the cache. `connections` is how many
  /// bytes the connections take while they are idle. The first 2 MB of that (about 900 connections) do not count. The rest is
  /// taken off the limit as well, but at most a quarter of the limit. Called by the background worker now and then. Must not be
  /// called by two threads at once.
  void observe_growth(std::uint64_t resident_growth, std::uint64_t connections = 0) {
    // Resident memory may change by this many bytes between two measurements, while values change their sizes. The bounds were
    // found by experiment, and have a margin.
    constexpr std::uint64_t least = 128 * 1024;
    constexpr std::uint64_t most = 4 * 1024 * 1024;
    const std::uint64_t fluctuation = std::clamp(limit() / 64, least, most);
    const std::uint64_t known = used() + returning();
    constexpr std::uint64_t within_bound = 2 * 1024 * 1024;
    const std::uint64_t many = std::min(connections - std::min(connections, within_bound), limit() / 4);
    many_connections_.store(many, std::memory_order_relaxed);
    const std::uint64_t found = (resident_growth > known ? resident_growth - known + fluctuation : 0) + many;
    // The correction moves in small steps, so that no request has to evict much because of it.
    constexpr std::int64_t step = 256 * 1024;
    const auto before = static_cast<std::int64_t>(unaccounted());
    const auto next = static_cast<std::int64_t>(std::min(found, most_unaccounted()));
    unaccounted_.store(static_cast<std::uint64_t>(std::clamp(next, std::max<std::int64_t>(before - step, 0), before + step)),
                       std::memory_order_relaxed);
  }
  /// Bytes that were freed and have left the account, but whose pages have not been given back to the system yet.
  std::uint64_t returning() const { return clamp(returning_) + heap_.noted() + index_heap_.releasable(); }
  /// Changes the part of returning() that segments make up.
  void add_returning(std::int64_t bytes) { returning_.fetch_add(bytes, std::memory_order_relaxed); }
  /// What is taken off the limit at present: see observe_growth().
  std::uint64_t unaccounted() const { return unaccounted_.load(std::memory_order_relaxed); }

  /// 0: no limit.
  std::uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  /// What of the limit is left for data() at present: all but unaccounted(). 0 without a limit.
  std::uint64_t for_data() const {
    const std::uint64_t all = limit();
    return all - std::min(all, unaccounted());
  }
  /// Sets the limit; 0: none. With `gradually`, a limit below the present data() does not come into force at once.
  /// Until it does, requests obey a ceiling instead. The ceiling begins at data() and comes down with lower_ceiling().
  void set_limit(std::uint64_t bytes, bool gradually = false) {
    ceiling_.store(gradually && bytes != 0 ? data() : 0, std::memory_order_relaxed);
    limit_.store(bytes, std::memory_order_relaxed);
  }
  /// Lowers the ceiling to the present data(), so that requests cannot take again what has been freed since the last
  /// call.
  void lower_ceiling() {
    const std::uint64_t now = data();
    if (now < ceiling_.load(std::memory_order_relaxed)) ceiling_.store(now, std::memory_order_relaxed);
  }
  /// Removes the ceiling, because nothing more can be evicted. The limit is in force from now on, although more is
  /// used.
  void give_up_lowering() { ceiling_.store(0, std::memory_order_relaxed); }
  /// Whether data() is clearly above the limit. That happens after the limit was lowered, or after observe_growth() has taken
  /// more off it.
  bool over_limit() const {
    constexpr std::uint64_t clearly = 512 * 1024;
    return limit() != 0 && data() > for_data() + std::min(clearly, limit() / 64);
  }
  /// Whether `bytes` would fit if every entry were evicted. Index, ghosts and scripts count as they are, and the limit is
  /// lowered by the most that observe_growth() can take off.
  bool could_fit(std::uint64_t bytes) const {
    const std::uint64_t most = limit() - most_unaccounted();
    const std::uint64_t fixed = used(Use::index) + used(Use::ghosts) + used(Use::scripts);
    return limit() == 0 || (bytes <= most && fixed <= most - bytes);
  }
  /// Whether `more` bytes fit now, together with data(), returning() and what is promised to other threads (Room). With
  /// `beyond`, the limit may be exceeded by that much.
  bool fits(std::uint64_t more, std::uint64_t beyond = 0) const {
    if (limit() == 0) return true;
    const std::uint64_t most = std::max(for_data(), ceiling_.load(std::memory_order_relaxed)) + beyond;
    // The promises are read before data(). If another thread allocates in between, its bytes are counted twice. In the other
    // order they could be missed.
    const std::uint64_t promised = promised_to_others();
    return more <= most && promised + data() + returning() <= most - more;
  }

 private:
  static constexpr std::size_t index_spare = 128 * 1024;  // bytes of free pages that index_heap_ keeps

  friend class Room;
  friend class GradualRoom;
  // Changes the sum of all promises.
  void promise(std::int64_t bytes) { promised_.fetch_add(bytes); }
  std::uint64_t promised_to_others() const {
    const std::int64_t all = promised_.load();
    return all == 0 ? 0 : static_cast<std::uint64_t>(all) - std::min(static_cast<std::uint64_t>(all), Room::promised_here(*this));
  }

  std::uint64_t most_unaccounted() const { return limit() / 16 + many_connections_.load(std::memory_order_relaxed); }
  // Where bytes move from one place to another, they are added and taken off one after the other. A figure that is read
  // in between may be below 0.
  static std::uint64_t clamp(const std::atomic<std::int64_t>& value) {
    const std::int64_t now = value.load(std::memory_order_relaxed);
    return now > 0 ? static_cast<std::uint64_t>(now) : 0;
  }

  std::array<std::atomic<std::int64_t>, static_cast<unsigned>(Use::count)> uses_{};
  std::array<std::atomic<std::int64_t>, 256> policies_{};
  std::atomic<std::int64_t> negatives_{0};
  std::atomic<std::int64_t> used_{0};
  std::atomic<std::int64_t> data_{0};
  std::atomic<std::int64_t> returning_{0};
  std::atomic<std::int64_t> peak_{0};
  std::atomic<std::uint64_t> unaccounted_{0};
  std::atomic<std::uint64_t> many_connections_{0};
  std::atomic<std::uint64_t> limit_;
  std::atomic<std::uint64_t> ceiling_{0};  // see set_limit(); in force while it is above for_data()
  std::atomic<std::uint64_t> erasing_{0};
  std::atomic<bool> erase_again_{false};
  std::atomic<std::int64_t> promised_{0};
  BlockHeap heap_;
  Leftovers leftovers_;  // their blocks are the heap's
  PageHeap index_heap_;
  eviction::GhostPages ghost_pages_;
};

}  // namespace pinfold::store
