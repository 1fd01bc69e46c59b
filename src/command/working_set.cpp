#include "pinfold/command/working_set.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "pinfold/base/random.hpp"
#include "pinfold/store/lock_account.hpp"

namespace pinfold::command {

namespace {

using State = WorkingSetEstimate::State;

constexpr std::uint64_t kilobyte = 1024;
constexpr std::uint64_t megabyte = 1024 * kilobyte;
constexpr double second_ms = 1000;

// How much memory the sampling may take, and for what.
struct Sizes {
  std::size_t buffer;     // accesses that wait for the background worker
  std::uint32_t entries;  // that are simulated with the present memory
};
// WorkingSet::most_memory() adds it up.
Sizes sizes_for(std::uint64_t limit) {
  if (limit == 0 || limit >= 96 * megabyte) return {4096, 4096};
  if (limit >= 32 * megabyte) return {2048, 1024};
  if (limit >= 16 * megabyte) return {1024, 512};
  return {512, 128};
}

// Counts fade with this half-life, but not below so many reads of sampled keys.
constexpr double half_life_seconds = 600;
constexpr double least_reads = 10000;
// With fewer, nothing is said.
constexpr double few_reads = 1000;
// The sample is enlarged after so long with a quarter of the accesses and entries that it might have afterwards.
constexpr double patience_seconds = 60;

}  // namespace

double WorkingSetEstimate::uncertainty() const {
  // docs/working-set.md has the figures behind these.
  constexpr std::uint32_t many = 1000;
  constexpr std::uint32_t some = 250;
  if (halvings == 0 || entries >= many) return 1;
  return entries >= some ? 3 : 5;
}

std::optional<std::uint64_t> WorkingSetEstimate::memory_for(double hit_ratio) const {
  const auto bytes = [this](double factor) { return static_cast<std::uint64_t>(static_cast<double>(memory) * factor); };
  if (hit_ratios[0] >= hit_ratio) return bytes(factors[0]);
  for (std::size_t i = 1; i < factors.size(); ++i) {
    if (hit_ratios[i] < hit_ratio) continue;
    // Between two points the hit ratio rises about as the logarithm of the memory.
    const double part = (hit_ratio - hit_ratios[i - 1]) / (hit_ratios[i] - hit_ratios[i - 1]);
    return bytes(factors[i - 1] * std::pow(factors[i] / factors[i - 1], part));
  }
  return std::nullopt;
}

// In one shard. Purges, FLUSHALL and SWAPDB do not come through Database.
class WorkingSet::Removals final : public store::Observer {
 public:
  Removals(store::Keyspace& keyspace, unsigned shard)
      : keyspace_(keyspace),
        subscription_(keyspace.changes(shard), *this,
                      {store::Cause::purged, store::Cause::purged_soft, store::Cause::flushed, store::Cause::exchanged}) {}

  void listen(bool on) {
    if (subscription_.listening() != on) subscription_.listen(on);
  }

  void changed(const store::Change& change) noexcept override {
    using Kind = eviction::SampledAccess::Kind;
    const bool whole = change.cause == store::Cause::flushed || change.cause == store::Cause::exchanged;
    if (!whole && !keyspace_.samples().takes(change.key.hash)) return;
    if (whole && !keyspace_.samples().on()) return;
    keyspace_.samples().note({.position = whole ? 0 : eviction::sample_position(change.key.hash),
                              .now = change.now,
                              .kind = whole ? Kind::flush : Kind::remove,
                              .database = static_cast<std::uint8_t>(change.db),
                              .found = !whole});
  }

