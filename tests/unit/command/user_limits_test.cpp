#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "harness.hpp"
#include "support/told_clients.hpp"
#include "support/users.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/command/figures.hpp"

using namespace pinfold;
using namespace pinfold::command;

namespace {

const std::string ok = "+OK\r\n";
const std::string pong = "+PONG\r\n";
const std::string queued = "+QUEUED\r\n";
constexpr std::int64_t kb = 1024;

// A server whose clients are told to close in `told`, with the users "ada" and "bob", who may do everything.
struct Guarded {
  Guarded() {
    server.engine.connect(&told);
    for (const char* name : {"ada", "bob"}) set_user(server.engine, name, {"on", "nopass", "~*", "&*", "+@all"});
  }
  std::vector<ClientPlace>& closed() { return told.closed; }
  security::UserUsage& usage(const std::string& name) { return *server.engine.users.find(name)->usage(); }

  Server server;
  ToldClients told;
};

struct Named : Client {
  Named(Guarded& guarded, const std::string& name) : Client(guarded.server), server(guarded.server) { CHECK(run("AUTH", name, "x") == ok); }
  void take(std::uint64_t bytes) {
    session.shared.buffer_memory = bytes;
    server.engine.enforce_user_share(session);
  }
  Server& server;
};

std::string throttled(int per_second, int ms, const std::string& name = "ada") {
  return "-THROTTLED user '" + name + "' may make " + std::to_string(per_second) + " requests a second: try again in " +
         std::to_string(ms) + " ms\r\n";
}

}  // namespace

TEST_CASE("user memory: the largest client of the user goes first, and nobody else's") {
  Guarded guarded;
  guarded.server.set(config::Id::maxmemory_user, "1mb");
  Named small(guarded, "ada"), large(guarded, "ada"), other(guarded, "bob"), largest_of_all(guarded, "bob");
  other.take(500 * kb);
  largest_of_all.take(400 * kb);
  small.take(300 * kb);
  large.take(600 * kb);
  CHECK(guarded.usage("ada").bytes == 900 * kb);
  CHECK(guarded.usage("ada").clients == 2);
  CHECK(guarded.closed().empty());
  small.take(500 * kb);
  CHECK(guarded.closed() == std::vector{large.session.shared.place()});
  CHECK(large.session.shared.evicted.load() == Evicted::for_user);
  CHECK(guarded.usage("ada").bytes == 500 * kb);
  CHECK(guarded.usage("ada").closed == 1);
  CHECK(guarded.server.engine.clients.closed_for_user() == 1);
  CHECK(guarded.server.engine.clients.evicted() == 0);
  large.take(700 * kb);  // it is still there, and counts no more
  CHECK(guarded.usage("ada").bytes == 500 * kb);
  CHECK(guarded.closed().size() == 1);
}

TEST_CASE("user memory: who authenticates inside EXEC counts for the other user behind it, when nothing is locked") {
  Guarded guarded;
  Named client(guarded, "ada");
  REQUIRE(client.session.shared.usage == client.session.user()->usage());
  const std::string_view words[] = {"AUTH", "bob", "x"};
  {
    client.session.transaction = std::make_unique<Transaction>();
    resp::Output output;
    resp::Reply reply(output, 2);
    store::Keyspace::Locks locks(guarded.server.keyspace);
    const Row& row = *find_command_by_name("auth");
    Call call(row, words, reply, client.session, guarded.server.engine, guarded.server.dispatcher.clock(), {}, locks,
              {.in_transaction = true});
    std::ignore = row.handler(call);
    CHECK(text_of(output) == ok);
    client.session.transaction.reset();
  }
  CHECK(client.session.user()->name() == "bob");
  CHECK(guarded.usage("ada").clients == 1);
  CHECK(guarded.usage("bob").clients == 0);

  CHECK(client.run("AUTH", "ada", "x") == ok);
  CHECK(client.run("MULTI") == ok);
  CHECK(client.run("AUTH", "bob", "x") == queued);
  CHECK(client.run("EXEC") == "*1\r\n" + ok);
  CHECK(guarded.usage("ada").clients == 0);
  CHECK(guarded.usage("bob").clients == 1);
}

