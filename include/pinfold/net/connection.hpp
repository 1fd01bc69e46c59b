#pragma once
// One client connection, from accept to close, all of it on one I/O thread.
//
// The read buffer is small while a client is idle (10 000 idle clients must not cost more than 2 KB each) and grows
// with what the client sends: to some KB for one that pipelines, and for a long request as its bytes arrive, never
// because it announced them. Large arguments do not pass through it (arrival.hpp). Replies of all requests of a round
// are gathered in the thread's output and sent with one system call, short ones together with those of other connections; only what
// the transport does not take is kept here.

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include <sys/uio.h>

#include "pinfold/command/session.hpp"
#include "pinfold/net/arrival.hpp"
#include "pinfold/net/batch.hpp"
#include "pinfold/net/event_handler.hpp"
#include "pinfold/net/transport.hpp"
#include "pinfold/resp/output.hpp"
#include "pinfold/resp/parser.hpp"

namespace pinfold::net {

class IoThread;

class Connection final : public EventHandler {
 public:
  Connection(IoThread& thread, std::unique_ptr<Transport> transport, std::uint64_t id);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  std::uint64_t id() const { return session_.shared.id; }
  const command::Session& session() const { return session_; }
  command::Session& session() { return session_; }
  bool has_more_input() const { return more_input_; }
  void start();

  // One round, in this order; each does nothing once the connection is closed.
  /// Sends and receives, and adds to the thread's batch what can be executed.
  void ready(std::uint32_t events) override;
  /// Adds the requests that are complete in the input to the batch, as far as it takes them.
  void parse(Batch& batch);
  void execute(std::size_t start, command::Args args, command::Prepared& prepared, bool last);
  /// After the last request of a batch: sends the replies, or defers that, and makes ready for the next round.
  void finish();
  /// As ready(), for bytes that its transport holds and the event loop does not report.
  void receive_pending();
  /// Sends replies of it that were deferred.
  void send_deferred(std::string_view replies);

  /// Closes the socket; the object is destroyed at the end of the round.
  void close();
  /// Goes on with requests that a pause has held up.
  void resume();
  /// The answer that its client waits for has come. False if that is not the wait it is for.
  bool answer(std::uint64_t ticket, const cache::Answer& answer);
  /// Its client has waited long enough, or (CLIENT UNBLOCK) is to wait no longer.
  void end_wait(bool with_error);
  /// Goes a step further with its long command, if it has one.
  void work();
  /// Closes if it holds much memory in blobs that nobody else needs. Looks at some of them each time.
  void give_way();
  /// Where it stands in its thread's list.
  std::size_t place = 0;
  /// Whether it stands in its thread's list of those with long commands.
  bool in_tasks = false;
  /// Whether it stands in its thread's list of those whose transports hold bytes.
  bool in_pending = false;
  /// Once a second: idle timeout, soft output limit, buffers that are no longer needed.
  void tick();

 private:
  void writable();
  void receive();
  /// The peer is gone for both directions.
  void hung_up();
  /// The peer sends no more, but what it has sent may be still to be received.
  void input_ends();
  void hold_up(std::size_t start);
  void set_paused(bool paused);
  /// Nothing is executed for the time being; what comes in is kept.
  bool held() const { return paused_ || behind_ || waits(); }
  void go_on();
  void end_input();
  bool make_room_while_held();
  void update_events();
  bool reads_slowly(std::int64_t patience) const;
  bool is_hopeless();
  void begin_wait();
  void reply_late(const std::function<void(resp::Reply&)>& write);
  bool has_task() const { return waits() && session_.wait->task != nullptr; }
  bool waits() const { return session_.wait != nullptr; }
  bool waits_in_silence() const;
  bool waits_for_key() const;
  void send();
  void send_now();
  Transport::Result write(std::span<const iovec> runs);
  bool send_some(resp::Output& output);
  void keep_unsent(resp::Output& output);
  void restart_patience();
  void look_at_backlog();
  void begin_reply();
  void end_reply(resp::Reply& reply);
  void wait_for(std::uint32_t events);
  Transport::Result receive_input();
  Transport::Result receive_large();
  bool take_body();
  void forget_large();
  std::size_t arriving() const;
  bool holds_up_memory(std::int64_t idle_ms) const;
  bool make_room();
  bool must_grow() const { return filled_ == capacity_ || large_ != nullptr; }
  bool query_limit_reached();
  void resize_input(std::size_t capacity);
  void drop_consumed(bool now);
  bool spared() const { return session_.shared.no_evict.load(std::memory_order_relaxed); }
  void cut_off();
  bool too_greedy(std::size_t input);
  void check_output_limit();
  void account();
  void account_arguments();
  void log_closing(std::string_view reason);
  bool stranger() const;
  bool too_many_strangers(std::size_t more) const;
  resp::Limits limits() const;

  IoThread& thread_;
  const std::unique_ptr<Transport> transport_;
  std::uint32_t events_ = 0;  // waited for
  command::Session session_;
  resp::Parser parser_;
  resp::Parser::Result parsed_ = resp::Parser::Result::need_more;  // how the last parse() ended
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<char[], Free> input_;  // of malloc, so that it can grow without being copied
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;
  std::unique_ptr<LargeRequest> large_;  // only while there are large arguments
  resp::Output pending_;                 // replies that the transport did not take
  MonoMs reading_since_;                 // when it had last read a good part of them
  std::size_t read_since_ = 0;           // bytes of them that it has read since
  MonoMs over_soft_limit_since_;         // 0: it is not
  std::size_t accounted_ = 0;
  std::size_t accounted_arguments_ = 0;  // of it, the parser's
  std::size_t accounted_blobs_ = 0;
  std::size_t accounted_arriving_ = 0;
  std::size_t accounted_stranger_ = 0;
  bool closed_ = false;
  bool paused_ = false;       // by CLIENT PAUSE
  bool behind_ = false;       // it has as many unread replies as it may, and must read before it is served
  bool served_ = false;       // a request of this batch has been executed
  bool spent_ = false;        // they have taken the time that is this connection's before others have a turn
  MonoMs turn_began_;         // if served_
  bool held_up_ = false;      // the rest of the batch is to be parsed again
  bool input_full_ = false;   // no more is received before something was executed
  bool input_ended_ = false;  // it sends no more, but reads
  MonoMs wait_until_;         // as the thread knows it; 0: it does not
  bool close_when_sent_ = false;
  bool more_input_ = false;  // input holds requests that a batch had no room for; the thread will come back
};

}  // namespace pinfold::net
