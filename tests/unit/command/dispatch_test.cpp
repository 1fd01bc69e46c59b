#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/numbers.hpp"

using namespace pinfold;
using namespace pinfold::command;
using namespace std::string_literals;

TEST_CASE("dispatch: an unknown command is named with the start of its arguments") {
  Server server;
  Client client(server);
  CHECK(client.run("foo") == "-ERR unknown command 'foo', with args beginning with: \r\n");
  CHECK(client.run("foo", "a", "b") == "-ERR unknown command 'foo', with args beginning with: 'a' 'b' \r\n");
  const std::string longest(128, 'a');
  CHECK(client.run("foo", longest + "aaa", "b") == "-ERR unknown command 'foo', with args beginning with: '" + longest + "' \r\n");
  CHECK(client.run(longest + "aaa") == "-ERR unknown command '" + longest + "', with args beginning with: \r\n");
  CHECK(client.run("f\0g"s, "x\r\ny") == "-ERR unknown command 'f', with args beginning with: 'x  y' \r\n");
  CHECK(client.run("") == "-ERR unknown command '', with args beginning with: \r\n");
}

TEST_CASE("dispatch: an unknown subcommand points to the help of its container") {
  Server server;
  Client client(server);
  CHECK(client.run("client", "foo") == "-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n");
  CHECK(client.run("command", "a\r\nb") == "-ERR unknown subcommand 'a  b'. Try COMMAND HELP.\r\n");
  CHECK(client.run("client") == "-ERR wrong number of arguments for 'client' command\r\n");
}

TEST_CASE("dispatch: a wrong number of arguments is refused under the command's full name") {
  Server server;
  Client client(server);
  CHECK(client.run("GET") == "-ERR wrong number of arguments for 'get' command\r\n");
  CHECK(client.run("GeT", "a", "b") == "-ERR wrong number of arguments for 'get' command\r\n");
  CHECK(client.run("CLIENT", "KILL") == "-ERR wrong number of arguments for 'client|kill' command\r\n");
}

TEST_CASE("dispatch: HTTP on the port is cut off without an answer") {
  Server server;
  for (const char* word : {"POST", "Host:"}) {
    Client client(server);
    CHECK(client.run(word, "/").empty());
    CHECK(client.session.close_after_reply);
  }
}

TEST_CASE("dispatch: DEBUG is refused, in a transaction at once, unless the settings allow it") {
  Server server;
  Client client(server);
  CHECK(client.run("DEBUG", "SLEEP", "0").starts_with("-ERR DEBUG command not allowed."));
  client.run("MULTI");
  CHECK(client.run("DEBUG", "SLEEP", "0").starts_with("-ERR DEBUG command not allowed."));
  CHECK(client.run("EXEC").starts_with("-EXECABORT"));
  server.set(pinfold::config::Id::enable_debug_command, "local");
  CHECK(client.run("DEBUG", "SLEEP", "0") == "+OK\r\n");
  client.session.shared.address = "192.0.2.1:5";
  CHECK(client.run("DEBUG", "SLEEP", "0").starts_with("-ERR DEBUG command not allowed."));
}

