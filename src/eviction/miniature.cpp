#include "pinfold/eviction/miniature.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace pinfold::eviction {

namespace {
constexpr std::uint32_t first_slots = 64;
// How many entries are read in vain before the pressure rises by one, as in a Replay.
constexpr std::uint64_t patience = 4096;
}  // namespace

Miniature::Miniature(Kind kind, std::uint32_t most_entries, std::uint64_t seed)
    : most_entries_(most_entries), policy_(kind, seed), random_(seed | 1) {
  policy_.set_decay(0);  // entries do not know how long they have been in one place
}

std::size_t Miniature::memory() const {
  return slots_.capacity() * sizeof(Slot) + buckets_.capacity() * sizeof(std::uint32_t) + policy_.memory();
}

std::size_t Miniature::most_memory(std::uint32_t most_entries) {
  // A ghost has up to 1.5 times as many words of 4 bytes as there are entries, for each of two tables, and a quarter of that for the
  // main queue (Policy::fit).
  constexpr std::size_t ghosts = 2 * 4 * 3 / 2 * 5 / 4 + 1;
  constexpr std::size_t pages = 4 * 4096;
  return most_entries * (sizeof(Slot) + ghosts) + std::bit_ceil(std::size_t{most_entries}) * sizeof(std::uint32_t) + pages;
}

std::uint32_t Miniature::slot_of(std::uint64_t key) {
  if (buckets_.empty()) return none;
  std::uint32_t at = bucket_of(key);
  while (at != none && slots_[at].entry.key != key) at = slots_[at].chain;
  return at;
}

// Makes more slots, all of them free. Throws std::bad_alloc, with nothing changed.
void Miniature::grow() {
  const auto before = static_cast<std::uint32_t>(slots_.size());
  const std::uint32_t after = std::min(std::max(before * 2, first_slots), most_entries_);
  std::vector<std::uint32_t> buckets(std::bit_ceil(std::max(after, 2U)), none);
  std::vector<Slot> slots;
  slots.reserve(after);
  slots.assign(slots_.begin(), slots_.end());
  slots.resize(after);
  slots_ = std::move(slots);
  buckets_ = std::move(buckets);
  shift_ = 64U - static_cast<unsigned>(std::countr_zero(buckets_.size()));
  for (std::uint32_t at = 0; at < before; ++at) {  // no slot was free
    std::uint32_t& bucket = bucket_of(slots_[at].entry.key);
    slots_[at].chain = std::exchange(bucket, at);
  }
  for (std::uint32_t at = after; at-- > before;) slots_[at].chain = std::exchange(free_, at);
}

Miniature::Entry* Miniature::find(std::uint64_t key, UnixMs now) {
  const std::uint32_t at = slot_of(key);
  if (at == none) return nullptr;
  Entry& entry = slots_[at].entry;
  if (entry.expires_at == 0 || entry.expires_at > now) return &entry;
  remove_slot(at);
  return nullptr;
}

Miniature::Entry* Miniature::read(std::uint64_t key, UnixMs now) {
  if (find(key, now) == nullptr) return nullptr;
  Slot& slot = slots_[slot_of(key)];
  slot.frequency = static_cast<std::uint8_t>(std::min(slot.frequency + 1U, most_frequency));
  slot.entry.read = true;
  return &slot.entry;
}

bool Miniature::store(const Entry& entry) {
  if (const std::uint32_t at = slot_of(entry.key); at != none) {
    Slot& slot = slots_[at];
    const auto queue = static_cast<Queue>(slot.queue);
    Candidate candidate = candidate_of(slot);
    candidate.expires_at = entry.expires_at;
    const Queue next = policy_.requeue(queue, candidate);
    occupancy_[slot.queue] -= slot.entry.bytes;
    occupancy_[slot.queue] += entry.bytes;
    slot.entry = entry;
    if (next != queue) {
      unlink(at);
      append(at, next);
    }
    return true;
  }
  if (entry.bytes > capacity_ || !make_room(entry.bytes)) return true;
  if (free_ == none) {
    if (slots_.size() == most_entries_) return false;
    grow();
  }
  const std::uint32_t at = free_;
  Slot& slot = slots_[at];
  free_ = slot.chain;
  slot.entry = entry;
  slot.frequency = 0;
  std::uint32_t& bucket = bucket_of(entry.key);
  slot.chain = std::exchange(bucket, at);
  ++entries_;
  Candidate candidate = candidate_of(slot);
  const Queue queue = policy_.admit(candidate);
  slot.frequency = static_cast<std::uint8_t>(candidate.frequency);
  append(at, queue);
  return true;
}

