#include "pinfold/command/gathered_list.hpp"

#include <algorithm>

#include "pinfold/resp/reply.hpp"

namespace pinfold::command {

bool GatheredList::add(std::string_view name, const Blob& block) {
  constexpr std::size_t header = 32;  // and the end of the line
  constexpr std::size_t most_blocks = 64;
  const std::size_t wanted = header + (block ? 0 : name.size());
  if (parts_.empty() || room_ < wanted || (block && blocks_ == most_blocks)) {
    if (!begin_part(wanted)) return false;
  }
  // What the output notes about a block beside the text.
  constexpr std::size_t note = 128;
  // It would keep the block alive, which its entry may not do any more.
  if (block && !memory_.ask(note + name.size())) return false;
  blocks_ += block ? 1 : 0;
  room_ -= wanted;
  ++count_;
  resp::Reply reply(parts_.back(), protocol_);
  if (block) {
    reply.bulk(block);
  } else {
    reply.bulk(name);
  }
  return true;
}

void GatheredList::move_part(resp::Output& to) {
  to.move_from(parts_.front());
  parts_.pop_front();
  if (parts_.empty()) memory_.give_back(memory_.held());
}

void GatheredList::clear() {
  parts_.clear();
  memory_.give_back(memory_.held());
}

bool GatheredList::begin_part(std::size_t least) {
  // A short list should not cost much.
  const std::size_t size = std::max<std::size_t>(least, parts_.empty() ? 4 * 1024 : 64 * 1024);
  if (!memory_.ask(size + sizeof(resp::Output))) return false;
  parts_.emplace_back().reserve(size);
  room_ = size;
  blocks_ = 0;
  return true;
}

}  // namespace pinfold::command
