#include "pinfold/cache/leases.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/cache/cache.hpp"
#include "pinfold/store/budget.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/extra.hpp"

namespace pinfold::cache {

using store::Key;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Bytes of one key's state: a node of the map as malloc rounds it, and the key twice, in the node and in an alarm.
constexpr std::int64_t memory_of_state(std::size_t name) { return static_cast<std::int64_t>(352 + 2 * name); }
// Bytes of one waiting client: a node of the map, and the key in the client's session.
constexpr std::int64_t memory_of_waiter(std::size_t name) { return static_cast<std::int64_t>(80 + name); }
constexpr std::size_t refused_bytes = 112;
// In how many milliseconds a client is told to ask again, if no better time is known.
constexpr std::int64_t soon_ms = 100;

void count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, relaxed); }

}  // namespace

// A lease does not end when its entry expires, is evicted, or gets another deadline. It notices a purge when it is looked at,
// so it subscribes to no causes for purges.
Leases::Leases(Cache& cache, unsigned shard)
    : cache_(cache),
      shard_(shard),
      subscription_(cache.keyspace().changes(shard), *this,
                    {store::Cause::written, store::Cause::grown, store::Cause::staled, store::Cause::deleted, store::Cause::invalidated,
                     store::Cause::flushed, store::Cause::exchanged}) {}

// --- the map ---

Leases::States::iterator Leases::find(unsigned db, std::string_view key) {
  const auto found = states_.find(NameView(db, key));
  if (found != states_.end()) check_for_purges(found);
  return found;
}

// Voids the lease of a key if there was a flush or a purge since it was last looked at, or if the key is bypassed. Returns how many bytes
// it has compared.
std::size_t Leases::check_for_purges(States::iterator at) {
  State& state = at->second;
  const unsigned db = at->first.first;
  std::size_t looked_at = 0;
  bool voided = std::exchange(state.generation, generations_[db]) != generations_[db] || cache_.bypassed(at->first.second);
  if (const std::uint64_t last = cache_.last_purge(); state.checked_up_to != last) {
    voided |= cache_.purged_since(db, state.checked_up_to, at->first.second, state.tags, looked_at);
    state.checked_up_to = last;
  }
  work::bytes(looked_at);
  if (voided) void_lease(at);
  return looked_at;
}

Leases::State* Leases::alive(unsigned db, std::string_view key, std::uint64_t token, MonoMs now) {
  const auto at = find(db, key);
  if (at == states_.end() || token == 0) return nullptr;
  return at->second.token == token && now < at->second.deadline ? &at->second : nullptr;
}

Leases::States::iterator Leases::add(unsigned db, std::string_view key) {
  const auto [at, fresh] = states_.try_emplace(Name(db, key));
  if (fresh) {
    at->second.name = &at->first;
    at->second.generation = generations_[db];
    at->second.checked_up_to = cache_.last_purge();
    subscription_.listen(true);
    cache_.keyspace().memory().add(store::Use::coalescing, memory_of_state(key.size()));
  }
  return at;
}

void Leases::erase(States::iterator at) {
  forget_tags(at->second);
  cache_.keyspace().memory().add(store::Use::coalescing, -memory_of_state(at->first.second.size()));
  if (tended_ == at) ++tended_;
  if (at->second.listed) waited_for_.erase(&at->second);
  states_.erase(at);
  subscription_.listen(!states_.empty());
}

void Leases::forget_if_idle(States::iterator at, MonoMs now) {
  const State& state = at->second;
  if (state.token == 0 && state.waiters.empty() && state.retry_at <= now && !state.wants_settle) erase(at);
}

// --- a lease's life ---

std::size_t Leases::memory_of_lease(std::string_view key, std::string_view tags) {
  return static_cast<std::size_t>(memory_of_state(key.size())) + tags.size();
}

Grant Leases::grant(unsigned db, const Key& key, const LeaseRequest& request, MonoMs now) { return grant_to(db, key, request, now, false); }

