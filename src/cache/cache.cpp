#include "pinfold/cache/cache.hpp"

#include <algorithm>
#include <new>

#include "pinfold/store/purges.hpp"

namespace pinfold::cache {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Tokens grow across restarts because they start from the time of day: 2 048 a millisecond, which is more than are
// granted. They stay below 2^53 until the year 2109.
constexpr std::uint64_t tokens_per_ms = 2048;
constexpr std::uint32_t default_soft_stale_ms = 60'000;

}  // namespace

void PolicyCounters::reset() {
  for (auto* counter : {&hits, &stale_hits, &misses, &leases}) counter->store(0, relaxed);
}

void CacheCounters::reset() {
  for (auto* counter : {&granted, &filled, &voided, &expired, &released, &used_up, &fill_refused, &waits_refused, &stale_hits,
                        &negative_hits, &early_refreshes, &purges_tags, &purges_prefix}) {
    counter->store(0, relaxed);
  }
}

void Cache::reset_counters() {
  counters.reset();
  for (PolicyCounters& policy : slots_) policy.reset();
}

Cache::Cache(store::Keyspace& keyspace)
    : keyspace_(keyspace), tokens_(static_cast<std::uint64_t>(unix_ms()) * tokens_per_ms) {
  for (unsigned i = 0; i < keyspace.shard_count(); ++i) {
    shards_.push_back(std::make_unique<Leases>(*this, i));
    shards_[i]->attach(keyspace.listen(i, shards_[i].get()));
  }
}

Cache::~Cache() {
  for (unsigned i = 0; i < keyspace_.shard_count(); ++i) keyspace_.listen(i, nullptr) = {};
}

bool Cache::has_room(std::size_t bytes) const {
  constexpr std::uint64_t unlimited = 1ULL << 30;
  const std::uint64_t limit = keyspace_.memory().limit();
  const std::uint64_t share = limit == 0 ? unlimited : limit / 8;
  return keyspace_.memory().used(store::Use::herd) + bytes <= share;
}

// --- policies ---

void Cache::set_policies(std::vector<Policy> policies) {
  auto fresh = policies.empty() ? nullptr : std::make_unique<const PolicySet>(std::move(policies));
  if (fresh != nullptr) {
    for (const Policy& policy : fresh->all()) {
      const Policy* const before = policies_owner_ != nullptr ? policies_owner_->at(policy.slot) : nullptr;
      if (before == nullptr || before->name != policy.name) slots_[policy.slot].reset();
    }
  }
  store::Keyspace::Locks locks(keyspace_);
  locks.acquire_all();
  policies_.store(fresh.get(), std::memory_order_release);
  policies_owner_.swap(fresh);
  guards_reads_.store(policies_owner_ != nullptr || keyspace_.serves_stale(), relaxed);
  locks.release();
  update_standing();
}

void Cache::set_serve_stale(bool on) {
  keyspace_.set_serve_stale(on);
  guards_reads_.store(on || policies() != nullptr, relaxed);
}

// Whose entries go first, and whose last. With policies_mutex_, or before requests come.
void Cache::update_standing() {
  using store::Standing;
  const std::uint64_t limit = keyspace_.memory().limit();
  const PolicySet* const set = policies();
  for (unsigned slot = 1; slot < slots_.size(); ++slot) {
    const bool taken = set != nullptr && set->at(static_cast<std::uint8_t>(slot)) != nullptr;
    if (!taken) keyspace_.set_standing(static_cast<std::uint8_t>(slot), Standing::normal, 0);
  }
  keyspace_.set_has_standing(set != nullptr);
  if (set != nullptr) {
    for (const Policy& policy : set->all()) {
      Standing standing = Standing::normal;
      if (policy.priority == Priority::protect) standing = Standing::last;
      if (policy.priority == Priority::first_out) standing = Standing::first;
      const std::uint64_t share = limit / 100 * policy.max_memory_percent;
      keyspace_.set_standing(policy.slot, standing, policy.max_memory_percent != 0 ? share : policy.max_memory);
    }
  }
  const std::uint64_t share = limit / 100 * negative_percent.load(relaxed);
  keyspace_.set_negative_quota(limit != 0 ? std::max<std::uint64_t>(share, 1) : 0);
}

std::vector<Policy> Cache::policies_copy() const {
  // Only set_policies() changes it, and that is for whoever holds the mutex.
  const PolicySet* const set = policies_.load(std::memory_order_acquire);
  if (set == nullptr) return {};
  return {set->all().begin(), set->all().end()};
}

// --- purges ---

