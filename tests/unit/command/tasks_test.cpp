#include <string>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

TEST_CASE("tasks: a SCAN that asks for much waits behind what is short, and one that asks for little does not") {
  Server server;
  Client client(server);
  for (int i = 0; i < 2000; ++i) client.run("SET", std::to_string(i), "v");
  const auto steps = [&](std::string_view count) {
    CHECK(client.run("SCAN", "0", "COUNT", count).starts_with("*2\r\n"));
    return client.steps;
  };
  CHECK(steps("10") == 0);
  CHECK(steps("512") == 0);
  CHECK(steps("513") == 1);
  CHECK(steps("1000000") == 1);
  client.run("MULTI");
  client.run("SCAN", "0", "COUNT", "1000000");
  CHECK(client.run("EXEC").starts_with("*1\r\n*2\r\n"));
}

TEST_CASE("tasks: in a round that has taken long, no long command makes its first step") {
  Server server;
  Client client(server);
  client.run("SET", "k", std::string(300'000, 'v'));
  server.now += 3;
  client.run("DIGEST", "k");
  CHECK(client.steps > 0);
}
