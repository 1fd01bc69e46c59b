#include "pinfold/cache/cache.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "pinfold/store/purges.hpp"

namespace pinfold::cache {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Tokens grow across restarts because they start from the time of day: 2 048 a millisecond, which is more than are
// granted. They stay below 2^53 until the year 2109.
constexpr std::uint64_t tokens_per_ms = 2048;

// In the map and in the queue.
std::size_t remembered_tag_bytes(const std::string& tag) {
  constexpr std::size_t nodes = 160;
  return nodes + 2 * tag.size();
}

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
  // A new policy gets a slot that no entries name any more, if there is one.
  std::array<bool, 256> taken{};
  for (const Policy& policy : policies) taken[policy.slot] = true;
  for (Policy& policy : policies) {
    for (unsigned slot = 1; policy.slot == 0 && slot < taken.size(); ++slot) {
      if (taken[slot] || keyspace_.memory().used_by_policy(static_cast<std::uint8_t>(slot)) != 0) continue;
      policy.slot = static_cast<std::uint8_t>(slot);
      taken[slot] = true;
    }
  }
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
  locks.release();
  update_standing();
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

std::uint32_t Cache::soft_stale_ms(std::string_view key) const {
  constexpr std::int64_t usual_ms = 60'000;
  const Policy* const policy = policy_of(key);
  const std::int64_t ms = policy != nullptr && policy->stale_ms > 0 ? policy->stale_ms : usual_ms;
  return static_cast<std::uint32_t>(std::min<std::int64_t>(ms, UINT32_MAX));
}

// --- purges ---

std::shared_ptr<store::Purge> Cache::purge(unsigned db, bool by_prefix, std::vector<std::string> names, bool soft, bool wipe,
                                           std::function<void(const store::Purge&)> tell, store::Keyspace::Locks& held) {
  auto purge = std::make_shared<store::Purge>();
  purge->by_prefix = by_prefix;
  purge->names = std::move(names);
  purge->soft = soft;
  purge->wipe = wipe;
  purge->at = unix_ms();
  // Asked for with the key's shard locked.
  purge->stale_for = [this](std::string_view key) { return soft_stale_ms(key); };
  std::sort(purge->names.begin(), purge->names.end());
  // The last to finish is this function itself, so that nothing is done before all tables know, and something in any case.
  purge->unswept.store(1, relaxed);
  // The tables may outlast this object.
  purge->done = [pending = purges_pending_, list = std::weak_ptr(finished_)](const std::shared_ptr<store::Purge>& over) {
    pending->fetch_sub(1, relaxed);
    const std::shared_ptr<Finished> finished = list.lock();
    if (finished == nullptr) return;
    const std::lock_guard lock(finished->mutex);
    over->next = std::exchange(finished->first, over);
  };
  purge->tell = std::move(tell);
  purges_pending_->fetch_add(1, relaxed);
  struct Finish {
    std::shared_ptr<store::Purge> purge;
    ~Finish() { store::Purge::swept(purge); }
  } const finish{purge};
  if (!by_prefix) note_tag_purge(purge->names);
  if (!keyspace_.purge(db, purge, held)) {
    purge->tell = nullptr;
    return nullptr;
  }
  (by_prefix ? counters.purges_prefix : counters.purges_tags).fetch_add(1, relaxed);
  return purge;
}

void Cache::tell_finished() {
  std::shared_ptr<store::Purge> first;
  {
    const std::lock_guard lock(finished_->mutex);
    first.swap(finished_->first);
  }
  while (first != nullptr) {
    const std::shared_ptr<store::Purge> purge = std::exchange(first, std::move(first->next));
    try {
      if (purge->tell) purge->tell(*purge);
    } catch (const std::bad_alloc&) {  // once more, later
      const std::lock_guard lock(finished_->mutex);
      purge->next = std::exchange(finished_->first, purge);
    }
  }
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
    keyspace_.memory().add(store::Use::herd, -static_cast<std::int64_t>(remembered_tag_bytes(tag)));
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
  const auto forget_all = [this] {
    barrier_ = epoch_;
    for (const auto& [when, tag] : purged_order_) {
      keyspace_.memory().add(store::Use::herd, -static_cast<std::int64_t>(remembered_tag_bytes(tag)));
    }
    purged_tags_.clear();
    purged_order_.clear();
  };
  std::size_t bytes = 0;
  for (const std::string& tag : tags) bytes += remembered_tag_bytes(tag);
  if (purged_order_.size() + tags.size() > most_remembered || !has_room(bytes)) return forget_all();
  try {
    for (const std::string& tag : tags) {
      purged_order_.emplace_back(epoch_, tag);
      keyspace_.memory().add(store::Use::herd, static_cast<std::int64_t>(remembered_tag_bytes(tag)));
      purged_tags_[tag] = epoch_;
    }
  } catch (const std::bad_alloc&) {
    forget_all();
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

std::int64_t Cache::give_up(unsigned db, std::string_view key, std::uint64_t ticket) {
  constexpr std::int64_t soon_ms = 100;
  const unsigned shard = keyspace_.shard_of(keyspace_.key(key));
  std::int64_t ms = 0;
  keyspace_.with_locked(shard, [&] {
    shards_[shard]->give_up(db, key, ticket);
    ms = shards_[shard]->look(db, key, unix_ms()).lease_ms;
  });
  return ms > 0 ? ms : soon_ms;
}

void Cache::return_token(const TokenOf& token) {
  const store::Key key = keyspace_.key(token.key);
  const unsigned shard = keyspace_.shard_of(key);
  keyspace_.with_locked(shard, [&] { shards_[shard]->release(token.db, key, token.token, 0, unix_ms()); });
}

}  // namespace pinfold::cache
