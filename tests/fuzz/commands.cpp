// Fuzzes whole sequences of requests in one process: an Engine, a Dispatcher and four clients, which share what they share in a server.
//
// The input is a script (script.hpp). The fuzzer's mutator changes it line by line, with requests that are made from the command table
// (requests.hpp). Time and chance are the same in every run (support/machine.hpp). Invariants:
//   - each request gets exactly one reply, in the client's protocol, or its connection is closed
//   - a std::bad_alloc costs one client its connection, and nothing else (as in IoThread::guarded)
//   - a recount equals the account of memory, and data stays within maxmemory
//   - the memory of clients is the sum of what the sessions say
//   - no hold of a lock does more work than its budget
//   - when all clients have gone, all has been deleted and a day has passed, nothing is left

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "replies.hpp"
#include "requests.hpp"
#include "script.hpp"
#include "support/allocations.hpp"
#include "support/machine.hpp"
#include "support/require.hpp"
#include <sys/uio.h>

#include "pinfold/command/dispatch.hpp"
#include "pinfold/command/large_arguments.hpp"
#include "pinfold/command/transaction_budget.hpp"

using fuzz::require;
using namespace pinfold;
using config::Id;

namespace {

constexpr std::size_t most_lines = 200;
constexpr std::size_t most_bytes = 4 << 20;  // of all arguments of a script
constexpr std::size_t most_argument = 400'000;
constexpr std::size_t most_reply = 16 << 20;       // bytes that wait for a client, as client-output-buffer-limit
constexpr std::size_t large_argument = 16 * 1024;  // as net::Arrival::least_size, which this target does not link
constexpr std::int64_t most_script_ms = 20;
constexpr std::uint64_t most_memory = 64 << 20;  // maxmemory is not set higher, or to none

class Server;

// One client and its connection. What it is told without having asked is dropped.
struct Peer final : PushReceiver {
  explicit Peer(command::Engine& engine) {
    session.shared.id = engine.clients.next_id();
    session.shared.address = "127.0.0.1:" + std::to_string(10'000 + session.shared.id);
    session.shared.local_address = "127.0.0.1:6379";
    session.shared.created = monotonic_ms();
    session.set_user(engine.users.of_new_connection());
    session.receiver = this;
    engine.clients.add(session.shared);
  }

  void push(const PushText& text) noexcept override { pushed += text.size(); }

  command::Session session;
  resp::Output output;
  std::size_t pushed = 0;  // bytes
  bool silent = false;     // the request may have no reply, because of CLIENT REPLY
};

// What other threads would be told is done when the present request has been executed.
class Messages final : public ClientThreads {
 public:
  struct Message {
    enum class Kind { close, end_wait, wake_task, deliver } kind;
    ClientPlace client;
    std::uint64_t ticket = 0;
    bool with_error = false;
    std::shared_ptr<const Delivery> answer;
  };

  void close(const ClientPlace& client) override { add({Message::Kind::close, client, 0, false, nullptr}); }
  void end_wait(const ClientPlace& client, std::uint64_t ticket, bool with_error) override {
    add({Message::Kind::end_wait, client, ticket, with_error, nullptr});
  }
  void wake_task(const ClientPlace& client) override { add({Message::Kind::wake_task, client, 0, false, nullptr}); }
  void end_pause() override {}
  // Throws, as the real one.
  void deliver(const std::shared_ptr<const Delivery>& answer) override {
    waiting_.push_back({Message::Kind::deliver, {}, 0, false, answer});
  }
  void push(std::vector<ClientPlace> /*to*/, std::shared_ptr<const std::string> /*bytes*/, Audience /*audience*/) override {}
  void send(unsigned /*thread*/, std::shared_ptr<const Mail> mail) override {
    mail_.push_back({std::move(mail), {.number = mail_number_}});
    ++mail_number_;
  }
  std::uint64_t mail_number(unsigned /*thread*/) const override { return mail_number_; }

