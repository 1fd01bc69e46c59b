// What dispatch, EXEC and the statistics make of what a handler returns.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::command;
using store::Stored;

namespace {

const std::string oom = "-" + std::string(out_of_memory_error) + "\r\n";

// While it lives, STRLEN does what a test says.
class Replaced {
 public:
  explicit Replaced(std::function<Outcome(Call&)> handler) {
    action = std::move(handler);
    calls = 0;
    row_.handler = [](Call& call) {
      ++calls;
      return action(call);
    };
  }
  ~Replaced() {
    row_.handler = before_;
    action = nullptr;
  }
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;

  static inline unsigned calls = 0;

 private:
  static inline std::function<Outcome(Call&)> action;

  Row& row_ = const_cast<Row&>(*find_command_by_name("strlen"));  // the table's own copy, which is constant by its interface only
  const Handler before_ = row_.handler;
};

using Errors = std::map<std::string, std::uint64_t>;

}  // namespace

TEST_CASE("outcome: a handler that needs room is called once more when it was made, and what it replied before is taken back") {
  Server server({.max_memory = 16 << 20});
  Client client(server);
  std::vector<bool> may_retry;
  const Replaced strlen([&](Call& call) -> Outcome {
    may_retry.push_back(call.may_retry);
    call.reply.array(2);
    call.reply.ok();
    if (call.may_retry) return call.refused(Stored::needs_room(1 << 20));
    CHECK(call.db().has_room(1 << 20));
    return call.reply.integer(1);
  });
  CHECK(client.run("STRLEN", "k") == "*2\r\n+OK\r\n:1\r\n");
  CHECK(Replaced::calls == 2);
  CHECK(may_retry == std::vector<bool>{true, false});
  CHECK(server.counters("strlen").calls.get() == 1);
  CHECK(server.counters("strlen").failed.get() == 0);
  CHECK(server.counters("strlen").rejected.get() == 0);
  CHECK(server.engine.stats.errors().empty());
}

TEST_CASE("outcome: a task that needs room in its first step gets it as its handler would, and one reply is written") {
  class Needing final : public Task {
   public:
    Outcome step(Call& call) override {
      if (call.may_retry) return call.refused(Stored::needs_room(1 << 20));
      return call.reply.ok();
    }
  };
  Server server({.max_memory = 16 << 20});
  Client client(server);
  const bool whole = GENERATE(false, true);
  const Replaced strlen([&](Call& call) -> Outcome {
    if (!whole) return call.begin(std::make_unique<Needing>());
    Needing task;
    return call.run_whole(task);
  });
  CHECK(client.run("STRLEN", "k") == "+OK\r\n");
  CHECK(Replaced::calls == 2);
  CHECK(server.counters("strlen").calls.get() == 1);
}

TEST_CASE("outcome: a handler that needs room again is answered with OOM, and that is one call which failed") {
  Server server({.max_memory = 16 << 20});
  Client client(server);
  const Replaced strlen([](Call& call) { return call.refused(Stored::needs_room(1 << 20)); });
  CHECK(client.run("STRLEN", "k") == oom);
  CHECK(Replaced::calls == 2);
  CHECK(server.counters("strlen").calls.get() == 1);
  CHECK(server.counters("strlen").failed.get() == 1);
  CHECK(server.engine.stats.errors() == Errors{{"OOM", 1}});
}

TEST_CASE("outcome: where no room can be made the handler is not called again, and the command counts as rejected") {
  Server server({.max_memory = 16 << 20, .policy = eviction::Kind::noeviction});
  Client client(server);
  const Replaced strlen([](Call& call) {
    call.reply.array(2);
    return call.refused(Stored::needs_room(32 << 20));
  });
  CHECK(client.run("STRLEN", "k") == oom);
  CHECK(Replaced::calls == 1);
  CHECK(server.counters("strlen").calls.get() == 0);
  CHECK(server.counters("strlen").failed.get() == 0);
  CHECK(server.counters("strlen").rejected.get() == 1);
  CHECK(server.engine.stats.errors() == Errors{{"OOM", 1}});
}

TEST_CASE("outcome: inside EXEC a handler that needs room is called once, and its error counts once") {
  Server server({.max_memory = 16 << 20});
  Client client(server);
  const Replaced strlen([](Call& call) {
    CHECK(call.in_transaction);
    CHECK_FALSE(call.may_retry);
    return call.refused(Stored::needs_room(1 << 20));
  });
  client.run("MULTI");
  client.run("STRLEN", "k");
  client.run("SET", "a", "1");
  CHECK(client.run("EXEC") == "*2\r\n" + oom + "+OK\r\n");
  CHECK(Replaced::calls == 1);
  CHECK(server.counters("strlen").calls.get() == 1);
  CHECK(server.counters("strlen").failed.get() == 1);
  CHECK(server.counters("exec").calls.get() == 1);
  CHECK(server.counters("exec").failed.get() == 0);
  CHECK(server.engine.stats.errors() == Errors{{"OOM", 1}});
}

TEST_CASE("outcome: a write that no room would help is answered with the reason, and not repeated") {
  Server server({.max_memory = 16 << 20});
  Client client(server);
  Stored why = Stored::no_memory;
  const Replaced strlen([&](Call& call) { return call.refused(why); });
  CHECK(client.run("STRLEN", "k") == oom);
  CHECK(Replaced::calls == 1);
  why = Stored::too_large;
  CHECK(client.run("STRLEN", "k") == "-ERR value is larger than the policy of its key allows (max-value)\r\n");
  CHECK(Replaced::calls == 2);
  CHECK(server.counters("strlen").calls.get() == 2);
  CHECK(server.counters("strlen").failed.get() == 2);
  CHECK(server.engine.stats.errors() == Errors{{"ERR", 1}, {"OOM", 1}});
}

TEST_CASE("outcome: a value that grows by more than its request gets the room, and inside EXEC only a little of it") {
  constexpr std::uint64_t limit = 16 << 20;
  constexpr std::uint64_t slack = 160 * 1024;  // room is made a segment and a group of the index at a time
  Server server({.shards = 2, .max_memory = limit});
  Client client(server);
  const std::string value(10'000, 'v');
  for (int i = 0; server.keyspace.stats().evicted == 0; ++i) REQUIRE(client.run("SET", "key:" + std::to_string(i), value) == "+OK\r\n");
  CHECK(client.run("SETRANGE", "small", "900000", "x") == ":900001\r\n");
  CHECK(server.counters("setrange").calls.get() == 1);
  CHECK(server.counters("setrange").failed.get() == 0);
  CHECK(server.keyspace.memory().data() <= limit + slack);
  client.run("MULTI");
  client.run("SETRANGE", "large", "6000000", "x");
  CHECK(client.run("EXEC") == "*1\r\n" + oom);
  CHECK(client.run("EXISTS", "large") == ":0\r\n");
}
