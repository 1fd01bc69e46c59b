#include <string>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {

// The reply of CL.THROTTLE.
std::string verdict(int limited, int limit, int remaining, int retry_after, int reset_after) {
  std::string text = "*5\r\n";
  for (const int number : {limited, limit, remaining, retry_after, reset_after}) {
    text += ":" + std::to_string(number) + "\r\n";
  }
  return text;
}

struct Limiter {
  Server server;
  Client client{server};

  template <class... Words>
  std::string throttle(const Words&... words) {
    return client.run("CL.THROTTLE", "k", words...);
  }
};

}  // namespace

TEST_CASE("throttle: a burst passes, then one action per interval") {
  Limiter limiter;
  const auto once = [&] { return limiter.throttle("2", "30", "60"); };  // one every 2 s, three at once
  CHECK(once() == verdict(0, 3, 2, -1, 2));
  CHECK(once() == verdict(0, 3, 1, -1, 4));
  CHECK(once() == verdict(0, 3, 0, -1, 6));
  CHECK(once() == verdict(1, 3, 0, 2, 6));
  CHECK(once() == verdict(1, 3, 0, 2, 6));  // being refused does not count
  limiter.server.now += 1'999;
  CHECK(once() == verdict(1, 3, 0, 1, 5));
  limiter.server.now += 1;
  CHECK(once() == verdict(0, 3, 0, -1, 6));
  limiter.server.now += 6'000;
  CHECK(once() == verdict(0, 3, 2, -1, 2));
}

TEST_CASE("throttle: waiting as long as the reply says is enough") {
  Limiter limiter;
  for (int i = 0; i < 4; ++i) limiter.throttle("3", "7", "1");
  for (int i = 0; i < 20; ++i) {
    const std::string refused = limiter.throttle("3", "7", "1");
    REQUIRE(refused.starts_with("*5\r\n:1\r\n:4\r\n:0\r\n:1\r\n"));  // a seventh of a second is rounded up to one
    limiter.server.now += 1'000;
    REQUIRE(limiter.throttle("3", "7", "1").starts_with("*5\r\n:0\r\n"));
    while (limiter.throttle("3", "7", "1").starts_with("*5\r\n:0\r\n")) continue;
  }
}

TEST_CASE("throttle: no more pass in any time than the burst and the rate allow") {
  Limiter limiter;
  int admitted = 0;
  for (int ms = 0; ms < 10'000; ++ms, ++limiter.server.now) {
    admitted += limiter.throttle("9", "100", "3").starts_with("*5\r\n:0\r\n") ? 1 : 0;
  }
  CHECK(admitted == 10 + 333);  // one every 30 ms after the first ten
}

TEST_CASE("throttle: a quantity counts as so many actions, and 0 only looks") {
  Limiter limiter;
  const auto take = [&](const char* quantity) { return limiter.throttle("4", "1", "1", quantity); };
  CHECK(take("0") == verdict(0, 5, 5, -1, 0));
  CHECK(limiter.client.run("EXISTS", "k") == ":0\r\n");
  CHECK(take("6") == verdict(1, 5, 5, -1, 0));  // never possible: no time to retry after
  CHECK(take("3") == verdict(0, 5, 2, -1, 3));
  CHECK(take("0") == verdict(0, 5, 2, -1, 3));
  CHECK(take("5") == verdict(1, 5, 2, 3, 3));
  CHECK(take("2") == verdict(0, 5, 0, -1, 5));
  CHECK(take("0") == verdict(0, 5, 0, -1, 5));
}

TEST_CASE("throttle: the state is an entry that expires when the limit is whole again") {
  Limiter limiter;
  limiter.throttle("0", "2", "3");
  CHECK(limiter.client.run("PTTL", "k") == ":1500\r\n");
  CHECK(limiter.client.run("TYPE", "k") == "+string\r\n");
  limiter.throttle("5", "2", "3");
  CHECK(limiter.client.run("PTTL", "k") == ":3000\r\n");
  limiter.server.now += 3'000;
  CHECK(limiter.client.run("EXISTS", "k") == ":0\r\n");
  limiter.throttle("5", "2", "3");
  CHECK(limiter.client.run("DEL", "k") == ":1\r\n");  // forgiven
  CHECK(limiter.throttle("5", "2", "3", "0") == verdict(0, 6, 6, -1, 0));
}