  // Hands out some of the mail. Returns whether there was any.
  bool hand_out() {
    if (mail_.empty()) return false;
    unsigned left = 64;
    if (mail_.front().mail->hand_out(0, mail_.front().progress, left)) mail_.pop_front();
    return true;
  }

  bool take(Message& message) {
    const fuzz::Unwatched spared;
    if (waiting_.empty()) return false;
    message = std::move(waiting_.front());
    waiting_.pop_front();
    return true;
  }

 private:
  void add(const Message& message) {
    const fuzz::Unwatched spared;
    waiting_.push_back(message);
  }

  struct Piece {
    std::shared_ptr<const Mail> mail;
    Mail::Progress progress;
  };

  std::deque<Message> waiting_;
  std::deque<Piece> mail_;
  std::uint64_t mail_number_ = 1;
};

class Server {
 public:
  Server() : keyspace_(options(settings_)), engine_(settings_, keyspace_, 1) {
    engine_.connect(&messages_);
    connect_settings();
    for (auto& peer : peers_) peer = std::make_unique<Peer>(engine_);
  }
  ~Server() {
    for (auto& peer : peers_) end(*peer);
  }

  void run(const fuzz::Script& script) {
    std::size_t lines = 0;
    for (const fuzz::Line& line : script) {
      if (++lines > most_lines || bytes_ > most_bytes) break;
      do_line(line);
      settle();
      work_on_tasks(1);
      check_accounts();
    }
    finish();
  }

 private:
  static store::KeyspaceOptions options(config::Settings& settings) {
    const auto set = [&settings](Id id, std::string_view value) {
      require(!settings.set(id, value, false), "a setting is refused", value);
    };
    set(Id::maxmemory, "16mb");
    set(Id::enable_debug_command, "yes");
    set(Id::lock_accounting, "yes");
    set(Id::script_time_limit, std::to_string(most_script_ms));
    return {.shards = 2,
            .max_memory = static_cast<std::uint64_t>(settings.integer(Id::maxmemory)),
            .policy = static_cast<eviction::Kind>(settings.integer(Id::maxmemory_policy))};
  }

  // As src/server/server.cpp does.
  void connect_settings() {
    keyspace_.lock_watch().set_accounting(true);
    settings_.on_change(Id::maxmemory, [this]() -> std::optional<std::string> {
      const auto memory = static_cast<std::uint64_t>(settings_.integer(Id::maxmemory));
      if (memory == 0 || memory > most_memory) return "more than this test may take";
      keyspace_.set_max_memory(memory);
      allowed_ = std::max(memory, keyspace_.memory().data());
      return std::nullopt;
    });
    settings_.on_change(Id::script_time_limit, [this]() -> std::optional<std::string> {
      if (settings_.integer(Id::script_time_limit) > most_script_ms) return "more than this test may take";
      return std::nullopt;
    });
    follow(Id::maxmemory_policy, [this](std::int64_t n) { keyspace_.set_policy(static_cast<eviction::Kind>(n)); });
    follow(Id::lfu_decay_time, [this](std::int64_t n) { keyspace_.set_lfu_decay(static_cast<std::uint32_t>(n)); });
    follow(Id::lease_duration, [this](std::int64_t n) { engine_.cache.lease_ms.store(n); });
    follow(Id::max_leases, [this](std::int64_t n) { engine_.cache.max_leases.store(static_cast<std::uint64_t>(n)); });
    follow(Id::max_lease_waiters, [this](std::int64_t n) { engine_.cache.max_waiters.store(static_cast<std::uint64_t>(n)); });
    follow(Id::negative_memory, [this](std::int64_t n) { engine_.cache.negative_percent.store(static_cast<unsigned>(n)); });
    follow(Id::max_collection_memory, [this](std::int64_t n) { keyspace_.limit_collections(n > 0 ? static_cast<std::uint64_t>(n) : 0); });
    follow(Id::serve_stale, [this](std::int64_t n) { keyspace_.set_serve_stale(n != 0); });
    follow(Id::tracking_table_max_keys, [this](std::int64_t n) { engine_.cache.tracking.max_keys.store(static_cast<std::uint64_t>(n)); });
    allowed_ = keyspace_.memory().limit();
  }
  template <class Apply>
  void follow(Id id, Apply&& apply) {
    const auto listener = [this, id, apply]() -> std::optional<std::string> {
      apply(settings_.integer(id));
      return std::nullopt;
    };
    settings_.on_change(id, listener);
    listener();
  }

