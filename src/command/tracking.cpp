#include "pinfold/command/tracking.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "pinfold/command/attributes.hpp"
#include "pinfold/command/call.hpp"
#include "pinfold/command/client_list.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/tracking_feed.hpp"

namespace pinfold::command {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// So many keys of one command are told by name if their read is not noted.
constexpr std::size_t most_late_keys = 64;
constexpr std::size_t most_late_bytes = 16 * 1024;

// Whether reads of the next command are noted.
bool notes_reads(const Tracking& tracking) {
  if (tracking.bcast || tracking.broken) return false;
  if (tracking.optin) return tracking.caching;
  return !tracking.optout || !tracking.caching;
}

// Whether the client may keep what it reads of this key until it is told otherwise.
bool may_keep(const Tracking& tracking, std::string_view name) {
  if (!tracking.bcast) return notes_reads(tracking);
  return std::ranges::any_of(tracking.prefixes, [&](const std::string& prefix) { return name.starts_with(prefix); });
}

// Of a client that tracks, without its prefixes: with its places in lists, and what malloc adds.
constexpr std::int64_t own_memory = sizeof(Tracking) + 64;

std::size_t memory_of_prefix(std::string_view prefix) {
  constexpr std::size_t nodes = 256;  // of three maps
  return nodes + 3 * prefix.size();
}

void show(const Tracking& tracking) {
  SharedClient& shared = tracking.session.shared;
  unsigned flags = kTracks;
  if (tracking.bcast) flags |= kTracksPrefixes;
  if (tracking.broken) flags |= kRedirectBroken;
  shared.tracking.store(static_cast<std::uint8_t>(flags), relaxed);
  shared.redirect.store(tracking.redirect ? tracking.redirect->client : 0, relaxed);
}

void add_memory(Tracking& tracking, Engine& engine, std::int64_t bytes) {
  tracking.prefix_bytes = static_cast<std::size_t>(static_cast<std::int64_t>(tracking.prefix_bytes) + bytes);
  tracking.session.shared.tracking_bytes.store(tracking.prefix_bytes, relaxed);
  engine.keyspace.memory().add(store::Use::clients, bytes);
}

void drop_prefix(Tracking& tracking, Engine& engine, std::set<std::string, std::less<>>::iterator at) {
  engine.tracking.feed_of(tracking.session.shared.thread).remove_prefix(*at, tracking);
  engine.tracking.uncount_prefix(*at);
  add_memory(tracking, engine, -static_cast<std::int64_t>(memory_of_prefix(*at)));
  tracking.prefixes.erase(at);
}

// Adds prefixes, all or none of them.
void add_prefixes(Tracking& tracking, Engine& engine, std::span<const std::string_view> prefixes) {
  TrackingFeed& feed = engine.tracking.feed_of(tracking.session.shared.thread);
  std::vector<std::set<std::string, std::less<>>::iterator> added;
  added.reserve(prefixes.size());
  try {
    for (const std::string_view prefix : prefixes) {
      const auto [at, fresh] = tracking.prefixes.emplace(prefix);
      if (!fresh) continue;
      try {
        engine.tracking.count_prefix(prefix);
        try {
          feed.add_prefix(prefix, tracking);
        } catch (...) {
          engine.tracking.uncount_prefix(prefix);
          throw;
        }
      } catch (...) {
        tracking.prefixes.erase(at);
        throw;
      }
      add_memory(tracking, engine, static_cast<std::int64_t>(memory_of_prefix(prefix)));
      added.push_back(at);
    }
  } catch (...) {
    for (const auto at : added) drop_prefix(tracking, engine, at);
    throw;
  }
}

}  // namespace

Audience invalidations_for(const SharedClient& client) {
  if (client.protocol.load(relaxed) >= 3) return Audience::invalidations;
  return is_subscriber(client) ? Audience::invalidation_messages : Audience::all;
}

std::string_view invalidations_in_form(const Session& session, Audience form, std::string_view bytes, const Engine& engine) {
  if (session.protocol >= 3) return form == Audience::invalidations ? bytes : forget_push;
  if (session.subscriber == nullptr) return {};
  const TopicName channel{engine.keyspace.key(invalidation_channel).hash, invalidation_channel};
  if (!session.subscriber->topics[static_cast<std::size_t>(TopicKind::channel)].contains(channel)) return {};
  return form == Audience::invalidation_messages ? bytes : forget_message;
}

namespace {

void note_reads(Call& call) {
  Tracking& tracking = *call.session.tracking;
  const bool reads = (call.row.flags & (kReadOnly | kRunsScript)) == kReadOnly;  // what a script reads is noted command by command
  if (!reads || !notes_reads(tracking)) return;
  cache::TrackingTable& table = call.engine.cache.tracking;
  for (const store::Key& key : call.keys) {
    const bool locked = call.held.holds(call.engine.keyspace.shard_of(key));
    if (!locked || !table.of(key).note(tracking.ticket, key, call.session.db)) [[unlikely]]
      table.tell(tracking.ticket, key.text);
  }
}

}  // namespace

