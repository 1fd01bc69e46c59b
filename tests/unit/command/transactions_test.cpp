#include <atomic>
#include <thread>

#include "harness.hpp"
#include "support/users.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold::command;

namespace {
const std::string queued = "+QUEUED\r\n";
const std::string ok = "+OK\r\n";
}  // namespace

TEST_CASE("transactions: queued commands run at EXEC, errors among their replies") {
  Server server;
  Client client(server);
  CHECK(client.run("MULTI") == ok);
  CHECK(client.run("SET", "a", "x") == queued);
  CHECK(client.run("INCR", "a") == queued);
  CHECK(client.run("GET", "a") == queued);
  Client other(server);
  CHECK(other.run("GET", "a") == "$-1\r\n");
  CHECK(client.run("EXEC") == "*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\nx\r\n");
  CHECK(client.run("GET", "a") == bulk("x"));
}

TEST_CASE("transactions: words out of place are refused as Redis does") {
  Server server;
  Client client(server);
  CHECK(client.run("EXEC") == "-ERR EXEC without MULTI\r\n");
  CHECK(client.run("DISCARD") == "-ERR DISCARD without MULTI\r\n");
  CHECK(client.run("MULTI") == ok);
  CHECK(client.run("MULTI") == "-ERR MULTI calls can not be nested\r\n");
  CHECK(client.run("WATCH", "a") == "-ERR WATCH inside MULTI is not allowed\r\n");
  CHECK(client.run("UNWATCH") == queued);
  CHECK(client.run("EXEC") == "*1\r\n+OK\r\n");
}

TEST_CASE("transactions: an empty one is an empty array") {
  Server server;
  Client client(server);
  client.run("MULTI");
  CHECK(client.run("EXEC") == "*0\r\n");
}

TEST_CASE("transactions: a command refused while queueing aborts the whole") {
  Server server;
  Client client(server);
  client.run("MULTI");
  CHECK(client.run("SET", "a", "1") == queued);
  SECTION("unknown") { client.run("foo"); }
  SECTION("unknown subcommand") { client.run("CLIENT", "foo"); }
  SECTION("arity") { client.run("GET"); }
  CHECK(client.run("EXEC") == "-EXECABORT Transaction discarded because of previous errors.\r\n");
  CHECK(client.run("GET", "a") == "$-1\r\n");
}

TEST_CASE("transactions: EXEC with arguments discards, with or without MULTI") {
  Server server;
  Client client(server);
  const std::string refusal = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n";
  CHECK(client.run("EXEC", "foo") == refusal);
  client.run("MULTI");
  CHECK(client.run("EXEC", "foo") == refusal);
  CHECK(client.run("EXEC") == "-ERR EXEC without MULTI\r\n");
}

TEST_CASE("transactions: DISCARD, RESET and QUIT act at once") {
  Server server;
  Client client(server);
  client.run("MULTI");
  CHECK(client.run("SET", "a", "1") == queued);
  CHECK(client.run("DISCARD") == ok);
  CHECK(client.run("GET", "a") == "$-1\r\n");
  client.run("MULTI");
  CHECK(client.run("RESET") == "+RESET\r\n");
  CHECK(client.run("EXEC") == "-ERR EXEC without MULTI\r\n");
  client.run("MULTI");
  CHECK(client.run("QUIT") == ok);
  CHECK(client.session.close_after_reply);
}

TEST_CASE("transactions: SELECT counts for what is queued behind it, and after EXEC") {
  Server server;
  Client client(server);
  client.run("MULTI");
  client.run("SET", "a", "zero");
  client.run("SELECT", "1");
  client.run("SET", "a", "one");
  CHECK(client.run("EXEC") == "*3\r\n+OK\r\n+OK\r\n+OK\r\n");
  CHECK(client.run("GET", "a") == bulk("one"));
  client.run("SELECT", "0");
  CHECK(client.run("GET", "a") == bulk("zero"));
}

