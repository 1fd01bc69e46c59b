#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold::command;

TEST_CASE("CACHE.INVALIDATE SOFT of many keys does work in proportion to them, also where room must be made") {
  constexpr std::size_t keys = 8000;
  Server server({.shards = 4, .max_memory = 8 << 20});
  Client client(server);
  const std::string value(1500, 'v');
  std::vector<std::string> names;
  for (std::size_t i = 0; i < keys; ++i) {
    names.push_back("k" + std::to_string(i));
    client.run("SET", names.back(), value);
  }
  const std::string count = std::to_string(keys);
  std::vector<std::string_view> request = {"CACHE.INVALIDATE", count};
  request.insert(request.end(), names.begin(), names.end());
  request.push_back("SOFT");
  const pinfold::work::Counting counting;
  client.run_all(request);
  CHECK(counting.counts().entries < 20 * keys);
}
