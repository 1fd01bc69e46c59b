#pragma once
// How much the store may do on its own account (eviction, expiry, compaction, sweeps) while it holds a shard's lock.

#include <cstdint>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

/// What is left of it in one hold of a lock. Work that finds it spent stops and keeps a place where it goes on under the next
/// hold. What is spent is reported to base/work.hpp as well.
class Budget {
 public:
  static constexpr std::uint64_t most_entries = 512;
  /// What is begun with the last bytes is finished: so much less than the 256 KB that a hold may take.
  static constexpr std::uint64_t most_bytes = 192 * 1024;

  /// Entries visited; bytes copied, hashed or overwritten.
  void spend(std::uint64_t entries, std::uint64_t bytes = 0) {
    take(entries, bytes);
    work::entries(entries);
    work::bytes(bytes);
  }
  /// As spend(), of what has been reported where it was done.
  void take(std::uint64_t entries, std::uint64_t bytes) {
    entries_ += entries;
    bytes_ += bytes;
  }
  bool spent() const { return entries_ >= most_entries || bytes_ >= most_bytes; }
  /// Whether so many bytes more may be done: always some, however many, where none have been.
  bool allows(std::uint64_t bytes) const { return bytes_ == 0 || bytes_ + bytes <= most_bytes; }
  bool bytes_spent() const { return bytes_ >= most_bytes; }
  std::uint64_t entries_left() const { return entries_ >= most_entries ? 0 : most_entries - entries_; }

 private:
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace pinfold::store