  void do_line(const fuzz::Line& line) {
    constexpr std::int64_t longest_ms = std::int64_t{1000} * 60 * 60 * 24 * 30;
    switch (line.kind) {
      case '@':
        current_ = static_cast<std::size_t>(fuzz::number_of(line, 0, 0, INT32_MAX)) % peers_.size();
        return;
      case '+':
        fuzz::pass_time(fuzz::number_of(line, 0, 0, longest_ms));
        end_expired_waits();
        return background();
      case '~':
        return fuzz::step_wall_clock(fuzz::number_of(line, 0, -longest_ms, longest_ms));
      case '!': {
        constexpr std::int64_t most = 100'000;
        const auto count = static_cast<std::uint32_t>(fuzz::number_of(line, 1, 0, most));
        return fuzz::Allocations::fail(static_cast<std::uint32_t>(fuzz::number_of(line, 0, 0, most)), std::max(count, 1U));
      }
      case '^':
        return background();
      case '$':
        return audit();
      case '%':
        return renew(*peers_[current_]);
      default:
        return request(*peers_[current_], line.words);
    }
  }

  Moment hold_clock() {
    const Moment now{unix_ms(), monotonic_ms()};
    dispatcher_.clock().hold_for_test(now);
    return now;
  }

  // Does `work` of a client's connection as IoThread::guarded does. Returns false if the connection was closed for want of memory.
  template <class Work>
  bool guarded(Peer& peer, Work&& work) {
    hold_clock();
    try {
      const fuzz::Watched watched;
      work();
    } catch (const std::bad_alloc&) {
      renew(peer);
      return false;
    }
    return true;
  }

  // What ends when a connection is closed. This must not need memory.
  void end(Peer& peer) {
    const fuzz::Watched watched;
    command::forget_wait(peer.session, engine_);
    while (!dispatcher_.forget_some(peer.session)) {
    }
    dispatcher_.end_session(peer.session);
    engine_.clients.remove(peer.session.shared);
  }

  void renew(Peer& peer) {
    end(peer);
    for (auto& each : peers_) {
      if (each.get() == &peer) each = std::make_unique<Peer>(engine_);
    }
  }

  void request(Peer& peer, const std::vector<std::string>& words) {
    command::Session& session = peer.session;
    if (traces()) trace(session, words);
    if (session.waiting != nullptr && session.waiting->ended_by == command::Waiting::EndedBy::any_input) {
      if (!end_wait(peer, false)) return;
    }
    if (session.waits()) return;  // it stays in the connection's buffer
    std::vector<std::string> texts;
    for (const std::string& word : words) {
      texts.push_back(fuzz::expand_word(word, remembered_, most_argument));
      bytes_ += texts.back().size();
    }
    std::vector<std::string_view> args(texts.begin(), texts.end());
    std::unique_ptr<command::LargeArguments> large;
    if (!guarded(peer, [&] { large = receive_large(args); })) return;
    const command::Prepared found = dispatcher_.prepare(args);
    command::Prepared prepared = found;
    prepared.large = large.get();
    dispatcher_.prefetch({&prepared, 1}, [&](std::size_t /*i*/) { return session.db; });
    if (dispatcher_.must_wait(session, args, prepared)) return;
    peer.silent = session.reply_mode != command::ReplyMode::on;
    const bool done = guarded(peer, [&] {
      peer.output.begin_reply(most_reply);
      resp::Reply reply(peer.output, session.protocol);
      dispatcher_.execute(session, args, prepared, reply);
    });
    if (!done) return;
    peer.silent |= session.reply_mode != command::ReplyMode::on;
    if (session.waiting != nullptr && session.waiting->unblocks) session.shared.waiting.store(session.waiting->ticket);
    replied(peer);
  }

