#include "pinfold/command/take_or_wait.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "pinfold/base/numbers.hpp"
#include "pinfold/command/blocked_pops.hpp"
#include "pinfold/command/cache_reads.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/queued.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/key_switches.hpp"
#include "pinfold/store/wrong_type.hpp"

namespace pinfold::command {
namespace {

// A client that waits for an element of one of several keys, with its request.
class BlockedPop final : public Waiting {
 public:
  BlockedPop(Call& call, const TakeOptions& options)
      : engine_(call.engine),
        memory_(call.engine, call.session.shared),
        client_(call.engine.blocked_pops, call.engine.clients, call.session.shared.place(), call.session.db, options.type,
                call.engine.cache.next_ticket()),
        db_(call.session.db) {
    row = &call.row;
    ticket = client_.ticket();
    if (options.timeout_ms > 0) until = call.mono + options.timeout_ms;
    named.keys = call.keys.size();
    for (const std::string_view arg : call.args) named.bytes += arg.size();
  }
  ~BlockedPop() override { leave(); }

  BlockedClient& client() { return client_; }
  // Whether a switch hides one of the keys. When it ends no key is written, so the client looks by itself, every second.
  void set_hidden(bool hidden) { hidden_ = hidden; }

  // Keeps the request and joins the queues. Returns false if that takes more memory than clients may have.
  bool begin(Call& call, std::span<const store::Key> keys) {
    std::size_t bytes = sizeof *this + Queued::memory(call.args, call.large != nullptr ? call.large->bytes() : 0);
    for (const store::Key& key : keys) bytes += BlockedPops::memory_of_place(key.text) + sizeof key;
    if (!memory_.ask(bytes)) return false;
    request_ = std::make_unique<Queued>(call.row, call.args, call.large);
    const std::vector<store::Key> of_request = extract();
    const auto first = of_request.begin() + (keys.data() - call.keys.data());
    keys_.reserve(keys.size());
    try {
      for (auto key = first; key != first + static_cast<std::ptrdiff_t>(keys.size()); ++key) {
        engine_.blocked_pops.join(db_, *key, client_);
        keys_.push_back(*key);
      }
    } catch (...) {
      for (const store::Key& key : keys_) engine_.blocked_pops.leave(db_, key, client_);
      keys_.clear();
      throw;
    }
    return true;
  }

  // --- Waiting ---

  bool wants_retry() const override { return hidden_ || client_.wants_to_look(); }

  Outcome retry(Call& call) override {
    const Outcome outcome = execute(call, {.may_retry = true});
    if (!outcome.needs_room()) return outcome;
    call.held.release();
    store::Room room;
    if (!engine_.keyspace.make_room(outcome.bytes(), &room)) return call.out_of_memory();
    constexpr std::uint64_t no_more_room = 1;
    return execute(call, {.may_exceed = no_more_room});
  }

  bool still_allowed(Engine& engine, Session& session, resp::Reply& reply) override {
    return may_still_make(engine, session, *row, arguments(), db_, reply);
  }
  // Nobody sends an answer: the client finds its element by itself.
  void answer(const Delivery& /*answer*/, Session& /*session*/, resp::Reply& reply) override { reply.null_array(); }
  void timeout(Engine& /*engine*/, Session& /*session*/, resp::Reply& reply) override {
    leave();
    reply.null_array();
  }
  void abandon(Engine& /*engine*/) override { leave(); }

 private:
  std::vector<std::string_view> arguments() const {
    std::vector<std::string_view> args;
    request_->arguments(args);
    return args;
  }

  // All keys of the kept request.
  std::vector<store::Key> extract() const {
    const std::vector<std::string_view> args = arguments();
    std::vector<std::uint32_t> positions;
    std::ignore = extract_keys(*row, args, positions);  // they were found when the request came
    std::vector<store::Key> keys;
    keys.reserve(positions.size());
    for (const std::uint32_t at : positions) keys.push_back(engine_.keyspace.key(args[at]));
    return keys;
  }

