#include "pinfold/cache/cache.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "pinfold/store/purges.hpp"
#include "pinfold/store/tag_names.hpp"

namespace pinfold::cache {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Tokens start from the time of day times this number, so they grow across restarts: fewer than 2 048 leases are granted in a
// millisecond. Tokens stay below 2^53 until the year 2109.
constexpr std::uint64_t tokens_per_ms = 2048;
// How many leases, and how many refused versions, the background looks at in one hold of a shard's lock.
constexpr std::size_t most_in_one_hold = 160;

}  // namespace

void PolicyCounters::reset() {
  for (auto* counter : {&leases, &loads, &load_ms}) counter->store(0, relaxed);
}

void CacheCounters::reset() {
  for (auto* counter : {&granted, &filled, &voided, &expired, &released, &stale_hits, &negative_hits, &early_refreshes, &purges_tags,
                        &purges_prefix, &cascades, &cascade_entries}) {
    counter->store(0, relaxed);
  }
  const auto reset_all = [](auto& counters) {
    for (auto& counter : counters) counter.store(0, relaxed);
  };
  reset_all(no_lease);
  reset_all(no_wait);
  reset_all(no_fill);
}

void Cache::reset_counters() {
  counters.reset();
  for (auto* histogram : {&load_durations, &wait_durations, &stale_ages}) histogram->reset();
  switch_counts.reset();
  tracking.reset_counters();
  for (PolicyCounters& policy : slots_) policy.reset();
  for (unsigned slot = 0; slot < slots_.size(); ++slot) reset_reads(static_cast<std::uint8_t>(slot));
}

PolicyReadTotals Cache::reads_of(std::uint8_t slot) const {
  const std::lock_guard lock(reads_mutex_);
  PolicyReadTotals total;
  for (const auto& thread : reads_) {
    const PolicyReads& now = thread->now[slot];
    const PolicyReads& before = thread->before[slot];
    total.hits += now.hits.get() - before.hits.get();
    total.stale_hits += now.stale_hits.get() - before.stale_hits.get();
    total.negative_hits += now.negative_hits.get() - before.negative_hits.get();
    total.misses += now.misses.get() - before.misses.get();
  }
  return total;
}

// The counters belong to their threads and cannot be set back from here: what they say now is remembered instead.
void Cache::reset_reads(std::uint8_t slot) {
  const std::lock_guard lock(reads_mutex_);
  for (const auto& thread : reads_) {
    for (const auto counter : {&PolicyReads::hits, &PolicyReads::stale_hits, &PolicyReads::negative_hits, &PolicyReads::misses}) {
      (thread->before[slot].*counter).set((thread->now[slot].*counter).get());
    }
  }
}

Cache::Cache(store::Keyspace& keyspace, unsigned threads)
    : tracking(keyspace),
      keyspace_(keyspace),
      tokens_(static_cast<std::uint64_t>(unix_ms()) * tokens_per_ms),
      purged_tags_(keyspace.memory()),
      purged_prefixes_(keyspace.memory()) {
  for (unsigned i = 0; i < keyspace.shard_count(); ++i) {
    shards_.push_back(std::make_unique<Leases>(*this, i));
    gone_sources_.push_back(std::make_unique<GoneSources>(*this, i));
  }
  for (unsigned i = 0; i < threads; ++i) reads_.push_back(std::make_unique<ThreadReads>());
}

Cache::~Cache() = default;

std::uint64_t Cache::coalescing_share() const {
  constexpr std::uint64_t unlimited = 1ULL << 30;
  const std::uint64_t limit = keyspace_.memory().limit();
  return limit == 0 ? unlimited : limit / 8;
}

bool Cache::has_room(std::size_t bytes) const { return keyspace_.memory().used(store::Use::coalescing) + bytes <= coalescing_share(); }

// --- policies ---

