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
  return purge.by_prefix ? prefixes_.size() < most_prefixes : tags_.size() + purge.names.size() <= most_tags;
}

void Purges::add(const std::shared_ptr<Purge>& purge, const LogPosition& position) {
  waiting_.push_back({purge, number_ + 1});
  const Mark mark{position, purge, number_ + 1};
  if (purge->by_prefix) {
    // The same prefix again: all that the older purge was for is for this one too.
    const auto same = std::find_if(prefixes_.begin(), prefixes_.end(), [&](const Mark& other) {
      return other.purge->names == purge->names && other.purge->soft == purge->soft;
    });
    same != prefixes_.end() ? void(*same = mark) : prefixes_.push_back(mark);
  } else {
    for (const std::string& tag : purge->names) {
      TagMarks& marks = tags_[tag];
      (purge->soft ? marks.soft : marks.hard) = mark;
    }
  }
  ++number_;
  newest_ = position.sequence;
}

bool Purges::wipes() const {
  return std::any_of(waiting_.begin(), waiting_.end(), [](const Waiting& waiting) { return waiting.purge->wipe; });
}

void Purges::end_round() {
  const auto over = [this](const Mark& mark) { return mark.purge != nullptr && mark.number <= round_; };
  std::erase_if(prefixes_, over);
  for (auto at = tags_.begin(); at != tags_.end();) {
    TagMarks& marks = at->second;
    if (over(marks.hard)) marks.hard = {};
    if (over(marks.soft)) marks.soft = {};
    const bool none = marks.hard.purge == nullptr && marks.soft.purge == nullptr;
    at = none ? tags_.erase(at) : std::next(at);
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
  for (const auto& [tag, marks] : tags_) bytes += node + sizeof marks + tag.capacity();
  return bytes;
}

}  // namespace pinfold::store
