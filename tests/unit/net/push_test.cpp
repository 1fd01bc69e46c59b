#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rig.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/work.hpp"

using namespace pinfold;
using namespace pinfold::net;

namespace {

const std::string ok = "+OK\r\n";

std::shared_ptr<const std::string> news(std::string_view text) {
  return std::make_shared<const std::string>(">2\r\n" + bulk("news") + bulk(text));
}

// Pushes to clients with these ids, which live on the rig's thread.
void push(Rig& rig, const std::vector<std::uint64_t>& clients, std::shared_ptr<const std::string> bytes) {
  std::vector<ClientPlace> to;
  for (const std::uint64_t client : clients) to.push_back({client, 0});
  rig.push(std::move(to), std::move(bytes), Audience::all);
}

}  // namespace

TEST_CASE("net: a push reaches the clients that it is for, and none that is gone") {
  Rig rig;
  Peer first = rig.connect();
  Peer second = rig.connect();
  Peer third = rig.connect();
  third.wire().hang_up();
  rig.settle();
  push(rig, {1, 3, 2, 77}, news("a"));
  push(rig, {2}, news("b"));
  rig.settle();
  CHECK(first.take() == *news("a"));
  CHECK(second.take() == *news("a") + *news("b"));
  CHECK(third.take().empty());
}

TEST_CASE("net: a push comes behind the replies that were made before, whatever the transport takes") {
  for (const bool blocked : {false, true}) {
    Rig rig;
    Peer client = rig.connect();
    if (blocked) client.wire().block_writes();
    client.wire().per_write = 3;
    client.wire().deliver(request("SET", "a", "1") + request("GET", "a"));
    push(rig, {1}, news("x"));
    rig.settle();
    client.wire().let_write();
    client.send(request("PING"));
    CHECK(client.take() == ok + bulk("1") + *news("x") + "+PONG\r\n");
  }
}

TEST_CASE("net: a push never comes inside a reply that is sent in pieces") {
  Rig rig;
  Peer client = rig.connect();
  std::string fill;
  constexpr int count = 20'000;
  for (int i = 0; i < count; ++i) fill += request("SET", "a-key-with-a-long-name-" + std::to_string(i), "");
  client.wire().deliver(fill);
  rig.settle(100'000);
  client.take();
  client.send(request("KEYS", "*"));
  const std::string keys = client.take();
  client.wire().block_writes();
  client.send(request("KEYS", "*") + request("PING"));
  push(rig, {1}, news("x"));
  rig.settle();
  client.wire().let_write();
  rig.settle();
  const std::string all = client.take();
  CHECK(all.size() == keys.size() + news("x")->size() + 7);
  CHECK(all.substr(0, 8) == keys.substr(0, 8));
  CHECK(all.substr(keys.size()) == *news("x") + "+PONG\r\n");
}

TEST_CASE("net: a client that waits, for a lease or for the end of a pause, gets pushes meanwhile") {
  Rig rig;
  Peer loader = rig.connect();
  Peer waiter = rig.connect();
  REQUIRE(loader.ask("CACHE.GET", "k", "LEASE", "60000").starts_with("*4\r\n$4\r\nmiss\r\n"));
  CHECK(waiter.ask("CACHE.GET", "k", "WAIT", "5000").empty());
  push(rig, {2}, news("x"));
  rig.settle();
  CHECK(waiter.take() == *news("x"));
  rig.pass(5000);
  CHECK(waiter.take().starts_with("*4\r\n$4\r\nmiss\r\n"));
  CHECK(loader.ask("CLIENT", "PAUSE", "1000") == ok);
  CHECK(waiter.ask("PING").empty());
  push(rig, {2}, news("y"));
  rig.settle();
  CHECK(waiter.take() == *news("y"));
  rig.pass(1000);
  CHECK(waiter.take() == "+PONG\r\n");
}

TEST_CASE("net: pushes count for the output limit of their client, and beyond it close that client alone") {
  Rig rig;
  rig.set(config::Id::client_output_buffer_limit, "normal 100000 0 0");
  Peer slow = rig.connect();
  Peer quick = rig.connect();
  slow.wire().block_writes();
  const auto bytes = news(std::string(30'000, 'n'));
  for (int i = 0; i < 3; ++i) push(rig, {1, 2}, bytes);
  rig.settle();
  CHECK_FALSE(slow.closed());
  push(rig, {1, 2}, bytes);
  rig.settle();
  CHECK(slow.closed());
  CHECK_FALSE(quick.closed());
  CHECK(quick.take().size() == 4 * bytes->size());
  CHECK(rig.engine.clients.count() == 1);
}

TEST_CASE("net: what waits for the end of a reply counts for the limit as well, and goes with its client") {
  Rig rig;
  const std::uint64_t before = rig.client_memory();
  Peer client = rig.connect();
  std::string fill;
  for (int i = 0; i < 40'000; ++i) fill += request("SET", "a-key-with-a-long-name-" + std::to_string(i), "");
  client.wire().deliver(fill);
  rig.settle(100'000);
  rig.set(config::Id::client_output_buffer_limit, "normal 1000000 0 0");
  rig.pass(1);
  client.wire().block_writes();
  client.send(request("KEYS", "*"));
  push(rig, {1}, news(std::string(300'000, 'n')));
  rig.settle();
  CHECK_FALSE(client.closed());
  push(rig, {1}, news(std::string(900'000, 'n')));
  rig.settle();
  CHECK(client.closed());
  CHECK(rig.client_memory() == before);
}

TEST_CASE("net: a push to a client that is being closed is dropped") {
  Rig rig;
  Peer client = rig.connect();
  client.wire().block_writes();
  client.send(request("QUIT"));
  push(rig, {1}, news("x"));
  rig.settle();
  client.wire().let_write();
  rig.settle();
  CHECK(client.take() == ok);
  CHECK(client.closed());
}

TEST_CASE("net: many receivers are served some at a time, so that others have their turn") {
  Rig rig;
  std::vector<Peer> peers;
  std::vector<std::uint64_t> ids;
  for (std::uint64_t i = 1; i <= 300; ++i) {
    peers.push_back(rig.connect());
    ids.push_back(i);
  }
  push(rig, ids, news("x"));
  rig.thread.run_round(0);
  const auto served = [&] {
    std::size_t count = 0;
    for (Peer& peer : peers) count += peer.wire().sent.empty() ? 0 : 1;
    return count;
  };
  CHECK(served() > 0);
  CHECK(served() < peers.size());
  CHECK(rig.thread.idle_ms() == 0);
  rig.settle();
  CHECK(served() == peers.size());
}

TEST_CASE("net: pushes from other threads arrive, and wake the thread once for all that one of them does with locks held") {
  Rig rig;
  Peer client = rig.connect();
  std::thread other([&] {
    const work::Counting counting;
    {
      const WakeLater later;
      for (int i = 0; i < 100; ++i) push(rig, {1}, news("x"));
      CHECK(counting.counts().system_calls == 0);
    }
    CHECK(counting.counts().system_calls == 1);
  });
  other.join();
  rig.settle();
  CHECK(client.take().size() == 100 * news("x")->size());
}