std::shared_ptr<store::Purge> Cache::purge(unsigned db, bool by_prefix, std::vector<std::string> names, bool soft, bool wipe,
                                           std::function<void(const store::Purge&)> done, store::Keyspace::Locks& held) {
  auto purge = std::make_shared<store::Purge>();
  purge->by_prefix = by_prefix;
  purge->names = std::move(names);
  purge->soft = soft;
  purge->wipe = wipe;
  purge->at = unix_ms();
  // Asked for with the key's shard locked.
  purge->stale_for = [this](std::string_view key) {
    const Policy* const policy = policy_of(key);
    if (policy == nullptr || policy->stale_ms == 0) return default_soft_stale_ms;
    return static_cast<std::uint32_t>(std::min<std::int64_t>(policy->stale_ms, UINT32_MAX));
  };
  // The last to finish is this function itself, so that nothing is done before all tables know.
  purge->unswept.store(1, relaxed);
  purges_pending_->fetch_add(1, relaxed);
  // Told by the background, with nothing locked; the tables may outlast this object.
  std::weak_ptr<store::Purge> self = purge;
  purge->done = [pending = purges_pending_, finished = finished_, self, done = std::move(done)](const store::Purge&) {
    pending->fetch_sub(1, relaxed);
    if (!done) return;
    const std::lock_guard lock(finished->mutex);
    finished->purges.push_back([purge = self.lock(), done] {
      if (purge != nullptr) done(*purge);
    });
  };
  if (!by_prefix) note_tag_purge(purge->names);
  const bool taken = keyspace_.purge(db, purge, held);
  if (!taken) {
    purges_pending_->fetch_sub(1, relaxed);
    purge->done = nullptr;
    return nullptr;
  }
  (by_prefix ? counters.purges_prefix : counters.purges_tags).fetch_add(1, relaxed);
  purge->swept();
  if (wake) wake();
  return purge;
}

void Cache::tell_finished() {
  std::vector<std::function<void()>> purges;
  {
    const std::lock_guard lock(finished_->mutex);
    purges.swap(finished_->purges);
  }
  for (const auto& tell : purges) tell();
}

std::uint64_t Cache::begin_lease() {
  const std::lock_guard lock(tags_mutex_);
  ++alive_by_epoch_[epoch_];
  return epoch_;
}

void Cache::end_lease(std::uint64_t epoch) {
  const std::lock_guard lock(tags_mutex_);
  const auto here = alive_by_epoch_.find(epoch);
  if (here == alive_by_epoch_.end() || --here->second > 0) return;
  alive_by_epoch_.erase(here);
  // What every lease that is alive was granted after can be forgotten.
  const std::uint64_t oldest = alive_by_epoch_.empty() ? epoch_ : alive_by_epoch_.begin()->first;
  while (!purged_order_.empty() && purged_order_.front().first <= oldest) {
    const auto& [when, tag] = purged_order_.front();
    if (const auto found = purged_tags_.find(tag); found != purged_tags_.end() && found->second == when) {
      purged_tags_.erase(found);
    }
    purged_order_.pop_front();
  }
}

void Cache::note_tag_purge(const std::vector<std::string>& tags) {
  constexpr std::size_t most_remembered = 100'000;
  const std::lock_guard lock(tags_mutex_);
  ++epoch_;
  if (alive_by_epoch_.empty()) return;
  if (purged_order_.size() + tags.size() > most_remembered) {
    barrier_ = epoch_;
    purged_tags_.clear();
    purged_order_.clear();
    return;
  }
  for (const std::string& tag : tags) {
    purged_tags_[tag] = epoch_;
    purged_order_.emplace_back(epoch_, tag);
  }
}

bool Cache::purged_since(std::uint64_t epoch, std::string_view encoded_tags) {
  if (encoded_tags.empty()) return false;
  const std::lock_guard lock(tags_mutex_);
  if (epoch < barrier_) return true;
  bool found = false;
  store::Extra extra;
  extra.tags = encoded_tags;
  extra.for_each_tag([&](std::string_view tag) {
    const auto purged = purged_tags_.find(std::string(tag));
    found |= purged != purged_tags_.end() && purged->second > epoch;
  });
  return found;
}

// --- waiting ---

std::uint64_t Cache::add_alarm(UnixMs at, unsigned shard, unsigned db, std::string_view key) {
  bool sooner = false;
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(alarms_mutex_);
    number = ++alarm_number_;
    const auto here = alarms_.emplace(std::pair(at, number), Alarm{shard, db, std::string(key)}).first;
    sooner = here == alarms_.begin();
    if (sooner) next_alarm_.store(at, relaxed);
  }
  if (sooner && wake) wake();
  return number;
}

void Cache::cancel_alarm(UnixMs at, std::uint64_t number) {
  const std::lock_guard lock(alarms_mutex_);
  alarms_.erase({at, number});
}

void Cache::run_alarms(UnixMs now) {
  for (;;) {
    Alarm due;
    {
      const std::lock_guard lock(alarms_mutex_);
      if (alarms_.empty() || alarms_.begin()->first.first > now) {
        next_alarm_.store(alarms_.empty() ? INT64_MAX : alarms_.begin()->first.first, relaxed);
        return;
      }
      due = std::move(alarms_.extract(alarms_.begin()).mapped());
    }
    keyspace_.with_locked(due.shard, [&] { shards_[due.shard]->alarm(due.db, due.key, now); });
  }
}

void Cache::tend(UnixMs now) {
  for (unsigned i = 0; i < keyspace_.shard_count(); ++i) {
    keyspace_.with_locked(i, [&] { shards_[i]->tend(now); });
  }
  const std::unique_lock lock(policies_mutex_, std::try_to_lock);
  if (lock) update_standing();
}

void Cache::give_up(unsigned db, std::string_view key, std::uint64_t ticket) {
  const unsigned shard = keyspace_.shard_of(keyspace_.key(key));
  keyspace_.with_locked(shard, [&] { shards_[shard]->give_up(db, key, ticket); });
}

void Cache::return_token(const TokenOf& token) {
  const store::Key key = keyspace_.key(token.key);
  const unsigned shard = keyspace_.shard_of(key);
  keyspace_.with_locked(shard, [&] { shards_[shard]->release(token.db, key, token.token, 0, unix_ms()); });
}

}  // namespace pinfold::cache