// `waited`: whether the lease is for the client that has waited longest. That client goes before all others.
Grant Leases::grant_to(unsigned db, const Key& key, const LeaseRequest& request, MonoMs now, bool waited) {
  const Policy* const policy = request.policy;
  auto at = find(db, key.text);
  if (at != states_.end()) {
    end_expired(at, now);
    const State& state = at->second;
    if (state.token != 0) {
      return {Grant::Outcome::held, 0, state.deadline - now, {state.token, state.holder, state.granted}};
    }
    if (!waited && !state.waiters.empty()) return {Grant::Outcome::held, 0, soon_ms};
    if (state.retry_at > now) return {Grant::Outcome::backing_off, 0, state.retry_at - now};
  }
  if (cache_.bypassed(key.text)) [[unlikely]]
    return {Grant::Outcome::bypassed, 0, soon_ms};
  const std::uint8_t slot = policy != nullptr ? policy->slot : 0;
  const auto reached_limit = [&]() -> std::optional<unsigned> {
    if (cache_.leases_alive() >= cache_.max_leases.load(relaxed)) return LeaseRefusal::max_leases;
    const auto alive = static_cast<std::uint64_t>(std::max<std::int64_t>(cache_.counters_of(slot).leases_alive.load(relaxed), 0));
    if (policy != nullptr && alive >= policy->max_leases) return LeaseRefusal::policy;
    return std::nullopt;
  };
  std::optional<unsigned> refusal = reached_limit();
  if (refusal) {
    end_some_expired(now);
    at = states_.find(NameView(db, key.text));  // it may have been erased, if it was idle
    refusal = reached_limit();
  }
  const bool new_state = at == states_.end();
  const std::size_t bytes = request.tags.size() + (new_state ? static_cast<std::size_t>(memory_of_state(key.text.size())) : 0);
  if (!refusal && bytes > 0 && !cache_.has_room(bytes)) refusal = LeaseRefusal::memory;
  if (refusal) {
    count(cache_.counters.no_lease[*refusal]);
    return {Grant::Outcome::used_up, 0, soon_ms};
  }
  if (new_state) at = add(db, key.text);
  State& state = at->second;
  forget_tags(state);
  try {
    state.tags = request.tags;
    state.purge_number = cache_.begin_lease();
  } catch (const std::bad_alloc&) {
    state.tags.clear();
    forget_if_idle(at, now);
    throw;
  }
  cache_.keyspace().memory().add(store::Use::coalescing, static_cast<std::int64_t>(state.tags.size()));
  state.checked_up_to = state.purge_number;
  state.token = cache_.next_token();
  state.holder = request.client;
  state.granted = now;
  state.deadline = now + request.ms;
  state.policy = slot;
  cache_.leases_alive_.fetch_add(1, relaxed);
  cache_.counters_of(slot).leases_alive.fetch_add(1, relaxed);
  count(cache_.counters_of(slot).leases);
  count(cache_.counters.granted);
  return {Grant::Outcome::granted, state.token, request.ms};
}

// Ends some leases that have run out, so that they do not count when leases are used up. Does so once a millisecond at most.
void Leases::end_some_expired(MonoMs now) {
  constexpr std::size_t some = 256;
  if (std::exchange(ended_expired_, now) != now) tend_states(some, now);
}

void Leases::end_lease(State& state) {
  if (state.token == 0) return;
  state.token = 0;
  cancel_alarm(state);
  cache_.leases_alive_.fetch_sub(1, relaxed);
  cache_.counters_of(state.policy).leases_alive.fetch_sub(1, relaxed);
}

// Forgets the tags of the entry that was to be replaced. From now on a purge of one of these tags is not noticed.
void Leases::forget_tags(State& state) {
  if (state.purge_number == 0) return;
  cache_.keyspace().memory().add(store::Use::coalescing, -static_cast<std::int64_t>(state.tags.size()));
  state.tags = {};
  cache_.end_lease(std::exchange(state.purge_number, 0));
}

void Leases::end_expired(States::iterator at, MonoMs now) {
  State& state = at->second;
  if (state.token == 0 || state.deadline > now) return;
  count(cache_.counters.expired);
  end_lease(state);
  forget_tags(state);
  if (!state.waiters.empty()) want_settle(at);
}

bool Leases::is_valid(unsigned db, std::string_view key, std::uint64_t token, MonoMs now) { return alive(db, key, token, now) != nullptr; }

bool Leases::outdated(unsigned db, std::string_view key, std::string_view tags) {
  const auto at = find(db, key);
  std::size_t looked_at = 0;
  const bool purged = at != states_.end() && cache_.tags_purged_since(db, at->second.purge_number, tags, looked_at);
  work::bytes(looked_at);
  return purged;
}

