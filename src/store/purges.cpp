#include "pinfold/store/purges.hpp"

#include <algorithm>

namespace pinfold::store {

bool Purge::covers(std::string_view key, const Extra& extra) const {
  if (by_prefix) return key.starts_with(names[0]);
  bool found = false;
  extra.for_each_tag([&](std::string_view tag) { found |= std::find(names.begin(), names.end(), tag) != names.end(); });
  return found;
}

void Purge::swept() {
  if (unswept.fetch_sub(1, std::memory_order_acq_rel) == 1 && done) done(*this);
}

// With the table goes all that was to be swept.
Purges::~Purges() {
  for (const Waiting& waiting : waiting_) waiting.purge->swept();
}

bool Purges::has_room_for(const Purge& purge) const {
  if (purge.by_prefix) return prefixes_.size() < most_prefixes;
  if (tags_.size() + purge.names.size() > most_tags) return false;
  return std::all_of(purge.names.begin(), purge.names.end(), [this](const std::string& tag) {
    const auto found = tags_.find(tag);
    return found == tags_.end() || found->second.size() < most_soft;
  });
}

// Entries that an older purge takes away are taken away by the same purge asked for again; but when one became stale is to be
// remembered.
void Purges::add(Marks& marks, const Mark& mark) {
  const auto same = std::find_if(marks.begin(), marks.end(), [&](const Mark& other) {
    return !mark.purge->soft && !other.purge->soft && (!mark.purge->by_prefix || other.purge->names == mark.purge->names);
  });
  same != marks.end() ? void(*same = mark) : marks.push_back(mark);
}

void Purges::add(const std::shared_ptr<Purge>& purge, const LogPosition& position) {
  waiting_.push_back({purge, number_ + 1});
  const Mark mark{position, purge, number_ + 1};
  if (purge->by_prefix) {
    add(prefixes_, mark);
  } else {
    for (const std::string& tag : purge->names) add(tags_[tag], mark);
  }
  ++number_;
  newest_ = position.sequence;
}

bool Purges::wipes() const {
  return std::any_of(waiting_.begin(), waiting_.end(), [](const Waiting& waiting) { return waiting.purge->wipe; });
}

void Purges::end_round() {
  const auto over = [this](const Mark& mark) { return mark.number <= round_; };
  std::erase_if(prefixes_, over);
  for (auto at = tags_.begin(); at != tags_.end();) {
    std::erase_if(at->second, over);
    at = at->second.empty() ? tags_.erase(at) : std::next(at);
  }
  const auto still = std::partition(waiting_.begin(), waiting_.end(),
                                    [this](const Waiting& waiting) { return waiting.number > round_; });
  std::vector<Waiting> finished(std::make_move_iterator(still), std::make_move_iterator(waiting_.end()));
  waiting_.erase(still, waiting_.end());
  round_ = 0;
  sweep_at = 1;
  for (const Waiting& waiting : finished) waiting.purge->swept();
}

std::size_t Purges::memory() const {
  constexpr std::size_t node = 64;
  std::size_t bytes = sizeof *this + prefixes_.capacity() * sizeof(Mark) + waiting_.capacity() * sizeof(Waiting) +
                      tags_.bucket_count() * sizeof(void*);
  for (const auto& [tag, marks] : tags_) bytes += node + marks.capacity() * sizeof(Mark) + tag.capacity();
  return bytes;
}

}  // namespace pinfold::store
