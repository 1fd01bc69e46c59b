#pragma once
// A long text that a task collects and then sends as one string. The length must be known before the first byte is sent, so all of the
// text is collected first. It lies in blocks, which are added to the account of clients before they are allocated. Not thread-safe.

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

  /// Returns false if the account does not allow it.
  bool add(std::string_view text);
  std::size_t size() const { return size_; }
  /// Drops the text and gives its memory back.
  void clear();

  /// Sends the next piece of the reply. Returns true when all is sent.
  bool send(resp::Reply& reply);

 private:
  ClientMemory memory_;
  std::deque<std::string> blocks_;
  std::size_t size_ = 0;
  bool begun_ = false;
};

}  // namespace pinfold::command