  // With PINFOLD_FUZZ_TRACE set, requests and replies are printed.
  static bool traces() {
    static const bool on = std::getenv("PINFOLD_FUZZ_TRACE") != nullptr;
    return on;
  }
  static void trace(const command::Session& session, const std::vector<std::string>& words) {
    std::fprintf(stderr, "%zu%s>", static_cast<std::size_t>(session.shared.id), session.waits() ? " waits" : "");
    for (const std::string& word : words) std::fprintf(stderr, " %s", word.c_str());
    std::fputc('\n', stderr);
  }

  // Large arguments arrive in blocks, as in net::Arrival.
  std::unique_ptr<command::LargeArguments> receive_large(std::vector<std::string_view>& args) {
    std::unique_ptr<command::LargeArguments> large;
    for (std::size_t i = 0; i < args.size(); ++i) {
      if (args[i].size() < large_argument) continue;
      if (large == nullptr) large = std::make_unique<command::LargeArguments>();
      store::Room promise;
      Blob block;
      if (!large->refused() && keyspace_.make_room(args[i].size(), &promise))
        block = Blob::allocate(keyspace_.memory().heap(), 0, args[i].size());
      if (!block) {
        large->refuse(command::LargeArguments::Refusal::no_room);
        large->add(i, {});
        args[i] = {};
        continue;
      }
      std::memcpy(block.data(), args[i].data(), args[i].size());
      block.set_size(args[i].size());
      args[i] = {block.data(), args[i].size()};
      large->add(i, std::move(block));
    }
    return large;
  }

  // Looks at what a request, or the end of a wait, has left.
  void replied(Peer& peer) {
    command::Session& session = peer.session;
    if (peer.output.overflow() != resp::Output::Overflow::none) return renew(peer);  // as Connection::cut_off
    if (session.waits() && !session.shared.closing.load()) return;
    const bool closes = session.close_after_reply || session.shared.closing.load();
    if (!session.waits()) take_reply(peer, closes);
    if (closes) renew(peer);
  }

  void take_reply(Peer& peer, bool may_be_none) {
    std::string text;
    while (!peer.output.empty()) {
      iovec runs[64];
      const std::size_t count = peer.output.gather(runs, std::size(runs));
      std::size_t bytes = 0;
      for (std::size_t i = 0; i < count; ++i) {
        text.append(static_cast<const char*>(runs[i].iov_base), runs[i].iov_len);
        bytes += runs[i].iov_len;
      }
      peer.output.consume(bytes);
    }
    peer.output.clear(0);
    const auto replies = fuzz::count_replies(text);
    const command::Row* const row = peer.session.shared.last_command.load();
    if (traces()) std::fprintf(stderr, "    %zu: %.200s\n", static_cast<std::size_t>(peer.session.shared.id), text.c_str());
    require(replies.has_value(), "a reply is not in the client's protocol", text.substr(0, 1000));
    // SUBSCRIBE and its kin reply once for each name, inside of EXEC as well.
    const bool may_be_several = row != nullptr && ((row->flags & command::kRepliesPushes) != 0 || row->name == "exec");
    const bool right = *replies == 1 || (*replies == 0 && (may_be_none || peer.silent)) || (*replies > 1 && may_be_several);
    require(right, "a request has no reply, or several", row != nullptr ? std::string(row->name) + ": " + text.substr(0, 1000) : text);
    remember(text);
  }

  // Keeps the last lease token and the last cursor, for requests that need one.
  void remember(const std::string& text) {
    constexpr std::size_t least_digits = 6;
    for (std::size_t at = text.find(':'); at != std::string::npos; at = text.find(':', at + 1)) {
      const std::size_t end = std::min(text.find_first_not_of("0123456789", at + 1), text.size());
      if (end - at > least_digits) remembered_.token = text.substr(at + 1, end - at - 1);
    }
    if (!text.starts_with("*2\r\n$")) return;
    const std::size_t line = text.find("\r\n", 4) + 2;
    const std::size_t end = std::min(text.find_first_not_of("0123456789", line), text.size());
    if (end > line) remembered_.cursor = text.substr(line, end - line);
  }

