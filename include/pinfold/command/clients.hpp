#pragma once
// The registry of connected clients: for CLIENT LIST, KILL and PAUSE, and for INFO. Thread-safe.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {

/// As lists and the log name the client's user; as in Redis, one that has not authenticated counts as the default user's. To be called by
/// the client's thread or with its mutex held, and valid as long as that.
inline std::string_view user_name(const SharedClient& client) {
  return client.user != nullptr ? std::string_view(client.user->name()) : security::default_user_name;
}

enum class PauseMode { none, writes, all };

class Clients {
 public:
  std::uint64_t next_id() { return next_id_.fetch_add(1, std::memory_order_relaxed); }
  void add(SharedClient& client);
  void remove(SharedClient& client);
  /// Connections refused because there were maxclients already.
  void count_rejected() { rejected_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t rejected() const { return rejected_.load(std::memory_order_relaxed); }
  void reset_rejected() { rejected_.store(0, std::memory_order_relaxed); }
  std::size_t count() const { return count_.load(std::memory_order_relaxed); }
  /// What they cost before they ask for anything.
  std::uint64_t idle_bytes() const {
    constexpr std::uint64_t one = 1536;  // measured: scripts/bench idle
    return count() * one;
  }
  std::uint64_t last_id() const { return next_id_.load(std::memory_order_relaxed) - 1; }

  /// Calls `visit` for each client in the order of ids, with the registry locked: clients cannot go away meanwhile.
  void for_each(const std::function<void(SharedClient&)>& visit);

  /// The same for at most `most` clients, from the id `from` on. Returns the id to go on from; 0: that was all. So that whoever connects
  /// does not wait for a long list to be made.
  std::uint64_t for_some(std::uint64_t from, std::size_t most, const std::function<void(SharedClient&)>& visit);

  /// Calls `visit` for the client of that id, if it is there, in the same way. O(log clients).
  void with(std::uint64_t id, const std::function<void(SharedClient&)>& visit);

  /// Marks a client for closing and wakes its thread. For use inside for_each.
  void kill(SharedClient& client);

  /// Has a client that waits for its reply wait no longer: it gets what it would get when its time is up, or an error.
  /// False if it does not wait. For use inside with().
  bool unblock(SharedClient& client, bool with_error);

  /// Kills those who take most memory until all together take no more than `share`: first clients that have not authenticated,
  /// then the others. Clients with CLIENT NO-EVICT on are spared; the others keep a quarter of the share, whatever those take. False
  /// if they are the reason that it is still too much. O(clients).
  bool evict_greediest(std::uint64_t share);
  void count_evicted() { evicted_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }
  void reset_evicted() { evicted_.store(0, std::memory_order_relaxed); }

  /// What clients that have not authenticated take together beyond what a connection costs.
  std::atomic<std::int64_t> unauthenticated{0};
  /// Bytes of large arguments that have come and were not executed yet, over all clients.
  std::atomic<std::int64_t> arriving{0};
  /// Bytes of blobs in replies that wait to be sent, over all clients; one that waits for two counts twice, one that is still stored
  /// counts too: see Engine::abandoned_blobs().
  std::atomic<std::int64_t> unread_blobs{0};

  /// Clients that wait for the end of a CLIENT PAUSE.
  std::atomic<std::int64_t> held_by_pause{0};

  /// CLIENT PAUSE: until `until` commands of `mode` wait, and `keyspace` removes nothing for its age. A longer or stricter pause
  /// in force stays.
  void pause(PauseMode mode, MonoMs until, MonoMs now, store::Keyspace& keyspace);
  void unpause(store::Keyspace& keyspace);
  /// What is paused at `now`.
  PauseMode paused(MonoMs now) const {
    const PauseMode mode = pause_mode_.load(std::memory_order_acquire);
    return mode != PauseMode::none && now < paused_until() ? mode : PauseMode::none;
  }
  MonoMs paused_until() const { return pause_until_.load(std::memory_order_relaxed); }

  /// Wakes a client whose task is asleep (Task::asleep). A wake that gets lost is made up for within a second.
  void wake_task(const ClientPlace& client) {
    if (threads != nullptr) threads->run_task(client);
  }

  /// Through which clients are reached; null: nobody is told of anything. Set by Engine::connect().
  ClientThreads* threads = nullptr;

 private:
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<std::size_t> count_{0};
  std::atomic<std::uint64_t> rejected_{0};
  std::atomic<std::uint64_t> evicted_{0};
  std::atomic<PauseMode> pause_mode_{PauseMode::none};
  std::atomic<MonoMs> pause_until_{};
  std::mutex mutex_;
  std::map<std::uint64_t, SharedClient*> clients_;
};

}  // namespace pinfold::command
