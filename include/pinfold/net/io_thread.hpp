#pragma once
// One I/O thread: an event loop and the connections that live on it. A connection never changes threads.
//
// Each round serves what is ready in three passes: receive and parse every ready connection; fetch the memory that
// the requests will touch; execute in order. So a cache miss of one request overlaps with the work for others, also when no client
// pipelines. Short replies are sent together when all that was ready has been executed, or the clock's millisecond is over.

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pinfold/command/dispatch.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/net/batch.hpp"
#include "pinfold/net/event_loop.hpp"
#include "pinfold/net/reply_memory.hpp"
#include "pinfold/resp/output.hpp"

namespace pinfold::net {

class Connection;

class IoThread {
 public:
  IoThread(command::Engine& engine, unsigned index);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void start();
  /// Closes all connections and ends the loop; returns when the thread has ended.
  void stop();

  // From any thread.
  std::size_t load() const { return load_.load(std::memory_order_relaxed); }
  /// Takes over an accepted, non-blocking socket; closes it if there is no memory for a connection.
  void adopt(int fd, bool unix_socket);
  /// Closes the connection with this client id, which has been marked for that, if it still lives here.
  void close(std::uint64_t id);
  /// Gives those of the clients that live here what they wait for, some each round. Takes memory.
  void deliver(const std::shared_ptr<const cache::Answers>& answers);
  /// Ends that wait of the client, if it still waits.
  void unblock(std::uint64_t id, std::uint64_t ticket, bool with_error);
  /// Runs a step of the task that the client has.
  void wake_task(std::uint64_t id);
  /// Has every connection that waits for the end of a pause look again.
  void resume_paused();

  // For connections, on this thread.
  command::Engine& engine() { return engine_; }
  command::Dispatcher& dispatcher() { return dispatcher_; }
  EventLoop& loop() { return loop_; }
  resp::Output& output() { return output_; }
  ReplyMemory& reply_memory() { return reply_memory_; }
  /// Takes over the replies of the connection at hand, which end the output, to be sent with those of others. False if they are not short,
  /// or the output has grown.
  /// A client process with many connections sleeps while it has nothing to read, and to wake it costs the sender: the first of several
  /// replies wakes it, the others find it awake. A connection is not parsed or executed again before its deferred replies were sent.
  bool defer(Connection& connection);
  /// Bytes of the output, its first, that are not replies of the connection at hand.
  std::size_t deferred_bytes() const { return deferred_bytes_; }
  void send_deferred() {
    if (!deferred_.empty()) send_all_deferred();
  }
  /// Forgets the replies of the connection at hand.
  void drop_replies();
  /// When this round began.
  MonoMs now() const { return now_; }
  /// Bytes that follow from settings and the use of memory, at most a millisecond old.
  struct Limits {
    std::size_t output = SIZE_MAX;             // of one client's replies: the hard limit of client-output-buffer-limit
    std::size_t unread = SIZE_MAX;             // of one client's replies, beyond which it must read before it is served
    std::uint64_t clients = UINT64_MAX;        // the clients' share of memory
    std::int64_t strangers = INT64_MAX;        // what those who have not authenticated may take of it
    std::int64_t abandoned_blobs = INT64_MAX;  // that only unread replies keep, before they have to be read or given up
  };
  const Limits& limits() const { return limits_; }
  /// What is left of the clients' share.
  std::uint64_t client_memory_left() const {
    const std::uint64_t used = client_memory();
    return used < limits_.clients ? limits_.clients - used : 0;
  }
  /// Whether buffers are to be no larger than they must be.
  bool clients_are_tight() const { return client_memory() > limits_.clients / 2; }
  unsigned index() const { return index_; }
  void bury(Connection& connection) { dead_.push_back(&connection); }
  void serve_again(Connection& connection) { unfinished_.push_back(&connection); }
  /// Runs a step of the connection's long command, in a while.
  void serve_task(Connection& connection);
  /// Has the connection look again when the pause is over.
  void await_pause_end(const Connection& connection);
  /// Ends the wait of the connection's client at that time, unless told not to.
  void await(MonoMs until, Connection& connection) { waiting_.emplace(until, &connection); }
  void await_no_longer(MonoMs until, Connection& connection) { waiting_.erase({until, &connection}); }

 private:
  void run();
  void read_clock();
  void serve(std::span<const epoll_event> ready);
  void serve_unfinished();
  void serve_tasks();
  template <class Work>
  void guarded(Connection& connection, Work&& work);
  void welcome(int fd, bool unix_socket);
  void execute_batch();
  void begin_tick();
  void tick_some();
  void update_limits();
  std::uint64_t client_memory() const { return engine_.keyspace.memory().used(store::Use::clients); }
  void send_overdue();
  void send_all_deferred();
  void free_output();
  void make_clients_fit();
  bool too_many_abandoned_blobs() const {
    const std::int64_t unread = engine_.clients.unread_blobs.load(std::memory_order_relaxed);
    return unread > limits_.abandoned_blobs && engine_.abandoned_blobs() > limits_.abandoned_blobs;
  }
  void free_abandoned_blobs();
  void look_at_paused();
  void hand_out_answers();
  void hand_out(std::uint64_t ticket, const cache::Waiter& waiter, const cache::Answer& answer);
  void end_waits();
  void remove_dead();
  void remove(const Connection& connection);
  int timeout_ms() const;

  command::Engine& engine_;
  const unsigned index_;
  EventLoop loop_;
  command::Dispatcher dispatcher_;
  ReplyMemory reply_memory_;
  resp::Output output_;  // replies that were deferred, and then those to the connection at hand
  struct Deferred {
    Connection* connection;
    std::size_t bytes;
  };
  static constexpr std::size_t most_deferred = 128;  // when there are so many, they are sent
  std::vector<Deferred> deferred_;                   // in the order of the output
  std::size_t deferred_bytes_ = 0;
  std::size_t deferred_end_ = 0;  // Output::mark() behind them, which stays when some were sent
  MonoMs deferred_since_;
  bool sending_deferred_ = false;
  Batch batch_;
  MonoMs now_;
  MonoMs next_tick_;
  MonoMs next_client_eviction_;
  MonoMs next_abandoned_check_;
  Limits limits_;
  MonoMs limits_from_;
  std::uint64_t limits_version_ = 0;  // of the settings
  bool busy_ = false;                 // something was executed since the last tick
  std::atomic<bool> stopping_{false};
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  // The same in one row, to go through them in slices. A place that becomes free is taken by the last of them, so a cursor may miss one,
  // which is met the next time round.
  std::vector<Connection*> row_;
  std::size_t ticked_ = 0;                            // cursor of tick_some()
  std::size_t to_tick_ = 0;                           // connections left for this tick
  std::size_t looked_at_ = 0;                         // cursor of free_abandoned_blobs()
  std::deque<std::uint64_t> paused_;                  // ids of connections that wait for the end of a CLIENT PAUSE
  std::deque<Connection*> unfinished_;                // with input that did not fit the batch, in the order of their turns
  std::deque<Connection*> tasks_;                     // whose long commands can go on, in the order of their turns
  std::set<std::pair<MonoMs, Connection*>> waiting_;  // whose clients wait for a reply, by when that ends
  /// Answers for several, and the next of those who are to have them.
  struct HandingOut {
    std::shared_ptr<const cache::Answers> answers;
    cache::Waiters::const_iterator next;
  };
  std::deque<HandingOut> handing_out_;
  std::vector<Connection*> dead_;  // closed, to be destroyed at the end of the round or a later one
  std::atomic<std::size_t> load_{0};
  std::thread thread_;
};

}  // namespace pinfold::net
