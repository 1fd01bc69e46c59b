#include "pinfold/eviction/ghost.hpp"

#include <algorithm>

namespace pinfold::eviction {

namespace {
// 0 marks a free word, so a fingerprint is never 0.
std::uint32_t fingerprint(std::uint64_t hash) { return (static_cast<std::uint32_t>(hash >> 8) & 0xfffff) | 1U; }
}  // namespace

void Ghost::reset(std::size_t capacity) {
  capacity_ = std::max<std::size_t>(capacity, 64);
  per_tick_ = std::max<std::size_t>(capacity_ / lifetime, 1);
  until_tick_ = per_tick_;
  tick_ = 0;
  const std::size_t buckets = capacity_ * 5 / 4 / ways + 1;
  words_.assign(buckets * ways, 0);
  words_.shrink_to_fit();
}

std::uint32_t* Ghost::bucket_of(std::uint64_t hash) {
  // The upper half of the hash chooses the bucket, the lower half gives the fingerprint.
  const std::uint64_t bucket = (hash >> 32) * (words_.size() / ways) >> 32;
  return words_.data() + bucket * ways;
}

void Ghost::remember(std::uint64_t hash) {
  if (words_.empty()) return;
  if (--until_tick_ == 0) {
    until_tick_ = per_tick_;
    tick_ = (tick_ + 1) & age_mask;
  }
  std::uint32_t* const bucket = bucket_of(hash);
  const std::uint32_t mark = fingerprint(hash);
  std::uint32_t* victim = bucket;
  for (std::uint32_t* word = bucket; word != bucket + ways; ++word) {
    if (*word == 0 || *word >> age_bits == mark) {
      victim = word;
      break;
    }
    if (age(*word) > age(*victim)) victim = word;
  }
  *victim = mark << age_bits | tick_;
}

bool Ghost::take(std::uint64_t hash) {
  if (words_.empty()) return false;
  std::uint32_t* const bucket = bucket_of(hash);
  const std::uint32_t mark = fingerprint(hash);
  for (std::uint32_t* word = bucket; word != bucket + ways; ++word) {
    if (*word == 0 || *word >> age_bits != mark) continue;
    // Small ghosts tick once per insertion at most, so their lifetime is the capacity itself.
    const std::size_t newer = age(*word) * per_tick_;
    *word = 0;
    return newer <= capacity_;
  }
  return false;
}

}  // namespace pinfold::eviction
