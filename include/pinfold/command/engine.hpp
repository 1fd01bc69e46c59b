#pragma once
// The parts of the server that commands need. The server room makes one Engine, and all I/O threads use it.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/audit_log.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/base/event_log.hpp"
#include "pinfold/base/log_counts.hpp"
#include "pinfold/cache/cache.hpp"
#include "pinfold/command/access_sampler.hpp"
#include "pinfold/command/blocked_pops.hpp"
#include "pinfold/command/clients.hpp"
#include "pinfold/command/command_log.hpp"
#include "pinfold/command/figure_history.hpp"
#include "pinfold/command/keyspace_events.hpp"
#include "pinfold/command/latency_monitor.hpp"
#include "pinfold/command/monitors.hpp"
#include "pinfold/command/pubsub.hpp"
#include "pinfold/command/rates.hpp"
#include "pinfold/command/scripting.hpp"
#include "pinfold/command/stats.hpp"
#include "pinfold/command/tls_status.hpp"
#include "pinfold/command/tracing.hpp"
#include "pinfold/command/tracking_feed.hpp"
#include "pinfold/command/working_set.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/security/acl_log.hpp"
#include "pinfold/security/auth_failures.hpp"
#include "pinfold/security/users.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

class Engine {
 public:
  Engine(config::Settings& server_settings, store::Keyspace& server_keyspace, unsigned threads);

  /// From now on clients are reached through `threads`; null: no longer. Before the first client, or after the last.
  void connect(ClientThreads* threads) { clients.threads = cache.client_threads = threads; }

  config::Settings& settings;
  store::Keyspace& keyspace;
  cache::Cache cache;
  security::Users users;  // a change of `requirepass` sets the password of the default user
  security::AuthFailures auth_failures;
  security::AclLog acl_log;
  Clients clients;
  BlockedPops blocked_pops;
  Stats stats;
  Accesses accesses;
  TlsStatus tls;
  Rates rates;
  FigureHistory history;
  CommandLog command_log;
  LatencyMonitor latency;
  Monitors monitors;
  TrackingService tracking;
  PubSub pubsub;
  KeyspaceEvents keyspace_events;
  WorkingSet working_set;
  Scripting scripting;
  EventLog events;
  LogCounts log_counts;  // of the log, to which the lines of `events` go
  AuditLog audit;        // off until the server starts it
  Tracing tracing;

  const std::string run_id;  // 40 hexadecimal digits, random per process
  const std::int64_t started_us = monotonic_us();
  const UnixMs started_at = unix_ms();
  const std::uint64_t memory_at_start;  // bytes that were used before there was any data

  /// The memory that all clients together may take (maxmemory-clients); UINT64_MAX if there is no limit.
  std::uint64_t clients_share() const;
  /// The memory that the clients of this user together may take (maxmemory-user); UINT64_MAX if there is no limit.
  std::uint64_t user_share(const security::UserUsage& user) const;
  /// Whether the client may take `bytes` more: all clients together, and those of its user. Called by the client's thread.
  bool client_may_take(const SharedClient& client, std::uint64_t bytes) const;
  /// Whether the clients of the client's user may take `bytes` more.
  bool user_may_take(const SharedClient& client, std::uint64_t bytes) const;
  /// Brings the usage of the client's user up to date, and closes clients of the user if they take more than they may. Called by the
  /// client's thread, with nothing locked, when the client takes more or its user may have changed. O(1); O(clients of the user) if clients
  /// are closed.
  void enforce_user_share(Session& session);

  /// Abandoned bytes, which only unread replies keep: blobs that no entry refers to and that are not arriving, and nodes of collections
  /// that are in no entry any more. The result may be more than the real sum, never less. O(1).
  std::int64_t abandoned() const {
    const BlockHeap& heap = keyspace.memory().heap();
    const std::int64_t unread = clients.unread_blobs.load(std::memory_order_relaxed);
    const std::int64_t blobs = std::min(unread, heap.loose() - clients.arriving.load(std::memory_order_relaxed));
    const std::int64_t trees = std::min(clients.pinned.load(std::memory_order_relaxed), heap.unstored_trees());
    return std::max<std::int64_t>(blobs, 0) + std::max<std::int64_t>(trees, 0);
  }

  /// Asks for an orderly shutdown and returns at once. Set by the server.
  std::function<void()> shut_down;
  /// Runs work on the main thread that may take as long as a disk. Only new connections wait for it. Set by the server.
  std::function<void(std::function<void()> work)> on_main_thread;

 private:
  std::uint64_t share_of(std::int64_t setting) const;
};

}  // namespace pinfold::command
