// Publish/subscribe (pubsub.hpp): SUBSCRIBE, UNSUBSCRIBE and PUBLISH with their forms for patterns and shard channels, and PUBSUB.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/gathered_list.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/pattern.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {
namespace {

// So many names a command works through at once. Inside EXEC there may be no more.
constexpr std::size_t few_names = 256;

// --- many names ---

// Does something with each name, in the order in which they were named, and replies to each.
using ForName = void (*)(Call& call, std::string_view name);

class NamesTask final : public Task {
 public:
  NamesTask(const Call& call, ForName act, std::size_t header) : memory_(call.engine, call.session.shared), act_(act), header_(header) {
    accounted = false;
    in_parts = header == 0;
  }

  /// Copies the names. Returns false if there is no memory for them.
  bool keep(Args names) {
    std::size_t bytes = 0;
    for (const std::string_view name : names) bytes += sizeof(std::string) + name.size();
    if (!memory_.ask(bytes)) return false;
    names_.assign(names.begin(), names.end());
    return true;
  }

  /// Does nothing before the mark is passed.
  void wait_for(std::shared_ptr<const PubSub::Mark> mark) { mark_ = std::move(mark); }

  Outcome step(Call& call) override {
    constexpr std::size_t at_a_time = 32;
    if (mark_ != nullptr && !mark_->passed()) return Outcome::waits;
    const std::int64_t end = monotonic_us() + step_us;
    const std::size_t before = call.reply.output().size();
    if (!std::exchange(replying, true) && header_ > 0) call.reply.array(header_);
    while (next_ < names_.size()) {
      const std::size_t until = std::min(names_.size(), next_ + at_a_time);
      for (; next_ < until; ++next_) act_(call, names_[next_]);
      if (monotonic_us() >= end || call.reply.output().size() - before >= reply_piece) break;
    }
    call.engine.enforce_user_share(call.session);
    return next_ < names_.size() ? Outcome::waits : Outcome::done;
  }

