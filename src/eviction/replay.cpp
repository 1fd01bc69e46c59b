#include "pinfold/eviction/replay.hpp"

#include <algorithm>
#include <utility>

namespace pinfold::eviction {

Replay::Replay(const Options& options)
    : options_(options),
      hash_key_{options.seed, ~options.seed},
      policy_(options.kind, options.seed * 0x9e3779b97f4a7c15ULL),
      random_(options.seed) {}

std::uint64_t Replay::hash_of(std::uint64_t key) const { return siphash13(hash_key_, {reinterpret_cast<const char*>(&key), sizeof key}); }

bool Replay::request(std::uint64_t key, std::uint64_t size, UnixMs expires_at) {
  if (const auto found = index_.find(key); found != index_.end()) {
    unsigned& frequency = slots_[found->second].candidate.frequency;
    frequency = std::min(frequency + 1, most_frequency);
    return true;
  }
  if (size > options_.capacity || !make_room(size)) {
    ++refused_;
    return false;
  }
  std::uint32_t slot = static_cast<std::uint32_t>(slots_.size());
  if (free_slots_.empty()) {
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Entry& entry = slots_[slot];
  entry = {.key = key, .candidate = {.hash = hash_of(key), .bytes = size, .expires_at = expires_at}};
  append(policy_.admit(entry.candidate), slot);
  index_.emplace(key, slot);
  return false;
}

void Replay::append(Queue queue, std::uint32_t slot) {
  const std::uint64_t size = slots_[slot].candidate.bytes;
  Log& segments = log(queue);
  if (segments.empty() || segments.back().used + size > options_.segment) segments.emplace_back();
  segments.back().slots.push_back(slot);
  segments.back().used += size;
  occupancy_[static_cast<unsigned>(queue)] += size;
}

bool Replay::make_room(std::uint64_t size) {
  const std::uint64_t read_before = read_;
  std::uint64_t lowest = used();
  std::uint64_t in_vain = 0;
  while (used() + size > options_.capacity) {
    policy_.fit(entries(), used());
    while (policy_.provide()) {
    }
    const Victim victim = policy_.victim(occupancy_);
    if (victim.pick == Pick::none) return false;
    const std::uint64_t pressure = std::min<std::uint64_t>(in_vain / options_.patience, most_frequency);
    Reading reading{.pressure = static_cast<unsigned>(pressure)};
    const Segment segment = choose(victim, reading.from);
    if (victim.pick == Pick::soonest) {
      std::vector<UnixMs> deadlines;
      for (const std::uint32_t slot : segment.slots) {
        const UnixMs at = slots_[slot].candidate.expires_at;
        if (at != 0) deadlines.push_back(at);
      }
      reading.cutoff = nearer_half(deadlines);
    }
    empty(segment, reading);
    in_vain = used() < lowest ? 0 : in_vain + segment.slots.size();
    lowest = std::min(lowest, used());
  }
  longest_search_ = std::max(longest_search_, read_ - read_before);
  return true;
}

UnixMs Replay::earliest(const Segment& segment) const {
  UnixMs earliest = std::numeric_limits<UnixMs>::max();
  for (const std::uint32_t slot : segment.slots) {
    const UnixMs at = slots_[slot].candidate.expires_at;
    if (at != 0) earliest = std::min(earliest, at);
  }
  return earliest;
}

// Takes the victim's segment out of its queue.
Replay::Segment Replay::choose(const Victim& victim, Queue& from) {
  if (victim.pick == Pick::oldest) {
    from = victim.queue;
    Segment oldest = std::move(log(from).front());
    log(from).pop_front();
    return oldest;
  }
  const auto draw = [this](std::size_t below) {
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth's MMIX
    return static_cast<std::size_t>((random_ >> 33) % below);
  };
  std::size_t segments = 0;
  for (unsigned q = 0; q < queue_count; ++q) {
    if (policy_.reads(static_cast<Queue>(q))) segments += logs_[q].size();
  }
  const auto at = [&](std::size_t n, Queue& queue) {
    for (unsigned q = 0;; ++q) {
      queue = static_cast<Queue>(q);
      if (!policy_.reads(queue)) continue;
      if (n < logs_[q].size()) return n;
      n -= logs_[q].size();
    }
  };
  constexpr std::size_t sample = 64;
  std::size_t chosen = at(draw(segments), from);
  if (victim.pick == Pick::soonest) {
    UnixMs soonest = earliest(log(from)[chosen]);
    for (std::size_t i = 0; i < std::min(sample, segments); ++i) {
      Queue queue{};
      const std::size_t other = at(segments <= sample ? i : draw(segments), queue);
      const UnixMs here = earliest(log(queue)[other]);
      if (here >= soonest) continue;
      soonest = here;
      chosen = other;
      from = queue;
    }
  }
  // The swap changes the order of segments, which matters only to policies that pick the oldest.
  std::swap(log(from)[chosen], log(from).back());
  Segment taken = std::move(log(from).back());
  log(from).pop_back();
  return taken;
}

void Replay::empty(const Segment& segment, const Reading& reading) {
  occupancy_[static_cast<unsigned>(reading.from)] -= segment.used;
  for (const std::uint32_t slot : segment.slots) {
    ++read_;
    Entry& entry = slots_[slot];
    if (const auto queue = policy_.keep(reading, entry.candidate)) {
      append(*queue, slot);
      continue;
    }
    policy_.evicted(reading.from, entry.candidate);
    index_.erase(entry.key);
    free_slots_.push_back(slot);
  }
}

}  // namespace pinfold::eviction
