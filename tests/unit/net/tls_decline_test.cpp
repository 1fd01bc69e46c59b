// What is dropped and said where a client that wants TLS is not served.

#include <array>
#include <string>
#include <thread>

#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "pinfold/net/tls_transport.hpp"

using namespace pinfold::net;

namespace {

// A connection over loopback TCP. Only TCP drops what was received without a place for it.
struct TcpPair {
  TcpPair() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(listener, name, size) == 0);
    REQUIRE(listen(listener, 1) == 0);
    REQUIRE(getsockname(listener, name, &size) == 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(client, name, size) == 0);
    server = accept(listener, nullptr, nullptr);
    REQUIRE(server >= 0);
    close(listener);
  }
  ~TcpPair() {
    close(client);
    close(server);
  }
  TcpPair(const TcpPair&) = delete;
  TcpPair& operator=(const TcpPair&) = delete;

  int client = -1;
  int server = -1;
};

}  // namespace

TEST_CASE("tls: two threads that do not serve their clients drop what these have sent, and say so") {
  TcpPair one;
  TcpPair other;
  const std::string sent(10'000, 's');
  for (const TcpPair* pair : {&one, &other}) REQUIRE(send(pair->client, sent.data(), sent.size(), 0) == 10'000);
  std::thread thread([&one] { TlsTransport::decline(one.server); });
  TlsTransport::decline(other.server);
  thread.join();
  for (const TcpPair* pair : {&one, &other}) {
    int unread = -1;
    REQUIRE(ioctl(pair->server, FIONREAD, &unread) == 0);
    CHECK(unread == 0);
    std::array<char, 64> alert{};
    REQUIRE(recv(pair->client, alert.data(), alert.size(), 0) > 0);
    CHECK(alert[0] == 21);  // the type of a record with an alert
    CHECK(recv(pair->client, alert.data(), alert.size(), 0) == 0);
  }
}
