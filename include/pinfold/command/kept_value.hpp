#pragma once
// A value that can be looked at when its shard is no longer locked, and how large a value may be to be looked at while it is.

#include <cstddef>
#include <string>
#include <string_view>

#include "pinfold/base/work.hpp"
#include "pinfold/command/call.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::command {

/// So many bytes of values a command may look at while their shards are locked; beyond, it does so in a task.
constexpr std::size_t most_locked_bytes = 256 * 1024;

/// The same for this call: inside EXEC all commands have that together.
std::size_t most_locked_bytes_of(const Call& call);

/// For what a task would keep and may not.
constexpr std::string_view beyond_clients_memory = "ERR the command would take more memory than clients may have (maxmemory-clients)";

/// The bytes of a value as they were when it was met: a reference to its block, which nobody changes while others hold it, or
/// a copy of what lies in the log (16 KB at most).
class KeptValue {
 public:
  KeptValue() = default;
  explicit KeptValue(const store::Value& value) {
    value.blob != nullptr ? void(block_ = value.share()) : void(copy_ = value.text);
    work::bytes(copy_.size());
  }

  /// What keeping `value` would take of the memory of clients; blocks are data, whoever holds them.
  static std::size_t cost(const store::Value& value) { return value.blob != nullptr ? 0 : value.text.size(); }

  std::string_view text() const { return block_ ? block_.view() : std::string_view(copy_); }
  /// Whether `value` is what was met: the same block, or the same bytes. To be asked with the shard locked. O(1) for blocks.
  bool is(const store::Value& value) const {
    if (block_) return value.blob != nullptr && value.text.data() == block_.view().data();
    if (value.blob != nullptr || value.text.size() != copy_.size()) return false;
    work::bytes(copy_.size());
    return value.text == copy_;
  }

 private:
  Blob block_;
  std::string copy_;
};

/// The command's name as errors show it.
std::string shown_name(const Call& call);

/// For a command that would look at so many bytes, which is more than that, inside EXEC, which nobody can wait for: true, and the error
/// has been replied.
bool refuse_long_inside_exec(Call& call, std::size_t bytes);
/// The error of a command whose transaction has used up its budget (transaction_budget.hpp).
void refuse_beyond_budget(Call& call);

}  // namespace pinfold::command
