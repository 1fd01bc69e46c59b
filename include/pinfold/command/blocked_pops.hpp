#pragma once
// Clients that wait until a key has an element (BLPOP, BZPOPMIN and their like), in the order in which they came: a queue at each key.
//
// When a key is written, the first in its queue is woken, and its own thread executes its command once more (take_or_wait.hpp). So nobody
// takes an element for a client, and none is lost with a client that is gone. The first keeps its place until it has left the queue, with
// an element or without. Then the next one is woken, if there are elements.
//
// Which keys are written is told by the changes of each shard (store/changes.hpp), so it does not matter which command has done it, and
// what EXEC or a script does is seen when all of it is done. A client waits for a value of one type: a value of another type wakes nobody.
//
// Waking takes a little memory. If there is none, or if SWAPDB has exchanged more keys than one hold of a lock may look at, clients look by
// themselves within a second (BlockedClient::wants_to_look).

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

class BlockedPops;
class Clients;

/// A client that waits for an element. The queues refer to it: it leaves all of them before it is destroyed. Its thread owns it.
class BlockedClient {
 public:
  /// `ticket`: the number of the wait, by which the queues are ordered. `clients` and `pops` must outlive it.
  BlockedClient(BlockedPops& pops, Clients& clients, const ClientPlace& place, unsigned db, store::Type type, std::uint64_t ticket);
  ~BlockedClient();
  BlockedClient(const BlockedClient&) = delete;
  BlockedClient& operator=(const BlockedClient&) = delete;

  std::uint64_t ticket() const { return ticket_; }
  store::Type type() const { return type_; }

  /// Has the command executed once more, unless that has been asked for already. Called by any thread, with the shard of a key locked in
  /// whose queue the client is.
  void wake();
  /// Whether the command is to be executed once more. Called by the client's thread.
  bool wants_to_look() const;
  /// To be called when that has found nothing, with the shards of all its keys locked.
  void has_looked();

 private:
  BlockedPops& pops_;
  Clients& clients_;
  const ClientPlace place_;
  const unsigned db_;
  const store::Type type_;
  const std::uint64_t ticket_;
  std::atomic<bool> woken_{false};
  std::uint64_t exchanges_;  // BlockedPops::exchanges() when it has last looked
};

/// The queues at all keys. Thread-safe.
class BlockedPops {
 public:
  /// Subscribes to the changes of all shards. The keyspace must outlive it.
  explicit BlockedPops(store::Keyspace& keyspace);
  ~BlockedPops();
  BlockedPops(const BlockedPops&) = delete;
  BlockedPops& operator=(const BlockedPops&) = delete;

  /// Clients that wait, and keys that they wait for.
  std::uint64_t clients() const { return clients_.load(std::memory_order_relaxed); }
  std::uint64_t keys() const { return keys_.load(std::memory_order_relaxed); }

  // For these the caller must have locked the key's shard. O(log keys + log clients that wait for the key).

  /// The most bytes that a place in the queue of a key takes.
  static std::size_t memory_of_place(std::string_view key);
  /// Puts the client behind the others that wait for the key, if it is not there already. Throws std::bad_alloc.
  void join(unsigned db, const store::Key& key, BlockedClient& client);
  /// Takes the client out, if it is there. The next one is woken before the lock is released, if there is an element for it.
  void leave(unsigned db, const store::Key& key, const BlockedClient& client);
  /// Whether another client waits for an element of this type that comes before the one with this ticket.
  bool has_waiting_before(unsigned db, const store::Key& key, store::Type type, std::uint64_t ticket) const;

 private:
  friend class BlockedClient;
  class OfShard;
  OfShard& of(const store::Key& key) const { return *shards_[keyspace_.shard_of(key)]; }

  store::Keyspace& keyspace_;
  std::atomic<std::uint64_t> clients_{0};
  std::atomic<std::uint64_t> keys_{0};
  // By database: how often its clients were told to look by themselves.
  std::array<std::atomic<std::uint64_t>, store::database_count> exchanges_{};
  std::vector<std::unique_ptr<OfShard>> shards_;
};

}  // namespace pinfold::command
