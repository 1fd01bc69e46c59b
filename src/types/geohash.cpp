#include "pinfold/types/geohash.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pinfold::types {
namespace {

constexpr unsigned most_steps = 26;
constexpr double earth_radius = 6372797.560856;
constexpr double degree = std::numbers::pi / 180.0;

double radians(double degrees) { return degrees * degree; }
double degrees(double radians) { return radians / degree; }

struct Bounds {
  double least;
  double most;
  double span() const { return most - least; }
};

// The parts of the map: those that scores have, and those that other programs' geohashes have.
struct Map {
  Bounds longitude;
  Bounds latitude;
};
constexpr Map of_scores = {{-180, 180}, {-most_coordinates.latitude, most_coordinates.latitude}};
constexpr Map of_texts = {{-180, 180}, {-90, 90}};

// A cell after `steps` halvings of both sides: its column and row.
struct Square {
  std::uint32_t column = 0;
  std::uint32_t row = 0;
  unsigned steps = 0;
  bool operator==(const Square&) const = default;
};

// Puts a zero before each bit.
std::uint64_t spread(std::uint64_t bits) {
  bits = (bits | bits << 16) & 0x0000ffff0000ffffULL;
  bits = (bits | bits << 8) & 0x00ff00ff00ff00ffULL;
  bits = (bits | bits << 4) & 0x0f0f0f0f0f0f0f0fULL;
  bits = (bits | bits << 2) & 0x3333333333333333ULL;
  return (bits | bits << 1) & 0x5555555555555555ULL;
}

// Takes every second bit.
std::uint32_t gather(std::uint64_t bits) {
  bits &= 0x5555555555555555ULL;
  bits = (bits | bits >> 1) & 0x3333333333333333ULL;
  bits = (bits | bits >> 2) & 0x0f0f0f0f0f0f0f0fULL;
  bits = (bits | bits >> 4) & 0x00ff00ff00ff00ffULL;
  bits = (bits | bits >> 8) & 0x0000ffff0000ffffULL;
  return static_cast<std::uint32_t>(bits | bits >> 16);
}

std::uint64_t bits_of(const Square& square) { return spread(square.column) << 1 | spread(square.row); }
Square square_of(std::uint64_t bits) { return {gather(bits >> 1), gather(bits), most_steps}; }

// The number of the part in which `value` lies, if there are 2^steps parts. The upper bound belongs to none, as in Redis: its
// number is one too high.
std::uint32_t part_of(double value, const Bounds& bounds, unsigned steps) {
  return static_cast<std::uint32_t>((value - bounds.least) / bounds.span() * static_cast<double>(1ULL << steps));
}

Square square_at(const Coordinates& place, unsigned steps, const Map& map = of_scores) {
  return {part_of(place.longitude, map.longitude, steps), part_of(place.latitude, map.latitude, steps), steps};
}

Bounds part(std::uint32_t number, const Bounds& bounds, unsigned steps) {
  const auto parts = static_cast<double>(1ULL << steps);
  return {bounds.least + number / parts * bounds.span(), bounds.least + (number + 1.0) / parts * bounds.span()};
}

Map area_of(const Square& square) {
  return {part(square.column, of_scores.longitude, square.steps), part(square.row, of_scores.latitude, square.steps)};
}

// The square that is so many columns and rows away. The map has no ends: behind the last column is the first.
Square beside(const Square& square, int columns, int rows) {
  const std::uint32_t most = (1U << square.steps) - 1;
  return {(square.column + static_cast<std::uint32_t>(columns)) & most, (square.row + static_cast<std::uint32_t>(rows)) & most,
          square.steps};
}

double distance_of_latitudes(double a, double b) { return earth_radius * std::fabs(radians(b) - radians(a)); }

// What lies around the area, as a part of the map. It may go beyond its ends.
Map box_around(const Area& area) {
  const double to_north = area.box ? area.height / 2 : area.radius;
  const double to_east = area.box ? area.width / 2 : area.radius;
  const double latitudes = degrees(to_north / earth_radius);
  // Towards the pole the meridians are closer.
  const double narrow = area.centre.latitude < 0 ? area.centre.latitude - latitudes : area.centre.latitude + latitudes;
  const double longitudes = degrees(to_east / earth_radius / std::cos(radians(narrow)));
  return {{area.centre.longitude - longitudes, area.centre.longitude + longitudes},
          {area.centre.latitude - latitudes, area.centre.latitude + latitudes}};
}

// How often to halve the map so that a cell is as large as the area, or almost.
unsigned steps_for(double radius, double latitude) {
  constexpr double half_equator = 20037726.37;
  if (radius == 0) return most_steps;
  int steps = -1;
  for (; radius < half_equator && steps < 64; radius *= 2) ++steps;
  constexpr double narrow = 66;
  constexpr double narrower = 80;
  steps -= (std::fabs(latitude) > narrow ? 1 : 0) + (std::fabs(latitude) > narrower ? 1 : 0);
  return static_cast<unsigned>(std::clamp(steps, 1, static_cast<int>(most_steps)));
}

// Whether the square with its neighbours covers the box.
bool covers(const Square& square, const Map& box) {
  return area_of(beside(square, 0, 1)).latitude.most >= box.latitude.most &&
         area_of(beside(square, 0, -1)).latitude.least <= box.latitude.least &&
         area_of(beside(square, 1, 0)).longitude.most >= box.longitude.most &&
         area_of(beside(square, -1, 0)).longitude.least <= box.longitude.least;
}

struct Direction {
  int columns;
  int rows;
};
// Redis' order, which results have that are not sorted.
constexpr std::array<Direction, 9> around = {{{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}}};

Cell cell_of(const Square& square) {
  const unsigned unused = 2 * (most_steps - square.steps);
  const std::uint64_t bits = bits_of(square);
  return {static_cast<double>(bits << unused), static_cast<double>((bits + 1) << unused)};
}

}  // namespace

