#pragma once
// Keeps a value so that a command can read it when its shard is no longer locked. Also says how large a value may be that a command
// reads while the shard is locked.

#include <cstddef>
#include <string>
#include <string_view>

#include "pinfold/base/work.hpp"
#include "pinfold/command/call.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::command {

/// A command may read this many bytes of values while their shards are locked. If it has to read more, it does so in a task.
constexpr std::size_t most_locked_bytes = 256 * 1024;

/// The same bound for this call. Inside EXEC it is at most what is left of the transaction's budget, which all its commands share.
std::size_t most_locked_bytes_of(const Call& call);

/// The error for a task that would keep more than clients may take.
constexpr std::string_view beyond_clients_memory =
    "ERR the command would take more memory than clients may have (maxmemory-clients, maxmemory-user)";

/// The bytes of a value as they were when it was found. It is a reference to the value's block, which nobody changes while others
/// refer to it, or a copy of a value that lies in the log (16 KB at most).
class KeptValue {
 public:
  KeptValue() = default;
  explicit KeptValue(const store::Value& value) {
    if (value.is_block()) {
      block_ = value.share();
    } else {
      copy_ = value.text;
    }
    work::bytes(copy_.size());
  }

  /// The memory of clients that keeping `value` would take. A block takes none, because it counts as data.
  static std::size_t cost(const store::Value& value) { return value.is_block() ? 0 : value.text.size(); }

  std::string_view text() const { return block_ ? block_.view() : std::string_view(copy_); }
  /// Whether `value` is the kept one: the same block or the same bytes. To be called with the shard locked. O(1) for blocks.
  bool is(const store::Value& value) const {
    if (block_) return value.is_block() && value.text.data() == block_.view().data();
    if (value.is_block() || value.text.size() != copy_.size()) return false;
    work::bytes(copy_.size());
    return value.text == copy_;
  }

 private:
  Blob block_;
  std::string copy_;
};

/// The name of the command as errors show it.
std::string shown_name(const Call& call);
/// Where it is executed, as errors show it, for a call inside of EXEC or of a script.
std::string_view shown_place(const Call& call);

/// For a command that has to read more than most_locked_bytes_of(). Inside EXEC, which cannot wait for a task, it replies with the error
/// and returns true.
bool refuse_long_inside_exec(Call& call, std::size_t bytes);
/// Replies with the error of a command whose transaction has used up its budget (transaction_budget.hpp).
resp::Written refuse_beyond_budget(Call& call);

}  // namespace pinfold::command
