#pragma once
// One I/O thread: an event loop, and the connections that live on it. A connection never changes threads.
//
// Each round serves the ready connections in three passes. It receives from each of them and parses, then fetches the memory
// that the requests will read, then executes the requests in order. So a cache miss of one request overlaps with the work for
// others, even if no client pipelines. Short replies are sent together, when all ready connections have been served, or when
// the millisecond of the clock is over.

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/command/dispatch.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/tracking_feed.hpp"
#include "pinfold/net/batch.hpp"
#include "pinfold/net/event_loop.hpp"
#include "pinfold/net/handshake_queue.hpp"
#include "pinfold/net/mailbox.hpp"
#include "pinfold/net/reply_memory.hpp"
#include "pinfold/net/request_tracer.hpp"
#include "pinfold/net/tls_transport.hpp"
#include "pinfold/net/transport.hpp"
#include "pinfold/resp/output.hpp"

namespace pinfold::net {

class Connection;

/// Owns its connections. Its functions are called on its own thread, except for those that say otherwise. The engine must
/// outlive it.
class IoThread {
 public:
  IoThread(command::Engine& engine, unsigned index);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  /// Starts the thread. Called by the main thread.
  void start();
  /// Runs one round of the loop. Waits for at most `most_ms` milliseconds until there is something to do. Returns how many
  /// descriptors were ready. The thread of start() runs rounds by itself; a test calls this in place of start().
  std::size_t run_round(int most_ms);
  /// How many milliseconds the next round may wait.
  int idle_ms() const;
  /// Closes all connections and ends the loop. Called by the main thread; returns when the thread has ended.
  /// Has the thread end after its present round. stop() waits for that.
  void ask_to_stop();
  void stop();

  // These may be called by any thread.
  /// How many connections live here, those that are on their way included.
  std::size_t load() const { return load_.load(std::memory_order_relaxed); }
  /// The buffers of the TLS transports that are given to adopt().
  TlsBuffers& tls_buffers() { return tls_buffers_; }
  /// Makes a client's connection of the transport, or closes the transport if there is no memory for that.
  void adopt(std::unique_ptr<Transport> transport);
  /// Closes the connection of the client with this id, if it still lives here. The client has been marked for closing.
  void close(std::uint64_t id);
  /// Answers the waiting clients that live here, some of them in each round. Throws std::bad_alloc.
  void deliver(const std::shared_ptr<const Delivery>& answer);
  /// Sends a push to its clients that live here, to some of them in each round. Throws std::bad_alloc.
  void push(const std::shared_ptr<const Push>& push);
  /// Hands out the mail, in slices, behind what was to be handed out before. Throws std::bad_alloc.
  void send(std::shared_ptr<const Mail> mail) { hand_out_later({.mail = std::move(mail)}); }
  /// The number of the next piece of mail.
  std::uint64_t mail_number() const { return mailbox_.next_number(); }
  /// Ends the client's wait with this ticket, if the client still waits with it.
  void end_wait(std::uint64_t id, std::uint64_t ticket, bool with_error);
  /// Runs a step of the client's task.
  void wake_task(std::uint64_t id);
  /// Lets every connection that waits for the end of a CLIENT PAUSE check whether the pause is over.
  void resume_paused();

