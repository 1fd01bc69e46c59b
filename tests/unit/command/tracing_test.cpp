#include "pinfold/command/tracing.hpp"

#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::command;

namespace {

const std::string sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

struct Woken final : Sleeper {
  void wake_now() override { ++times; }
  int times = 0;
};

std::uint64_t sampling(Server& server) { return server.keyspace.memory().used(store::Use::sampling); }

Span numbered(std::uint32_t number) {
  Span span;
  span.arguments = number;
  return span;
}

}  // namespace

TEST_CASE("tracing: spans leave in their order, and what finds the queue full is dropped") {
  Server server;
  Tracing& tracing = server.engine.tracing;
  tracing.switch_on();
  REQUIRE(tracing.capacity() == Tracing::most_waiting);
  std::vector<Span> to(1000);
  CHECK(tracing.take(to) == 0);
  std::uint32_t next = 0;
  std::uint32_t expected = 0;
  for (int round = 0; round < 10; ++round) {
    while (next - expected < Tracing::most_waiting) tracing.add(numbered(next++));
    tracing.add(numbered(0));
    tracing.add(numbered(0));
    CHECK(tracing.take(to) == to.size());
    for (const Span& span : to) REQUIRE(span.arguments == expected++);
  }
  CHECK(tracing.dropped() == 20);
  for (std::size_t taken = tracing.take(to); taken > 0; taken = tracing.take(to)) expected += static_cast<std::uint32_t>(taken);
  CHECK(expected == next);
}

TEST_CASE("tracing: the exporter is woken once for a batch, not for each span") {
  Server server;
  Tracing& tracing = server.engine.tracing;
  Woken exporter;
  tracing.set_exporter(&exporter);
  tracing.switch_on();
  for (std::size_t i = 0; i < Tracing::batch - 1; ++i) tracing.add(Span());
  CHECK(exporter.times == 0);
  for (int i = 0; i < 1000; ++i) tracing.add(Span());
  CHECK(exporter.times == 1);
}

TEST_CASE("tracing: the queue is in the account while it is there, and small if there is little memory") {
  Server server({.max_memory = 1 << 20});
  Tracing& tracing = server.engine.tracing;
  const std::uint64_t before = sampling(server);
  tracing.add(Span());
  CHECK(tracing.dropped() == 1);
  tracing.switch_on();
  tracing.switch_on();
  CHECK(tracing.capacity() >= Tracing::least_waiting);
  CHECK(sampling(server) - before == tracing.capacity() * sizeof(Span));
  CHECK(sampling(server) - before <= (1 << 20) / 64);
  tracing.add(Span());
  tracing.switch_off();
  CHECK(sampling(server) == before);
  CHECK(tracing.dropped() == 2);
  std::vector<Span> to(1);
  tracing.switch_on();
  CHECK(tracing.take(to) == 0);
}

TEST_CASE("tracing: CLIENT TRACEPARENT sets the context of its session") {
  Server server;
  server.engine.tracing.switch_on();
  Client client(server);
  const SessionTrace& trace = client.session.trace;
  CHECK_FALSE(trace.present);
  CHECK(client.run("CLIENT", "TRACEPARENT", sampled) == "+OK\r\n");
  CHECK((trace.present && trace.once && trace.context.sampled));
  CHECK(client.run("CLIENT", "TRACEPARENT", sampled, "STICKY") == "+OK\r\n");
  CHECK((trace.present && !trace.once));
  CHECK(client.run("CLIENT", "TRACEPARENT", "x").starts_with("-ERR invalid traceparent"));
  CHECK((trace.present && !trace.once));
  CHECK(client.run("CLIENT", "TRACEPARENT", "OFF") == "+OK\r\n");
  CHECK_FALSE(trace.present);
  client.run("CLIENT", "TRACEPARENT", sampled, "STICKY");
  CHECK(client.run("CLIENT", "TRACEPARENT", "") == "+OK\r\n");
  CHECK_FALSE(trace.present);
  CHECK(client.run("CLIENT", "TRACEPARENT").starts_with("-ERR wrong number of arguments"));
}

TEST_CASE("tracing: while it is off a context for one request is for none, and one for all stays") {
  Server server;
  Client client(server);
  CHECK(client.run("CLIENT", "TRACEPARENT", sampled) == "+OK\r\n");
  CHECK_FALSE(client.session.trace.present);
  CHECK(client.run("CLIENT", "TRACEPARENT", sampled, "STICKY") == "+OK\r\n");
  CHECK(client.session.trace.present);
}
