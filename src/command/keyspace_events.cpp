#include "pinfold/command/keyspace_events.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
// Patterns and characters that a command, or a step of the background worker, compares with channels before it leaves the rest.
constexpr std::uint64_t most_compared = 100'000;

struct EventText {
  std::string_view name;
  char letter;  // of its class
};

// In the order of Event.
constexpr std::array<EventText, static_cast<std::size_t>(Event::count)> kEvents = {{
    {"", 'K'},
    {"set", '$'},
    {"setrange", '$'},
    {"append", '$'},
    {"incrby", '$'},
    {"incrbyfloat", '$'},
    {"setbit", '$'},
    {"pfadd", '$'},
    {"hset", 'h'},
    {"hdel", 'h'},
    {"hincrby", 'h'},
    {"hincrbyfloat", 'h'},
    {"lpush", 'l'},
    {"rpush", 'l'},
    {"lpop", 'l'},
    {"rpop", 'l'},
    {"linsert", 'l'},
    {"lset", 'l'},
    {"lrem", 'l'},
    {"ltrim", 'l'},
    {"sortstore", 'l'},
    {"sadd", 's'},
    {"srem", 's'},
    {"spop", 's'},
    {"sinterstore", 's'},
    {"sunionstore", 's'},
    {"sdiffstore", 's'},
    {"zadd", 'z'},
    {"zincr", 'z'},
    {"zrem", 'z'},
    {"zremrangebyscore", 'z'},
    {"zremrangebyrank", 'z'},
    {"zremrangebylex", 'z'},
    {"zpopmin", 'z'},
    {"zpopmax", 'z'},
    {"zinterstore", 'z'},
    {"zunionstore", 'z'},
    {"zdiffstore", 'z'},
    {"zrangestore", 'z'},
    {"georadiusstore", 'z'},
    {"geosearchstore", 'z'},
    {"del", 'g'},
    {"expire", 'g'},
    {"persist", 'g'},
    {"rename_from", 'g'},
    {"rename_to", 'g'},
    {"copy_to", 'g'},
    {"move_from", 'g'},
    {"move_to", 'g'},
    {"expired", 'x'},
    {"evicted", 'e'},
    {"new", 'n'},
    {"keymiss", 'm'},
    {"stale", 'p'},
    {"invalidated", 'p'},
    {"purged", 'p'},
    {"absent", 'p'},
}};

const EventText& text_of(Event event) { return kEvents[static_cast<std::size_t>(event)]; }

// What the thread is doing.
constinit thread_local const Row* writer = nullptr;
// What its writes are called, if note_written_as() was called; otherwise Event::none.
constinit thread_local Event written_as = Event::none;
// The second event of each of its writes; Event::none if there is none.
constinit thread_local Event written_also_as = Event::none;
// The place in the order of the last value that the thread has written.
constinit thread_local std::uint64_t last_written = 0;

EventsOf events_of_writer() {
  EventsOf events = writer != nullptr ? writer->events : EventsOf();
  if (written_as != Event::none) events.written = written_as;
  return events;
}

}  // namespace

void note_writer(const Row& row) {
  writer = &row;
  note_written_as(Event::none);
}

void note_written_as(Event event, Event and_then) {
  written_as = event;
  written_also_as = and_then;
}

// --- the buffer ---

struct EventBuffer::Header {
  std::uint64_t order;
  std::uint32_t size;  // of the key
  Event event;
  std::uint8_t db;
};

EventBuffer::~EventBuffer() { std::free(bytes_); }

