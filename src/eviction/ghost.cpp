#include "pinfold/eviction/ghost.hpp"

#include <algorithm>

#include "pinfold/base/prefetch.hpp"
#include "pinfold/base/work.hpp"

namespace pinfold::eviction {

namespace {

constexpr std::size_t ways = 8;
constexpr unsigned age_bits = 12;
constexpr std::uint32_t age_mask = (1U << age_bits) - 1;
// In ticks: a quarter of what the age bits can count. Long before an age wraps, its word is the oldest of its sixteen and is
// replaced.
constexpr std::uint64_t lifetime = 1U << (age_bits - 2);

// 0 marks a free word, so a fingerprint is never 0.
std::uint32_t fingerprint(std::uint64_t hash) { return (static_cast<std::uint32_t>(hash >> 8) & 0xfffff) | 1U; }

}  // namespace

Ghost::Words::~Words() {
  if (words_.empty()) return;
  if (pages_ != nullptr) {
    pages_->give_back(words_);
  } else {
    GhostPages::unmap(words_);
  }
}

bool Ghost::Words::provide(std::size_t pages) {
  constexpr std::size_t page = 4096 / sizeof(std::uint32_t);
  const std::size_t end = std::min(words_.size(), provided_ + pages * page);
  for (; provided_ < end; provided_ += page) {
    work::nodes();
    volatile std::uint32_t& word = words_[provided_];
    word = word;
  }
  return provided_ < words_.size();
}

std::size_t Ghost::Table::words_for(std::size_t capacity) { return (capacity + ways - 1) / ways * ways; }

Ghost::Table::Table(std::size_t capacity, std::span<std::uint32_t> words, GhostPages* pages)
    : words_(words, pages), per_tick_(std::max<std::uint64_t>(capacity / lifetime, 1)) {}

std::array<std::span<std::uint32_t>, 2> Ghost::Table::buckets_of(std::uint64_t hash) const {
  // The hash is mixed first, because a store may have chosen the shard by some of its bits. Without mixing, the entries of one shard
  // could share buckets.
  const std::uint64_t mixed = hash * 0x9e3779b97f4a7c15ULL;
  const std::uint64_t buckets = words_.all().size() / ways;
  const auto bucket = [&](std::uint64_t bits) { return words_.all().subspan((bits * buckets >> 32) * ways, ways); };
  return {bucket(mixed >> 32), bucket((mixed ^ mixed >> 32) & 0xffffffff)};
}

std::uint32_t Ghost::Table::age(std::uint32_t word) const { return (static_cast<std::uint32_t>(clock_ / per_tick_) - word) & age_mask; }

void Ghost::Table::prefetch(std::uint64_t hash) const {
  for (const auto bucket : buckets_of(hash)) pinfold::prefetch(bucket.data());
}

void Ghost::Table::put(std::uint64_t hash) {
  const std::uint32_t mark = fingerprint(hash);
  const auto buckets = buckets_of(hash);
  std::uint32_t* oldest = buckets[0].data();
  for (const auto bucket : buckets) {
    for (std::uint32_t& word : bucket) {
      if (*oldest != 0 && (word == 0 || age(word) > age(*oldest))) oldest = &word;
    }
  }
  *oldest = mark << age_bits | (static_cast<std::uint32_t>(clock_ / per_tick_) & age_mask);
}

std::optional<std::uint64_t> Ghost::Table::take(std::uint64_t hash) {
  const std::uint32_t mark = fingerprint(hash);
  for (const auto bucket : buckets_of(hash)) {
    for (std::uint32_t& word : bucket) {
      if (word != 0 && word >> age_bits == mark) return age(std::exchange(word, 0)) * per_tick_;
    }
  }
  return std::nullopt;
}

void Ghost::resize(std::size_t capacity) {
  // A ghost becomes smaller when memory is being given back, so the old table is not kept beside a smaller one.
  if (capacity < capacity_) previous_ = {};
  capacity_ = capacity;
  next_ = {};
  const std::size_t words = Table::words_for(capacity);
  if (pages_ != nullptr) {
    drop_order();
    order_ = pages_->order(words);
    return;
  }
  next_ = Table(capacity, GhostPages::map(words), nullptr);
  if (next_.empty()) return;
  if (!next_.provide(few_pages)) install();
}

void Ghost::clear() {
  capacity_ = 0;
  until_forgotten_ = 0;
  current_ = {};
  previous_ = {};
  next_ = {};
  drop_order();
}

void Ghost::drop_order() {
  if (order_ != nullptr && order_->has_come()) next_ = Table(capacity_, order_->take(), pages_);
  next_ = {};
  order_.reset();
}

bool Ghost::provide(std::size_t pages) {
  if (order_ != nullptr) {
    if (!order_->has_come()) return true;
    next_ = Table(capacity_, order_->take(), pages_);
    order_.reset();
  }
  if (next_.empty()) return false;
  if (next_.provide(pages)) return true;
  install();
  return false;
}

void Ghost::install() {
  previous_ = {};
  if (!current_.empty() && current_.memory() <= next_.memory()) previous_ = std::move(current_);
  current_ = {};
  current_ = std::move(next_);
  next_ = {};
  until_forgotten_ = capacity_;
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