  // Returns false if the connection was closed.
  bool reply_late(Peer& peer, const std::function<void(resp::Reply&)>& write) {
    const std::uint64_t id = peer.session.shared.id;
    const bool written = guarded(peer, [&] {
      peer.output.begin_reply(most_reply);
      resp::Reply reply(peer.output, peer.session.protocol);
      write(reply);
    });
    if (!written) return false;
    require(peer.session.waiting == nullptr, "a wait that has ended goes on");
    replied(peer);
    return find(id) != nullptr;
  }

  bool end_wait(Peer& peer, bool with_error) {
    if (with_error) {
      return reply_late(peer, [&](resp::Reply& reply) {
        command::forget_wait(peer.session, engine_);
        reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
      });
    }
    return reply_late(peer, [&](resp::Reply& reply) { command::end_wait(peer.session, engine_, reply); });
  }

  void end_expired_waits() {
    const MonoMs now = hold_clock().mono;
    for (auto& peer : peers_) {
      const auto& waiting = peer->session.waiting;
      if (waiting != nullptr && waiting->until != MonoMs{} && waiting->until <= now) end_wait(*peer, false);
    }
  }

  Peer* find(std::uint64_t client) {
    for (auto& peer : peers_) {
      if (peer->session.shared.id == client) return peer.get();
    }
    return nullptr;
  }

  // Hands the messages out that have been sent to clients.
  void settle() {
    do {
      settle_messages();
      if (feed().has_news()) feed().announce();
    } while (messages_.hand_out());
  }

  command::TrackingFeed& feed() { return engine_.tracking.feed_of(0); }

  void settle_messages() {
    Messages::Message message{};
    while (messages_.take(message)) {
      Peer* const peer = find(message.client.client);
      switch (message.kind) {
        case Messages::Message::Kind::close:
          if (peer != nullptr) renew(*peer);
          break;
        case Messages::Message::Kind::end_wait:
          if (peer != nullptr && peer->session.waiting != nullptr && peer->session.shared.waiting.load() == message.ticket) {
            end_wait(*peer, message.with_error);
          }
          break;
        case Messages::Message::Kind::wake_task:
          if (peer != nullptr && peer->session.task != nullptr) step(*peer);
          break;
        case Messages::Message::Kind::deliver:
          deliver(*message.answer);
      }
    }
  }

  void deliver(const Delivery& answer) {
    std::uint64_t next = 0;
    do {
      next = answer.visit(next, [&](std::uint64_t ticket, const ClientPlace& client) {
        Peer* const peer = find(client.client);
        const bool waits = peer != nullptr && peer->session.waiting != nullptr && peer->session.waiting->ticket == ticket;
        const bool taken =
            waits && reply_late(*peer, [&](resp::Reply& reply) { command::answer_wait(peer->session, engine_, answer, reply); });
        if (!taken) answer.not_taken();
        return true;
      });
    } while (next != 0);
  }

  // Runs a step of the client's task. Returns false if it has none that can go on.
  bool step(Peer& peer) {
    command::Session& session = peer.session;
    hold_clock();
    if (session.task == nullptr || dispatcher_.must_rest(session, *session.task->row)) return false;
    session.task->asleep = false;
    const bool done = guarded(peer, [&] {
      peer.output.begin_reply(most_reply);
      resp::Reply reply(peer.output, session.protocol);
      dispatcher_.step(session, reply);
    });
    if (!done) return false;
    const bool asleep = session.task != nullptr && session.task->asleep;
    replied(peer);
    return !asleep;
  }

  void work_on_tasks(unsigned steps) {
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      for (unsigned left = steps; left > 0 && peers_[i]->session.task != nullptr && step(*peers_[i]); --left) {
      }
    }
    settle();
  }