void Cache::set_policies(std::vector<Policy> policies) {
  // A new policy gets a slot to which no entry and no lease refers any more, if there is one.
  const auto named = [this](unsigned slot) {
    return keyspace_.memory().used_by_policy(static_cast<std::uint8_t>(slot)) != 0 || slots_[slot].leases_alive.load(relaxed) != 0;
  };
  std::array<bool, 256> taken{};
  for (const Policy& policy : policies) taken[policy.slot] = true;
  for (Policy& policy : policies) {
    for (unsigned slot = 1; policy.slot == 0 && slot < taken.size(); ++slot) {
      if (taken[slot] || named(slot)) continue;
      policy.slot = static_cast<std::uint8_t>(slot);
      taken[slot] = true;
    }
  }
  auto fresh = policies.empty() ? nullptr : std::make_unique<const PolicySet>(std::move(policies));
  std::vector<std::uint8_t> given;  // slots that other policies had before
  if (fresh != nullptr) {
    for (const Policy& policy : fresh->all()) {
      const Policy* const before = policies_owner_ != nullptr ? policies_owner_->at(policy.slot) : nullptr;
      if (before != nullptr && before->name == policy.name) continue;
      slots_[policy.slot].reset();
      reset_reads(policy.slot);
      given.push_back(policy.slot);
      switch_counts.by_slot[policy.slot].reset();
    }
  }
  auto switches = SwitchSet::make(switches_, fresh.get(), switch_counts);
  {
    const store::HoldCause cause("set-policies");
    store::Keyspace::Locks locks(keyspace_);
    locks.acquire_all();
    policies_.store(fresh.get(), std::memory_order_release);
    policies_owner_.swap(fresh);
    for (const std::uint8_t slot : given) keyspace_.reset_evicted_of(slot, locks);
    publish_switches(switches);
  }
  update_priorities();
  count_switched();
  tracking.invalidate_all();  // reads may find other keys now
}

void Cache::set_switches(const Switches& switches) {
  auto set = SwitchSet::make(switches, policies_owner_.get(), switch_counts);
  switches_ = switches;
  const store::HoldCause cause("set-switches");
  store::Keyspace::Locks locks(keyspace_);
  locks.acquire_all();
  publish_switches(set);
  locks.release();
  tracking.invalidate_all();
}

// Puts the switches into force. All shards must be locked. `switches` has the old ones afterwards.
void Cache::publish_switches(std::unique_ptr<const SwitchSet>& switches) {
  if (switches == nullptr && switch_set_ == nullptr) return;
  keyspace_.set_key_switches(switches.get());
  switch_set_.swap(switches);
  // Leases of keys that are bypassed are void, and nobody waits for such a key.
  if (waiters() > 0) ask_to_tell();
}

// Counts the policies that have a switch on. Called with policies_mutex_ held, or before requests come.
void Cache::count_switched() {
  const PolicySet* const set = policies_owner_.get();
  const auto count = [set](std::atomic<std::uint64_t>& number, auto is_on) {
    number.store(set != nullptr ? static_cast<std::uint64_t>(std::ranges::count_if(set->all(), is_on)) : 0, relaxed);
  };
  count(policies_switched.admit, [](const Policy& p) { return p.admit_percent < 100; });
  count(policies_switched.bypass, &Policy::bypass);
  count(policies_switched.serve_stale, &Policy::serve_stale);
  count(policies_switched.no_leases, [](const Policy& p) { return p.max_leases == 0; });
}

// Tells the store the priorities and quotas of all policies. Called with policies_mutex_ held, or before requests come.
void Cache::update_priorities() {
  const std::uint64_t limit = keyspace_.memory().limit();
  const PolicySet* const set = policies();
  for (unsigned slot = 1; slot < slots_.size(); ++slot) {
    const bool taken = set != nullptr && set->at(static_cast<std::uint8_t>(slot)) != nullptr;
    if (taken) continue;
    keyspace_.set_priority(static_cast<std::uint8_t>(slot), store::Priority::normal, 0);
    keyspace_.set_serve_stale(static_cast<std::uint8_t>(slot), false);
  }
  keyspace_.set_has_policies(set != nullptr);
  if (set != nullptr) {
    for (const Policy& policy : set->all()) {
      const std::uint64_t share = limit / 100 * policy.max_memory_percent;
      keyspace_.set_priority(policy.slot, policy.priority, policy.max_memory_percent != 0 ? share : policy.max_memory);
      keyspace_.set_serve_stale(policy.slot, policy.serve_stale);
    }
  }
  const std::uint64_t share = limit / 100 * negative_percent.load(relaxed);
  keyspace_.set_negative_quota(limit != 0 ? std::max<std::uint64_t>(share, 1) : 0);
}

std::vector<Policy> Cache::policies_copy() const {
  // No shard need be locked: only set_policies() replaces the set, and its caller holds policies_mutex_, as the caller of this
  // does.
  const PolicySet* const set = policies_.load(std::memory_order_acquire);
  if (set == nullptr) return {};
  return {set->all().begin(), set->all().end()};
}

