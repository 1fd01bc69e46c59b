#pragma once
// Counts the work that is done while shards are locked, by cause. The counts prove that no request and no background job keeps
// others waiting for long. A hold is the time from locking a shard to unlocking it; where a thread locks several shards, from
// the first lock to the last unlock.
//
// Each hold has a budget: it may visit 512 entries, follow or free 512 nodes of lists and maps, and copy, hash or
// compare 256 KB. It makes no system call. In addition it has an allowance for what the request names:
//   - for each key that the request names, or that its session watches: 16 entries, 16 nodes, and twice the size of the
//     largest value inside an entry, because the value may be read once and written once. A value in a block of its own
//     is shared and not copied, so the allowance does not depend on its size.
//   - for each byte of the arguments: 4 bytes, because a key is hashed, compared and copied, and a value is copied.
//   - for each element of a collection that the request names: 8 entries, 32 nodes and 4 KB. It is looked for in a run of at most that
//     many bytes, or by look-ups in two trees. To change it may copy the leaf that has it and nodes above, if these are shared, and cut a
//     leaf in two; each block for a node is found in 11 steps.
// So the allowance depends on the keys and arguments of the request, and not on the size of the reply. Work beyond the
// allowance is compared with the budget. Allocations are counted too, but have no bound.

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>
#include <vector>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

/// What a request names, for its allowance.
struct Named {
  std::uint64_t keys = 0;      // named or watched
  std::uint64_t bytes = 0;     // of all arguments
  std::uint64_t elements = 0;  // arguments of a command on collections that are no keys: members, fields, values

  /// The work that may be done for these in addition to the budget.
  work::Counts allowance() const;
};

/// Whether the work beyond the allowance is over the budget of one hold.
bool over_budget(const work::Counts& beyond);

/// While an object of this class lives, the holds of its thread are counted under its name. Objects nest, and the
/// innermost one counts; a hold outside of all of them is counted as "other". `name` must outlive every LockAccount: it
/// is the name of a command or a literal. Belongs to the thread that made it.
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

/// What holds have done since the last reset, by cause. Thread-safe: it has a mutex of its own, which end() takes.
class LockAccount {
 public:
  struct Cause {
    std::uint64_t holds = 0;
    std::uint64_t over = 0;        // holds whose work beyond the allowance was over the budget
    std::uint64_t waits = 0;       // how often the lock of a shard was held by another thread
    std::uint64_t wait_ticks = 0;  // these waits together (ThreadClock::ticks)
    work::Counts most;             // of each kind of work, the most that any hold did beyond its allowance
  };

  /// Notes that this thread has locked one more shard. The hold begins with the first.
  void begin();
  /// Notes that this thread is about to unlock a shard. With the last one the hold ends and is counted, unless there is no
  /// memory to note a new cause. O(log causes).
  void end();

  /// Notes that this thread has waited for the lock of a shard. O(log causes).
  void waited(std::uint64_t ticks);

  /// All causes in the order of their names. Throws std::bad_alloc.
  std::vector<std::pair<std::string_view, Cause>> causes() const;
  void reset();

 private:
  static std::string_view name_of_cause();

  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string_view, Cause> causes_;
};

}  // namespace pinfold::store
