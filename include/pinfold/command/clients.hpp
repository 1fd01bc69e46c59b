#pragma once
// The registry of connected clients. CLIENT LIST, KILL, UNBLOCK and PAUSE use it, and INFO.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {

/// The name of the client's user, for lists and the log. As in Redis, a client that has not authenticated has the default user.
/// Called by the client's thread, or with the client's mutex locked. The name is valid until the mutex is unlocked, or the
/// client gets another user.
inline std::string_view user_name(const SharedClient& client) {
  return client.user != nullptr ? std::string_view(client.user->name()) : security::default_user_name;
}

enum class PauseMode { none, writes, all };

/// Thread-safe. It owns no client: a client is added when its connection starts, and removed before the connection is
/// destroyed. A client that a `visit` gets is valid during the visit, because the registry is locked; so a visit must not call
/// functions that lock it.
class Clients {
 public:
  std::uint64_t next_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }
  void add(SharedClient& client);
  void remove(SharedClient& client);
  /// Connections that were refused because of maxclients.
  void count_rejected() { rejected_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t rejected() const { return rejected_.load(std::memory_order_relaxed); }
  void reset_rejected() { rejected_.store(0, std::memory_order_relaxed); }
  std::size_t count() const { return count_.load(std::memory_order_relaxed); }
  /// Bytes that all clients would take if they were idle.
  std::uint64_t idle_bytes() const { return idle_bytes_of(count()) + transport_bytes(); }
  /// Bytes that so many clients with plain sockets would take.
  static constexpr std::uint64_t idle_bytes_of(std::uint64_t clients) {
    constexpr std::uint64_t one = 2304;  // measured: scripts/bench idle
    return clients * one;
  }
  /// The part of idle_bytes() that transports take beyond what plain sockets do.
  std::uint64_t transport_bytes() const { return transport_bytes_.load(std::memory_order_relaxed); }
  /// Says how much of that is this client's, from now on. Called by the client's thread.
  void set_transport_bytes(SharedClient& client, std::uint64_t bytes);
  std::uint64_t last_id() const { return next_id_.load(std::memory_order_relaxed) - 1; }

  /// Calls `visit` for each client that was there when it began, in the order of their ids. The registry is locked for 64 of them at a
  /// time. O(clients).
  void for_each(const std::function<void(SharedClient&)>& visit);

  /// Calls `visit` for at most `most` clients, from the id `from` on. Returns the id to go on from; 0 if there are no more. A
  /// long list is made in such pieces, so that new clients need not wait for the registry. O(log clients + most).
  std::uint64_t for_some(std::uint64_t from, std::size_t most, const std::function<void(SharedClient&)>& visit);

  /// Calls `visit` for the client with this id, if it is connected. O(log clients).
  void with(std::uint64_t id, const std::function<void(SharedClient&)>& visit);

  /// Marks a client for closing and wakes its thread, which closes it. Called inside a visit.
  void kill(SharedClient& client);

  /// Ends the wait of a client for its reply: the client gets the reply that it would get when its time is up, or an error.
  /// Returns false if the client does not wait. Called inside a visit.
  bool end_wait(SharedClient& client, bool with_error);

  /// Sets to which user the client counts: Session::usage(). Called by the client's thread with nothing locked, when the client's user
  /// may have changed. O(1), and O(log clients) if it has. Throws std::bad_alloc.
  void follow_user(Session& session);
  /// Brings the usage of the client's user up to date with the client's memory() and requests. Called by the client's thread when the
  /// memory has changed. O(1).
  void recount(SharedClient& client);

  /// Kills clients until all together take no more than `share` bytes. Unauthenticated clients are killed first, then the
  /// others, and among them those first that take most memory. Clients with CLIENT NO-EVICT on are exempt. All others together
  /// keep at least a quarter of the share, however much the exempt ones take. Returns false if it is still too much, because of
  /// exempt clients. O(clients).
  bool evict_largest(std::uint64_t share);
  /// The same for the clients that count to one user. O(clients of the user).
  bool evict_largest_of(security::UserUsage& user, std::uint64_t share);
  void count_evicted() { evicted_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
  void reset_evicted() {
    evicted_.store(0, std::memory_order_relaxed);
    closed_for_user_.store(0, std::memory_order_relaxed);
  }
  /// Clients that were closed because of the memory limit of their user.
  void count_closed_for_user(security::UserUsage& user) {
    user.closed.fetch_add(1, std::memory_order_relaxed);
    closed_for_user_.fetch_add(1, std::memory_order_relaxed);
  }
  std::uint64_t closed_for_user() const { return closed_for_user_.load(std::memory_order_relaxed); }

  /// Bytes that all unauthenticated clients together take beyond what a connection costs.
  std::atomic<std::int64_t> unauthenticated_bytes{0};
  /// Bytes of large arguments of all clients that have arrived and were not executed yet.
  std::atomic<std::int64_t> arriving{0};
  /// Bytes of blobs in unsent replies of all clients. A blob in two replies counts twice, and a blob that is still stored
  /// counts too (Engine::abandoned() deducts it).
  std::atomic<std::int64_t> unread_blobs{0};
  /// Bytes of collections that tasks keep while they send their replies (Task::pinned). One that two tasks keep counts twice, and one that
  /// is still stored counts too (Engine::abandoned() deducts it).
  std::atomic<std::int64_t> pinned{0};

  /// The number of clients that wait for the end of a CLIENT PAUSE.
  std::atomic<std::int64_t> blocked_by_pause{0};

  /// CLIENT PAUSE: until the time `until`, commands of `mode` wait and `keyspace` removes no expired entries. If a pause is in
  /// force, the later end and the stricter mode of the two hold.
  void pause(PauseMode mode, MonoMs until, MonoMs now, store::Keyspace& keyspace);
  void unpause(store::Keyspace& keyspace);
  /// Which commands are paused at `now`. O(1), without a lock.
  PauseMode paused(MonoMs now) const {
    const PauseMode mode = pause_mode_.load(std::memory_order_acquire);
    return mode != PauseMode::none && now < paused_until() ? mode : PauseMode::none;
  }
  MonoMs paused_until() const { return pause_until_.load(std::memory_order_relaxed); }

  /// Wakes a client whose task is asleep (Task::asleep). If the wake is lost for want of memory, the task goes on within a
  /// second.
  void wake_task(const ClientPlace& client) {
    if (threads != nullptr) threads->wake_task(client);
  }

  /// The I/O threads, through which clients are reached; null: clients are told nothing. Set by Engine::connect() before
  /// requests come.
  ClientThreads* threads = nullptr;

 private:
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<std::size_t> count_{0};
  std::atomic<std::uint64_t> rejected_{0};
  std::atomic<std::uint64_t> evicted_{0};
  std::atomic<std::uint64_t> closed_for_user_{0};
  std::atomic<PauseMode> pause_mode_{PauseMode::none};
  std::atomic<MonoMs> pause_until_{};
  std::mutex mutex_;
  std::map<std::uint64_t, SharedClient*> clients_;
  std::atomic<std::uint64_t> transport_bytes_{0};
  std::map<std::pair<const security::UserUsage*, std::uint64_t>, SharedClient*> by_user_;  // by SharedClient::usage and the id

  // With the mutex held:
  void count_to(SharedClient& client, std::shared_ptr<security::UserUsage> usage);
  void evict(SharedClient& client, Evicted why);
};

}  // namespace pinfold::command