 private:
  ClientMemory memory_;
  const ForName act_;
  const std::size_t header_;
  std::shared_ptr<const PubSub::Mark> mark_;
  std::vector<std::string> names_;
  std::size_t next_ = 0;
};

// `header`: the length of the array that the reply is; 0: it is a reply for each name. `mark`: what it is to wait for; may be null.
Outcome for_names(Call& call, Args names, ForName act, std::size_t header = 0, std::shared_ptr<const PubSub::Mark> mark = nullptr) {
  if (names.size() <= few_names && mark == nullptr) {
    if (header > 0) call.reply.array(header);
    for (const std::string_view name : names) act(call, name);
    if (!call.in_transaction) call.engine.enforce_user_share(call.session);
    return Outcome::done;
  }
  if (call.in_transaction) {
    return call.reply.error("ERR " + shown_name(call) + " inside MULTI takes " + std::to_string(few_names) + " names at most");
  }
  auto task = std::make_unique<NamesTask>(call, act, header);
  if (!task->keep(names)) return call.reply.error(beyond_clients_memory);
  task->wait_for(std::move(mark));
  return call.begin(std::move(task));
}

// --- subscribing ---

struct Words {
  std::string_view subscribe;
  std::string_view unsubscribe;
};
constexpr Words kWords[] = {{"subscribe", "unsubscribe"}, {"psubscribe", "punsubscribe"}, {"ssubscribe", "sunsubscribe"}};

constexpr const Words& words_of(TopicKind kind) { return kWords[static_cast<std::size_t>(kind)]; }

// As in Redis: shard channels are counted for themselves.
std::size_t subscriptions(const Session& session, TopicKind kind) {
  if (session.subscriber == nullptr) return 0;
  const auto& topics = session.subscriber->topics;
  const std::size_t shard = topics[static_cast<std::size_t>(TopicKind::shard_channel)].size();
  return kind == TopicKind::shard_channel ? shard : session.subscriber->count() - shard;
}

// `name`: null if there was nothing to unsubscribe from.
void confirm(Call& call, TopicKind kind, std::string_view word, std::optional<std::string_view> name) {
  call.reply.push(3);
  call.reply.bulk(word);
  if (name) {
    call.reply.bulk(*name);
  } else {
    call.reply.null();
  }
  call.reply.integer(static_cast<std::int64_t>(subscriptions(call.session, kind)));
}

template <TopicKind kind>
void subscribe_one(Call& call, std::string_view name) {
  const char* why = nullptr;
  switch (call.engine.pubsub.subscribe(call.session, kind, name, why)) {
    case PubSub::Subscribed::refused_pattern:
      call.reply.error("ERR the pattern " + std::string(why));
      return;
    case PubSub::Subscribed::too_large:
      call.reply.error(beyond_clients_memory);
      return;
    case PubSub::Subscribed::yes:
    case PubSub::Subscribed::already:
      confirm(call, kind, words_of(kind).subscribe, name);
  }
}

template <TopicKind kind>
void unsubscribe_one(Call& call, std::string_view name) {
  call.engine.pubsub.unsubscribe(call.session, kind, name);
  confirm(call, kind, words_of(kind).unsubscribe, name);
}

// A few names are always taken, so that a client can listen even if others have taken all memory.
template <TopicKind kind>
Outcome subscribe(Call& call) {
  constexpr std::size_t always = 64 * 1024;
  if (kind == TopicKind::shard_channel && call.in_transaction) {
    return call.reply.error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
  }
  const Args names = call.args.subspan(1);
  const std::size_t bytes = call.engine.pubsub.memory_for(names);
  const std::size_t before = call.session.subscriber != nullptr ? call.session.subscriber->bytes : 0;
  if (before + bytes > always && !call.engine.client_may_take(call.session.shared, bytes)) return call.reply.error(beyond_clients_memory);
  return for_names(call, names, subscribe_one<kind>);
}

// Ends all subscriptions of a kind. Replies to each.
template <TopicKind kind>
class UnsubscribeTask final : public Task {
 public:
  explicit UnsubscribeTask(std::shared_ptr<const PubSub::Mark> mark) : mark_(std::move(mark)) {
    accounted = false;
    in_parts = true;  // or a message would be heard of a channel behind the reply that ends it
  }

  Outcome step(Call& call) override {
    if (mark_ != nullptr && !mark_->passed()) return Outcome::waits;
    replying = true;
    const std::int64_t end = monotonic_us() + step_us;
    const std::size_t before = call.reply.output().size();
    for (std::size_t done = 1; subscribed(call.session); ++done) {
      constexpr std::size_t at_a_time = 32;
      const std::shared_ptr<Topic> topic = topics(call.session).begin()->second.topic;
      call.engine.pubsub.unsubscribe(call.session, *topic);
      confirm(call, kind, words_of(kind).unsubscribe, topic->name());
      if (done % at_a_time != 0 || call.in_transaction) continue;
      if (monotonic_us() >= end || call.reply.output().size() - before >= reply_piece) break;
    }
    call.engine.clients.recount(call.session.shared);
    return subscribed(call.session) ? Outcome::waits : Outcome::done;
  }

  static const Subscriber::Topics& topics(const Session& session) { return session.subscriber->topics[static_cast<std::size_t>(kind)]; }
  static bool subscribed(const Session& session) { return session.subscriber != nullptr && !topics(session).empty(); }

