// Geohashes. The facts are replies of redis-server 7.0.

#include "pinfold/types/geohash.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::types;

namespace {

constexpr Coordinates palermo = {13.361389, 38.115556};
constexpr Coordinates catania = {15.087269, 37.502669};

std::string text(const Coordinates& place) {
  const auto characters = geohash_text(place);
  return {characters.data(), characters.size()};
}

bool in_cells(const Cells& cells, double score) {
  return std::ranges::count_if(cells, [&](const Cell& cell) { return score >= cell.from && score < cell.to; }) == 1;
}

}  // namespace

TEST_CASE("geohashes: places are the scores that Redis gives them") {
  CHECK(geohash(palermo) == 3479099956230698U);
  CHECK(geohash(catania) == 3479447370796909U);
  CHECK(geohash({0, 0}) == 3377699720527872U);
  CHECK(geohash({-180, -most_coordinates.latitude}) == 0);
  const Coordinates near = place_of(3479099956230698U);
  CHECK(near.longitude == 13.361389338970184);
  CHECK(near.latitude == 38.115556395496299);
}

TEST_CASE("geohashes: texts are those of Redis") {
  CHECK(text(place_of(geohash(palermo))) == "sqc8b49rny0");
  CHECK(text(place_of(geohash(catania))) == "sqdtr74hyu0");
}

TEST_CASE("geohashes: distances are those on a sphere") {
  CHECK(distance(place_of(geohash(palermo)), place_of(geohash(catania))) == Approx(166274.1516).epsilon(1e-9));
  CHECK(distance(palermo, palermo) == 0);
  CHECK(distance({0, 0}, {0, 90}) == Approx(6372797.560856 * M_PI / 2));
  CHECK(distance({-180, 0}, {180, 0}) == Approx(0).margin(1e-6));
}

TEST_CASE("geohashes: places outside of the map are not valid") {
  CHECK(is_valid({180, 85.05112878}));
  CHECK_FALSE(is_valid({180.0001, 0}));
  CHECK_FALSE(is_valid({0, -85.06}));
  CHECK_FALSE(is_valid({NAN, 0}));
}

TEST_CASE("geohashes: any score is some place") {
  for (const double score : {0.0, -1.0, 1e300, -1e300, 9007199254740993.0, std::numeric_limits<double>::infinity()}) {
    CHECK(is_valid(place_of_score(score)));
  }
}

TEST_CASE("geohashes: what lies in an area lies in one of its cells") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  const auto between = [&](double least, double most) { return std::uniform_real_distribution<double>(least, most)(random); };
  std::size_t inside = 0;
  for (int i = 0; i < 3000; ++i) {
    Area area;
    area.centre = place_of(geohash({between(-170, 170), between(-70, 70)}));
    const double size = std::pow(10, between(1, 5.7));
    area.box = random() % 2 == 0;
    area.radius = size;
    area.width = size * between(0.1, 2);
    area.height = size;
    const Cells cells = cells_of(area);
    REQUIRE(cells.count >= 1);
    REQUIRE(cells.count <= 9);
    for (int j = 0; j < 20; ++j) {
      const double far = size / 50000;
      const Coordinates place = {area.centre.longitude + between(-far, far), area.centre.latitude + between(-far, far)};
      if (!is_valid(place)) continue;
      const std::uint64_t hash = geohash(place);
      const auto distance = distance_within(area, place_of(hash));
      if (!distance) continue;
      ++inside;
      CAPTURE(area.centre.longitude, area.centre.latitude, size, area.box);
      REQUIRE(in_cells(cells, static_cast<double>(hash)));
    }
  }
  CHECK(inside > 1000);
}