std::uint32_t Cache::soft_stale_ms(std::string_view key) const {
  constexpr std::int64_t usual_ms = 60'000;
  const Policy* const policy = policy_of(key);
  const std::int64_t ms = policy != nullptr && policy->stale_ms > 0 ? policy->stale_ms : usual_ms;
  return static_cast<std::uint32_t>(std::min<std::int64_t>(ms, UINT32_MAX));
}

// --- purges ---

namespace {

// The bytes that a purge takes in addition to its marks in the tables: the object, its names, and a copy of the names in `tell`.
std::uint64_t own_memory_of(const store::Purge& purge) {
  constexpr std::uint64_t fixed = 512;
  std::uint64_t bytes = sizeof purge + fixed;
  for (const std::string& name : purge.names) bytes += sizeof(std::string) + 2 * name.size();
  return bytes;
}

}  // namespace

// The most bytes that a purge takes, in all tables together.
std::uint64_t Cache::cost_of(const store::Purge& purge) const {
  return own_memory_of(purge) + store::TagMarks::most_memory_of(purge) +
         keyspace_.shard_count() * std::uint64_t{store::Purges::most_memory_of(purge)};
}

std::uint64_t Cache::most_memory_of_purge(const std::vector<std::string>& names) const {
  store::Purge purge;  // a purge by tags, which takes more memory than one by prefix
  purge.names = names;
  return cost_of(purge) + PurgedTags::memory_of(names);
}

std::shared_ptr<store::Purge> Cache::purge(unsigned db, bool by_prefix, std::vector<std::string> names, bool soft, bool wipe,
                                           std::function<void(const store::Purge&)> tell, store::Keyspace::Locks& held,
                                           const std::function<void()>& accepted) {
  auto purge = std::make_shared<store::Purge>();
  purge->by_prefix = by_prefix;
  purge->names = std::move(names);
  purge->soft = soft;
  purge->wipe = wipe;
  purge->at = unix_ms();
  purge->owner = finished_;
  std::sort(purge->names.begin(), purge->names.end());
  purge->names.erase(std::unique(purge->names.begin(), purge->names.end()), purge->names.end());
  // The memory of purges has a bound of its own, because leases that have used up their share must not prevent a purge.
  const std::uint64_t cost = cost_of(*purge);
  if (purges_pending() >= most_purges || purges_cost_.load(relaxed) + cost > coalescing_share()) return nullptr;
  // This function counts as one more table to be swept. So the purge is not over before all tables know it, and it ends even if
  // no table has to be swept.
  purge->unswept.store(1, relaxed);
  // The background may have swept the tables before this function returns, and sleep by then.
  struct Finish {
    store::Keyspace& keyspace;
    std::shared_ptr<store::Purge> purge;
    ~Finish() {
      store::Purge::swept(purge);
      if (purge->unswept.load(relaxed) == 0) keyspace.wake_background();
    }
  } const finish{keyspace_, purge};
  const auto note = [&] {
    purge->token = upcoming_token();
    note_purge(db, *purge);
    if (waiters() > 0) ask_to_tell();
    if (accepted) accepted();
  };
  if (!keyspace_.purge(db, purge, held, note)) return nullptr;
  purge->tell = std::move(tell);
  purge->counted = true;
  purges_pending_.fetch_add(1, relaxed);
  purges_cost_.fetch_add(cost, relaxed);
  keyspace_.memory().add(store::Use::coalescing, static_cast<std::int64_t>(own_memory_of(*purge)));
  const bool cascades = !by_prefix && store::dependency_of(purge->names[0]).has_value();
  (by_prefix ? counters.purges_prefix : cascades ? counters.cascades : counters.purges_tags).fetch_add(1, relaxed);
  return purge;
}

// Remembers the purge for leases, which notice it when they are next looked at. Called with all shards locked.
void Cache::note_purge(unsigned db, const store::Purge& purge) {
  if (!purge.by_prefix) return purged_tags_.note(db, purge.names, has_room(PurgedTags::memory_of(purge.names)));
  const std::string& prefix = purge.names[0];
  const std::uint64_t oldest = purged_tags_.oldest();
  purged_prefixes_.note(db, prefix, purged_tags_.number_purge(), oldest, has_room(PurgedPrefixes::memory_of(prefix)));
}

// Whether a purge that has been swept is over. A purge with `wipe` is over when an erasure has followed the sweep, which this
// function asks for.
bool Cache::is_over(store::Purge& purge) {
  if (!purge.wipe) return true;
  if (purge.erasure == 0) purge.erasure = keyspace_.erase();
  return keyspace_.erased(purge.erasure);
}

