#pragma once
// A long text that a task puts together and sends as one string. Its length must be known before its first byte is sent, so all of
// it is there once: in blocks, in the account of clients before they are taken. Not thread-safe.

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

class GatheredText {
 public:
  explicit GatheredText(const Call& call) : memory_(call.engine, call.session.shared) {}

  /// False if the account does not allow it.
  bool add(std::string_view text);
  std::size_t size() const { return size_; }
  /// Drops the text and gives its memory back.
  void clear();

  /// To be called until it returns true: sends the next piece of the reply.
  bool send(resp::Reply& reply);

 private:
  ClientMemory memory_;
  std::deque<std::string> blocks_;
  std::size_t size_ = 0;
  bool begun_ = false;
};

}  // namespace pinfold::command
