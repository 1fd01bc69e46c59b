#pragma once
// The account of memory. maxmemory bounds the data in it; clients have a share of their own. Thread-safe; every figure
// is exact at the moment of the change.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "pinfold/base/block_heap.hpp"
#include "pinfold/base/page_heap.hpp"
#include "pinfold/eviction/ghost_pages.hpp"
#include "pinfold/store/room.hpp"

namespace pinfold::store {

/// What memory is used for.
enum class Use : unsigned {
  segments,  // the log
  index,     // buckets and directories
  blobs,     // values and keys outside the log: the pages in use
  ghosts,    // the eviction policy's memory of what it evicted
  herd,      // leases, versions of what was invalidated, purges under way
  clients,   // connections: unfinished requests, replies not yet sent
  count,
};

class Memory {
 public:
  explicit Memory(std::uint64_t limit)
      : limit_(limit),
        heap_([this](std::int64_t bytes) { add(Use::blobs, bytes); }),
        index_heap_([this](std::int64_t bytes) { add(Use::index, bytes); }, index_spare) {}

  /// Where large values live; counted as Use::blobs.
  BlockHeap& heap() { return heap_; }
  /// Where buckets and directories of indexes live. Counted as Use::index.
  PageHeap& index_heap() { return index_heap_; }
  /// For what eviction policies remember; counted as Use::ghosts by the tables.
  eviction::GhostPages& ghost_pages() { return ghost_pages_; }

  /// Whether Keyspace::erase() is under way: what is freed now, or moves, must not leave older bytes behind.
  bool erasing() const { return erasing_.load(std::memory_order_relaxed); }
  void set_erasing(bool on) {
    erasing_.store(on, std::memory_order_relaxed);
    heap_.wipe_freed(on);
  }

  void add(Use use, std::int64_t bytes) {
    uses_[static_cast<unsigned>(use)].fetch_add(bytes, std::memory_order_relaxed);
    if (use != Use::clients) data_.fetch_add(bytes, std::memory_order_relaxed);
    const std::int64_t now = used_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (bytes > 0 && use != Use::clients) Room::consume(*this, static_cast<std::uint64_t>(bytes));
    if (bytes > 0 && now > peak_.load(std::memory_order_relaxed)) peak_.store(now, std::memory_order_relaxed);
  }
  /// Of that, what entries under a cache policy occupy, by its slot, and negative entries.
  void add_to_policy(std::uint8_t slot, std::int64_t bytes) { policies_[slot].fetch_add(bytes, std::memory_order_relaxed); }
  void add_to_negatives(std::int64_t bytes) { negatives_.fetch_add(bytes, std::memory_order_relaxed); }
  std::uint64_t used_by_policy(std::uint8_t slot) const { return clamp(policies_[slot]); }
  std::uint64_t used_by_negatives() const { return clamp(negatives_); }
  std::uint64_t used() const { return clamp(used_); }
  std::uint64_t used(Use use) const { return clamp(uses_[static_cast<unsigned>(use)]); }
  /// All but what clients use.
  std::uint64_t data() const { return clamp(data_); }
  std::uint64_t peak() const { return clamp(peak_); }
  void reset_peak() { peak_.store(used_.load(std::memory_order_relaxed), std::memory_order_relaxed); }

