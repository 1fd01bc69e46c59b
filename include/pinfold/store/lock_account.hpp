#pragma once
// What is done while shards are locked, counted by cause: the proof that no request and no background job keeps others waiting.
//
// The budget. One hold of a lock (of several shards at once: from the first lock to the last unlock) may visit 512 entries, follow
// or free 512 nodes, and copy, hash or compare 256 KB. It makes no system call. Beyond that it may do what the request asked for
// by name, and only that:
//   - for each key that the request names, or its session watches: 16 entries and nodes, and twice the largest value that is kept
//     inside an entry, once to read it and once to write it. A value in a block of its own is shared and not copied, so its size
//     is no excuse, neither in a reply nor in a write.
//   - for each byte of the arguments: 4 bytes, because a key is hashed, compared and copied, and a value copied.
// So a reply is paid for by the keys that were named, not by how large it has become. What a hold does beyond its allowance is
// counted against the budget. Allocations are shown and have no budget.

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

/// What a request asked for by name.
struct Named {
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;  // of arguments

  /// What may be done for that beyond the budget.
  work::Counts allowance() const;
};

/// Whether work beyond the allowance is more than one hold may do.
bool over_budget(const work::Counts& beyond);

/// Says what the locks that this thread takes while it lives are taken for. They nest; the innermost counts. `name` must outlive
/// every account: a command's name or a literal.
class HoldCause {
 public:
  explicit HoldCause(std::string_view name, Named named = {});
  ~HoldCause();
  HoldCause(const HoldCause&) = delete;
  HoldCause& operator=(const HoldCause&) = delete;

 private:
  friend class LockAccount;
  std::string_view name_;
  Named named_;
  const HoldCause* outer_;
};

/// Thread-safe.
class LockAccount {
 public:
  struct Cause {
    std::uint64_t holds = 0;
    std::uint64_t over = 0;  // of those, beyond the budget
    work::Counts most;       // beyond the allowance, each the most of any hold
  };

  /// This thread has locked a shard, or is about to unlock it.
  void begin();
  void end();

  /// In the order of names.
  std::vector<std::pair<std::string_view, Cause>> causes() const;
  void reset();

 private:
  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string_view, Cause> causes_;
};

}  // namespace pinfold::store
