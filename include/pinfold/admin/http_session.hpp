#pragma once
// One connection to the admin port: reads a request, writes the reply, and so on, until the peer or the time ends it.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "pinfold/admin/access.hpp"
#include "pinfold/admin/admin_server.hpp"

namespace pinfold::admin {

/// A session that waits for its peer, for anything but to take a reply, and can be closed meanwhile.
class IdleSession {
 public:
  virtual void close() = 0;

 protected:
  ~IdleSession() = default;
};

/// What the sessions of a server share. Used by its thread alone, but for `state`.
struct Shared {
  explicit Shared(command::Engine& its_engine) : engine(its_engine), access(its_engine) {}

  command::Engine& engine;
  Access access;
  std::atomic<AdminServer::State> state{AdminServer::State::starting};
  std::size_t connections = 0;
  std::list<IdleSession*> idle;  // the one that has waited longest first
  std::size_t unread = 0;        // bytes of replies that are being written
};

/// `Stream` is PlainStream or TlsStream. A session lives as long as an operation of it is under way. Each operation has an end in time, and
/// runs on the thread of the server. It may throw std::bad_alloc, which ends the session.
template <class Stream>
class HttpSession final : public IdleSession, public std::enable_shared_from_this<HttpSession<Stream>> {
 public:
  HttpSession(Stream stream, Shared& shared);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  void start();
  void close() override;

 private:
  using Error = boost::system::error_code;
  using Parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;
  using Response = boost::beast::http::response<boost::beast::http::string_body>;

  void read(std::chrono::seconds patience);
  void begin_idle();
  void end_idle();
  void on_read(const Error& error);
  void reply(Response response, bool keep_alive);
  void on_write(const Error& error);
  void finish();
  void drop_rest();
  Response answer();
  Response page(const Parser::value_type& request);

  Stream stream_;
  Shared& shared_;
  Access::Asker asker_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::optional<Response> response_;
  std::size_t unread_ = 0;  // its part of Shared::unread
  std::size_t dropped_ = 0;
  std::list<IdleSession*> place_;  // has one node while the session is not in Shared::idle, which has it otherwise
};

using PlainStream = boost::beast::tcp_stream;
using TlsStream = boost::asio::ssl::stream<boost::beast::tcp_stream>;
extern template class HttpSession<PlainStream>;
extern template class HttpSession<TlsStream>;

}  // namespace pinfold::admin
