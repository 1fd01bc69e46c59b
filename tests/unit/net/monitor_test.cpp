#include <string>

#include "rig.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/monitors.hpp"

using namespace pinfold;
using namespace pinfold::net;

namespace {

const std::string ok = "+OK\r\n";

std::size_t lines_in(const std::string& text) { return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')); }

}  // namespace

TEST_CASE("net: a monitoring client is shown what others send, behind the reply to MONITOR") {
  Rig rig;
  Peer client = rig.connect();
  Peer monitor = rig.connect();
  monitor.wire().deliver(request("MONITOR"));
  client.wire().deliver(request("SET", "a", "1") + request("GET", "a"));
  rig.settle();
  const std::string first = monitor.take();
  CHECK(first.starts_with(ok));
  client.send(request("GET", "b"));
  CHECK(monitor.take().ends_with("] \"GET\" \"b\"\r\n"));
}

TEST_CASE("net: what was on its way when RESET came is not sent") {
  Rig rig;
  Peer client = rig.connect();
  Peer monitor = rig.connect();
  CHECK(monitor.ask("MONITOR") == ok);
  client.wire().deliver(request("GET", "a"));
  monitor.wire().deliver(request("RESET") + request("PING"));
  rig.settle();
  const std::string text = monitor.take();
  CHECK(text.ends_with("+RESET\r\n+PONG\r\n"));
  CHECK(rig.engine.monitors.pending == 0);
  client.send(request("GET", "a"));
  CHECK(monitor.take().empty());
}

TEST_CASE("net: a monitoring client that does not read is closed, and its memory comes back") {
  Rig rig;
  Peer client = rig.connect();
  Peer monitor = rig.connect();
  CHECK(monitor.ask("MONITOR") == ok);
  const std::string value(1000, 'v');
  std::string requests;
  for (int i = 0; i < 30; ++i) requests += request("SET", "k", value);
  client.send(requests);  // its buffer grows with them, and stays
  client.take();
  monitor.take();
  rig.settle();
  monitor.wire().block_writes();
  const std::uint64_t before = rig.client_memory();
  std::uint64_t most = 0;
  for (int i = 0; i < 1000 && rig.engine.monitors.any(); ++i) {
    client.send(requests);
    client.take();
    most = std::max(most, rig.client_memory());
  }
  CHECK_FALSE(rig.engine.monitors.any());
  CHECK(most < before + 20'000'000);
  CHECK(rig.client_memory() <= before);
  CHECK(rig.engine.monitors.pending == 0);
}

TEST_CASE("net: without monitoring clients nothing is written for them") {
  Rig rig;
  Peer client = rig.connect();
  Peer monitor = rig.connect();
  monitor.ask("MONITOR");
  monitor.wire().hang_up();
  rig.settle();
  CHECK_FALSE(rig.engine.monitors.any());
  const std::uint64_t before = rig.client_memory();
  client.ask("GET", "a");
  CHECK(rig.client_memory() == before);
  CHECK(lines_in(monitor.take()) == 0);
}