std::int64_t Leases::age_ms(unsigned db, std::string_view key, std::uint64_t token, MonoMs now) {
  const State* const state = alive(db, key, token, now);
  return state != nullptr ? now - state->granted : 0;
}

void Leases::note_load(const State& state) {
  const std::int64_t ms = std::max<std::int64_t>(monotonic_ms() - state.granted, 0);
  count(cache_.counters.filled);
  cache_.load_durations.note(Span64::ms(ms));
  PolicyCounters& policy = cache_.counters_of(state.policy);
  count(policy.loads);
  policy.load_ms.fetch_add(static_cast<std::uint64_t>(ms), relaxed);
}

Leases::Filling::~Filling() {
  leases_.filling_ = nullptr;
  if (!written_) return;
  const auto at = leases_.find(db_, key_);
  if (at == leases_.states_.end()) return;
  leases_.note_load(at->second);
  leases_.end_lease(at->second);
  leases_.forget_tags(at->second);
  at->second.retry_at = {};
  if (at->second.waiters.empty()) {
    leases_.forget_if_idle(at, monotonic_ms());
  } else {
    leases_.want_settle(at);
  }
}

bool Leases::release(unsigned db, const Key& key, std::uint64_t token, std::int64_t retry_ms, MonoMs now) {
  if (alive(db, key.text, token, now) == nullptr) return false;
  const auto at = find(db, key.text);
  end_lease(at->second);
  count(cache_.counters.released);
  at->second.retry_at = retry_ms > 0 ? now + retry_ms : MonoMs{};
  if (retry_ms == 0) forget_tags(at->second);  // with RETRY they are kept, because a purge of one of them ends the back-off
  if (at->second.waiters.empty()) {
    forget_if_idle(at, now);
  } else {
    want_settle(at);
  }
  return true;
}

bool Leases::renew(unsigned db, std::string_view key, std::uint64_t token, std::int64_t ms, MonoMs now) {
  State* const state = alive(db, key, token, now);
  if (state == nullptr) return false;
  state->deadline = now + ms;
  if (!state->waiters.empty()) set_alarm(find(db, key));
  return true;
}

// --- versions ---

std::size_t Leases::memory_of_refused(std::string_view key) { return refused_bytes + key.size(); }

void Leases::refuse_versions(unsigned db, std::string_view key, std::uint64_t version, MonoMs until, MonoMs now) {
  const auto [at, fresh] = refused_.try_emplace(Name(db, key));
  if (fresh) cache_.keyspace().memory().add(store::Use::coalescing, static_cast<std::int64_t>(memory_of_refused(key)));
  Refused& refused = at->second;
  refused.version = std::max(version, refused.until > now ? refused.version : 0);
  refused.until = std::max(refused.until, until);
}

std::uint64_t Leases::refused_version(unsigned db, std::string_view key, MonoMs now) const {
  const auto at = refused_.find(NameView(db, key));
  return at != refused_.end() && at->second.until > now ? at->second.version : 0;
}

// --- waiting ---

std::uint64_t Leases::wait(unsigned db, const Key& key, const Waiter& waiter) {
  const auto at = find(db, key.text);
  const std::int64_t bytes = memory_of_waiter(key.text.size());
  const auto refuse = [this](unsigned why) -> std::uint64_t {
    count(cache_.counters.no_wait[why]);
    return 0;
  };
  if (at == states_.end()) return refuse(WaitRefusal::no_lease);
  if (cache_.waiters() >= cache_.max_waiters.load(relaxed)) return refuse(WaitRefusal::max_waiters);
  if (!cache_.has_room(static_cast<std::size_t>(bytes))) return refuse(WaitRefusal::memory);
  if (!at->second.listed) at->second.listed = waited_for_.insert(&at->second).second;
  set_alarm(at);
  // Clients that want no lease get higher tickets than all others. So the first client in the map is the one that gets the next
  // lease.
  constexpr std::uint64_t without_lease = 1ULL << 63;
  const std::uint64_t ticket = cache_.next_ticket() | (waiter.lease_ms > 0 ? 0 : without_lease);
  at->second.waiters.emplace(ticket, waiter);
  cache_.waiters_.fetch_add(1, relaxed);
  cache_.keyspace().memory().add(store::Use::coalescing, bytes);
  return ticket;
}

