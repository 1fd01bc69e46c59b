#pragma once
// Publish/subscribe: who has subscribed to what, and the way of messages.
//
// A topic is a channel, a pattern or a shard channel that has subscribers. All threads find topics in tables, which are divided into parts
// with a lock each, held for one look-up. The topic says how many subscribers it has on which I/O threads. Who they are is known to these
// threads only: each has a list of its own in the topic. So to publish is to look the channel up, to compare it with the patterns, and to
// put one piece of mail (base/mail.hpp) into the mailbox of each thread that has subscribers, however many they are. The text of the
// message is written once, and all threads share it. The threads go through their lists in slices.
//
// Order. A thread hands its mail out in the order in which it came, so what one client publishes reaches each subscriber in its order,
// whatever the channels and patterns. A message goes to the subscribers of the channel first, then to those of patterns. A subscription
// counts before the reply to SUBSCRIBE is written, so the subscriber gets every message whose PUBLISH began after that reply. It notes the
// number of its thread's next piece of mail, and gets no piece that was sent before. The reply to UNSUBSCRIBE is the last that is heard of
// a topic, because it is written by the thread that would hand out; and it waits for the messages that were sent before, so none of these
// is missed (but for UNSUBSCRIBE inside of EXEC, which cannot wait).
//
// Memory. Each subscription counts for its client, with its topic. Messages count from when they are made until the last thread has handed
// them out. What waits for a socket counts for the client. While more than a bound of messages is on the way, clients that publish wait.

#include <array>
#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/blob.hpp"
#include "pinfold/base/client_threads.hpp"
#include "pinfold/base/spinning_mutex.hpp"
#include "pinfold/command/subscriber.hpp"
#include "pinfold/security/patterns.hpp"

namespace pinfold::command {

class Engine;

/// The place of a client in a topic's list.
struct Subscription {
  Subscriber* subscriber = nullptr;  // null: the place is free
  std::uint64_t from = 0;            // the number of the first piece of mail that the client gets
  std::uint64_t rights = 0;          // the version of the users for which it is known that the client may have it
};

/// The subscriptions of one topic on one thread, which alone uses them. A place stays where it is, so a thread may stop in the middle of
/// the list and go on later. There are never more places than there were clients at once.
class LocalSubscriptions {
 public:
  std::size_t places() const { return places_.size(); }
  Subscription& at(std::size_t place) { return places_[place]; }
  /// Returns its place. Throws std::bad_alloc. O(1) on average.
  std::uint32_t add(const Subscription& one);
  void remove(std::uint32_t place) noexcept;

 private:
  std::vector<Subscription> places_;
  std::vector<std::uint32_t> free_;  // may name places that are gone or in use again
  std::size_t used_ = 0;
};

/// A channel, pattern or shard channel with subscribers.
class Topic {
 public:
  /// Throws std::bad_alloc. A pattern must not be refused (Glob::refused).
  Topic(TopicKind kind, std::string_view name, std::uint64_t hash, unsigned threads, std::optional<security::Pattern> pattern);

  TopicKind kind() const { return kind_; }
  const std::string& name() const { return name_; }
  TopicName key() const { return {hash_, name_}; }
  /// How a message begins that a subscriber of this topic gets, up to the name of the channel.
  const std::string& head() const { return head_; }
  const security::Pattern& pattern() const { return *pattern_; }
  std::size_t memory() const;

 private:
  friend class PubSub;
  friend class Publication;
  friend class Message;
  friend class RightsMail;

  struct Here {
    std::uint32_t count = 0;                         // of subscribers; guarded by the lock of the topic's table
    std::unique_ptr<LocalSubscriptions> subscribed;  // for its thread only
  };

