#pragma once
// The budget for the work that the commands of one transaction do beyond what they name.
//
// EXEC keeps its shards locked until its last command is done. So the work that each command may do in one hold of a lock would add up.
// Commands that do more than their keys and arguments ask for are marked kBeyondNamed. When they have used up the budget, the next of
// them gets an error, and the transaction goes on. There is a second bound for all commands, because each may do some work for its keys
// and there may be many: once they have copied, hashed, compared or zeroed `bytes_in_all` bytes that were not sent, every further
// command gets the error. A script has a budget of the same kind.

#include <algorithm>
#include <cstdint>

#include "pinfold/base/work.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::command {

class TransactionBudget {
 public:
  struct Limits {
    std::uint64_t entries;  // SCAN looks at whole groups of the index: 192 entries, or 240 if hashes are chosen
    std::uint64_t bytes;
    std::uint64_t system_calls;  // INFO makes three
    std::uint64_t bytes_in_all;
  };
  static constexpr Limits of_transaction = {2048, 256 * 1024, 8, 256UL * 1024 * 1024};
  /// The time of a script is bounded, and scripts that go through the keyspace are usual: with COUNT 10, SCAN looks at twenty entries for
  /// each key that it returns.
  static constexpr Limits of_script = {4UL * 1024 * 1024, 16UL * 1024 * 1024, 512, 256UL * 1024 * 1024};

  TransactionBudget() = default;
  explicit TransactionBudget(const Limits& limits) : limits_(&limits) {}
  const Limits& limits() const { return *limits_; }

  /// Counts the work of one command while it exists.
  class Spending {
   public:
    Spending(TransactionBudget& budget, store::Named named, bool beyond_named) : budget_(budget) {
      budget_.begin(&counting_.counts(), named, beyond_named);
    }
    ~Spending() { budget_.end(); }
    Spending(const Spending&) = delete;
    Spending& operator=(const Spending&) = delete;

   private:
    TransactionBudget& budget_;
    work::Counting counting_;
  };

  /// How much is left. May be called while a command is counted. The bytes include those that the command may read for its own keys.
  std::uint64_t entries_left() const { return limits_->entries - std::min(limits_->entries, total().entries); }
  std::uint64_t bytes_left() const {
    const work::Counts sum = total();
    const std::uint64_t left = limits_->bytes - std::min(limits_->bytes, sum.bytes);
    return left + allowed_.bytes - std::min(allowed_.bytes, current_ != nullptr ? current_->bytes : 0);
  }
  /// Whether the next command must be refused. `beyond_named`: whether its row has kBeyondNamed.
  bool spent(bool beyond_named) const {
    if (bytes_in_all_ >= limits_->bytes_in_all) return true;
    if (!beyond_named) return false;
    const work::Counts sum = total();
    return sum.entries >= limits_->entries || sum.nodes >= limits_->entries || sum.bytes >= limits_->bytes ||
           sum.system_calls >= limits_->system_calls;
  }

 private:
  void begin(const work::Counts* current, store::Named named, bool beyond_named) {
    current_ = current;
    allowed_ = named.allowance();
    sent_ = store::Named{.bytes = named.bytes}.allowance().bytes;
    beyond_named_ = beyond_named;
  }
  void end() {
    bytes_in_all_ += current_->bytes - std::min(current_->bytes, sent_);
    if (beyond_named_) done_ = total();
    current_ = nullptr;
    allowed_ = {};
  }
  work::Counts total() const {
    work::Counts sum = done_;
    if (current_ == nullptr) return sum;
    const auto beyond = [](std::uint64_t done, std::uint64_t allowed) { return done - std::min(done, allowed); };
    sum.entries += beyond(current_->entries, allowed_.entries);
    sum.nodes += beyond(current_->nodes, allowed_.nodes);
    sum.bytes += beyond(current_->bytes, allowed_.bytes);
    sum.system_calls += current_->system_calls;
    return sum;
  }

  const Limits* limits_ = &of_transaction;
  work::Counts done_;               // work of earlier commands with kBeyondNamed
  std::uint64_t bytes_in_all_ = 0;  // bytes of all earlier commands, without those that their arguments allow
  std::uint64_t sent_ = 0;          // bytes that the arguments of the present command allow
  bool beyond_named_ = false;
  const work::Counts* current_ = nullptr;  // work of the present command
  work::Counts allowed_;                   // work that the present command may do for what it names
};

}  // namespace pinfold::command
