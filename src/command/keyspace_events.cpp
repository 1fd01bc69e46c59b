#include "pinfold/command/keyspace_events.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;

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
// The place in the order of the last value that the thread has written.
constinit thread_local std::uint64_t last_written = 0;

EventsOf events_of_writer() { return writer != nullptr ? writer->events : EventsOf(); }

}  // namespace

void note_writer(const Row& row) { writer = &row; }

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
    const bool changes = std::any_of(kEvents.begin() + 1, kEvents.end(), [&](const EventText& one) {
      return one.letter != 'n' && one.letter != 'm' && has(one.letter);
    });
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

  SpinningMutex publishing;  // held by the thread that publishes what is in the buffer; taken before `mutex`
  SpinningMutex mutex;       // guards the buffer
  EventBuffer buffer;

  /// With `mutex` held, when the buffer may have grown or shrunk.
  void account() {
    const std::size_t now = buffer.capacity();
    if (now == accounted_) return;
    engine_.keyspace.memory().add(store::Use::clients, static_cast<std::int64_t>(now) - static_cast<std::int64_t>(accounted_));
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
  for (unsigned shard = 0; shard < engine.keyspace.shard_count(); ++shard) shards_.push_back(std::make_unique<OfShard>(*this, engine, shard));
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
  if (shards.count() > 1 && publish_together(shards)) return;
  for (std::size_t shard = 0; shard < shards_.size(); ++shard) {
    if (shards.test(shard)) publish_some(*shards_[shard]);
  }
}

// What a short command has changed in several shards, in its order. Returns false if that is too much to keep the shards' other threads
// waiting, or if there is no memory.
bool KeyspaceEvents::publish_together(const Shards& shards) {
  constexpr std::size_t most = 64;
  std::vector<std::unique_lock<SpinningMutex>> locks;
  std::vector<std::pair<EventBuffer::Noted, std::string>> all;
  try {
    locks.reserve(shards.count());
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      if (!shards.test(i)) continue;
      if (locks.size() == most) return false;
      locks.emplace_back(shards_[i]->publishing);
      const std::lock_guard lock(shards_[i]->mutex);
      bytes += shards_[i]->buffer.capacity();
    }
    constexpr std::size_t most_bytes = 64 * 1024;
    if (bytes > most_bytes) return false;
    all.reserve(bytes / sizeof(EventBuffer::Noted) + 1);
    for (std::size_t i = 0; i < shards_.size(); ++i) {
      if (!shards.test(i)) continue;
      OfShard& shard = *shards_[i];
      const std::lock_guard lock(shard.mutex);
      for (; !shard.buffer.empty(); shard.buffer.drop_front()) {
        const EventBuffer::Noted noted = shard.buffer.front();
        all.emplace_back(noted, noted.key);
      }
      shard.account();
    }
  } catch (const std::bad_alloc&) {
    dropped_.fetch_add(all.size(), relaxed);
    return false;
  }
  std::ranges::sort(all, {}, [](const auto& one) { return one.first.order; });
  for (auto& [noted, key] : all) {
    noted.key = key;
    publish(noted);
  }
  return true;
}

// Until what the thread has noted is gone. Threads take turns after some of it.
void KeyspaceEvents::publish_some(OfShard& shard) {
  constexpr std::size_t at_a_time = 64;
  for (bool more = true; more;) {
    const std::lock_guard publishing(shard.publishing);
    std::array<std::pair<EventBuffer::Noted, std::string>, at_a_time> some;
    std::size_t count = 0;
    try {
      const std::lock_guard lock(shard.mutex);
      for (; count < at_a_time && !shard.buffer.empty(); shard.buffer.drop_front(), ++count) {
        const EventBuffer::Noted noted = shard.buffer.front();
        some[count] = {noted, std::string(noted.key)};
      }
      more = !shard.buffer.empty();
      shard.account();
    } catch (const std::bad_alloc&) {
      dropped_.fetch_add(1, relaxed);
      const std::lock_guard lock(shard.mutex);
      shard.buffer.drop_front();
    }
    const auto order = [](const auto& one) { return one.first.order; };
    std::ranges::sort(some.begin(), some.begin() + static_cast<std::ptrdiff_t>(count), {}, order);
    for (std::size_t i = 0; i < count; ++i) {
      some[i].first.key = some[i].second;
      publish(some[i].first);
    }
  }
}

void KeyspaceEvents::publish(const EventBuffer::Noted& noted) noexcept {
  const config::EventClasses wanted = classes();
  const std::string_view event = text_of(noted.event).name;
  const PubSub& pubsub = engine_.pubsub;
  if (pubsub.topics(TopicKind::channel) + pubsub.topics(TopicKind::pattern) == 0) return void(told_.fetch_add(1, relaxed));
  // Nobody who changes a key can wait until there is room.
  if (pubsub.pending() > 2 * pubsub.most_pending()) return void(dropped_.fetch_add(1, relaxed));
  try {
    const std::string db = std::to_string(noted.db) + "__:";
    if ((wanted & config::event_class('K')) != 0) publish(("__keyspace@" + db).append(noted.key), event);
    if ((wanted & config::event_class('E')) != 0) publish(("__keyevent@" + db).append(event), noted.key);
    told_.fetch_add(1, relaxed);
  } catch (const std::bad_alloc&) {
    dropped_.fetch_add(1, relaxed);
  }
}

void KeyspaceEvents::publish(std::string_view channel, std::string_view text) {
  constexpr std::uint64_t most_compared = 100'000;
  Publication publication(engine_.pubsub, TopicKind::channel, channel);
  while (!publication.match(most_compared)) {
  }
  publication.send(text);
}

}  // namespace pinfold::command
