// Reading through the cache: which answer a reader gets, who gets a lease, who waits.

#include "pinfold/command/cache_reads.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "pinfold/base/random.hpp"
#include "pinfold/command/cache_family.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/wrong_type.hpp"

namespace pinfold::command {

using cache::Answer;
using cache::Grant;
using cache::Status;

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Whoever waits keeps a copy of the key.
constexpr std::size_t longest_key_waited_for = 4096;

void count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, relaxed); }

std::string_view name_of(Status status) {
  constexpr std::array<std::string_view, 4> names = {"hit", "stale", "absent", "miss"};
  return names[static_cast<unsigned>(status)];
}

void end_answer(resp::Reply& reply, std::uint64_t token, std::int64_t ms) {
  reply.integer(static_cast<std::int64_t>(token));
  reply.integer(std::min(ms, most_exact));
}

void reply_value(Call& call, Status status, const store::Value& value, std::uint64_t token, std::int64_t ms) {
  call.reply.array(4);
  call.reply.bulk(name_of(status));
  call.bulk(value);
  end_answer(call.reply, token, ms);
}

void reply_nothing(resp::Reply& reply, Status status, std::uint64_t token, std::int64_t ms) {
  reply.array(4);
  reply.bulk(name_of(status));
  reply.null();
  end_answer(reply, token, ms);
}

// XFetch (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede Prevention", 2015): the closer to the end
// and the longer a load takes, the likelier.
bool chosen_to_refresh(const store::Value& value, double beta, UnixMs now) {
  if (value.expires_at == 0 || value.extra == nullptr || beta <= 0) return false;
  const double load_ms = store::Extra::read(value.extra).load_ms;
  if (load_ms == 0) return false;
  const double u = static_cast<double>((random_u64() >> 11) + 1) * 0x1p-53;  // in (0, 1]
  return static_cast<double>(now) - load_ms * beta * std::log(u) >= static_cast<double>(value.expires_at);
}

// Of the entry that is there, as store::Extra keeps them.
std::string_view tags_of(const std::optional<store::Value>& value) {
  return value && value->extra != nullptr ? store::Extra::read(value->extra).tags : std::string_view();
}

cache::PolicyReads& reads_under(const Call& call, const cache::Policy* policy) {
  return call.engine.cache.reads_of(call.session.shared.thread, policy != nullptr ? policy->slot : 0);
}

void count_stale_hit(const Call& call, const store::Value& value, cache::PolicyReads& reads) {
  reads.stale_hits.add();
  ++call.session.shared.reads.stale_hits;
  count(call.engine.cache.counters.stale_hits);
  call.engine.cache.stale_ages.note(Span64::us(static_cast<std::uint64_t>(std::max<std::int64_t>(call.now - value.expires_at, 0))));
}

void count_negative_hit(const Call& call, cache::PolicyReads& reads) {
  reads.negative_hits.add();
  ++call.session.shared.reads.negative_hits;
  count(call.engine.cache.counters.negative_hits);
}

// The value of an answer, which the store shares.
resp::Written reply_shared(resp::Reply& reply, const cache::SharedValue& value) {
  return value.blob ? reply.bulk(value.blob) : reply.bulk(value.text);
}

// A client that waits for the holder of a key's lease to fill it.
class LeaseWaiting : public Waiting {
 public:
  LeaseWaiting(const Call& call, unsigned db, std::string_view key)
      : row_(call.row), cache_(call.engine.cache), since_(call.mono), db_(db), key_(key) {}

  bool still_allowed(Engine& engine, Session& session, resp::Reply& reply) final {
    return may_still_read(engine, session, row_, db_, key_, reply);
  }
  void answer(const Delivery& answer, Session& /*session*/, resp::Reply& reply) final {
    note_end();
    write(dynamic_cast<const cache::Answers&>(answer).answer, reply);
  }
  void timeout(Engine& engine, Session& session, resp::Reply& reply) final {
    note_end();
    const cache::Cache::GivenUp given_up = engine.cache.give_up(db_, key_, ticket);
    note_timeout(session, given_up);
    Answer answer;
    answer.ms = given_up.ms;
    write(answer, reply);
  }
  void abandon(Engine& engine) final {
    note_end();
    engine.cache.give_up(db_, key_, ticket);
  }

 private:
  virtual void write(const Answer& answer, resp::Reply& reply) = 0;
  virtual void note_timeout(Session& /*session*/, const cache::Cache::GivenUp& /*given_up*/) {}

  void note_end() { cache_.wait_durations.note(Span64::ms(monotonic_ms() - since_)); }

  const Row& row_;
  cache::Cache& cache_;
  const MonoMs since_;
  const unsigned db_;
  const std::string key_;
};

// CACHE.GET.
class CacheReadWaiting final : public LeaseWaiting {
 public:
  using LeaseWaiting::LeaseWaiting;

