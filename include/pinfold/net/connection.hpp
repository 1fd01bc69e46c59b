#pragma once
// One client connection, from accept to close, all of it on one I/O thread.
//
// The read buffer is small while a client is idle (10 000 idle clients must not cost more than 2 KB each) and grows
// with what the client sends: to some KB for one that pipelines, and for a long request as its bytes arrive, never
// because it announced them. Replies of all requests in a buffer are gathered in the thread's output and sent with
// one system call; only what the socket does not take is kept here.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "pinfold/command/session.hpp"
#include "pinfold/net/io_thread.hpp"
#include "pinfold/resp/output.hpp"
#include "pinfold/resp/parser.hpp"
#include "pinfold/resp/reply.hpp"

namespace pinfold::net {

class Connection {
 public:
  Connection(IoThread& thread, Socket socket, bool unix_socket, std::uint64_t id);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  std::uint64_t id() const { return session_.shared.id; }
  void start();
  /// Closes the socket; the object goes away once its pending operations have ended.
  void close();
  /// Goes on with requests that a pause has held up.
  void resume();
  /// Once a second: idle timeout, soft output limit, buffers that are no longer needed.
  void tick(UnixMs now);

 private:
  void read();
  void read_done(std::size_t size);
  void process();
  resp::Parser::Result parse_batch();
  bool execute_batch(resp::Reply& reply, UnixMs now);
  void wait_writable();
  void send();
  bool send_some(resp::Output& output, std::size_t& sent);
  void operation_ended();
  bool make_room();
  void resize_input(std::size_t capacity);
  void drop_consumed();
  void check_output_limit();
  void account();
  void log_closing(std::string_view reason);
  resp::Limits limits() const;

  IoThread& thread_;
  Socket socket_;
  command::Session session_;
  resp::Parser parser_;
  std::unique_ptr<char[]> input_;
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;
  resp::Output pending_;   // replies that the socket did not take
  std::size_t sent_ = 0;   // bytes of them that it has taken since
  UnixMs over_soft_limit_since_ = 0;
  std::size_t accounted_ = 0;
  unsigned operations_ = 0;  // asynchronous operations under way
  bool closed_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool paused_ = false;
  bool close_when_sent_ = false;
};

}  // namespace pinfold::net
