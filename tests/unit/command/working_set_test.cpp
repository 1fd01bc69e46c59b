// The working set of a server: what is noted, simulated and advised.
#include "pinfold/command/working_set.hpp"

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/advice.hpp"

using namespace pinfold;
using namespace pinfold::command;
using State = WorkingSetEstimate::State;

namespace {

// The background worker's part, with a clock of its own.
struct Worker {
  explicit Worker(Server& served) : server(served), others(server.keyspace.memory().used(store::Use::sampling)) { tick(); }
  void tick(bool on = true) {
    while (server.engine.working_set.step()) {
    }
    now = now + 1000;
    server.engine.working_set.tick(on, now);
  }
  // Bytes for the working set; others sample, too.
  std::uint64_t memory() const { return server.keyspace.memory().used(store::Use::sampling) - others; }
  Server& server;
  const std::uint64_t others;
  MonoMs now = monotonic_ms();
};

std::string name(int i) { return "key:" + std::to_string(i); }

}  // namespace

TEST_CASE("the working set is unknown while metrics is off, and takes no memory then") {
  Server server;
  Client client(server);
  client.run("SET", "key", "value");
  client.run("GET", "key");
  CHECK(client.run("PINFOLD.ADVISE").find("Not enough traffic yet") != std::string::npos);  // nobody has looked yet whether metrics is on
  Worker worker(server);
  CHECK(server.engine.working_set.estimate().state == State::warming);
  CHECK(client.run("PINFOLD.ADVISE").find("Not enough traffic yet") != std::string::npos);
  CHECK(worker.memory() > 0);
  worker.tick(false);
  CHECK(worker.memory() == 0);
  CHECK(server.engine.working_set.estimate().state == State::off);
  CHECK(client.run("PINFOLD.ADVISE").find("metrics is off") != std::string::npos);
}

TEST_CASE("reads are counted once each, and the hit ratio with the present memory is that of the server") {
  Server server;
  Client client(server);
  Worker worker(server);
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 500; ++i) {
      if (client.run("GET", name(i)) == "$-1\r\n") client.run("SET", name(i), "value");
    }
    worker.tick();
  }
  const WorkingSetEstimate known = server.engine.working_set.estimate();
  CHECK(known.state == State::known);
  CHECK(known.reads == 2000);
  CHECK(known.dropped == 0);
  CHECK(known.entries == 500);
  CHECK(known.hit_ratios[WorkingSetEstimate::present] == Approx(0.75));
  const std::string advice = client.run("PINFOLD.ADVISE", "HITRATIO", "0.9");
  CHECK(advice.find("75.00 %") != std::string::npos);
  CHECK(advice.find("A hit ratio of 90.00 % is not reached") != std::string::npos);
  CHECK(advice.find("100.00 % of the keys (500 of 500) have no TTL") != std::string::npos);
}

TEST_CASE("flushed and purged keys are gone in the simulation, too") {
  Server server;
  Client client(server);
  Worker worker(server);
  for (int i = 0; i < 100; ++i) client.run("SET", name(i), "value");
  worker.tick();
  CHECK(server.engine.working_set.estimate().entries == 100);
  client.run("FLUSHALL");
  worker.tick();
  CHECK(server.engine.working_set.estimate().entries == 0);
  client.run("CACHE.SET", "tagged", "value", "TAGS", "1", "tag");
  worker.tick();
  CHECK(server.engine.working_set.estimate().entries == 1);
  client.run("CACHE.PURGE", "TAGS", "1", "tag");
  client.run("GET", "tagged");  // finds that it was purged
  worker.tick();
  CHECK(server.engine.working_set.estimate().entries == 0);
}

TEST_CASE("PINFOLD.ADVISE refuses what it does not know") {
  Server server;
  Client client(server);
  const std::string usage = "; usage: PINFOLD.ADVISE [HITRATIO ratio]\r\n";
  CHECK(client.run("PINFOLD.ADVISE", "HITRATIO") == "-ERR HITRATIO needs a value" + usage);
  CHECK(client.run("PINFOLD.ADVISE", "LESS", "1") == "-ERR unknown option 'LESS'" + usage);
  for (const char* const bad : {"0", "1", "-1", "1.5", "nan", "inf", "x", ""}) {
    CHECK(client.run("PINFOLD.ADVISE", "HITRATIO", bad) ==
          "-ERR HITRATIO takes a number between 0 and 1, such as 0.9, not '" + std::string(bad) + "'\r\n");
  }
}

TEST_CASE("with noeviction there is nothing to simulate") {
  Server server;
  Client client(server);
  server.keyspace.set_policy(eviction::Kind::noeviction);
  const Worker worker(server);
  CHECK(server.engine.working_set.estimate().state == State::no_policy);
  CHECK(worker.memory() == 0);
  CHECK(client.run("PINFOLD.ADVISE").find("noeviction") != std::string::npos);
}

TEST_CASE("sampling takes at most a thirty-second of maxmemory, and less than 3 MB") {
  constexpr std::uint64_t megabyte = 1 << 20;
  CHECK(WorkingSet::most_memory(0) < 3 * megabyte);
  CHECK(WorkingSet::most_memory(WorkingSet::least_memory) > 0);
  for (std::uint64_t limit = megabyte; limit < 200 * megabyte; limit += megabyte) CHECK(WorkingSet::most_memory(limit) <= limit / 32);
  for (const std::uint64_t limit : {8, 16, 32, 96}) {
    Server server({.max_memory = limit * megabyte});
    Client client(server);
    Worker worker(server);
    // Many small values: more entries than can be simulated.
    for (int i = 0; i < 150'000; ++i) {
      client.run("SET", name(i), "v");
      if (i % 100 == 0) {
        while (server.engine.working_set.step()) {
        }
      }
    }
    worker.tick();
    INFO(limit);
    CHECK(server.engine.working_set.estimate().halvings > 0);
    CHECK(worker.memory() <= WorkingSet::most_memory(limit * megabyte));
  }
}

