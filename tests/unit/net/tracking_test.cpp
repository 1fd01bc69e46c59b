#include <algorithm>
#include <string>
#include <vector>

#include "rig.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/database.hpp"

using namespace pinfold::net;
using pinfold::Audience;

namespace {

std::string push_of(std::string_view name) { return ">2\r\n$10\r\ninvalidate\r\n*1\r\n" + bulk(name); }
const std::string forget_push = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

Peer tracker(Rig& rig) {
  Peer peer = rig.connect();
  peer.ask("HELLO", "3");
  REQUIRE(peer.ask("CLIENT", "TRACKING", "ON") == "+OK\r\n");
  return peer;
}

}  // namespace

TEST_CASE("tracking: an invalidation comes behind the replies of what was executed before the change") {
  Rig rig;
  Peer client = tracker(rig);
  Peer writer = rig.connect();
  // Both are ready in one round.
  client.wire().deliver(request("GET", "k") + request("PING"));
  writer.wire().deliver(request("SET", "k", "1"));
  rig.settle();
  CHECK(client.take() == "_\r\n+PONG\r\n" + push_of("k"));
  CHECK(client.ask("GET", "k") == bulk("1"));
  CHECK(client.ask("SET", "k", "2") == "+OK\r\n" + push_of("k"));
}

TEST_CASE("tracking: a client is told of many keys with one write to its socket") {
  Rig rig;
  Peer client = tracker(rig);
  Peer writer = rig.connect();
  std::string expected;
  std::vector<std::string> words = {"MSET"};
  for (int i = 0; i < 20; ++i) {
    const std::string name = "k" + std::to_string(i);
    client.ask("GET", name);
    words.insert(words.end(), {name, "1"});
  }
  const std::uint64_t before = rig.thread.dispatcher().stats().writes.get();
  writer.send(request_of({words.begin(), words.end()}));
  CHECK(client.take().size() == 10 * push_of("k1").size() + 10 * push_of("k10").size());
  CHECK(rig.thread.dispatcher().stats().writes.get() == before + 2);  // its messages, and the reply to the writer
}

TEST_CASE("tracking: a value that becomes stale is told by the background worker") {
  Rig rig;
  Peer client = tracker(rig);
  Peer writer = rig.connect();
  writer.ask("CACHE.SET", "k", "1", "PX", "1000", "STALE", "60000");
  CHECK(client.ask("GET", "k") == bulk("1"));
  rig.engine.cache.tracking.tend(rig.moment.unix + 500);
  rig.engine.tracking.announce_orphans();
  rig.settle();
  CHECK(client.take().empty());
  rig.engine.cache.tracking.tend(rig.moment.unix + 1100);
  rig.engine.tracking.announce_orphans();
  rig.settle();
  CHECK(client.take() == push_of("k"));
}

TEST_CASE("tracking: a client of which nothing can be noted is told not to keep what it reads") {
  Rig rig;
  rig.keyspace.set_max_memory(1 << 20);
  Peer client = tracker(rig);
  std::string told;
  for (int i = 0; i < 5000; ++i) told += client.ask("GET", "key:" + std::to_string(i));
  told += client.take();
  std::size_t messages = 0;
  for (std::size_t at = told.find(">2"); at != std::string::npos; at = told.find(">2", at + 1)) ++messages;
  const auto figures = rig.engine.cache.tracking.figures();
  CHECK(figures.refused > 0);
  CHECK(messages == figures.refused + figures.evicted);
  CHECK(figures.keys + figures.refused + figures.evicted == 5000);
  CHECK(rig.keyspace.memory().used(pinfold::store::Use::tracking) <= rig.engine.cache.tracking.share() + 4096);
}

