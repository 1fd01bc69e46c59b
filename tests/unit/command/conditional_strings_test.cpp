#include <string>
#include <utility>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/value_condition.hpp"

using namespace pinfold::command;

TEST_CASE("conditions: DIGEST is XXH3 in 16 digits, as Redis shows it") {
  CHECK(digest("Hello world") == "b6acb9d84a38ff74");
  CHECK(digest("v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd") == "00006c38adf31777");
  Server server;
  Client client(server);
  client.run("SET", "k", "Hello world");
  CHECK(client.run("DIGEST", "k") == bulk("b6acb9d84a38ff74"));
  CHECK(client.run("DIGEST", "missing") == "$-1\r\n");
}

TEST_CASE("conditions: DELEX and DELIFEQ remove a key only if it is what the caller thinks") {
  Server server;
  Client client(server);
  const auto removes = [&](auto... words) {
    client.run("SET", "k", "Hello world");
    const std::string reply = client.run(words...);
    CHECK(client.run("EXISTS", "k") == (reply == ":1\r\n" ? ":0\r\n" : ":1\r\n"));
    return reply;
  };
  CHECK(removes("DELIFEQ", "k", "Hello world") == ":1\r\n");
  CHECK(removes("DELIFEQ", "k", "Hello") == ":0\r\n");
  CHECK(removes("DELEX", "k") == ":1\r\n");
  CHECK(removes("DELEX", "k", "ifeq", "Hello world") == ":1\r\n");
  CHECK(removes("DELEX", "k", "IFEQ", "") == ":0\r\n");
  CHECK(removes("DELEX", "k", "IFNE", "Hello world") == ":0\r\n");
  CHECK(removes("DELEX", "k", "IFNE", "Hello") == ":1\r\n");
  CHECK(removes("DELEX", "k", "IFDEQ", "B6ACB9D84A38FF74") == ":1\r\n");
  CHECK(removes("DELEX", "k", "IFDEQ", "b6acb9d84a38ff75") == ":0\r\n");
  CHECK(removes("DELEX", "k", "IFDNE", "b6acb9d84a38ff74") == ":0\r\n");
  CHECK(removes("DELEX", "k", "IFDNE", "b6acb9d84a38ff75") == ":1\r\n");
}

TEST_CASE("conditions: a missing key equals nothing and differs from everything") {
  Server server;
  Client client(server);
  for (const char* condition : {"IFEQ", "IFNE", "IFDEQ", "IFDNE"}) {
    CHECK(client.run("DELEX", "k", condition, "1234567890") == ":0\r\n");
  }
  CHECK(client.run("DELIFEQ", "k", "") == ":0\r\n");
  CHECK(client.run("SET", "k", "v", "IFDEQ", "1234567890") == "$-1\r\n");
  CHECK(client.run("SET", "k", "v", "IFDNE", "1234567890") == "+OK\r\n");
}

TEST_CASE("conditions: a large value is looked at in a task, if it may be what the caller thinks") {
  Server server;
  Client client(server);
  const std::string value(32'000'000, 'v');  // more than one step compares
  const std::string other = value.substr(1) + "!";
  // Whether the command took more than one step, and its reply.
  const auto run = [&](auto... words) {
    client.run("SET", "k", value);
    const std::string reply = client.run(words...);
    return std::pair(client.steps > 0, reply);
  };
  CHECK((run("DELIFEQ", "k", value) == std::pair(true, std::string(":1\r\n"))));
  CHECK((run("DELIFEQ", "k", other) == std::pair(true, std::string(":0\r\n"))));
  CHECK((run("DELEX", "k", "IFEQ", other) == std::pair(true, std::string(":0\r\n"))));
  CHECK((run("DELEX", "k", "IFNE", other) == std::pair(true, std::string(":1\r\n"))));
  CHECK((run("DELEX", "k", "IFDEQ", digest(other)) == std::pair(true, std::string(":0\r\n"))));
  CHECK((run("SET", "k", "w", "IFEQ", value) == std::pair(true, std::string("+OK\r\n"))));
  CHECK((run("SET", "k", "w", "IFNE", value, "GET") == std::pair(true, bulk(value))));
  CHECK((run("SET", "k", "w", "IFNE", value + "v") == std::pair(false, std::string("+OK\r\n"))));
  CHECK((run("DELIFEQ", "k", "v") == std::pair(false, std::string(":0\r\n"))));
}