TEST_CASE("throttle: a limit may change while it is in use") {
  Limiter limiter;
  limiter.throttle("9", "1", "1", "10");
  CHECK(limiter.throttle("1", "1", "1") == verdict(1, 2, 0, 9, 10));
  CHECK(limiter.throttle("14", "1", "1") == verdict(0, 15, 4, -1, 11));
}

TEST_CASE("throttle: in a transaction all actions come at one time") {
  Limiter limiter;
  limiter.client.run("MULTI");
  for (int i = 0; i < 3; ++i) limiter.throttle("1", "1", "1");
  CHECK(limiter.client.run("EXEC") == "*3\r\n" + verdict(0, 2, 1, -1, 1) + verdict(0, 2, 0, -1, 2) + verdict(1, 2, 0, 1, 2));
}

TEST_CASE("throttle: wrong numbers are refused, and change nothing") {
  Limiter limiter;
  const std::string no_number = "-ERR value is not an integer or out of range\r\n";
  const std::string range = "-ERR rate is out of range\r\n";
  for (const char* text : {"", "x", "1.5", " 1", "1 ", "+1", "01", "9223372036854775808", "nan", "1e3"}) {
    INFO(text);
    CHECK(limiter.throttle(text, "1", "1") == no_number);
    CHECK(limiter.throttle("1", text, "1") == no_number);
    CHECK(limiter.throttle("1", "1", text) == no_number);
    CHECK(limiter.throttle("1", "1", "1", text) == no_number);
  }
  CHECK(limiter.throttle("-1", "1", "1") == "-ERR max-burst must be at least 0\r\n");
  CHECK(limiter.throttle("1", "0", "1") == "-ERR count must be at least 1\r\n");
  CHECK(limiter.throttle("1", "-9223372036854775808", "1") == "-ERR count must be at least 1\r\n");
  CHECK(limiter.throttle("1", "1", "0") == "-ERR period must be at least 1\r\n");
  CHECK(limiter.throttle("1", "1", "1", "-1") == "-ERR quantity must be at least 0\r\n");
  CHECK(limiter.throttle("1", "1", "1", "1", "1") == "-ERR syntax error\r\n");
  CHECK(limiter.throttle("1", "1") == "-ERR wrong number of arguments for 'cl.throttle' command\r\n");

  const char* largest = "9223372036854775807";
  CHECK(limiter.throttle(largest, "1", "1") == range);
  CHECK(limiter.throttle("9007199254740991", "1000000000", "1") == range);
  CHECK(limiter.throttle("1", largest, "1") == range);  // no nanosecond between two actions
  CHECK(limiter.throttle("1", "1000000001", "1") == range);
  CHECK(limiter.throttle("1", "1", largest) == range);
  CHECK(limiter.throttle("0", "1", "9223372036") == range);  // the last moment that can be counted is before that
  CHECK(limiter.throttle("9223372035", "1", "1") == range);
  CHECK(limiter.throttle("1", "1", "1", largest) == verdict(1, 2, 2, -1, 0));
  CHECK(limiter.client.run("DBSIZE") == ":0\r\n");
}

TEST_CASE("throttle: the widest limits that fit are counted without overflow") {
  Limiter limiter;
  const std::string burst = "5999999999";
  CHECK(limiter.throttle(burst, "1", "1", "6000000000") == "*5\r\n:0\r\n:6000000000\r\n:0\r\n:-1\r\n:6000000000\r\n");
  CHECK(limiter.throttle(burst, "1", "1") == "*5\r\n:1\r\n:6000000000\r\n:0\r\n:1\r\n:6000000000\r\n");
  CHECK(limiter.client.run("CL.THROTTLE", "fast", "9007199254740990", "1000000000", "1") ==
        "*5\r\n:0\r\n:9007199254740991\r\n:9007199254740990\r\n:-1\r\n:1\r\n");
}

TEST_CASE("throttle: a value that is no arrival time is left alone or made the best of") {
  Limiter limiter;
  limiter.client.run("SET", "k", "text");
  CHECK(limiter.throttle("1", "1", "1") == "-ERR value is not an integer or out of range\r\n");
  CHECK(limiter.client.run("GET", "k") == bulk("text"));
  limiter.client.run("SET", "k", "-9223372036854775808");
  CHECK(limiter.throttle("1", "1", "1") == verdict(0, 2, 1, -1, 1));
  limiter.client.run("SET", "k", "9223372036854775807");
  CHECK(limiter.throttle("1", "1", "1", "0").starts_with("*5\r\n:1\r\n:2\r\n:0\r\n:"));
  CHECK(limiter.client.run("GET", "k") == bulk("9223372036854775807"));
}
