#include "pinfold/types/hyperloglog.hpp"

#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::types::hyperloglog;

namespace {

constexpr std::size_t redis_sparse_max = 3000;

// Each element as an argument of its own.
void add(Buffer& buffer, std::size_t first, std::size_t end, std::size_t sparse_max) {
  for (std::size_t i = first; i < end; ++i) buffer.raise(element_of("element:" + std::to_string(i)), sparse_max);
}

std::uint64_t estimate_of(std::string_view text) {
  Registers& registers = Registers::scratch();
  REQUIRE(registers.merge(text));
  return registers.estimate();
}

bool holds(std::string_view text, const std::vector<std::uint8_t>& ranks) {
  Registers& registers = Registers::scratch();
  if (!registers.merge(text)) return false;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (registers[i] != ranks[i]) return false;
  }
  return true;
}

// A rank as hashes give them, or any.
std::uint8_t random_rank(std::mt19937_64& random) {
  if (random() % 50 == 0) return static_cast<std::uint8_t>(1 + random() % 51);
  std::uint8_t rank = 1;
  while (rank < 30 && random() % 2 == 0) ++rank;
  return rank;
}

}  // namespace

TEST_CASE("HyperLogLog: estimates are those of Redis, in both forms") {
  // What PFCOUNT of redis-server 7.0 has answered.
  struct Fact {
    std::size_t elements;
    std::uint64_t estimate;
  };
  constexpr std::array<Fact, 9> facts = {
      {{0, 0}, {1, 1}, {2, 2}, {10, 10}, {100, 99}, {1000, 997}, {5000, 5005}, {20000, 19986}, {100000, 100039}}};
  for (const std::size_t sparse_max : {std::size_t{0}, redis_sparse_max}) {
    Buffer& buffer = Buffer::scratch();
    std::size_t added = 0;
    for (const Fact& fact : facts) {
      add(buffer, added, fact.elements, sparse_max);
      added = fact.elements;
      CHECK(is_dense(buffer.bytes()) == (added > 0 && (sparse_max == 0 || added >= 5000)));
      CHECK(estimate_of(buffer.bytes()) == fact.estimate);
    }
  }
}

TEST_CASE("HyperLogLog: ranks are kept whatever the form, and go from one form to the other and back") {
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 30; ++round) {
    const std::size_t sparse_max = std::array{0UL, 100UL, 3000UL, 100000UL}[random() % 4];
    Buffer& buffer = Buffer::scratch();
    std::vector<std::uint8_t> ranks(register_count);
    const std::size_t spread = random() % 2 == 0 ? register_count : 100;  // neighbours join
    for (std::size_t i = 0, end = random() % 3000; i < end; ++i) {
      Element element{static_cast<std::uint32_t>(random() % spread), random_rank(random)};
      if (random() % 100 == 0) element.index = register_count - 1;
      const bool higher = ranks[element.index] < element.rank;
      CHECK(buffer.raise(element, sparse_max) == (higher ? Buffer::Raised::yes : Buffer::Raised::no));
      ranks[element.index] = std::max(ranks[element.index], element.rank);
      REQUIRE(is_one(buffer.bytes()));
      if (!is_dense(buffer.bytes())) REQUIRE(buffer.bytes().size() <= std::max(sparse_max, header_bytes + 2));
    }
    REQUIRE(holds(buffer.bytes(), ranks));
    CHECK_FALSE(stored_estimate(buffer.bytes()).has_value());

    const auto registers = std::make_unique<Registers>();
    REQUIRE(registers->merge(buffer.bytes()));
    for (const bool dense : {true, false}) {
      buffer.encode(*registers, dense, sparse_max);
      CHECK((!dense || is_dense(buffer.bytes())));
      CHECK(holds(buffer.bytes(), ranks));
    }
    buffer.encode(*registers, true, 0);
    for (std::size_t i = 0; i < register_count; ++i) REQUIRE(dense_register(buffer.bytes(), i) == ranks[i]);
  }
}

