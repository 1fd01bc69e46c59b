#include "pinfold/store/purges.hpp"

#include "pinfold/base/work.hpp"

#include <algorithm>
#include <utility>


namespace pinfold::store {

bool Purge::covers(std::string_view key, const Extra& extra) const {
  work::nodes();
  if (by_prefix) return key.starts_with(names[0]);
  bool found = false;
  extra.for_each_tag([&](std::string_view tag) { found |= std::binary_search(names.begin(), names.end(), tag); });
  return found;
}

void Purge::swept(const std::shared_ptr<Purge>& purge) {
  if (purge->unswept.fetch_sub(1, std::memory_order_acq_rel) == 1 && purge->marks != nullptr) purge->marks->swept(purge);
}

// With the table goes all that was to be swept.
Purges::~Purges() {
  for (const Mark& mark : waiting_) Purge::swept(mark.purge);
}

bool Purges::has_room_for(const Purge& purge) {
  return !purge.by_prefix || prefixes_.size() < most_prefixes || replaceable(purge) != nullptr;
}

// As TagMarks::replaceable, for prefixes.
Purges::Mark* Purges::replaceable(const Purge& purge) {
  if (purge.soft) return nullptr;
  Mark* last = nullptr;
  std::size_t count = 0;
  for (Mark& mark : prefixes_) {
    if (mark.purge->soft || mark.purge->names != purge.names) continue;
    last = &mark;
    ++count;
  }
  return count > 1 || prefixes_.size() >= most_prefixes ? last : nullptr;
}

void Purges::add(const std::shared_ptr<Purge>& purge, const LogPosition& position) {
  const Mark mark{position, purge, purge->number};
  waiting_.push_back(mark);
  try {
    if (purge->by_prefix) {
      Mark* const same = replaceable(*purge);
      same != nullptr ? void(*same = mark) : prefixes_.push_back(mark);
    }
  } catch (...) {
    waiting_.pop_back();
    throw;
  }
  newest_ = position.sequence;
  purges_of_tags_ += purge->by_prefix ? 0 : 1;
}

bool Purges::end_round() {
  work::nodes(prefixes_.size());
  std::erase_if(prefixes_, [this](const Mark& mark) { return mark.number <= round_; });
  for (std::size_t left = most_forgotten; !waiting_.empty() && waiting_.front().number <= round_; --left) {
    if (left == 0) return true;
    purges_of_tags_ -= waiting_.front().purge->by_prefix ? 0 : 1;
    work::nodes();
    Purge::swept(waiting_.front().purge);
    waiting_.pop_front();
  }
  round_ = 0;
  sweep_at = 1;
  sweep_offset = 0;
  return false;
}

std::size_t Purges::most_memory_of(const Purge& purge) {
  constexpr std::size_t growth = 2;  // of a vector
  return sizeof(Mark) + (purge.by_prefix ? growth * sizeof(Mark) : 0);
}

std::size_t Purges::memory() const {
  constexpr std::size_t chunk = 512;  // of a deque, which keeps a map of eight of them from the start
  return sizeof *this + prefixes_.capacity() * sizeof(Mark) + waiting_.size() * sizeof(Mark) + 2 * chunk;
}

}  // namespace pinfold::store