bool EventBuffer::add(const Noted& noted) noexcept {
  const std::size_t wanted = sizeof(Header) + noted.key.size();
  if (noted.key.size() > most_bytes || end_ + wanted > capacity_) {
    // What has been published makes room first.
    if (begin_ > 0) {
      std::memmove(bytes_, bytes_ + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (end_ + wanted > most_bytes) return false;
    if (end_ + wanted > capacity_) {
      constexpr std::size_t least = 512;
      const std::size_t capacity = std::min(std::max({least, 2 * capacity_, end_ + wanted}), most_bytes);
      void* const resized = std::realloc(bytes_, capacity);
      if (resized == nullptr) return false;
      bytes_ = static_cast<char*>(resized);
      capacity_ = capacity;
    }
  }
  const Header header{noted.order, static_cast<std::uint32_t>(noted.key.size()), noted.event, noted.db};
  std::memcpy(bytes_ + end_, &header, sizeof header);
  std::copy(noted.key.begin(), noted.key.end(), bytes_ + end_ + sizeof header);
  end_ += wanted;
  work::bytes(wanted);
  return true;
}

EventBuffer::Noted EventBuffer::front() const {
  Header header;
  std::memcpy(&header, bytes_ + begin_, sizeof header);
  return {header.order, header.event, header.db, {bytes_ + begin_ + sizeof header, header.size}};
}

void EventBuffer::drop_front() {
  begin_ += sizeof(Header) + front().key.size();
  if (!empty()) return;
  begin_ = end_ = 0;
  constexpr std::size_t kept = 4 * 1024;
  if (capacity_ <= kept) return;
  std::free(bytes_);
  bytes_ = nullptr;
  capacity_ = 0;
}

// --- the observer of a shard ---

namespace {
using store::Cause;

constexpr store::Causes kChanges = {Cause::written, Cause::deadline, Cause::staled, Cause::deleted,     Cause::invalidated,
                                    Cause::expired, Cause::evicted,  Cause::purged, Cause::purged_soft, Cause::lapsed};

// The events that are to be published when the thread's locks are released.
struct Noted {
  KeyspaceEvents* of = nullptr;
  std::bitset<store::max_shards> shards;
};
thread_local Noted noted_here;
}  // namespace

// The messages about one event.
class KeyspaceEvents::OnItsWay {
 public:
  /// `key` must outlive it.
  OnItsWay(PubSub& pubsub, const EventBuffer::Noted& noted, std::string_view key, config::EventClasses wanted) {
    const std::string_view event = text_of(noted.event).name;
    const std::string db = std::to_string(noted.db) + "__:";
    if ((wanted & config::event_class('K')) != 0) add(pubsub, ("__keyspace@" + db).append(key), event);
    if ((wanted & config::event_class('E')) != 0) add(pubsub, ("__keyevent@" + db).append(event), key);
  }

  /// Compares the channels with patterns. Takes what it compares off the budget. Returns whether that was all.
  bool match(std::uint64_t& budget) {
    for (std::size_t i = 0; i < count_; ++i) {
      Publication& publication = *messages_[i].publication;
      const std::uint64_t before = publication.compared();
      const bool done = publication.match(budget);
      budget -= std::min(budget, publication.compared() - before);
      if (!done) return false;
    }
    return true;
  }

  void send() {
    for (std::size_t i = 0; i < count_; ++i) messages_[i].publication->send(messages_[i].text);
  }

 private:
  struct Message {
    std::string channel;
    std::string_view text;
    std::optional<Publication> publication;  // of `channel`
  };

  void add(PubSub& pubsub, std::string channel, std::string_view text) {
    Message& message = messages_[count_++];
    message.channel = std::move(channel);
    message.text = text;
    message.publication.emplace(pubsub, TopicKind::channel, message.channel);
  }

  std::array<Message, 2> messages_;
  std::size_t count_ = 0;
};

class KeyspaceEvents::OfShard final : public store::Observer {
 public:
  OfShard(KeyspaceEvents& all, Engine& engine, unsigned index)
      : all_(all),
        engine_(engine),
        index_(index),
        changes_(engine.keyspace.changes(index), *this, kChanges),
        created_(engine.keyspace.changes(index), *this, {Cause::created}),
        missed_(engine.keyspace.changes(index), *this, {Cause::missed}) {}
  ~OfShard() override { account(); }

  /// With the shard locked.
  void listen(config::EventClasses classes) {
    const auto has = [classes](char letter) { return (classes & config::event_class(letter)) != 0; };
    const bool published = has('K') || has('E');
    const bool changes = std::any_of(kEvents.begin() + 1, kEvents.end(),
                                     [&](const EventText& one) { return one.letter != 'n' && one.letter != 'm' && has(one.letter); });
    changes_.listen(published && (changes || has('n')));
    created_.listen(published && has('n'));
    missed_.listen(published && has('m'));
  }

  void changed(const store::Change& change) noexcept override {
    const EventsOf names = events_of_writer();
    switch (change.cause) {
      case Cause::written:
        if (change.unstored != nullptr) return;
        if (change.absent) return note(change, Event::absent);
        if (names.anew) note(change, Event::created);
        note(change, names.written);
        if (written_also_as != Event::none) note(change, written_also_as);
        if (change.with_deadline && names.deadline) note(change, Event::expire);
        return;
      case Cause::created:
        return names.anew ? void() : note(change, Event::created);
      case Cause::missed:
        return names.misses ? note(change, Event::keymiss) : void();
      case Cause::deadline:
        return note(change, change.with_deadline ? Event::expire : Event::persist);
      case Cause::deleted:
        return change.removed_live() ? note(change, names.deadline ? names.written : names.removed) : void();
      case Cause::lapsed:
        note(change, Event::expire);
        return note(change, Event::expired);
      case Cause::expired:
        return change.before->absent() ? void() : note(change, Event::expired);
      case Cause::evicted:
        return change.before->absent() ? void() : note(change, Event::evicted);
      case Cause::staled:
      case Cause::purged_soft:
        return note(change, Event::stale);
      case Cause::invalidated:
        return note(change, Event::invalidated);
      case Cause::purged:
        return note(change, Event::purged);
      default:
        return;
    }
  }

  // With the shard locked, and nothing may be published yet.
  void settle() override {
    noted_here.of = &all_;
    noted_here.shards.set(index_);
    WakeLater::afterwards(publish_noted);
  }

  // An event on its way from the buffer to its channels.
  struct Taken {
    EventBuffer::Noted noted;  // but for its key
    std::string key;
    std::unique_ptr<OnItsWay> on_its_way;
  };

  SpinningMutex publishing;  // held by the thread that publishes what is in `taken` and in the buffer; taken before `mutex`
  std::deque<Taken> taken;   // guarded by `publishing`
  SpinningMutex mutex;       // guards the buffer
  EventBuffer buffer;
  // Whether only the background worker publishes. Set with `publishing` held. Taken back with `mutex` held as well, when nothing is left:
  // so whoever notes an event and then finds it set knows that the worker will see the event.
  std::atomic<bool> left_to_worker{false};

  /// With `publishing` held: takes the next events, in their order. Returns false if there are none; then the worker has done its work.
  bool take_some() {
    constexpr std::size_t at_a_time = 64;
    const std::lock_guard lock(mutex);
    while (taken.size() < at_a_time && !buffer.empty()) {
      const EventBuffer::Noted next = buffer.front();
      try {
        taken.push_back({next, std::string(next.key), nullptr});
      } catch (const std::bad_alloc&) {
        all_.dropped_.fetch_add(1, relaxed);
      }
      buffer.drop_front();
    }
    account();
    std::ranges::sort(taken, {}, [](const Taken& one) { return one.noted.order; });
    if (taken.empty() && left_to_worker.exchange(false)) all_.left_.fetch_sub(1, relaxed);
    return !taken.empty();
  }

  /// With `publishing` held.
  void leave_to_worker() {
    if (!left_to_worker.exchange(true)) all_.left_.fetch_add(1, relaxed);
  }

  /// With `mutex` held, when the buffer may have grown or shrunk.
  void account() {
    const std::size_t now = buffer.capacity();
    if (now == accounted_) return;
    engine_.keyspace.memory().add(store::Use::clients, static_cast<std::int64_t>(now) - static_cast<std::int64_t>(accounted_));
    all_.memory_.fetch_add(now - accounted_, relaxed);
    accounted_ = now;
  }

 private:
  void note(const store::Change& change, Event event) noexcept {
    if (event == Event::none || (all_.classes() & config::event_class(text_of(event).letter)) == 0) return;
    // In Redis the event of the key that is taken away comes before that of the key that is stored.
    std::uint64_t order = all_.order_.fetch_add(2, relaxed);
    if (event == Event::rename_from || event == Event::move_from) {
      order = last_written - 1;
    } else if (event != Event::created) {
      last_written = order;
    }
    {
      const std::lock_guard lock(mutex);
      if (!buffer.add({order, event, static_cast<std::uint8_t>(change.db), change.key.text})) {
        all_.dropped_.fetch_add(1, relaxed);
        return;
      }
      account();
    }
    (event == Event::keymiss ? missed_ : changes_).want_settle();
  }

  KeyspaceEvents& all_;
  Engine& engine_;
  const unsigned index_;
  std::size_t accounted_ = 0;
  store::Changes::Subscription changes_;
  store::Changes::Subscription created_;
  store::Changes::Subscription missed_;
};

// --- publishing ---

KeyspaceEvents::KeyspaceEvents(Engine& engine) : engine_(engine) {
  for (unsigned shard = 0; shard < engine.keyspace.shard_count(); ++shard)
    shards_.push_back(std::make_unique<OfShard>(*this, engine, shard));
}

KeyspaceEvents::~KeyspaceEvents() = default;

void KeyspaceEvents::follow(config::EventClasses classes) {
  if (classes == this->classes()) return;
  classes_.store(classes, relaxed);
  for (unsigned thread = 0; thread < engine_.stats.thread_count(); ++thread) {
    engine_.stats.of_thread(thread).tells_events.store(classes != 0, relaxed);
  }
  for (unsigned shard = 0; shard < shards_.size(); ++shard) {
    engine_.keyspace.with_locked(shard, [&] { shards_[shard]->listen(classes); });
  }
}

void KeyspaceEvents::publish_noted() {
  const Noted noted = std::exchange(noted_here, Noted());
  if (noted.of != nullptr) noted.of->publish(noted.shards);
}

void KeyspaceEvents::publish(const Shards& shards) noexcept {
  const WakeLater later;  // each thread of subscribers is woken once
  std::uint64_t budget = most_compared;
  if (shards.count() > 1 && publish_together(shards, budget)) return;
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    if (shards.test(shard)) publish_some(*shards_[shard], budget);
  }
}

// What a short command has changed in several shards, in its order. Returns false if that is too much to keep the shards' other threads
// waiting, or if there is no memory.
bool KeyspaceEvents::publish_together(const Shards& shards, std::uint64_t& budget) noexcept {
  constexpr std::size_t most = 64;
  constexpr std::size_t most_bytes = 64 * 1024;
  std::vector<std::unique_lock<SpinningMutex>> locks;
  std::vector<OfShard*> of;
  try {
    locks.reserve(shards.count());
    of.reserve(shards.count());
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      if (!shards.test(i)) continue;
      OfShard& shard = *shards_[i];
      if (locks.size() == most || shard.left_to_worker.load()) return false;
      locks.emplace_back(shard.publishing);
      of.push_back(&shard);
      const std::lock_guard lock(shard.mutex);
      bytes += shard.buffer.capacity();
    }
    if (bytes > most_bytes) return false;
  } catch (const std::bad_alloc&) {
    return false;
  }
  for (;;) {
    OfShard* first = nullptr;
    for (OfShard* const shard : of) {
      if (shard->left_to_worker.load() || (shard->taken.empty() && !shard->take_some())) continue;
      if (first == nullptr || shard->taken.front().noted.order < first->taken.front().noted.order) first = shard;
    }
    if (first == nullptr) return true;
    if (!publish_first(*first, budget)) leave_to_worker(*first);
  }
}