TEST_CASE("HyperLogLog: the sparse form is that of Redis, byte for byte") {
  Buffer& buffer = Buffer::scratch();
  CHECK(buffer.bytes().substr(header_bytes) == "\x7f\xff");  // 16384 zeros
  buffer.raise({100, 3}, redis_sparse_max);
  CHECK(buffer.bytes().substr(header_bytes) == "\x40\x63\x88\x7f\x9a");  // 100 zeros, one of 3, 16283 zeros
  buffer.raise({101, 3}, redis_sparse_max);
  CHECK(buffer.bytes().substr(header_bytes) == "\x40\x63\x89\x7f\x99");  // two of 3
  buffer.raise({0, 1}, redis_sparse_max);
  CHECK(buffer.bytes().substr(header_bytes) == "\x80\x40\x62\x89\x7f\x99");
}

TEST_CASE("HyperLogLog: the stored estimate is out of date after a change") {
  Buffer& buffer = Buffer::scratch();
  buffer.raise({7, 2}, redis_sparse_max);
  CHECK_FALSE(stored_estimate(buffer.bytes()).has_value());
  std::uint32_t other = 9;
  for (const std::size_t sparse_max : {redis_sparse_max, std::size_t{0}}) {
    std::string text(buffer.bytes());
    store_estimate(text.data(), 1);
    CHECK(stored_estimate(text) == 1U);
    buffer.assign(text);
    CHECK(buffer.raise({7, 2}, sparse_max) == Buffer::Raised::no);
    CHECK(stored_estimate(buffer.bytes()) == 1U);
    CHECK(buffer.raise({other++, 2}, sparse_max) == Buffer::Raised::yes);
    CHECK_FALSE(stored_estimate(buffer.bytes()).has_value());
  }
}

TEST_CASE("HyperLogLog: strings that are none are told apart") {
  std::string text(dense_bytes, '\0');
  text.replace(0, 4, "HYLL");
  CHECK(is_one(text));
  CHECK_FALSE(is_one(text + "x"));
  CHECK_FALSE(is_one(text.substr(1)));
  CHECK_FALSE(is_one(text.substr(0, dense_bytes - 1)));
  text[4] = 2;
  CHECK_FALSE(is_one(text));
  text[4] = 1;
  CHECK(is_one(text.substr(0, header_bytes)));
  CHECK_FALSE(is_one(text.substr(0, header_bytes - 1)));
  CHECK_FALSE(is_one(""));
}

TEST_CASE("HyperLogLog: corrupt runs are found, and nothing beyond them is read or written") {
  std::mt19937_64 random(test_seed());
  const std::string header = std::string("HYLL\1", 5) + std::string(11, '\0');
  for (const std::string& runs : {std::string(), std::string("\x7f"), std::string("\x7f\xff\x80"), std::string("\x7f\xfe"),
                                  std::string("\x7f\xff\x7f\xff"), std::string(2 * register_count, '\x7f')}) {
    CHECK_FALSE(Registers::scratch().merge(header + runs));
  }
  for (int round = 0; round < 20000; ++round) {
    std::string text = header;
    for (std::size_t i = 0, end = random() % 40; i < end; ++i) text.push_back(static_cast<char>(random() % 3 == 0 ? 0x7f : random()));
    // Of the very length, so that a sanitizer sees what is read behind the end.
    const std::vector<char> exact(text.begin(), text.end());
    const std::string_view view(exact.data(), exact.size());
    REQUIRE(is_one(view));
    const bool valid = Registers::scratch().merge(view);
    Buffer& buffer = Buffer::scratch();
    buffer.assign(view);
    const Element element{static_cast<std::uint32_t>(random() % register_count), random_rank(random)};
    const auto raised = buffer.raise(element, random() % 200);
    if (valid) CHECK(raised != Buffer::Raised::corrupt);
    CHECK(buffer.bytes().size() <= std::max(dense_bytes, text.size() + 4));
  }
}
