#pragma once
// Which prefixes were purged since a lease was granted. Leases are not visited when a prefix is purged: whoever looks at one
// next compares its key with the prefixes purged since the last look.
//
// Epochs are those of PurgedTags. The last 512 purges are remembered. A lease that was not looked at for longer is taken to
// be purged, which refuses some fills that could be let through and never the other way round.

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include "pinfold/base/prefixes.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::cache {

/// Thread-safe, and may be used with shards locked. Counts what it takes as store::Use::herd in `memory`, which must outlive it.
class PurgedPrefixes {
  struct Noted {
    std::uint64_t epoch;
    unsigned db;
    std::string prefix;
  };

 public:
  static constexpr std::size_t most_remembered = 512;

  explicit PurgedPrefixes(store::Memory& memory) : memory_(memory) {}
  ~PurgedPrefixes();
  PurgedPrefixes(const PurgedPrefixes&) = delete;
  PurgedPrefixes& operator=(const PurgedPrefixes&) = delete;

  /// What note() may take, in bytes.
  static std::size_t memory_of(const std::string& prefix) {
    constexpr std::size_t growth = 2;  // of a vector
    return sizeof(Noted) + prefix.size() + growth * Prefixes<const Noted*>::item_size();
  }
  /// A prefix is purged, which begins `epoch`. No lease that is alive is older than `oldest`; whether there is `room` to
  /// remember one more is the caller's to say. Never fails.
  void note(unsigned db, const std::string& prefix, std::uint64_t epoch, std::uint64_t oldest, bool room);
  /// Whether a prefix of the key was purged after that epoch, or may have been. Adds the bytes that were looked at to `looked_at`:
  /// none if no prefix was purged since, else some for each prefix, and the key once.
  bool purged_since(unsigned db, std::uint64_t epoch, std::string_view key, std::size_t& looked_at) const;
  /// What only leases older than `oldest` could have to know.
  void forget(std::uint64_t oldest);

 private:
  void account(const Noted& noted, std::int64_t sign);
  void drop(std::uint64_t epoch);

  store::Memory& memory_;
  mutable std::mutex mutex_;         // guards what follows
  std::deque<Noted> noted_;          // by epoch
  Prefixes<const Noted*> prefixes_;  // the same
  std::uint64_t barrier_ = 0;
};

}  // namespace pinfold::cache
