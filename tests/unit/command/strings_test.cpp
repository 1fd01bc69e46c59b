#include <algorithm>
#include <string>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {

constexpr const char* kNull = "$-1\r\n";
constexpr const char* kOk = "+OK\r\n";
constexpr const char* kSyntax = "-ERR syntax error\r\n";
constexpr const char* kNoInteger = "-ERR value is not an integer or out of range\r\n";
constexpr const char* kTooLong = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";

std::string at(pinfold::UnixMs ms) { return std::to_string(ms); }

}  // namespace

TEST_CASE("strings: SET stores only if its condition holds and answers the old value with GET") {
  Server server;
  Client client(server);
  CHECK(client.run("SET", "k", "1", "XX") == kNull);
  CHECK(client.run("SET", "k", "1", "NX", "GET") == kNull);
  CHECK(client.run("SET", "k", "2", "NX", "GET") == bulk("1"));
  CHECK(client.run("GET", "k") == bulk("1"));
  CHECK(client.run("SET", "k", "2", "xx", "get") == bulk("1"));
  CHECK(client.run("SET", "k", "3", "IFEQ", "1") == kNull);
  CHECK(client.run("SET", "k", "3", "IFEQ", "2", "GET") == bulk("2"));
  CHECK(client.run("SET", "new", "3", "IFEQ", "") == kNull);
  CHECK(client.run("SET", "new", "3", "IFNE", "") == kOk);
  CHECK(client.run("GET", "k") == bulk("3"));
}

TEST_CASE("strings: options that exclude each other are a syntax error, repeated ones are not") {
  Server server;
  Client client(server);
  CHECK(client.run("SET", "k", "v", "NX", "XX") == kSyntax);
  CHECK(client.run("SET", "k", "v", "EX", "10", "PX", "10") == kSyntax);
  CHECK(client.run("SET", "k", "v", "KEEPTTL", "EX", "10") == kSyntax);
  CHECK(client.run("SET", "k", "v", "IFEQ", "a", "NX") == kSyntax);
  CHECK(client.run("SET", "k", "v", "XX", "IFEQ", "a") == kSyntax);
  CHECK(client.run("SET", "k", "v", "PERSIST") == kSyntax);
  CHECK(client.run("SET", "k", "v", "EX") == kSyntax);
  CHECK(client.run("SET", "k", "v", "EX", "x", "NX", "XX") == kSyntax);  // before the number is looked at
  CHECK(client.run("SET", "k", "v", "EX", "10", "EX", "20", "GET", "GET") == kNull);
  CHECK(client.run("TTL", "k") == ":20\r\n");
  CHECK(client.run("GETEX", "k", "KEEPTTL") == kSyntax);
}

TEST_CASE("strings: a deadline must be positive and fit") {
  Server server;
  Client client(server);
  const std::string wrong = "-ERR invalid expire time in 'set' command\r\n";
  for (const char* time : {"0", "-1", "9223372036854775807", "9223372036854775"}) {
    INFO(time);
    CHECK(client.run("SET", "k", "v", "EX", time) == wrong);
  }
  CHECK(client.run("SET", "k", "v", "EX", "1.5") == kNoInteger);
  CHECK(client.run("SET", "k", "v", "PXAT", "9223372036854775807") == kOk);
  CHECK(client.run("PSETEX", "k", "0", "v") == "-ERR invalid expire time in 'psetex' command\r\n");
  CHECK(client.run("SETEX", "k", "x", "v") == kNoInteger);
}

TEST_CASE("strings: a deadline in the past leaves no key behind") {
  Server server;
  Client client(server);
  client.run("SET", "k", "v");
  CHECK(client.run("SET", "k", "w", "PXAT", at(server.now), "GET") == bulk("v"));
  CHECK(client.run("EXISTS", "k") == ":0\r\n");
  client.run("SET", "k", "v");
  CHECK(client.run("GETEX", "k", "EXAT", "1") == bulk("v"));
  CHECK(client.run("EXISTS", "k") == ":0\r\n");
}

