#include "pinfold/eviction/ghost.hpp"

#include <sys/mman.h>

#include <algorithm>

namespace pinfold::eviction {

namespace {

constexpr std::size_t ways = 8;
constexpr unsigned age_bits = 12;
constexpr std::uint32_t age_mask = (1U << age_bits) - 1;
// In ticks; a quarter of what the bits can count. A word that old has 36 newer ones in a bucket of 8: ages that have
// wrapped do not occur.
constexpr std::uint64_t lifetime = 1U << (age_bits - 2);

// 0 marks a free word, so a fingerprint is never 0.
std::uint32_t fingerprint(std::uint64_t hash) { return (static_cast<std::uint32_t>(hash >> 8) & 0xfffff) | 1U; }

}  // namespace

Ghost::Words::Words(std::size_t count) {
  void* const pages = mmap(nullptr, count * sizeof(std::uint32_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages != MAP_FAILED) words_ = {static_cast<std::uint32_t*>(pages), count};
}

Ghost::Words::~Words() {
  if (!words_.empty()) munmap(words_.data(), words_.size_bytes());
}

Ghost::Table::Table(std::size_t capacity)
    : words_((capacity + capacity / 8 + ways - 1) / ways * ways), per_tick_(std::max<std::uint64_t>(capacity / lifetime, 1)) {}

std::span<std::uint32_t> Ghost::Table::bucket_of(std::uint64_t hash) const {
  // The upper half of the hash chooses the bucket, the lower half gives the fingerprint.
  const std::uint64_t bucket = (hash >> 32) * (words_.all().size() / ways) >> 32;
  return words_.all().subspan(bucket * ways, ways);
}

std::uint32_t Ghost::Table::age(std::uint32_t word) const {
  return (static_cast<std::uint32_t>(clock_ / per_tick_) - word) & age_mask;
}

void Ghost::Table::put(std::uint64_t hash) {
  const auto bucket = bucket_of(hash);
  const std::uint32_t mark = fingerprint(hash);
  std::uint32_t* oldest = bucket.data();
  for (std::uint32_t& word : bucket) {
    if (word == 0 || word >> age_bits == mark) {
      oldest = &word;
      break;
    }
    if (age(word) > age(*oldest)) oldest = &word;
  }
  *oldest = mark << age_bits | (static_cast<std::uint32_t>(clock_ / per_tick_) & age_mask);
}

std::optional<std::uint64_t> Ghost::Table::take(std::uint64_t hash) {
  const std::uint32_t mark = fingerprint(hash);
  for (std::uint32_t& word : bucket_of(hash)) {
    if (word == 0 || word >> age_bits != mark) continue;
    return age(std::exchange(word, 0)) * per_tick_;
  }
  return std::nullopt;
}

void Ghost::resize(std::size_t capacity) {
  capacity_ = capacity;
  if (!current_.empty()) previous_ = std::move(current_);
  current_ = Table(capacity);
  until_forgotten_ = capacity;
}

void Ghost::remember(std::uint64_t hash) {
  if (current_.empty()) return;
  current_.advance();
  current_.put(hash);
  if (previous_.empty()) return;
  previous_.advance();
  if (--until_forgotten_ == 0) previous_ = {};
}

std::optional<std::uint64_t> Ghost::take(std::uint64_t hash) {
  std::optional<std::uint64_t> age;
  if (!current_.empty()) age = current_.take(hash);
  if (!age && !previous_.empty()) age = previous_.take(hash);
  return age && *age <= capacity_ ? age : std::nullopt;
}

}  // namespace pinfold::eviction
