#include "pinfold/command/pubsub.hpp"

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;

std::string bulk(std::string_view text) { return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n"; }

std::string head_of(TopicKind kind, std::string_view name) {
  switch (kind) {
    case TopicKind::channel:
      return ">3\r\n$7\r\nmessage\r\n";
    case TopicKind::shard_channel:
      return ">3\r\n$8\r\nsmessage\r\n";
    case TopicKind::pattern:
      break;
  }
  return ">4\r\n$8\r\npmessage\r\n" + bulk(name);
}

}  // namespace

// --- a topic's subscriptions ---

std::uint32_t LocalSubscriptions::add(const Subscription& one) {
  while (!free_.empty()) {
    const std::uint32_t place = free_.back();
    free_.pop_back();
    if (place >= places_.size() || places_[place].subscriber != nullptr) continue;
    places_[place] = one;
    ++used_;
    return place;
  }
  if (free_.capacity() <= places_.size()) free_.reserve(2 * places_.size() + 1);  // so that to remove takes no memory
  places_.push_back(one);
  ++used_;
  return static_cast<std::uint32_t>(places_.size() - 1);
}

void LocalSubscriptions::remove(std::uint32_t place) noexcept {
  places_[place] = {};
  if (--used_ == 0) {
    places_ = {};
    free_ = {};
    return;
  }
  if (free_.size() < free_.capacity()) free_.push_back(place);
}

Topic::Topic(TopicKind kind, std::string_view name, std::uint64_t hash, unsigned threads, std::optional<security::Pattern> pattern)
    : kind_(kind),
      hash_(hash),
      name_(name),
      head_(head_of(kind, name)),
      pattern_(std::move(pattern)),
      thread_count_(threads),
      threads_(std::make_unique<Here[]>(threads)) {}

std::size_t Topic::memory() const {
  return sizeof(Topic) + name_.capacity() + head_.capacity() + thread_count_ * sizeof(Here) + (pattern_ ? pattern_->memory() : 0);
}

// --- tables ---

PubSub::PubSub(Engine& engine, unsigned threads) : engine_(engine), threads_(threads) {
  for (unsigned i = 0; i < threads; ++i) subscribers_.push_back(std::make_unique<Subscribers>());
}

PubSub::~PubSub() = default;

TopicName PubSub::named(std::string_view name) const { return {engine_.keyspace.key(name).hash, name}; }

template <class Use>
auto PubSub::with_table(TopicKind kind, std::uint64_t hash, Use&& use) {
  if (kind == TopicKind::pattern) {
    const std::lock_guard lock(patterns_.mutex);
    return use(patterns_.table);
  }
  Part& part = part_of(kind, hash);
  const std::lock_guard lock(part.mutex);
  return use(part.table);
}

// Counts a subscriber on the thread. Null if there is no such topic.
std::shared_ptr<Topic> PubSub::find_and_count(TopicKind kind, const TopicName& name, unsigned thread) {
  return with_table(kind, name.hash, [&](Table& table) -> std::shared_ptr<Topic> {
    const auto found = table.find(name);
    if (found == table.end()) return nullptr;
    ++found->second->count_;
    ++found->second->threads_[thread].count;
    return found->second;
  });
}

// The same for a topic that may be new. Returns the one that is there.
std::shared_ptr<Topic> PubSub::add_and_count(std::shared_ptr<Topic> made, unsigned thread) {
  const TopicKind kind = made->kind();
  return with_table(kind, made->key().hash, [&](Table& table) {
    const auto [at, is_new] = table.try_emplace(made->key(), made);
    Topic& topic = *at->second;
    if (is_new && kind == TopicKind::pattern) {
      try {
        put_pattern(at->second);
      } catch (...) {
        table.erase(at);
        throw;
      }
    }
    if (is_new) topics_[static_cast<std::size_t>(kind)].fetch_add(1, relaxed);
    ++topic.count_;
    ++topic.threads_[thread].count;
    return at->second;
  });
}

// With the patterns locked. A chunk is copied, because others may be reading it.
void PubSub::put_pattern(const std::shared_ptr<Topic>& topic) {
  auto& chunks = patterns_.chunks;
  if (patterns_.free.empty()) {
    patterns_.free.reserve((chunks.size() + 1) * chunk_size);  // so that to drop one takes no memory
    chunks.push_back(std::make_shared<const Chunk>());
    for (std::size_t i = chunk_size; i > 0; --i) patterns_.free.push_back((chunks.size() - 1) * chunk_size + i - 1);
  }
  const std::size_t slot = patterns_.free.back();
  const auto chunk = std::make_shared<Chunk>(*chunks[slot / chunk_size]);
  (*chunk)[slot % chunk_size] = topic;
  chunks[slot / chunk_size] = chunk;
  patterns_.free.pop_back();
  topic->slot_ = slot;
}

