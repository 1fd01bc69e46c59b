#include "pinfold/command/bits.hpp"

#include <random>
#include <string>

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {

std::string random_bytes(std::mt19937& random, std::size_t size) {
  // Long runs of equal bits are what makes the searches skip words.
  const unsigned kind = random() % 3;
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(kind == 0 ? random() : kind == 1 ? 0 : 0xff);
    if (random() % 40 == 0) byte = static_cast<char>(random());
  }
  return bytes;
}

bool bit_at(std::string_view bytes, std::uint64_t i) { return (static_cast<unsigned char>(bytes[i / 8]) & 0x80U >> i % 8) != 0; }

Range random_range(std::mt19937& random, std::size_t bits) {
  const std::uint64_t a = random() % bits;
  const std::uint64_t b = random() % bits;
  return {std::min(a, b), std::max(a, b)};
}

}  // namespace

TEST_CASE("bits: counting and searching agree with looking at each bit") {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const std::string buffer = random_bytes(random, 1 + random() % 120);
    // A start that is not aligned, as values in the log have it.
    const std::string_view bytes = std::string_view(buffer).substr(random() % buffer.size());
    const Range range = random_range(random, bytes.size() * 8);
    const bool wanted = random() % 2 == 0;
    std::uint64_t set = 0;
    std::optional<std::uint64_t> first;
    for (std::uint64_t i = range.first; i <= range.last; ++i) {
      if (bit_at(bytes, i)) ++set;
      if (!first && bit_at(bytes, i) == wanted) first = i;
    }
    INFO("round " << round << ", bits " << range.first << " to " << range.last << " of " << bytes.size() * 8);
    CHECK(count_bits(bytes, range) == set);
    CHECK(count_bits(bytes) == count_bits(bytes, {0, bytes.size() * 8 - 1}));
    CHECK(find_bit(bytes, wanted, range) == first);
    CHECK(test_bit(bytes, range.first) == bit_at(bytes, range.first));
  }
  CHECK(count_bits("") == 0);
  CHECK_FALSE(test_bit("\xff", 8));
}

TEST_CASE("bits: combining takes a shorter source for one with zeros behind it") {
  std::mt19937 random(2);
  for (int round = 0; round < 500; ++round) {
    const std::string a = random_bytes(random, 1 + random() % 60);
    const std::string b = random_bytes(random, random() % (a.size() + 1));
    std::string both = a, either = a, one = a, inverted = a;
    combine(BitOperation::both, both.data(), both.size(), b);
    combine(BitOperation::either, either.data(), either.size(), b);
    combine(BitOperation::one, one.data(), one.size(), b);
    invert(inverted.data(), inverted.size());
    for (std::uint64_t i = 0; i < a.size() * 8; ++i) {
      const bool x = bit_at(a, i);
      const bool y = i < b.size() * 8 && bit_at(b, i);
      REQUIRE(bit_at(both, i) == (x && y));
      REQUIRE(bit_at(either, i) == (x || y));
      REQUIRE(bit_at(one, i) == (x != y));
      REQUIRE(bit_at(inverted, i) == !x);
    }
  }
}

TEST_CASE("bits: a field of any width at any bit is read back and its neighbours stay") {
  std::mt19937_64 random(3);
  for (unsigned width = 1; width <= 64; ++width) {
    for (const bool is_signed : {true, false}) {
      if (!is_signed && width == 64) continue;
      const FieldType type{is_signed, width};
      for (std::uint64_t offset = 0; offset < 20; ++offset) {
        std::string before(16, '\0');
        for (char& byte : before) byte = static_cast<char>(random());
        const auto value = *fit_field(static_cast<std::int64_t>(random()), type, Overflow::wrap);
        std::string after = before;
        write_field(after.data(), offset, type, value);
        INFO((is_signed ? "i" : "u") << width << " at " << offset);
        CHECK(read_field(after, offset, type) == value);
        for (std::uint64_t i = 0; i < after.size() * 8; ++i) {
          if (i < offset || i >= offset + width) REQUIRE(bit_at(after, i) == bit_at(before, i));
        }
      }
    }
  }
  CHECK(read_field("\xff", 4, {false, 8}) == 0xf0);
  CHECK(read_field("", 100, {true, 64}) == 0);
}

TEST_CASE("bits: what does not fit a field wraps, saturates or fails") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  const FieldType u8{false, 8}, i8{true, 8}, u63{false, 63}, i64{true, 64}, i1{true, 1};
  CHECK(fit_field(300, u8, Overflow::wrap) == 44);
  CHECK(fit_field(300, u8, Overflow::saturate) == 255);
  CHECK(fit_field(300, u8, Overflow::fail) == std::nullopt);
  CHECK(fit_field(-1, u8, Overflow::saturate) == 255);  // no sign: as large as can be
  CHECK(fit_field(200, i8, Overflow::wrap) == -56);
  CHECK(fit_field(-1000, i8, Overflow::saturate) == -128);
  CHECK(fit_field(-1, u63, Overflow::wrap) == most);
  CHECK(fit_field(1, i1, Overflow::wrap) == -1);
  CHECK(add_field(250, 10, u8, Overflow::wrap) == 4);
  CHECK(add_field(5, -10, u8, Overflow::wrap) == 251);
  CHECK(add_field(5, -10, u8, Overflow::saturate) == 0);
  CHECK(add_field(5, -10, u8, Overflow::fail) == std::nullopt);
  CHECK(add_field(most, 1, i64, Overflow::wrap) == least);
  CHECK(add_field(most, most, i64, Overflow::saturate) == most);
  CHECK(add_field(least, least, i64, Overflow::saturate) == least);
  CHECK(add_field(least, -1, i64, Overflow::fail) == std::nullopt);
  CHECK(add_field(most, 1, u63, Overflow::wrap) == 0);
}

TEST_CASE("bits: field types are i1 to i64 and u1 to u63") {
  CHECK(parse_field_type("i64")->bits == 64);
  CHECK(parse_field_type("u63")->bits == 63);
  CHECK_FALSE(parse_field_type("u1")->is_signed);
  for (const char* wrong : {"", "u", "u0", "u64", "i65", "i08", "I8", "8", "x8", "u-1", "u8 ", "i99999999999999999999"}) {
    INFO(wrong);
    CHECK_FALSE(parse_field_type(wrong));
  }
}
