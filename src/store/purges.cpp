#include "pinfold/store/purges.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

bool Purge::covers(std::string_view key, const Extra& extra) const {
  work::nodes();
  if (by_prefix) return key.starts_with(names[0]);
  return extra.any_tag([&](std::string_view tag) { return std::ranges::binary_search(names, tag); });
}

std::uint32_t Purge::stale_ms(std::string_view key) const {
  const std::shared_ptr<PurgeOwner> there = owner.lock();
  return there != nullptr ? there->stale_ms(key) : 0;
}

void Purge::swept(const std::shared_ptr<Purge>& purge) {
  if (purge->unswept.fetch_sub(1, std::memory_order_acq_rel) == 1 && purge->marks != nullptr) purge->marks->swept(purge);
}

// The table is gone, and with it everything that was to be swept.
Purges::~Purges() {
  for (const Mark& mark : waiting_) Purge::swept(mark.purge);
}

bool Purges::has_room_for(const Purge& purge) {
  return !purge.by_prefix || prefixes_.size() < most_prefixes || replaceable(purge) != nullptr;
}

namespace {

// A step in a map or list counts as so many bytes: it fetches a cache line, which takes about as long as hashing one.
constexpr std::size_t place = 64;

// The steps of a binary search among the names of a purge.
std::size_t search_in(const Purge& purge) { return static_cast<std::size_t>(std::bit_width(purge.names.size())); }

}  // namespace

std::size_t Purges::most_looked_at(std::string_view key, const char* extra) const {
  std::size_t bytes = prefixes_.size() * Prefixes<Purge*>::item_size() + (prefixes_.size() > 0 ? key.size() : 0);
  if (extra == nullptr || purges_of_tags_ == 0) return bytes;
  const std::size_t tags = Extra::read(extra).tags.size();
  constexpr std::size_t shortest = 2;  // bytes of a tag with its length byte
  bytes += tags + std::min(tags / shortest, most_tags_of_entry) * 2 * place;
  return bytes;
}

// Asks the pending purges from `first` on. They began after the entry was written, so only they can hit it.
Purge* Purges::match_from(std::size_t first, std::string_view key, const char* extra, std::size_t& looked_at) const {
  Found found;
  const std::uint64_t number = waiting_[first].number;
  looked_at += prefixes_.for_each_of(key, [&](Purge* purge) {
    if (purge->number >= number) found.add(*purge);
  });
  if (extra != nullptr && purges_of_tags_ > 0) {
    const Extra tags = Extra::read(extra);
    if (!tags.tags.empty() && !ask_purges(first, tags, found, looked_at)) ask_tags(first, tags, found, looked_at);
  }
  return found.hard != nullptr ? found.hard : found.soft;
}

// Looks for each tag of the entry among the names of each purge. With few purges and names that takes less time than
// ask_tags(). Returns false, and has done nothing, if they are not few.
bool Purges::ask_purges(std::size_t first, const Extra& extra, Found& found, std::size_t& looked_at) const {
  constexpr std::size_t few = 8;
  std::size_t steps = waiting_.size() - first;
  if (steps > few) return false;
  for (std::size_t i = first; i < waiting_.size(); ++i) steps += waiting_[i].purge->by_prefix ? 0 : search_in(*waiting_[i].purge);
  if (steps > 2 * few) return false;
  constexpr std::size_t step = 8;
  for (std::size_t i = first; i < waiting_.size(); ++i) {
    Purge& purge = *waiting_[i].purge;
    // A purge by prefix may have been found before; it may be older or younger than this one.
    if (found.hard != nullptr && found.hard->number < purge.number) break;
    if (purge.by_prefix || (purge.soft && found.soft != nullptr && found.soft->number < purge.number)) continue;
    const bool tagged = extra.any_tag([&](std::string_view tag) {
      looked_at += search_in(purge) * step;
      return std::ranges::binary_search(purge.names, tag);
    });
    if (tagged) found.add(purge);
  }
  return true;
}

// Looks each tag of the entry up among all marked tags.
void Purges::ask_tags(std::size_t first, const Extra& extra, Found& found, std::size_t& looked_at) const {
  const Purge& oldest = *waiting_[first].purge;
  const std::uint64_t newest_database = waiting_.back().purge->database;
  const TagMarks::Look look(tags_);
  extra.any_tag([&](std::string_view tag) {
    looked_at += tag.size() + place;
    for (const bool soft : {false, true}) {
      const auto marks = look.marks_of(tag, soft, oldest.database, oldest.number);
      for (std::size_t i = 0; i < marks.size() && marks[i].soft == soft && marks[i].database <= newest_database; ++i) {
        looked_at += place / 2;
        Purge* const purge = marks[i].number >= oldest.number ? find(marks[i].number) : nullptr;
        if (purge == nullptr) continue;
        found.add(*purge);
        // The marks of one database are in the order of their numbers, so the following ones are of later purges.
        if (oldest.database == newest_database) break;
      }
    }
    // Stops when the remaining tags cannot change the result.
    return found.hard == &oldest || (found.soft == &oldest && hard_of_tags_ == 0);
  });
}

// The purge whose prefix need not be compared any more once `purge` has been added; null if there is none. It follows
// the rules of TagMarks::replaceable().
Purge* Purges::replaceable(const Purge& purge) const {
  if (purge.soft) return nullptr;
  Purge* last = nullptr;
  std::size_t count = 0;
  prefixes_.for_each([&](Purge* other) {
    if (other->soft || other->names != purge.names) return;
    if (last == nullptr || other->number > last->number) last = other;
    ++count;
  });
  return count > 1 || prefixes_.size() >= most_prefixes ? last : nullptr;
}

void Purges::add(const std::shared_ptr<Purge>& purge, const LogPosition& position) {
  Purge* const same = purge->by_prefix ? replaceable(*purge) : nullptr;
  waiting_.push_back({position, purge, purge->number});
  try {
    if (same != nullptr) prefixes_.remove_if([same](const Purge* other) { return other == same; });
    if (purge->by_prefix) prefixes_.add(purge->names[0], purge.get());
  } catch (...) {
    waiting_.pop_back();
    throw;
  }
  newest_ = position.sequence;
  count(*purge, 1);
}

void Purges::count(const Purge& purge, int sign) {
  if (purge.by_prefix) return;
  purges_of_tags_ += static_cast<std::size_t>(sign);
  if (!purge.soft) hard_of_tags_ += static_cast<std::size_t>(sign);
}

bool Purges::end_round() {
  work::nodes(prefixes_.size());
  prefixes_.remove_if([this](const Purge* purge) { return purge->number <= round_; });
  for (std::size_t left = most_forgotten; !waiting_.empty() && waiting_.front().number <= round_; --left) {
    if (left == 0) return true;
    count(*waiting_.front().purge, -1);
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
  constexpr std::size_t growth = 2;  // a vector may have twice the capacity that it needs
  return sizeof(Mark) + (purge.by_prefix ? growth * Prefixes<Purge*>::item_size() : 0);
}

std::size_t Purges::memory() const {
  constexpr std::size_t chunk = 512;  // bytes; a deque has at most two that its elements do not fill
  return sizeof *this + prefixes_.capacity() * Prefixes<Purge*>::item_size() + waiting_.size() * sizeof(Mark) + 2 * chunk;
}

}  // namespace pinfold::store