void Cache::Finished::over(const std::shared_ptr<store::Purge>& purge) noexcept {
  if (!purge->counted) return;  // purge() has thrown std::bad_alloc, so its caller knows already
  const std::lock_guard lock(mutex_);
  purge->next = std::exchange(first_, purge);
}

std::shared_ptr<store::Purge> Cache::Finished::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(first_, nullptr);
}

void Cache::tell_finished() {
  std::shared_ptr<store::Purge> first = finished_->take();
  while (first != nullptr) {
    const std::shared_ptr<store::Purge> purge = std::exchange(first, std::move(first->next));
    if (!is_over(*purge)) {
      finished_->over(purge);
      continue;
    }
    try {
      if (purge->tell) purge->tell(*purge);
    } catch (const std::bad_alloc&) {
      finished_->over(purge);  // tries again the next time
      continue;
    }
    purges_pending_.fetch_sub(1, relaxed);
    purges_cost_.fetch_sub(cost_of(*purge), relaxed);
    keyspace_.memory().add(store::Use::coalescing, -static_cast<std::int64_t>(own_memory_of(*purge)));
  }
}

// --- waiting ---

std::uint64_t Cache::add_alarm(MonoMs at, unsigned shard, unsigned db, std::string_view key, bool& sooner) {
  const Alarms::Set set = alarms_.set(at, {shard, db, std::string(key)});
  sooner |= set.first;
  return set.number;
}

void Cache::run_alarms(MonoMs now) {
  const store::HoldCause cause("alarms");
  while (const auto due = alarms_.take_due(now)) {
    keyspace_.with_locked_after_waiters(due->shard, [&] { shards_[due->shard]->alarm(due->db, due->key, now); });
  }
}

void Cache::ask_to_tell() {
  if (!to_tell_.exchange(true)) keyspace_.wake_background();
}

void Cache::tell_waiting() {
  if (!to_tell_.load(relaxed)) return;
  to_tell_.store(false);
  const store::HoldCause cause("tell-waiting");
  const MonoMs now = monotonic_ms();
  for (unsigned i = 0; i < keyspace_.shard_count(); ++i) {
    bool more = true;
    while (more) keyspace_.with_locked_after_waiters(i, [&] { more = shards_[i]->tell_waiting(most_in_one_hold, now); });
  }
}

void Cache::tend(MonoMs now) {
  const store::HoldCause cause("tend-leases");
  for (unsigned i = 0; i < keyspace_.shard_count(); ++i) {
    std::size_t due = 1;
    constexpr unsigned most_holds = 64;  // if leases are much work, a round through all of them takes more than a second
    unsigned holds = 0;
    for (std::size_t done = 0; done < due && holds < most_holds; ++holds) {
      keyspace_.with_locked_after_waiters(i, [&] {
        due = shards_[i]->due();
        done += shards_[i]->tend(most_in_one_hold, now);
      });
    }
  }
  purged_prefixes_.forget(purged_tags_.oldest());
  // Forgets in small pieces, so that threads which grant leases need not wait. All are forgotten within a second or so.
  constexpr std::size_t at_once = 256;
  constexpr unsigned most_times = 64;
  for (unsigned times = 0; times < most_times && purged_tags_.forget_some(at_once); ++times) {
  }
  const std::unique_lock lock(policies_mutex_, std::try_to_lock);
  if (lock) update_priorities();
}

Cache::GivenUp Cache::give_up(unsigned db, std::string_view key, std::uint64_t ticket) {
  constexpr std::int64_t soon_ms = 100;
  const unsigned shard = keyspace_.shard_of(keyspace_.key(key));
  const store::HoldCause cause("give-up-waiting", {.keys = 1, .bytes = key.size()});
  Leases::Look left;
  keyspace_.with_locked(shard, [&] {
    shards_[shard]->give_up(db, key, ticket);
    left = shards_[shard]->look(db, key, monotonic_ms());
  });
  return {left.lease_ms > 0 ? left.lease_ms : soon_ms, left.token};
}

void Cache::return_token(const TokenOf& token) {
  const store::Key key = keyspace_.key(token.key);
  const store::HoldCause cause("return-token", {.keys = 1, .bytes = token.key.size()});
  const unsigned shard = keyspace_.shard_of(key);
  keyspace_.with_locked(shard, [&] { shards_[shard]->release(token.db, key, token.token, 0, monotonic_ms()); });
}

}  // namespace pinfold::cache
