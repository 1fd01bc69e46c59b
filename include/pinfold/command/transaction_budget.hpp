#pragma once
// What the commands of one transaction may do together beyond what they name.
//
// EXEC keeps its shards locked until its last command is done, so what each command may do in one hold of a lock would add up. The rows
// that do more than their keys and arguments ask for are marked kBeyondNamed. Once they have used up the budget, the next of them is
// answered with an error, and the transaction goes on. So is every command once all together have copied, hashed, compared or
// zeroed more than `most_bytes_in_all` that were not sent: each may do some for its keys, and there may be many.

#include <algorithm>
#include <cstdint>

#include "pinfold/base/work.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::command {

class TransactionBudget {
 public:
  static constexpr std::uint64_t most_entries = 2048;  // SCAN visits a group of the index as a whole: 192, or 240 of hashes chosen for it
  static constexpr std::uint64_t most_bytes = 256 * 1024;
  static constexpr std::uint64_t most_system_calls = 8;  // INFO makes three
  static constexpr std::uint64_t most_bytes_in_all = 256UL * 1024 * 1024;

  /// Counts what one command does while this lives.
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

  /// How much is left, also while a command is counted. Bytes include what that command may look at for its own keys.
  std::uint64_t entries_left() const { return most_entries - std::min(most_entries, total().entries); }
  std::uint64_t bytes_left() const {
    const work::Counts sum = total();
    const std::uint64_t left = most_bytes - std::min(most_bytes, sum.bytes);
    return left + allowed_.bytes - std::min(allowed_.bytes, current_ != nullptr ? current_->bytes : 0);
  }
  /// Whether the next command is to be refused; `beyond_named`: if its row is marked so.
  bool spent(bool beyond_named) const {
    if (bytes_in_all_ >= most_bytes_in_all) return true;
    if (!beyond_named) return false;
    const work::Counts sum = total();
    return sum.entries >= most_entries || sum.nodes >= most_entries || sum.bytes >= most_bytes || sum.system_calls >= most_system_calls;
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

  work::Counts done_;               // by commands before that were marked
  std::uint64_t bytes_in_all_ = 0;  // by all, but for what was sent with them
  std::uint64_t sent_ = 0;          // with the one that is counted: what its arguments allow
  bool beyond_named_ = false;
  const work::Counts* current_ = nullptr;  // by the one that is counted
  work::Counts allowed_;                   // to that one, for what it names
};

}  // namespace pinfold::command
