#include "pinfold/base/json.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <catch2/catch.hpp>

using namespace pinfold;

TEST_CASE("json: values stand where they were written") {
  JsonWriter json;
  json.begin_object().add("a", 1U).add("b", std::int64_t{-2}).add("c", true).add("d", "x");
  json.key("e").begin_array().value(1).value("y").begin_object().end_object().begin_array().end_array().end_array();
  json.key("f").begin_object().add("g", 0.5).end_object();
  CHECK(std::move(json.end_object()).text() == R"({"a":1,"b":-2,"c":true,"d":"x","e":[1,"y",{},[]],"f":{"g":0.5}})");
}

TEST_CASE("json: numbers are exact, and what is no number is null") {
  JsonWriter json;
  json.begin_array().value(UINT64_MAX).value(INT64_MIN).value(0.1).value(1e300).value(-0.0);
  json.value(std::nan("")).value(std::numeric_limits<double>::infinity()).end_array();
  CHECK(std::move(json).text() == "[18446744073709551615,-9223372036854775808,0.1,1e+300,-0,null,null]");
}

TEST_CASE("json: quotes and backslashes in texts are escaped") {
  JsonWriter json;
  json.begin_array().value("\"\\</script>").end_array();
  CHECK(std::move(json).text() == R"(["\"\\</script>"])");
}

TEST_CASE("json: bytes can be told from their escapes again") {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string text;
  CHECK(append_json_bytes(text, all, 4096));
  CHECK(text.starts_with("\\u0000\\u0001"));
  CHECK(text.find(" !\\\"#") != std::string::npos);
  CHECK(text.ends_with("\\u007f\\u0080" + text.substr(text.find("\\u0081"))));
  CHECK(text.find_first_not_of("\\u0123456789abcdef") != std::string::npos);
  std::string some = "x";
  CHECK_FALSE(append_json_bytes(some, "abcdefghij", 8));
  CHECK(some == "xabc");
  std::string any = "before";
  CHECK(append_json_bytes(any, "\"", std::numeric_limits<std::size_t>::max()));
  CHECK(any == "before\\\"");
}

TEST_CASE("presentable: text in any language stays as it is") {
  for (const char* text :
       {"", "user:1", "caf\xc3\xa9", "\xe6\x97\xa5\xe6\x9c\xac", "\xf0\x9f\x98\x80", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "<b>\"&'\\"}) {
    CHECK(presentable(text, 512) == text);
  }
}

TEST_CASE("presentable: what cannot be seen, or turns the text around it, is spelled out") {
  const std::pair<std::string, std::string> texts[] = {
      {std::string("a\0b", 3), "a\\u{0}b"},
      {"\r\n\t\x1b\x7f", "\\u{d}\\u{a}\\u{9}\\u{1b}\\u{7f}"},
      {"\xc2\x85", "\\u{85}"},                             // a C1 control
      {"x\xe2\x80\xaey", "x\\u{202e}y"},                   // right-to-left override
      {"\xe2\x81\xa6\xe2\x81\xa9", "\\u{2066}\\u{2069}"},  // isolates
      {"\xe2\x80\x8b\xef\xbb\xbf", "\\u{200b}\\u{feff}"},  // zero width
      {"\xe2\x80\xa8", "\\u{2028}"},                       // line separator
      {"\xef\xbf\xbf", "\\u{ffff}"},                       // a noncharacter
      {"\xf3\xa0\x81\x81", "\\u{e0041}"},                  // a tag
  };
  for (const auto& [text, shown] : texts) CHECK(presentable(text, 512) == shown);
}

TEST_CASE("presentable: bytes that are no UTF-8 are spelled out one by one") {
  const std::pair<std::string, std::string> texts[] = {
      {"\xff\xfe", "\\xff\\xfe"},
      {"a\xc3", "a\\xc3"},  // cut short
      {"\xc3(", "\\xc3("},
      {"\xc0\xaf", "\\xc0\\xaf"},  // '/' in two bytes
      {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // a surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // beyond Unicode
      {"\xf0\x82\x82\xac", "\\xf0\\x82\\x82\\xac"},
      {"\x80", "\\x80"},
  };
  for (const auto& [text, shown] : texts) CHECK(presentable(text, 512) == shown);
}

TEST_CASE("presentable: a long text is cut, however it is spelled") {
  CHECK(presentable(std::string(600, 'x'), 512) == std::string(512, 'x') + "...");
  CHECK(presentable(std::string(1'000'000, '\0'), 512).size() < 512 + 16);
  CHECK(presentable(std::string(512, 'x'), 512) == std::string(512, 'x'));
}