TEST_CASE("tracking: a redirection goes to its target, and is broken when that has gone") {
  Rig rig;
  Peer target = rig.connect();
  target.ask("HELLO", "3");
  const std::string id = target.ask("CLIENT", "ID").substr(1);
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  REQUIRE(client.ask("CLIENT", "TRACKING", "ON", "REDIRECT", id.substr(0, id.size() - 2)) == "+OK\r\n");
  Peer writer = rig.connect();
  client.ask("MGET", "a", "b");
  writer.ask("MSET", "a", "1", "b", "1");
  const std::string told = target.take();
  CHECK((told == push_of("a") + push_of("b") || told == push_of("b") + push_of("a")));
  writer.ask("FLUSHALL");
  CHECK(target.take() == forget_push);
  client.ask("GET", "a");
  target.wire().end();
  rig.settle();
  CHECK(client.take() == ">2\r\n$21\r\ntracking-redir-broken\r\n:" + id);
  for (int i = 0; i < 4; ++i) rig.engine.cache.tracking.tend(rig.moment.unix);
  CHECK(rig.engine.cache.tracking.figures().items == 0);
}

TEST_CASE("tracking: clients that track prefixes are told of very many keys in slices") {
  constexpr std::size_t count = 20'000;
  Rig rig;
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  REQUIRE(client.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "key") == "+OK\r\n");
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = "key:" + std::to_string(i);
    const pinfold::store::Key key = rig.keyspace.key(name);
    pinfold::store::Keyspace::Locks locks(rig.keyspace);
    locks.acquire(key);
    REQUIRE(pinfold::store::Database(rig.keyspace, 0, rig.moment.unix).put(key, "value", {}));
  }
  rig.engine.tracking.announce_orphans();
  std::size_t told = 0;
  std::size_t most = 0;
  for (int rounds = 0; told < count && rounds < 1000; ++rounds) {
    rig.thread.run_round(0);
    const std::string text = client.take();
    std::size_t names = 0;
    for (std::size_t at = text.find("key:"); at != std::string::npos; at = text.find("key:", at + 1)) ++names;
    told += names;
    most = std::max(most, names);
  }
  CHECK(told == count);
  CHECK(most <= 4096);
}

TEST_CASE("tracking: a target that changes its protocol while an invalidation is on its way is told to forget everything") {
  Rig rig;
  Peer target = rig.connect();
  const std::string id = target.ask("CLIENT", "ID");
  const std::vector<pinfold::ClientPlace> place = {{std::stoull(id.substr(1)), 0}};
  const auto tell = [&](std::string_view bytes, Audience form) {
    rig.push(place, std::make_shared<const std::string>(bytes), form);
    rig.settle();
    return target.take();
  };
  CHECK(tell("message", Audience::invalidation_messages).empty());
  target.ask("HELLO", "3");
  CHECK(tell("push", Audience::invalidations) == "push");
  CHECK(tell("message", Audience::invalidation_messages) == forget_push);
  target.ask("SUBSCRIBE", "__redis__:invalidate");
  target.ask("HELLO", "2");
  CHECK(tell("message", Audience::invalidation_messages) == "message");
  CHECK(tell("push", Audience::invalidations) == "*3\r\n" + bulk("message") + bulk("__redis__:invalidate") + "$-1\r\n");
}

TEST_CASE("tracking: nothing is left of clients that have gone") {
  Rig rig;
  {
    std::vector<Peer> clients;
    for (int i = 0; i < 10; ++i) {
      clients.push_back(tracker(rig));
      clients.back().ask("GET", "k" + std::to_string(i % 3));
    }
    Peer broadcast = rig.connect();
    broadcast.ask("HELLO", "3");
    broadcast.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a", "PREFIX", "b");
    CHECK(rig.engine.tracking.prefixes() == 2);
    for (Peer& client : clients) client.wire().end();
    broadcast.wire().end();
    rig.settle();
  }
  CHECK(rig.engine.tracking.prefixes() == 0);
  CHECK(rig.engine.cache.tracking.figures().clients == 0);
  for (int i = 0; i < 10; ++i) rig.engine.cache.tracking.tend(rig.moment.unix);
  CHECK(rig.engine.cache.tracking.figures().keys == 0);
  CHECK(rig.keyspace.memory().used(pinfold::store::Use::tracking) == 0);
}
