#pragma once
// One client connection, from accept to close, all of it on one I/O thread.
//
// The read buffer is small while a client is idle (10 000 idle clients must not cost more than 2 KB each) and grows
// with what the client sends: to some KB for one that pipelines, and for a long request as its bytes arrive, never
// because it announced them. Large arguments do not pass through it (arrival.hpp). Replies of all requests of a round
// are gathered in the thread's output and sent with one system call, short ones together with those of other connections; only what
// the transport does not take is kept here.

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
#include "pinfold/command/session.hpp"
#include "pinfold/net/arrival.hpp"
#include "pinfold/net/batch.hpp"
#include "pinfold/net/event_handler.hpp"
#include "pinfold/net/transport.hpp"
#include "pinfold/resp/output.hpp"
#include "pinfold/resp/parser.hpp"

namespace pinfold::net {

class IoThread;

/// Reasons for which the requests of a connection are not executed; what comes in is kept meanwhile. Several may hold at once.
enum class Hold : std::uint8_t {
  pause = 1,    // CLIENT PAUSE
  backlog = 2,  // it has as many unread replies as it may, and must read before it is served
};

class Holds {
 public:
  bool any() const { return bits_ != 0; }
  bool has(Hold hold) const { return (bits_ & static_cast<unsigned>(hold)) != 0; }
  void add(Hold hold) { bits_ |= static_cast<unsigned>(hold); }
  void remove(Hold hold) { bits_ &= ~static_cast<unsigned>(hold); }

 private:
  unsigned bits_ = 0;
};

class Connection final : public EventHandler {
 public:
  Connection(IoThread& thread, std::unique_ptr<Transport> transport, std::uint64_t id);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  std::uint64_t id() const { return session_.shared.id; }
  const command::Session& session() const { return session_; }
  command::Session& session() { return session_; }
  /// Whether its input holds requests that a batch had no room for, or its transport bytes that the event loop does not report. Then the
  /// thread comes back to it, with parse_more(), and nothing is received before.
  bool has_more_input() const { return intake_ == Intake::queued; }
  void start();

  // One round, in this order; each does nothing once the connection is closed.
  /// Sends and receives, and adds to the thread's batch what can be executed.
  void ready(std::uint32_t events) override;
  /// The same when has_more_input().
  void parse_more(Batch& batch);
  void execute(std::size_t start, command::Args args, command::Prepared& prepared, bool last);
  /// After the last request of a batch: sends the replies, or defers that, and makes ready for the next round.
  void finish();
  /// Sends replies of it that were deferred.
  void send_deferred(std::string_view replies);

  /// Closes the transport; the object is destroyed at the end of the round.
  void close();
  /// Goes on with requests that a pause has held up.
  void resume();
  /// The answer that its client waits for has come. Returns false if its client does not wait with this ticket.
  bool answer(std::uint64_t ticket, const Delivery& answer);
  /// Sends bytes that are no reply: at once, or when the reply that has begun is over.
  void push(std::string_view bytes);
  /// Its client has waited long enough, or (CLIENT UNBLOCK) is to wait no longer.
  void end_wait(bool with_error);
  /// Goes a step further with its long command, if it has one.
  void work();
  /// Closes if it holds much memory in blobs that nobody else needs. Looks at some of them each time.
  void give_way();
  /// Once a second: idle timeout, soft output limit, buffers that are no longer needed.
  void tick();

  // For its thread: where it stands in the list of all, and whether it stands in the list of those with long commands.
  std::size_t place = 0;
  bool in_tasks = false;

 private:
  static constexpr std::size_t idle_input = 512;
  static constexpr std::size_t busy_input = 16 * 1024;

  /// How far it is on the way to its end. It only goes forwards.
  enum class Ending : std::uint8_t {
    open,
    input_ended,  // the client sends no more, but reads
    when_sent,    // nothing is received or executed any more; it is closed when its replies have been sent
    closed,       // to be destroyed by its thread
  };
  enum class Intake : std::uint8_t {
    open,
    full,    // while nothing is executed, the input takes no more; what is beyond stays in the socket
    queued,  // it has its turn later: see has_more_input()
  };
  /// What has become of the connection's requests in the batch at hand.
  enum class Turn : std::uint8_t {
    not_begun,
    begun,    // one has been executed
    held_up,  // the rest is to be parsed again when what holds it is over
    spent,    // the same, because they have taken the time that is this connection's before others have a turn
  };