void Miniature::remove(std::uint64_t key) {
  if (const std::uint32_t at = slot_of(key); at != none) remove_slot(at);
}

void Miniature::clear() {
  slots_ = {};
  buckets_ = {};
  shift_ = 63;
  free_ = none;
  entries_ = 0;
  queues_ = {};
  occupancy_ = {};
  has_evicted_ = false;
}

Candidate Miniature::candidate_of(const Slot& slot) const {
  return {.hash = slot.entry.key, .bytes = slot.entry.bytes, .frequency = slot.frequency, .expires_at = slot.entry.expires_at};
}

void Miniature::append(std::uint32_t at, Queue queue) {
  Slot& slot = slots_[at];
  slot.queue = static_cast<std::uint8_t>(queue);
  List& list = queues_[slot.queue];
  slot.newer = none;
  slot.older = list.newest;
  (list.newest != none ? slots_[list.newest].newer : list.oldest) = at;
  list.newest = at;
  occupancy_[slot.queue] += slot.entry.bytes;
}

void Miniature::unlink(std::uint32_t at) {
  Slot& slot = slots_[at];
  List& list = queues_[slot.queue];
  (slot.older != none ? slots_[slot.older].newer : list.oldest) = slot.newer;
  (slot.newer != none ? slots_[slot.newer].older : list.newest) = slot.older;
  occupancy_[slot.queue] -= slot.entry.bytes;
}

void Miniature::remove_slot(std::uint32_t at) {
  unlink(at);
  Slot& slot = slots_[at];
  std::uint32_t* link = &bucket_of(slot.entry.key);
  while (*link != at) link = &slots_[*link].chain;
  *link = slot.chain;
  slot.queue = free;
  slot.chain = std::exchange(free_, at);
  --entries_;
}

std::uint64_t Miniature::draw() {
  random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX
  return random_ >> 33;
}

bool Miniature::make_room(std::uint64_t bytes) {
  std::uint64_t lowest = used();
  std::uint64_t in_vain = 0;
  // A pass through everything with the highest pressure evicts whatever may be evicted.
  std::uint64_t left = std::uint64_t{most_frequency + 1} * std::max<std::uint64_t>(patience, entries_);
  while (used() + bytes > capacity_) {
    policy_.fit(entries_, used());
    while (policy_.provide()) {
    }
    const Victim victim = policy_.victim(occupancy_);
    if (victim.pick == Pick::none || left-- == 0) return false;
    const std::uint32_t at = choose(victim);
    if (at == none) return false;
    Slot& slot = slots_[at];
    Reading reading{.from = static_cast<Queue>(slot.queue),
                    .pressure = static_cast<unsigned>(std::min<std::uint64_t>(in_vain / patience, most_frequency)),
                    .cutoff = slot.entry.expires_at};
    Candidate candidate = candidate_of(slot);
    if (const auto queue = policy_.keep(reading, candidate)) {
      unlink(at);
      slot.frequency = static_cast<std::uint8_t>(candidate.frequency);
      append(at, *queue);
    } else {
      policy_.evicted(reading.from, candidate);
      remove_slot(at);
      has_evicted_ = true;
    }
    in_vain = used() < lowest ? 0 : in_vain + 1;
    lowest = std::min(lowest, used());
  }
  return true;
}

// The slot that is read next; none if no entry that may be evicted was met.
std::uint32_t Miniature::choose(const Victim& victim) {
  if (victim.pick == Pick::oldest) return queues_[static_cast<unsigned>(victim.queue)].oldest;
  const auto readable = [this](std::uint32_t at) {
    return slots_[at].queue != free && policy_.reads(static_cast<Queue>(slots_[at].queue));
  };
  const auto size = static_cast<std::uint32_t>(slots_.size());
  // As in the store, the soonest deadline of a sample.
  const unsigned wanted = victim.pick == Pick::soonest ? 64 : 1;
  std::uint32_t chosen = none;
  unsigned met = 0;
  std::uint32_t at = 0;
  for (std::uint32_t tries = 0; tries < size && met < wanted; ++tries) {
    constexpr std::uint32_t random_tries = 256;
    // If there are few among many others, they are looked for one after the other.
    at = tries < random_tries ? static_cast<std::uint32_t>(draw() % size) : (at + 1) % size;
    if (!readable(at)) continue;
    ++met;
    if (chosen == none || slots_[at].entry.expires_at < slots_[chosen].entry.expires_at) chosen = at;
  }
  return chosen;
}

}  // namespace pinfold::eviction