  const TopicKind kind_;
  const std::uint64_t hash_;
  const std::string name_;
  std::string head_;
  const std::optional<security::Pattern> pattern_;
  const unsigned thread_count_;
  // Guarded by the lock of its table:
  std::uint32_t count_ = 0;  // of subscribers
  std::size_t slot_ = 0;     // of a pattern
  std::unique_ptr<Here[]> threads_;
};

/// A set of I/O threads.
using ThreadSet = std::bitset<256>;

/// Thread-safe, but for what is said to be for a client's thread. Nothing may be locked when it is called, but shards of the store.
class PubSub {
 public:
  PubSub(Engine& engine, unsigned threads);
  ~PubSub();
  PubSub(const PubSub&) = delete;
  PubSub& operator=(const PubSub&) = delete;

  // For the thread of the session's client. All are O(log topics).
  enum class Subscribed : std::uint8_t { yes, already, refused_pattern, too_large };
  /// Throws std::bad_alloc, and then nothing has changed. `why` is set for a pattern that cannot be used.
  Subscribed subscribe(Session& session, TopicKind kind, std::string_view name, const char*& why);
  /// Returns false if the client had not subscribed to it.
  bool unsubscribe(Session& session, TopicKind kind, std::string_view name);
  /// Ends the subscription to a topic, which the client must have.
  void unsubscribe(Session& session, const Topic& topic);
  /// Ends up to `most` subscriptions of any kind. Returns true if none is left. Takes no memory.
  bool end_some(Session& session, std::size_t most);
  /// About the bytes that subscribing to all of these takes, but for compiled patterns.
  std::size_t memory_for(std::span<const std::string_view> names) const;

  /// How many topics there are of a kind. O(1).
  std::size_t topics(TopicKind kind) const { return topics_[static_cast<std::size_t>(kind)].load(std::memory_order_relaxed); }
  /// How many clients have subscriptions. O(1).
  std::size_t clients() const { return clients_.load(std::memory_order_relaxed); }
  /// How many subscribers a topic has. O(log topics).
  std::uint64_t subscribers(TopicKind kind, std::string_view name) const;
  /// How far visit() has come.
  struct Cursor {
    std::size_t part = 0;
    std::uint64_t hash = 0;
    std::string name;
    bool begun = false;
  };
  /// Calls `visitor` with the names of at most `most` channels of the kind. Returns false when all have been visited. A channel that is
  /// there all the time is visited once.
  bool visit(TopicKind kind, Cursor& cursor, std::size_t most, const std::function<void(const std::string& name)>& visitor) const;

  /// A mark behind the messages that are on their way to a thread. Null if there are none, or if they reach nobody. passed() is for that
  /// thread. Throws std::bad_alloc.
  class Mark {
   public:
    bool passed() const { return passed_; }

   protected:
    ~Mark() = default;
    mutable bool passed_ = false;
  };
  std::shared_ptr<const Mark> mark(unsigned thread);

  /// To be called when rights of users may have been taken away: clients that may no longer be told of what they have subscribed to are
  /// closed, in slices, by their threads. Until that happens, they get no message that they may not have.
  void look_at_rights();

  // Messages on the way.
  std::uint64_t pending() const { return pending_.load(std::memory_order_relaxed); }
  /// How many bytes of messages may be on the way before clients that publish must wait.
  std::uint64_t most_pending() const;
  /// Whether the client may publish now. If not, its task is woken when it may (Clients::wake_task).
  bool may_publish(const ClientPlace& client);
  std::uint64_t published() const { return published_.load(std::memory_order_relaxed); }
  /// CONFIG RESETSTAT.
  void reset_stats() { published_.store(0, std::memory_order_relaxed); }

 private:
  friend class Publication;
  friend class Message;
  friend class RightsMail;

  static constexpr std::size_t parts = 64;
  static constexpr std::size_t chunk_size = 64;
  using Table = std::map<TopicName, std::shared_ptr<Topic>>;
  struct alignas(64) Part {
    mutable SpinningMutex mutex;
    Table table;
  };
  // Patterns that are compared together. Immutable: another one takes its place when a pattern comes or goes.
  using Chunk = std::array<std::shared_ptr<Topic>, chunk_size>;
  struct Patterns {
    mutable SpinningMutex mutex;
    Table table;
    std::vector<std::shared_ptr<const Chunk>> chunks;
    std::vector<std::size_t> free;  // slots
  };
  // The clients of a thread that have subscriptions. For that thread only.
  using Subscribers = std::map<std::uint64_t, Subscriber*>;