  // As server::Background does in one of its rounds.
  void background() {
    const auto tried = [](auto&& work) {
      try {
        const fuzz::Watched watched;
        work();
      } catch (const std::bad_alloc&) {  // tried again the next time
      }
    };
    constexpr std::int64_t slice_us = 250;
    tried([this] {
      const MonoMs now = monotonic_ms();
      if (engine_.cache.next_alarm() <= now) engine_.cache.run_alarms(now);
      engine_.cache.tell_waiting();
      keyspace_.background_step(unix_ms(), slice_us);
      engine_.cache.tell_finished();
    });
    engine_.rates.sample(engine_.stats, monotonic_us());
    tried([this] {
      engine_.cache.tend(monotonic_ms());
      engine_.cache.tracking.tend(unix_ms());
      engine_.tracking.announce_orphans();
    });
    engine_.keyspace_events.publish_left();
    engine_.events.take(false);
  }

  void check_accounts() {
    std::uint64_t clients = 0;
    for (const auto& peer : peers_) clients += peer->session.shared.memory();
    const store::Memory& memory = keyspace_.memory();
    clients += engine_.keyspace_events.memory() + engine_.pubsub.pending();
    require(memory.used(store::Use::clients) == clients, "the memory of clients is not the sum of theirs");
    // What needs no room may still move an entry to a new segment: one of each queue, in each shard and database. A value that grows may
    // go beyond the limit in EXEC.
    constexpr std::uint64_t segment = 64 * 1024;
    const std::uint64_t slack = segment * eviction::queue_count * keyspace_.shard_count() * store::database_count + allowed_ / 16;
    allowed_ = std::max(memory.limit(), std::min(allowed_, std::max(memory.data(), memory.limit())));
    // Scripts have a limit of their own.
    require(memory.data() <= allowed_ + slack + memory.used(store::Use::scripts), "data takes more than maxmemory");
  }

  // Recounts everything, with what the tasks keep.
  void audit() {
    while (keyspace_.memory().heap().give_back(SIZE_MAX)) {
    }
    const store::Memory& memory = keyspace_.memory();
    const store::KeyspaceAudit recount = recounted();
    require(recount.consistent, "the store's counters do not equal a recount");
    require(recount.segments == memory.used(store::Use::segments), "the account of segments does not equal a recount");
    require(recount.index == memory.used(store::Use::index), "the account of the index does not equal a recount");
    require(recount.ghosts == memory.used(store::Use::ghosts), "the account of ghosts does not equal a recount");
    require(recount.blobs <= memory.used(store::Use::blobs), "the account of blocks is less than a recount");
  }

  // A recount holds all locks for as long as it takes.
  store::KeyspaceAudit recounted() {
    keyspace_.lock_watch().set_accounting(false);
    store::KeyspaceAudit recount = keyspace_.audit();
    keyspace_.lock_watch().set_accounting(true);
    return recount;
  }

  void finish() {
    constexpr unsigned most_steps = 100'000;
    fuzz::Allocations::spare();
    engine_.clients.unpause(keyspace_);
    work_on_tasks(most_steps);
    for (auto& peer : peers_) {
      if (peer->session.waiting != nullptr) end_wait(*peer, true);
    }
    settle();
    for (auto& peer : peers_) renew(*peer);
    settle();
    check_accounts();
    audit();
    const store::KeyspaceAudit recount = recounted();
    require(recount.readers == 0, "a block has a reader although nobody reads");
    require(recount.blobs == keyspace_.memory().used(store::Use::blobs), "the account of blocks does not equal a recount");
    check_locks();
    check_emptiness();
  }

