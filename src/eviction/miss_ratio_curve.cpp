#include "pinfold/eviction/miss_ratio_curve.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace pinfold::eviction {

namespace {

// Fewer misses in the sample tell nothing about a proportion.
constexpr double few_misses = 100;

std::uint32_t entries_at(std::uint32_t most_entries, double factor) {
  return static_cast<std::uint32_t>(std::ceil(static_cast<double>(most_entries) * factor));
}

unsigned power_of(std::int64_t ms) {
  return static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(ms, 0))));
}

}  // namespace

MissRatioCurve::MissRatioCurve(Kind kind, std::uint32_t most_entries, std::uint64_t seed) : most_entries_(most_entries) {
  caches_.reserve(factors.size());
  for (const double factor : factors) caches_.emplace_back(kind, entries_at(most_entries, factor), seed);
}

void MissRatioCurve::set_kind(Kind kind) {
  for (Miniature& cache : caches_) cache.set_kind(kind);
}

void MissRatioCurve::set_capacity(std::optional<std::uint64_t> capacity, std::uint64_t used) {
  capacity_ = capacity;
  used_ = used;
  apply_capacity();
}

void MissRatioCurve::apply_capacity() {
  const double part = std::ldexp(1.0, -static_cast<int>(halvings_));
  const auto memory = static_cast<double>(capacity_.value_or(used_));
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const bool unlimited = !capacity_ && i >= present;
    caches_[i].set_capacity(unlimited ? std::numeric_limits<std::uint64_t>::max()
                                      : static_cast<std::uint64_t>(std::max(1.0, std::round(memory * factors[i] * part))));
  }
}

void MissRatioCurve::halve() {
  ++halvings_;
  for (Miniature& cache : caches_) cache.remove_if([most = threshold()](const Miniature::Entry& entry) { return entry.key > most; });
  apply_capacity();
}

void MissRatioCurve::enlarge(unsigned halvings) {
  halvings_ = halvings;
  for (Miniature& cache : caches_) cache.clear();
  apply_capacity();
  counting_ = false;
  since_enlarged_ = 0;
}

void MissRatioCurve::store(std::size_t index, const Miniature::Entry& entry) {
  if (caches_[index].store(entry)) return;
  halve();
  if (entry.key <= threshold()) caches_[index].store(entry);  // if there is still no room, the next access will see to it
}

void MissRatioCurve::note(const SampledAccess& access) {
  using Access = SampledAccess::Kind;
  if (access.kind == Access::flush) {
    for (Miniature& cache : caches_) cache.remove_group(access.database);
    return;
  }
  const std::uint64_t key = access.key();
  if (key > threshold()) return;
  if (access.kind == Access::remove) {
    if (access.found) note_change(access);
    for (Miniature& cache : caches_) cache.remove(key);
    return;
  }
  Miniature::Entry entry{.key = key, .expires_at = access.expires_at, .bytes = access.bytes, .group = access.database};
  if (access.kind == Access::deadline) {
    for (std::size_t i = 0; i < caches_.size(); ++i) {
      const Miniature::Entry* const present_entry = caches_[i].find(key, access.now);
      if (present_entry == nullptr) continue;
      entry = *present_entry;
      entry.expires_at = access.expires_at;
      store(i, entry);
    }
    return;
  }
  if (access.kind == Access::write) {
    if (access.found) note_change(access);
    entry.written_at = access.now;
    for (std::size_t i = 0; i < caches_.size(); ++i) {
      Miniature::Entry* const old = access.found ? nullptr : caches_[i].find(key, access.now);
      if (old != nullptr && old->refilled) {
        old->refilled = false;  // this cache had not missed the key, so its size and deadline would be the old ones
      } else {
        store(i, entry);
      }
    }
    return;
  }
  entry.read = true;
  ++since_enlarged_;
  if (counting_) ++reads_;
  const double weight = std::ldexp(1.0, static_cast<int>(halvings_));
  for (std::size_t i = 0; i < caches_.size(); ++i) {
    Miniature::Entry* const hit = access.kind == Access::look ? caches_[i].find(key, access.now) : caches_[i].read(key, access.now);
    if (hit != nullptr) {
      hit->refilled = !access.found;
      continue;
    }
    if (counting_) {
      misses_[i] += weight;
      if (i == present) ++sampled_misses_;
    }
    // A client stores what it has missed, and that is noted as a write. But the server had the entry, so no write will follow.
    if (access.found) store(i, entry);
  }
}

