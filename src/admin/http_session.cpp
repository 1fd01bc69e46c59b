#include "pinfold/admin/http_session.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <sstream>
#include <string_view>
#include <type_traits>
#include <utility>

#include <boost/beast/http.hpp>
#include <openssl/ssl.h>

#include "pinfold/admin/pages.hpp"

namespace pinfold::admin {

namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t largest_head = 8 * 1024;
constexpr std::size_t most_unread = 16 * 1024 * 1024;  // a page of metrics has some hundred KB
constexpr std::chrono::seconds patience{10};           // for a handshake, a first request, and a reply
constexpr std::chrono::seconds patience_between{60};   // for a next request: Prometheus scrapes every 15 or 30 seconds
constexpr std::chrono::seconds patience_at_end{2};
constexpr std::size_t most_dropped = 64 * 1024;
constexpr std::string_view no_body = "A request has no body here.\n";
constexpr std::string_view text_type = "text/plain; charset=utf-8";

// The reasons that /ready gives, in the order of AdminServer::State.
constexpr std::string_view kNotReady[] = {"starting: clients are not served yet", "", "shutting down: clients are no longer served"};

// What browsers may do with a page: nothing with it from other sites, and load scripts and styles from here only.
struct Header {
  std::string_view name;
  std::string_view value;
};
constexpr Header kHeaders[] = {
    {"Server", "pinfold"},
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
     "form-action 'none'; frame-ancestors 'none'"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
};

beast::string_view of(std::string_view text) { return {text.data(), text.size()}; }
std::string_view of(beast::string_view text) { return {text.data(), text.size()}; }

using Response = http::response<http::string_body>;

Response made(unsigned status, std::string_view type, std::string body) {
  Response response(http::int_to_status(status), 11);
  for (const Header& header : kHeaders) response.set(of(header.name), of(header.value));
  response.set(http::field::content_type, of(type));
  response.body() = std::move(body);
  return response;
}

Response plain(unsigned status, std::string text) { return made(status, text_type, std::move(text)); }

// What a request that cannot be read is answered with; nothing if the peer is gone.
std::optional<Response> answer_to(const boost::system::error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return plain(431, "The head of a request may have 8 KB.\n");
  }
  if (error == http::error::body_limit) return plain(413, std::string(no_body));
  const bool is_gone = error == http::error::end_of_stream || error == http::error::partial_message;
  if (is_gone || error.category() != http::make_error_code(http::error::bad_method).category()) return std::nullopt;
  return plain(400, "This is no request of HTTP/1: " + error.message() + ".\n");
}

// The parser knows of Transfer-Encoding only what it can decode. A proxy before this server may take another one for a body too, in which
// there may be a request of somebody else: nothing is read behind such a head.
bool has_body(const http::request_parser<http::empty_body>& parser) {
  return parser.get().count(http::field::transfer_encoding) > 0 || parser.content_length().value_or(0) > 0;
}

}  // namespace

template <class Stream>
HttpSession<Stream>::HttpSession(Stream stream, Shared& shared) : stream_(std::move(stream)), shared_(shared), buffer_(largest_head) {
  Error error;
  std::ostringstream address;
  address << beast::get_lowest_layer(stream_).socket().remote_endpoint(error);
  if (!error) asker_.address = address.str();
  place_.push_back(this);
  ++shared_.connections;
}

template <class Stream>
HttpSession<Stream>::~HttpSession() {
  end_idle();
  --shared_.connections;
  shared_.unread -= unread_;
}

template <class Stream>
void HttpSession<Stream>::start() {
  if constexpr (std::is_same_v<Stream, TlsStream>) {
    begin_idle();
    beast::get_lowest_layer(stream_).expires_after(patience);
    stream_.async_handshake(TlsStream::server, [self = this->shared_from_this()](const Error& error) {
      command::ThreadStats& stats = self->shared_.engine.stats.of_admin();
      if (error) {
        (error == beast::error::timeout ? stats.tls_timed_out : stats.tls_failed).add();
        return;
      }
      stats.tls_handshakes.add();
      SSL* const ssl = self->stream_.native_handle();
      const bool asked = SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
      self->asker_.certified = asked && SSL_get0_peer_certificate(ssl) != nullptr && SSL_get_verify_result(ssl) == X509_V_OK;
      self->read(patience);
    });
  } else {
    read(patience);
  }
}

template <class Stream>
void HttpSession<Stream>::read(std::chrono::seconds patience_now) {
  parser_.emplace();
  parser_->header_limit(largest_head);
  begin_idle();
  beast::get_lowest_layer(stream_).expires_after(patience_now);
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = this->shared_from_this()](const Error& error, std::size_t) { self->on_read(error); });
}

// It has its place for as long as nobody else needs it.
template <class Stream>
void HttpSession<Stream>::begin_idle() {
  shared_.idle.splice(shared_.idle.end(), place_);
}

