// What connections do about the limits of their users.

#include <string>
#include <vector>

#include "rig.hpp"
#include "support/users.hpp"

#include <catch2/catch.hpp>

namespace pinfold::net {
namespace {

constexpr std::int64_t limit = 1 << 20;

// A rig with the users "ada" and "bob", who may do everything. All clients of one may take 1 MB.
struct Limited {
  Limited() {
    for (const char* name : {"ada", "bob"}) change(name, {"on", "nopass", "~*", "&*", "+@all", "maxmemory=1mb"});
    rig.engine.keyspace.memory().set_limit(256 << 20);
    Peer filler = rig.connect();
    filler.ask("SET", "value", std::string(10'000, 'v'));
  }

  void change(const std::string& name, const std::vector<std::string_view>& rules) { set_user(rig.engine, name, rules); }
  Peer connect(const std::string& user) {
    Peer peer = rig.connect();
    CHECK(peer.ask("AUTH", user, "x") == "+OK\r\n");
    return peer;
  }
  security::UserUsage& usage(const std::string& user) { return *rig.engine.users.find(user)->usage(); }
  // What CLIENT LIST would show for all clients of the user.
  std::int64_t memory_of(std::string_view user) {
    std::int64_t sum = 0;
    rig.engine.clients.for_each([&](command::SharedClient& client) {
      if (command::user_name(client) == user) sum += static_cast<std::int64_t>(client.memory());
    });
    return sum;
  }

  Rig rig;
};

std::string times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("net: a client that does not read is held back within its user's memory, and is not closed") {
  Limited server;
  Peer reader = server.connect("ada");
  reader.wire().block_writes();
  for (int i = 0; i < 100; ++i) {
    reader.send(times(100, request("GET", "value")));
    REQUIRE(server.usage("ada").bytes <= limit);
    REQUIRE(server.usage("ada").bytes == server.memory_of("ada"));
  }
  CHECK(server.usage("ada").bytes > limit / 4);
  CHECK_FALSE(reader.closed());
  reader.wire().let_write();
  server.rig.settle();
  CHECK_FALSE(reader.closed());
  CHECK(reader.take() == times(10'000, bulk(std::string(10'000, 'v'))));
}

TEST_CASE("net: of many clients that do not read, those of the user are closed that has too many of them") {
  Limited server;
  std::vector<Peer> adas;
  std::vector<Peer> bobs;
  for (int i = 0; i < 2; ++i) bobs.push_back(server.connect("bob"));
  for (int i = 0; i < 12; ++i) adas.push_back(server.connect("ada"));
  for (std::vector<Peer>* peers : {&bobs, &adas}) {
    for (Peer& peer : *peers) {
      peer.wire().block_writes();
      peer.send(times(20, request("GET", "value")));
    }
  }
  CHECK(server.usage("ada").closed > 0);
  CHECK(server.usage("ada").bytes <= limit + static_cast<std::int64_t>(command::Clients::idle_bytes_of(12)));
  CHECK(server.usage("ada").bytes == server.memory_of("ada"));
  CHECK(server.usage("bob").closed == 0);
  for (Peer& peer : bobs) CHECK_FALSE(peer.closed());
  CHECK(server.rig.engine.clients.evicted() == 0);
}

TEST_CASE("net: when all clients are gone, their users have nothing any more") {
  Limited server;
  const std::string unfinished = "*1000\r\n" + times(40, bulk(std::string(5000, 'x')));
  {
    std::vector<Peer> peers;
    for (int i = 0; i < 5; ++i) {
      peers.push_back(server.connect("ada"));
      peers.back().send(request("WATCH", "k") + request("MULTI") + request("SET", "k", "v") + unfinished);
    }
    CHECK(server.usage("ada").bytes > 0);
    for (Peer& peer : peers) peer.wire().end();
    server.rig.settle();
  }
  CHECK(server.usage("ada").bytes == 0);
  CHECK(server.usage("ada").clients == 0);
  CHECK(server.usage("ada").requests == 5 * 3);  // AUTH still counted to the default user, which each client was before
}

TEST_CASE("net: a lower limit holds for idle clients with the next tick") {
  Limited server;
  Peer small = server.connect("ada");
  Peer large = server.connect("ada");
  small.send("*1000\r\n" + times(20, bulk(std::string(5000, 'x'))));
  large.send("*1000\r\n" + times(40, bulk(std::string(5000, 'x'))));
  server.change("ada", {"maxmemory=200kb"});
  CHECK_FALSE(large.closed());
  server.rig.pass(2000);
  server.rig.settle();
  CHECK(large.closed());
  CHECK_FALSE(small.closed());
}

TEST_CASE("net: a pipeline beyond its user's rate does not hold up the clients of others") {
  Limited server;
  server.change("ada", {"rate=1"});
  Peer limited = server.connect("ada");
  Peer other = server.connect("bob");
  limited.wire().deliver(times(5000, request("PING")));
  while (limited.wire().sent.empty()) server.rig.thread.run_round(0);
  const std::uint64_t before = server.usage("ada").refused;
  other.wire().deliver(request("PING"));
  while (other.wire().sent.empty()) server.rig.thread.run_round(0);
  CHECK(server.usage("ada").refused - before <= 4 * 32);  // two batches a round at most
  server.rig.settle();
  CHECK(server.usage("ada").refused == 4999);
}

}  // namespace pinfold::net
