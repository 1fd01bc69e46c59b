#include "pinfold/net/request_tracer.hpp"

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rig.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/command_table.hpp"

using namespace pinfold;
using namespace pinfold::net;
using command::Span;
using command::Tracing;

namespace {

const std::string sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::vector<Span> take(Rig& rig) {
  std::vector<Span> spans(Tracing::most_waiting);
  spans.resize(rig.engine.tracing.take(spans));
  return spans;
}

std::string names(Rig& rig) {
  std::string text;
  for (const Span& span : take(rig)) text.append(span.row != nullptr ? span.row->name : "unknown").append(" ");
  return text;
}

// A client whose requests are traced.
Peer traced_client(Rig& rig, std::shared_ptr<Wire> wire = std::make_shared<Wire>()) {
  rig.engine.tracing.switch_on();
  Peer peer = rig.connect(std::move(wire));
  peer.ask("CLIENT", "TRACEPARENT", sampled, "STICKY");
  return peer;
}

std::uint64_t sampling(const Rig& rig) { return rig.keyspace.memory().used(store::Use::sampling); }

}  // namespace

TEST_CASE("tracer: nothing is traced while it is off") {
  Rig rig;
  Peer client = rig.connect();
  rig.set(config::Id::trace_sample_percent, "100");
  CHECK(client.ask("CLIENT", "TRACEPARENT", sampled, "STICKY") == "+OK\r\n");
  client.ask("GET", "a");
  CHECK(rig.engine.tracing.dropped() == 0);
}

TEST_CASE("tracer: spans of short replies are complete when these have been sent") {
  Rig rig;
  Peer client = traced_client(rig);
  CHECK(client.ask("GET", "a") == "$-1\r\n");
  client.send(request("SET", "a", "1") + request("GET", "a") + request("NOSUCH"));
  CHECK(names(rig) == "get set get unknown ");
  CHECK_FALSE(rig.thread.tracer().any());
}

TEST_CASE("tracer: a span ends with the last byte of its reply") {
  Rig rig;
  const auto wire = std::make_shared<Wire>();
  Peer client = traced_client(rig, wire);
  client.ask("SET", "a", std::string(1000, 'x'));
  CHECK(names(rig) == "set ");
  wire->per_write = 500;
  wire->blocks_after_write = true;
  client.send(request("GET", "a") + request("PING"));
  CHECK(names(rig).empty());
  wire->let_write();
  wire->per_write = 507;  // all but the last two bytes of the first reply
  rig.settle();
  CHECK(names(rig).empty());
  wire->let_write();
  wire->per_write = 4;
  rig.settle();
  CHECK(names(rig) == "get ");
  wire->let_write();
  wire->per_write = SIZE_MAX;
  rig.settle();
  CHECK(names(rig) == "ping ");
}

TEST_CASE("tracer: spans of a connection that is closed end with it") {
  Rig rig;
  const auto wire = std::make_shared<Wire>();
  Peer client = traced_client(rig, wire);
  wire->per_write = 1;
  wire->blocks_after_write = true;
  client.send(request("PING") + request("PING"));
  CHECK(take(rig).empty());
  wire->hang_up();
  rig.settle();
  const std::vector<Span> spans = take(rig);
  REQUIRE(spans.size() == 2);
  for (const Span& span : spans) CHECK(span.error.view() == "closed");
  CHECK_FALSE(rig.thread.tracer().any());
}

TEST_CASE("tracer: requests that wait take half of the slots at most, and others are told of as before") {
  Rig rig;
  rig.engine.tracing.switch_on();
  const std::size_t slots = rig.engine.tracing.capacity();
  command::Session session;
  session.waiting = nullptr;
  RequestTracer tracer(rig.engine);
  rig.set(config::Id::trace_sample_percent, "100");
  std::deque<RequestTracer::Chain> chains;
  const std::string_view word = "get";
  class Waits final : public command::Waiting {
    void answer(const Delivery&, command::Session&, resp::Reply&) override {}
    void timeout(command::Engine&, command::Session&, resp::Reply&) override {}
    void abandon(command::Engine&) override {}
  };
  session.waiting = std::make_unique<Waits>();
  for (std::size_t i = 0; i < slots; ++i) {
    REQUIRE(tracer.begin(session, nullptr, {&word, 1}, ThreadClock::ticks()));
    tracer.executed(chains.emplace_back(), session, {}, {});
  }
  CHECK(rig.engine.tracing.dropped() == slots - slots / 2);
  session.waiting.reset();
  RequestTracer::Chain other;
  REQUIRE(tracer.begin(session, nullptr, {&word, 1}, ThreadClock::ticks()));
  tracer.executed(other, session, "ERR", {.now = 10, .in_the_end = 20});
  tracer.settle(other, 19);
  CHECK(take(rig).empty());
  tracer.settle(other, 20);
  CHECK(take(rig).size() == 1);
  for (RequestTracer::Chain& chain : chains) {
    if (!chain.empty()) tracer.waited(chain, {}, {.now = 5, .in_the_end = 5});
    CHECK(chain.empty());
  }
  CHECK(take(rig).size() == slots / 2);
  CHECK_FALSE(tracer.any());
}

TEST_CASE("tracer: the memory of its slots is in the account, and is given back when tracing is off") {
  Rig rig;
  rig.engine.tracing.switch_on();
  const std::uint64_t before = sampling(rig);
  Peer client = traced_client(rig);
  client.ask("PING");
  CHECK(sampling(rig) > before);
  rig.engine.tracing.switch_off();
  rig.pass(1001);
  rig.pass(1001);
  CHECK(sampling(rig) < before);
  CHECK(client.ask("PING") == "+PONG\r\n");
  rig.engine.tracing.switch_on();
  take(rig);
  client.ask("PING");
  CHECK(names(rig) == "ping ");
}
