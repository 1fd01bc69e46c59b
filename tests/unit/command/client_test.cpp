#include <algorithm>
#include <memory>

#include "harness.hpp"
#include "support/told_clients.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/command/attributes.hpp"

using namespace pinfold::command;

namespace {
const std::string ok = "+OK\r\n";
const std::string syntax_error = "-ERR syntax error\r\n";

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) - 2;  // without the bulk's own
}
bool shows(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
TEST_CASE("of unread values only those count that nothing else keeps") {
  Server server;
  Client client(server);
  client.run("SET", "k", std::string(100'000, 'v'));
  std::vector<pinfold::resp::Output> unread(50);
  for (auto& output : unread) {
    pinfold::resp::Reply reply(output, 2);
    const std::vector<std::string_view> get{"GET", "k"};
    server.dispatcher.execute(client.session, get, reply);
    server.engine.clients.unread_blobs += static_cast<std::int64_t>(output.held_bytes());
  }
  CHECK(server.engine.clients.unread_blobs >= 50 * 100'000);
  CHECK(server.engine.abandoned() == 0);
  client.run("DEL", "k");
  CHECK(server.engine.abandoned() >= 100'000);
  CHECK(server.engine.abandoned() < 200'000);
}

TEST_CASE("the largest clients are evicted first, and none that is exempt") {
  Server server;
  ToldClients told;
  server.engine.connect(&told);
  std::vector<pinfold::ClientPlace>& woken = told.closed;
  Client a(server), b(server), c(server), exempt(server);
  std::uint64_t memory = 100;
  for (Client* client : {&a, &b, &c, &exempt}) client->session.shared.buffer_memory = memory *= 2;  // 200 to 1600
  exempt.run("CLIENT", "NO-EVICT", "ON");
  const auto evict = [&](std::uint64_t share) {
    woken.clear();
    return server.engine.clients.evict_largest(share);
  };
  CHECK(evict(3000));
  CHECK(woken.empty());
  CHECK(evict(2999));
  CHECK(woken == std::vector{c.session.shared.place()});
  CHECK(c.session.shared.evicted.load() == Evicted::for_all);
  CHECK(evict(2999));
  CHECK(woken.empty());
  CHECK_FALSE(evict(1000));  // the others may take a quarter
  CHECK(woken == std::vector{b.session.shared.place()});
  CHECK_FALSE(evict(400));
  CHECK(woken == std::vector{a.session.shared.place()});
  CHECK(server.engine.clients.evicted() == 3);
}

TEST_CASE("whoever has not authenticated is evicted first, however little it takes") {
  Server server;
  ToldClients told;
  server.engine.connect(&told);
  const std::vector<pinfold::ClientPlace>& woken = told.closed;
  Client user(server), largest(server), small(server), large(server);
  user.session.shared.buffer_memory = 500;
  largest.session.shared.buffer_memory = 5000;
  small.session.shared.buffer_memory = 100;
  large.session.shared.buffer_memory = 200;
  small.session.set_user(nullptr);
  large.session.set_user(nullptr);
  CHECK(server.engine.clients.evict_largest(5700));
  CHECK(woken == std::vector{large.session.shared.place()});
  CHECK(server.engine.clients.evict_largest(5500));
  CHECK(woken == std::vector{large.session.shared.place(), small.session.shared.place()});
  CHECK(server.engine.clients.evict_largest(5000));
  CHECK(woken.back() == largest.session.shared.place());
}

}  // namespace

TEST_CASE("client: a name is shown until it is taken away") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "GETNAME") == "$-1\r\n");
  CHECK(client.run("CLIENT", "SETNAME", "me") == ok);
  CHECK(client.run("CLIENT", "GETNAME") == bulk("me"));
  for (const char* bad : {"a b", "a\nb", "a\x80", "\x7f"}) {
    CHECK(client.run("CLIENT", "SETNAME", bad) == "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
  }
  CHECK(client.run("CLIENT", "SETNAME", "") == ok);
  CHECK(client.run("CLIENT", "GETNAME") == "$-1\r\n");
}

TEST_CASE("client: what it says of itself is no longer than 1024 characters") {
  Server server;
  Client client(server);
  const std::string longest(1024, 'n');
  const std::string refused = "-ERR Names of clients and of their libraries cannot be longer than 1024 characters.\r\n";
  CHECK(client.run("CLIENT", "SETNAME", longest) == ok);
  CHECK(client.run("CLIENT", "SETNAME", longest + "n") == refused);
  CHECK(client.run("HELLO", "2", "SETNAME", longest + "n") == refused);
  CHECK(client.run("CLIENT", "GETNAME") == bulk(longest));
  for (const char* attribute : {"LIB-NAME", "LIB-VER"}) {
    CHECK(client.run("CLIENT", "SETINFO", attribute, longest) == ok);
    CHECK(client.run("CLIENT", "SETINFO", attribute, longest + "n") == refused);
  }
  CHECK(attribute_memory(client.session.shared) == 3 * 1024);
}

TEST_CASE("client: libraries introduce themselves") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "SETINFO", "lib-name", "redis-py") == ok);
  CHECK(client.run("CLIENT", "SETINFO", "LIB-VER", "5.0") == ok);
  CHECK(shows(client.run("CLIENT", "INFO"), " lib-name=redis-py lib-ver=5.0\n"));
  CHECK(client.run("CLIENT", "SETINFO", "LIB-NAME", "a b") == "-ERR LIB-NAME cannot contain spaces, newlines or special characters.\r\n");
  CHECK(client.run("CLIENT", "SETINFO", "foo", "x") == "-ERR Unrecognized option 'foo'\r\n");
}