TEST_CASE("with a lower maxmemory, sampling takes less memory") {
  Server server({.max_memory = 200 << 20});
  Client client(server);
  Worker worker(server);
  for (int i = 0; i < 20'000; ++i) {
    client.run("SET", name(i), "v");
    if (i % 100 == 0) server.engine.working_set.step();
  }
  worker.tick();
  REQUIRE(worker.memory() > WorkingSet::most_memory(16 << 20));
  server.keyspace.set_max_memory(16 << 20);
  worker.tick();
  CHECK(worker.memory() <= WorkingSet::most_memory(16 << 20));
}

TEST_CASE("below 8 MB nothing is sampled") {
  Server server({.max_memory = WorkingSet::least_memory - 1});
  Client client(server);
  const Worker worker(server);
  CHECK(server.engine.working_set.estimate().state == State::small);
  CHECK(worker.memory() == 0);
  CHECK(client.run("PINFOLD.ADVISE").find("no room to simulate") != std::string::npos);
}

TEST_CASE("under load at most one key in 32 is sampled") {
  Server server;
  Client client(server);
  Worker worker(server);
  const std::uint64_t second = 1'000'000'000;
  server.engine.working_set.tick(true, worker.now + 1000, std::array{second});
  server.engine.working_set.tick(true, worker.now + 2000, std::array{second + second * 2 / 5});
  CHECK(server.engine.working_set.estimate().halvings == 0);
  server.engine.working_set.tick(true, worker.now + 3000, std::array{second * 2});
  CHECK(server.engine.working_set.estimate().halvings == WorkingSet::halvings_when_busy);
  // A minute later there is still nothing to do, and the sample grows again.
  for (int i = 1; i <= 61; ++i) server.engine.working_set.tick(true, worker.now + 3000 + i * 1000, std::array{second * 2});
  CHECK(server.engine.working_set.estimate().halvings == WorkingSet::halvings_when_busy - 1);
}

TEST_CASE("a full buffer drops accesses and counts them") {
  store::AccessSamples samples;
  CHECK_FALSE(samples.takes(1));
  samples.start(UINT64_MAX, 2);
  CHECK(samples.takes(1));
  CHECK_FALSE(samples.has_become_half_full());
  samples.note({.position = 1});
  CHECK(samples.has_become_half_full());
  samples.note({.position = 2});
  samples.note({.position = 3});
  CHECK_FALSE(samples.has_become_half_full());
  CHECK(samples.dropped() == 1);
  std::vector<eviction::SampledAccess> taken;
  taken.reserve(2);
  samples.take(taken);
  CHECK(taken.size() == 2);
  samples.stop();
  CHECK_FALSE(samples.takes(1));
}

TEST_CASE("the memory for a wanted hit ratio lies between the points that are known") {
  WorkingSetEstimate known;
  known.memory = 1000;
  known.hit_ratios = {0.5, 0.6, 0.7, 0.8, 0.9};
  CHECK(known.memory_for(0.4) == 250);
  CHECK(known.memory_for(0.6) == 500);
  CHECK(known.memory_for(0.75) == 1414);  // half way, of a logarithm
  CHECK(known.memory_for(0.9) == 4000);
  CHECK_FALSE(known.memory_for(0.95));
}

TEST_CASE("advice: nothing is said of other sizes of memory from fewer than a hundred entries") {
  WorkingSetEstimate estimate;
  estimate.state = State::known;
  estimate.memory = 64 << 20;
  estimate.reads = 5000;
  const auto has = [&](std::string_view text) {
    const std::vector<std::string> lines = advice_from(estimate, 0.9);
    return std::ranges::any_of(lines, [&](const std::string& line) { return line.find(text) != std::string::npos; });
  };
  estimate.entries = 99;
  CHECK(has("with 64.00 MiB of memory"));
  CHECK(has("Too few keys are stored to say what more or less memory would give: 99 sampled entries."));
  CHECK_FALSE(has("half the memory"));
  CHECK_FALSE(has("A hit ratio of 90.00 %"));
  estimate.entries = 100;
  CHECK(has("half the memory (32.00 MiB)"));
  CHECK(has("A hit ratio of 90.00 % is not reached"));
}

TEST_CASE("advice: entries are called unread when they have had the time to be read") {
  WorkingSetEstimate estimate;
  estimate.state = State::known;
  estimate.entries = 1000;
  estimate.unread = {.keys = 0.9, .bytes = 0.9, .age_ms = 59'999};
  const auto advises = [&] {
    const std::vector<std::string> lines = advice_from(estimate);
    return std::ranges::any_of(lines, [](const std::string& line) { return line.starts_with("Entries that were never read"); });
  };
  CHECK_FALSE(advises());
  estimate.unread.age_ms = 60'000;
  CHECK(advises());
  estimate.changes = {.changes = 500, .age_ms = 600'000, .ttl_ms = 0};
  CHECK_FALSE(advises());
  estimate.unread.age_ms = 1'200'000;
  CHECK(advises());
  estimate.unread.bytes = 0.05;
  CHECK_FALSE(advises());
}