template <class Stream>
void HttpSession<Stream>::end_idle() {
  const auto mine = std::ranges::find(shared_.idle, static_cast<IdleSession*>(this));
  if (mine != shared_.idle.end()) place_.splice(place_.end(), shared_.idle, mine);
}

template <class Stream>
void HttpSession<Stream>::close() {
  end_idle();
  beast::get_lowest_layer(stream_).close();
}

template <class Stream>
void HttpSession<Stream>::on_read(const Error& error) {
  end_idle();
  if (error) {
    if (auto response = answer_to(error)) reply(std::move(*response), false);
    return;  // else it ends with its last operation
  }
  shared_.engine.stats.of_admin().admin_requests.add();
  Response response = answer();
  const bool is_understood = response.result() != http::status::bad_request && response.result() != http::status::payload_too_large;
  reply(std::move(response), is_understood && parser_->keep_alive());
}

// A fault of a page ends neither the process nor the connection.
template <class Stream>
auto HttpSession<Stream>::answer() -> Response {
  try {
    const auto& request = parser_->get();
    if (has_body(*parser_)) return plain(413, std::string(no_body));
    const auto hosts = request.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && request.version() >= 11)) return plain(400, "A request has one header Host.\n");
    return page(request);
  } catch (const std::bad_alloc&) {
    return plain(503, "There is no memory for this now.\n");
  } catch (const std::exception& fault) {
    return plain(500, std::string(fault.what()) + "\n");
  }
}

template <class Stream>
auto HttpSession<Stream>::page(const Parser::value_type& request) -> Response {
  const std::string_view target = of(request.target());
  const std::string_view path = target.substr(0, target.find('?'));
  const auto all = routes();
  const auto route = std::ranges::find_if(all, [path](const Route& one) { return one.path == path; });
  if (route == all.end()) return plain(404, "There is no such page.\n");
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    Response response = plain(405, "Only GET and HEAD are answered.\n");
    response.set(http::field::allow, "GET, HEAD");
    return response;
  }
  if (!route->open) {
    const Access::Claims claims{of(request[http::field::authorization]), of(request[http::field::host])};
    if (auto refusal = shared_.access.refusal(asker_, claims)) {
      Response response = plain(refusal->status, std::move(refusal->text));
      if (refusal->status == 401) {
        response.insert(http::field::www_authenticate, "Bearer realm=\"pinfold\"");
        response.insert(http::field::www_authenticate, "Basic realm=\"pinfold\", charset=\"UTF-8\"");
      }
      if (refusal->retry_seconds > 0) response.set(http::field::retry_after, std::to_string(refusal->retry_seconds));
      return response;
    }
  }
  if (shared_.unread >= most_unread) return plain(503, "Too much that others have asked for is not read yet.\n");
  const std::string_view not_ready = kNotReady[static_cast<std::size_t>(shared_.state.load())];
  Page content = route->make({shared_.engine, not_ready});
  return made(content.status, route->type, std::move(content.body));
}

template <class Stream>
void HttpSession<Stream>::reply(Response response, bool keep_alive) {
  response_ = std::move(response);
  response_->version(parser_->get().version() == 10 ? 10 : 11);
  response_->keep_alive(keep_alive);
  response_->prepare_payload();
  if (parser_->get().method() == http::verb::head) response_->body().clear();
  unread_ = response_->body().size();
  shared_.unread += unread_;
  beast::get_lowest_layer(stream_).expires_after(patience);
  http::async_write(stream_, *response_, [self = this->shared_from_this()](const Error& error, std::size_t) { self->on_write(error); });
}

template <class Stream>
void HttpSession<Stream>::on_write(const Error& error) {
  shared_.unread -= std::exchange(unread_, 0);
  if (error) return;
  const bool goes_on = response_->keep_alive();
  response_.reset();
  if (goes_on) {
    // Of a request that has begun to arrive the rest is awaited no longer than that of a first one.
    read(buffer_.size() == 0 ? patience_between : patience);
  } else {
    finish();
  }
}

// Says that no more comes, and waits a little for the peer to close: a socket that is closed with unread bytes in it takes back the reply.
template <class Stream>
void HttpSession<Stream>::finish() {
  begin_idle();
  beast::get_lowest_layer(stream_).expires_after(patience_at_end);
  if constexpr (std::is_same_v<Stream, TlsStream>) {
    stream_.async_shutdown([self = this->shared_from_this()](const Error&) {});
  } else {
    Error ignored;
    stream_.socket().shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
    drop_rest();
  }
}

template <class Stream>
void HttpSession<Stream>::drop_rest() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(largest_head), [self = this->shared_from_this()](const Error& error, std::size_t bytes) {
    self->dropped_ += bytes;
    if (!error && self->dropped_ < most_dropped) self->drop_rest();
  });
}

template class HttpSession<PlainStream>;
template class HttpSession<TlsStream>;

}  // namespace pinfold::admin
