#include "pinfold/store/purges.hpp"

#include <algorithm>
#include <utility>

namespace pinfold::store {

bool Purge::covers(std::string_view key, const Extra& extra) const {
  if (by_prefix) return key.starts_with(names[0]);
  bool found = false;
  extra.for_each_tag([&](std::string_view tag) { found |= std::binary_search(names.begin(), names.end(), tag); });
  return found;
}

void Purge::swept(const std::shared_ptr<Purge>& purge) {
  if (purge->unswept.fetch_sub(1, std::memory_order_acq_rel) == 1 && purge->done) purge->done(purge);
}

// With the table goes all that was to be swept.
Purges::~Purges() {
  for (const Waiting& waiting : waiting_) Purge::swept(waiting.purge);
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
  // What is noted of a purge that then cannot be noted in full is swept, and forgotten, with the next.
  const Mark mark{position, purge, number_ + 1};
  if (waiting_.size() == waiting_.capacity()) waiting_.reserve(2 * waiting_.size() + 4);
  newest_ = position.sequence;
  if (purge->by_prefix) {
    add(prefixes_, mark);
  } else {
    for (const std::string& tag : purge->names) {
      const auto [at, fresh] = tags_.try_emplace(tag);
      if (fresh) tag_bytes_ += tag.size();
      const std::size_t before = at->second.size();
      add(at->second, mark);
      marks_ += at->second.size() - before;
    }
  }
  waiting_.push_back({purge, ++number_});
}

bool Purges::wipes() const {
  return std::any_of(waiting_.begin(), waiting_.end(), [](const Waiting& waiting) { return waiting.purge->wipe; });
}

void Purges::end_round() {
  const auto over = [this](const Mark& mark) { return mark.number <= round_; };
  std::erase_if(prefixes_, over);
  for (auto at = tags_.begin(); at != tags_.end();) {
    marks_ -= std::erase_if(at->second, over);
    if (at->second.empty()) tag_bytes_ -= at->first.size();
    at = at->second.empty() ? tags_.erase(at) : std::next(at);
  }
  const std::uint64_t round = std::exchange(round_, 0);
  sweep_at = 1;
  sweep_offset = 0;
  std::erase_if(waiting_, [round](const Waiting& waiting) {
    if (waiting.number > round) return false;
    Purge::swept(waiting.purge);
    return true;
  });
}

std::size_t Purges::memory() const {
  constexpr std::size_t node = 128;
  return sizeof *this + prefixes_.capacity() * sizeof(Mark) + waiting_.capacity() * sizeof(Waiting) +
         tags_.bucket_count() * sizeof(void*) + tags_.size() * node + tag_bytes_ + marks_ * sizeof(Mark);
}

}  // namespace pinfold::store
