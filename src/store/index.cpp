#include "pinfold/store/index.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

Index::Index(Memory& memory) : memory_(memory), directory_(memory) {
  Bucket* first = allocate(step);
  if (first == nullptr) throw std::bad_alloc();
  point(0, 0, Group(first, step, 0));
}

Index::~Index() {
  while (!dismantle(SIZE_MAX)) {
  }
}

bool Index::dismantle(std::size_t groups) {
  std::size_t freed = 0;
  for (; freed < groups && !no_groups_; ++freed) {
    const Group group = group_of(dismantle_at_);
    dismantle_at_ += span_of(group.depth());
    no_groups_ = dismantle_at_ == 0;
    release(group);
  }
  return no_groups_ && directory_.dismantle(groups - freed);
}

Index::Bucket* Index::allocate(unsigned count) {
  const std::size_t bytes = block_of(count);
  char* raw = memory_.index_heap().allocate(bytes);
  if (raw == nullptr) return nullptr;
  std::memset(raw, 0, bytes);
  work::bytes(bytes);
  memory_used_ += bytes;
  return reinterpret_cast<Bucket*>(raw);
}

void Index::release(Group group) {
  work::nodes();
  const std::size_t bytes = block_of(group.count());
  memory_used_ -= bytes;
  memory_.index_heap().free(reinterpret_cast<char*>(group.buckets()), bytes);
}

bool Index::put(Bucket& bucket, std::uint8_t tag, Ref ref) {
  const unsigned free = ~bucket.occupied & ((1U << slots) - 1);
  if (free == 0) return false;
  const int at = std::countr_zero(free);
  bucket.tags[at] = tag;
  bucket.refs[at] = ref;
  bucket.occupied = static_cast<std::uint16_t>(bucket.occupied | 1U << at);
  return true;
}

bool Index::place(Group group, std::uint64_t hash, Ref ref) {
  const std::uint8_t tag = tag_of(hash);
  const unsigned home = home_of(hash, group.count());
  const unsigned alternate = alternate_of(home, tag, group.count());
  if (put(group.buckets()[home], tag, ref)) return true;
  if (put(group.buckets()[alternate], tag, ref) || (displace(group, alternate) && put(group.buckets()[alternate], tag, ref))) {
    group.buckets()[home].spilled = std::max<std::uint8_t>(group.buckets()[home].spilled, to_alternate);
    return true;
  }
  if (displace(group, home) && put(group.buckets()[home], tag, ref)) return true;
  return group.buckets()[home].spilled == anywhere && place_anywhere(group, hash, ref);
}

// Puts an entry into the next free slot of the group, because too many entries share its home and tag.
bool Index::place_anywhere(Group group, std::uint64_t hash, Ref ref) {
  const unsigned home = home_of(hash, group.count());
  for (unsigned i = 0; i < group.count(); ++i) {
    if (!put(group.buckets()[(home + i) % group.count()], tag_of(hash), ref)) continue;
    group.buckets()[home].spilled = anywhere;
    return true;
  }
  return false;
}

// Frees a slot of a full bucket, by moving one entry to its other bucket. Returns false if no entry can be moved.
bool Index::displace(Group group, unsigned from) {
  Bucket& bucket = group.buckets()[from];
  for (unsigned i = 0; i < slots; ++i) {
    const unsigned other = alternate_of(from, bucket.tags[i], group.count());
    if (other == from || !put(group.buckets()[other], bucket.tags[i], bucket.refs[i])) continue;
    bucket.occupied = static_cast<std::uint16_t>(bucket.occupied & ~(1U << i));
    // Nothing tells whether this bucket was the home of the entry or its alternate, so it is marked in any case. An
    // entry that overflowed may be moved too: its home says that it lies anywhere.
    bucket.spilled = std::max<std::uint8_t>(bucket.spilled, to_alternate);
    return true;
  }
  return false;
}

void Index::erase(Slot slot) {
  auto& bucket = *static_cast<Bucket*>(slot.bucket);
  const auto at = slot.ref - bucket.refs;
  bucket.occupied = static_cast<std::uint16_t>(bucket.occupied & ~(1U << at));
}

// Adds the references of a group to `items`. The caller has to fill in their hashes.
void Index::gather(Group group, Items& items) {
  for (unsigned b = 0; b < group.count(); ++b) {
    const Bucket& bucket = group.buckets()[b];
    for (unsigned hits = bucket.occupied; hits != 0; hits &= hits - 1) {
      items.all[items.size++].ref = bucket.refs[std::countr_zero(hits)];
    }
  }
}

std::size_t Index::population(Group group) {
  std::size_t entries = 0;
  for (unsigned b = 0; b < group.count(); ++b) {
    entries += static_cast<std::size_t>(std::popcount(group.buckets()[b].occupied));
  }
  return entries;
}

Index::Group Index::build(const Item* items, std::size_t size, unsigned least, unsigned depth) {
  // If this many sizes fail, too many items share home and tag, and no size changes that. These items may then lie
  // anywhere in the group.
  constexpr unsigned most_tries = 3;
  unsigned tries = 0;
  for (unsigned count = least; count <= most_buckets; count = larger(count)) {
    if (size > count * slots) continue;
    Bucket* const buckets = allocate(count);
    if (buckets == nullptr) return {};
    const Group group(buckets, count, depth);
    const bool last = ++tries == most_tries || larger(count) > most_buckets;
    const bool all = std::all_of(
        items, items + size, [&](const Item& i) { return place(group, i.hash, i.ref) || (last && place_anywhere(group, i.hash, i.ref)); });
    if (all) return group;
    work::entries(size);  // for one more attempt: collect() has counted the first
    release(group);
  }
  return {};
}