TEST_CASE("strings: what replaces a value drops its deadline, what changes it keeps it") {
  Server server;
  Client client(server);
  const auto ttl_after = [&](auto... words) {
    client.run("SET", "k", "10", "EX", "100");
    client.run(words...);
    return client.run("TTL", "k");
  };
  for (const auto* command : {"INCR", "DECR"}) CHECK(ttl_after(command, "k") == ":100\r\n");
  CHECK(ttl_after("INCRBYFLOAT", "k", "0.5") == ":100\r\n");
  CHECK(ttl_after("APPEND", "k", "0") == ":100\r\n");
  CHECK(ttl_after("SETRANGE", "k", "5", "0") == ":100\r\n");
  CHECK(ttl_after("SETBIT", "k", "90", "1") == ":100\r\n");
  CHECK(ttl_after("BITFIELD", "k", "SET", "u8", "400", "1") == ":100\r\n");
  CHECK(ttl_after("SET", "k", "1", "KEEPTTL") == ":100\r\n");
  CHECK(ttl_after("GETEX", "k") == ":100\r\n");
  CHECK(ttl_after("GETEX", "k", "PERSIST") == ":-1\r\n");
  CHECK(ttl_after("SET", "k", "1") == ":-1\r\n");
  CHECK(ttl_after("GETSET", "k", "1") == ":-1\r\n");
  CHECK(ttl_after("MSET", "k", "1") == ":-1\r\n");
  CHECK(ttl_after("BITOP", "NOT", "k", "k") == ":-1\r\n");
}

TEST_CASE("strings: OBJECT ENCODING tells how a value was written") {
  Server server;
  Client client(server);
  const auto encoding_after = [&](auto... words) {
    client.run("SET", "k", "12");
    client.run(words...);
    return client.run("OBJECT", "ENCODING", "k");
  };
  CHECK(encoding_after("INCR", "k") == bulk("int"));
  CHECK(encoding_after("INCRBYFLOAT", "k", "1") == bulk("embstr"));
  CHECK(encoding_after("APPEND", "k", "") == bulk("raw"));
  CHECK(encoding_after("SETRANGE", "k", "0", "") == bulk("int"));
  CHECK(encoding_after("SETRANGE", "k", "0", "1") == bulk("raw"));
  CHECK(encoding_after("SETBIT", "k", "0", "0") == bulk("raw"));
  CHECK(encoding_after("BITFIELD", "k", "GET", "u8", "0") == bulk("int"));
  CHECK(encoding_after("BITFIELD", "k", "SET", "u8", "0", "49") == bulk("raw"));
  CHECK(encoding_after("BITOP", "OR", "k", "k") == bulk("raw"));
  client.run("APPEND", "new", "12");
  CHECK(client.run("OBJECT", "ENCODING", "new") == bulk("int"));
}

TEST_CASE("strings: writing a bit that is there already does not fail a WATCH") {
  Server server;
  Client watcher(server);
  Client writer(server);
  writer.run("SETBIT", "k", "1", "1");
  const auto exec_after = [&](auto... words) {
    watcher.run("WATCH", "k");
    writer.run(words...);
    watcher.run("MULTI");
    return watcher.run("EXEC");
  };
  CHECK(exec_after("SETBIT", "k", "1", "1") == "*0\r\n");
  CHECK(exec_after("BITFIELD", "k", "SET", "u1", "1", "1") == "*0\r\n");
  CHECK(exec_after("BITFIELD", "k", "OVERFLOW", "FAIL", "INCRBY", "u1", "1", "1") == "*0\r\n");
  CHECK(exec_after("SETBIT", "k", "1", "0") == "*-1\r\n");
  CHECK(exec_after("BITFIELD", "k", "SET", "u1", "1", "1") == "*-1\r\n");
  CHECK(exec_after("SETBIT", "k", "100", "0") == "*-1\r\n");  // longer, if only by zeros
}

TEST_CASE("strings: counters refuse what is no number and what would overflow") {
  Server server;
  Client client(server);
  const std::string overflow = "-ERR increment or decrement would overflow\r\n";
  client.run("SET", "n", "9223372036854775807");
  CHECK(client.run("INCR", "n") == overflow);
  CHECK(client.run("DECRBY", "n", "-9223372036854775808") == "-ERR decrement would overflow\r\n");
  CHECK(client.run("INCRBY", "n", "-9223372036854775808") == ":-1\r\n");
  for (const char* text : {"", " 1", "1 ", "+1", "01", "-0", "1.0", "9223372036854775808"}) {
    INFO("'" << text << "'");
    client.run("SET", "n", text);
    CHECK(client.run("INCR", "n") == kNoInteger);
    CHECK(client.run("INCRBY", "other", text) == kNoInteger);
  }
}