// Publishes what the shard has, unless the worker does. Threads take turns after each event. What the budget does not suffice for is left
// to the worker.
void KeyspaceEvents::publish_some(OfShard& shard, std::uint64_t& budget) noexcept {
  while (!shard.left_to_worker.load()) {
    const std::lock_guard publishing(shard.publishing);
    if (shard.left_to_worker.load() || (shard.taken.empty() && !shard.take_some())) return;
    if (!publish_first(shard, budget)) leave_to_worker(shard);
  }
}

void KeyspaceEvents::leave_to_worker(OfShard& shard) noexcept {
  shard.leave_to_worker();
  engine_.keyspace.wake_background();
}

bool KeyspaceEvents::publish_left() noexcept {
  if (left_.load(relaxed) == 0) return false;
  const WakeLater later;
  std::uint64_t budget = most_compared;
  for (std::size_t looked_at = 0; looked_at < shards_.size(); ++looked_at, ++next_left_) {
    OfShard& shard = *shards_[next_left_ % shards_.size()];
    while (shard.left_to_worker.load()) {
      const std::lock_guard publishing(shard.publishing);
      if (shard.taken.empty() && !shard.take_some()) break;
      if (!publish_first(shard, budget)) return true;
    }
  }
  return left_.load(relaxed) > 0;
}

// Publishes the first of shard.taken, and removes it. Returns false if the budget does not suffice to compare its channels with all
// patterns. Then nothing is published, and the next call goes on with the comparing.
bool KeyspaceEvents::publish_first(OfShard& shard, std::uint64_t& budget) noexcept {
  OfShard::Taken& first = shard.taken.front();
  const PubSub& pubsub = engine_.pubsub;
  if (pubsub.topics(TopicKind::channel) + pubsub.topics(TopicKind::pattern) == 0) {
    told_.fetch_add(1, relaxed);
  } else if (pubsub.pending() > 2 * pubsub.most_pending()) {  // nobody who changes a key can wait until there is room
    dropped_.fetch_add(1, relaxed);
  } else {
    try {
      if (first.on_its_way == nullptr) first.on_its_way = std::make_unique<OnItsWay>(engine_.pubsub, first.noted, first.key, classes());
      if (!first.on_its_way->match(budget)) return false;
      first.on_its_way->send();
      told_.fetch_add(1, relaxed);
    } catch (const std::bad_alloc&) {
      dropped_.fetch_add(1, relaxed);
    }
  }
  shard.taken.pop_front();
  return true;
}

}  // namespace pinfold::command
