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
  if (purge->unswept.fetch_sub(1, std::memory_order_acq_rel) == 1 && purge->done) purge->done(purge);
}

// With the table goes all that was to be swept.
Purges::~Purges() {
  for (const Waiting& waiting : waiting_) Purge::swept(waiting.purge);
}

bool Purges::has_room_for(const Purge& purge) {
  const auto fits = [&purge](Marks& marks, std::size_t most) {
    return marks.size() < most || replaceable(marks, purge, most) != nullptr;
  };
  if (purge.by_prefix) return fits(prefixes_, most_prefixes);
  std::size_t fresh = 0;
  work::nodes(purge.names.size());
  for (const std::string& tag : purge.names) {
    const auto found = tags_.find(tag);
    if (found == tags_.end()) {
      ++fresh;
    } else if (!fits(found->second, most_marks)) {
      return false;
    }
  }
  return tags_.size() + fresh <= most_tags;
}

// The mark that one for the same, asked for again, can do without: null if there is none, or no need. What a purge takes away the
// same purge asked for later takes away too, but the first of them keeps its mark, so that what is there now counts for it. And
// when an entry became stale is to be remembered, so marks of soft purges stay.
Purges::Mark* Purges::replaceable(Marks& marks, const Purge& purge, std::size_t most) {
  if (purge.soft) return nullptr;
  Mark* last = nullptr;
  std::size_t count = 0;
  for (Mark& mark : marks) {
    if (mark.purge->soft || (purge.by_prefix && mark.purge->names != purge.names)) continue;
    last = &mark;
    ++count;
  }
  return count > 1 || marks.size() >= most ? last : nullptr;
}

void Purges::add(Marks& marks, const Mark& mark, std::size_t most) {
  Mark* const same = replaceable(marks, *mark.purge, most);
  same != nullptr ? void(*same = mark) : marks.push_back(mark);
}

void Purges::add(const std::shared_ptr<Purge>& purge, const LogPosition& position) {
  // What is noted of a purge that then cannot be noted in full is swept, and forgotten, with the next.
  const Mark mark{position, purge, number_ + 1};
  if (waiting_.size() == waiting_.capacity()) waiting_.reserve(2 * waiting_.size() + 4);
  newest_ = position.sequence;
  if (purge->by_prefix) {
    add(prefixes_, mark, most_prefixes);
  } else {
    work::nodes(purge->names.size());
    for (const std::string& tag : purge->names) {
      const auto [at, fresh] = tags_.try_emplace(tag);
      if (fresh) tag_bytes_ += tag.size();
      const std::size_t before = at->second.size();
      add(at->second, mark, most_marks);
      marks_ += at->second.size() - before;
    }
  }
  waiting_.push_back({purge, ++number_});
}

void Purges::end_round() {
  const auto over = [this](const Mark& mark) { return mark.number <= round_; };
  work::nodes(prefixes_.size() + tags_.size() + waiting_.size());
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

namespace {
constexpr std::size_t node = 128;  // of a tag
}  // namespace

std::size_t Purges::most_memory_of(const Purge& purge) {
  constexpr std::size_t growth = 2;  // of vectors
  std::size_t bytes = growth * sizeof(Waiting);
  if (purge.by_prefix) return bytes + growth * sizeof(Mark);
  for (const std::string& tag : purge.names) bytes += node + sizeof(void*) + tag.size() + sizeof(Mark);
  return bytes;
}

std::size_t Purges::memory() const {
  return sizeof *this + prefixes_.capacity() * sizeof(Mark) + waiting_.capacity() * sizeof(Waiting) +
         tags_.bucket_count() * sizeof(void*) + tags_.size() * node + tag_bytes_ + marks_ * sizeof(Mark);
}

}  // namespace pinfold::store
