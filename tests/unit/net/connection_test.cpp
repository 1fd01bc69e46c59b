#include <string>
#include <vector>

#include "rig.hpp"
#include "support/users.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/command/rights.hpp"

using namespace pinfold;
using namespace pinfold::net;

namespace {

const std::string ok = "+OK\r\n";
const std::string queued = "+QUEUED\r\n";
const std::string nothing = "$-1\r\n";

// Requests of many kinds, and what they are answered with.
struct Script {
  std::string requests;
  std::string replies;
};
Script script() {
  const std::string large(100'000, 'v');
  return {request("SET", "a", "1") + request("GET", "a") + "GET a\r\n" + request("SET", "b", large) + request("STRLEN", "b") +
              request("GET", "b") + request("MULTI") + request("INCR", "a") + request("SET", "c", large) + request("EXEC") +
              request("CACHE.GET", "nothing") + request("nonsense") + request("DEL", "a", "b", "c"),
          ok + bulk("1") + bulk("1") + ok + ":100000\r\n" + bulk(large) + ok + queued + queued + "*2\r\n:2\r\n" + ok};
}

}  // namespace

TEST_CASE("net: requests are answered in order, whatever pieces they come in") {
  const Script all = script();
  std::string whole;
  for (const std::size_t per_read : {SIZE_MAX, std::size_t{1}, std::size_t{7}, std::size_t{511}, std::size_t{20'000}}) {
    Rig rig;
    Peer client = rig.connect();
    client.wire().per_read = per_read;
    client.wire().deliver(all.requests);
    rig.settle(1'000'000);
    std::string replies = client.take();
    CHECK(replies.substr(0, all.replies.size()) == all.replies);
    CHECK(replies.substr(replies.size() - 4) == ":3\r\n");
    const std::string after_token = replies.substr(replies.find("-ERR unknown command"));  // the token differs from run to run
    if (whole.empty()) whole = after_token;
    CHECK(after_token == whole);
    CHECK_FALSE(client.closed());
  }
}

TEST_CASE("net: replies are the same when the transport takes a byte at a time") {
  const Script all = script();
  Rig rig;
  Peer client = rig.connect();
  client.wire().per_write = 1;
  client.send(all.requests);
  const std::string replies = client.take();
  CHECK(replies.substr(0, all.replies.size()) == all.replies);
  CHECK(replies.substr(replies.size() - 4) == ":3\r\n");
}

TEST_CASE("net: replies that the transport does not take wait for it, in order with later ones") {
  Rig rig;
  Peer client = rig.connect();
  client.wire().block_writes();
  client.send(request("SET", "a", "1"));
  client.send(request("GET", "a"));
  CHECK(client.take().empty());
  client.send(request("GET", "b"));
  client.wire().let_write();
  rig.settle();
  CHECK(client.take() == ok + bulk("1") + nothing);
}

TEST_CASE("net: a write that was taken in part goes on where it stopped, and the thread rests in between") {
  Rig rig;
  Peer client = rig.connect();
  CHECK(client.ask("SET", "a", std::string(1000, 'v')) == ok);
  client.wire().per_write = 100;
  client.wire().blocks_after_write = true;
  client.send(request("GET", "a") + request("PING"));
  const std::string expected = bulk(std::string(1000, 'v')) + "+PONG\r\n";
  CHECK(client.wire().sent == expected.substr(0, 100));
  int parts = 1;
  for (; client.wire().sent.size() < expected.size(); ++parts) {
    REQUIRE(parts < 20);
    client.wire().let_write();
    rig.settle();
  }
  CHECK(parts == 11);
  CHECK(client.take() == expected);
}

TEST_CASE("net: wherever the transport fails, the connection is closed and nothing of it is left") {
  const Script all = script();
  bool failed = true;
  for (std::size_t call = 0; failed; ++call) {
    Rig rig;
    const std::uint64_t before = rig.client_memory();
    Peer client = rig.connect();
    client.wire().per_read = 10'000;
    client.wire().per_write = 5000;
    client.wire().failing_call = call;
    client.send(all.requests);
    failed = client.wire().calls > call;
    CHECK(client.closed() == failed);
    CHECK(rig.engine.clients.count() == (failed ? 0 : 1));
    if (failed) {
      CHECK(rig.client_memory() == before);
      CHECK(rig.engine.clients.unread_blobs == 0);
      CHECK(rig.engine.clients.arriving == 0);
      CHECK(rig.thread.load() == 0);
    }
    REQUIRE(call < 1000);
  }
}

TEST_CASE("net: a read that must write first goes on when that is possible, and the thread rests until then") {
  Rig rig;
  Peer client = rig.connect();
  client.wire().block_writes();
  client.wire().read_waits_for_write = true;
  client.send(request("PING"));
  const std::size_t reads = client.wire().reads;
  CHECK(reads == 1);
  rig.settle();
  CHECK(client.wire().reads == reads);
  client.wire().let_write();
  rig.settle();
  CHECK(client.take() == "+PONG\r\n");
}

TEST_CASE("net: a write that must read first goes on when that is possible, and the thread rests until then") {
  Rig rig;
  Peer client = rig.connect();
  client.wire().write_waits_for_read = true;
  client.send(request("PING"));
  CHECK(client.take().empty());
  const std::size_t calls = client.wire().calls;
  rig.settle();
  CHECK(client.wire().calls == calls);
  SECTION("with what is the transport's own") { client.wire().announce(); }
  SECTION("with further requests") { client.wire().deliver(request("GET", "a") + request("GET", "b")); }
  SECTION("with the end of the input") { client.wire().end(); }
  const bool asks = !client.wire().rest().empty();
  rig.settle();
  CHECK(client.take() == (asks ? "+PONG\r\n" + nothing + nothing : "+PONG\r\n"));
  CHECK(client.closed() == client.wire().input_ended);
  if (!client.closed()) CHECK(client.ask("PING") == "+PONG\r\n");
}

TEST_CASE("net: replies that wait until the transport has read go on while nothing more is received") {
  Rig rig;
  rig.set(config::Id::client_query_buffer_limit, "1048576");
  Peer client = rig.connect();
  Peer admin = rig.connect();
  client.wire().write_waits_for_read = true;
  client.send(request("PING"));
  CHECK(admin.ask("CLIENT", "PAUSE", "100000") == ok);
  std::string requests;
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) requests += request("INCR", "n");
  client.send(requests);  // more than may be kept
  CHECK(client.take() == "+PONG\r\n");
  CHECK_FALSE(client.wire().rest().empty());
  CHECK(admin.ask("CLIENT", "UNPAUSE") == ok);
  rig.settle();
  CHECK(client.take().ends_with(":" + std::to_string(count) + "\r\n"));
}

TEST_CASE("net: nothing is executed before the handshake is done, whatever its steps wait for") {
  Rig rig;
  const auto wire = std::make_shared<Wire>();
  wire->handshake = {EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLOUT, EPOLLIN};
  wire->incoming = request("PING");
  wire->block_writes();
  Peer client = rig.connect(wire);
  CHECK(wire->reads == 0);
  wire->announce();
  rig.settle();
  CHECK(wire->reads == 1);
  wire->announce();
  rig.settle();
  CHECK(wire->reads == 2);  // it waits until it can write
  wire->let_write();
  rig.settle();
  CHECK(wire->reads == 3);
  CHECK(client.take().empty());
  wire->announce();
  rig.settle();
  CHECK(client.take() == "+PONG\r\n");
}

TEST_CASE("net: a handshake that takes too long, or fails, ends the connection") {
  Rig rig;
  const auto slow = std::make_shared<Wire>();
  slow->handshake = {EPOLLIN, EPOLLIN};
  Peer client = rig.connect(slow);
  rig.pass(9000);
  CHECK_FALSE(client.closed());
  rig.pass(20'000);
  CHECK(client.closed());
  const auto failing = std::make_shared<Wire>();
  failing->handshake = {EPOLLIN, EPOLLIN};
  failing->failing_call = 1;
  Peer other = rig.connect(failing);
  failing->announce();
  rig.settle();
  CHECK_FALSE(other.closed());
  failing->announce();
  rig.settle();
  CHECK(other.closed());
  CHECK(rig.engine.clients.count() == 0);
}

TEST_CASE("net: bytes that the transport holds are received although the event loop does not report them") {
  Rig rig;
  Peer client = rig.connect();
  client.wire().hides_rest = true;
  client.wire().per_read = 5;
  client.send(request("SET", "a", "1") + request("GET", "a") + request("SET", "b", std::string(20'000, 'v')) + request("STRLEN", "b"));
  CHECK(client.take() == ok + bulk("1") + ok + ":20000\r\n");
}

TEST_CASE("net: bytes in the transport wait while nothing can be received, without keeping the thread busy") {
  Rig rig;
  rig.set(config::Id::client_query_buffer_limit, "1048576");
  Peer client = rig.connect();
  Peer admin = rig.connect();
  client.wire().hides_rest = true;
  CHECK(admin.ask("CLIENT", "PAUSE", "100000") == ok);
  std::string requests;
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) requests += request("INCR", "n");
  client.send(requests);  // more than may be kept; comes to rest
  CHECK(client.take().empty());
  CHECK_FALSE(client.wire().rest().empty());
  CHECK(admin.ask("CLIENT", "UNPAUSE") == ok);
  rig.settle();
  CHECK(client.wire().rest().empty());
  CHECK(client.take().ends_with(":" + std::to_string(count) + "\r\n"));
}

TEST_CASE("net: a client that ends its input gets its replies and is closed, unfinished requests or not") {
  for (const std::string rest : {"", "*1\r\n$4\r\nPI"}) {
    Rig rig;
    Peer client = rig.connect();
    client.wire().block_writes();
    client.wire().deliver(request("SET", "a", "1") + request("GET", "a") + rest);
    client.wire().end();
    rig.settle();
    CHECK_FALSE(client.closed());
    client.wire().let_write();
    rig.settle();
    CHECK(client.take() == ok + bulk("1"));
    CHECK(client.closed());
    CHECK(rig.engine.clients.count() == 0);
  }
}

TEST_CASE("net: requests of a client that has gone are executed if they were received, but for those that are blocked") {
  Rig rig;
  Peer reader = rig.connect();
  Peer gone = rig.connect();
  gone.wire().deliver(request("SET", "a", "1"));
  gone.wire().hang_up();
  rig.settle();
  CHECK(gone.closed());
  CHECK(reader.ask("GET", "a") == bulk("1"));
  CHECK(reader.ask("CLIENT", "PAUSE", "1000", "WRITE") == ok);
  Peer blocked = rig.connect();
  blocked.send(request("SET", "a", "2"));
  blocked.wire().hang_up();
  rig.settle();
  CHECK(blocked.closed());
  CHECK(rig.engine.clients.blocked_by_pause == 0);
  CHECK(reader.ask("CLIENT", "UNPAUSE") == ok);
  CHECK(reader.ask("GET", "a") == bulk("1"));
}

TEST_CASE("net: CLIENT PAUSE blocks requests, and they go on in order when it is over") {
  Rig rig;
  Peer admin = rig.connect();
  Peer client = rig.connect();
  CHECK(admin.ask("CLIENT", "PAUSE", "1000", "WRITE") == ok);
  CHECK(client.ask("GET", "a") == nothing);
  CHECK(client.ask("SET", "a", "1").empty());
  CHECK(client.ask("GET", "a").empty());
  CHECK(rig.engine.clients.blocked_by_pause == 1);
  rig.pass(999);
  CHECK(client.take().empty());
  rig.pass(1);
  CHECK(client.take() == ok + bulk("1"));
  CHECK(rig.engine.clients.blocked_by_pause == 0);
}

TEST_CASE("net: a client that does not read is not served beyond its share, and goes on when it has read") {
  Rig rig;
  rig.set(config::Id::client_output_buffer_limit, "normal 2097152 0 0");
  Peer client = rig.connect();
  const std::string value(10'000, 'v');
  CHECK(client.ask("SET", "a", value) == ok);
  client.wire().block_writes();
  std::string requests;
  constexpr std::size_t count = 500;
  for (std::size_t i = 0; i < count; ++i) requests += request("GET", "a");
  client.send(requests + request("SET", "served", "1"));
  CHECK_FALSE(client.closed());
  Peer other = rig.connect();
  CHECK(other.ask("EXISTS", "served") == ":0\r\n");
  client.wire().let_write();
  rig.settle();
  CHECK(client.take().size() == count * bulk(value).size() + ok.size());
  CHECK(other.ask("EXISTS", "served") == ":1\r\n");
}

TEST_CASE("net: one reply beyond the output limit closes the client") {
  Rig rig;
  rig.set(config::Id::client_output_buffer_limit, "normal 65536 0 0");
  Peer client = rig.connect();
  CHECK(client.ask("SET", "a", std::string(60'000, 'v')) == ok);
  CHECK(client.ask("GET", "a").size() > 60'000);
  CHECK(client.ask("MGET", "a", "a").empty());
  CHECK(client.closed());
}

TEST_CASE("net: a client of another machine is refused while no password is asked for") {
  Rig rig;
  const auto far_away = [](std::vector<std::uint32_t> handshake = {}) {
    auto wire = std::make_shared<Wire>();
    wire->peer = "192.0.2.1:1000";
    wire->handshake = std::move(handshake);
    return wire;
  };
  SECTION("with the reason, and closed, whatever it has sent") {
    auto wire = far_away();
    wire->deliver(request("SET", "k", "v"));
    Peer client = rig.connect(wire);
    CHECK(client.take().starts_with("-DENIED Pinfold is running in protected mode"));
    CHECK(client.closed());
    CHECK(rig.connect().ask("GET", "k") == "$-1\r\n");
  }
  SECTION("without a word if it would have to wait for a handshake to be told") {
    rig.set(config::Id::tls_auth_clients, "no");
    Peer client = rig.connect(far_away({EPOLLIN}));
    CHECK(client.take().empty());
    CHECK(client.closed());
  }
  SECTION("after the handshake if it may have had a certificate") {
    Peer client = rig.connect(far_away({EPOLLIN}));
    CHECK_FALSE(client.closed());
    client.wire().announce();
    rig.settle();
    CHECK(client.take().starts_with("-DENIED Pinfold is running in protected mode"));
    CHECK(client.closed());
  }
  SECTION("but not once a password is asked for, or without the protection") {
    const bool password = GENERATE(true, false);
    if (password) rig.set(config::Id::requirepass, "secret");
    if (!password) rig.set(config::Id::protected_mode, "no");
    Peer client = rig.connect(far_away());
    CHECK(client.ask("PING") == (password ? "-NOAUTH Authentication required.\r\n" : "+PONG\r\n"));
  }
}

TEST_CASE("net: a client that has not authenticated may ask for little") {
  Rig rig;
  rig.set(config::Id::requirepass, "secret");
  Peer client = rig.connect();
  CHECK(client.ask("GET", "a") == "-NOAUTH Authentication required.\r\n");
  CHECK(client.ask("AUTH", "secret") == ok);
  CHECK(client.ask("GET", "a") == nothing);
  Peer other = rig.connect();
  CHECK(other.ask("DEL", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10") == "-ERR Protocol error: unauthenticated multibulk length\r\n");
  CHECK(other.closed());
}

TEST_CASE("net: what is no request is answered with an error, behind the replies before it, and ends the connection") {
  Rig rig;
  Peer client = rig.connect();
  client.send(request("PING") + "*1\r\n!4\r\n");
  CHECK(client.take() == "+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n");
  CHECK(client.closed());
}

TEST_CASE("net: nothing is executed for a client that was killed, even before its thread is told") {
  Rig rig;
  Peer client = rig.connect();
  Peer other = rig.connect();
  CHECK(client.ask("SET", "a", "1") == ok);
  client.send(request("SET", "a", "2").substr(0, 20));
  rig.engine.clients.with(1, [](command::SharedClient& killed) { killed.closing = true; });  // and the thread hears nothing
  client.send(request("SET", "a", "2").substr(20) + request("SET", "a", "3"));
  CHECK(client.take().empty());
  CHECK(client.closed());
  CHECK(other.ask("GET", "a") == bulk("1"));
}

TEST_CASE("net: the long command of a client that was killed goes no further") {
  Rig rig;
  Peer client = rig.connect();
  std::string fill;
  for (int i = 0; i < 20'000; ++i) fill += request("SET", "a-key-with-a-long-name-" + std::to_string(i), "");
  client.wire().deliver(fill);
  rig.settle(100'000);
  client.take();
  const std::size_t whole = client.ask("KEYS", "*").size();
  client.wire().block_writes();
  client.send(request("KEYS", "*"));
  rig.engine.clients.with(1, [](command::SharedClient& killed) { killed.closing = true; });  // and the thread hears nothing
  client.wire().let_write();
  rig.settle();
  CHECK(client.closed());
  CHECK(client.take().size() < whole);
}

TEST_CASE("net: a client that has been silent for the timeout is closed") {
  Rig rig;
  rig.set(config::Id::timeout, "5");
  Peer client = rig.connect();
  Peer talker = rig.connect();
  rig.pass(4000);
  CHECK(talker.ask("PING") == "+PONG\r\n");
  rig.pass(3000);
  CHECK(client.closed());
  CHECK_FALSE(talker.closed());
}

TEST_CASE("net: whoever waits for a lease is answered by the fill, and what it sent behind is executed then") {
  Rig rig;
  Peer loader = rig.connect();
  Peer waiter = rig.connect();
  const std::string granted = loader.ask("CACHE.GET", "k", "LEASE", "10000");
  REQUIRE(granted.starts_with("*4\r\n$4\r\nmiss\r\n$-1\r\n:"));
  const std::size_t at = granted.find(':') + 1;
  const std::string token = granted.substr(at, granted.find('\r', at) - at);
  CHECK(waiter.ask("CACHE.GET", "k", "WAIT", "5000").empty());
  CHECK(waiter.ask("PING").empty());
  CHECK(loader.ask("CACHE.SET", "k", "value", "TOKEN", token) == ok);
  rig.settle();
  CHECK(waiter.take() == "*4\r\n$3\r\nhit\r\n$5\r\nvalue\r\n:0\r\n:-1\r\n+PONG\r\n");
}

TEST_CASE("net: a wait ends when its time is up, and leaves nothing behind when its client goes") {
  Rig rig;
  Peer loader = rig.connect();
  REQUIRE(loader.ask("CACHE.GET", "k", "LEASE", "60000").starts_with("*4\r\n$4\r\nmiss\r\n"));
  Peer patient = rig.connect();
  Peer gone = rig.connect();
  CHECK(patient.ask("CACHE.GET", "k", "WAIT", "5000").empty());
  CHECK(gone.ask("CACHE.GET", "k", "WAIT", "5000").empty());
  CHECK(rig.engine.cache.waiters() == 2);
  gone.wire().hang_up();
  rig.settle();
  CHECK(gone.closed());
  CHECK(rig.engine.cache.waiters() == 1);
  rig.pass(4999);
  CHECK(patient.take().empty());
  rig.pass(1);
  CHECK(patient.take().starts_with("*4\r\n$4\r\nmiss\r\n$-1\r\n:0\r\n"));
  CHECK(rig.engine.cache.waiters() == 0);
}

TEST_CASE("net: a large argument of a request that its user may not make evicts nothing") {
  Rig rig;
  set_user(rig.engine, "ada", {"on", "nopass", "+get", "+config|get", "+select|1", "~*"});
  set_user(rig.engine, "bob", {"on", "nopass", "+set", "~*"});
  auto& memory = rig.engine.keyspace.memory();
  memory.set_limit(memory.used() + (12 << 20));
  Peer admin = rig.connect();
  for (int i = 0; i < 2000; ++i) REQUIRE(admin.ask("SET", "key:" + std::to_string(i), std::string(4096, 'x')) == ok);
  const std::string all = admin.ask("DBSIZE");
  REQUIRE(all == ":2000\r\n");
  const std::string large(4 << 20, 'v');
  Peer ada = rig.connect();
  REQUIRE(ada.ask("AUTH", "ada", "x") == ok);
  const std::string no_permission = "-NOPERM this user has no permissions to run the '";
  CHECK(ada.ask("SET", "k", large) == no_permission + "set' command\r\n");
  CHECK(ada.ask("SET", large, large) == no_permission + "set' command\r\n");
  CHECK(ada.ask("ECHO", large) == no_permission + "echo' command\r\n");
  CHECK(ada.ask("SELECT", large) == no_permission + "select' command\r\n");
  CHECK(ada.ask("CONFIG", "SET", "requirepass", large) == no_permission + "config|set' command\r\n");
  CHECK(ada.ask("CONFIG", large).starts_with("-ERR unknown subcommand"));
  CHECK(ada.ask("nonsense", large).starts_with("-ERR unknown command"));
  CHECK(ada.ask(large).starts_with("-ERR unknown command"));
  CHECK(ada.ask("AUTH", "bob", large).starts_with("-"));
  CHECK(ada.ask("GET", "key:1") == bulk(std::string(4096, 'x')));
  CHECK(admin.ask("DBSIZE") == all);

  // A key that was dropped is denied, whatever it was.
  set_user(rig.engine, "ada", {"+set", "resetkeys", "~product:*"});
  const auto denied = [&] { return rig.engine.stats.total(&command::ThreadStats::denied_key); };
  const std::uint64_t before = denied();
  const std::string not_kept = "-NOPERM an argument of more than 512 KB was not kept";
  CHECK(ada.ask("GET", large).starts_with(not_kept));
  CHECK(ada.ask("SET", large, "v").starts_with(not_kept));
  CHECK(ada.ask("SET", "k", large).starts_with("-NOPERM"));
  CHECK(denied() == before + 3);
  CHECK(admin.ask("DBSIZE") == all);

  // The requests before it decide what its user is.
  ada.send(request("AUTH", "bob", "x") + request("SET", "k", large));
  CHECK(ada.take() == ok + ok);
  CHECK(admin.ask("STRLEN", "k") == ":" + std::to_string(large.size()) + "\r\n");
  CHECK(admin.ask("DBSIZE") != all);
}

namespace {

// Rules of a user whose patterns have to be compared with the whole of a key. `:p9:` in it is allowed.
std::vector<std::string> costly_rules() {
  std::vector<std::string> rules = {"on", "nopass", "+@all"};
  for (int n = 0; n < 10; ++n) rules.push_back("~*:p" + std::to_string(n) + ":*");
  return rules;
}

// A key of 4.5 KB that such a user may write, for 90 000 comparisons.
std::string costly_key(int n) { return std::string(4500, 'a') + ":p9:" + std::to_string(n); }

}  // namespace

TEST_CASE("net: what the large arguments of a request are is found out with a bounded number of comparisons") {
  Rig rig;
  const std::vector<std::string> rules = costly_rules();
  set_user(rig.engine, "ada", {rules.begin(), rules.end()});
  Peer ada = rig.connect();
  REQUIRE(ada.ask("AUTH", "ada", "x") == ok);
  constexpr int pairs = 200;
  const std::string value(16 * 1024, 'v');
  std::string text = "*" + std::to_string(1 + 2 * pairs) + "\r\n" + bulk("MSET");
  for (int n = 0; n < pairs; ++n) text += bulk(costly_key(n)) + bulk(value);
  const std::string_view all = text;
  const auto compared = [&](std::string_view bytes) {
    const work::Counting counting;
    ada.send(bytes);
    return counting.counts().bytes;
  };
  const std::uint64_t blocks = 3 * value.size();  // the first value is received in a block of its own, which grows
  SECTION("as it arrives") {
    CHECK(compared(all.substr(0, all.size() - 1)) <= command::most_matches_of_arrivals + blocks);
    ada.send(all.substr(all.size() - 1));
  }
  SECTION("after all of it has come, while the client waited for a reply") {
    Peer other = rig.connect();
    REQUIRE(other.ask("CACHE.GET", "x:p9:", "LEASE", "60000").starts_with("*"));
    ada.send(request("CACHE.GET", "x:p9:", "WAIT", "60000"));
    ada.send(all.substr(0, all.size() - 1));
    REQUIRE(ada.take().empty());
    const work::Counting counting;
    rig.pass(60'000);
    CHECK(counting.counts().bytes <= command::most_matches_of_arrivals + blocks);
    CHECK_FALSE(ada.take().empty());
    ada.send(all.substr(all.size() - 1));
  }
  // The keys of all of them would take more than a request may compare.
  CHECK(ada.take().starts_with("-NOPERM the keys used as arguments are too many or too long"));
  CHECK(ada.ask("SET", costly_key(0), value) == ok);  // the next request has a budget of its own
  CHECK(ada.ask("STRLEN", costly_key(0)) == ":16384\r\n");
}
