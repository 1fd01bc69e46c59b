// How much of one client's pipeline is executed before its neighbours have their turn. The clock of the rig stands still, so what is
// seen here is what counts bound; that time bounds it as well is in tests/server/test_fair_share.py.

#include <string>
#include <vector>

#include "rig.hpp"
#include "support/users.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/command/rights.hpp"

namespace pinfold::net {
namespace {

// A pipeline of one client, and how it goes on while a neighbour asks for little.
struct Neighbours {
  Neighbours() : heavy(rig.connect()), light(rig.connect()) {}

  // Sends the request `count` times, and runs rounds until the neighbour, whose request comes a round later, has its answer. Returns
  // the work that was done meanwhile.
  work::Counts work_before_the_neighbour(const std::string& request, int count) {
    std::string pipeline;
    for (int i = 0; i < count; ++i) pipeline += request;
    heavy.wire().deliver(pipeline);
    while (!begun()) rig.thread.run_round(0);  // the neighbour comes when the pipeline is under way
    light.wire().deliver(pinfold::net::request("PING"));
    const work::Counting counting;
    for (std::string got; got.empty(); got = light.take()) rig.thread.run_round(0);
    const work::Counts counts = counting.counts();
    rig.settle();
    CHECK(counting.counts().entries + counting.counts().bytes > 2 * (counts.entries + counts.bytes));  // there was much more to do
    return counts;
  }
  bool begun() { return !heavy.take().empty(); }

  Rig rig;
  Peer heavy;
  Peer light;
};

TEST_CASE("of a pipeline of requests with many keys, few keys are looked up before a neighbour is served") {
  Neighbours clients;
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i) names.push_back("key:" + std::to_string(i));
  std::vector<std::string_view> words{"EXISTS"};
  words.insert(words.end(), names.begin(), names.end());
  const work::Counts counts = clients.work_before_the_neighbour(request_of(words), 32);
  // A batch takes no further request when it has more than 1024 arguments, and a connection has two batches a round at most.
  CHECK(counts.entries <= 2 * 2 * names.size());
}

TEST_CASE("of a pipeline of requests with very many keys, one is executed before a neighbour is served") {
  Neighbours clients;
  std::vector<std::string> names;
  for (int i = 0; i < 10'000; ++i) names.push_back("key:" + std::to_string(i));
  std::vector<std::string_view> words{"EXISTS"};
  words.insert(words.end(), names.begin(), names.end());
  const work::Counts counts = clients.work_before_the_neighbour(request_of(words), 32);
  CHECK(counts.entries <= 2 * names.size());
}

TEST_CASE("of a pipeline of requests for large values, a batch is executed before a neighbour is served") {
  Neighbours clients;
  constexpr std::size_t size = 250'000;
  REQUIRE(clients.light.ask("SET", "large", std::string(size, 'x')) == "+OK\r\n");
  const work::Counts counts = clients.work_before_the_neighbour(request("BITCOUNT", "large"), 320);
  CHECK(counts.bytes <= 2 * Batch::capacity * (size + 100));
}

TEST_CASE("of a pipeline of requests with large arguments of a limited user, few are parsed before a neighbour is served") {
  Neighbours clients;
  std::vector<std::string> rules = {"on", "nopass", "+@all"};
  for (int n = 0; n < 10; ++n) rules.push_back("~*:p" + std::to_string(n) + ":*");
  set_user(clients.rig.engine, "ada", {rules.begin(), rules.end()});
  REQUIRE(clients.heavy.ask("AUTH", "ada", "x") == "+OK\r\n");
  const std::string key = std::string(4500, 'a') + ":p9:";  // of 90 000 comparisons
  constexpr std::size_t size = 16 * 1024;
  const work::Counts counts = clients.work_before_the_neighbour(request("SET", key, std::string(size, 'v')), 64);
  // The large argument, and the request when it is executed: a connection has two batches a round at most.
  CHECK(counts.bytes <= 2 * 2 * (2 * command::most_matches_of_arrivals + 2 * size));
}

}  // namespace
}  // namespace pinfold::net