// With the patterns locked. A pattern that could not be dropped for want of memory would match still, and have no subscribers.
void PubSub::drop_pattern(const Topic& topic) noexcept {
  auto& chunk = patterns_.chunks[topic.slot_ / chunk_size];
  try {
    const auto without = std::make_shared<Chunk>(*chunk);
    (*without)[topic.slot_ % chunk_size] = nullptr;
    chunk = without;
    patterns_.free.push_back(topic.slot_);
  } catch (const std::bad_alloc&) {
  }
}

void PubSub::uncount(const std::shared_ptr<Topic>& topic, unsigned thread) noexcept {
  Table::node_type gone;  // freed with nothing locked
  with_table(topic->kind(), topic->key().hash, [&](Table& table) {
    --topic->threads_[thread].count;
    if (--topic->count_ > 0) return;
    gone = table.extract(topic->key());
    if (topic->kind() == TopicKind::pattern) drop_pattern(*topic);
    topics_[static_cast<std::size_t>(topic->kind())].fetch_sub(1, relaxed);
  });
}

std::uint64_t PubSub::subscribers(TopicKind kind, std::string_view name) const {
  const TopicName key = named(name);
  return const_cast<PubSub*>(this)->with_table(kind, key.hash, [&](const Table& table) -> std::uint64_t {
    const auto found = table.find(key);
    return found != table.end() ? found->second->count_ : 0;
  });
}

bool PubSub::visit(TopicKind kind, Cursor& cursor, std::size_t most, const std::function<void(const std::string& name)>& visitor) const {
  while (cursor.part < parts) {
    const Part& part = part_of(kind, cursor.part);
    std::vector<std::shared_ptr<Topic>> some;
    some.reserve(most);
    {
      const std::lock_guard lock(part.mutex);
      auto at = cursor.begun ? part.table.upper_bound({cursor.hash, cursor.name}) : part.table.begin();
      for (; at != part.table.end() && some.size() < most; ++at) some.push_back(at->second);
    }
    for (const auto& topic : some) visitor(topic->name());
    work::entries(some.size());
    most -= some.size();
    if (most == 0) {
      if (!some.empty()) {
        cursor.hash = some.back()->key().hash;
        cursor.name = some.back()->name();
        cursor.begun = true;
      }
      return true;
    }
    cursor.begun = false;
    ++cursor.part;
  }
  return false;
}

// --- subscriptions ---

std::size_t PubSub::memory_of(const Topic& topic) {
  constexpr std::size_t nodes = 160;  // here and with the client, with what malloc adds
  return topic.memory() + nodes + sizeof(Subscription) + sizeof(std::uint32_t);
}

std::size_t PubSub::memory_for(std::span<const std::string_view> names) const {
  constexpr std::size_t nodes = 160;
  std::size_t bytes = 0;
  for (const std::string_view name : names) bytes += sizeof(Topic) + 3 * name.size() + threads_ * sizeof(Topic::Here) + nodes;
  return bytes;
}

Subscriber& PubSub::subscriber_of(Session& session) {
  if (session.subscriber != nullptr) return *session.subscriber;
  auto made = std::make_unique<Subscriber>(session);
  subscribers_[session.shared.thread]->emplace(session.shared.id, made.get());
  session.subscriber = std::move(made);
  clients_.fetch_add(1, relaxed);
  session.look_for_rights_again();
  return *session.subscriber;
}

void PubSub::let_go_if_idle(Session& session) {
  if (session.subscriber == nullptr || session.subscriber->count() > 0) return;
  subscribers_[session.shared.thread]->erase(session.shared.id);
  session.subscriber.reset();
  clients_.fetch_sub(1, relaxed);
  session.look_for_rights_again();
}

void PubSub::account(Session& session, TopicKind kind, std::int64_t bytes) {
  Subscriber& subscriber = *session.subscriber;
  subscriber.bytes += static_cast<std::size_t>(bytes);
  engine_.keyspace.memory().add(store::Use::clients, bytes);
  const auto index = static_cast<std::size_t>(kind);
  session.shared.subscriptions[index].store(static_cast<unsigned>(subscriber.topics[index].size()), relaxed);
  session.shared.subscribed_bytes.store(subscriber.bytes, relaxed);
}

