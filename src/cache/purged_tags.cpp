#include "pinfold/cache/purged_tags.hpp"

#include <algorithm>
#include <bit>
#include <new>

#include "pinfold/base/work.hpp"
#include "pinfold/store/extra.hpp"

namespace pinfold::cache {

namespace {

// What one purge of a tag takes in the map and in the queue.
std::size_t bytes_of(const std::string& tag) {
  constexpr std::size_t nodes = 160;
  return nodes + tag.size();
}

}  // namespace

PurgedTags::~PurgedTags() {
  for (const Noted& noted : order_) {
    memory_.add(store::Use::coalescing, -static_cast<std::int64_t>(bytes_of(noted.tag->first.second)));
  }
}

std::uint64_t PurgedTags::begin_lease() {
  const std::lock_guard lock(mutex_);
  ++alive_[last_purge_];
  return last_purge_;
}

std::uint64_t PurgedTags::number_purge() {
  const std::lock_guard lock(mutex_);
  return ++last_purge_;
}

std::uint64_t PurgedTags::oldest() const {
  const std::lock_guard lock(mutex_);
  return alive_.empty() ? last_purge() : alive_.begin()->first;
}

void PurgedTags::end_lease(std::uint64_t purge_number) {
  const std::lock_guard lock(mutex_);
  const auto here = alive_.find(purge_number);
  if (here == alive_.end() || --here->second > 0) return;
  alive_.erase(here);
}

std::size_t PurgedTags::memory_of(const std::vector<std::string>& tags) {
  std::size_t bytes = 0;
  for (const std::string& tag : tags) bytes += bytes_of(tag);
  return bytes;
}

void PurgedTags::note(unsigned db, const std::vector<std::string>& tags, bool room) {
  const std::lock_guard lock(mutex_);
  ++last_purge_;
  forget(most_forgotten);
  if (alive_.empty()) return;
  if (!room || order_.size() + tags.size() > most_remembered) {
    barrier_ = last_purge_;
    return;
  }
  work::nodes(tags.size());
  try {
    for (const std::string& tag : tags) remember(db, tag);
  } catch (const std::bad_alloc&) {
    barrier_ = last_purge_;
  }
}

void PurgedTags::remember(unsigned db, const std::string& tag) {
  order_.push_back({last_purge(), tags_.end()});
  try {
    order_.back().tag = tags_.try_emplace(Name(db, tag)).first;
  } catch (const std::bad_alloc&) {
    order_.pop_back();
    throw;
  }
  std::uint64_t& last = order_.back().tag->second;
  if (last == last_purge_) return order_.pop_back();  // the purge names the tag twice
  last = last_purge_;
  memory_.add(store::Use::coalescing, static_cast<std::int64_t>(bytes_of(tag)));
}

// Forgets up to `most` purges that no lease needs any more: those before the grant of the oldest lease that may still
// fill. Returns true if there are more. Called with mutex_ held.
bool PurgedTags::forget(std::size_t most) {
  const std::uint64_t oldest = std::max(barrier_, alive_.empty() ? last_purge() : alive_.begin()->first);
  for (; !order_.empty() && order_.front().number <= oldest; --most) {
    work::nodes();
    if (most == 0) return true;
    const Noted noted = order_.front();
    order_.pop_front();
    memory_.add(store::Use::coalescing, -static_cast<std::int64_t>(bytes_of(noted.tag->first.second)));
    if (noted.tag->second == noted.number) tags_.erase(noted.tag);
  }
  return false;
}

bool PurgedTags::purged_since(unsigned db, std::uint64_t purge_number, std::string_view encoded_tags, std::size_t& looked_at) const {
  if (encoded_tags.empty()) return false;
  const std::lock_guard lock(mutex_);
  if (purge_number < barrier_) return true;
  const auto since = std::ranges::upper_bound(order_, purge_number, {}, &Noted::number);
  const auto purged = static_cast<std::size_t>(order_.end() - since);
  if (purged == 0) return false;
  store::Extra extra;
  extra.tags = encoded_tags;
  looked_at += encoded_tags.size();
  // Comparing the tags with few purges takes less time than looking each of them up among all that are remembered.
  constexpr std::size_t few = 4;
  constexpr std::size_t step = 8;
  if (purged <= few) {
    return extra.any_tag([&](std::string_view tag) {
      looked_at += purged * step;
      return std::any_of(since, order_.end(),
                         [&](const Noted& noted) { return noted.tag->first.first == db && noted.tag->first.second == tag; });
    });
  }
  const std::size_t search = 64 + step * static_cast<std::size_t>(std::bit_width(tags_.size()));
  return extra.any_tag([&](std::string_view tag) {
    looked_at += search;
    const auto found = tags_.find(NameView(db, tag));
    return found != tags_.end() && found->second > purge_number;
  });
}

bool PurgedTags::forget_some(std::size_t most) {
  const std::lock_guard lock(mutex_);
  return forget(most);
}

std::size_t PurgedTags::remembered() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

}  // namespace pinfold::cache