  // Executes the request, and leaves its locks to the caller.
  Outcome execute(Call& call, const CallContext& context) {
    const std::vector<std::string_view> args = arguments();
    const std::vector<store::Key> keys = extract();
    call.held.acquire(keys);
    call.read_clock();
    Call again(call, *row, args, keys, context);
    return row->handler(again);
  }

  // Leaves all queues, with nothing locked before and after.
  void leave() {
    const store::HoldCause cause("end-of-wait", named);
    for (const store::Key& key : keys_) {
      engine_.keyspace.with_locked(engine_.keyspace.shard_of(key), [&] { engine_.blocked_pops.leave(db_, key, client_); });
    }
    keys_.clear();
  }

  Engine& engine_;
  ClientMemory memory_;
  BlockedClient client_;
  const unsigned db_;
  std::unique_ptr<Queued> request_;
  std::vector<store::Key> keys_;  // in whose queues the client is; their texts lie in the request
  bool hidden_ = false;
};

resp::Written reply_nothing(Call& call, TakeOptions::Nothing nothing) {
  return nothing == TakeOptions::Nothing::null ? call.reply.null() : call.reply.null_array();
}

// The key that the command may take from.
const store::Key* find_key(const Call& call, const TakeOptions& options, const BlockedPop* waiting) {
  store::Database db = call.db();
  const std::uint64_t ticket = waiting != nullptr ? waiting->ticket : UINT64_MAX;
  for (const store::Key& key : options.keys) {
    const auto value = db.find(key, store::Access::write().of_any_type());
    if (!value) continue;
    if (value->is_string() || value->kind.type() != options.type) {
      if (waiting == nullptr) throw store::WrongType();
      continue;
    }
    if (call.in_transaction || !call.engine.blocked_pops.has_waiting_before(db.number(), key, options.type, ticket)) return &key;
  }
  return nullptr;
}

bool any_hidden(const Call& call, std::span<const store::Key> keys) {
  const store::KeySwitches* const switches = call.engine.keyspace.key_switches();
  return switches != nullptr && std::ranges::any_of(keys, [&](const store::Key& key) { return switches->bypasses(key); });
}

}  // namespace

Outcome take_or_wait(Call& call, const TakeOptions& options, const std::function<Outcome(const store::Key& key)>& take) {
  // While the request of a client that waits is executed again, its wait is still there.
  auto* const waiting = call.in_transaction ? nullptr : dynamic_cast<BlockedPop*>(call.session.waiting.get());
  if (const store::Key* const key = find_key(call, options, waiting); key != nullptr) return take(*key);
  if (waiting != nullptr) {
    waiting->client().has_looked();
    waiting->set_hidden(any_hidden(call, options.keys));
    return Outcome::waits;
  }
  if (!may_wait(call)) return reply_nothing(call, options.nothing);
  auto begun = std::make_unique<BlockedPop>(call, options);
  if (!begun->begin(call, options.keys)) return call.reply.error(beyond_clients_memory);
  begun->set_hidden(any_hidden(call, options.keys));
  call.session.waiting = std::move(begun);
  return Outcome::waits;
}

std::optional<std::int64_t> parse_timeout(Call& call, std::string_view text) {
  constexpr long double ms_per_second = 1000;
  const auto seconds = parse_real(text);
  if (!seconds) {
    call.reply.error("ERR timeout is not a float or out of range");
    return std::nullopt;
  }
  const long double ms = std::ceil(*seconds * ms_per_second);
  const MonoMs now = call.mono;
  if (ms > static_cast<long double>(INT64_MAX - now.ms)) {
    call.reply.error("ERR timeout is out of range");
    return std::nullopt;
  }
  if (ms < 0) {
    call.reply.error("ERR timeout is negative");
    return std::nullopt;
  }
  return static_cast<std::int64_t>(ms);
}

}  // namespace pinfold::command