TEST_CASE("dispatch: nothing but logging in is possible before authentication") {
  Server server;
  server.set(pinfold::config::Id::requirepass, "secret");
  Client client(server);
  CHECK(client.run("GET", "a") == "-NOAUTH Authentication required.\r\n");
  CHECK(client.run("foo") == "-ERR unknown command 'foo', with args beginning with: \r\n");
  CHECK(client.run("AUTH", "wrong") == "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  CHECK(client.run("AUTH", "secre") == "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  CHECK(client.run("AUTH", "secretsecret") == "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  CHECK(client.run("AUTH", "") == "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  CHECK(client.run("AUTH", "other", "secret") == "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  CHECK(client.run("GET", "a") == "-NOAUTH Authentication required.\r\n");
  CHECK(client.run("AUTH", "default", "secret") == "+OK\r\n");
  CHECK(client.run("GET", "a") == "$-1\r\n");
  CHECK(client.run("RESET") == "+RESET\r\n");
  CHECK(client.run("GET", "a") == "-NOAUTH Authentication required.\r\n");
}

TEST_CASE("dispatch: clients that never gave a password are let in once none is asked for") {
  Server server;
  server.set(pinfold::config::Id::requirepass, "secret");
  Client client(server);
  CHECK(client.run("PING") == "-NOAUTH Authentication required.\r\n");
  server.set(pinfold::config::Id::requirepass, "");
  CHECK(client.run("PING") == "+PONG\r\n");
}

TEST_CASE("dispatch: what needs memory is refused when there is none, all else is not") {
  Server server;
  Client client(server);
  server.keyspace.set_policy(pinfold::eviction::Kind::noeviction);
  CHECK(client.run("SET", "a", "1") == "+OK\r\n");
  server.keyspace.set_max_memory(1);
  const std::string refusal = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
  CHECK(client.run("SET", "a", "2") == refusal);
  CHECK(client.run("GET", "a") == bulk("1"));
  CHECK(client.run("DEL", "a") == ":1\r\n");
  SECTION("in a transaction even reads take memory, to be queued") {
    CHECK(client.run("MULTI") == "+OK\r\n");
    CHECK(client.run("GET", "a") == refusal);
    CHECK(client.run("EXEC") == "-EXECABORT Transaction discarded because of previous errors.\r\n");
  }
  SECTION("EXEC is refused if a command inside needs memory") {
    server.keyspace.set_max_memory(0);
    CHECK(client.run("MULTI") == "+OK\r\n");
    CHECK(client.run("SET", "a", "3") == "+QUEUED\r\n");
    server.keyspace.set_max_memory(1);
    CHECK(client.run("EXEC") == "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.\r\n");
    CHECK(client.run("EXEC") == "-ERR EXEC without MULTI\r\n");
  }
}

TEST_CASE("dispatch: a batch can be prepared ahead of its execution") {
  Server server;
  Client client(server);
  const std::vector<std::string_view> set{"SET", "a", "1"};
  const std::vector<std::string_view> get{"GET", "a"};
  const std::vector<std::string_view> both{"MGET", "a", "b"};
  const Prepared first = server.dispatcher.prepare(set);
  const Prepared second = server.dispatcher.prepare(get);
  const Prepared third = server.dispatcher.prepare(both);
  CHECK(second.one_key);
  CHECK(second.key.text == "a");
  CHECK_FALSE(third.one_key);
  server.dispatcher.prefetch(std::array{first, second, third}, [&](std::size_t) { return client.session.db; });
  pinfold::resp::Output output;
  pinfold::resp::Reply reply(output);
  server.dispatcher.execute(client.session, set, first, reply);
  server.dispatcher.execute(client.session, get, second, reply);
  server.dispatcher.execute(client.session, both, third, reply);
  CHECK(text_of(output) == "+OK\r\n$1\r\n1\r\n*2\r\n$1\r\n1\r\n$-1\r\n");
}

TEST_CASE("dispatch: calls, refusals and failures are counted, errors by their code") {
  Server server;
  Client client(server);
  client.run("SET", "a", "x");
  client.run("INCR", "a");
  client.run("INCR");
  client.run("MULTI");
  client.run("INCR", "a");
  client.run("EXEC");
  client.run("nonsense");
  CHECK(server.counters("set").calls.get() == 1);
  CHECK(server.counters("incr").calls.get() == 2);
  CHECK(server.counters("incr").failed.get() == 2);
  CHECK(server.counters("incr").rejected.get() == 1);
  CHECK(server.counters("exec").calls.get() == 1);
  CHECK(server.counters("exec").failed.get() == 0);
  CHECK(server.engine.stats.errors() == std::map<std::string, std::uint64_t>{{"ERR", 4}});
  CHECK(server.engine.stats.calls() == 5);

  server.engine.stats.reset();
  CHECK(server.engine.stats.error_total() == 0);
  CHECK(server.engine.stats.calls() == 0);
  client.run("SET", "a", "x");
  CHECK(server.engine.stats.command(command_index(*find_command_by_name("set"))).calls == 1);
}

TEST_CASE("dispatch: every call is timed") {
  Server server;
  Client client(server);
  std::uint64_t ticks = 0;
  for (int i = 0; i < 160; ++i) {
    client.run("PING");
    CHECK(server.counters("ping").measured_ticks.get() > ticks);
    ticks = server.counters("ping").measured_ticks.get();
  }
  const Stats::CommandTotal total = server.engine.stats.command(command_index(*find_command_by_name("ping")));
  CHECK(total.calls == 160);
  CHECK(total.usec_per_call > 0);
}

TEST_CASE("maxmemory-policy's choices are in the order of the policies") {
  std::string names;
  for (const std::string_view name : pinfold::eviction::kind_names) names.append(names.empty() ? "" : "|").append(name);
  CHECK(pinfold::config::find_setting("maxmemory-policy")->choices == names);
}

namespace {

// An I/O thread whose round began a second ago, and has not looked at the clock since.
class OldRound {
 public:
  explicit OldRound(Server& server, Client& client) : dispatcher_(server.engine, 0), client_(client) {
    dispatcher_.clock().read();
    advance_clock_for_test(1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // as a long command would
  }

  template <class... Words>
  std::string run(const Words&... words) {
    const std::vector<std::string_view> args{std::string_view(words)...};
    pinfold::resp::Output output;
    pinfold::resp::Reply reply(output, client_.session.protocol);
    dispatcher_.execute(client_.session, args, reply);
    return text_of(output);
  }

 private:
  Dispatcher dispatcher_;
  Client& client_;
};

std::int64_t integer_in(std::string_view reply) { return parse_i64(reply.substr(1, reply.size() - 3)).value_or(0); }

}  // namespace

TEST_CASE("a deadline counts from when its command runs, not from when its round began") {
  Server server;
  Client client(server);
  OldRound round(server, client);
  const UnixMs before = unix_ms();
  constexpr std::int64_t grain = 1;  // of the clock
  SECTION("SET PX") {
    REQUIRE(round.run("SET", "lock", "tok", "NX", "PX", "500") == "+OK\r\n");
    CHECK(integer_in(round.run("PEXPIRETIME", "lock")) >= before + 500 - grain);
  }
  SECTION("EXPIRE") {
    REQUIRE(round.run("SET", "k", "v") == "+OK\r\n");
    REQUIRE(round.run("PEXPIRE", "k", "500") == ":1\r\n");
    CHECK(integer_in(round.run("PEXPIRETIME", "k")) >= before + 500 - grain);
  }
  SECTION("a lease: there are never two") {
    CHECK(round.run("CACHE.GET", "m", "LEASE", "500").find("\r\n:0\r\n:") == std::string::npos);
    server.now = unix_ms();  // another thread, which has just read the clock
    Client other(server);
    CHECK(other.run("CACHE.GET", "m", "LEASE", "500").find("\r\n:0\r\n:") != std::string::npos);
  }
  SECTION("what has expired meanwhile is gone") {
    server.now = before - 700;
    Client other(server);
    REQUIRE(other.run("SET", "k", "v", "PX", "600") == "+OK\r\n");
    CHECK(round.run("GET", "k") == "$-1\r\n");
  }
}

TEST_CASE("a deadline counts from when the locks are held") {
  Server server;
  Client client(server);
  Dispatcher dispatcher(server.engine, 0);
  dispatcher.clock().read();
  std::atomic<UnixMs> released{0};
  {
    store::Keyspace::Locks locks(server.keyspace);
    locks.acquire_all();
    std::thread waiter([&] {
      const std::vector<std::string_view> args{"SET", "k", "v", "PX", "500"};
      pinfold::resp::Output output;
      pinfold::resp::Reply reply(output);
      dispatcher.execute(client.session, args, reply);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    advance_clock_for_test(1000);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    released = unix_ms();
    locks.release();
    waiter.join();
  }
  server.now = unix_ms();
  Client other(server);
  CHECK(integer_in(other.run("PEXPIRETIME", "k")) >= released + 500 - 1);
}

TEST_CASE("all commands of a transaction share one time") {
  Server server;
  server.set(config::Id::enable_debug_command, "yes");
  Client client(server);
  OldRound round(server, client);
  const UnixMs before = unix_ms();
  round.run("MULTI");
  round.run("SET", "a", "v", "PX", "500000");
  round.run("DEBUG", "SLEEP", "0.02");
  round.run("SET", "b", "v", "PX", "500000");
  round.run("EXEC");
  const std::int64_t a = integer_in(round.run("PEXPIRETIME", "a"));
  CHECK(a == integer_in(round.run("PEXPIRETIME", "b")));
  CHECK(a >= before + 500'000 - 1);
}

TEST_CASE("an error repeats no more than an excerpt of what a client sent") {
  Server server;
  Client client(server);
  const std::string large(1 << 20, 'x');
  for (const std::vector<std::string_view>& request : std::vector<std::vector<std::string_view>>{
           {large},
           {"CLIENT", large},
           {"CLIENT", "SETINFO", large, "x"},
           {"CLIENT", "LIST", "TYPE", large},
           {"CLIENT", "KILL", "USER", large},
           {"CLIENT", "PAUSE", large, "a", "b"},
           {"CONFIG", "SET", large, "x"},
           {"CONFIG", "SET", "maxmemory", large},
           {"EXPIRE", "key", "1", large},
           {"HELLO", "3", large},
           {"OBJECT", large, "key"},
           {"MEMORY", large},
           {"DEBUG", large},
           {"COMMAND", "INFO", large},
           {"COMMAND", "GETKEYS", large},
           {"CACHE.GET", "key", large},
           {"CACHE.SET", "key", "value", large},
           {"CACHE.POLICY", "SET", "name", large, "x"},
           {"CACHE.POLICY", "SET", large, "x", "x"},
           {"SET", "key", "value", large},
           {"GETEX", "key", large},
           {"SCAN", "0", large, "x"},
           {"BITFIELD", "key", large},
           {"LCS", "a", "b", large},
       }) {
    CHECK(client.run_all(request).size() < 512);
  }
}
