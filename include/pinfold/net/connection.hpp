#pragma once
// One client connection, from accept to close.
//
// The input buffer is small while the client is idle, because 10 000 idle clients must not cost more than 2 KB each. It grows
// with what the client sends: to some KB for a client that pipelines, and for a long request as its bytes arrive, never because
// they were announced. Large arguments do not go through the buffer (arrival.hpp).
//
// The replies to all requests of a round are written to the thread's output and sent with one system call. Short replies are
// sent together with those of other connections. The connection keeps only what the transport does not take.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <sys/uio.h>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/session.hpp"
#include "pinfold/net/arrival.hpp"
#include "pinfold/net/batch.hpp"
#include "pinfold/net/event_handler.hpp"
#include "pinfold/net/handshake_queue.hpp"
#include "pinfold/net/request_tracer.hpp"
#include "pinfold/net/transport.hpp"
#include "pinfold/resp/output.hpp"
#include "pinfold/resp/parser.hpp"

namespace pinfold::net {

class IoThread;

/// Why the requests of a connection are not executed at the moment. Requests that come in are kept meanwhile.
enum class BlockedBy : std::uint8_t {
  pause = 1,    // CLIENT PAUSE
  backlog = 2,  // the client has as many unread replies as it may have, and must read before it is served again
};

/// A set of such reasons.
class BlockReasons {
 public:
  bool any() const { return bits_ != 0; }
  bool has(BlockedBy reason) const { return (bits_ & static_cast<unsigned>(reason)) != 0; }
  void add(BlockedBy reason) { bits_ |= static_cast<unsigned>(reason); }
  void remove(BlockedBy reason) { bits_ &= ~static_cast<unsigned>(reason); }

 private:
  unsigned bits_ = 0;
};

/// Lives on one I/O thread, which owns it. Not thread-safe: every function is called on that thread, with nothing locked.
/// `thread` must outlive the connection.
class Connection final : public EventHandler, public PushReceiver {
 public:
  Connection(IoThread& thread, std::unique_ptr<Transport> transport, std::uint64_t id);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  std::uint64_t id() const { return session_.shared.id; }
  const command::Session& session() const { return session_; }
  command::Session& session() { return session_; }
  /// Whether the input has requests for which the last batch had no room, or the transport has bytes that the event loop does
  /// not report. Then the thread calls parse_more() later, and the connection receives nothing before.
  bool has_more_input() const { return intake_ == Intake::queued; }
  /// Begins to receive: adds the connection to the event loop. Throws std::bad_alloc.
  void start();

  // The thread calls the functions of a round in this order. Each does nothing if the connection is closed.
  /// Sends and receives, and adds complete requests to the thread's batch.
  void ready(std::uint32_t events) override;
  /// Called instead of ready() if has_more_input(): adds further requests to the batch.
  void parse_more(Batch& batch);
  /// Executes one request of the batch. `last` says whether it is the last one of this connection.
  void execute(std::size_t start, command::Args args, command::Prepared& prepared, bool last);
  /// The same while tracing is on.
  void execute_traced(std::size_t start, command::Args args, command::Prepared& prepared, bool last);
  /// Called after the connection's last request of a batch. Sends the replies or defers them, and prepares for the next round.
  void finish();
  /// Sends replies that were deferred in an earlier finish().
  void send_deferred(std::string_view replies);
  /// Completes the spans of requests whose replies were written.
  void settle_spans();

  /// Closes the transport. The thread destroys the object at the end of the round or of a later one. `reason` is for the audit log;
  /// without one, it is found out.
  void close(std::string_view reason = {});
  /// Carries the handshake on by a step, and receives what came behind it. Called when the connection's turn has come
  /// (IoThread::serve_handshake).
  void shake_hands();
  bool handshake_has_begun() const { return handshake_begun_; }
  /// Goes on with requests that CLIENT PAUSE has blocked.
  void resume();
  /// Passes on the answer for which the client waits. Returns false if the client does not wait with this ticket.
  bool answer(std::uint64_t ticket, const Delivery& answer);
  /// Sends bytes that are no reply: at once, or after the reply that has begun. Does nothing if the client does not belong to `audience`.
  void push(std::string_view bytes, Audience audience);
  void push(const PushText& text) noexcept override;
  /// Sends what was pushed. Called when the connection's turn has come (IoThread::send_pushes_later).
  void send_pushes();
  /// Whether its turn is still to come.
  bool has_pushes() const { return pushed_; }
  /// Ends the client's wait because its time is up or because of CLIENT UNBLOCK, with an error if `with_error` is set.
  void end_wait(bool with_error);
  /// Runs a step of the client's long command, if it has one, or executes once more the command with which it waits.
  void work();
  /// How many bytes of values that are no longer stored would be free without the connection, of what its unsent replies and its long
  /// command keep. 0 if it is little, or if the client reads. Looks at some of the blobs in each call. O(collections of the command).
  std::size_t could_give_up();
  /// Closes the connection because of this.
  void give_way();
  /// Called once a second. Checks the idle timeout and the soft output limit, and shrinks buffers that are no longer needed.
  void tick();

