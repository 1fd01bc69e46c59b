#include "pinfold/command/key_concentration.hpp"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

namespace pinfold::command {
namespace {

using Key = ConcentrationReport::Key;

// Brings together what is about one key, and sorts: most accesses first.
void merge(std::vector<Key>& keys) {
  std::ranges::sort(keys, {}, &Key::hash);
  std::size_t last = 0;
  for (std::size_t i = 1; i < keys.size(); ++i) {
    if (keys[i].hash == keys[last].hash) {
      keys[last].count += keys[i].count;
    } else {
      keys[++last] = keys[i];
    }
  }
  if (!keys.empty()) keys.resize(last + 1);
  std::ranges::sort(keys, std::greater<>(), &Key::count);
}

}  // namespace

void ConcentrationReport::add(const std::vector<Key>& head, const std::vector<Key>& sample, std::uint64_t limit, std::uint64_t all) {
  head_.insert(head_.end(), head.begin(), head.end());
  tail_.insert(tail_.end(), sample.begin(), sample.end());
  limit_ = std::min(limit_, limit);
  all_ += all;
}

void ConcentrationReport::settle() {
  std::unordered_set<std::uint64_t> known;
  for (const Key& key : head_) known.insert(key.hash);
  std::erase_if(tail_, [&](const Key& key) { return key.hash > limit_ || known.contains(KeySketch::id_of(key.hash)); });
  merge(head_);
  merge(tail_);
}

double ConcentrationReport::share_of_top(double top) const {
  if (all_ == 0) return 0;
  const double part = (static_cast<double>(limit_) + 1) / 18446744073709551616.0;  // of all keys, that are in the sample
  double of_head = 0;
  double in_tail = 0;
  for (const Key& key : head_) of_head += static_cast<double>(key.count);
  for (const Key& key : tail_) in_tail += static_cast<double>(key.count);
  // One key of the sample stands for several of the tail.
  const double of_tail = std::max(static_cast<double>(all_) - of_head, 0.0);
  const double worth = in_tail > 0 ? of_tail / in_tail * part : 0;
  double sum = 0;
  auto known = head_.begin();
  for (auto sampled = tail_.begin(); top > 0 && (known != head_.end() || sampled != tail_.end());) {
    const bool head_first = sampled == tail_.end() ||
                            (known != head_.end() && static_cast<double>(known->count) >= worth * static_cast<double>(sampled->count));
    const double stands_for = head_first ? 1 : 1 / part;
    const double each = head_first ? static_cast<double>((known++)->count) : worth * static_cast<double>((sampled++)->count);
    sum += each * std::min(top, stands_for);
    top -= stands_for;
  }
  return std::min(sum / static_cast<double>(all_), 1.0);
}

void KeyConcentration::set_limit(std::uint64_t limit) {
  limit_ = limit;
  low_limit_ = limit <= UINT64_MAX / 8 ? limit : 0;
}

void KeyConcentration::add_whole(std::uint64_t hash, std::uint32_t weight, std::uint32_t one_in, std::uint64_t random) {
  weight_ = weight * one_in;
  const std::uint32_t more = weight_ << scale;
  all_ += more;
  if (hash <= limit_) count(hash, low_limit_ != 0 ? std::uint64_t{weight} << scale : more);
  KeySketch::Bucket& bucket = sketch_.bucket_of(hash);
  const std::uint32_t fingerprint = KeySketch::fingerprint_of(hash);
  if (const unsigned hits = bucket.equal(fingerprint); hits != 0) {
    std::uint32_t& cell = bucket.cells[std::countr_zero(hits)];
    cell = std::max(cell + more, cell);  // stays where it would overflow
    return;
  }
  const unsigned at = static_cast<unsigned>(random >> 26) % KeySketch::ways;
  std::uint32_t& cell = bucket.cells[at];
  if (!KeySketch::decays(cell / more, (random >> 10) & 0xFFFF)) return;
  if (cell > more) {
    cell -= more;
    return;
  }
  bucket.fingerprints[at] = fingerprint;
  cell = more;
}

// The place of the key, or the free one where it belongs. There is always a free one, because half of the places are.
KeyConcentration::Place& KeyConcentration::place_of(std::uint64_t hash) {
  for (std::size_t at = (hash >> 8) % places;; at = (at + 1) % places) {
    Place& place = places_[at];
    if (place.hash == hash || place.count == 0) return place;
  }
}

void KeyConcentration::count(std::uint64_t hash, std::uint64_t count) {
  Place& place = place_of(hash);
  if (place.count == 0) {
    if (used_ == most_sampled) {
      set_limit(limit_ / 2);
      rebuild();
      if (hash <= limit_) this->count(hash, count);
      return;
    }
    place = {hash, 0};
    ++used_;
  }
  place.count += count;
}

// Makes the table anew with the keys that belong into it.
void KeyConcentration::rebuild() {
  std::array<Place, most_sampled> kept;
  std::size_t count = 0;
  for (const Place& place : places_) {
    if (place.count != 0 && place.hash <= limit_) kept[count++] = place;
  }
  places_.fill({});
  for (std::size_t i = 0; i < count; ++i) place_of(kept[i].hash) = kept[i];
  used_ = count;
}

void KeyConcentration::halve(std::int64_t times) {
  constexpr std::int64_t most = 31;
  const auto by = static_cast<unsigned>(std::min(times, most));
  for (KeySketch::Bucket& bucket : sketch_.buckets) {
    for (std::uint32_t& cell : bucket.cells) cell >>= by;
  }
  for (Place& place : places_) place.count >>= by;
  all_ >>= by;
  rebuild();
  // There is room for more keys. Those above the old limit count less than they should until they have been halved a few times.
  if (used_ < most_sampled / 4 && limit_ != UINT64_MAX) set_limit(limit_ * 2 + 1);
  if (used_ == 0) set_limit(UINT64_MAX);
}

void KeyConcentration::add_to(ConcentrationReport& sum) const {
  // A key of the sample is counted exactly, while the sketch may have missed some accesses to it.
  std::unordered_map<std::uint64_t, std::uint64_t> exact;
  std::vector<Key> sample;
  sample.reserve(used_);
  for (const Place& place : places_) {
    if (place.count == 0) continue;
    sample.push_back({place.hash, place.count});
    exact.emplace(KeySketch::id_of(place.hash), place.count);
  }
  std::vector<Key> head;
  for (const KeySketch::Bucket& bucket : sketch_.buckets) {
    for (unsigned at = 0; at < KeySketch::ways; ++at) {
      if (bucket.cells[at] < (least_known * weight_) << scale) continue;
      const std::uint64_t id = sketch_.id_at(bucket, at);
      const auto found = exact.find(id);
      head.push_back({id, std::max<std::uint64_t>(found != exact.end() ? found->second : 0, bucket.cells[at])});
    }
  }
  sum.add(head, sample, limit_, all_);
}

}  // namespace pinfold::command