TEST_CASE("client: INFO and LIST show a line per client") {
  Server server;
  Client client(server);
  Client other(server);
  other.run("SELECT", "3");
  other.run("MULTI");
  other.run("GET", "a");
  server.now += 5000;
  const std::string info = client.run("CLIENT", "INFO");
  CHECK(shows(info,
              "id=1 addr=127.0.0.1:10001 laddr=127.0.0.1:6379 fd=-1 name= age=5 idle=0 flags=N db=0 sub=0 psub=0 "
              "ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs="));
  CHECK(shows(info, " events=r cmd=client|info user=default redir=-1 resp=2 lib-name= lib-ver=\n"));
  const std::string list = client.run("CLIENT", "LIST");
  CHECK(lines(list) == 2);
  CHECK(shows(list,
              "id=2 addr=127.0.0.1:10002 laddr=127.0.0.1:6379 fd=-1 name= age=5 idle=5 flags=x db=3 sub=0 psub=0 "
              "ssub=0 multi=1 "));
  client.run("HELLO", "3");
  CHECK(client.run("CLIENT", "INFO").starts_with("="));
}

TEST_CASE("client: LIST selects by type or id") {
  Server server;
  Client client(server);
  Client other(server);
  CHECK(lines(client.run("CLIENT", "LIST", "TYPE", "NORMAL")) == 2);
  for (const char* type : {"master", "replica", "slave", "pubsub"}) {
    CHECK(client.run("CLIENT", "LIST", "TYPE", type) == bulk(""));
  }
  CHECK(client.run("CLIENT", "LIST", "TYPE", "foo") == "-ERR Unknown client type 'foo'\r\n");
  CHECK(lines(client.run("CLIENT", "LIST", "ID", "2", "7", "1", "-1")) == 2);
  CHECK(client.run("CLIENT", "LIST", "ID", "1", "a") == "-ERR Invalid client ID\r\n");
  CHECK(client.run("CLIENT", "LIST", "ID") == syntax_error);
  CHECK(client.run("CLIENT", "LIST", "TYPE") == syntax_error);
  CHECK(client.run("CLIENT", "LIST", "TYPE", "normal", "ID", "1") == syntax_error);
  CHECK(client.run("CLIENT", "LIST", "foo") == syntax_error);
}

