#pragma once
// A long list of names that a task collects and then sends as one array, whose length must be known first. Not thread-safe.

#include <cstddef>
#include <deque>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/command/call.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/resp/output.hpp"

namespace pinfold::command {

/// Keeps the names in blocks of text as they will be sent. Their memory is added to the account of clients before it is taken.
class GatheredList {
 public:
  explicit GatheredList(const Call& call) : memory_(call.engine, call.session.shared), protocol_(call.reply.protocol()) {}

  /// Adds a name, or the block in which it lies, without a copy. Returns false if the account does not allow it.
  bool add(std::string_view name, const Blob& block = {});
  std::size_t count() const { return count_; }
  bool empty() const { return parts_.empty(); }
  /// Moves the first part of what is left to `to`.
  void move_part(resp::Output& to);
  void clear();

 private:
  bool begin_part(std::size_t least);

  ClientMemory memory_;
  const int protocol_;
  std::deque<resp::Output> parts_;
  std::size_t room_ = 0;    // left in the last part
  std::size_t blocks_ = 0;  // in the last part
  std::size_t count_ = 0;
};

}  // namespace pinfold::command