 private:
  void write(const Answer& answer, resp::Reply& reply) override {
    if (answer.value == nullptr) return reply_nothing(reply, answer.status, answer.token, answer.ms);
    reply.array(4);
    reply.bulk(name_of(answer.status));
    reply_shared(reply, *answer.value);
    end_answer(reply, answer.token, answer.ms);
  }
};

// GET under a policy. It waits only while its client has nothing more to say: the client may share the connection, and what comes next
// may be the very SET.
class PlainReadWaiting final : public LeaseWaiting {
 public:
  PlainReadWaiting(const Call& call, unsigned db, std::string_view key) : LeaseWaiting(call, db, key) { ended_by = EndedBy::any_input; }

 private:
  void write(const Answer& answer, resp::Reply& reply) override {
    if (answer.value == nullptr) {
      reply.null();
    } else {
      reply_shared(reply, *answer.value);
    }
  }
  void note_timeout(Session& session, const cache::Cache::GivenUp& given_up) override { session.told_nil.add(given_up.token); }
};

template <class Kind>
bool wait_for(Call& call, unsigned db, const store::Key& key, std::int64_t wait_ms, std::int64_t lease_ms, bool takes_stale) {
  if (wait_ms <= 0 || !may_wait(call) || key.text.size() > longest_key_waited_for) return false;
  const SharedClient& client = call.session.shared;
  auto waiting = std::make_unique<Kind>(call, db, key.text);
  waiting->until = call.mono + wait_ms;
  waiting->ticket = call.engine.cache.leases(key).wait(db, key, {client.id, client.thread, lease_ms, takes_stale});
  if (waiting->ticket == 0) return false;
  call.session.waiting = std::move(waiting);
  return true;
}

}  // namespace

std::size_t memory_of_leases(std::span<const store::Key> keys) {
  std::size_t bytes = 0;
  for (const store::Key& key : keys) bytes += cache::Leases::memory_of_lease(key.text, {});
  return bytes;
}

bool make_room_for_leases(Call& call, std::size_t bytes) {
  if (call.in_transaction || call.engine.keyspace.has_room(bytes)) return false;
  call.held.release();
  call.engine.keyspace.make_room(bytes);  // if that fails the lease is granted all the same, within the share of leases
  call.held.acquire(call.keys);
  call.read_clock();
  return true;
}

bool cache_read(Call& call, store::Database& db, const store::Key& key, const CacheReadOptions& options) {
  cache::Cache& cache = call.engine.cache;
  const cache::Policy* const policy = cache.policy_of(key.text);
  const UnixMs now = call.now;
  const store::Access access{options.counts, true, options.one_of_several};
  const auto value = db.find_any(key, access);
  if (value && !value->is_string()) [[unlikely]] {
    // As MGET's nil. Nobody is to load it: it is there.
    reply_nothing(call.reply, Status::miss, 0, 0);
    return true;
  }
  const bool fresh = value && value->fresh(now);
  std::int64_t lease_ms = options.lease_ms;
  if (lease_ms < 0) lease_ms = policy != nullptr && policy->lease_ms > 0 ? policy->lease_ms : cache.lease_ms.load(relaxed);
  if (!fresh && lease_ms > 0 && options.makes_room &&
      make_room_for_leases(call, cache::Leases::memory_of_lease(key.text, tags_of(value)))) {
    CacheReadOptions again = options;
    again.makes_room = again.counts = false;
    db = call.db();  // by now there may be other policies
    return cache_read(call, db, key, again);
  }
  const auto lease = [&] {
    return cache.leases(key).grant(db.number(), key, {policy, lease_ms, call.session.shared.id, tags_of(value)}, call.mono);
  };
  cache::PolicyReads& reads = reads_under(call, policy);

  if (fresh) {
    std::uint64_t token = 0;
    const double beta = options.beta >= 0 ? options.beta : (policy != nullptr ? policy->early_refresh : 1.0);
    if (lease_ms > 0 && chosen_to_refresh(*value, beta, now)) {
      token = lease().token;
      if (token != 0) count(cache.counters.early_refreshes);
    }
    const std::int64_t left = value->expires_at == 0 ? -1 : value->expires_at - now;
    if (!value->absent) {
      reads.hits.add();
      reply_value(call, Status::hit, *value, token, left);
    } else {
      count_negative_hit(call, reads);
      reply_nothing(call.reply, Status::absent, token, left);
    }
    return true;
  }
  if (value && !value->absent) {
    count_stale_hit(call, *value, reads);
    const std::uint64_t token = lease_ms > 0 ? lease().token : 0;
    reply_value(call, Status::stale, *value, token, std::max<std::int64_t>(value->gone_at() - now, 0));
    return true;
  }
  reads.misses.add();
  Grant grant;
  if (lease_ms > 0) {
    grant = lease();
  } else if (const std::int64_t left = cache.leases(key).look(db.number(), key.text, call.mono).lease_ms; left > 0) {
    grant = {Grant::Outcome::held, 0, left};
  }
  if (grant.outcome == Grant::Outcome::held && wait_for<CacheReadWaiting>(call, db.number(), key, options.wait_ms, lease_ms, true)) {
    return false;
  }
  if (grant.outcome == Grant::Outcome::bypassed) {
    // Every client is to load the value, as if it had a lease. With this token it can fill nothing.
    grant.token = cache.void_token();
    grant.ms = lease_ms;
  }
  reply_nothing(call.reply, Status::miss, grant.token, grant.ms);
  return true;
}