TEST_CASE("client: KILL marks those who match and wakes their threads") {
  Server server;
  Client client(server);
  Client other(server);
  ToldClients told;
  server.engine.connect(&told);
  const std::vector<pinfold::ClientPlace>& woken = told.closed;
  SECTION("by address") { CHECK(client.run("CLIENT", "KILL", "127.0.0.1:10002") == ok); }
  SECTION("by id") { CHECK(client.run("CLIENT", "KILL", "ID", "2") == ":1\r\n"); }
  SECTION("by address and type") { CHECK(client.run("CLIENT", "KILL", "ADDR", "127.0.0.1:10002", "TYPE", "normal") == ":1\r\n"); }
  SECTION("everybody but the caller") { CHECK(client.run("CLIENT", "KILL", "USER", "default") == ":1\r\n"); }
  SECTION("by local address") { CHECK(client.run("CLIENT", "KILL", "LADDR", "127.0.0.1:6379") == ":1\r\n"); }
  SECTION("by age") {
    other.session.shared.created = other.session.shared.created + -100'000;
    CHECK(client.run("CLIENT", "KILL", "SKIPME", "no", "MAXAGE", "100") == ":1\r\n");
  }
  CHECK(woken == std::vector<pinfold::ClientPlace>{{.client = 2, .thread = 0}});
  CHECK(other.session.shared.closing);
  CHECK_FALSE(client.session.close_after_reply);
  CHECK(client.run("CLIENT", "KILL", "ID", "2") == ":0\r\n");
}

TEST_CASE("client: one that kills itself gets its reply first") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "KILL", "ID", "1") == ":0\r\n");
  SECTION("by address") { CHECK(client.run("CLIENT", "KILL", "127.0.0.1:10001") == ok); }
  SECTION("by filter") { CHECK(client.run("CLIENT", "KILL", "ID", "1", "SKIPME", "no") == ":1\r\n"); }
  CHECK(client.session.close_after_reply);
  CHECK_FALSE(client.session.shared.closing);
}

TEST_CASE("client: KILL refuses what it does not understand") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "KILL", "1.2.3.4:5") == "-ERR No such client\r\n");
  CHECK(client.run("CLIENT", "KILL", "ID") == "-ERR No such client\r\n");
  CHECK(client.run("CLIENT", "KILL", "ID", "0") == "-ERR client-id should be greater than 0\r\n");
  CHECK(client.run("CLIENT", "KILL", "ID", "x") == "-ERR client-id should be greater than 0\r\n");
  CHECK(client.run("CLIENT", "KILL", "TYPE", "x") == "-ERR Unknown client type 'x'\r\n");
  CHECK(client.run("CLIENT", "KILL", "USER", "x") == "-ERR No such user 'x'\r\n");
  CHECK(client.run("CLIENT", "KILL", "MAXAGE", "x") == "-ERR maxage is not an integer or out of range\r\n");
  CHECK(client.run("CLIENT", "KILL", "SKIPME", "x") == syntax_error);
  CHECK(client.run("CLIENT", "KILL", "ID", "1", "SKIPME") == syntax_error);
  CHECK(client.run("CLIENT", "KILL", "foo", "bar") == syntax_error);
}

