#include "pinfold/net/socket_transport.hpp"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace pinfold::net;
using Outcome = Transport::Outcome;

namespace {

// A transport and its other end.
struct Pair {
  explicit Pair(std::array<int, 2> ends = unix_pair()) : transport(ends[0], 0), peer(ends[1]) {}
  ~Pair() {
    if (peer >= 0) close(peer);
  }
  static std::array<int, 2> unix_pair() {
    std::array<int, 2> ends{};
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0);
    return ends;
  }
  SocketTransport transport;
  int peer;
};

iovec run(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

TEST_CASE("net: a socket's read says whether bytes came, none have yet, no more come, or it is broken") {
  Pair pair;
  std::array<char, 4> first{};
  std::array<char, 8> second{};
  const std::array<iovec, 2> buffers{{{first.data(), first.size()}, {second.data(), second.size()}}};
  Transport::Result result = pair.transport.read({buffers.data(), 1});
  CHECK(result.outcome == Outcome::blocked);
  CHECK(result.bytes == 0);
  REQUIRE(send(pair.peer, "abcdef", 6, 0) == 6);
  result = pair.transport.read(buffers);
  CHECK(result.outcome == Outcome::done);
  CHECK(result.bytes == 6);
  CHECK(std::string_view(first.data(), 4) == "abcd");
  CHECK(std::string_view(second.data(), 2) == "ef");
  shutdown(pair.peer, SHUT_WR);
  CHECK(pair.transport.read(buffers).outcome == Outcome::ended);
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  SocketTransport no_socket(pipe_ends[0], 0);  // recv() refuses it
  close(pipe_ends[1]);
  CHECK(no_socket.read({buffers.data(), 1}).outcome == Outcome::failed);
}

TEST_CASE("net: a socket's write says how much it took, and when it takes no more") {
  Pair pair;
  const std::array<iovec, 2> runs{{run("abc"), run("def")}};
  Transport::Result result = pair.transport.write(runs);
  CHECK(result.outcome == Outcome::done);
  CHECK(result.bytes == 6);
  const std::string much(10'000'000, 'v');
  const iovec large = run(much);
  result = pair.transport.write({&large, 1});
  CHECK(result.outcome == Outcome::blocked);
  CHECK(result.bytes > 0);
  CHECK(result.bytes < much.size());
  result = pair.transport.write({&large, 1});
  CHECK(result.outcome == Outcome::blocked);
  CHECK(result.bytes == 0);
  close(std::exchange(pair.peer, -1));
  CHECK(pair.transport.write({&large, 1}).outcome == Outcome::failed);
}

TEST_CASE("net: a plain socket has no handshake, holds no bytes, and reads when there is something to read") {
  Pair pair;
  CHECK(pair.transport.handshake() == Transport::Handshake::done);
  CHECK(pair.transport.pending() == 0);
  CHECK(pair.transport.wants() == Transport::Wants{EPOLLIN, EPOLLOUT});
}

TEST_CASE("net: a TCP socket shows both ends, sends without delay, and asks silent peers") {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(listen(listener, 1) == 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(connect(client, reinterpret_cast<sockaddr*>(&address), size) == 0);
  const int accepted = accept(listener, nullptr, nullptr);
  sockaddr_in client_address{};
  getsockname(client, reinterpret_cast<sockaddr*>(&client_address), &size);
  SocketTransport transport(accepted, 300);
  const Transport::Addresses addresses = transport.addresses();
  CHECK(addresses.local == "127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  CHECK(addresses.peer == "127.0.0.1:" + std::to_string(ntohs(client_address.sin_port)));
  CHECK_FALSE(addresses.unix_socket);
  const auto option = [accepted](int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    getsockopt(accepted, level, name, &value, &length);
    return value;
  };
  CHECK(option(IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(IPPROTO_TCP, TCP_KEEPIDLE) == 300);
  CHECK(option(IPPROTO_TCP, TCP_KEEPINTVL) == 100);
  close(client);
  close(listener);
}

TEST_CASE("net: both ends of a unix socket show its path") {
  const std::string path = "/tmp/pinfold-unit-net-" + std::to_string(getpid());
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener, 1) == 0);
  const int client = socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  const SocketTransport transport(accept(listener, nullptr, nullptr), 300);
  const Transport::Addresses addresses = transport.addresses();
  CHECK(addresses.unix_socket);
  CHECK(addresses.local == path + ":0");
  CHECK(addresses.peer == path + ":0");
  close(client);
  close(listener);
  unlink(path.c_str());
}