// A value that was in the cache has another one now, or is gone, because a command says so. The largest Miniature knows it longest.
void MissRatioCurve::note_change(const SampledAccess& access) {
  const Miniature::Entry* const old = caches_.back().find(access.key(), access.now);
  if (old == nullptr || old->written_at == 0 || old->expires_at == 0) return;
  ++ages_[std::min<std::size_t>(power_of(access.now - old->written_at), ages_.size() - 1)];
  ++ttls_[std::min<std::size_t>(power_of(old->expires_at - old->written_at), ttls_.size() - 1)];
}

void MissRatioCurve::count(double hits, double misses) {
  if (!counting_) return;
  hits_of_all_ += hits;
  misses_of_all_ += misses;
}

bool MissRatioCurve::filled(std::uint64_t entries, std::uint64_t bytes) {
  if (counting_) return true;
  const double part = std::ldexp(1.0, -static_cast<int>(halvings_));
  constexpr double nearly = 0.8;
  // Keys that nobody asks for any more are in the cache, and never come into the sample.
  constexpr double often = 4;
  constexpr double least_reads = 1000;
  const bool has_most = static_cast<double>(caches_[present].used()) >= nearly * part * static_cast<double>(bytes);
  const bool has_seen_much = since_enlarged_ >= std::max(least_reads, often * part * static_cast<double>(entries));
  counting_ = has_most || has_seen_much;
  return counting_;
}

void MissRatioCurve::fade(double factor) {
  for (double* const count : {&sampled_misses_, &reads_, &hits_of_all_, &misses_of_all_}) *count *= factor;
  for (auto* const counts : {&ages_, &ttls_}) {
    for (double& count : *counts) count *= factor;
  }
  for (double& misses : misses_) misses *= factor;
}

double MissRatioCurve::hit_ratio(std::size_t index) const {
  const double all = hits_of_all_ + misses_of_all_;
  if (all <= 0) return 0;
  const double ratio = misses_of_all_ / all;
  const double misses =
      sampled_misses_ >= few_misses ? ratio * misses_[index] / misses_[present] : ratio + (misses_[index] - misses_[present]) / all;
  return 1 - std::clamp(misses, 0.0, 1.0);
}

double MissRatioCurve::fullness() const {
  return static_cast<double>(caches_.back().entries()) / static_cast<double>(entries_at(most_entries_, factors.back()));
}

std::int64_t MissRatioCurve::median(const Histogram& histogram) {
  double all = 0;
  for (const double count : histogram) all += count;
  double below = 0;
  for (std::size_t power = 0; power < histogram.size(); ++power) {
    below += histogram[power];
    if (below * 2 >= all) return std::int64_t{1} << power;
  }
  return 0;
}

ChangeAges MissRatioCurve::change_ages() const {
  ChangeAges result{.changes = 0, .age_ms = median(ages_), .ttl_ms = median(ttls_)};
  for (const double count : ages_) result.changes += count;
  return result;
}

UnreadEntries MissRatioCurve::unread(UnixMs now) const {
  double keys = 0;
  double bytes = 0;
  double age = 0;
  double all_bytes = 0;
  caches_[present].for_each([&](const Miniature::Entry& entry) {
    all_bytes += entry.bytes;
    if (entry.read) return;
    ++keys;
    bytes += entry.bytes;
    age += static_cast<double>(now - entry.written_at);
  });
  if (keys == 0) return {};
  return {.keys = keys / entries(), .bytes = bytes / all_bytes, .age_ms = static_cast<std::int64_t>(age / keys)};
}

std::size_t MissRatioCurve::memory() const {
  std::size_t bytes = caches_.capacity() * sizeof(Miniature);
  for (const Miniature& cache : caches_) bytes += cache.memory();
  return bytes;
}

std::size_t MissRatioCurve::most_memory(std::uint32_t most_entries) {
  std::size_t bytes = factors.size() * sizeof(Miniature);
  for (const double factor : factors) bytes += Miniature::most_memory(entries_at(most_entries, factor));
  return bytes;
}

}  // namespace pinfold::eviction
