#include <string>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

TEST_CASE("bitmaps: BITCOUNT and BITPOS look at a range of bytes or bits") {
  Server server;
  Client client(server);
  client.run("SET", "s", "foobar");
  CHECK(client.run("BITCOUNT", "s") == ":26\r\n");
  CHECK(client.run("BITCOUNT", "s", "-3", "-1") == ":10\r\n");
  CHECK(client.run("BITCOUNT", "s", "5", "30", "BIT") == ":17\r\n");
  CHECK(client.run("BITCOUNT", "s", "-1", "-2") == ":0\r\n");
  client.run("SET", "ones", "\xff\xff\xff");
  CHECK(client.run("BITPOS", "ones", "0") == ":24\r\n");
  CHECK(client.run("BITPOS", "ones", "0", "0", "-1") == ":-1\r\n");
  CHECK(client.run("BITPOS", "ones", "1", "2") == ":16\r\n");
  CHECK(client.run("BITPOS", "ones", "1", "7", "9", "bit") == ":7\r\n");
  CHECK(client.run("BITPOS", "ones", "0", "4") == ":-1\r\n");
}

TEST_CASE("bitmaps: a missing key has no bits, whatever is wrong with the range") {
  Server server;
  Client client(server);
  CHECK(client.run("BITCOUNT", "missing", "0") == ":0\r\n");
  CHECK(client.run("BITPOS", "missing", "0", "x") == ":0\r\n");
  CHECK(client.run("BITPOS", "missing", "1", "0", "1", "WORD") == ":-1\r\n");
  CHECK(client.run("BITPOS", "missing", "2") == "-ERR The bit argument must be 1 or 0.\r\n");
  client.run("SET", "s", "x");
  CHECK(client.run("BITCOUNT", "s", "0") == "-ERR syntax error\r\n");
  CHECK(client.run("BITCOUNT", "s", "0", "1", "WORD") == "-ERR syntax error\r\n");
}

TEST_CASE("bitmaps: BITOP stores a result as long as its longest source, and nothing if that is empty") {
  Server server;
  Client client(server);
  client.run("MSET", "a", "abc", "b", "\xff", "d", "old");
  CHECK(client.run("BITOP", "AND", "d", "a", "b") == ":3\r\n");
  CHECK(client.run("GETRANGE", "d", "0", "0") == bulk("a"));
  CHECK(client.run("BITCOUNT", "d", "1", "2") == ":0\r\n");
  CHECK(client.run("BITOP", "XOR", "a", "a", "a") == ":3\r\n");
  CHECK(client.run("BITCOUNT", "a") == ":0\r\n");
  CHECK(client.run("BITOP", "NOT", "d", "missing") == ":0\r\n");
  CHECK(client.run("EXISTS", "d") == ":0\r\n");
  CHECK(client.run("BITOP", "NOT", "d", "a", "b") == "-ERR BITOP NOT must be called with a single source key.\r\n");
  CHECK(client.run("BITOP", "NAND", "d", "a", "b") == "-ERR syntax error\r\n");
  const std::string large(100'000, '\x0f');
  client.run("SET", "large", large);
  CHECK(client.run("BITOP", "OR", "d", "large", "b") == ":100000\r\n");
  CHECK(client.run("BITCOUNT", "d") == ":400004\r\n");
}

TEST_CASE("bitmaps: BITFIELD runs its operations in order") {
  Server server;
  Client client(server);
  CHECK(client.run("BITFIELD", "k", "SET", "i5", "3", "-5", "GET", "u5", "3", "GET", "i5", "3") == "*3\r\n:0\r\n:27\r\n:-5\r\n");
  CHECK(client.run("BITFIELD", "n", "OVERFLOW", "SAT", "INCRBY", "u8", "#1", "300", "OVERFLOW", "FAIL", "INCRBY", "u8", "#1", "1", "GET",
                   "u8", "8") == "*3\r\n:255\r\n$-1\r\n:255\r\n");
  CHECK(client.run("STRLEN", "n") == ":2\r\n");
  CHECK(client.run("BITFIELD", "grown", "OVERFLOW", "FAIL", "INCRBY", "u2", "14", "9") == "*1\r\n$-1\r\n");
  CHECK(client.run("STRLEN", "grown") == ":2\r\n");
  CHECK(client.run("BITFIELD", "missing", "GET", "u8", "0") == "*1\r\n:0\r\n");
  CHECK(client.run("BITFIELD", "missing") == "*0\r\n");
  CHECK(client.run("EXISTS", "missing") == ":0\r\n");
}

TEST_CASE("bitmaps: BITFIELD checks all of its operations before it runs one") {
  Server server;
  Client client(server);
  CHECK(client.run("BITFIELD", "k", "SET", "u8", "0", "1", "GET", "u64", "0") ==
        "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 "
        "is.\r\n");
  CHECK(client.run("BITFIELD", "k", "SET", "u8", "0", "1", "OVERFLOW", "CLIP") == "-ERR Invalid OVERFLOW type specified\r\n");
  CHECK(client.run("BITFIELD", "k", "SET", "u8", "0", "1", "SET", "u8", "0") == "-ERR syntax error\r\n");
  CHECK(client.run("BITFIELD", "k", "SET", "u8", "#-1", "1") == "-ERR bit offset is not an integer or out of range\r\n");
  CHECK(client.run("EXISTS", "k") == ":0\r\n");
  CHECK(client.run("BITFIELD_RO", "k", "GET", "u8", "0", "SET", "u8", "0", "1") == "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
}

TEST_CASE("bitmaps: a failed BITFIELD operation is null in the client's protocol") {
  Server server;
  Client client(server);
  client.session.protocol = 3;
  CHECK(client.run("BITFIELD", "k", "OVERFLOW", "FAIL", "INCRBY", "u2", "0", "100") == "*1\r\n_\r\n");
}

TEST_CASE("bitmaps: BITOP of large sources that keep changing gives up instead of keeping them locked", "[one-thread]") {
  Server server;
  Client client(server);
  Client writer(server);
  client.run("SET", "src", std::string(1'000'000, 'x'));
  std::vector<std::string_view> request = {"BITOP", "OR", "dst"};
  request.insert(request.end(), 100, "src");  // more than a step does
  pinfold::resp::Output output;
  pinfold::resp::Reply reply(output, 2);
  server.dispatcher.execute(client.session, request, reply);
  REQUIRE(client.session.waits());
  for (int i = 0; client.session.waits(); ++i) {
    writer.run("SETRANGE", "src", "5", std::to_string(i));
    server.dispatcher.step(client.session, reply);
  }
  CHECK(text_of(output) == "-ERR the sources of BITOP kept changing while they were combined, try again\r\n");
  CHECK(client.run("EXISTS", "dst") == ":0\r\n");
  CHECK(client.run_all(request) == ":1000000\r\n");
}
