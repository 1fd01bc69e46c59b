#include "pinfold/store/tag_marks.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/store/purges.hpp"

namespace pinfold::store {

namespace {
constexpr std::size_t node = 128;  // bytes of a tag's node in the map, without its text and marks
}  // namespace

std::span<const TagMarks::Mark> TagMarks::Look::marks_of(std::string_view tag, bool soft, std::uint64_t database,
                                                         std::uint64_t number) const {
  const auto found = marks_.tags_.find(tag);
  if (found == marks_.tags_.end()) return {};
  return {std::ranges::lower_bound(found->second, Mark{soft, database, number}), found->second.end()};
}

std::size_t TagMarks::most_memory_of(const Purge& purge) {
  std::size_t bytes = 0;
  for (const std::string& tag : purge.names) bytes += node + tag.size() + sizeof(Mark);
  return purge.by_prefix ? 0 : bytes;
}

void TagMarks::account(std::int64_t tags, std::int64_t marks, std::int64_t tag_bytes) {
  memory_.add(Use::coalescing, tags * static_cast<std::int64_t>(node) + marks * static_cast<std::int64_t>(sizeof(Mark)) + tag_bytes);
}

bool TagMarks::has_room_for(const Purge& purge) const {
  const std::shared_lock lock(mutex_);
  std::size_t fresh = 0;
  for (const std::string& tag : purge.names) {
    const auto found = tags_.find(tag);
    if (found == tags_.end()) {
      ++fresh;
      continue;
    }
    const auto same = [&](const Mark& mark) { return mark.database == purge.database; };
    const auto count = static_cast<std::size_t>(std::ranges::count_if(found->second, same));
    if (count >= most_marks && replaceable(const_cast<Marks&>(found->second), purge) == nullptr) return false;
  }
  return tags_.size() + fresh <= most_tags;
}

// The mark of a tag that can be removed because `purge` purges the same tag again; null if there is none, or no need to. A
// later purge removes everything that an earlier one does. So of several purges only the first and the last need a
// mark: the last because it hits the most entries, the first so that what it hits is counted as its own. When the tag
// has most_marks marks, the first may lose its mark too. Marks of soft purges stay, because it matters when an entry
// became stale.
TagMarks::Mark* TagMarks::replaceable(Marks& marks, const Purge& purge) {
  if (purge.soft) return nullptr;
  Mark* last = nullptr;
  std::size_t hard = 0;
  std::size_t all = 0;
  for (Mark& mark : marks) {
    if (mark.database != purge.database || mark.number == purge.number) continue;
    ++all;
    if (mark.soft) continue;
    last = &mark;
    ++hard;
  }
  return hard > 1 || all >= most_marks ? last : nullptr;
}

void TagMarks::mark(const std::string& tag, const Purge& purge) {
  const auto [at, fresh] = tags_.try_emplace(tag);
  Marks& marks = at->second;
  const Mark mark{purge.soft, purge.database, purge.number};
  try {
    marks.insert(std::ranges::upper_bound(marks, mark), mark);
  } catch (const std::bad_alloc&) {
    if (fresh) tags_.erase(at);
    throw;
  }
  account(fresh ? 1 : 0, 1, fresh ? static_cast<std::int64_t>(tag.size()) : 0);
}

void TagMarks::add(const Purge& purge) {
  const std::unique_lock lock(mutex_);
  if (tags_.empty()) tags_.reserve(most_tags);  // so that the map is never rehashed with all shards locked
  for (const std::string& tag : purge.names) mark(tag, purge);
  work::entries(purge.names.size());
}

void TagMarks::supersede(const Purge& purge) {
  const std::unique_lock lock(mutex_);
  for (const std::string& tag : purge.names) {
    Marks& marks = tags_.find(tag)->second;
    Mark* const old = replaceable(marks, purge);
    if (old == nullptr) continue;
    marks.erase(marks.begin() + (old - marks.data()));
    account(0, -1, 0);
  }
}

void TagMarks::forget(const Purge& purge, std::size_t first, std::size_t count) {
  const std::unique_lock lock(mutex_);
  for (const std::size_t end = std::min(first + count, purge.names.size()); first < end; ++first) {
    const auto at = tags_.find(purge.names[first]);
    if (at == tags_.end()) continue;
    const auto gone = std::erase_if(at->second, [&](const Mark& mark) { return mark.number == purge.number; });
    const bool last = at->second.empty();
    account(last ? -1 : 0, -static_cast<std::int64_t>(gone), last ? -static_cast<std::int64_t>(at->first.size()) : 0);
    if (last) tags_.erase(at);
  }
}

void TagMarks::swept(const std::shared_ptr<Purge>& purge) {
  const std::lock_guard lock(swept_mutex_);
  purge->next = std::exchange(swept_, purge);
}

bool TagMarks::forget_some() {
  if (forgetting_ == nullptr) {
    const std::lock_guard lock(swept_mutex_);
    if (swept_ == nullptr) return false;
    forgetting_ = std::exchange(swept_, std::move(swept_->next));
    forgotten_ = 0;
  }
  if (!forgetting_->by_prefix && forgotten_ < forgetting_->names.size()) {
    forget(*forgetting_, forgotten_, most_forgotten);
    forgotten_ += most_forgotten;
    return true;
  }
  const std::shared_ptr<Purge> purge = std::move(forgetting_);
  if (const auto owner = purge->owner.lock()) owner->over(purge);
  return true;
}

}  // namespace pinfold::store