  // For the thread: the index of this connection in the list of all, whether it is in the list of connections with long commands, and where
  // it waits for a turn of its handshake.
  std::size_t place = 0;
  bool in_tasks = false;
  HandshakePlace handshake_place;

 private:
  static constexpr std::size_t idle_input = 512;
  static constexpr std::size_t busy_input = 16 * 1024;
  static constexpr std::size_t kept_output = 512;  // of unsent_, for a client to which messages are pushed

  // How the connection ends. The state only moves forwards.
  enum class Ending : std::uint8_t {
    open,
    input_ended,  // the client sends no more, but it still reads
    when_sent,    // nothing more is received or executed; the connection is closed when its replies have been sent
    closed,       // the thread destroys the connection
  };
  // Whether the connection receives.
  enum class Intake : std::uint8_t {
    open,
    full,    // the input is full while nothing may be executed; further bytes stay in the socket
    queued,  // the thread comes back later: see has_more_input()
  };
  // How far the connection's requests in the present batch have been executed.
  enum class Turn : std::uint8_t {
    not_begun,
    begun,    // at least one has been executed
    blocked,  // the rest is not executed now, and is parsed again when the reason for that is over
    spent,    // the rest is not executed now, because the requests have taken this connection's time for a round
  };

  // connection.cpp: a round, from parsing to the end of a batch.
  void advance(Ending ending) { ending_ = std::max(ending_, ending); }
  // Whether no request may be executed at the moment.
  bool blocked() const { return blocked_by_.any() || waits(); }
  std::uint32_t translated(std::uint32_t events) const;
  void ready_beside_input(std::uint32_t events);
  // Adds the complete requests of the input to the batch, as many as it has room for.
  void parse(Batch& batch);
  void queue();
  void put_off(std::size_t start, Turn why);
  void begin_reply();
  void end_reply(resp::Reply& reply);
  template <bool traced>
  void execute_one(std::size_t start, command::Args args, command::Prepared& prepared, bool last);
  bool begin_span(command::Args args, const command::Prepared& prepared);
  void end_span(const resp::Reply& reply);
  void end_late_span(const resp::Reply& reply);
  RequestTracer::Written written() const;
  void note_unserved();
  void look_at_size(command::Args args, const command::Prepared& prepared);
  void go_on();
  void update_events();
  void account_arguments();
  bool unauthenticated() const;
  bool is_protected_from() const;
  void refuse();
  resp::Limits limits() const;

  // connection_handshake.cpp
  bool shakes_hands() const { return transport_->handshake() == Transport::Handshake::under_way; }
  void wait_for_handshake();
  void handshake_done();
  void handshake_failed();
  void end_handshake();
  bool handshake_over_limit();
  void log_handshake(std::string_view reason);

  // connection_input.cpp
  void receive();
  void received(std::size_t bytes);
  Transport::Result receive_large();
  bool take_body();
  bool keep_body();
  bool must_wait_for_rights(bool any) const;
  bool may_store_body();
  void forget_large();
  void end_input();
  void input_ends();
  void hung_up();
  bool must_grow() const { return filled_ == capacity_ || large_ != nullptr; }
  bool make_room();
  bool make_room_while_blocked();
  void resize_input(std::size_t capacity);
  void drop_consumed(bool now);

  // connection_output.cpp
  void send();
  void send_now();
  void writable();
  void sent();
  Transport::Result write(std::span<const iovec> runs);
  bool send_some(resp::Output& output);
  void keep_unsent(resp::Output& output);
  void look_at_backlog();
  void restart_patience();

