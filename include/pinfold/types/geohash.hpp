#pragma once
// Places on the earth as scores of a sorted set, and which scores the places near another one have.
//
// A place is a geohash of 52 bits: 26 bits of its longitude and 26 of its latitude, which take turns, the longitude first. So the places
// of a rectangle that is cut out of the map by halving it some times, a cell, are one range of scores. Places are kept in the
// projection of web maps, whose latitudes end at 85.05112878 degrees. The earth is a sphere of 6372797.560856 m.
//
// All functions are O(1), pure and thread-safe. Coordinates are in degrees, lengths in metres.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pinfold::types {

struct Coordinates {
  double longitude = 0;
  double latitude = 0;
};

constexpr Coordinates most_coordinates = {180, 85.05112878};

/// Whether a place can be kept.
constexpr bool is_valid(const Coordinates& place) {
  return place.longitude >= -most_coordinates.longitude && place.longitude <= most_coordinates.longitude &&
         place.latitude >= -most_coordinates.latitude && place.latitude <= most_coordinates.latitude;
}

/// The 52 bits of a place, which must be valid. A double holds them exactly.
std::uint64_t geohash(const Coordinates& place);
/// The middle of the smallest cell, which is less than a metre from each place with this geohash.
Coordinates place_of(std::uint64_t geohash);
/// The same for the score of any sorted set, which need not be that of a place.
Coordinates place_of_score(double score);

/// The geohash of a place as others write it (geohash.org), with eleven characters.
std::array<char, 11> geohash_text(const Coordinates& place);

/// The length of the shortest way over the sphere.
double distance(const Coordinates& a, const Coordinates& b);

/// What is searched for places: a circle, or a rectangle whose sides go north and east.
struct Area {
  Coordinates centre;
  bool box = false;
  double radius = 0;
  double width = 0;  // of a box
  double height = 0;
};

/// How far a place is from the centre of an area; nothing if it lies outside.
std::optional<double> distance_within(const Area& area, const Coordinates& place);

/// Places of a cell have scores of at least `from` and less than `to`.
struct Cell {
  double from = 0;
  double to = 0;
};

/// The cells in which all places of an area lie: that of the centre, and up to eight around it. They do not overlap.
struct Cells {
  std::array<Cell, 9> cells;
  std::size_t count = 0;
  const Cell* begin() const { return cells.data(); }
  const Cell* end() const { return cells.data() + count; }
};
Cells cells_of(const Area& area);

}  // namespace pinfold::types
