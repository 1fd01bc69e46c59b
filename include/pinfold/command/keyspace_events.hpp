#pragma once
// Keyspace events (notify-keyspace-events): changes of keys, published to channels. docs/keyspace-events.md says what is told.
//
// What changes an entry tells the observers of its shard (store/changes.hpp), under the shard's lock. Nothing can be published there, so
// the observer only notes the event with the name of the key, in a buffer of the shard. When the thread has released its locks, it
// publishes what its holds have noted. The name of an event follows from the cause, and for writes from the command that the thread is
// executing (Row::events), which invoke() notes for the thread.
//
// Order. Events are published in the order in which their shards' locks were held, so events of one key come in the order of its changes:
// whoever publishes holds a lock of the shard's buffer meanwhile. Events of one short command come in the order of Redis, also from several
// shards. They are in the mailboxes of subscribers before the command is answered, unless there are so many patterns that comparing them
// would take long: then the background worker publishes the rest, and until it has done so all further events of the shard.
//
// Memory. A buffer takes at most `most_bytes` and is in the account of clients. An event for which there is no room is counted as dropped.
//
// While no class of events is wanted, a change costs the comparison of Changes::wants(), and a call one test of its thread's flag.

#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "pinfold/base/spinning_mutex.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/config/event_classes.hpp"
#include "pinfold/store/changes.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

class Engine;

/// Notes which command the thread is executing, for the events of its changes.
void note_writer(const Row& row);
/// What the writes that follow are called, for a command that makes several kinds of changes (SMOVE, LMOVE). `and_then`: a second event
/// that each of them is told as. Holds for the command that the thread is executing. O(1), whether events are wanted or not.
void note_written_as(Event event, Event and_then = Event::none);

/// The events of a shard that are still to be published. Not thread-safe. Sizes are in bytes.
class EventBuffer {
 public:
  struct Noted {
    std::uint64_t order = 0;  // events are published in the order of this
    Event event{};
    std::uint8_t db = 0;
    std::string_view key;
  };
  static constexpr std::size_t most_bytes = 256 * 1024;

  EventBuffer() = default;
  ~EventBuffer();
  EventBuffer(const EventBuffer&) = delete;
  EventBuffer& operator=(const EventBuffer&) = delete;

  /// Returns false if there is no room.
  bool add(const Noted& noted) noexcept;
  bool empty() const { return begin_ == end_; }
  /// The oldest event, whose key is valid until the next call of add() or drop().
  Noted front() const;
  void drop_front();
  std::size_t capacity() const { return capacity_; }

 private:
  struct Header;

  char* bytes_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// Thread-safe.
class KeyspaceEvents {
 public:
  explicit KeyspaceEvents(Engine& engine);
  ~KeyspaceEvents();
  KeyspaceEvents(const KeyspaceEvents&) = delete;
  KeyspaceEvents& operator=(const KeyspaceEvents&) = delete;

  /// Tells observers and threads which classes of events are wanted now. Locks each shard in turn.
  void follow(config::EventClasses classes);
  config::EventClasses classes() const { return classes_.load(std::memory_order_relaxed); }
  /// Publishes some of what commands have left because there are many patterns. Returns whether there is more. Called by the background
  /// worker, with nothing locked.
  bool publish_left() noexcept;

  /// Events that were published or found no subscriber, and those for which there was no room.
  std::uint64_t told() const { return told_.load(std::memory_order_relaxed); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  /// What the buffers take, in bytes. It is in the account of clients.
  std::size_t memory() const { return memory_.load(std::memory_order_relaxed); }
  void reset_stats() {
    told_.store(0, std::memory_order_relaxed);
    dropped_.store(0, std::memory_order_relaxed);
  }

 private:
  class OfShard;
  class OnItsWay;
  using Shards = std::bitset<store::max_shards>;

  static void publish_noted();
  void publish(const Shards& shards) noexcept;
  bool publish_together(const Shards& shards, std::uint64_t& budget) noexcept;
  void publish_some(OfShard& shard, std::uint64_t& budget) noexcept;
  bool publish_first(OfShard& shard, std::uint64_t& budget) noexcept;
  void leave_to_worker(OfShard& shard) noexcept;

  Engine& engine_;
  std::atomic<config::EventClasses> classes_{0};
  std::atomic<std::uint64_t> order_{2};
  std::atomic<std::uint64_t> told_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::vector<std::unique_ptr<OfShard>> shards_;
  std::atomic<std::size_t> memory_{0};
  std::atomic<std::size_t> left_{0};  // shards whose events the background worker publishes
  std::size_t next_left_ = 0;         // the shard with which it goes on
};

}  // namespace pinfold::command