bool Leases::give_up(unsigned db, std::string_view key, std::uint64_t ticket) {
  const auto at = find(db, key);
  if (at == states_.end() || at->second.waiters.erase(ticket) == 0) return false;
  cache_.waiters_.fetch_sub(1, relaxed);
  cache_.keyspace().memory().add(store::Use::coalescing, -memory_of_waiter(key.size()));
  forget_if_idle(at, monotonic_ms());
  return true;
}

// Sets an alarm, so that the background looks at the key when the lease runs out.
void Leases::set_alarm(States::iterator at) {
  State& state = at->second;
  if (state.token == 0 || (state.alarm != 0 && state.alarm_at == state.deadline)) return;
  cancel_alarm(state);
  state.alarm_at = state.deadline;
  state.alarm = cache_.add_alarm(state.alarm_at, shard_, at->first.first, at->first.second, sooner_);
  if (sooner_) subscription_.want_settle();
}

void Leases::cancel_alarm(State& state) {
  if (state.alarm != 0) cache_.cancel_alarm(state.alarm_at, std::exchange(state.alarm, 0));
}

void Leases::alarm(unsigned db, std::string_view key, MonoMs now) {
  const auto at = find(db, key);
  if (at == states_.end()) return;
  // The alarm may be an earlier one, which was cancelled when it was due already.
  if (at->second.alarm_at <= now) at->second.alarm = 0;
  end_expired(at, now);
  if (!at->second.waiters.empty()) set_alarm(at);
}

Leases::Look Leases::look(unsigned db, std::string_view key, MonoMs now) {
  const auto at = find(db, key);
  if (at == states_.end()) return {};
  const State& state = at->second;
  return {state.token != 0 ? std::max<std::int64_t>(state.deadline - now, 0) : 0, state.waiters.size(), state.token};
}

std::size_t Leases::tend_states(std::size_t most, MonoMs now) {
  if (tended_ == states_.end()) tended_ = states_.begin();
  std::size_t done = 0;
  for (store::Budget budget; done < most && !budget.spent() && tended_ != states_.end(); ++done) {
    work::nodes();
    const auto here = tended_++;
    State& state = here->second;
    const std::size_t looked_at = check_for_purges(here);
    end_expired(here, now);
    // These clients could not be answered for want of memory.
    if (state.token == 0 && !state.waiters.empty()) want_settle(here);
    budget.take(1, looked_at + cost_to_settle(state));
    forget_if_idle(here, now);
  }
  return tended_ == states_.end() ? most : done;
}

std::size_t Leases::due() const { return std::clamp<std::size_t>(std::max(states_.size(), refused_.size()) / 8, 64, 8192); }

std::size_t Leases::tend(std::size_t most, MonoMs now) {
  const std::size_t done = tend_states(most, now);
  if (tended_refused_ == refused_.end()) tended_refused_ = refused_.begin();
  for (std::size_t left = most; left > 0 && tended_refused_ != refused_.end(); --left) {
    work::nodes();
    const auto here = tended_refused_++;
    if (here->second.until > now) continue;
    cache_.keyspace().memory().add(store::Use::coalescing, -static_cast<std::int64_t>(memory_of_refused(here->first.second)));
    refused_.erase(here);
  }
  return done;
}

// --- what others do ---

// Voids the lease of a key after another client has changed the key: the holder may have read the value before the change.
void Leases::void_lease(States::iterator at) {
  State& state = at->second;
  if (state.token != 0) {
    count(cache_.counters.voided);
    end_lease(state);
  }
  forget_tags(state);
  state.retry_at = {};
  if (!state.waiters.empty()) want_settle(at);
}

void Leases::want_settle(States::iterator at) {
  State& state = at->second;
  if (state.wants_settle) return;
  state.wants_settle = true;
  state.next_to_settle = std::exchange(to_settle_, &state);
  subscription_.want_settle();
}

void Leases::changed(const store::Change& change) noexcept {
  const bool whole = change.cause == store::Cause::flushed || change.cause == store::Cause::exchanged;
  if (whole) {
    flushed(change.db);
  } else {
    written(change);
  }
}

