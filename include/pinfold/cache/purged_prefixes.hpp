#pragma once
// The key prefixes that were purged lately, so that a lease (leases.hpp) can tell whether its key was purged after it
// was granted.
//
// A purge does not visit leases. It gets a number (purged_tags.hpp), under which it is remembered here. When a lease is next
// looked at, its key is compared with the prefixes that were purged since the last look.
//
// At most 512 purges are remembered, and only those that a living lease may still need. If one of these has to be forgotten, or
// cannot be remembered, its number becomes the barrier: a lease that was last looked at before the barrier counts as purged. So
// some correct fills are refused, but no incorrect one is let through.

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

#include "pinfold/base/prefixes.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::cache {

/// Thread-safe: it has a mutex of its own, and may be used with shards locked. Counts its memory as store::Use::coalescing in
/// `memory`, which must outlive it.
class PurgedPrefixes {
  struct Noted {
    std::uint64_t number;
    unsigned db;
    std::string prefix;
  };

 public:
  static constexpr std::size_t most_remembered = 512;

  explicit PurgedPrefixes(store::Memory& memory) : memory_(memory) {}
  ~PurgedPrefixes();
  PurgedPrefixes(const PurgedPrefixes&) = delete;
  PurgedPrefixes& operator=(const PurgedPrefixes&) = delete;

  /// The most bytes that note() takes.
  static std::size_t memory_of(const std::string& prefix) {
    constexpr std::size_t growth = 2;  // of a vector
    return sizeof(Noted) + prefix.size() + growth * Prefixes<const Noted*>::item_size();
  }
  /// Remembers that a prefix is purged, by the purge with this number. Forgets purges up to the number `oldest`, which is that
  /// of the oldest lease alive: no lease needs them. If `room` is false, or memory cannot be had, it moves the barrier to
  /// `number` instead of remembering the purge. So it never fails. O(prefixes remembered).
  void note(unsigned db, const std::string& prefix, std::uint64_t number, std::uint64_t oldest, bool room);
  /// Whether a purge with a higher number than `purge_number` has hit a prefix of the key, or may have. Adds the bytes that were
  /// looked at to `looked_at`: none if nothing was purged since, otherwise some for each prefix that is remembered, and the key
  /// once.
  bool purged_since(unsigned db, std::uint64_t purge_number, std::string_view key, std::size_t& looked_at) const;
  /// Forgets purges up to the number `oldest`, which is that of the oldest lease alive: no lease needs them.
  void forget(std::uint64_t oldest);

 private:
  void account(const Noted& noted, std::int64_t sign);
  void forget_up_to(std::uint64_t number);

  store::Memory& memory_;
  mutable std::mutex mutex_;         // guards what follows
  std::deque<Noted> noted_;          // in the order of their numbers
  Prefixes<const Noted*> prefixes_;  // the same, for comparing with a key
  std::uint64_t barrier_ = 0;        // a lease that was last looked at before this purge counts as purged
};

}  // namespace pinfold::cache