PubSub::Subscribed PubSub::subscribe(Session& session, TopicKind kind, std::string_view name, const char*& why) {
  const unsigned thread = session.shared.thread;
  const TopicName key = named(name);
  if (session.subscriber != nullptr && session.subscriber->topics[static_cast<std::size_t>(kind)].contains(key)) {
    return Subscribed::already;
  }
  const std::uint64_t from = engine_.clients.threads != nullptr ? engine_.clients.threads->mail_number(thread) : 0;
  // With which version of the users the request was checked. They may have changed since if the request is worked through in steps: then
  // the client's rights are looked at before its first message.
  const std::uint64_t rights = session.task == nullptr ? session.acting.at : 0;
  std::shared_ptr<Topic> topic = find_and_count(kind, key, thread);
  if (topic == nullptr) {
    std::optional<security::Pattern> pattern;
    if (kind == TopicKind::pattern) {
      constexpr auto none = std::string_view::npos;
      const bool plain = name.find_first_of("?[") == none && name.find_first_not_of('*', name.find('*')) == none;
      if (!plain && !engine_.client_may_take(session.shared, Glob::most_memory(name))) return Subscribed::too_large;
      pattern.emplace(name);
      why = pattern->refused();
      if (why != nullptr) return Subscribed::refused_pattern;
    }
    topic = add_and_count(std::make_shared<Topic>(kind, name, key.hash, threads_, std::move(pattern)), thread);
  }
  try {
    Subscriber& subscriber = subscriber_of(session);
    auto& subscribed = topic->threads_[thread].subscribed;
    if (subscribed == nullptr) subscribed = std::make_unique<LocalSubscriptions>();
    auto& topics = subscriber.topics[static_cast<std::size_t>(kind)];
    const auto held = topics.emplace(topic->key(), Subscriber::Held{topic, 0}).first;
    try {
      held->second.place = subscribed->add({.subscriber = &subscriber, .from = from, .rights = rights});
    } catch (...) {
      topics.erase(held);
      throw;
    }
  } catch (...) {
    uncount(topic, thread);
    let_go_if_idle(session);
    throw;
  }
  account(session, kind, static_cast<std::int64_t>(memory_of(*topic)));
  return Subscribed::yes;
}

void PubSub::unsubscribe(Session& session, const Topic& topic) {
  auto& topics = session.subscriber->topics[static_cast<std::size_t>(topic.kind())];
  const auto held = topics.find(topic.key());
  const std::shared_ptr<Topic> kept = held->second.topic;
  const unsigned thread = session.shared.thread;
  kept->threads_[thread].subscribed->remove(held->second.place);
  topics.erase(held);
  account(session, kept->kind(), -static_cast<std::int64_t>(memory_of(*kept)));
  uncount(kept, thread);
  let_go_if_idle(session);
}

bool PubSub::unsubscribe(Session& session, TopicKind kind, std::string_view name) {
  if (session.subscriber == nullptr) return false;
  const auto& topics = session.subscriber->topics[static_cast<std::size_t>(kind)];
  const auto held = topics.find(named(name));
  if (held == topics.end()) return false;
  const std::shared_ptr<Topic> topic = held->second.topic;
  unsubscribe(session, *topic);
  return true;
}

bool PubSub::end_some(Session& session, std::size_t most) {
  if (session.subscriber == nullptr) return true;
  for (std::size_t kind = 0; kind < topic_kinds; ++kind) {
    for (; session.subscriber != nullptr && !session.subscriber->topics[kind].empty(); --most) {
      if (most == 0) return false;
      const std::shared_ptr<Topic> topic = session.subscriber->topics[kind].begin()->second.topic;
      unsubscribe(session, *topic);
    }
    if (session.subscriber == nullptr) break;
  }
  engine_.clients.recount(session.shared);
  return true;
}

// --- rights ---

bool PubSub::may_have(Session& session, const Topic& topic) {
  const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
  if (user == nullptr) return false;
  security::MatchBudget budget;
  return user->unlimited_channels() || user->allows_channel(topic.name(), topic.kind() == TopicKind::pattern, budget);
}

// As in Redis, a client that may no longer have what it has subscribed to is closed.
bool PubSub::may_get(Subscription& one, const Topic& topic) {
  Session& session = one.subscriber->session;
  if (session.shared.closing.load(relaxed)) return false;
  const std::uint64_t version = engine_.users.version();
  if (one.rights == version) [[likely]]
    return true;
  if (!may_have(session, topic)) {
    engine_.clients.kill(session.shared);
    return false;
  }
  one.rights = version;
  return true;
}

/// Has a thread look at the rights of all its subscribers.
class RightsMail final : public Mail {
 public:
  explicit RightsMail(PubSub& pubsub) : pubsub_(pubsub) {}