  // connection_limits.cpp
  // Whether the client is of the class `pubsub` of client-output-buffer-limit.
  bool subscribes() const { return session_.subscriber != nullptr; }
  bool exempt() const { return session_.shared.no_evict.load(std::memory_order_relaxed); }
  bool unauthenticated_take_too_much(std::size_t more) const;
  bool query_limit_reached();
  bool input_over_limit(std::size_t input);
  void cut_off();
  void check_output_limit();
  bool monitor_over_limit(std::size_t more);
  bool reads_slowly(std::int64_t patience) const;
  bool unread_over_limit();
  bool arriving_over_limit(std::int64_t idle_ms) const;
  bool lingers() const;
  void account();
  void account_pinned();
  void restart_pinned();
  std::size_t arriving() const;
  std::uint64_t user_share() const;
  std::size_t unread_limit() const;
  bool memory_is_short() const;
  void log_closing(std::string_view reason);
  void log_eviction(command::Evicted why);
  void log_refusal();
  std::string_view end_reason() const;
  void audit_closing(std::string_view reason);

  // connection_waiting.cpp
  bool waits() const { return session_.waits(); }
  // Whether the client's wait ends when the client sends anything.
  bool waits_in_silence() const {
    return session_.waiting != nullptr && session_.waiting->ended_by == command::Waiting::EndedBy::any_input;
  }
  // Whether the client's wait ends when the client sends no more.
  bool ends_wait_with_input() const {
    return session_.waiting != nullptr && session_.waiting->ended_by != command::Waiting::EndedBy::nothing;
  }
  void set_paused(bool paused);
  void begin_wait();
  bool is_in_reply() const;
  void push_kept();
  void add_push(const PushText& text);
  void look_at_pushes(bool unread, std::size_t memory);
  void send_some_pushes();
  std::size_t unsent_bytes() const { return unsent_.size() + (kept_pushes_ != nullptr ? kept_pushes_->size() : 0); }
  void reply_late(const std::function<void(resp::Reply&)>& write);
  void end_late_reply(resp::Reply& reply);
  void retry_wait();

  // Adds to a counter that only this thread writes, so it needs no locked instruction.
  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) {
    constexpr auto relaxed = std::memory_order_relaxed;
    counter.store(counter.load(relaxed) + n, relaxed);
  }

  IoThread& thread_;
  const std::unique_ptr<Transport> transport_;
  std::uint32_t events_ = 0;  // the events for which the event loop watches the descriptor
  Ending ending_ = Ending::open;
  Intake intake_ = Intake::open;
  Turn turn_ = Turn::not_begun;
  BlockReasons blocked_by_;
  bool pushed_ = false;           // there are pushes in unsent_ that are sent when the connection's turn comes
  bool closing_told_ = false;     // to the audit log
  bool handshake_begun_ = false;  // and not done
  bool established_ = false;      // the handshake is done, and TlsStatus::clients counts the connection
  command::Session session_;
  resp::Parser parser_;
  resp::Parser::Result parsed_ = resp::Parser::Result::need_more;  // how the last parse() ended
  // What may_store_body() may still compare for the request that is being parsed.
  security::MatchBudget arrival_matches_{command::most_matches_of_arrivals};
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<char[], Free> input_;  // from malloc(), so that realloc() may make it larger without a copy
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;
  std::unique_ptr<LargeRequest> large_;        // null while there are no large arguments
  resp::Output unsent_;                        // replies that the transport did not take
  std::unique_ptr<resp::Output> kept_pushes_;  // pushes that are sent after the reply that has begun
  MonoMs reading_since_;                       // when the client had last read a good part of unsent_
  std::size_t read_since_ = 0;                 // bytes of unsent_ that the client has read since then
  MonoMs over_soft_limit_since_;               // since when unsent_ is over the soft limit; 0: it is not
  RequestTracer::Chain spans_;                 // of requests whose replies are not written yet
  std::uint64_t unserved_since_ = 0;           // in ticks: since when a complete request may lie in the input; 0: none was there before
  MonoMs turn_began_;                          // when turn_ became `begun`
  MonoMs wait_until_;                          // the end of the wait that the thread has been told (IoThread::await); 0: none
  MonoMs handshake_since_;               // when it was accepted, began to wait for its turn, or got it: the deadline counts from there
  MonoMs handshake_step_;                // when the handshake has last gone on
  std::size_t accounted_ = 0;            // bytes that are counted as memory of clients
  std::size_t accounted_arguments_ = 0;  // the parser's part of accounted_
  std::size_t accounted_blobs_ = 0;
  std::uint64_t accounted_pinned_ = 0;  // bytes that its long command keeps (Task::pinned), while it replies
  MonoMs pinned_since_;                 // since when these are not 0
  std::uint64_t pinned_at_ = 0;         // how many bytes it had been sent by then
  std::size_t accounted_arriving_ = 0;
  std::size_t accounted_unauthenticated_ = 0;
};

}  // namespace pinfold::net
