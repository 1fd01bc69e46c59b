#include "pinfold/store/segments.hpp"

#include <algorithm>
#include <cstdint>

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold;
using namespace pinfold::store;

TEST_CASE("a table's segments become as many as references can name, without being moved, and little is copied for one more") {
  constexpr std::uint32_t most = (1U << 17) - 1;
  Segments segments;
  const auto place = [](std::uint32_t id) { return (std::uintptr_t{0x7f00} << 32) + id * segment_size; };
  // Nothing lies there: a pointer to char in an assertion would be printed as text.
  const auto number = [](const char* at) { return reinterpret_cast<std::uintptr_t>(at); };
  std::uint64_t worst = 0;
  const Segment* first = nullptr;
  for (std::uint32_t id = 1; id <= most; ++id) {
    const work::Counting counting;
    REQUIRE(segments.add());
    worst = std::max(worst, counting.counts().bytes);
    segments.begin(id, reinterpret_cast<char*>(place(id))).used = id;
    if (id == 1) first = &segments[id];
  }
  CHECK(segments.size() == most + 1);
  CHECK(worst > 0);
  CHECK(worst <= 128 * 1024);
  CHECK(&segments[1] == first);
  for (std::uint32_t id = 1; id <= most; ++id) {
    REQUIRE(number(segments[id].base) == place(id));
    REQUIRE(number(segments.base(id)) == place(id));
    REQUIRE(segments[id].used == id);
  }
}