TEST_CASE("conditions: wrong ones are refused") {
  Server server;
  Client client(server);
  client.run("SET", "k", "v");
  const std::string malformed = "-ERR must be exactly 16 hexadecimal characters\r\n";
  for (const char* text : {"", "123", "0b6acb9d84a38ff74", "zzzzzzzzzzzzzzzz"}) {
    INFO("'" << text << "'");
    CHECK(client.run("DELEX", "k", "IFDNE", text) == malformed);
    CHECK(client.run("SET", "k", "w", "IFDNE", text, "GET") == malformed);
  }
  CHECK(client.run("DELEX", "k", "IF", "v") == "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE\r\n");
  const std::string arity = "-ERR wrong number of arguments for 'delex' command\r\n";
  CHECK(client.run("DELEX", "k", "IFEQ") == arity);
  CHECK(client.run("DELEX", "k", "IFEQ", "v", "w") == arity);
  CHECK(client.run("SET", "k", "w", "IFEQ", "v", "IFNE", "v") == "-ERR syntax error\r\n");
  CHECK(client.run("GET", "k") == bulk("v"));
}

TEST_CASE("conditions: MSETEX sets all or none, with one deadline") {
  Server server;
  Client client(server);
  CHECK(client.run("MSETEX", "2", "a", "1", "b", "2", "XX") == ":0\r\n");
  CHECK(client.run("MSETEX", "2", "a", "1", "b", "2", "EX", "100", "NX") == ":1\r\n");
  CHECK(client.run("TTL", "b") == ":100\r\n");
  CHECK(client.run("MSETEX", "2", "c", "1", "b", "3", "NX") == ":0\r\n");
  CHECK(client.run("EXISTS", "c") == ":0\r\n");
  CHECK(client.run("MSETEX", "1", "b", "3", "KEEPTTL") == ":1\r\n");
  CHECK(client.run("TTL", "b") == ":100\r\n");
  CHECK(client.run("MSETEX", "1", "b", "4") == ":1\r\n");
  CHECK(client.run("TTL", "b") == ":-1\r\n");
  CHECK(client.run("MSETEX", "2", "a", "5", "b", "5", "PXAT", "1") == ":1\r\n");
  CHECK(client.run("EXISTS", "a", "b") == ":0\r\n");
}

TEST_CASE("conditions: MSETEX refuses wrong counts and options") {
  Server server;
  Client client(server);
  for (const char* count : {"0", "-1", "x", "2147483648"}) {
    CHECK(client.run("MSETEX", count, "a", "1") == "-ERR invalid numkeys value\r\n");
  }
  const std::string pairs = "-ERR wrong number of key-value pairs\r\n";
  CHECK(client.run("MSETEX", "2147483647", "a", "1", "EX", "10") == pairs);
  CHECK(client.run("MSETEX", "2", "a", "1", "b") == pairs);
  CHECK(client.run("MSETEX", "1", "a", "1", "b") == "-ERR syntax error\r\n");
  CHECK(client.run("MSETEX", "1", "a", "1", "NX", "XX") == "-ERR syntax error\r\n");
  CHECK(client.run("MSETEX", "1", "a", "1", "EX", "10", "KEEPTTL") == "-ERR syntax error\r\n");
  CHECK(client.run("MSETEX", "1", "a", "1", "EX", "0") == "-ERR invalid expire time in 'msetex' command\r\n");
  CHECK(client.run("EXISTS", "a") == ":0\r\n");
}
