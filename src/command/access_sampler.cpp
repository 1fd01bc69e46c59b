#include "pinfold/command/access_sampler.hpp"

#include <algorithm>
#include <new>
#include <unordered_map>
#include <utility>

#include "pinfold/base/random.hpp"

namespace pinfold::command {
namespace {

constexpr std::int64_t tick_ms = 100;
static_assert(HotKeys::pane_ms % tick_ms == 0);
constexpr std::uint64_t most_samples = 12'288;  // a second
// A tick of constant traffic has fewer. After these, and after half as many each time, the period is doubled within the tick.
constexpr std::uint32_t many_in_tick = most_samples * tick_ms / 1000 * 5 / 4;
constexpr std::uint64_t longest_period = 65'536;
constexpr std::uint32_t off_for = 64;  // accesses until the setting is looked at again

}  // namespace

AccessSampler::AccessSampler(const config::Settings& settings, store::Memory& memory, std::uint64_t random, MonoMs now)
    : random_(random), settings_(settings), memory_(memory), halved_(now) {
  is_on(now);
}

AccessSampler::~AccessSampler() { release(); }

void AccessSampler::release() {
  if (state_ != nullptr) memory_.add(store::Use::sampling, -static_cast<std::int64_t>(sizeof(State)));
  state_.reset();
}

// Whether there is a state to sample into. Frees it if it is not wanted any more. Called with the mutex held, or by the constructor.
bool AccessSampler::is_on(MonoMs now) {
  if (!settings_.flag(config::Id::metrics)) {
    release();
  } else if (state_ == nullptr) {
    state_.reset(new (std::nothrow) State{HotKeys(now), {}});
    if (state_ != nullptr) memory_.add(store::Use::sampling, static_cast<std::int64_t>(sizeof(State)));
  }
  return state_ != nullptr;
}

void AccessSampler::set_period(std::uint64_t period) {
  period_ = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(period, 1, longest_period));
  distances_ = 2 * period_ - 1;
  one_in_ = period_ == 1 ? 1 : 8;
}

// Uniform from 1 to 2 * period - 1, so its mean is the period.
std::uint32_t AccessSampler::next_distance() {
  constexpr std::uint64_t multiplier = 6'364'136'223'846'793'005U;  // Knuth's, for a linear congruential generator
  random_ = random_ * multiplier + 1;
  return 1 + static_cast<std::uint32_t>(((random_ >> 32) * distances_) >> 32);
}

// Chooses the period for the next tenth of a second by the rate in the last one. Returns false if nothing is to be sampled.
bool AccessSampler::begin_tick(MonoMs now) {
  // The first tick after a pause may be short. Then a few requests at once are no high rate.
  const auto passed = static_cast<std::uint64_t>(std::max(now - tick_began_, tick_ms));
  set_period((accesses_ * 1000 / passed + most_samples - 1) / most_samples);
  accesses_ = 0;
  left_ = many_in_tick;
  tick_began_ = now;
  tick_ends_ = MonoMs{(now.ms / tick_ms + 1) * tick_ms};  // no later than the pane of the hot keys
  if (!is_on(now)) {
    tick_ends_ = {};  // looks at the setting next time
    return false;
  }
  advance(now);
  return true;
}

void AccessSampler::advance(MonoMs now) {
  state_->hot.advance(now);
  const std::int64_t times = (now - halved_) / KeyConcentration::halve_every_ms;
  if (times <= 0) return;
  state_->concentration.halve(times);
  halved_ = now;
}

void AccessSampler::take(unsigned db, const store::Key& key, MonoMs now) {
  const std::uint32_t weight = period_;  // with which the distance to this access was drawn
  if (!mutex_.try_lock()) [[unlikely]] {
    countdown_ = next_distance();
    return;
  }
  if (now >= tick_ends_ && !begin_tick(now)) [[unlikely]] {
    countdown_ = off_for;
  } else {
    if (--left_ == 0) [[unlikely]] {
      set_period(std::uint64_t{period_} * 2);
      left_ = many_in_tick / 2;
    }
    countdown_ = next_distance();
    sampled_.add();
    accesses_ += weight;
    const std::uint64_t hash = HotKeys::hash_of(db, key);
    state_->hot.add(db, key, hash, weight, random_);
    state_->concentration.add(hash, weight, one_in_, random_);
  }
  mutex_.unlock();
}

void AccessSampler::add_to(Samples& sum, MonoMs now) {
  const std::lock_guard lock(mutex_);
  if (!is_on(now)) {
    tick_ends_ = {};
    return;
  }
  advance(now);
  state_->hot.append_to(sum.keys);
  sum.all += state_->hot.all();
  sum.window_began = std::min(sum.window_began, state_->hot.window_began());
  state_->concentration.add_to(sum.concentration);
}

Accesses::Accesses(const config::Settings& settings, store::Memory& memory, unsigned threads, MonoMs now) {
  samplers_.reserve(threads);
  for (unsigned i = 0; i < threads; ++i) samplers_.push_back(std::make_unique<AccessSampler>(settings, memory, random_u64(), now));
}

std::uint64_t Accesses::sampled() const {
  std::uint64_t sum = 0;
  for (const auto& sampler : samplers_) sum += sampler->sampled();
  return sum;
}

Accesses::Report Accesses::report(MonoMs now) {
  AccessSampler::Samples samples;
  samples.window_began = now;
  for (const auto& sampler : samplers_) sampler->add_to(samples, now);
  Report report;
  report.all = samples.all;
  report.seconds = static_cast<double>(std::max<std::int64_t>(now - samples.window_began, 1)) / 1000;
  std::unordered_map<std::uint64_t, std::size_t> places;
  for (CountedKey& key : samples.keys) {
    const auto [place, is_new] = places.try_emplace(key.hash, report.keys.size());
    if (is_new) {
      report.keys.push_back(std::move(key));
    } else {
      report.keys[place->second].count += key.count;
    }
  }
  std::ranges::sort(report.keys,
                    [](const CountedKey& a, const CountedKey& b) { return a.count != b.count ? a.count > b.count : a.hash < b.hash; });
  report.concentration = std::move(samples.concentration);
  report.concentration.settle();
  return report;
}

}  // namespace pinfold::command
