#include "pinfold/net/io_thread.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <functional>
#include <utility>

#include "pinfold/base/address.hpp"
#include "pinfold/command/notable.hpp"
#include "pinfold/net/connection.hpp"

namespace pinfold::net {

namespace {
constexpr std::int64_t tick_ms = 1000;

// The thread whose round is running here.
constinit thread_local const IoThread* current = nullptr;

// How much of unread replies a client may have: enough to keep its socket busy, a small part of what all clients may take together,
// and well below what it would be closed for.
std::size_t unread_limit(std::uint64_t share, const config::OutputLimit& limit) {
  constexpr std::uint64_t usual = 1024 * 1024;
  constexpr std::uint64_t most = 16 * 1024 * 1024;
  std::uint64_t unread = std::min(std::clamp(share / 16, usual, most), share / 4);
  if (limit.hard > 0) unread = std::min<std::uint64_t>(unread, limit.hard / 2);
  if (limit.soft > 0) unread = std::min<std::uint64_t>(unread, limit.soft / 2);
  return unread;
}
}  // namespace

IoThread::IoThread(command::Engine& engine, unsigned index)
    : engine_(engine),
      index_(index),
      dispatcher_(engine, index),
      tracking_(engine.tracking.feed_of(index)),
      reply_memory_(engine),
      tracer_(engine) {
  output_.set_account(&reply_memory_);
  deferred_.reserve(most_deferred);
  read_clock();
  next_tick_ = now() + tick_ms;
}

IoThread::~IoThread() { stop(); }

void IoThread::start() {
  thread_ = std::thread([this] { run(); });
}

void IoThread::ask_to_stop() {
  stopping_ = true;
  loop_.wake();
}

void IoThread::stop() {
  if (thread_.joinable()) {
    ask_to_stop();
    thread_.join();
  }
  connections_.clear();
}

void IoThread::give_up(Connection& connection) {
  drop_replies();
  output_.set_account(&reply_memory_);  // a long command's step may have taken it away
  connection.close("there was no memory for it");
}

void IoThread::adopt(std::unique_ptr<Transport> transport) {
  load_.fetch_add(1, std::memory_order_relaxed);
  try {
    // A std::function can be copied, so what it owns must be shared.
    const auto shared = std::make_shared<std::unique_ptr<Transport>>(std::move(transport));
    loop_.post([this, shared] { welcome(std::move(*shared)); });
  } catch (const std::bad_alloc&) {
    load_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void IoThread::welcome(std::unique_ptr<Transport> transport) {
  Connection* connection = nullptr;
  try {
    const std::uint64_t id = engine_.clients.next_id();
    closed_.reserve(connections_.size() + 1);  // to close one must not take memory
    if (row_.size() == row_.capacity()) row_.reserve(std::max<std::size_t>(row_.size() * 2, 16));
    const auto place = connections_.try_emplace(id).first;
    try {
      place->second = std::make_unique<Connection>(*this, std::move(transport), id);
    } catch (const std::bad_alloc&) {
      connections_.erase(place);
      throw;
    }
    connection = place->second.get();
    connection->place = row_.size();
    row_.push_back(connection);
  } catch (const std::bad_alloc&) {
    load_.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  guarded(*connection, [connection] { connection->start(); });
}

Connection* IoThread::find(std::uint64_t client) const {
  const auto found = connections_.find(client);
  return found != connections_.end() ? found->second.get() : nullptr;
}

void IoThread::close(std::uint64_t id) {
  try {
    loop_.post([this, id] {
      if (Connection* const connection = find(id); connection != nullptr) connection->close();
    });
  } catch (const std::bad_alloc&) {  // the next tick finds it
  }
}

void IoThread::resume_paused() { loop_.wake(); }

void IoThread::deliver(const std::shared_ptr<const Delivery>& answer) { hand_out_later({.answer = answer}); }

void IoThread::push(const std::shared_ptr<const Push>& push) { hand_out_later({.push = push}); }

// The thread itself looks into its mailbox before it sleeps.
void IoThread::hand_out_later(HandingOut item) {
  if (mailbox_.add(std::move(item)) && current != this) loop_.wake();
}

// Whether there is anything to hand out. Takes no memory.
bool IoThread::next_to_hand_out() {
  constexpr std::size_t usual = 1024;
  if (handed_out_ < handing_out_.size()) return true;
  handing_out_.clear();
  handed_out_ = 0;
  if (handing_out_.capacity() > usual) std::vector<HandingOut>().swap(handing_out_);
  if (mailbox_.any()) mailbox_.take(handing_out_);
  return !handing_out_.empty();
}

// Many may have waited for one value, or have subscribed to one channel: others who are connected here have their turn in between.
void IoThread::hand_out_some() {
  constexpr unsigned most_told = 128;
  unsigned to_look_at = 4096;
  for (unsigned told = 0; told < most_told && to_look_at > 0 && next_to_hand_out();) {
    HandingOut& first = handing_out_[handed_out_];
    const unsigned before = first.told;
    if (!hand_out(first, most_told - told, to_look_at)) break;
    told += std::max(first.told - before, first.mail != nullptr ? 0U : 1U);
    first = HandingOut();
    ++handed_out_;
  }
  if (!pushed_to_.empty()) send_pushes();
  handing_out_some_ = handed_out_ < handing_out_.size() || !pushed_to_.empty();
}

// What was pushed to a client in one round, and in those that had no time to send it, is sent together.
void IoThread::send_pushes() {
  constexpr std::int64_t most_us = 1000;
  constexpr unsigned without_look_at_clock = 8;
  const std::int64_t end = monotonic_us() + most_us;
  for (unsigned sent = 1; !pushed_to_.empty(); ++sent) {
    Connection& connection = *pushed_to_.front();
    pushed_to_.pop_front();
    guarded(connection, [&] { connection.send_pushes(); });
    if (sent % without_look_at_clock == 0 && monotonic_us() >= end) return;
  }
}

// Returns whether all of it was handed out. Tells at most `most` of the clients that live here, and takes those that it looks at off
// `to_look_at`.
bool IoThread::hand_out(HandingOut& message, unsigned most, unsigned& to_look_at) {
  if (message.mail == nullptr) return visit(message, most, to_look_at);
  return message.mail->hand_out(index_, message.progress, to_look_at);
}

bool IoThread::visit(HandingOut& message, unsigned most, unsigned& to_look_at) {
  const unsigned end = message.told > UINT_MAX - most ? UINT_MAX : message.told + most;
  const auto tell = [&](std::uint64_t at, const ClientPlace& client) {
    if (to_look_at == 0 || message.told == end) return false;
    --to_look_at;
    if (client.thread != index_) return true;
    ++message.told;
    Connection* const connection = find(client.client);
    if (message.push != nullptr) {
      if (connection != nullptr) guarded(*connection, [&] { connection->push(*message.push->bytes, message.push->audience); });
      return true;
    }
    bool taken = false;
    if (connection != nullptr) guarded(*connection, [&] { taken = connection->answer(at, *message.answer); });
    if (!taken) message.answer->not_taken();
    return true;
  };
  if (message.answer != nullptr) {
    message.next = message.answer->visit(message.next, std::ref(tell));
    return message.next == 0;
  }
  const std::vector<ClientPlace>& to = message.push->to;
  while (message.next < to.size() && tell(0, to[message.next])) ++message.next;
  return message.next == to.size();
}

void IoThread::end_wait(std::uint64_t id, std::uint64_t ticket, bool with_error) {
  try {
    loop_.post([this, id, ticket, with_error] {
      Connection* const connection = find(id);
      if (connection == nullptr || connection->session().shared.waiting != ticket) return;
      guarded(*connection, [&] { connection->end_wait(with_error); });
    });
  } catch (const std::bad_alloc&) {  // its time will come
  }
}

void IoThread::wake_task(std::uint64_t id) {
  try {
    loop_.post([this, id] {
      Connection* const connection = find(id);
      if (connection != nullptr) guarded(*connection, [&] { serve_task(*connection); });
    });
  } catch (const std::bad_alloc&) {  // the next tick looks
  }
}

void IoThread::end_expired_waits() {
  constexpr unsigned most_at_once = 128;
  for (unsigned ended = 0; ended < most_at_once && !waiting_.empty() && waiting_.begin()->first <= now(); ++ended) {
    Connection& connection = *waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    guarded(connection, [&] { connection.end_wait(false); });
  }
}

inline std::size_t IoThread::round(int most_ms) {
  const std::span<const epoll_event> ready = loop_.wait(most_ms);
  const std::uint64_t began = round_began_ = ThreadClock::ticks();
  read_clock();
  command::ThreadStats& stats = dispatcher_.stats();
  stats.cycles.add();
  if (now() != limits_from_ || engine_.settings.version() != limits_version_) update_limits();
  // No reply waits for the next phase. The first are those that wait() has made, for what other threads have asked for.
  send_deferred();
  serve(ready);
  send_deferred();
  if (!unfinished_.empty()) serve_unfinished();
  send_deferred();
  if (tracking_.has_news()) [[unlikely]]
    tracking_.announce();
  if (has_to_hand_out()) hand_out_some();
  send_deferred();
  if (!tasks_.empty()) serve_tasks();
  send_deferred();
  if (has_handshakes()) [[unlikely]]
    serve_handshakes();
  if (client_memory() > limits_.clients) [[unlikely]]
    make_clients_fit();
  if (too_much_is_abandoned()) [[unlikely]]
    free_abandoned();
  if (now() >= next_tick_ && to_tick_ == 0) begin_tick();
  if (to_tick_ > 0) tick_some();
  if (!waiting_.empty()) end_expired_waits();
  if (!paused_.empty() && engine_.clients.paused(now()) == command::PauseMode::none) look_at_paused();
  send_deferred();
  remove_closed();
  const std::uint64_t ticks = ThreadClock::ticks_since(began);
  if (ticks >= limits_.long_round) [[unlikely]]
    note_long_round(ticks);
  if (stats.measures) {
    stats.busy_ticks.add(ticks);
    stats.rounds.note(0, ThreadClock::span_of(ticks, stats.span_scale));
  }
  return ready.size();
}

void IoThread::run() {
  current = this;
  const cache::Outbox::Current outbox(tracking_.outbox());
  while (!stopping_) round(idle_ms());
}

std::size_t IoThread::run_round(int most_ms) {
  current = this;
  const cache::Outbox::Current outbox(tracking_.outbox());
  const std::size_t ready = round(most_ms);
  current = nullptr;
  return ready;
}

void IoThread::read_clock() {
  dispatcher_.clock().begin_round();
  now_ = dispatcher_.clock().last().mono;
}

// What does not depend on the use of memory.
void IoThread::follow_settings() {
  const config::Settings& settings = engine_.settings;
  dispatcher_.stats().measures = settings.flag(config::Id::metrics);
  command::follow_time_settings(settings);
  limits_.large_request = command::large_request(settings);
  limits_.large_reply = command::large_reply(settings);
  look_at_usual();
  constexpr std::uint64_t ns_per_ms = 1'000'000;
  const auto threshold = static_cast<std::uint64_t>(settings.integer(config::Id::latency_monitor_threshold));
  limits_.long_round = threshold > 0 ? ThreadClock::ticks_of(threshold * ns_per_ms) : UINT64_MAX;
}

// Its clients have waited meanwhile.
void IoThread::note_long_round(std::uint64_t ticks) {
  constexpr std::uint64_t ns_per_ms = 1'000'000;
  engine_.latency.add(command::LatencyMonitor::Event::event_loop, ThreadClock::ns_of(ticks) / ns_per_ms, unix_ms() / 1000);
}

void IoThread::update_limits() {
  limits_from_ = now();
  if (const std::uint64_t version = engine_.settings.version(); limits_version_ != version) {
    limits_version_ = version;
    follow_settings();
  }
  const config::OutputLimit output = engine_.settings.output_limit();
  limits_.output = output.hard > 0 ? output.hard : SIZE_MAX;
  // A connection costs something before it asks for anything. maxclients bounds that, the share is for more.
  const std::uint64_t share = engine_.clients_share();
  limits_.clients = share == UINT64_MAX ? share : share + engine_.clients.idle_bytes();
  const std::uint64_t memory = engine_.keyspace.memory().limit();
  limits_.abandoned = memory > 0 ? static_cast<std::int64_t>(memory / 2) : INT64_MAX;
  limits_.unread = unread_limit(share, output);
  // Too little to push anybody else out.
  limits_.unauthenticated_bytes = static_cast<std::int64_t>(std::min<std::uint64_t>(share / 8, INT64_MAX));
  // A handshake takes memory for a client that nobody knows yet.
  constexpr std::uint64_t always = 4;
  const std::uint64_t threads = engine_.stats.thread_count();
  const auto most = static_cast<std::uint64_t>(engine_.settings.integer(config::Id::tls_max_handshakes));
  const std::uint64_t fit = std::max(share / 8 / TlsTransport::handshake_bytes / threads, always);
  limits_.handshakes = std::max<std::size_t>(std::min(most / threads, fit), 1);
  reply_memory_.set_limits(limits_.clients, limits_.clients / 4 / engine_.stats.thread_count());
}

void IoThread::make_clients_fit() {
  constexpr std::int64_t patience_ms = 100;  // to look again when those who must not go take too much
  if (now() < next_client_eviction_) return;
  bool fit = false;
  try {
    fit = engine_.clients.evict_largest(limits_.clients);
  } catch (const std::bad_alloc&) {
  }
  if (!fit) next_client_eviction_ = now() + patience_ms;
}

// Each thread looks at its own connections, some at a time. Of these, the ones that keep most go first.
void IoThread::free_abandoned() {
  constexpr std::int64_t patience_ms = 10;
  constexpr std::size_t most_at_once = 128;
  if (now() < next_abandoned_check_) return;
  next_abandoned_check_ = now() + patience_ms;
  std::array<std::pair<std::size_t, Connection*>, most_at_once> found;
  std::size_t count = 0;
  for (std::size_t left = std::min(most_at_once, row_.size()); left > 0; --left) {
    if (looked_at_ >= row_.size()) looked_at_ = 0;
    Connection& connection = *row_[looked_at_++];
    if (const std::size_t bytes = connection.could_give_up(); bytes > 0) found[count++] = {bytes, &connection};
  }
  std::sort(found.begin(), found.begin() + count, std::greater<>());
  for (std::size_t i = 0; i < count && too_much_is_abandoned(); ++i) found[i].second->give_way();
}

int IoThread::idle_ms() const {
  if (!unfinished_.empty() || has_to_hand_out() || !tasks_.empty() || !closed_.empty() || to_tick_ > 0 || has_handshakes() ||
      tracking_.has_news())
    return 0;
  MonoMs next = next_tick_;
  if (!waiting_.empty()) next = std::min(next, waiting_.begin()->first);
  if (!paused_.empty()) {
    if (engine_.clients.paused(now()) == command::PauseMode::none) return 0;
    next = std::min(next, engine_.clients.paused_until());
  }
  return static_cast<int>(std::clamp<std::int64_t>(next - now(), 0, tick_ms));
}

void IoThread::serve(std::span<const epoll_event> ready) {
  for (const epoll_event& event : ready) {
    EventLoop::tell(event);
    if (batch_.full()) execute_batch();
    send_overdue();
  }
  execute_batch();
}

// Connections that had more input than a batch takes, or whose transports hold some, get turns of one batch each. However many
// there are, the sockets are looked at again after about a millisecond.
void IoThread::serve_unfinished() {
  constexpr std::int64_t most_us = 1000;
  const std::int64_t end = monotonic_us() + most_us;
  for (std::size_t left = unfinished_.size(); left > 0; --left) {
    Connection& connection = *unfinished_.front();
    unfinished_.pop_front();
    guarded(connection, [&] { connection.parse_more(batch_); });
    execute_batch();
    if (monotonic_us() >= end) return;
  }
}

void IoThread::serve_task(Connection& connection) {
  if (!std::exchange(connection.in_tasks, true)) tasks_.push_back(&connection);
}

// However many clients have long commands, the others wait for about one step of one of them.
void IoThread::serve_tasks() {
  const std::int64_t end = monotonic_us() + command::Task::step_us;
  for (std::size_t left = tasks_.size(); left > 0; --left) {
    Connection& connection = *tasks_.front();
    tasks_.pop_front();
    guarded(connection, [&] { connection.work(); });
    if (monotonic_us() >= end) return;
  }
}

void IoThread::serve_handshake(Connection& connection) {
  HandshakePlace& place = connection.handshake_place;
  if (place.queue != nullptr) return;
  const bool begun = connection.handshake_has_begun();
  if (!begun) place.origin = origin_of(connection.session().shared.address).value_or(0);
  (begun ? handshakes_ : new_handshakes_).add(connection, now(), place);
  if (!begun) engine_.tls.waiting.fetch_add(1, std::memory_order_relaxed);
}

void IoThread::leave_handshakes(Connection& connection) {
  HandshakePlace& place = connection.handshake_place;
  if (place.queue == nullptr) return;
  if (place.queue == &new_handshakes_) engine_.tls.waiting.fetch_sub(1, std::memory_order_relaxed);
  place.queue->remove(place);
}

void IoThread::begin_handshake(const Connection& connection) {
  ++begun_by_origin_[connection.handshake_place.origin];
  ++handshakes_begun_;
  handshake_began_ = now();
  engine_.tls.under_way.fetch_add(1, std::memory_order_relaxed);
}

void IoThread::end_handshake(const Connection& connection) {
  const auto of_origin = begun_by_origin_.find(connection.handshake_place.origin);
  if (--of_origin->second == 0) begun_by_origin_.erase(of_origin);
  --handshakes_begun_;
  engine_.tls.under_way.fetch_sub(1, std::memory_order_relaxed);
}

bool IoThread::makes_room(const Connection& connection) {
  if (handshakes_begun_ + new_handshakes_.size() <= limits_.handshakes) return false;
  if (handshakes_stuck_) return true;
  const std::uint64_t origin = connection.handshake_place.origin;
  if (places_wanted_ == 0 || !late_handshakes_.other_than(origin) || begun_by_origin_.at(origin) <= even_share_) return false;
  --places_wanted_;
  return true;
}

// Whether the origin has as many places as it may have while others wait.
bool IoThread::has_its_share(std::uint64_t origin) const {
  const auto found = begun_by_origin_.find(origin);
  return found != begun_by_origin_.end() && found->second >= (limits_.handshakes + 1) / 2;
}

// The connection whose handshake goes on now; null if none can.
Connection* IoThread::next_handshake() {
  const bool begun = !handshakes_.empty();
  if (!begun && (new_handshakes_.empty() || handshakes_begun_ >= limits_.handshakes)) return nullptr;
  HandshakeQueue& queue = begun ? handshakes_ : new_handshakes_;
  Connection* next = &queue.next();
  if (!begun && queue.origins() > 1 && has_its_share(next->handshake_place.origin)) next = &queue.next();
  leave_handshakes(*next);
  return next;
}

// A step of a handshake may take a millisecond (a signature with an RSA key). So one step is enough for a round, unless it was a cheap one.
void IoThread::serve_handshakes() {
  constexpr std::int64_t most_us = 250;
  const std::int64_t end = monotonic_us() + most_us;
  do {
    Connection* const connection = next_handshake();
    if (connection == nullptr) return;
    guarded(*connection, [&] { connection->shake_hands(); });
    execute_batch();
  } while (monotonic_us() < end);
}

template <bool traced>
[[gnu::always_inline]] inline void IoThread::execute_requests(std::size_t size) {
  auto& prepared = batch_.prepared();
  for (std::size_t i = 0; i < size; ++i) {
    Connection& connection = *batch_.request(i).connection;
    // What has been done does not wait for what may take long.
    if (command::may_take_long(connection.session(), prepared[i]) || (i + 1 == size && batch_.is_large())) send_deferred();
    const bool last_of_connection = i + 1 == size || batch_.request(i + 1).connection != &connection;
    guarded(connection, [&] {
      if constexpr (traced) {
        connection.execute_traced(batch_.request(i).start, batch_.args(i), prepared[i], last_of_connection);
      } else {
        connection.execute(batch_.request(i).start, batch_.args(i), prepared[i], last_of_connection);
      }
      if (last_of_connection) connection.finish();
    });
  }
}

[[gnu::noinline, gnu::cold]] void IoThread::execute_traced(std::size_t size) { execute_requests<true>(size); }

void IoThread::execute_batch() {
  const std::size_t size = batch_.size();
  dispatcher_.begin_batch();
  auto& prepared = batch_.prepared();
  for (std::size_t i = 0; i < size; ++i) prepared[i] = dispatcher_.prepare(batch_.args(i));
  if (size > 1) dispatcher_.prefetch({prepared.data(), size}, [this](std::size_t i) { return batch_.request(i).connection->session().db; });
  if (engine_.tracing.on()) [[unlikely]] {
    execute_traced(size);
  } else {
    execute_requests<false>(size);
  }
  dispatcher_.end_batch();
  look_at_usual();
  if (batch_.is_large()) dispatcher_.release_memory();
  batch_.clear();
  busy_ |= size > 0;
}

void IoThread::begin_tick() {
  next_tick_ = now() + tick_ms;
  to_tick_ = row_.size();
  handshakes_stuck_ = now() - handshake_began_ >= stalled_handshake_ms;
  late_handshakes_ = new_handshakes_.late(now() + -stalled_handshake_ms);
  places_wanted_ = late_handshakes_.origins;
  if (places_wanted_ > 0) {
    const std::size_t only_wait = new_handshakes_.count([this](std::uint64_t origin) { return !begun_by_origin_.contains(origin); });
    even_share_ = limits_.handshakes / (begun_by_origin_.size() + only_wait);
  }
  if (!std::exchange(busy_, false)) free_output();
  tracer_.tend();
  engine_.scripting.tick(index_);
}

void IoThread::tick_some() {
  constexpr std::size_t most_at_once = 512;
  for (std::size_t left = std::min({most_at_once, to_tick_, row_.size()}); left > 0; --left, --to_tick_) {
    if (ticked_ >= row_.size()) ticked_ = 0;
    Connection& connection = *row_[ticked_++];
    guarded(connection, [&] { connection.tick(); });
  }
  to_tick_ = std::min(to_tick_, row_.size());
}

void IoThread::free_output() {
  send_deferred();
  output_.clear(0);
  reply_memory_.settle(0);
}

bool IoThread::defer(Connection& connection) {
  constexpr std::size_t most_of_one = 16 * 1024;
  constexpr std::size_t most_of_all = 64 * 1024;
  const std::size_t bytes = output_.size() - deferred_bytes_;
  const bool is_short = bytes <= most_of_one && output_.size() <= most_of_all && output_.is_text();
  // A buffer that has grown is given back at once.
  if (!is_short || output_.has_grown(ReplyMemory::kept)) return false;
  if (bytes == 0) {
    send_overdue();
    return true;
  }
  const MonoMs now = dispatcher_.clock().now().mono;
  if (deferred_.empty()) deferred_since_ = now;
  deferred_.push_back({&connection, bytes});
  deferred_bytes_ += bytes;
  deferred_end_ = output_.mark();
  if (deferred_.size() == most_deferred || now != deferred_since_) send_deferred();
  return true;
}

// No reply is to wait for what takes long.
void IoThread::send_overdue() {
  if (!deferred_.empty() && dispatcher_.clock().now().mono != deferred_since_) send_deferred();
}

void IoThread::send_all_deferred() {
  // close() calls this first. A connection whose write fails here calls it, too, and then it must do nothing.
  if (std::exchange(sending_deferred_, true)) return;
  for (const auto& [connection, bytes] : deferred_) {
    try {
      connection->send_deferred(output_.text(bytes));
    } catch (const std::bad_alloc&) {
      connection->close();
    }
    output_.consume(bytes);
  }
  if (tracer_.any()) [[unlikely]]
    settle_deferred_spans();
  deferred_.clear();
  deferred_bytes_ = 0;
  sending_deferred_ = false;
  if (output_.empty()) drop_replies();
}

void IoThread::settle_deferred_spans() {
  for (const Deferred& deferred : deferred_) deferred.connection->settle_spans();
}

void IoThread::drop_replies() {
  if (deferred_.empty()) {
    output_.clear(ReplyMemory::kept);
  } else {
    output_.truncate(deferred_end_);
  }
  reply_memory_.settle(output_.memory());
}

void IoThread::await_pause_end(const Connection& connection) {
  // Connections come and go during a long pause.
  constexpr std::size_t few = 1024;
  if (paused_.size() > 2 * row_.size() + few) std::erase_if(paused_, [this](std::uint64_t id) { return !connections_.contains(id); });
  paused_.push_back(connection.id());
}

void IoThread::look_at_paused() {
  constexpr std::size_t most_at_once = 512;
  for (std::size_t left = std::min(most_at_once, paused_.size()); left > 0; --left) {
    Connection* const connection = find(paused_.front());
    paused_.pop_front();
    if (connection != nullptr) guarded(*connection, [&] { connection->resume(); });
  }
}

void IoThread::remove_closed() {
  // One that watched many keys, or had many subscriptions, stays until they are forgotten, some of them in each round; then the others wait
  // for it, too.
  bool more = false;
  std::erase_if(closed_, [&](Connection* connection) {
    more = more || !dispatcher_.forget_some(connection->session());
    if (!more) remove(*connection);
    return !more;
  });
}

void IoThread::remove(Connection& connection) {
  if (connection.has_more_input()) std::erase(unfinished_, &connection);
  if (!tasks_.empty()) std::erase(tasks_, &connection);
  if (connection.has_pushes()) std::erase(pushed_to_, &connection);
  leave_handshakes(connection);
  row_[connection.place] = row_.back();
  row_[connection.place]->place = connection.place;
  row_.pop_back();
  connections_.erase(connection.id());
  load_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace pinfold::net