 private:
  store::Keyspace& keyspace_;
  store::Changes::Subscription subscription_;
};

WorkingSet::WorkingSet(store::Keyspace& keyspace) : keyspace_(keyspace) {
  for (unsigned shard = 0; shard < keyspace.shard_count(); ++shard) removals_.push_back(std::make_unique<Removals>(keyspace, shard));
}

WorkingSet::~WorkingSet() { stop(); }

std::size_t WorkingSet::most_memory(std::uint64_t limit) {
  if (limit != 0 && limit < least_memory) return 0;
  const Sizes sizes = sizes_for(limit);
  return eviction::MissRatioCurve::most_memory(sizes.entries) + 2 * sizes.buffer * sizeof(eviction::SampledAccess);
}

void WorkingSet::start() {
  const Sizes sizes = sizes_for(keyspace_.memory().limit());
  most_entries_ = sizes.entries;
  taken_.reserve(sizes.buffer);
  curve_.emplace(keyspace_.policy(), sizes.entries, random_u64());
  keyspace_.samples().start(curve_->threshold(), sizes.buffer);
  if (keyspace_.stats().entries != 0) curve_->enlarge(0);  // `metrics` was switched on: nothing counts until the simulated caches are full
  for (unsigned shard = 0; shard < removals_.size(); ++shard) {
    keyspace_.with_locked(shard, [&] { removals_[shard]->listen(true); });
  }
}

void WorkingSet::stop() {
  if (!curve_) return;
  keyspace_.samples().stop();
  for (unsigned shard = 0; shard < removals_.size(); ++shard) {
    keyspace_.with_locked(shard, [&] { removals_[shard]->listen(false); });
  }
  curve_.reset();
  taken_ = {};
  done_ = 0;
  counted_.reset();
  account();
}

bool WorkingSet::step() {
  constexpr std::size_t at_once = 256;
  if (!curve_) return false;
  if (done_ == taken_.size()) {
    taken_.clear();
    done_ = 0;
    keyspace_.samples().take(taken_);
  }
  const unsigned before = curve_->halvings();
  const std::size_t end = std::min(taken_.size(), done_ + at_once);
  for (; done_ < end; ++done_) {
    ++accesses_;
    try {
      curve_->note(taken_[done_]);
    } catch (const std::bad_alloc&) {  // one access more that is not known
    }
  }
  if (curve_->halvings() != before) keyspace_.samples().set_threshold(curve_->threshold());
  return done_ < taken_.size();
}

// The part of the time for which the busiest thread was busy since the last call.
double WorkingSet::take_busy(std::span<const std::uint64_t> busy_ns, double seconds) {
  double busiest = 0;
  for (std::size_t i = 0; i < std::min(busy_ns.size(), busy_ns_.size()); ++i) {
    const std::uint64_t grown = busy_ns[i] - std::min(busy_ns[i], busy_ns_[i]);  // CONFIG RESETSTAT may have come between
    busiest = std::max(busiest, static_cast<double>(grown) / 1e9 / seconds);
  }
  busy_ns_.assign(busy_ns.begin(), busy_ns.end());
  return busiest;
}

// How many accesses come, and whether that calls for another sample.
void WorkingSet::follow_rate(double seconds, double busy) {
  const std::uint64_t dropped = keyspace_.samples().dropped();
  double rate = static_cast<double>(accesses_ + (dropped - std::exchange(dropped_, dropped))) / seconds;
  accesses_ = 0;
  const unsigned before = curve_->halvings();
  constexpr unsigned most_halvings = 24;
  const unsigned least_halvings = busy > 0.5 ? halvings_when_busy : 0;
  while (curve_->halvings() < least_halvings || (rate > most_per_second && curve_->halvings() < most_halvings)) {
    curve_->halve();
    rate /= 2;
  }
  constexpr double room = 4;  // after the sample was doubled
  const bool quiet = busy < 0.25 && curve_->halvings() > 0 && rate * 2 * room < most_per_second && curve_->fullness() * 2 * room < 1;
  quiet_seconds_ = quiet ? quiet_seconds_ + seconds : 0;
  if (quiet_seconds_ >= patience_seconds) {
    curve_->enlarge(curve_->halvings() - 1);
    quiet_seconds_ = 0;
  }
  if (curve_->halvings() != before) keyspace_.samples().set_threshold(curve_->threshold());
}

void WorkingSet::follow_keyspace(double seconds) {
  const store::KeyspaceStats now = keyspace_.stats();
  curve_->set_kind(keyspace_.policy());
  // What entries would take if the free memory were full of them. Some of it is lost to segments that are not full.
  constexpr double yield = 0.9;
  const store::Memory& memory = keyspace_.memory();
  const std::uint64_t limit = memory.limit();
  const std::uint64_t free = limit - std::min(limit, memory.data());
  const auto full = static_cast<std::uint64_t>(static_cast<double>(free) * yield) + now.entry_bytes;
  curve_->set_capacity(limit != 0 ? std::optional(full) : std::nullopt, now.entry_bytes);
  // What was bypassed says nothing of the memory.
  const auto misses = [](const store::KeyspaceStats& stats) { return stats.misses - stats.bypassed; };
  if (counted_ && now.hits >= counted_->hits && misses(now) >= misses(*counted_)) {  // else CONFIG RESETSTAT came between
    curve_->count(static_cast<double>(now.hits - counted_->hits), static_cast<double>(misses(now) - misses(*counted_)));
  }
  counted_ = now;
  curve_->filled(now.entries, now.entry_bytes);
  if (curve_->reads() > least_reads) curve_->fade(std::exp2(-seconds / half_life_seconds));
}

void WorkingSet::tick(bool on, MonoMs now, std::span<const std::uint64_t> busy_ns) {
  const bool changed = on != std::exchange(was_on_, on);
  const double ms = static_cast<double>(now - ticked_);
  if (!changed && ms < second_ms) return;
  ticked_ = now;
  const store::HoldCause cause("working-set");
  const double busy = take_busy(busy_ns, ms / second_ms);
  const std::uint64_t limit = keyspace_.memory().limit();
  const bool small = limit != 0 && limit < least_memory;
  const bool wanted = on && !small && keyspace_.policy() != eviction::Kind::noeviction;
  try {
    // After a change of maxmemory from one class of sizes to another, it begins anew.
    if (!wanted || sizes_for(limit).entries != most_entries_) stop();
    if (wanted && !curve_) {
      start();
      follow_keyspace(0);
    } else if (wanted) {
      follow_rate(ms / second_ms, busy);
      follow_keyspace(ms / second_ms);
    }
  } catch (const std::bad_alloc&) {
    stop();
  }
  account();
  State state = State::off;
  if (curve_) {
    state = curve_->reads() < few_reads ? State::warming : State::known;
  } else if (on) {
    state = small ? State::small : wanted ? State::warming : State::no_policy;  // wanted, and there was no memory for it
  }
  publish(state);
}

void WorkingSet::account() {
  std::int64_t bytes = 0;
  if (curve_) {
    bytes = static_cast<std::int64_t>(curve_->memory() + 2 * taken_.capacity() * sizeof(eviction::SampledAccess));
  }
  keyspace_.memory().add(store::Use::sampling, bytes - std::exchange(accounted_, bytes));
}

void WorkingSet::publish(State state) {
  WorkingSetEstimate next;
  next.state = state;
  const std::uint64_t limit = keyspace_.memory().limit();
  next.limited = limit != 0;
  next.memory = limit != 0 ? limit : keyspace_.memory().data();
  next.dropped = keyspace_.samples().dropped();
  next.sampling_bytes = static_cast<std::uint64_t>(accounted_);
  if (curve_) {
    next.reads = curve_->reads();
    next.misses = curve_->misses();
    next.entries = curve_->entries();
    next.halvings = curve_->halvings();
    next.changes = curve_->change_ages();
    next.unread = curve_->unread(unix_ms());
    for (std::size_t i = 0; i < next.factors.size(); ++i) {
      next.hit_ratios[i] = curve_->hit_ratio(i);
      next.full[i] = curve_->full(i);
    }
  }
  const std::lock_guard lock(mutex_);
  published_ = next;
}

WorkingSetEstimate WorkingSet::estimate() const {
  const std::lock_guard lock(mutex_);
  return published_;
}

}  // namespace pinfold::command