TEST_CASE("transactions: a watched key that was written makes EXEC answer nothing") {
  Server server;
  Client client(server);
  Client other(server);
  client.run("SET", "a", "1");
  CHECK(client.run("WATCH", "a", "b") == ok);
  SECTION("overwritten") { other.run("SET", "a", "1"); }
  SECTION("created") { other.run("SET", "b", "1"); }
  SECTION("deleted") { other.run("DEL", "a"); }
  SECTION("given a deadline") { other.run("PEXPIRE", "a", "100000"); }
  SECTION("flushed") { other.run("FLUSHALL"); }
  SECTION("swapped") { other.run("SWAPDB", "0", "1"); }
  SECTION("by the client itself") { client.run("APPEND", "a", "1"); }
  SECTION("in another client's transaction") {
    other.run("MULTI");
    other.run("INCR", "a");
    other.run("EXEC");
  }
  client.run("MULTI");
  client.run("SET", "c", "1");
  CHECK(client.run("EXEC") == "*-1\r\n");
  CHECK(client.run("GET", "c") == "$-1\r\n");
  client.run("MULTI");
  CHECK(client.run("EXEC") == "*0\r\n");
}

TEST_CASE("transactions: the answer nothing is a null in RESP3") {
  Server server;
  Client client(server);
  client.run("HELLO", "3");
  client.run("WATCH", "a");
  client.run("SET", "a", "1");
  client.run("MULTI");
  CHECK(client.run("EXEC") == "_\r\n");
}

TEST_CASE("transactions: what leaves a watched key alone leaves EXEC alone") {
  Server server;
  Client client(server);
  Client other(server);
  client.run("SET", "a", "1");
  CHECK(client.run("WATCH", "a", "a") == ok);
  SECTION("nothing happens") {}
  SECTION("reading") { other.run("GET", "a"); }
  SECTION("writing other keys") { other.run("MSET", "b", "1", "c", "1"); }
  SECTION("writing the same name in another database") {
    other.run("SELECT", "1");
    other.run("SET", "a", "2");
  }
  SECTION("selecting another database") { client.run("SELECT", "3"); }
  SECTION("UNWATCH") {
    other.run("SET", "a", "2");
    client.run("UNWATCH");
  }
  SECTION("DISCARD unwatches") {
    other.run("SET", "a", "2");
    client.run("MULTI");
    client.run("DISCARD");
  }
  client.run("MULTI");
  client.run("PING");
  CHECK(client.run("EXEC") == "*1\r\n+PONG\r\n");
}

TEST_CASE("transactions: a watched key whose time runs out has changed") {
  Server server;
  Client client(server);
  client.run("SET", "a", "1", "PX", "1000");
  client.run("WATCH", "a");
  client.run("MULTI");
  client.run("PING");
  server.now += 2000;
  CHECK(client.run("EXEC") == "*-1\r\n");
  SECTION("but one that was gone before WATCH has not") {
    client.run("SET", "b", "1", "PX", "1000");
    server.now += 2000;
    client.run("WATCH", "b");
    client.run("MULTI");
    CHECK(client.run("EXEC") == "*0\r\n");
  }
}

TEST_CASE("transactions: commands on the whole keyspace run inside") {
  Server server;
  Client client(server);
  client.run("MULTI");
  client.run("MSET", "a", "1", "b", "2");
  client.run("DBSIZE");
  client.run("SWAPDB", "0", "1");
  client.run("DBSIZE");
  client.run("FLUSHALL");
  client.run("DBSIZE");
  CHECK(client.run("EXEC") == "*6\r\n+OK\r\n:2\r\n+OK\r\n:0\r\n+OK\r\n:0\r\n");
  CHECK(client.run("SET", "a", "1") == ok);
}

TEST_CASE("transactions: CLIENT REPLY inside leaves no half of an array") {
  Server server;
  Client client(server);
  client.run("MULTI");
  client.run("CLIENT", "REPLY", "OFF");
  client.run("PING");
  CHECK(client.run("EXEC").empty());
  CHECK(client.run("PING").empty());
  CHECK(client.run("CLIENT", "REPLY", "ON") == ok);
  client.run("MULTI");
  client.run("CLIENT", "REPLY", "SKIP");
  client.run("PING");
  CHECK(client.run("EXEC") == "*2\r\n+OK\r\n+PONG\r\n");
  CHECK(client.run("PING").empty());
  CHECK(client.run("PING") == "+PONG\r\n");
}