  void check_locks() {
    for (const auto& [name, cause] : keyspace_.lock_watch().account.causes()) {
      const work::Counts& most = cause.most;
      // How much a script does is bounded by time.
      const command::Row* const row = command::find_command_by_name(name);
      if (row != nullptr && (row->flags & command::kRunsScript) != 0) continue;
      if (name == "exec" && engine_.stats.total(&command::ThreadStats::scripts) > 0) continue;
      const bool within = name == "exec" ? within_transaction(most) : cause.over == 0;
      require(within, "a lock was held for more work than its budget",
              std::string(name) + ": " + std::to_string(most.entries) + " entries, " + std::to_string(most.bytes) + " bytes, " +
                  std::to_string(most.nodes) + " nodes, " + std::to_string(most.system_calls) + " system calls");
    }
  }
  // EXEC has a budget of its own, and its last command may begin before that is used up.
  static bool within_transaction(const work::Counts& most) {
    constexpr command::TransactionBudget::Limits limits = command::TransactionBudget::of_transaction;
    constexpr std::uint64_t entries_of_one = 512;
    constexpr std::uint64_t calls_of_one = 3;
    return most.entries <= limits.entries + entries_of_one && most.nodes <= limits.entries + entries_of_one &&
           most.bytes <= limits.bytes_in_all + most_memory && most.system_calls <= limits.system_calls + calls_of_one;
  }

  // Deletes all, lets everything run out, and looks whether something is left.
  void check_emptiness() {
    constexpr unsigned most_rounds = 10'000;
    constexpr std::int64_t day_ms = std::int64_t{1000} * 60 * 60 * 24;
    store::Keyspace::Locks none(keyspace_);
    for (unsigned db = 0; db < store::database_count; ++db) keyspace_.flush(db, none);
    engine_.cache.set_policies({});
    fuzz::pass_time(day_ms);
    store::Memory& memory = keyspace_.memory();
    const auto left = [&] {
      return memory.used() + engine_.cache.purges_pending() + engine_.cache.waiters() + engine_.cache.leases_alive();
    };
    for (unsigned i = 0; i < most_rounds && left() != 0; ++i) {
      fuzz::pass_time(100);
      background();
      settle();
      while (memory.heap().give_back(SIZE_MAX)) {
      }
    }
    require(memory.used(store::Use::segments) + memory.used(store::Use::blobs) + memory.used(store::Use::index) == 0, "data is left");
    require(memory.used(store::Use::ghosts) == 0, "ghosts are left");
    require(memory.used(store::Use::clients) == engine_.keyspace_events.memory(), "memory of clients is left");
    require(memory.used(store::Use::tracking) == 0, "memory of client-side caching is left");
    require(engine_.pubsub.topics(command::TopicKind::channel) + engine_.pubsub.topics(command::TopicKind::pattern) == 0,
            "topics are left");
    require(engine_.cache.waiters() == 0, "clients wait although none is there");
    require(engine_.cache.purges_pending() == 0, "purges do not end");
    require(engine_.cache.leases_alive() == 0, "leases are left");
    require(memory.used(store::Use::coalescing) == 0, "memory of leases is left");
  }

