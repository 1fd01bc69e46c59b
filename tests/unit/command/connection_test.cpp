#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {
const std::string ok = "+OK\r\n";

std::string greeting(std::string_view start, int protocol, std::uint64_t id) {
  return std::string(start) + bulk("server") + bulk("redis") + bulk("version") + bulk("7.2.4") + bulk("proto") + ":" +
         std::to_string(protocol) + "\r\n" + bulk("id") + ":" + std::to_string(id) + "\r\n" + bulk("mode") + bulk("standalone") +
         bulk("role") + bulk("master") + bulk("modules") + "*0\r\n";
}
}  // namespace

TEST_CASE("connection: PING and ECHO answer") {
  Server server;
  Client client(server);
  CHECK(client.run("PING") == "+PONG\r\n");
  CHECK(client.run("PING", "a") == bulk("a"));
  CHECK(client.run("PING", "a", "b") == "-ERR wrong number of arguments for 'ping' command\r\n");
  CHECK(client.run("ECHO", "") == bulk(""));
}

TEST_CASE("connection: SELECT takes the number of a database") {
  Server server;
  Client client(server);
  CHECK(client.run("SELECT", "15") == ok);
  CHECK(client.session.shared.db == 15);
  CHECK(client.run("SELECT", "16") == "-ERR DB index is out of range\r\n");
  CHECK(client.run("SELECT", "-1") == "-ERR DB index is out of range\r\n");
  CHECK(client.run("SELECT", "a") == "-ERR value is not an integer or out of range\r\n");
  CHECK(client.run("SELECT", "99999999999999999999") == "-ERR value is not an integer or out of range\r\n");
  CHECK(client.run("SELECT", "2147483648") == "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
  CHECK(client.session.db == 15);
}

TEST_CASE("connection: SWAPDB exchanges two databases") {
  Server server;
  Client client(server);
  client.run("SET", "a", "0");
  CHECK(client.run("SWAPDB", "0", "3") == ok);
  CHECK(client.run("GET", "a") == "$-1\r\n");
  CHECK(client.run("SWAPDB", "3", "0") == ok);
  CHECK(client.run("SWAPDB", "0", "0") == ok);
  CHECK(client.run("GET", "a") == bulk("0"));
  CHECK(client.run("SWAPDB", "a", "b") == "-ERR invalid first DB index\r\n");
  CHECK(client.run("SWAPDB", "0", "99999999999") == "-ERR invalid second DB index\r\n");
  CHECK(client.run("SWAPDB", "0", "16") == "-ERR DB index is out of range\r\n");
}

TEST_CASE("connection: HELLO greets and switches the protocol") {
  Server server;
  Client client(server);
  const std::uint64_t id = client.session.shared.id;
  CHECK(client.run("HELLO") == greeting("*14\r\n", 2, id));
  CHECK(client.run("HELLO", "3") == greeting("%7\r\n", 3, id));
  CHECK(client.run("GET", "a") == "_\r\n");
  CHECK(client.run("HELLO") == greeting("%7\r\n", 3, id));
  CHECK(client.run("HELLO", "2", "SETNAME", "me", "AUTH", "default", "any") == greeting("*14\r\n", 2, id));
  CHECK(client.run("CLIENT", "GETNAME") == bulk("me"));
}

TEST_CASE("connection: HELLO refuses what it does not understand and changes nothing then") {
  Server server;
  Client client(server);
  CHECK(client.run("HELLO", "4") == "-NOPROTO unsupported protocol version\r\n");
  CHECK(client.run("HELLO", "a") == "-ERR Protocol version is not an integer or out of range\r\n");
  CHECK(client.run("HELLO", "3", "AUTH", "default") == "-ERR Syntax error in HELLO option 'AUTH'\r\n");
  CHECK(client.run("HELLO", "3", "SETNAME", "me", "foo") == "-ERR Syntax error in HELLO option 'foo'\r\n");
  CHECK(client.run("HELLO", "3", "SETNAME", "a b") == "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
  CHECK(client.run("HELLO", "3", "SETNAME", "me", "AUTH", "nobody", "x") ==
        "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  CHECK(client.session.protocol == 2);
  CHECK(client.run("CLIENT", "GETNAME") == "$-1\r\n");
}

TEST_CASE("connection: HELLO can log in, and must where a password is set") {
  Server server;
  server.set(pinfold::config::Id::requirepass, "secret");
  Client client(server);
  CHECK(client.run("HELLO", "3").starts_with("-NOAUTH HELLO must be called with the client already authenticated"));
  CHECK(client.session.protocol == 2);
  CHECK(client.run("HELLO", "3", "AUTH", "default", "secret").starts_with("%7\r\n"));
  CHECK(client.run("PING") == "+PONG\r\n");
}

TEST_CASE("connection: AUTH without a password set is a mistake worth telling") {
  Server server;
  Client client(server);
  CHECK(client.run("AUTH", "a") ==
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
        "configuration is correct?\r\n");
  CHECK(client.run("AUTH", "default", "a") == ok);
  CHECK(client.run("AUTH", "a", "b") == "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  CHECK(client.run("AUTH", "a", "b", "c") == "-ERR syntax error\r\n");
}

TEST_CASE("connection: RESET makes it a new one") {
  Server server;
  Client client(server);
  client.run("HELLO", "3", "SETNAME", "me");
  client.run("CLIENT", "SETINFO", "LIB-NAME", "lib");
  client.run("CLIENT", "NO-TOUCH", "ON");
  client.run("SELECT", "4");
  client.run("WATCH", "a");
  client.run("MULTI");
  client.run("CLIENT", "REPLY", "OFF");
  CHECK(client.run("RESET") == "+RESET\r\n");
  CHECK(client.session.protocol == 2);
  CHECK(client.session.db == 0);
  CHECK_FALSE(client.session.no_touch);
  CHECK(client.session.watched.empty());
  CHECK(client.session.transaction == nullptr);
  CHECK(client.session.shared.name.empty());
  CHECK(client.session.shared.library_name == "lib");
  client.run("CLIENT", "REPLY", "OFF");
  CHECK(client.run("RESET") == "+RESET\r\n");
}

TEST_CASE("connection: QUIT closes after its reply") {
  Server server;
  Client client(server);
  CHECK(client.run("QUIT", "whatever") == ok);
  CHECK(client.session.close_after_reply);
}