 private:
  const std::shared_ptr<const PubSub::Mark> mark_;
};

// What is on its way to the client's thread, and may be for the client.
std::shared_ptr<const PubSub::Mark> mark_of(Call& call) {
  return call.in_transaction || call.session.subscriber == nullptr ? nullptr : call.engine.pubsub.mark(call.session.shared.thread);
}

template <TopicKind kind>
Outcome unsubscribe(Call& call) {
  if (call.args.size() > 1) return for_names(call, call.args.subspan(1), unsubscribe_one<kind>, 0, mark_of(call));
  using All = UnsubscribeTask<kind>;
  if (!All::subscribed(call.session)) {
    confirm(call, kind, words_of(kind).unsubscribe, std::nullopt);
    return Outcome::done;
  }
  std::shared_ptr<const PubSub::Mark> mark = mark_of(call);
  if (All::topics(call.session).size() <= few_names && mark == nullptr) {
    All all(nullptr);
    return call.run_whole(all);
  }
  if (call.in_transaction) {
    return call.reply.error("ERR " + shown_name(call) + " inside MULTI ends " + std::to_string(few_names) + " subscriptions at most");
  }
  return call.begin(std::make_unique<All>(std::move(mark)));
}

// --- publishing ---

// What a PUBLISH compares before other clients have their turn.
constexpr std::uint64_t most_compared = 100'000;

// Publishes when the channel has been compared with all patterns, and when there is room for the message.
class PublishTask final : public Task {
 public:
  PublishTask(Call& call, TopicKind kind)
      : memory_(call.engine, call.session.shared),
        blob_(call.take_blob(2)),
        channel_(call.args[1]),
        text_(blob_ ? std::string_view() : call.args[2]),
        publication_(call.engine.pubsub, kind, channel_) {}

  /// Whether the account allows what it keeps.
  bool is_allowed() { return memory_.ask(channel_.size() + text_.size()); }

  Outcome step(Call& call) override {
    asleep = false;
    matched_ = matched_ || publication_.match(most_compared);
    if (!matched_) return Outcome::waits;
    if (publication_.receivers() > 0 && !call.engine.pubsub.may_publish(call.session.shared.place())) {
      asleep = true;
      return Outcome::waits;
    }
    publication_.send(blob_ ? blob_.view() : std::string_view(text_), blob_);
    return call.reply.integer(static_cast<std::int64_t>(publication_.receivers()));
  }

 private:
  ClientMemory memory_;
  const Blob blob_;
  const std::string channel_;
  const std::string text_;
  Publication publication_;
  bool matched_ = false;
};

// Inside EXEC nobody can wait until there is room: what a transaction publishes may be twice as much, and no more.
Outcome publish_in_exec(Call& call, Publication& publication) {
  const PubSub& pubsub = call.engine.pubsub;
  if (!publication.match(call.session.group->budget.bytes_left())) return refuse_beyond_budget(call);
  if (publication.receivers() > 0 && pubsub.pending() > 2 * pubsub.most_pending()) return call.out_of_memory();
  publication.send(call.args[2], call.take_blob(2));
  return call.reply.integer(static_cast<std::int64_t>(publication.receivers()));
}

template <TopicKind kind>
Outcome publish(Call& call) {
  const PubSub& pubsub = call.engine.pubsub;
  Publication publication(call.engine.pubsub, kind, call.args[1]);
  if (call.in_transaction) return publish_in_exec(call, publication);
  const bool matched = publication.match(most_compared);
  if (!matched || (publication.receivers() > 0 && pubsub.pending() > pubsub.most_pending())) [[unlikely]] {
    auto task = std::make_unique<PublishTask>(call, kind);
    if (!task->is_allowed()) return call.reply.error(beyond_clients_memory);
    return call.park(std::move(task));
  }
  publication.send(call.args[2], call.take_blob(2));
  return call.reply.integer(static_cast<std::int64_t>(publication.receivers()));
}

// --- PUBSUB ---

class ChannelsTask final : public Task {
 public:
  ChannelsTask(const Call& call, TopicKind kind, std::unique_ptr<const Pattern> pattern)
      : kind_(kind), pattern_(std::move(pattern)), found_(call) {}

  Outcome step(Call& call) override {
    if (!replying) {
      if (!look(call)) return Outcome::done;
      if (more_) return Outcome::waits;
      replying = true;
      call.reply.array(found_.count());
    }
    for (std::size_t sent = 0; !found_.empty() && (sent < reply_piece || call.in_transaction);) {
      const std::size_t before = call.reply.output().size();
      found_.move_part(call.reply.output());
      sent += call.reply.output().size() - before;
    }
    return found_.empty() ? Outcome::done : Outcome::waits;
  }

 private:
  static constexpr std::size_t at_a_time = 256;