namespace {

// How long a plain read of a missing key waits for the one that came first; 0: not at all. All who wait do so until the same
// moment, counted from the grant of the lease: a row that does not exist holds readers up once in each lease.
std::int64_t plain_wait(const Session& session, const cache::Policy& policy, const Grant& grant, MonoMs now) {
  if (grant.outcome != Grant::Outcome::held || grant.held.token == 0) return 0;
  // What is behind it may be the SET that it would wait for.
  if (session.more_to_come) return 0;
  // This client is to load, or does so because it was told nil before.
  if (grant.held.holder == session.shared.id || session.told_nil.has(grant.held.token)) return 0;
  return std::max<std::int64_t>(grant.held.granted + policy.coalesce_ms - now, 0);
}

// With `makes_room` the key's lock may be released for a while, before anything has been counted or replied.
PlainRead read_under_policy(Call& call, store::Database& db, const store::Key& key, bool waiting_allowed, store::Access access,
                            bool makes_room) {
  cache::Cache& cache = call.engine.cache;
  const cache::Policy* const policy = cache.policy_of(key.text);
  const store::Keyspace& keyspace = call.engine.keyspace;
  if (policy == nullptr && !keyspace.serves_stale()) return {db.find(key, access), false};
  auto value = db.find_any(key, access.of_any_type());
  // What an entry outlasts is up to the policy under which it was written.
  const bool serves_stale = keyspace.serves_stale(value && value->extra != nullptr ? store::Extra::read(value->extra).policy : 0);
  const bool fresh = value && value->fresh(call.now);
  const bool gets_stale = value && !fresh && !value->absent && (serves_stale || policy->stale_ms > 0);
  // A stale value that this read is not to get is none, of whatever type it was.
  if (value && !value->is_string() && !access.any_type && (fresh || gets_stale)) throw store::WrongType();
  cache::PolicyReads& reads = reads_under(call, policy);
  if (fresh && !value->absent) {
    reads.hits.add();
    return {value, false};
  }
  if (fresh) {
    count_negative_hit(call, reads);
    return {};
  }
  const bool leases = gets_stale ? !serves_stale : policy != nullptr && policy->coalesce_ms > 0;
  if (leases && makes_room && make_room_for_leases(call, cache::Leases::memory_of_lease(key.text, tags_of(value)))) {
    db = call.db();  // by now there may be other policies
    return read_under_policy(call, db, key, waiting_allowed, access, false);
  }
  const auto lease_ms = [&] { return policy->lease_ms > 0 ? policy->lease_ms : cache.lease_ms.load(relaxed); };
  const auto lease = [&] {
    return cache.leases(key).grant(db.number(), key, {policy, lease_ms(), call.session.shared.id, tags_of(value)}, call.mono);
  };
  if (gets_stale) {
    // One reader in each lease's time is told nothing, and will write the value anew.
    if (!serves_stale && lease().token != 0) {
      reads.misses.add();
      return {};
    }
    count_stale_hit(call, *value, reads);
    return {value, false};
  }
  reads.misses.add();
  if (!leases) return {};
  const Grant grant = lease();
  const std::int64_t wait_ms = waiting_allowed ? plain_wait(call.session, *policy, grant, call.mono) : 0;
  const bool takes_stale = serves_stale || policy->serve_stale || policy->stale_ms > 0;
  const bool waits = wait_for<PlainReadWaiting>(call, db.number(), key, wait_ms, lease_ms(), takes_stale);
  if (!waits) call.session.told_nil.add(grant.held.token);
  return {std::nullopt, waits};
}

}  // namespace

PlainRead read_protected(Call& call, store::Database& db, const store::Key& key, bool waiting_allowed, store::Access access) {
  // Of several keys no lock is released between two reads, because MGET has made room for all of them before.
  return read_under_policy(call, db, key, waiting_allowed, access, call.keys.size() == 1);
}

void make_room_for_plain_leases(Call& call) {
  if (call.in_transaction) return;
  // To find out which keys have a policy takes longer. Where there is room for leases of all of them, it need not be known.
  if (call.engine.keyspace.has_room(memory_of_leases(call.keys))) return;
  std::size_t bytes = 0;
  for (const store::Key& key : call.keys) {
    const cache::Policy* const policy = call.engine.cache.policy_of(key.text);
    if (policy != nullptr && (policy->stale_ms > 0 || policy->coalesce_ms > 0)) bytes += cache::Leases::memory_of_lease(key.text, {});
  }
  if (bytes > 0) make_room_for_leases(call, bytes);
}

}  // namespace pinfold::command