  config::Settings settings_;
  store::Keyspace keyspace_;
  command::Engine engine_;
  Messages messages_;
  cache::Outbox::Current outbox_{engine_.tracking.feed_of(0).outbox()};
  command::Dispatcher dispatcher_{engine_, 0};
  std::array<std::unique_ptr<Peer>, 4> peers_;
  std::size_t current_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t allowed_ = 0;  // what data may take: maxmemory, or what it took when that was lowered, until that has been evicted
  fuzz::Remembered remembered_;
};

// --- the mutator ---

fuzz::Line random_line(fuzz::Random& random) {
  constexpr std::string_view times[] = {"1", "10", "50", "100", "1000", "10000", "60000", "600000", "4000000"};
  if (!random.one_in(5)) return {' ', fuzz::random_request(random)};
  switch (random.below(9)) {
    case 0:
    case 1:
    case 2:
      return {'@', {std::to_string(random.below(4))}};
    case 3:
      return {'+', {std::string(random.pick(times))}};
    case 4:
      return {'~', {(random.one_in(2) ? "-" : "") + std::string(random.pick(times))}};
    case 5: {
      fuzz::Line line{'!', {std::to_string(1 + random.below(random.one_in(2) ? 12 : 200))}};
      if (random.one_in(3)) line.words.push_back(std::to_string(1 + random.below(30)));
      return line;
    }
    case 6:
      return {'^', {}};
    case 7:
      return {random.one_in(4) ? '%' : '$', {}};
    default:
      return {' ', fuzz::random_request(random)};
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

void mutate_word(std::string& word, fuzz::Random& random) {
  if (random.one_in(2)) {
    word = fuzz::random_word(random);
    return;
  }
  constexpr std::size_t room = 64;
  constexpr std::size_t most_known = 4096;
  std::string bytes = fuzz::expand_word(word, {}, most_known);
  const std::size_t before = std::min(bytes.size(), most_known);
  bytes.resize(before + room);
  const std::size_t after = LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(bytes.data()), before, bytes.size());
  word = fuzz::quote_word(std::string_view(bytes).substr(0, after));
}

void mutate(fuzz::Script& script, fuzz::Random& random) {
  const auto place = [&](std::size_t size) { return script.begin() + static_cast<std::ptrdiff_t>(random.below(size)); };
  if (script.empty()) {
    script.push_back(random_line(random));
    return;
  }
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
      script.insert(place(script.size() + 1), random_line(random));
      return;
    case 3:
      *place(script.size()) = random_line(random);
      return;
    case 4:
      script.erase(place(script.size()));
      return;
    case 5: {
      const fuzz::Line copied = *place(script.size());
      script.insert(place(script.size() + 1), copied);
      return;
    }
    case 6:
      std::iter_swap(place(script.size()), place(script.size()));
      return;
    default:
      break;
  }
  fuzz::Line& line = *place(script.size());
  if (line.words.empty()) {
    line = random_line(random);
    return;
  }
  if (line.kind == ' ' && random.one_in(4)) {  // the same command with other arguments
    const std::vector<std::string_view> words(line.words.begin(), line.words.end());
    if (const command::Row* const row = command::find_command(words)) line.words = fuzz::random_request(random, *row);
    return;
  }
  const std::size_t first = line.kind == ' ' && line.words.size() > 1 && !random.one_in(16) ? 1 : 0;
  const std::size_t at = first + random.below(line.words.size() - first);
  const auto word = line.words.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random.below(8)) {
    case 0:
      line.words.erase(word);
      return;
    case 1:
      line.words.insert(word, fuzz::random_word(random));
      return;
    default:
      mutate_word(*word, random);
  }
}

std::size_t write(const fuzz::Script& script, std::uint8_t* data, std::size_t most) {
  std::string text = fuzz::write_script(script);
  if (text.size() > most) {
    const std::size_t end = text.rfind('\n', most - 1);  // whole lines
    text.resize(end == std::string::npos ? most : end + 1);
  }
  std::memcpy(data, text.data(), text.size());
  return text.size();
}

std::string_view text_of(const std::uint8_t* data, std::size_t size) { return {reinterpret_cast<const char*>(data), size}; }

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  fuzz::Random random(seed);
  fuzz::Script script = fuzz::parse_script(text_of(data, size));
  for (std::size_t left = 1 + random.below(4); left > 0; --left) mutate(script, random);
  return write(script, data, most);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* data1, std::size_t size1, const std::uint8_t* data2, std::size_t size2,
                                                 std::uint8_t* out, std::size_t most, unsigned seed) {
  fuzz::Random random(seed);
  fuzz::Script script = fuzz::parse_script(text_of(data1, size1));
  const fuzz::Script other = fuzz::parse_script(text_of(data2, size2));
  if (other.empty()) return write(script, out, most);
  const std::size_t first = random.below(other.size());
  const std::size_t count = 1 + random.below(other.size() - first);
  const auto from = other.begin() + static_cast<std::ptrdiff_t>(first);
  script.insert(script.begin() + static_cast<std::ptrdiff_t>(random.below(script.size() + 1)), from,
                from + static_cast<std::ptrdiff_t>(count));
  return write(script, out, most);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::begin_machine();
  fuzz::Allocations::reset();
  const fuzz::Script script = fuzz::parse_script(text_of(data, size));
  Server server;
  server.run(script);
  return 0;
}