  // False if there is no memory for what was found; then the error has been replied.
  bool look(Call& call) {
    const std::int64_t end = monotonic_us() + step_us;
    bool fits = true;
    const auto add = [&](const std::string& name) {
      fits = fits && (pattern_ == nullptr || pattern_->matches(name) ? found_.add(name) : true);
    };
    do {
      more_ = call.engine.pubsub.visit(kind_, cursor_, at_a_time, add);
    } while (fits && more_ && (call.in_transaction || monotonic_us() < end));
    if (!fits) {
      found_.clear();
      call.reply.error(beyond_clients_memory);
    }
    return fits;
  }

  const TopicKind kind_;
  const std::unique_ptr<const Pattern> pattern_;
  GatheredList found_;
  PubSub::Cursor cursor_;
  bool more_ = true;
};

template <TopicKind kind>
Outcome pubsub_channels(Call& call) {
  if (call.args.size() > 3) {
    return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try PUBSUB HELP.");
  }
  std::unique_ptr<const Pattern> pattern;
  if (call.args.size() == 3) {
    pattern = compile_pattern(call, call.args[2]);
    if (pattern == nullptr) return Outcome::done;
  }
  const std::size_t count = call.engine.pubsub.topics(kind);
  if (call.in_transaction && count > call.session.group->budget.entries_left()) return refuse_beyond_budget(call);
  auto task = std::make_unique<ChannelsTask>(call, kind, std::move(pattern));
  return call.in_transaction ? call.run_whole(*task) : call.begin(std::move(task));
}

template <TopicKind kind>
void count_subscribers(Call& call, std::string_view name) {
  call.reply.bulk(name);
  call.reply.integer(static_cast<std::int64_t>(call.engine.pubsub.subscribers(kind, name)));
}

template <TopicKind kind>
Outcome pubsub_numsub(Call& call) {
  const Args names = call.args.subspan(2);
  if (names.empty()) return call.reply.array(0);
  return for_names(call, names, count_subscribers<kind>, 2 * names.size());
}

Outcome pubsub_numpat(Call& call) { return call.reply.integer(static_cast<std::int64_t>(call.engine.pubsub.topics(TopicKind::pattern))); }

constexpr std::uint32_t kSubscribing = kPubSub | kNoScript | kLoading | kForSubscribers | kRepliesPushes;
constexpr std::uint32_t kPublishing = kPubSub | kLoading | kFast | kMayReplicate | kNamesChannels | kBeyondNamed;
constexpr std::uint32_t kLooking = kPubSub | kLoading;

// clang-format off
constexpr Row kRows[] = {
    {.name = "psubscribe", .handler = subscribe<TopicKind::pattern>, .arity = -2,
     .flags = kSubscribing | kNamesChannels, .channels = {.first = 1, .last = -1, .patterns = true},
     .group = "pubsub", .since = "2.0.0",
     .complexity = "O(N) for N patterns.",
     .summary = "Has the client told of what is published to channels that match one of the patterns.",
     .syntax = "pattern [pattern ...]"},
    {.name = "publish", .handler = publish<TopicKind::channel>, .arity = 3,
     .flags = kPublishing, .channels = {.first = 1, .last = 1},
     .group = "pubsub", .since = "2.0.0",
     .complexity = "O(N+T) for N patterns of all clients and T threads that have subscribers. The threads do O(M) for M subscribers.",
     .summary = "Sends a message to the subscribers of a channel. Tells how many subscriptions get it.",
     .syntax = "channel message"},
    {.name = "pubsub", .arity = -2,
     .group = "pubsub", .since = "2.8.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Looks at channels and their subscribers."},
    {.name = "pubsub|channels", .handler = pubsub_channels<TopicKind::channel>, .arity = -2,
     .flags = kLooking | kBeyondNamed,
     .group = "pubsub", .since = "2.8.0",
     .complexity = "O(N) for N channels; other clients are served meanwhile.",
     .summary = "Lists the channels that have subscribers, all or those that match a pattern.",
     .syntax = "[pattern]"},
    {.name = "pubsub|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "pubsub", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "pubsub|numpat", .handler = pubsub_numpat, .arity = 2,
     .flags = kLooking,
     .group = "pubsub", .since = "2.8.0",
     .complexity = "O(1)",
     .summary = "Tells how many patterns have subscribers."},
    {.name = "pubsub|numsub", .handler = pubsub_numsub<TopicKind::channel>, .arity = -2,
     .flags = kLooking,
     .group = "pubsub", .since = "2.8.0",
     .complexity = "O(N) for N channels.",
     .summary = "Tells how many subscribers channels have, without those of patterns.",
     .syntax = "[channel [channel ...]]"},
    {.name = "pubsub|shardchannels", .handler = pubsub_channels<TopicKind::shard_channel>, .arity = -2,
     .flags = kLooking | kBeyondNamed,
     .group = "pubsub", .since = "7.0.0",
     .complexity = "O(N) for N shard channels; other clients are served meanwhile.",
     .summary = "Lists the shard channels that have subscribers, all or those that match a pattern.",
     .syntax = "[pattern]"},
    {.name = "pubsub|shardnumsub", .handler = pubsub_numsub<TopicKind::shard_channel>, .arity = -2,
     .flags = kLooking,
     .group = "pubsub", .since = "7.0.0",
     .complexity = "O(N) for N shard channels.",
     .summary = "Tells how many subscribers shard channels have.",
     .syntax = "[shardchannel [shardchannel ...]]"},
    {.name = "punsubscribe", .handler = unsubscribe<TopicKind::pattern>, .arity = -1,
     .flags = kSubscribing,
     .group = "pubsub", .since = "2.0.0",
     .complexity = "O(N) for N patterns.",
     .summary = "Ends subscriptions to patterns, to all if none is named.",
     .syntax = "[pattern [pattern ...]]"},
    {.name = "spublish", .handler = publish<TopicKind::shard_channel>, .arity = 3,
     .flags = kPublishing, .channels = {.first = 1, .last = 1, .sharded = true},
     .group = "pubsub", .since = "7.0.0",
     .complexity = "O(T) for T threads that have subscribers. The threads do O(M) for M subscribers.",
     .summary = "Sends a message to the subscribers of a shard channel. Tells how many subscriptions get it.",
     .syntax = "shardchannel message"},
    {.name = "ssubscribe", .handler = subscribe<TopicKind::shard_channel>, .arity = -2,
     .flags = kSubscribing | kNamesChannels, .channels = {.first = 1, .last = -1, .sharded = true},
     .group = "pubsub", .since = "7.0.0",
     .complexity = "O(N) for N shard channels.",
     .summary = "Has the client told of what is published to shard channels.",
     .syntax = "shardchannel [shardchannel ...]"},
    {.name = "subscribe", .handler = subscribe<TopicKind::channel>, .arity = -2,
     .flags = kSubscribing | kNamesChannels, .channels = {.first = 1, .last = -1},
     .group = "pubsub", .since = "2.0.0",
     .complexity = "O(N) for N channels.",
     .summary = "Has the client told of what is published to channels.",
     .syntax = "channel [channel ...]"},
    {.name = "sunsubscribe", .handler = unsubscribe<TopicKind::shard_channel>, .arity = -1,
     .flags = kSubscribing, .channels = {.first = 1, .last = -1, .sharded = true},
     .group = "pubsub", .since = "7.0.0",
     .complexity = "O(N) for N shard channels.",
     .summary = "Ends subscriptions to shard channels, to all if none is named.",
     .syntax = "[shardchannel [shardchannel ...]]"},
    {.name = "unsubscribe", .handler = unsubscribe<TopicKind::channel>, .arity = -1,
     .flags = kSubscribing,
     .group = "pubsub", .since = "2.0.0",
     .complexity = "O(N) for N channels.",
     .summary = "Ends subscriptions to channels, to all if none is named.",
     .syntax = "[channel [channel ...]]"},
};
// clang-format on

}  // namespace

std::span<const Row> pubsub_commands() { return kRows; }

}  // namespace pinfold::command