TEST_CASE("user memory: the limit is that of the setting unless a rule of the user overrides it") {
  Guarded guarded;
  Named ada(guarded, "ada"), bob(guarded, "bob");
  ada.take(10'000 * kb);
  CHECK(guarded.closed().empty());
  set_user(guarded.server.engine, "bob", {"maxmemory=2mb"});
  bob.take(2000 * kb);
  CHECK(guarded.closed().empty());
  guarded.server.set(config::Id::maxmemory_user, "1mb");
  bob.take(2001 * kb);
  CHECK(guarded.closed().empty());
  set_user(guarded.server.engine, "ada", {"maxmemory=0"});
  ada.take(20'000 * kb);
  CHECK(guarded.closed().empty());
  set_user(guarded.server.engine, "ada", {"resetlimits"});
  ada.take(20'000 * kb);
  CHECK(guarded.closed() == std::vector{ada.session.shared.place()});
}

TEST_CASE("user memory: a percentage is of maxmemory, and neither may be too little to say anything") {
  Guarded guarded;
  guarded.server.keyspace.memory().set_limit(1000 << 20);
  const auto share = [&] { return guarded.server.engine.user_share(guarded.usage("ada")); };
  CHECK(share() == UINT64_MAX);
  set_user(guarded.server.engine, "ada", {"maxmemory=2%"});
  CHECK(share() == (1000 << 20) / 100 * 2);
  set_user(guarded.server.engine, "ada", {"maxmemory=1"});
  CHECK(share() == 128 * kb);
  guarded.server.keyspace.memory().set_limit(1 << 20);
  set_user(guarded.server.engine, "ada", {"maxmemory=1%"});
  CHECK(share() == 4 << 20);
  guarded.server.keyspace.memory().set_limit(0);
  CHECK(share() == UINT64_MAX);
  set_user(guarded.server.engine, "ada", {"maxmemory=1mb"});
  const Named one(guarded, "ada"), two(guarded, "ada");
  CHECK(share() == (1 << 20) + Clients::idle_bytes_of(2));
}

TEST_CASE("user memory: exempt clients count, and leave a quarter to the others") {
  Guarded guarded;
  guarded.server.set(config::Id::maxmemory_user, "1mb");
  Named exempt(guarded, "ada"), small(guarded, "ada"), large(guarded, "ada");
  CHECK(exempt.run("CLIENT", "NO-EVICT", "ON") == ok);
  small.take(100 * kb);
  large.take(200 * kb);
  exempt.take(3000 * kb);
  CHECK(guarded.closed() == std::vector{large.session.shared.place()});
  // Nothing more can be done, so nobody looks again for a while.
  CHECK(guarded.usage("ada").choose_again.load() > MonoMs{});
  guarded.usage("ada").choose_again = monotonic_ms() + 3600 * 1000;
  const work::Counting counting;
  small.take(101 * kb);
  CHECK(counting.counts().entries == 0);
  CHECK(guarded.closed().size() == 1);
}

TEST_CASE("user memory: to choose, only the clients of the user are looked at, and only if it takes too much") {
  Guarded guarded;
  guarded.server.set(config::Id::maxmemory_user, "1mb");
  std::vector<std::unique_ptr<Named>> others;
  for (int i = 0; i < 300; ++i) others.push_back(std::make_unique<Named>(guarded, "bob"));
  Named one(guarded, "ada"), two(guarded, "ada"), three(guarded, "ada");
  const work::Counting counting;
  one.take(1000 * kb);
  CHECK(counting.counts().entries == 0);
  two.take(1001 * kb);
  CHECK(counting.counts().entries == 3);
  CHECK(guarded.closed() == std::vector{two.session.shared.place()});
  three.take(20 * kb);
  CHECK(counting.counts().entries == 3);
}

TEST_CASE("user memory: a client takes its memory along to another user, and gives it back when it goes") {
  Guarded guarded;
  {
    Named client(guarded, "ada");
    client.take(100 * kb);
    CHECK(guarded.usage("ada").bytes == 100 * kb);
    CHECK(client.run("AUTH", "bob", "x") == ok);
    CHECK(guarded.usage("ada").bytes == 0);
    CHECK(guarded.usage("ada").clients == 0);
    CHECK(guarded.usage("bob").bytes == 100 * kb);
    CHECK(client.run("AUTH", "bob", "x") == ok);
    CHECK(guarded.usage("bob").clients == 1);
    CHECK(client.run("RESET") == "+RESET\r\n");
    CHECK(guarded.usage("bob").bytes == 0);
    CHECK(guarded.usage("default").bytes == 100 * kb);
  }
  CHECK(guarded.usage("default").bytes == 0);
  CHECK(guarded.usage("default").clients == 0);
}

TEST_CASE("user memory: queued commands and watched keys count while they are there") {
  Guarded guarded;
  Named client(guarded, "ada");
  security::UserUsage& usage = guarded.usage("ada");
  CHECK(client.run("WATCH", std::string(1000, 'k')) == ok);
  CHECK(usage.bytes > 2000);
  CHECK(client.run("UNWATCH") == ok);
  CHECK(usage.bytes == 0);
  for (const char* end : {"EXEC", "DISCARD", "RESET"}) {
    client.run("AUTH", "ada", "x");
    client.run("MULTI");
    CHECK(client.run("SET", "k", std::string(10'000, 'v')) == queued);
    CHECK(usage.bytes > 10'000);
    client.run(end);
    CHECK(usage.bytes == 0);
  }
}

TEST_CASE("user memory: what a user has no memory for is refused before it is taken") {
  Guarded guarded;
  guarded.server.set(config::Id::maxmemory_user, "1mb");
  Named client(guarded, "ada"), other(guarded, "bob");
  const std::string large(600 * kb, 'k');
  CHECK(client.run("WATCH", large).starts_with("-ERR the command would take more memory"));
  CHECK(guarded.usage("ada").bytes == 0);
  CHECK(client.run("WATCH", "k") == ok);
  guarded.server.set(config::Id::maxmemory_user, "0");
  CHECK(client.run("WATCH", large) == ok);
  CHECK(other.run("WATCH", large) == ok);
  CHECK(guarded.closed().empty());
}

TEST_CASE("user memory: however clients and users come and go, the sums are right") {
  Guarded guarded;
  guarded.server.set(config::Id::maxmemory_user, "1mb");
  std::uint64_t random = 7;
  const auto below = [&random](std::uint64_t most) {
    random = random * 6364136223846793005U + 1442695040888963407U;
    return (random >> 33) % most;
  };
  std::vector<std::unique_ptr<Named>> clients;
  for (int i = 0; i < 5000; ++i) {
    const std::string name = below(2) == 0 ? "ada" : "bob";
    switch (clients.empty() ? 0 : below(6)) {
      case 0:
        if (clients.size() < 30) clients.push_back(std::make_unique<Named>(guarded, name));
        break;
      case 1:
        clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(below(clients.size())));
        break;
      case 2:
        clients[below(clients.size())]->run("AUTH", name, "x");
        break;
      case 3:
        guarded.server.engine.clients.evict_largest((1 + below(4)) << 20);
        break;
      default:
        clients[below(clients.size())]->take(below(300 * kb));
    }
    std::int64_t sums[2] = {};
    for (const auto& client : clients) {
      const SharedClient& shared = client->session.shared;
      if (shared.evicted == Evicted::no)
        sums[client->session.user()->name() == "ada" ? 0 : 1] += static_cast<std::int64_t>(shared.memory());
    }
    REQUIRE(guarded.usage("ada").bytes == sums[0]);
    REQUIRE(guarded.usage("bob").bytes == sums[1]);
    REQUIRE(sums[0] <= static_cast<std::int64_t>((1 << 20) + Clients::idle_bytes_of(30)));
    REQUIRE(guarded.usage("ada").clients + guarded.usage("bob").clients == static_cast<std::int64_t>(clients.size()));
  }
}

TEST_CASE("request rate: a request beyond it is refused and changes nothing, and clients of other users go on") {
  Guarded guarded;
  Named one(guarded, "ada"), two(guarded, "ada"), other(guarded, "bob");
  set_user(guarded.server.engine, "ada", {"rate=10"});
  for (int i = 0; i < 5; ++i) {
    CHECK(one.run("INCR", "n") == ":" + std::to_string(2 * i + 1) + "\r\n");
    CHECK(two.run("INCR", "n") == ":" + std::to_string(2 * i + 2) + "\r\n");
  }
  CHECK(one.run("INCR", "n") == throttled(10, 100));
  CHECK(two.run("INCR", "n") == throttled(10, 100));
  for (int i = 0; i < 100; ++i) CHECK(other.run("PING") == pong);
  CHECK(other.run("GET", "n") == bulk("10"));
  guarded.server.now += 99;
  CHECK(one.run("INCR", "n") == throttled(10, 1));
  guarded.server.now += 1;
  CHECK(one.run("INCR", "n") == ":11\r\n");
  CHECK(one.run("INCR", "n") == throttled(10, 100));
  CHECK(guarded.usage("ada").refused == 4);
  CHECK(guarded.server.engine.stats.total(&ThreadStats::rate_limited) == 4);
  CHECK(guarded.server.engine.stats.errors().at("THROTTLED") == 4);
}

TEST_CASE("request rate: changes hold from the next request on, and no change of rules refills the allowance") {
  Guarded guarded;
  Named ada(guarded, "ada"), bob(guarded, "bob");
  guarded.server.set(config::Id::user_requests_per_second, "2");
  for (Named* client : {&ada, &bob}) {
    CHECK(client->run("PING") == pong);
    CHECK(client->run("PING") == pong);
    CHECK(client->run("PING").starts_with("-THROTTLED "));
  }
  set_user(guarded.server.engine, "ada", {"-flushall", "!~more:*"});
  CHECK(ada.run("PING") == throttled(2, 500));
  set_user(guarded.server.engine, "ada", {"rate=1000"});
  CHECK(ada.run("PING") == throttled(1000, 1));
  set_user(guarded.server.engine, "ada", {"rate=0"});
  for (int i = 0; i < 100; ++i) CHECK(ada.run("PING") == pong);
  CHECK(bob.run("PING") == throttled(2, 500, "bob"));
  guarded.server.set(config::Id::user_requests_per_second, "0");
  CHECK(bob.run("PING") == pong);
}

TEST_CASE("request rate: who cannot do anything more can still authenticate and leave") {
  Guarded guarded;
  Named ada(guarded, "ada");
  set_user(guarded.server.engine, "ada", {"rate=1"});
  CHECK(ada.run("PING") == pong);
  for (int i = 0; i < 3; ++i) {
    CHECK(ada.run("PING") == throttled(1, 1000));
    CHECK(ada.run("HELLO", "2").starts_with("*14\r\n"));
    CHECK(ada.run("AUTH", "ada", "x") == ok);
  }
  CHECK(ada.run("AUTH", "bob", "x") == ok);
  CHECK(ada.run("PING") == pong);
  CHECK(ada.run("AUTH", "ada", "x") == ok);
  CHECK(ada.run("PING") == throttled(1, 1000));
  CHECK(ada.run("RESET") == "+RESET\r\n");
  CHECK(ada.run("PING") == pong);
  CHECK(ada.run("AUTH", "ada", "x") == ok);
  CHECK(ada.run("QUIT") == ok);
}

TEST_CASE("request rate: a transaction counts what it queues, and aborts if something of it was refused") {
  Guarded guarded;
  Named ada(guarded, "ada");
  set_user(guarded.server.engine, "ada", {"rate=3"});
  CHECK(ada.run("MULTI") == ok);
  CHECK(ada.run("SET", "a", "1") == queued);
  CHECK(ada.run("SET", "b", "2") == queued);
  CHECK(ada.run("GET", "a") == queued);
  CHECK(ada.run("EXEC") == "*3\r\n+OK\r\n+OK\r\n$1\r\n1\r\n");
  CHECK(ada.run("GET", "a") == throttled(3, 334));
  guarded.server.now += 1000;
  CHECK(ada.run("MULTI") == ok);
  CHECK(ada.run("SET", "a", "9") == queued);
  CHECK(ada.run("SET", "a", "9") == queued);
  CHECK(ada.run("SET", "a", "9") == queued);
  CHECK(ada.run("SET", "a", "9") == throttled(3, 334));
  CHECK(ada.run("EXEC") == "-EXECABORT Transaction discarded because of previous errors.\r\n");
  CHECK(ada.run("MULTI") == ok);
  CHECK(ada.run("SET", "a", "9") == throttled(3, 334));
  CHECK(ada.run("DISCARD") == ok);
  guarded.server.now += 1000;
  CHECK(ada.run("GET", "a") == bulk("1"));
}

TEST_CASE("request rate: what is refused for other reasons takes nothing off the allowance") {
  Guarded guarded;
  Named ada(guarded, "ada");
  set_user(guarded.server.engine, "ada", {"rate=1", "-get"});
  for (int i = 0; i < 10; ++i) {
    CHECK(ada.run("GET", "a").starts_with("-NOPERM "));
    CHECK(ada.run("GET").starts_with("-ERR wrong number"));
    CHECK(ada.run("NONSENSE").starts_with("-ERR unknown command"));
  }
  CHECK(ada.run("PING") == pong);
  CHECK(ada.run("PING") == throttled(1, 1000));
}

TEST_CASE("request rate: the user of clients that do not authenticate has one, too") {
  Guarded guarded;
  Client client(guarded.server);
  guarded.server.set(config::Id::user_requests_per_second, "1");
  CHECK(client.run("PING") == pong);
  CHECK(client.run("PING") == throttled(1, 1000, "default"));
}

TEST_CASE("request rate: a user without one takes no step more for it") {
  Guarded guarded;
  Named ada(guarded, "ada");
  CHECK(ada.run("PING") == pong);
  CHECK(ada.session.may_do_all(guarded.server.engine.users));
  set_user(guarded.server.engine, "bob", {"rate=1"});
  CHECK(ada.run("PING") == pong);
  CHECK(ada.session.may_do_all(guarded.server.engine.users));
}

TEST_CASE("users in figures: those that take most come first, and no more than 256") {
  Guarded guarded;
  for (int i = 0; i < 300; ++i) set_user(guarded.server.engine, "u" + std::to_string(i), {"on"});
  Named ada(guarded, "ada"), bob(guarded, "bob"), other(guarded, "bob");
  ada.take(1000);
  bob.take(2000);
  for (int i = 0; i < 3; ++i) ada.run("PING");
  ada.take(1001);
  Sections wanted;
  wanted.set(static_cast<std::size_t>(Section::users));
  const store::Keyspace::Locks held(guarded.server.keyspace);
  const std::vector<UserFigures> users = collect_figures(guarded.server.engine, held, guarded.server.now, wanted).users;
  REQUIRE(users.size() == 256);
  CHECK(users[0].name == "bob");
  CHECK(users[0].clients == 2);
  CHECK(users[0].memory == 2000);
  CHECK(users[1].name == "ada");
  CHECK(users[1].memory == 1001);
  CHECK(users[1].requests == 3);
  CHECK(users[2].name == "default");
  const std::string text = ada.run("INFO", "users");
  CHECK(
      text.find(
          "# "
          "Users\r\nuser0:clients=2,memory=2000,requests=0,refused=0,closed=0,hits=0,misses=0,stale_hits=0,negative_hits=0,name=bob\r\n") !=
      std::string::npos);
  CHECK(ada.run("INFO").find("# Users") == std::string::npos);
}
