#pragma once
// The text of floating point numbers in replies: scores, distances, coordinates. Thread-safe, without memory of their own.

#include <cstddef>

namespace pinfold {

/// Room that a text of these needs at most.
constexpr std::size_t most_real_text = 32;

/// Writes the text that Redis 7.2 gives a double in replies, and returns its end: the shortest digits that are read as the same number.
/// Integers below 2^62 have no exponent, and no point. "nan", "inf", "-inf", "-0".
char* write_real(char* to, double value);

/// Writes a distance with four digits after the point, and returns its end. `value` must be finite, and its amount below 1e15.
char* write_distance(char* to, double value);

/// Writes a coordinate: 17 digits after the point without the zeros at their end. The amount of `value` must be below 1000.
char* write_coordinate(char* to, double value);

}  // namespace pinfold
