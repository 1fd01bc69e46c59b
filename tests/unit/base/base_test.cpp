#include <limits>
#include <string>

#include <catch2/catch.hpp>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/siphash.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"

using namespace pinfold;

TEST_CASE("integers are read only in their canonical form") {
  CHECK(parse_i64("0") == 0);
  CHECK(parse_i64("-1") == -1);
  CHECK(parse_i64("9223372036854775807") == INT64_MAX);
  CHECK(parse_i64("-9223372036854775808") == INT64_MIN);
  for (const char* bad : {"", "-", "+1", " 1", "1 ", "01", "-0", "-01", "00", "9223372036854775808", "-9223372036854775809", "1e3", "0x10",
                          "184467440737095516160"}) {
    INFO(bad);
    CHECK_FALSE(parse_i64(bad));
  }
}

TEST_CASE("integers are written as they are read, whatever their length") {
  const auto written = [](std::int64_t value) {
    char text[20];
    return std::string(text, write_i64(text, value));
  };
  for (std::int64_t value = -1100; value <= 1100; ++value) REQUIRE(written(value) == std::to_string(value));
  for (const std::int64_t value : {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    CHECK(written(value) == std::to_string(value));
  }
}

TEST_CASE("reals are read and shown as INCRBYFLOAT does") {
  CHECK(format_real(*parse_real("3.0")) == "3");
  CHECK(format_real(*parse_real("5.0e3")) == "5000");
  CHECK(format_real(*parse_real("0.1")) == "0.1");
  CHECK(format_real(*parse_real("-0.0")) == "0");
  CHECK(parse_real("inf"));
  for (const char* bad : {"", " 1", "1 ", "nan", "1e5000", "abc", "1.2.3"}) {
    INFO(bad);
    CHECK_FALSE(parse_real(bad));
  }
}

TEST_CASE("memory sizes take Redis' units") {
  CHECK(parse_memory("100") == 100);
  CHECK(parse_memory("1k") == 1000);
  CHECK(parse_memory("1KB") == 1024);
  CHECK(parse_memory("2mb") == 2 << 20);
  CHECK(parse_memory("1gb") == 1 << 30);
  CHECK(parse_memory("64 mb") == 64 << 20);
  for (const char* bad : {"", "-1", "mb", "1 ", " 1", "1mb ", "1GBB", "1tb", "99999999999999999999", "9999999999gb"}) {
    INFO(bad);
    CHECK_FALSE(parse_memory(bad));
  }
}

TEST_CASE("durations need a unit, and are shown with the largest that fits") {
  CHECK(parse_duration("0") == 0);
  CHECK(parse_duration("50ms") == 50);
  CHECK(parse_duration("30 S") == 30'000);
  CHECK(parse_duration("5m") == 300'000);
  CHECK(parse_duration("36600d") == 36600LL * 86'400'000);
  for (const char* bad : {"", "1", "-1s", "s", "1sec", "1.5s", "1s ", " 1s", "36601d", "99999999999999999999ms"}) {
    INFO(bad);
    CHECK_FALSE(parse_duration(bad));
  }
  for (const char* text : {"0", "50ms", "90s", "5m", "36h", "7d"}) CHECK(show_duration(*parse_duration(text)) == text);
}

TEST_CASE("SipHash-1-3 gives other hashes under another key, and other hashes for texts of other lengths") {
  const HashKey a{1, 2};
  const HashKey b{1, 3};
  std::string text;
  std::uint64_t before = 0;
  for (int i = 0; i < 64; ++i) {
    CHECK(siphash13(a, text) != siphash13(b, text));
    CHECK(siphash13(a, text) != before);
    before = siphash13(a, text);
    text += '\0';
  }
}

TEST_CASE("SipHash-1-3 equals an independent implementation's figures") {
  // hash(bytes(range(n))) of CPython 3.11, which is SipHash-1-3 under the zero key with PYTHONHASHSEED=0.
  const std::pair<int, std::uint64_t> known[] = {{1, 0x68a914128e01e473},  {2, 0x10bac45c41e3669},  {3, 0x4d4c9a4a8ef6e0ad},
                                                 {4, 0x7cc43f98813e4dbd},  {7, 0x2f098ab0c751325a}, {8, 0xead411e67ebe2eea},
                                                 {15, 0xf30eb725bb91c9ea}, {33, 0x7fb71d24dfa4c9f6}};
  for (const auto& [size, hash] : known) {
    std::string message;
    for (char c = 0; c < size; ++c) message += c;
    CHECK(siphash13({0, 0}, message) == hash);
  }
}

TEST_CASE("text is cut at the first NUL, as C does") {
  using namespace std::string_literals;
  CHECK(up_to_nul("").empty());
  CHECK(up_to_nul("abc") == "abc");
  CHECK(up_to_nul("a\0b\0c"s) == "a");
  CHECK(up_to_nul("\0"s).empty());
}

TEST_CASE("an excerpt is no longer than asked for, and ends at a NUL") {
  using namespace std::string_literals;
  CHECK(excerpt("abc") == "abc");
  CHECK(excerpt("abc", 2) == "ab");
  CHECK(excerpt("a\0bc"s) == "a");
  CHECK(excerpt(std::string(1000, 'x')) == std::string(128, 'x'));
}

TEST_CASE("a command's name is shown as people write it") {
  CHECK(shown_command("get") == "GET");
  CHECK(shown_command("config|set") == "CONFIG SET");
  CHECK(shown_command("cache.get") == "CACHE.GET");
}