  /// Told now and then by how much the process has grown, as the kernel sees it. What of that is not in the account (pages
  /// kept for the next allocation, the C library's heap, stacks) is taken off the limit, within a sixteenth of it: so
  /// maxmemory bounds what is really there, and a wrong measurement cannot empty the cache. `connections` is what these
  /// take while they are idle: about a thousand are part of the bound, more come off the data, up to a quarter of it.
  void observe_growth(std::uint64_t resident_growth, std::uint64_t connections = 0) {
    // Between two looks, while values of other sizes come in: measured, with room to spare.
    constexpr std::uint64_t least = 128 * 1024;
    constexpr std::uint64_t most = 4 * 1024 * 1024;
    const std::uint64_t fluctuation = std::clamp(limit() / 64, least, most);
    const std::uint64_t known = used() + returning();
    constexpr std::uint64_t within_bound = 2 * 1024 * 1024;
    const std::uint64_t many = std::min(connections - std::min(connections, within_bound), limit() / 4);
    many_connections_.store(many, std::memory_order_relaxed);
    const std::uint64_t found = (resident_growth > known ? resident_growth - known + fluctuation : 0) + many;
    // In small steps: what requests must make room for on this account at once stays little.
    constexpr std::int64_t step = 256 * 1024;
    const auto before = static_cast<std::int64_t>(unaccounted());
    const auto next = static_cast<std::int64_t>(std::min(found, most_unaccounted()));
    unaccounted_.store(static_cast<std::uint64_t>(std::clamp(next, std::max<std::int64_t>(before - step, 0), before + step)),
                       std::memory_order_relaxed);
  }
  /// Freed, and not in the account any more, but the system does not have the pages back yet.
  std::uint64_t returning() const { return clamp(returning_) + heap_.noted() + index_heap_.releasable(); }
  /// Of segments.
  void add_returning(std::int64_t bytes) { returning_.fetch_add(bytes, std::memory_order_relaxed); }
  std::uint64_t unaccounted() const { return unaccounted_.load(std::memory_order_relaxed); }

  /// 0: no limit.
  std::uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  /// With `gradually`, a limit below what is used is not in force at once: the ceiling, which requests obey, starts at
  /// what is used and comes down as lower_ceiling() is called.
  void set_limit(std::uint64_t bytes, bool gradually = false) {
    ceiling_.store(gradually && bytes != 0 ? data() : 0, std::memory_order_relaxed);
    limit_.store(bytes, std::memory_order_relaxed);
  }
  /// What was freed since may not be taken again.
  void lower_ceiling() {
    const std::uint64_t now = data();
    if (now < ceiling_.load(std::memory_order_relaxed)) ceiling_.store(now, std::memory_order_relaxed);
  }
  /// Nothing can be freed: the limit holds as it is.
  void give_up_lowering() { ceiling_.store(0, std::memory_order_relaxed); }
  /// Whether what is stored is clearly more than the limit, which has been lowered then.
  bool over_limit() const {
    constexpr std::uint64_t clearly = 512 * 1024;
    return limit() != 0 && data() > for_data() + std::min(clearly, limit() / 64);
  }
  /// Whether `bytes` could ever fit, were there nothing else but what cannot be evicted, and the process as large as it
  /// may be beside the account.
  bool could_fit(std::uint64_t bytes) const {
    const std::uint64_t most = limit() - most_unaccounted();
    const std::uint64_t fixed = used(Use::index) + used(Use::ghosts);
    return limit() == 0 || (bytes <= most && fixed <= most - bytes);
  }
  /// Beside what is there, pages that are still to be given back included, and what was promised to other threads (Room).
  bool fits(std::uint64_t more, std::uint64_t beyond = 0) const {
    if (limit() == 0) return true;
    const std::uint64_t most = std::max(for_data(), ceiling_.load(std::memory_order_relaxed)) + beyond;
    // What was promised first: a promise that is being kept is counted twice then, and not missed.
    const std::uint64_t promised = promised_to_others();
    return more <= most && promised + data() + returning() <= most - more;
  }

 private:
  static constexpr std::size_t index_spare = 128 * 1024;

  friend class Room;
  friend class GradualRoom;
  void promise(std::int64_t bytes) { promised_.fetch_add(bytes); }
  std::uint64_t promised_to_others() const {
    const std::int64_t all = promised_.load();
    return all == 0 ? 0 : static_cast<std::uint64_t>(all) - std::min(static_cast<std::uint64_t>(all), Room::promised_here(*this));
  }

  std::uint64_t most_unaccounted() const { return limit() / 16 + many_connections_.load(std::memory_order_relaxed); }
  std::uint64_t for_data() const { return limit() - std::min(limit(), unaccounted()); }
  // A reader between the two halves of a move may see less than nothing.
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
  std::atomic<std::uint64_t> ceiling_{0};  // in force while it is above what the limit leaves to data
  std::atomic<bool> erasing_{false};
  std::atomic<std::int64_t> promised_{0};
  BlockHeap heap_;
  PageHeap index_heap_;
  eviction::GhostPages ghost_pages_;
};

}  // namespace pinfold::store
