#include "pinfold/admin/pages.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::admin;

TEST_CASE("pages: each has a path of its own, and only what tells nothing is open") {
  const std::vector<std::string_view> open = {"/health", "/ready", "/", "/status.css", "/status.js"};
  std::vector<std::string_view> paths;
  for (const Route& route : routes()) {
    CHECK(route.path.front() == '/');
    CHECK(route.open == (std::ranges::find(open, route.path) != open.end()));
    CHECK_FALSE(route.type.empty());
    paths.push_back(route.path);
  }
  std::ranges::sort(paths);
  CHECK(std::ranges::adjacent_find(paths) == paths.end());
}