  // These are for connections.
  command::Engine& engine() { return engine_; }
  command::Dispatcher& dispatcher() { return dispatcher_; }
  /// The event loop. Handlers that are no connections are added to it as well.
  EventLoop& loop() { return loop_; }
  /// The batch of requests that ready connections have parsed.
  Batch& batch() { return batch_; }
  /// Does `work` of the connection. If the work throws std::bad_alloc, the connection is closed and the server goes on.
  template <class Work>
  void guarded(Connection& connection, Work&& work) {
    try {
      work();
    } catch (const std::bad_alloc&) {
      give_up(connection);
    }
  }
  resp::Output& output() { return output_; }
  ReplyMemory& reply_memory() { return reply_memory_; }
  RequestTracer& tracer() { return tracer_; }
  /// Defers the replies of the present connection, which are the end of the output: they are sent together with those of other
  /// connections. Returns false if the replies are not short, or if the output is too large. Deferring saves time, because a
  /// client process with many connections sleeps while it has nothing to read, and waking it costs the sender. Of several
  /// replies sent together only the first has to wake it. The requests of a connection are not parsed or executed before its
  /// deferred replies have been sent.
  bool defer(Connection& connection);
  /// How many bytes at the front of the output are deferred replies, and not replies of the present connection.
  std::size_t deferred_bytes() const { return deferred_bytes_; }
  void send_deferred() {
    if (!deferred_.empty()) send_all_deferred();
  }
  /// Forgets the replies of the present connection.
  void drop_replies();
  /// The time at which this round began.
  MonoMs now() const { return now_; }
  /// The same in ticks of ThreadClock: since when what became ready before it has waited.
  std::uint64_t round_began() const { return round_began_; }
  /// Limits in bytes that follow from the settings and from the use of memory. At most a millisecond old.
  struct Limits {
    std::size_t output = SIZE_MAX;             // of one client's replies: the hard limit of client-output-buffer-limit
    std::uint64_t large_request = UINT64_MAX;  // from which on requests and replies are noted (command/notable.hpp)
    std::uint64_t large_reply = UINT64_MAX;
    std::uint64_t long_round = UINT64_MAX;           // from which on rounds are noted for LATENCY; in ticks of ThreadClock
    std::size_t unread = SIZE_MAX;                   // of one client's unread replies; beyond it the client must read before it is served
    std::uint64_t clients = UINT64_MAX;              // the clients' share of memory
    std::int64_t unauthenticated_bytes = INT64_MAX;  // the part of this share that unauthenticated clients may take
    std::size_t handshakes = 1;                      // handshakes of this thread that may have begun; not in bytes
    std::int64_t abandoned = INT64_MAX;              // what only unread replies keep; beyond it clients that do not read are closed
  };
  const Limits& limits() const { return limits_; }
  /// If more than this waits to be sent, a connection sends it before its next request.
  static constexpr std::size_t sent_at = 256 * 1024;
  /// The size of the output from which on a connection looks at it after a request: to send it, or because the reply may be large.
  std::size_t look_at_output() const { return look_at_output_; }
  /// Called when a request that may be large is added to the batch: every request of the batch is looked at.
  void look_at_all() { look_at_output_ = 0; }
  /// The bytes that are left of the clients' share.
  std::uint64_t client_memory_left() const {
    const std::uint64_t used = client_memory();
    return used < limits_.clients ? limits_.clients - used : 0;
  }
  /// Whether clients use more than half of their share. Then buffers grow no more than they must.
  bool clients_are_tight() const { return client_memory() > limits_.clients / 2; }
  unsigned index() const { return index_; }
  /// The connection of the client with this id; null if it does not live here, or is gone.
  Connection* find(std::uint64_t client) const;
  /// Destroys a closed connection later, when no function of it is running.
  void destroy_later(Connection& connection) { closed_.push_back(&connection); }
  /// Calls send_pushes() of the connection when its turn comes.
  void send_pushes_later(Connection& connection) {
    pushed_to_.push_back(&connection);
    handing_out_some_ = true;
  }
  /// Calls parse_more() of the connection when its turn comes.
  void serve_again(Connection& connection) { unfinished_.push_back(&connection); }
  /// Runs a step of the connection's long command when its turn comes.
  void serve_task(Connection& connection);
  /// Calls shake_hands() of the connection when its turn comes. Handshakes that have begun go before others, and others begin only as many
  /// as Limits::handshakes allows, of one origin after the other, and one that has half of the places gets no more while
  /// others wait. So a storm of new clients is worked off one by one, holds up no connected client, and no new one from elsewhere for long.
  void serve_handshake(Connection& connection);
  /// Throws std::bad_alloc, and then nothing has changed.
  void begin_handshake(const Connection& connection);
  void end_handshake(const Connection& connection);
  /// A handshake in which the client has done nothing for so long does not go on, and one that has begun so long ago is made to last.
  static constexpr std::int64_t stalled_handshake_ms = 1000;
  static constexpr std::int64_t slow_handshake_ms = 3000;
  /// Whether this handshake, which does not go on, must make room. More must wait for their turns than there are places. Then it must if
  /// no handshake has begun for stalled_handshake_ms; or if its origin has more than an even share of the places, and others have waited
  /// for as long. In a second as many make room for that reason as there are origins that have waited so long. So a storm of clients
  /// that are honest, and slow because they are many, is no reason, wherever they come from.
  bool makes_room(const Connection& connection);
  /// Calls resume() of the connection when the CLIENT PAUSE is over.
  void await_pause_end(const Connection& connection);
  /// Ends the wait of the connection's client at the time `until`, unless await_no_longer() is called before with the same
  /// arguments.
  void await(MonoMs until, Connection& connection) { waiting_.emplace(until, &connection); }
  void await_no_longer(MonoMs until, Connection& connection) { waiting_.erase({until, &connection}); }

