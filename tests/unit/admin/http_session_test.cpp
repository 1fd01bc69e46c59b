#include "pinfold/admin/http_session.hpp"

#include <string>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::admin;
using boost::asio::ip::tcp;

namespace {

// The server's side of a connection, and the other.
struct Wire {
  Wire() {
    tcp::acceptor acceptor(context, {boost::asio::ip::address_v4::loopback(), 0});
    peer.connect(acceptor.local_endpoint());
    std::make_shared<HttpSession<PlainStream>>(PlainStream(acceptor.accept()), shared)->start();
  }
  // What is answered to these bytes if no others come.
  std::string answer(const std::string& bytes) {
    boost::asio::write(peer, boost::asio::buffer(bytes));
    peer.shutdown(tcp::socket::shutdown_send);
    context.run();
    std::string text;
    boost::system::error_code error;
    boost::asio::read(peer, boost::asio::dynamic_buffer(text), error);
    return text;
  }
  std::string get(const std::string& path) { return answer("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); }

  config::Settings settings;
  store::Keyspace keyspace{{}};
  command::Engine engine{settings, keyspace, 1};
  Shared shared{engine};
  boost::asio::io_context context{1};
  tcp::socket peer{context};
};

bool has_status(const std::string& answer, int status) { return answer.starts_with("HTTP/1.1 " + std::to_string(status) + " "); }

}  // namespace

TEST_CASE("admin: it is ready while clients are served, and says why it is not") {
  using State = AdminServer::State;
  struct Expected {
    State state;
    int status;
    std::string text;
  };
  for (const auto& [state, status, text] :
       {Expected{State::starting, 503, "starting: clients are not served yet\n"}, Expected{State::serving, 200, "ready\n"},
        Expected{State::stopping, 503, "shutting down: clients are no longer served\n"}}) {
    Wire wire;
    wire.shared.state = state;
    const std::string answer = wire.get("/ready");
    CHECK(has_status(answer, status));
    CHECK(answer.ends_with("\r\n\r\n" + text));
    Wire other;
    other.shared.state = state;
    CHECK(has_status(other.get("/health"), 200));
  }
}

TEST_CASE("admin: while others leave 16 MB of replies unread, no further page is made") {
  Wire wire;
  wire.shared.unread = 16 * 1024 * 1024;
  CHECK(has_status(wire.get("/metrics"), 503));
  Wire other;
  other.shared.unread = 16 * 1024 * 1024 - 1;
  CHECK(has_status(other.get("/metrics"), 200));
}

TEST_CASE("admin: what a connection took is given back when it ends") {
  Wire wire;
  CHECK(wire.shared.connections == 1);
  CHECK(has_status(wire.get("/metrics"), 200));
  CHECK(wire.shared.connections == 0);
  CHECK(wire.shared.unread == 0);
  CHECK(wire.engine.stats.total(&command::ThreadStats::admin_requests) == 1);
}

TEST_CASE("admin: whatever bytes come, there is an answer or an end") {
  for (int byte = 0; byte < 256; ++byte) {
    Wire wire;
    const std::string answer = wire.answer(std::string(40, static_cast<char>(byte)));
    CHECK((answer.empty() || has_status(answer, 400)));
    CHECK(wire.shared.connections == 0);
  }
}

TEST_CASE("admin: a request that is cut anywhere is not answered") {
  const std::string request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (std::size_t size = 0; size < request.size(); ++size) {
    Wire wire;
    CHECK(wire.answer(request.substr(0, size)).empty());
  }
  Wire whole;
  CHECK(has_status(whole.answer(request), 200));
}
