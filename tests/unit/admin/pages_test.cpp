#include "pinfold/admin/pages.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::admin;

TEST_CASE("pages: parameters are found by their names and decoded") {
  const Query query("count=10&by=na%6De&empty=&flag&a+b=c+d%2B&count=11&%63ode=1");
  CHECK(query.text("count") == "10");
  CHECK(query.text("by") == "name");
  CHECK(query.text("empty") == "");
  CHECK(query.text("flag") == "");
  CHECK(query.text("a b") == "c d+");
  CHECK(query.text("code") == "1");
  CHECK_FALSE(query.text("coun").has_value());
  CHECK_FALSE(query.text("").has_value());
}

TEST_CASE("pages: parameters that are not well encoded stay as they are") {
  CHECK(Query("a=%").text("a") == "%");
  CHECK(Query("a=%2").text("a") == "%2");
  CHECK(Query("a=%zz%2g").text("a") == "%zz%2g");
  CHECK(Query("a=%00").text("a") == std::string(1, '\0'));
  CHECK(Query("a=b=c").text("a") == "b=c");
  CHECK(Query("&&a=1&&").text("a") == "1");
  for (const char* text : {"", "&", "=", "&=&"}) CHECK_FALSE(Query(text).text("a").has_value());
}

TEST_CASE("pages: a number out of its range is as none") {
  CHECK(Query("n=10").integer("n", 1, 100, 7) == 10);
  for (const char* text : {"", "n=", "n=0", "n=101", "n=x", "n=1x", "n=1.5", "n=99999999999999999999", "n=-1", "m=10"}) {
    CHECK(Query(text).integer("n", 1, 100, 7) == 7);
  }
}

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
