#include "pinfold/command/gathered_text.hpp"

#include <algorithm>
#include <utility>

#include "pinfold/base/work.hpp"

namespace pinfold::command {

bool GatheredText::add(std::string_view text) {
  work::bytes(text.size());
  if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < text.size()) {
    // A short text should not cost much.
    const std::size_t block = std::max<std::size_t>(text.size(), blocks_.empty() ? 4 * 1024 : 64 * 1024);
    if (!memory_.ask(block)) return false;
    blocks_.emplace_back().reserve(block);
  }
  blocks_.back().append(text);
  size_ += text.size();
  return true;
}

void GatheredText::clear() {
  std::deque<std::string>().swap(blocks_);
  memory_.give_back(memory_.held());
}

bool GatheredText::send(resp::Reply& reply) {
  if (!std::exchange(begun_, true)) reply.begin_text(size_);
  for (std::size_t sent = 0; !blocks_.empty() && sent < Task::reply_piece; blocks_.pop_front()) {
    reply.output().append(blocks_.front());
    sent += blocks_.front().size();
  }
  if (!blocks_.empty()) return false;
  reply.end_text();
  clear();
  return true;
}

}  // namespace pinfold::command