TEST_CASE("strings: INCRBYFLOAT counts in decimal for people") {
  Server server;
  Client client(server);
  CHECK(client.run("INCRBYFLOAT", "f", "3.0e3") == bulk("3000"));
  CHECK(client.run("INCRBYFLOAT", "f", "0.1") == bulk("3000.10000000000000009"));  // 80 bits show
  CHECK(client.run("INCRBYFLOAT", "f", "-3000.1") == bulk("0"));
  CHECK(client.run("INCRBYFLOAT", "f", "0x10") == bulk("16"));
  const std::string not_finite = "-ERR increment would produce NaN or Infinity\r\n";
  CHECK(client.run("INCRBYFLOAT", "f", "inf") == not_finite);
  CHECK(client.run("INCRBYFLOAT", "f", "nan") == "-ERR value is not a valid float\r\n");
  CHECK(client.run("INCRBYFLOAT", "f", "1e5000") == "-ERR value is not a valid float\r\n");
  CHECK(client.run("INCRBYFLOAT", "f", " 1") == "-ERR value is not a valid float\r\n");
}

TEST_CASE("strings: no string grows past proto-max-bulk-len") {
  Server server;
  Client client(server);
  server.set(pinfold::config::Id::proto_max_bulk_len, "1048576");
  CHECK(client.run("SETRANGE", "k", "1048576", "x") == kTooLong);
  CHECK(client.run("SETRANGE", "k", "9223372036854775807", "x") == kTooLong);
  CHECK(client.run("SETRANGE", "k", "1048576", "") == ":0\r\n");
  CHECK(client.run("SETRANGE", "k", "1048575", "x") == ":1048576\r\n");
  CHECK(client.run("APPEND", "k", "x") == kTooLong);
  CHECK(client.run("APPEND", "k", "") == ":1048576\r\n");
  const std::string bad_offset = "-ERR bit offset is not an integer or out of range\r\n";
  CHECK(client.run("SETBIT", "b", "8388608", "1") == bad_offset);
  CHECK(client.run("SETBIT", "b", "8388607", "1") == ":0\r\n");
  CHECK(client.run("STRLEN", "b") == ":1048576\r\n");
  CHECK(client.run("BITFIELD", "b", "GET", "u8", "#1048576") == bad_offset);
  CHECK(client.run("BITFIELD", "b", "GET", "u8", "#9223372036854775807") == bad_offset);
}

TEST_CASE("strings: GETRANGE clamps its positions") {
  Server server;
  Client client(server);
  client.run("SET", "k", "Hello World");
  CHECK(client.run("GETRANGE", "k", "-5", "-1") == bulk("World"));
  CHECK(client.run("GETRANGE", "k", "0", "-100") == bulk("H"));
  CHECK(client.run("GETRANGE", "k", "-100", "-99") == bulk("H"));
  CHECK(client.run("GETRANGE", "k", "-100", "-101") == bulk(""));
  CHECK(client.run("GETRANGE", "k", "5", "3") == bulk(""));
  CHECK(client.run("SUBSTR", "k", "-9223372036854775808", "9223372036854775807") == bulk("Hello World"));
}

TEST_CASE("strings: a large value is the reply to the write that replaces it") {
  Server server;
  Client client(server);
  const std::string large(100'000, 'x');
  client.run("SET", "k", large);
  CHECK(client.run("GETRANGE", "k", "0", "-1") == bulk(large));
  CHECK(client.run("GETSET", "k", large + "y") == bulk(large));
  CHECK(client.run("SET", "k", "small", "GET") == bulk(large + "y"));
  client.run("SET", "k", large);
  CHECK(client.run("GETDEL", "k") == bulk(large));
  CHECK(client.run("GET", "k") == kNull);
}

TEST_CASE("strings: MSETNX sets all keys or none, MSET the last of equal ones") {
  Server server;
  Client client(server);
  CHECK(client.run("MSET", "a", "1", "b", "2", "a", "3") == kOk);
  CHECK(client.run("MGET", "a", "b", "c") == "*3\r\n" + bulk("3") + bulk("2") + kNull);
  CHECK(client.run("MSETNX", "c", "1", "a", "2") == ":0\r\n");
  CHECK(client.run("EXISTS", "c") == ":0\r\n");
  CHECK(client.run("MSETNX", "c", "1", "c", "2") == ":1\r\n");
  CHECK(client.run("GET", "c") == bulk("2"));
  CHECK(client.run("MSET", "a", "1", "b") == "-ERR wrong number of arguments for 'mset' command\r\n");
}