TEST_CASE("transactions: the queue is counted as clients' memory and bounded") {
  Server server;
  const auto used = [&] { return server.keyspace.memory().used(pinfold::store::Use::clients); };
  {
    Client client(server);
    client.run("MULTI");
    client.run("SET", "a", std::string(10'000, 'x'));
    CHECK(used() > 10'000);
    client.run("EXEC");
    CHECK(used() == 0);
    client.run("MULTI");
    client.run("SET", "a", std::string(10'000, 'x'));
    CHECK(client.session.shared.queued == 1);
  }
  CHECK(used() == 0);
  server.set(pinfold::config::Id::client_query_buffer_limit, "1048576");
  Client client(server);
  client.run("MULTI");
  const std::string part(300'000, 'x');
  for (int i = 0; i < 3; ++i) CHECK(client.run("SET", "a", part) == queued);
  CHECK(client.run("SET", "a", part).empty());
  CHECK(client.session.close_after_reply);
}

TEST_CASE("transactions: watched keys are counted as clients' memory and bounded") {
  Server server;
  const auto used = [&] { return server.keyspace.memory().used(pinfold::store::Use::clients); };
  server.set(pinfold::config::Id::client_query_buffer_limit, "1048576");
  const std::string long_key(100'000, 'k');
  {
    Client client(server);
    client.run("WATCH", long_key, "a");
    CHECK(used() > 100'000);
    client.run("UNWATCH");
    CHECK(used() == 0);
    client.run("WATCH", long_key, "a");
  }
  CHECK(used() == 0);
  Client client(server);
  for (int i = 0; i < 20 && !client.session.close_after_reply; ++i) client.run("WATCH", std::to_string(i) + long_key);
  CHECK(client.session.close_after_reply);
  CHECK(used() < 1'100'000);
}

TEST_CASE("transactions: no other thread sees half of one") {
  Server server;
  Engine engine(server.settings, server.keyspace, 2);
  Dispatcher dispatchers[] = {{engine, 0}, {engine, 1}};
  Client clients[] = {Client(server), Client(server)};
  clients[1].session.shared.thread = 1;
  const auto run = [&](unsigned thread, std::vector<std::string_view> args) {
    pinfold::resp::Output output;
    pinfold::resp::Reply reply(output);
    dispatchers[thread].execute(clients[thread].session, args, reply);
    return text_of(output);
  };
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) {
      run(1, {"MULTI"});
      for (const char* key : {"a", "b", "c", "d"}) run(1, {"SET", key, i % 2 == 0 ? "x" : "y"});
      run(1, {"EXEC"});
    }
    done = true;
  });
  int torn = 0;
  while (!done) {
    const std::string seen = run(0, {"MGET", "a", "b", "c", "d"});
    torn += seen.find('x') != std::string::npos && seen.find('y') != std::string::npos ? 1 : 0;
  }
  writer.join();
  CHECK(torn == 0);
}

TEST_CASE("transactions: a queued command gives back its arguments, empty and large ones too") {
  pinfold::BlockHeap heap([](std::int64_t) {});
  const std::string block(20'000, 'b');
  LargeArguments large;
  large.add(2, pinfold::Blob::copy_of(heap, block));
  large.add(4, pinfold::Blob::copy_of(heap, block + "!"));
  const std::string end = block + "!";
  const std::vector<std::string_view> args{"MSET", "", block, "key", end, std::string_view("a\0b", 3)};
  const Queued queued(*find_command_by_name("mset"), args, &large);
  std::vector<std::string_view> back{"left over"};
  queued.arguments(back);
  CHECK(back == args);
  CHECK(back[2].data() != block.data());
  CHECK(queued.large()->count() == 2);
  CHECK(Queued::memory(args, 2 * block.size() + 1) < 300);
  const Queued plain(*find_command_by_name("mset"), args, nullptr);
  plain.arguments(back);
  CHECK(back == args);
}

namespace {

// The replies of EXEC to so many of one command behind a write.
template <class... Words>
std::string run_many(Client& client, int count, const Words&... words) {
  client.run("MULTI");
  client.run("INCR", "n");
  for (int i = 0; i < count; ++i) CHECK(client.run(words...) == queued);
  client.run("INCR", "n");
  return client.run("EXEC");
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("transactions: administration that names no key is refused while queueing") {
  Server server;
  Client client(server);
  const std::vector<std::vector<std::string_view>> all = {{"CONFIG", "GET", "*"}, {"CONFIG", "SET", "maxmemory", "1gb"},
                                                          {"CONFIG", "REWRITE"},  {"CONFIG", "RESETSTAT"},
                                                          {"CLIENT", "LIST"},     {"CLIENT", "KILL", "ID", "1"},
                                                          {"MEMORY", "PURGE"},    {"COMMAND"},
                                                          {"COMMAND", "DOCS"},    {"COMMAND", "INFO"},
                                                          {"COMMAND", "LIST"}};
  for (const auto& words : all) {
    INFO(words.front() << ' ' << words.back());
    CHECK(client.run("MULTI") == ok);
    CHECK(client.run("SET", "a", "1") == queued);
    CHECK(client.run_all(words) == "-ERR Command not allowed inside a transaction\r\n");
    CHECK(client.run("EXEC") == "-EXECABORT Transaction discarded because of previous errors.\r\n");
  }
  CHECK(client.run("EXISTS", "a") == ":0\r\n");
}

TEST_CASE("transactions: what many commands do beyond what they name is bounded, and the others go on") {
  Server server;
  Client client(server);
  for (int i = 0; i < 400; ++i) client.run("SET", "key:" + std::to_string(i), "v");
  client.run("SET", "large", std::string(250'000, 'x'));
  client.run("SET", "text", std::string(1000, 'x'));
  const std::string huge(100'000, 'a');
  client.run("SET", huge, "v");
  Client other(server);
  const std::vector<std::vector<std::string_view>> all = {{"SCAN", "0", "COUNT", "500"},
                                                          {"SCAN", "0", "MATCH", "*[ab]aaaab*", "COUNT", "500"},
                                                          {"KEYS", "*"},
                                                          {"KEYS", "*[ab]aaaab*"},
                                                          {"RANDOMKEY"},
                                                          {"BITCOUNT", "large"},
                                                          {"BITPOS", "large", "0"},
                                                          {"BITOP", "NOT", "to", "text"},
                                                          {"BITOP", "NOT", "to", "large"},
                                                          {"DIGEST", "large"},
                                                          {"LCS", "text", "text"},
                                                          {"INFO", "everything"},
                                                          {"MEMORY", "STATS"}};
  for (const auto& words : all) {
    INFO(words.front() << ' ' << words.back());
    other.run("MULTI");
    other.run("SET", "n", "1");
    for (int i = 0; i < 1000; ++i) REQUIRE(other.run_all(words) == queued);
    other.run("SELECT", "0");
    other.run("SET", "n", "1");
    const pinfold::work::Counting counting;
    const std::string replies = other.run("EXEC");
    CHECK(replies.starts_with("*1003\r\n+OK\r\n"));
    CHECK(replies.ends_with("+OK\r\n+OK\r\n"));
    // Beside the budget, what the last one before its end did; and what each may do for the keys that it names.
    const bool has_keys = find_command(words)->keys[0].kind != KeySpec::Kind::none;
    CHECK(counting.counts().entries < 8'000 + (has_keys ? 1000 * 32 : 0));
    CHECK(counting.counts().bytes < 1'000'000 + (has_keys ? 1000 * 66'000 : 0));
    CHECK(counting.counts().system_calls < 20);
  }
}

TEST_CASE("transactions: each kind of search has its place, and too much of it is told") {
  Server server;
  Client client(server);
  for (int i = 0; i < 400; ++i) client.run("SET", "key:" + std::to_string(i), "v");
  client.run("SET", "large", std::string(250'000, 'x'));
  const std::string told =
      " was not executed: the commands of a transaction may together visit 2048 keys, clients or users and look at 256 KB beyond what they "
      "name, and copy 256 MB in all\r\n";
  const std::string scans = run_many(client, 100, "SCAN", "0", "MATCH", "*5*", "COUNT", "100");
  CHECK(count_of(scans, "-ERR SCAN" + told) > 50);
  CHECK(count_of(scans, "-ERR SCAN" + told) < 98);
  CHECK(scans.ends_with("\r\n:2\r\n"));
  CHECK(count_of(run_many(client, 1000, "SCAN", "0", "COUNT", "1"), "-ERR") < 1000);
  CHECK(count_of(run_many(client, 3, "SCAN", "0"), "-ERR") == 0);
  CHECK(count_of(run_many(client, 1000, "BITCOUNT", "key:1"), "-ERR") == 0);
  CHECK(count_of(run_many(client, 5, "BITCOUNT", "large"), "-ERR BITCOUNT" + told) == 4);
  std::string pattern;  // that is much work to compile
  for (int i = 0; i < 3000; ++i) pattern += i % 1000 == 0 ? "*" : "[ab]";
  CHECK(count_of(run_many(client, 20, "SCAN", "0", "MATCH", pattern), "-ERR SCAN" + told) >= 18);
  CHECK(count_of(run_many(client, 5, "DIGEST", "large"), "-ERR DIGEST" + told) == 4);
  for (const std::string_view word : {"PING", "TIME", "DBSIZE", "ROLE", "LASTSAVE", "UNWATCH"}) {
    CHECK(count_of(run_many(client, 1000, word), "-ERR") == 0);
  }
  CHECK(count_of(run_many(client, 1000, "OBJECT", "ENCODING", "large"), "-ERR") == 0);
  for (int i = 0; i < 600; ++i) set_user(server.engine, "user" + std::to_string(i), {});
  CHECK(count_of(run_many(client, 20, "INFO", "users"), "-ERR INFO" + told) == 17);
  CHECK(count_of(run_many(client, 8, "INFO", "clients"), "-ERR") == 0);
}

TEST_CASE("transactions: long names are not compared with patterns inside") {
  Server server;
  Client client(server);
  client.run("SET", std::string(1'000'000, 'a'), "v");
  for (const std::string_view command : {"SCAN", "KEYS"}) {
    client.run("MULTI");
    if (command == "SCAN") {
      client.run("SCAN", "0", "MATCH", "*[ab]aab*");
    } else {
      client.run("KEYS", "*[ab]aab*");
    }
    client.run("SCAN", "0", "MATCH", "b*");  // which need not look at all of it
    const pinfold::work::Counting counting;
    const std::string replies = client.run("EXEC");
    CHECK(replies.starts_with("*2\r\n-ERR " + std::string(command) + " was not executed"));
    CHECK(replies.ends_with("*2\r\n$1\r\n0\r\n*0\r\n"));
    CHECK(counting.counts().bytes < 600'000);
  }
}

TEST_CASE("transactions: once the reply is lost nothing more is read for it, but all is written") {
  Server server;
  Client client(server);
  client.run("SET", "k", std::string(10'000, 'x'));
  client.run("MULTI");
  for (int i = 0; i < 1000; ++i) client.run("GET", "k");
  client.run("INCR", "n");
  const std::uint64_t before = server.counters("get").calls.get();
  pinfold::resp::Output output;
  output.begin_reply(100'000);
  pinfold::resp::Reply reply(output, 2);
  const std::vector<std::string_view> exec = {"EXEC"};
  server.dispatcher.execute(client.session, exec, reply);
  CHECK(output.overflow() != pinfold::resp::Output::Overflow::none);
  CHECK(server.counters("get").calls.get() - before < 20);
  CHECK(client.run("GET", "n") == bulk("1"));
}