  // connection.cpp: a round, from parsing to the end of a batch.
  void advance(Ending ending) { ending_ = std::max(ending_, ending); }
  /// Whether nothing is executed for the time being.
  bool held() const { return holds_.any() || waits(); }
  std::uint32_t translated(std::uint32_t events) const;
  void ready_beside_input(std::uint32_t events);
  /// Adds the requests that are complete in the input to the batch, as far as it takes them.
  void parse(Batch& batch);
  void queue();
  void hold_up(std::size_t start, Turn why);
  void begin_reply();
  void end_reply(resp::Reply& reply);
  void go_on();
  void update_events();
  void account_arguments();
  bool unauthenticated() const;
  resp::Limits limits() const;

  // connection_input.cpp
  void receive();
  Transport::Result receive_large();
  bool take_body();
  void forget_large();
  void end_input();
  void input_ends();
  void hung_up();
  bool must_grow() const { return filled_ == capacity_ || large_ != nullptr; }
  bool make_room();
  bool make_room_while_held();
  void resize_input(std::size_t capacity);
  void drop_consumed(bool now);

  // connection_output.cpp
  void send();
  void send_now();
  void writable();
  Transport::Result write(std::span<const iovec> runs);
  bool send_some(resp::Output& output);
  void keep_unsent(resp::Output& output);
  void look_at_backlog();
  void restart_patience();

  // connection_limits.cpp
  bool spared() const { return session_.shared.no_evict.load(std::memory_order_relaxed); }
  bool unauthenticated_take_too_much(std::size_t more) const;
  bool query_limit_reached();
  bool too_greedy(std::size_t input);
  void cut_off();
  void check_output_limit();
  bool reads_slowly(std::int64_t patience) const;
  bool is_hopeless();
  bool holds_up_memory(std::int64_t idle_ms) const;
  void account();
  std::size_t arriving() const;
  void log_closing(std::string_view reason);

  // connection_waiting.cpp
  bool waits() const { return session_.waits(); }
  /// Whether whatever its client sends ends its wait.
  bool waits_in_silence() const {
    return session_.waiting != nullptr && session_.waiting->ended_by == command::Waiting::EndedBy::any_input;
  }
  /// Whether the end of its client's input does.
  bool ends_wait_with_input() const {
    return session_.waiting != nullptr && session_.waiting->ended_by != command::Waiting::EndedBy::nothing;
  }
  void set_paused(bool paused);
  void begin_wait();
  bool is_in_reply() const;
  void push_kept();
  void reply_late(const std::function<void(resp::Reply&)>& write);

  // For a counter that only this thread writes: no locked instruction.
  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) {
    constexpr auto relaxed = std::memory_order_relaxed;
    counter.store(counter.load(relaxed) + n, relaxed);
  }

  IoThread& thread_;
  const std::unique_ptr<Transport> transport_;
  std::uint32_t events_ = 0;  // waited for
  Ending ending_ = Ending::open;
  Intake intake_ = Intake::open;
  Turn turn_ = Turn::not_begun;
  Holds holds_;
  command::Session session_;
  resp::Parser parser_;
  resp::Parser::Result parsed_ = resp::Parser::Result::need_more;  // how the last parse() ended
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<char[], Free> input_;  // of malloc, so that it can grow without being copied
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;
  std::unique_ptr<LargeRequest> large_;       // only while there are large arguments
  resp::Output unsent_;                       // replies that the transport did not take
  std::unique_ptr<std::string> kept_pushes_;  // to be sent when the reply that has begun is over
  MonoMs reading_since_;                      // when its client had last read a good part of them
  std::size_t read_since_ = 0;                // bytes of them that it has read since
  MonoMs over_soft_limit_since_;              // 0: it is not
  MonoMs turn_began_;                         // while turn_ is `begun`
  MonoMs wait_until_;                         // as the thread knows it; 0: it does not
  std::size_t accounted_ = 0;
  std::size_t accounted_arguments_ = 0;  // of it, the parser's
  std::size_t accounted_blobs_ = 0;
  std::size_t accounted_arriving_ = 0;
  std::size_t accounted_unauthenticated_ = 0;
};

}  // namespace pinfold::net
