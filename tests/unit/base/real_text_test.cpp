#include "pinfold/base/real_text.hpp"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include <catch2/catch.hpp>

using namespace pinfold;

namespace {
std::string text_of(double value) {
  char text[most_real_text];
  return {text, write_real(text, value)};
}
std::string distance(double value) {
  char text[most_real_text];
  return {text, write_distance(text, value)};
}
std::string coordinate(double value) {
  char text[most_real_text];
  return {text, write_coordinate(text, value)};
}
}  // namespace

TEST_CASE("real numbers have the shortest text that is read as the same number") {
  CHECK(text_of(0) == "0");
  CHECK(text_of(-0.0) == "-0");
  CHECK(text_of(-17) == "-17");
  CHECK(text_of(0.1) == "0.1");
  CHECK(text_of(-12345.678) == "-12345.678");
  CHECK(text_of(3.14159265358979) == "3.14159265358979");
  CHECK(text_of(9007199254740992) == "9007199254740992");
  CHECK(text_of(4611686018427387904) == "4611686018427388000");
  CHECK(text_of(1e20) == "1e+20");
  CHECK(text_of(-1e20) == "-1e+20");
  CHECK(text_of(12345678901234567890.0) == "12345678901234567000");
  CHECK(text_of(0.00001) == "0.00001");
  CHECK(text_of(1.5e-7) == "1.5e-7");
  CHECK(text_of(1.23456789e-4) == "1.23456789e-4");
  CHECK(text_of(1e300) == "1e+300");
  CHECK(text_of(5e-324) == "5e-324");
  CHECK(text_of(std::numeric_limits<double>::max()) == "1.7976931348623157e+308");
  CHECK(text_of(INFINITY) == "inf");
  CHECK(text_of(-INFINITY) == "-inf");
  CHECK(text_of(NAN) == "nan");
}

TEST_CASE("real numbers are read from their texts unchanged") {
  double value = 1.0 / 3;
  for (int i = 0; i < 2000; ++i, value *= i % 2 == 0 ? -1.7 : 0.61) {
    const std::string text = text_of(value);
    REQUIRE(text.size() <= most_real_text);
    REQUIRE(std::strtod(text.c_str(), nullptr) == value);
  }
}

TEST_CASE("distances have four digits behind the point") {
  CHECK(distance(0) == "0.0000");
  CHECK(distance(166274.15156) == "166274.1516");
  CHECK(distance(0.00004) == "0.0000");
  CHECK(distance(12.5) == "12.5000");
}

TEST_CASE("coordinates have up to 17 digits behind the point") {
  CHECK(coordinate(13.361389338970184) == "13.36138933897018433");
  CHECK(coordinate(-5.5) == "-5.5");
  CHECK(coordinate(90) == "90");
  CHECK(coordinate(0) == "0");
}