TEST_CASE("client: REPLY turns replies off, on, and skips one") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "REPLY", "ON") == ok);
  CHECK(client.run("CLIENT", "REPLY", "foo") == syntax_error);
  CHECK(client.run("CLIENT", "REPLY", "SKIP").empty());
  CHECK(client.run("CLIENT", "REPLY", "foo").empty());
  CHECK(client.run("PING") == "+PONG\r\n");
  CHECK(client.run("CLIENT", "REPLY", "SKIP").empty());
  CHECK(client.run("CLIENT", "REPLY", "SKIP").empty());
  CHECK(client.run("PING").empty());
  CHECK(client.run("PING") == "+PONG\r\n");
  CHECK(client.run("CLIENT", "REPLY", "SKIP").empty());
  CHECK(client.run("CLIENT", "REPLY", "ON") == ok);
  CHECK(client.run("CLIENT", "REPLY", "OFF").empty());
  CHECK(client.run("PING").empty());
  CHECK(client.run("CLIENT", "REPLY", "SKIP").empty());
  CHECK(client.run("nonsense").empty());
  CHECK(client.run("CLIENT", "REPLY", "ON") == ok);
}

TEST_CASE("client: a pause blocks writes, or everything") {
  Server server;
  Client client(server);
  ToldClients told;
  server.engine.connect(&told);
  CHECK_FALSE(client.waits("SET", "a", "1"));
  CHECK(client.run("CLIENT", "PAUSE", "1000", "WRITE") == ok);
  CHECK(client.waits("SET", "a", "1"));
  CHECK_FALSE(client.waits("GET", "a"));
  CHECK_FALSE(client.waits("EXEC"));
  server.now += 999;
  CHECK(client.waits("SET", "a", "1"));
  server.now += 1;
  CHECK_FALSE(client.waits("SET", "a", "1"));

  CHECK(client.run("CLIENT", "PAUSE", "1000") == ok);
  CHECK(client.waits("GET", "a"));
  CHECK_FALSE(client.waits("CLIENT", "UNPAUSE"));
  CHECK(client.run("CLIENT", "UNPAUSE") == ok);
  CHECK(told.pauses_ended == 1);
  CHECK_FALSE(client.waits("SET", "a", "1"));
}

TEST_CASE("client: EXEC waits for a pause of writes if it holds a write") {
  Server server;
  Client client(server);
  client.run("MULTI");
  client.run("GET", "a");
  Client other(server);
  other.run("CLIENT", "PAUSE", "1000", "WRITE");
  CHECK_FALSE(client.waits("EXEC"));
  client.run("SET", "a", "1");
  CHECK(client.waits("EXEC"));
}

TEST_CASE("client: a pause in force is neither shortened nor eased") {
  Server server;
  Client client(server);
  client.run("CLIENT", "PAUSE", "1000", "ALL");
  client.run("CLIENT", "PAUSE", "10", "WRITE");
  server.now += 500;
  CHECK(client.waits("GET", "a"));
}

TEST_CASE("client: PAUSE refuses what is no timeout or mode") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "PAUSE", "a") == "-ERR timeout is not an integer or out of range\r\n");
  CHECK(client.run("CLIENT", "PAUSE", "-1") == "-ERR timeout is negative\r\n");
  CHECK(client.run("CLIENT", "PAUSE", "9223372036854775807") == "-ERR timeout is out of range\r\n");
  CHECK(client.run("CLIENT", "PAUSE", "1", "foo") == "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
  CHECK(client.run("CLIENT", "PAUSE", "1", "ALL", "x") ==
        "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.\r\n");
  CHECK(client.run("CLIENT", "PAUSE", "0") == ok);
  CHECK_FALSE(client.waits("GET", "a"));
}

TEST_CASE("client: switches are on or off") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "NO-EVICT", "on") == ok);
  CHECK(client.run("CLIENT", "NO-TOUCH", "ON") == ok);
  CHECK(client.session.no_touch);
  CHECK(shows(client.run("CLIENT", "INFO"), " flags=eT "));
  CHECK(client.run("CLIENT", "NO-TOUCH", "OFF") == ok);
  CHECK(client.run("CLIENT", "NO-TOUCH", "maybe") == syntax_error);
  CHECK(client.run("CLIENT", "NO-EVICT", "maybe") == syntax_error);
  CHECK(client.run("CLIENT", "GETREDIR") == ":-1\r\n");
  CHECK(client.run("CLIENT", "ID") == ":1\r\n");
}