  // In the order of clients (`first`), kinds (`second`) and hashes of names (`third`).
  bool hand_out(unsigned thread, Progress& progress, unsigned& left) const override {
    const PubSub::Subscribers& subscribers = *pubsub_.subscribers_[thread];
    for (auto at = subscribers.lower_bound(progress.first); at != subscribers.end(); ++at) {
      if (at->first != progress.first) progress = {.number = progress.number, .first = at->first};
      if (!look_at(*at->second, thread, progress, left)) return false;
    }
    return true;
  }

 private:
  bool look_at(const Subscriber& subscriber, unsigned thread, Progress& progress, unsigned& left) const {
    const Session& session = subscriber.session;
    for (; progress.second < topic_kinds; ++progress.second, progress.third = 0) {
      const auto& topics = subscriber.topics[progress.second];
      for (auto topic = topics.lower_bound({progress.third, {}}); topic != topics.end(); ++topic) {
        progress.third = topic->first.hash;
        if (left == 0) return false;
        left -= std::min(left, cost);
        Topic& one = *topic->second.topic;
        const bool stays = pubsub_.may_get(one.threads_[thread].subscribed->at(topic->second.place), one);
        const security::User* const user = session.checked_user().get();  // null: the client has authenticated since
        if (!stays || (user != nullptr && user->unlimited_channels())) return true;
      }
    }
    return true;
  }

  static constexpr unsigned cost = 8;  // of a comparison with the patterns of a user

  PubSub& pubsub_;
};

void PubSub::look_at_rights() {
  if (clients() == 0 || engine_.clients.threads == nullptr) return;
  try {
    const auto mail = std::make_shared<const RightsMail>(*this);
    for (unsigned thread = 0; thread < threads_; ++thread) engine_.clients.threads->send(thread, mail);
  } catch (const std::bad_alloc&) {  // each subscriber is looked at before its next message
  }
}

// --- messages ---

namespace {

class MarkMail final : public Mail, public PubSub::Mark {
 public:
  bool hand_out(unsigned /*thread*/, Progress& /*progress*/, unsigned& /*left*/) const override { return passed_ = true; }
};

}  // namespace

std::shared_ptr<const PubSub::Mark> PubSub::mark(unsigned thread) {
  if (pending() == 0 || engine_.clients.threads == nullptr) return nullptr;
  auto mark = std::make_shared<const MarkMail>();
  engine_.clients.threads->send(thread, mark);
  return mark;
}

/// A message on its way, with all the topics whose subscribers get it.
class Message final : public Mail {
 public:
  Message(PubSub& pubsub, std::vector<std::shared_ptr<Topic>> topics, std::string text, Blob blob)
      : pubsub_(pubsub), topics_(std::move(topics)), text_(std::move(text)), blob_(std::move(blob)) {
    pubsub_.add_pending(bytes());
  }
  ~Message() override { pubsub_.add_pending(-bytes()); }

  bool hand_out(unsigned thread, Progress& progress, unsigned& left) const override {
    const auto cost = static_cast<unsigned>(1 + text_.size() / 1024);
    std::uint64_t told = 0;
    bool done = true;
    for (; done && progress.first < topics_.size(); progress.first += done ? 1 : 0) {
      done = hand_out(*topics_[progress.first], thread, progress, left, cost, told);
    }
    pubsub_.engine_.stats.of_thread(thread).messages_delivered.add(told);
    return done;
  }

 private:
  bool hand_out(const Topic& topic, unsigned thread, Progress& progress, unsigned& left, unsigned cost, std::uint64_t& told) const {
    LocalSubscriptions* const here = topic.threads_[thread].subscribed.get();
    for (; here != nullptr && progress.second < here->places(); ++progress.second) {
      if (left == 0) return false;
      left -= std::min(left, cost);
      Subscription& one = here->at(progress.second);
      if (one.subscriber == nullptr || one.from > progress.number || !pubsub_.may_get(one, topic)) continue;
      PushReceiver* const receiver = one.subscriber->session.receiver;
      if (receiver == nullptr) continue;
      receiver->push({.head = topic.head(), .text = text_, .blob = blob_ ? &blob_ : nullptr, .end = blob_ ? "\r\n" : ""});
      ++told;
    }
    progress.second = 0;
    return true;
  }

  std::int64_t bytes() const {
    return static_cast<std::int64_t>(sizeof(Message) + text_.capacity() + topics_.capacity() * sizeof(topics_[0]));
  }