// Keeps the value that a write has not stored, for the clients that wait for the key. If there is no memory for a copy, the next
// client gets the lease. What is kept is gone when settle() returns.
void Leases::keep_unstored(State& state, const store::Change& change) {
  state.unstored = nullptr;
  const bool removed = change.cause == store::Cause::written && change.removed_live();
  if (change.unstored == nullptr && !removed) return;
  const store::Value value = removed ? change.before->value() : *change.unstored;
  if (!value.is_string()) return;
  try {
    auto kept = std::make_unique<Unstored>(Unstored{nullptr, value.expires_at, generations_[change.db], cache_.last_purge()});
    if (!value.absent) {
      auto copy = std::make_shared<SharedValue>();
      if (value.is_block()) {
        copy->blob = value.share();
      } else {
        copy->text = value.text;
      }
      work::bytes(copy->text.size());
      kept->value = std::move(copy);
    }
    state.unstored = std::move(kept);
  } catch (const std::bad_alloc&) {
  }
}

// Answers the clients that wait with what was written but not stored. Returns false if there is no such thing.
bool Leases::answer_unstored(States::iterator at, UnixMs now) {
  State& state = at->second;
  const std::unique_ptr<Unstored> kept = std::move(state.unstored);
  if (kept == nullptr || kept->generation != generations_[at->first.first] || kept->last_purge != cache_.last_purge()) return false;
  const std::int64_t left = kept->until == 0 ? -1 : std::max<std::int64_t>(kept->until - now, 0);
  answer_all(state, {kept->value != nullptr ? Status::hit : Status::absent, 0, left, kept->value, {}});
  return true;
}

void Leases::written(const store::Change& change) {
  const unsigned db = change.db;
  const Key& key = change.key;
  const auto at = states_.find(NameView(db, key.text));
  if (at != states_.end() && !at->second.waiters.empty()) keep_unstored(at->second, change);
  if (filling_ != nullptr && filling_->db_ == db && filling_->key_ == key.text) {
    filling_->written_ = true;
    return;
  }
#ifdef PINFOLD_BREAK_VOID
  return;  // a build for the test which shows that the race checker notices a lease that is not voided
#endif
  if (at == states_.end()) return;
  void_lease(at);
  forget_if_idle(at, monotonic_ms());
}

void Leases::flushed(unsigned db) {
  ++generations_[db];
  if (!waited_for_.empty()) cache_.ask_to_tell();
}

// The bytes that settle() may copy for this key at the end of the hold.
std::size_t Leases::cost_to_settle(const State& state) { return state.wants_settle ? store::max_inline_entry : 0; }

bool Leases::tell_waiting(std::size_t most, MonoMs now) {
  for (store::Budget budget; most > 0 && !budget.spent(); --most) {
    const auto next = waited_for_.upper_bound(told_);
    told_ = next != waited_for_.end() ? *next : nullptr;
    if (told_ == nullptr) return false;
    work::entries();
    const auto at = states_.find(*told_->name);
    const std::size_t looked_at = check_for_purges(at);
    budget.take(1, looked_at + cost_to_settle(at->second));
    if (at->second.waiters.empty()) {
      at->second.listed = false;
      waited_for_.erase(next);
    }
    forget_if_idle(at, now);
  }
  return true;
}

// --- answering waiting clients ---

void Leases::answer_all(State& state, Answer answer) {
  const auto answers = std::make_shared<Answers>(cache_);
  answers->answer = std::move(answer);
  answers->to.swap(state.waiters);
  deliver(state, answers);
}

// Answers the clients that take a stale value. A client that waits in a plain read takes none, unless the policy of the key
// says otherwise.
void Leases::answer_stale(State& state, Answer answer) {
  const auto answers = std::make_shared<Answers>(cache_);
  answers->answer = std::move(answer);
  work::nodes(state.waiters.size());
  for (auto at = state.waiters.begin(); at != state.waiters.end();) {
    const auto here = at++;
    if (here->second.takes_stale) answers->to.insert(answers->to.end(), state.waiters.extract(here));
  }
  deliver(state, answers);
}

void Leases::answer(State& state, Waiters::iterator who, Answer answer) {
  const auto answers = std::make_shared<Answers>(cache_);
  answers->answer = std::move(answer);
  answers->to.insert(state.waiters.extract(who));
  deliver(state, answers);
}