TEST_CASE("client: a list has each client once, or as often as it is named, and none that was killed") {
  Server server;
  Client admin(server);
  std::vector<std::unique_ptr<Client>> others;
  for (int i = 0; i < 200; ++i) others.push_back(std::make_unique<Client>(server));
  CHECK(lines(admin.run("CLIENT", "LIST")) == 201);
  CHECK(lines(admin.run("CLIENT", "LIST", "TYPE", "NORMAL")) == 201);
  const std::string me = std::to_string(admin.session.shared.id);
  std::vector<std::string_view> request{"CLIENT", "LIST", "ID"};
  request.resize(3000, me);
  CHECK(lines(admin.run_all(request)) == 3000 - 3);
  const std::string killed = std::to_string(others[70]->session.shared.id);
  CHECK(admin.run("CLIENT", "KILL", "ID", killed) == ":1\r\n");
  CHECK(lines(admin.run("CLIENT", "LIST")) == 200);
  CHECK_FALSE(shows(admin.run("CLIENT", "LIST", "ID", killed), "id="));
}

namespace {
// The server with as many clients, and what they cost in the account of clients.
struct Crowd {
  explicit Crowd(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) clients.push_back(std::make_unique<Client>(server));
    server.keyspace.memory().add(pinfold::store::Use::clients, static_cast<std::int64_t>(server.engine.clients.idle_bytes()));
  }
  std::uint64_t used() { return server.keyspace.memory().used(pinfold::store::Use::clients); }

  Server server;
  std::vector<std::unique_ptr<Client>> clients;
};
}  // namespace

TEST_CASE("CLIENT LIST of many is made in steps of few clients, and sent in pieces") {
  constexpr std::size_t count = 3000;
  Crowd crowd(count);
  Client& asker = *crowd.clients.front();
  const std::uint64_t before = crowd.used();
  for (const bool named : {false, true}) {
    std::vector<std::string> ids;
    for (const auto& client : crowd.clients) ids.push_back(std::to_string(client->session.shared.id));
    std::vector<std::string_view> args{"CLIENT", "LIST"};
    if (named) {
      args.push_back("ID");
      args.insert(args.end(), ids.begin(), ids.end());
    }
    pinfold::resp::Output output;
    pinfold::resp::Reply reply(output, 2);
    const auto bounded = [&](auto&& work) {
      const std::size_t written = output.size();
      const pinfold::work::Counting counting;
      work();
      CHECK(counting.counts().bytes <= 512 * 1024);
      CHECK(output.size() - written <= 512 * 1024);
    };
    bounded([&] { crowd.server.dispatcher.execute(asker.session, args, reply); });
    CHECK(output.empty());
    std::size_t steps = 0;
    for (bool done = false; !done; ++steps) bounded([&] { done = crowd.server.dispatcher.step(asker.session, reply); });
    CHECK(steps >= count / 64);
    CHECK(output.size() > 250 * count);
    CHECK(crowd.used() == before);
  }
  CHECK(lines(asker.run("CLIENT", "LIST")) == count);
}

TEST_CASE("a CLIENT LIST for which clients may not have the memory is refused, and gives back what it took") {
  Crowd crowd(3000);
  crowd.server.set(pinfold::config::Id::maxmemory_clients, "128kb");
  const std::uint64_t before = crowd.used();
  CHECK(crowd.clients[0]->run("CLIENT", "LIST").starts_with("-ERR the reply would take more memory than clients may have"));
  CHECK(crowd.used() == before);
  const std::string id = std::to_string(crowd.clients[0]->session.shared.id);
  std::vector<std::string_view> args(100'000, id);
  args[0] = "CLIENT";
  args[1] = "LIST";
  args[2] = "ID";
  CHECK(crowd.clients[0]->run_all(args).starts_with("-ERR so many ids would take more memory than clients may have"));
  CHECK(crowd.used() == before);
}