// Makes the group of `hash` larger, or splits it, and puts `items` there: the entries that it holds and a new one.
// Returns false if that is not possible.
bool Index::grow(std::uint64_t hash, Items& items) {
  while (group_of(hash).count() >= max_buckets) {
    const Group group = group_of(hash);
    if (!may_deepen(hash, group.depth() + 1)) break;
    const std::uint64_t bit = 1ULL << (63 - group.depth());
    const bool together = std::all_of(items.begin(), items.end(), [&](const Item& i) { return (i.hash & bit) == (hash & bit); });
    if (!together) return split(hash, items);
    if (!add_neighbour(hash)) return false;
  }
  return enlarge(hash, items);
}

bool Index::enlarge(std::uint64_t hash, const Items& items) {
  const Group old = group_of(hash);
  const Group larger_one = build(items.all.data(), items.size, larger(old.count()), old.depth());
  if (larger_one.buckets() == nullptr) return false;
  point(hash, old.depth(), larger_one);
  release(old);
  return true;
}

// Whether the group of `hash` may get this depth. If so, the directory has slots for it from now on.
bool Index::may_deepen(std::uint64_t hash, unsigned depth) {
  if (depth > prefix_bits) return false;
  // Random keys need a tenth of a byte of directory each. A few keys that were chosen to lie close together may need more, but
  // they cannot make the directory grow without bound.
  constexpr std::uint64_t most_times = 16;
  constexpr std::uint64_t negligible = 64 * 1024;
  if (directory_.memory() > memory_used_ * most_times + negligible) return false;
  return directory_.tell_apart(hash, depth);
}

// Splits a group whose entries all lie on one side: the group keeps its buckets, and an empty group becomes the other
// side.
bool Index::add_neighbour(std::uint64_t hash) {
  const Group old = group_of(hash);
  const unsigned depth = old.depth() + 1;
  Bucket* const empty = allocate(step);
  if (empty == nullptr) return false;
  point(hash, depth, Group(old.buckets(), old.count(), depth));
  point(hash ^ 1ULL << (64 - depth), depth, Group(empty, step, depth));
  return true;
}

bool Index::split(std::uint64_t hash, Items& items) {
  const Group old = group_of(hash);
  const unsigned depth = old.depth() + 1;
  const std::uint64_t bit = 1ULL << (64 - depth);
  Item* const middle = std::partition(items.begin(), items.end(), [bit](const Item& i) { return (i.hash & bit) == 0; });
  const auto half = [&](Item* first, Item* last) {
    const auto size = static_cast<std::size_t>(last - first);
    return build(first, size, holding(size), depth);
  };
  const Group low = half(items.begin(), middle);
  if (low.buckets() == nullptr) return false;
  const Group high = half(middle, items.end());
  if (high.buckets() == nullptr) {
    release(low);
    return false;
  }
  point(hash & ~bit, depth, low);
  point(hash | bit, depth, high);
  release(old);
  return true;
}

// Replaces the group that starts at `start`, and with `merge` its neighbour too, by a smaller one that holds `items`.
// Returns false if such a group cannot be built; then nothing has changed.
bool Index::replace_by_smaller(std::uint64_t start, bool merge, const Items& items) {
  const Group old = group_of(start);
  const Group buddy = group_of(start + span_of(old.depth()));
  const unsigned depth = merge ? old.depth() - 1 : old.depth();
  const Group smaller = build(items.all.data(), items.size, fitting(items.size), depth);
  if (smaller.buckets() == nullptr) return false;
  point(start, depth, smaller);
  release(old);
  if (merge) release(buddy);
  return true;
}

// Moves a group out of a page with many holes. The heap puts it into a fuller page if there is one; otherwise the move
// is in vain.
void Index::move_out_of_holes(std::uint64_t start) {
  const Group old = group_of(start);
  if (!memory_.index_heap().sparse(reinterpret_cast<const char*>(old.buckets()))) return;
  Bucket* const buckets = allocate(old.count());
  if (buckets == nullptr) return;
  std::copy_n(old.buckets(), old.count(), buckets);
  work::bytes(old.count() * sizeof(Bucket));
  point(start, old.depth(), Group(buckets, old.count(), old.depth()));
  release(old);
}

Index::GroupView Index::view(std::uint32_t prefix, std::uint8_t tag) const {
  const Group group = group_of(std::uint64_t{prefix} << (64 - prefix_bits));
  GroupView result{group.depth(), {}};
  for (unsigned b = 0; b < group.count(); ++b) {
    const Bucket& bucket = group.buckets()[b];
    for (unsigned hits = bucket.occupied; hits != 0; hits &= hits - 1) {
      const int at = std::countr_zero(hits);
      if (bucket.tags[at] >= tag) result.entries.emplace_back(bucket.tags[at], bucket.refs[at]);
    }
  }
  work::entries(result.entries.size());
  return result;
}

Ref Index::sample(std::uint64_t random) const {
  const Group group = group_of(random);
  const Bucket& bucket = group.buckets()[random % group.count()];
  if (bucket.occupied == 0) return 0;
  unsigned skip = static_cast<unsigned>(random >> 8) % static_cast<unsigned>(std::popcount(bucket.occupied));
  unsigned hits = bucket.occupied;
  while (skip-- > 0) hits &= hits - 1;
  return bucket.refs[std::countr_zero(hits)];
}

}  // namespace pinfold::store