 private:
  void run();
  [[gnu::always_inline]] std::size_t round(int most_ms);
  void read_clock();
  void serve(std::span<const epoll_event> ready);
  void serve_unfinished();
  void serve_tasks();
  Connection* next_handshake();
  void leave_handshakes(Connection& connection);
  bool has_its_share(std::uint64_t origin) const;
  void serve_handshakes();
  bool has_handshakes() const { return !handshakes_.empty() || (!new_handshakes_.empty() && handshakes_begun_ < limits_.handshakes); }
  void give_up(Connection& connection);
  void welcome(std::unique_ptr<Transport> transport);
  void execute_batch();
  template <bool traced>
  void execute_requests(std::size_t size);
  void execute_traced(std::size_t size);
  void settle_deferred_spans();
  void begin_tick();
  void tick_some();
  void update_limits();
  void follow_settings();
  void look_at_usual() { look_at_output_ = std::min<std::uint64_t>(sent_at + 1, limits_.large_reply); }
  void note_long_round(std::uint64_t ticks);
  std::uint64_t client_memory() const { return engine_.keyspace.memory().used(store::Use::clients); }
  void send_overdue();
  void send_all_deferred();
  void free_output();
  void make_clients_fit();
  bool too_much_is_abandoned() const {
    constexpr auto relaxed = std::memory_order_relaxed;
    const std::int64_t unread = engine_.clients.unread_blobs.load(relaxed) + engine_.clients.pinned.load(relaxed);
    return unread > limits_.abandoned && engine_.abandoned() > limits_.abandoned;
  }
  void free_abandoned();
  void look_at_paused();
  void hand_out_later(HandingOut item);
  bool has_to_hand_out() const { return mailbox_.any() || handing_out_some_; }
  void hand_out_some();
  bool next_to_hand_out();
  bool hand_out(HandingOut& message, unsigned most, unsigned& to_look_at);
  bool visit(HandingOut& message, unsigned most, unsigned& to_look_at);
  void send_pushes();
  void end_expired_waits();
  void remove_closed();
  void remove(Connection& connection);

  command::Engine& engine_;
  const unsigned index_;
  TlsBuffers tls_buffers_;  // outlives the transports, some of which may still lie in the loop
  EventLoop loop_;
  command::Dispatcher dispatcher_;
  command::TrackingFeed& tracking_;
  ReplyMemory reply_memory_;
  RequestTracer tracer_;
  resp::Output output_;  // deferred replies, and after them the replies to the present connection
  struct Deferred {
    Connection* connection;
    std::size_t bytes;
  };
  static constexpr std::size_t most_deferred = 128;  // this many deferred replies are sent at once
  std::vector<Deferred> deferred_;                   // in the order of their replies in the output
  std::size_t deferred_bytes_ = 0;
  std::size_t deferred_end_ = 0;  // Output::mark() after them; does not change when some of them are sent
  MonoMs deferred_since_;
  bool sending_deferred_ = false;
  Batch batch_;
  MonoMs now_;
  std::uint64_t round_began_ = 0;
  MonoMs next_tick_;
  MonoMs next_client_eviction_;
  MonoMs next_abandoned_check_;
  Limits limits_;
  std::size_t look_at_output_ = sent_at + 1;
  MonoMs limits_from_;
  std::uint64_t limits_version_ = 0;  // the version of the settings from which limits_ were made
  bool busy_ = false;                 // a request was executed since the last tick
  std::atomic<bool> stopping_{false};
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  // The connections once more, in a vector, to go through them in slices. The last one moves to a place that becomes free. So a cursor may
  // miss a connection, and meets it the next time round.
  std::vector<Connection*> row_;
  std::size_t ticked_ = 0;                            // cursor of tick_some()
  std::size_t to_tick_ = 0;                           // connections left for this tick
  std::size_t looked_at_ = 0;                         // cursor of free_abandoned()
  std::deque<std::uint64_t> paused_;                  // ids of connections that wait for the end of a CLIENT PAUSE
  std::deque<Connection*> unfinished_;                // connections with has_more_input(), in the order of their turns
  std::deque<Connection*> tasks_;                     // connections whose long commands can go on, in the order of their turns
  std::set<std::pair<MonoMs, Connection*>> waiting_;  // connections whose clients wait for a reply, by the time at which the wait ends
  HandshakeQueue handshakes_;                         // connections whose handshakes have begun and can go on
  HandshakeQueue new_handshakes_;                     // connections whose handshakes can begin
  std::size_t handshakes_begun_ = 0;                  // and are not done
  MonoMs handshake_began_;                            // when the last one began
  std::map<std::uint64_t, std::size_t> begun_by_origin_;
  bool handshakes_stuck_ = false;         // none had begun for a while when the present tick began
  HandshakeQueue::Late late_handshakes_;  // whose turn had not come for a while then
  std::size_t even_share_ = 0;            // of the places, for each origin, if any was late
  std::size_t places_wanted_ = 0;         // that handshakes are still to make room for in the present tick
  Mailbox mailbox_;
  std::vector<HandingOut> handing_out_;  // taken out of the mailbox
  std::size_t handed_out_ = 0;           // how many of these have been handed out
  std::deque<Connection*> pushed_to_;    // connections with pushes that are to be sent, in the order of their turns
  bool handing_out_some_ = false;        // whether the two above have anything to do, as one flag because each round asks twice
  std::vector<Connection*> closed_;      // closed connections, to be destroyed at the end of this round or of a later one
  std::atomic<std::size_t> load_{0};
  std::thread thread_;
};

}  // namespace pinfold::net