std::uint64_t geohash(const Coordinates& place) { return bits_of(square_at(place, most_steps)); }

Coordinates place_of(std::uint64_t geohash) {
  const Map area = area_of(square_of(geohash));
  return {std::clamp((area.longitude.least + area.longitude.most) / 2, -most_coordinates.longitude, most_coordinates.longitude),
          std::clamp((area.latitude.least + area.latitude.most) / 2, -most_coordinates.latitude, most_coordinates.latitude)};
}

Coordinates place_of_score(double score) {
  constexpr double too_large = 18446744073709551616.0;  // 2^64
  if (!(score > -1)) return place_of(score >= -too_large / 2 ? static_cast<std::uint64_t>(static_cast<std::int64_t>(score)) : 0);
  return place_of(score < too_large ? static_cast<std::uint64_t>(score) : 0);
}

std::array<char, 11> geohash_text(const Coordinates& place) {
  constexpr std::string_view alphabet = "0123456789bcdefghjkmnpqrstuvwxyz";
  const std::uint64_t bits = bits_of(square_at(place, most_steps, of_texts));
  std::array<char, 11> text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t behind = 5 * (i + 1);
    // Two bits are left for the last character, which Redis does not use.
    text[i] = alphabet[behind <= 2 * most_steps ? bits >> (2 * most_steps - behind) & 31U : 0];
  }
  return text;
}

double distance(const Coordinates& a, const Coordinates& b) {
  const double v = std::sin((radians(b.longitude) - radians(a.longitude)) / 2);
  if (v == 0) return distance_of_latitudes(a.latitude, b.latitude);
  const double from = radians(a.latitude);
  const double to = radians(b.latitude);
  const double u = std::sin((to - from) / 2);
  return 2 * earth_radius * std::asin(std::sqrt(u * u + std::cos(from) * std::cos(to) * v * v));
}

std::optional<double> distance_within(const Area& area, const Coordinates& place) {
  if (area.box) {
    if (distance_of_latitudes(area.centre.latitude, place.latitude) > area.height / 2) return std::nullopt;
    if (distance({area.centre.longitude, place.latitude}, place) > area.width / 2) return std::nullopt;
    return distance(area.centre, place);
  }
  const double far = distance(area.centre, place);
  return far <= area.radius ? std::optional(far) : std::nullopt;
}

Cells cells_of(const Area& area) {
  const Map box = box_around(area);
  const double radius = area.box ? std::hypot(area.width / 2, area.height / 2) : area.radius;
  unsigned steps = steps_for(radius, area.centre.latitude);
  Square middle = square_at(area.centre, steps);
  if (steps > 1 && !covers(middle, box)) middle = square_at(area.centre, --steps);
  const Map inner = area_of(middle);
  const auto needed = [&](const Direction& to) {
    if (steps < 2) return true;
    return !(to.rows < 0 && inner.latitude.least < box.latitude.least) && !(to.rows > 0 && inner.latitude.most > box.latitude.most) &&
           !(to.columns < 0 && inner.longitude.least < box.longitude.least) &&
           !(to.columns > 0 && inner.longitude.most > box.longitude.most);
  };
  Cells cells;
  std::optional<Square> last;
  for (const Direction& to : around) {
    if (!needed(to)) continue;
    const Square square = beside(middle, to.columns, to.rows);
    // On a map of four cells most of the nine are the same.
    if (last == square) continue;
    last = square;
    cells.cells[cells.count++] = cell_of(square);
  }
  return cells;
}

}  // namespace pinfold::types