void follow_tracked_call(Call& call, Outcome outcome) {
  if (outcome.needs_room()) return;  // it will be called again
  if (outcome != Outcome::waits) {
    note_reads(call);
  } else if ((call.row.flags & kReadOnly) != 0) {
    note_late_reads(call.session, call.keys);
  }
  if (call.in_transaction) return;
  end_caching(*call.session.tracking, call.session, &call.row);
  const cache::Ticket writer = writer_of(call.session);
  if (writer == 0) return;
  const cache::Writer as_writer(writer);  // when the locks are released, what was changed is told
  call.held.release();
}

void note_late_reads(Session& session, std::span<const store::Key> keys) {
  Tracking& tracking = *session.tracking;
  std::size_t bytes = 0;
  try {
    for (const store::Key& key : keys) {
      if (!may_keep(tracking, key.text)) continue;
      bytes += key.text.size();
      if (tracking.late.size() >= most_late_keys || bytes > most_late_bytes) {
        tracking.late_all = true;
        return;
      }
      tracking.late.emplace_back(key.text);
    }
  } catch (const std::bad_alloc&) {
    tracking.late_all = true;
  }
}

void end_late_reads(Session& session, Engine& engine) {
  Tracking& tracking = *session.tracking;
  if (tracking.late.empty() && !tracking.late_all) return;
  for (const std::string& name : tracking.late) engine.cache.tracking.tell(tracking.ticket, name);
  std::vector<std::string>().swap(tracking.late);
  if (std::exchange(tracking.late_all, false)) engine.tracking.feed_of(session.shared.thread).forget(tracking);
}

void end_caching(Tracking& tracking, const Session& session, const Row* row) {
  if (!tracking.caching) return;
  const bool about_client = row != nullptr && row->name.starts_with("client|");
  if (session.transaction == nullptr && !about_client) tracking.caching = false;
}

cache::Ticket writer_of(const Session& session) {
  return session.tracking != nullptr && session.tracking->noloop ? session.tracking->ticket : 0;
}

std::optional<std::string_view> begin_tracking(Call& call, const TrackingRequest& request) {
  Session& session = call.session;
  Engine& engine = call.engine;
  SharedClient& shared = session.shared;
  TrackingFeed& feed = engine.tracking.feed_of(shared.thread);
  constexpr std::string_view all_keys;
  std::span<const std::string_view> prefixes = request.prefixes;
  if (request.bcast && prefixes.empty()) prefixes = {&all_keys, 1};
  std::size_t bytes = 0;
  for (const std::string_view prefix : prefixes) bytes += memory_of_prefix(prefix);
  if (request.bcast && !engine.client_may_take(shared, bytes)) return beyond_clients_memory;
  std::unique_ptr<Tracking> fresh;
  Tracking* tracking = session.tracking.get();
  if (tracking == nullptr) {
    fresh = std::make_unique<Tracking>(session);
    tracking = fresh.get();
  }
  feed.reserve();
  const cache::Ticket ticket = tracking->ticket != 0 ? tracking->ticket : engine.cache.tracking.tickets.issue(shared.thread, tracking);
  if (ticket == 0) return "ERR there are as many clients that track keys as there may be";
  try {
    add_prefixes(*tracking, engine, prefixes);
  } catch (...) {
    if (tracking->ticket == 0) engine.cache.tracking.tickets.retire(ticket);
    throw;
  }
  tracking->ticket = ticket;
  tracking->bcast = request.bcast;
  tracking->optin = request.optin;
  tracking->optout = request.optout;
  tracking->noloop = request.noloop;
  tracking->redirect = request.redirect;
  tracking->broken = false;
  if (fresh != nullptr) {
    engine.cache.tracking.begin(shared.thread, call.held);
    if (request.bcast) engine.cache.tracking.begin_broadcast(shared.thread);
    feed.add(*tracking);
    add_memory(*tracking, engine, own_memory);
    session.tracking = std::move(fresh);
  }
  show(*tracking);
  return std::nullopt;
}

void end_tracking(Session& session, Engine& engine) {
  if (session.tracking == nullptr) return;
  const unsigned thread = session.shared.thread;
  Tracking& tracking = *session.tracking;
  if (tracking.bcast) engine.cache.tracking.end_broadcast(thread);
  while (!tracking.prefixes.empty()) drop_prefix(tracking, engine, tracking.prefixes.begin());
  engine.tracking.feed_of(thread).remove(tracking);
  add_memory(tracking, engine, -own_memory);
  engine.cache.tracking.end(thread);
  if (tracking.ticket != 0) {
    engine.cache.tracking.tickets.retire(tracking.ticket);
    engine.cache.tracking.note_dead();
  }
  session.tracking = nullptr;
  session.shared.tracking.store(0, relaxed);
  session.shared.redirect.store(0, relaxed);
}

}  // namespace pinfold::command
