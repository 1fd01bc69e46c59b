// How much of one client's pipeline is executed before its neighbours have their turn. The clock of the rig stands still, so what is
// seen here is what counts bound; that time bounds it as well is in tests/server/test_fair_share.py.

#include <string>
#include <vector>

#include "rig.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

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

}  // namespace
}  // namespace pinfold::net
