#include "pinfold/store/index.hpp"

#include "pinfold/base/work.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace pinfold::store {

Index::Index(Memory& memory) : memory_(memory), directory_(1) {
  Bucket* first = allocate(1);
  if (first == nullptr) throw std::bad_alloc();
  directory_[0] = Group(first, 1, 0);
}

Index::~Index() {
  // Neighbours in the directory may be the same group.
  for (std::size_t i = 0; i < directory_.size(); i += std::size_t{1} << (depth_ - directory_[i].depth())) {
    release(directory_[i]);
  }
  memory_.add(Use::index, -static_cast<std::int64_t>(memory_used_));  // what is left: the directory
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
  if (put(group.buckets()[alternate], tag, ref) ||
      (displace(group, alternate) && put(group.buckets()[alternate], tag, ref))) {
    group.buckets()[home].spilled = std::max<std::uint8_t>(group.buckets()[home].spilled, to_alternate);
    return true;
  }
  if (displace(group, home) && put(group.buckets()[home], tag, ref)) return true;
  return group.buckets()[home].spilled == anywhere && place_anywhere(group, hash, ref);
}

// Where there are too many of one home and tag: the next free slot of the group.
bool Index::place_anywhere(Group group, std::uint64_t hash, Ref ref) {
  const unsigned home = home_of(hash, group.count());
  for (unsigned i = 0; i < group.count(); ++i) {
    if (!put(group.buckets()[(home + i) % group.count()], tag_of(hash), ref)) continue;
    group.buckets()[home].spilled = anywhere;
    return true;
  }
  return false;
}

// Moves one entry of a full bucket to the other bucket that it may be in.
bool Index::displace(Group group, unsigned from) {
  Bucket& bucket = group.buckets()[from];
  for (unsigned i = 0; i < slots; ++i) {
    const unsigned other = alternate_of(from, bucket.tags[i], group.count());
    if (other == from || !put(group.buckets()[other], bucket.tags[i], bucket.refs[i])) continue;
    bucket.occupied = static_cast<std::uint16_t>(bucket.occupied & ~(1U << i));
    // Whether this was the entry's home or its alternate cannot be told. (One that overflowed is found anywhere.)
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

std::vector<Ref> Index::references(Group group) const {
  std::vector<Ref> refs;
  refs.reserve(group.count() * slots);
  for (unsigned b = 0; b < group.count(); ++b) {
    const Bucket& bucket = group.buckets()[b];
    for (unsigned hits = bucket.occupied; hits != 0; hits &= hits - 1) refs.push_back(bucket.refs[std::countr_zero(hits)]);
  }
  return refs;
}

std::size_t Index::population(Group group) {
  std::size_t entries = 0;
  for (unsigned b = 0; b < group.count(); ++b) {
    entries += static_cast<std::size_t>(std::popcount(group.buckets()[b].occupied));
  }
  return entries;
}

Index::Group Index::build(const Item* items, std::size_t size, unsigned least, unsigned depth) {
  for (unsigned count = least; count <= 2 * max_buckets; count = count < step ? count * 2 : count + step) {
    Bucket* buckets = allocate(count);
    if (buckets == nullptr) return {};
    const Group group(buckets, count, depth);
    const bool all = std::all_of(items, items + size, [&](const Item& i) { return place(group, i.hash, i.ref); });
    if (all) return group;
    release(group);
  }
  // Too many have home and tag in common, whatever the number of buckets.
  const unsigned count = std::max(least, fitting(size));
  Bucket* buckets = count <= 2 * max_buckets ? allocate(count) : nullptr;
  if (buckets == nullptr) return {};
  const Group group(buckets, count, depth);
  for (std::size_t i = 0; i < size; ++i) {
    if (!place(group, items[i].hash, items[i].ref)) place_anywhere(group, items[i].hash, items[i].ref);
  }
  return group;
}

bool Index::grow(std::uint64_t hash, std::vector<Item>& items) {
  const Group old = group_of(hash);
  if (old.count() >= max_buckets) return split(hash, items);
  const unsigned count = old.count() < step ? old.count() * 2 : old.count() + step;
  const Group bigger = build(items.data(), items.size(), count, old.depth());
  if (bigger.buckets() == nullptr) return false;
  point(hash, old.depth(), bigger);
  release(old);
  return true;
}

bool Index::split(std::uint64_t hash, std::vector<Item>& items) {
  const Group old = group_of(hash);
  const unsigned depth = old.depth() + 1;
  if (depth > prefix_bits) return false;
  const std::uint64_t bit = 1ULL << (64 - depth);
  const auto middle = std::partition(items.begin(), items.end(), [bit](const Item& i) { return (i.hash & bit) == 0; });
  const auto low_size = static_cast<std::size_t>(middle - items.begin());
  std::vector<Group> doubled;
  if (depth > depth_) {
    // Random keys need an eighth of a byte of directory each. Some that were chosen to lie close together get by with
    // more, but cannot buy a directory of any size.
    constexpr std::uint64_t most_times = 16;
    constexpr std::uint64_t negligible = 64 * 1024;
    const std::uint64_t groups = memory_used_ - (directory_.size() - 1) * sizeof(Group);
    if (2 * directory_.size() * sizeof(Group) > groups * most_times + negligible) return false;
    doubled.resize(directory_.size() * 2);
  }
  // Where all lie on one side, the group stays as it is, with a neighbour for the other.
  const bool whole = low_size == 0 || low_size == items.size();
  const auto half = [&](std::size_t first, std::size_t size) {
    if (whole && size > 0) return Group(old.buckets(), old.count(), depth);
    return build(items.data() + first, size, whole ? 1 : max_buckets / 2, depth);
  };
  const Group low = half(0, low_size);
  if (low.buckets() == nullptr) return false;
  const Group high = half(low_size, items.size() - low_size);
  if (high.buckets() == nullptr) {
    if (low.buckets() != old.buckets()) release(low);
    return false;
  }
  if (depth > depth_) {
    for (std::size_t i = 0; i < doubled.size(); ++i) doubled[i] = directory_[i / 2];
    work::bytes(doubled.size() * sizeof(Group));
    memory_.add(Use::index, static_cast<std::int64_t>(directory_.size() * sizeof(Group)));
    memory_used_ += directory_.size() * sizeof(Group);
    directory_.swap(doubled);
    ++depth_;
  }
  point(hash & ~bit, depth, low);
  point(hash | bit, depth, high);
  if (!whole) release(old);
  return true;
}

// Makes every directory slot that shares the top `depth` bits of `prefix` lead to `group`.
void Index::point(std::uint64_t prefix, unsigned depth, Group group) {
  const std::size_t run = std::size_t{1} << (depth_ - depth);
  const std::size_t first = directory_slot(prefix) & ~(run - 1);
  work::bytes(run * sizeof(Group));
  std::fill_n(directory_.begin() + static_cast<std::ptrdiff_t>(first), run, group);
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
