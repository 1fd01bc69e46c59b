#include <string>
#include <string_view>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/prepared_write.hpp"

namespace resp = pinfold::resp;
namespace store = pinfold::store;
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

namespace {
// A large value that is never what it was, and a command that would change it.
struct Changing {
  Changing() { client.run("SET", "k", "v"); }

  template <class Begin>
  std::string reply_to(std::vector<std::string_view> args, Begin&& begin) {
    tries = 0;
    resp::Output output;
    resp::Reply reply(output, 2);
    store::Keyspace::Locks locks(server.engine.keyspace);
    Call call(*find_command(args), args, reply, client.session, server.engine, server.dispatcher.clock(), {}, locks);
    const Outcome outcome = begin(call);
    CHECK((outcome == Outcome::waits) == client.session.waits());
    locks.release();
    while (client.session.waits()) server.dispatcher.step(client.session, reply);
    return text_of(output);
  }

  Server server;
  Client client{server};
  static inline unsigned tries = 0;
};
constexpr unsigned most_tries = 32;
}  // namespace

TEST_CASE("tasks: a write that needs a look at a large value which keeps changing gives up instead of keeping it locked") {
  Changing value;
  const std::string text(1'000'000, 'v');
  const bool names_it = GENERATE(false, true);
  const auto known = [&] {
    store::Value found;
    found.text = text;
    return KnownValue{KeptValue(found), names_it ? std::size_t{3} : std::size_t{0}, {}, false};
  };
  const std::string reply = value.reply_to({"DELEX", "k", names_it ? "IFEQ" : "IFDEQ", text}, [&](Call& call) {
    return inspect_and_write(
        call,
        [](Call& again, KnownValue* of) -> Tried {
          ++Changing::tries;
          if (of != nullptr) return std::nullopt;
          return again.reply.simple("compared with the key locked");
        },
        known());
  });
  CHECK(reply ==
        (names_it ? "+compared with the key locked\r\n" : "-ERR the value of DELEX kept changing while it was looked at, try again\r\n"));
  CHECK(Changing::tries == most_tries + (names_it ? 1 : 0));
}

TEST_CASE("tasks: a value that must be copied to grow, and keeps changing, is copied as in EXEC at last, or the write gives up") {
  Changing value;
  const std::string reply = value.reply_to({"APPEND", "k", "x"}, [](Call& call) {
    return write_growing(call, [](Call& again, store::Growth* growth) {
      ++Changing::tries;
      if (!growth->may_wait) return not_grown(again, store::Stored::takes_too_long);  // as what is larger than a megabyte does
      growth->want(1'000'000, 1'000'000, pinfold::Blob());
      return not_grown(again, store::Stored::must_prepare);
    });
  });
  CHECK(reply == "-ERR the value of APPEND kept changing while it was looked at, try again\r\n");
  CHECK(Changing::tries == most_tries + 1);  // and the one that found out
}