  TopicName named(std::string_view name) const;
  Part& part_of(TopicKind kind, std::uint64_t hash) { return (kind == TopicKind::channel ? channels_ : shard_channels_)[hash % parts]; }
  const Part& part_of(TopicKind kind, std::uint64_t hash) const { return const_cast<PubSub*>(this)->part_of(kind, hash); }
  template <class Use>
  auto with_table(TopicKind kind, std::uint64_t hash, Use&& use);
  std::shared_ptr<Topic> find_and_count(TopicKind kind, const TopicName& name, unsigned thread);
  std::shared_ptr<Topic> add_and_count(std::shared_ptr<Topic> made, unsigned thread);
  void uncount(const std::shared_ptr<Topic>& topic, unsigned thread) noexcept;
  void put_pattern(const std::shared_ptr<Topic>& topic);
  void drop_pattern(const Topic& topic) noexcept;
  Subscriber& subscriber_of(Session& session);
  void let_go_if_idle(Session& session);
  void account(Session& session, TopicKind kind, std::int64_t bytes);
  static std::size_t memory_of(const Topic& topic);
  bool may_get(Subscription& one, const Topic& topic);
  bool may_have(Session& session, const Topic& topic);
  void add_pending(std::int64_t bytes);

  Engine& engine_;
  const unsigned threads_;
  std::array<Part, parts> channels_;
  std::array<Part, parts> shard_channels_;
  Patterns patterns_;
  std::array<std::atomic<std::size_t>, topic_kinds> topics_{};
  std::atomic<std::size_t> clients_{0};
  std::vector<std::unique_ptr<Subscribers>> subscribers_;  // by thread
  std::atomic<std::uint64_t> pending_{0};
  std::atomic<std::uint64_t> published_{0};
  std::atomic<bool> publishers_wait_{false};
  std::mutex waiting_mutex_;
  std::vector<ClientPlace> waiting_;  // clients that wait until they may publish
};

/// One message that is being published: it finds out who gets it, then it is sent.
///
///   Publication publication(pubsub, TopicKind::channel, channel);
///   while (!publication.match(budget)) ...;      // compare with patterns; in pieces, if there are many
///   if (publication.receivers() > 0) publication.send(text);
///
/// Not thread-safe. Any thread may have one. `channel` must stay valid until match() has returned true, and for send().
class Publication {
 public:
  /// Finds the subscribers of the channel. A message to a shard channel concerns no patterns.
  Publication(PubSub& pubsub, TopicKind kind, std::string_view channel);

  /// Compares the channel with patterns until the budget is spent, or with all of them. Returns whether that was all. Throws
  /// std::bad_alloc.
  bool match(std::uint64_t most_compared);
  /// What match() has compared so far, in patterns and characters.
  std::uint64_t compared() const { return compared_; }
  /// How many subscriptions get the message.
  std::uint64_t receivers() const { return receivers_; }
  /// Sends it, if anybody gets it. The text is copied, and `blob`, if it is not empty, shared in its place. Throws std::bad_alloc; then
  /// some threads may have got it.
  void send(std::string_view text, const Blob& blob = {});

 private:
  PubSub& pubsub_;
  const TopicKind kind_;
  const std::string_view channel_;
  std::vector<std::shared_ptr<Topic>> topics_;
  ThreadSet threads_;
  std::uint64_t receivers_ = 0;
  std::size_t next_chunk_ = 0;
  std::uint64_t compared_ = 0;

  void add(const std::shared_ptr<Topic>& topic);
};

}  // namespace pinfold::command