void Leases::deliver(State& state, const std::shared_ptr<Answers>& answers) {
  if (answers->to.empty()) return;
  try {
    if (cache_.client_threads != nullptr) cache_.client_threads->deliver(answers);
  } catch (const std::bad_alloc&) {
    state.waiters.merge(answers->to);  // no client has been answered; tend() tries again
    throw;
  }
  const auto count = static_cast<std::int64_t>(answers->to.size());
  cache_.waiters_.fetch_sub(count, relaxed);
  cache_.keyspace().memory().add(store::Use::coalescing, -count * memory_of_waiter(state.name->second.size()));
}

// Called when there is no value to answer with. The client that has waited longest, and wants a lease, gets one and is to load
// the value. If no lease can be granted, no client will load the value, so all are told at once to ask again.
void Leases::hand_over(States::iterator at, std::string_view tags, MonoMs now) {
  State& state = at->second;
  const auto next = state.waiters.begin();
  if (next->second.lease_ms == 0) return answer_all(state, {});  // no client behind it wants a lease either
  const Key key = cache_.keyspace().key(at->first.second);
  const LeaseRequest request{cache_.policy_of(key.text), next->second.lease_ms, next->second.client, tags};
  const Grant grant = grant_to(at->first.first, key, request, now, true);
  if (grant.token == 0) return answer_all(state, {Status::miss, 0, grant.ms, nullptr, {}});
  answer(state, next, {Status::miss, grant.token, grant.ms, nullptr, {grant.token, at->first.first, at->first.second}});
  if (!state.waiters.empty()) set_alarm(at);
}

void Leases::settle_key(States::iterator at, const Moment& now) {
  work::nodes();
  State& state = at->second;
  if (state.waiters.empty()) return forget_if_idle(at, now.mono);
  const unsigned db = at->first.first;
  const Key key = cache_.keyspace().key(at->first.second);
  const auto found = store::Database(cache_.keyspace(), db, now.unix).find_any(key, store::Access::none());
  // With serve-stale an entry may be kept beyond its end. Then 0 milliseconds are left.
  const auto left = [&now](UnixMs until) { return until == 0 ? -1 : std::max<std::int64_t>(until - now.unix, 0); };
  const bool fresh = found && found->fresh(now.unix);
  if (answer_unstored(at, now.unix)) return forget_if_idle(at, now.mono);
  if (fresh && found->absent) {
    answer_all(state, {Status::absent, 0, left(found->expires_at), nullptr, {}});
    return forget_if_idle(at, now.mono);
  }
  if (found && !found->is_string()) {
    // The clients wait for a string. They are told to ask again, and are then answered WRONGTYPE.
    answer_all(state, {});
    return forget_if_idle(at, now.mono);
  }
  if (found && !found->absent) {
    auto value = std::make_shared<SharedValue>();
    if (found->is_block()) {
      value->blob = found->share();
    } else {
      value->text = found->text;
    }
    work::bytes(value->text.size());
    const std::int64_t ms = left(fresh ? found->expires_at : found->gone_at());
    Answer answer{fresh ? Status::hit : Status::stale, 0, ms, std::move(value), {}};
    if (fresh) {
      answer_all(state, std::move(answer));
    } else {
      answer_stale(state, std::move(answer));
    }
  }
  const std::string_view tags = found && found->extra != nullptr ? store::Extra::read(found->extra).tags : std::string_view();
  if (state.retry_at > now.mono) {
    answer_all(state, {Status::miss, 0, state.retry_at - now.mono, nullptr, {}});
  } else if (state.token == 0 && !state.waiters.empty()) {
    hand_over(at, tags, now.mono);
  }
  forget_if_idle(at, now.mono);
}

void Leases::settle() {
  const Moment now = moment();
  try {
    // Settling one key may put another one into the list.
    while (to_settle_ != nullptr) {
      State& state = *std::exchange(to_settle_, to_settle_->next_to_settle);
      state.wants_settle = false;
      settle_key(states_.find(*state.name), now);
    }
  } catch (const std::bad_alloc&) {
    // tend() finds the clients that were not answered.
    while (to_settle_ != nullptr) std::exchange(to_settle_, to_settle_->next_to_settle)->wants_settle = false;
  }
  if (std::exchange(sooner_, false)) cache_.keyspace().wake_background();  // in time for Cache::next_alarm()
}

}  // namespace pinfold::cache
