#pragma once
// How much work the store may do on its own account (eviction, expiry, compaction, sweeps, erasure) in one hold of a
// shard's lock. A hold is the time from locking to unlocking.

#include <algorithm>
#include <cstdint>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

/// The work that may still be done in one hold. A loop spends from it for each entry. When the budget is spent, the
/// loop stops, keeps the place where it stopped, and goes on there in a later hold. Not thread-safe: it is a local
/// variable of the thread that holds the lock. Every function is O(1).
class Budget {
 public:
  static constexpr std::uint64_t most_entries = 512;
  /// This is 64 KB less than the 256 KB that a hold may take (lock_account.hpp), because a loop finishes the entry at which it
  /// passes this bound.
  static constexpr std::uint64_t most_bytes = 192 * 1024;

  /// Spends entries that were visited, and bytes that were copied, hashed, compared or overwritten. Reports both to
  /// base/work.hpp.
  void spend(std::uint64_t entries, std::uint64_t bytes = 0) {
    take(entries, bytes);
    work::entries(entries);
    work::bytes(bytes);
  }
  /// Spends without reporting, for work that has been reported where it was done.
  void take(std::uint64_t entries, std::uint64_t bytes) {
    entries_ += entries;
    bytes_ += bytes;
  }
  /// Whether either kind of work has reached its bound.
  bool spent() const { return entries_ >= most_entries || bytes_ >= most_bytes; }
  /// Whether work on `bytes` more bytes may begin. The first piece of a hold may be of any size. Otherwise a piece of more than
  /// most_bytes could never be done, because every hold has the same bound.
  bool allows(std::uint64_t bytes) const { return bytes_ == 0 || bytes_ + bytes <= most_bytes; }
  bool bytes_spent() const { return bytes_ >= most_bytes; }
  /// Calls `work` with a budget of its own: `entries` and `bytes`, or what is left of this budget if that is less. What `work`
  /// spends is taken from this budget too. Returns what `work` returns.
  template <class Work>
  auto part(std::uint64_t entries, std::uint64_t bytes, Work&& work) {
    Budget own;
    own.entries_ = std::max(entries_, most_entries - entries);
    own.bytes_ = std::max(bytes_, most_bytes - bytes);
    const Budget before = own;
    auto result = work(own);
    take(own.entries_ - before.entries_, own.bytes_ - before.bytes_);
    return result;
  }
  std::uint64_t bytes_left() const { return bytes_ >= most_bytes ? 0 : most_bytes - bytes_; }
  std::uint64_t entries_left() const { return entries_ >= most_entries ? 0 : most_entries - entries_; }

 private:
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace pinfold::store