  PubSub& pubsub_;
  const std::vector<std::shared_ptr<Topic>> topics_;
  const std::string text_;
  const Blob blob_;  // counts as data
};

std::uint64_t PubSub::most_pending() const {
  constexpr std::uint64_t least = 1024 * 1024;
  constexpr std::uint64_t most = 64 * 1024 * 1024;
  return std::clamp(engine_.clients_share() / 8, least, most);
}

// The clients that wait are looked for after the messages have been counted down, and add themselves before they look at the count.
void PubSub::add_pending(std::int64_t bytes) {
  engine_.keyspace.memory().add(store::Use::clients, bytes);
  const std::uint64_t now = pending_.fetch_add(static_cast<std::uint64_t>(bytes)) + static_cast<std::uint64_t>(bytes);
  if (bytes > 0 || !publishers_wait_.load() || now > most_pending() / 2) return;
  std::vector<ClientPlace> waiting;
  {
    const std::lock_guard lock(waiting_mutex_);
    waiting.swap(waiting_);
    publishers_wait_.store(false);
  }
  for (const ClientPlace& client : waiting) engine_.clients.wake_task(client);
}

bool PubSub::may_publish(const ClientPlace& client) {
  if (pending_.load() <= most_pending()) [[likely]]
    return true;
  const std::lock_guard lock(waiting_mutex_);
  if (std::ranges::find(waiting_, client) == waiting_.end()) waiting_.push_back(client);
  publishers_wait_.store(true);
  return pending_.load() <= most_pending();
}

Publication::Publication(PubSub& pubsub, TopicKind kind, std::string_view channel) : pubsub_(pubsub), kind_(kind), channel_(channel) {
  if (pubsub.topics(kind) == 0) return;
  const TopicName name = pubsub.named(channel);
  std::shared_ptr<Topic> topic;
  PubSub::Part& part = pubsub.part_of(kind, name.hash);
  const std::lock_guard lock(part.mutex);
  if (const auto found = part.table.find(name); found != part.table.end()) add(found->second);
}

// With the topic's table locked.
void Publication::add(const std::shared_ptr<Topic>& topic) {
  topics_.push_back(topic);
  receivers_ += topic->count_;
  for (unsigned thread = 0; thread < topic->thread_count_; ++thread) {
    if (topic->threads_[thread].count > 0) threads_.set(thread);
  }
}

bool Publication::match(std::uint64_t most_compared) {
  if (kind_ != TopicKind::channel || pubsub_.topics(TopicKind::pattern) == 0) return true;
  const std::uint64_t end = compared_ + most_compared;
  for (;; ++next_chunk_) {
    if (compared_ >= end) return false;
    std::shared_ptr<const PubSub::Chunk> chunk;
    {
      const std::lock_guard lock(pubsub_.patterns_.mutex);
      if (next_chunk_ >= pubsub_.patterns_.chunks.size()) return true;
      chunk = pubsub_.patterns_.chunks[next_chunk_];
    }
    compared_ += PubSub::chunk_size;
    std::array<const std::shared_ptr<Topic>*, PubSub::chunk_size> matching;
    std::size_t count = 0;
    for (const std::shared_ptr<Topic>& topic : *chunk) {
      if (topic == nullptr) continue;
      compared_ += topic->pattern().most_compared(channel_);
      if (topic->pattern().matches(channel_)) matching[count++] = &topic;
    }
    if (count == 0) continue;
    topics_.reserve(topics_.size() + count);
    const std::lock_guard lock(pubsub_.patterns_.mutex);
    for (std::size_t i = 0; i < count; ++i) {
      if ((*matching[i])->count_ > 0) add(*matching[i]);
    }
  }
}

void Publication::send(std::string_view text, const Blob& blob) {
  pubsub_.published_.fetch_add(1, relaxed);
  ClientThreads* const threads = pubsub_.engine_.clients.threads;
  if (threads_.none() || threads == nullptr) return;
  std::string bytes;
  constexpr std::size_t headers = 64;
  bytes.reserve(headers + channel_.size() + (blob ? 0 : text.size()));
  bytes.append("$").append(std::to_string(channel_.size())).append("\r\n").append(channel_);
  bytes.append("\r\n$").append(std::to_string(text.size())).append("\r\n");
  if (!blob) bytes.append(text).append("\r\n");
  work::bytes(bytes.size());
  const auto message = std::make_shared<const Message>(pubsub_, std::move(topics_), std::move(bytes), blob);
  for (unsigned thread = 0; thread < pubsub_.threads_; ++thread) {
    if (threads_.test(thread)) threads->send(thread, message);
  }
}

}  // namespace pinfold::command
