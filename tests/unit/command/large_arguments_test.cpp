#include "pinfold/command/large_arguments.hpp"

#include <string>

#include <catch2/catch.hpp>

using namespace pinfold;
using command::LargeArguments;

TEST_CASE("an argument that was stored can be read until the request ends, and counts as the store's") {
  BlockHeap heap([](std::int64_t) {});
  LargeArguments arguments;
  arguments.add(2, Blob::copy_of(heap, std::string(20'000, 'a')));
  arguments.add(5, Blob::copy_of(heap, std::string(30'000, 'b')));
  const std::string_view seen = arguments.view(0);
  CHECK(arguments.bytes() == 50'000);
  CHECK_FALSE(arguments.take(3));
  {
    const Blob stored = arguments.take(2);
    REQUIRE(stored);
    CHECK(stored.view().data() == seen.data());
  }
  // Even if the store has released it by now.
  CHECK(arguments.view(0) == std::string(20'000, 'a'));
  CHECK(arguments.bytes() == 30'000);
  arguments = {};
}
