#include "pinfold/base/trace_context.hpp"

#include <string>

#include <catch2/catch.hpp>

namespace pinfold {
namespace {

const std::string usual = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::string with(std::size_t at, std::string_view text) { return std::string(usual).replace(at, text.size(), text); }

TEST_CASE("a traceparent is read into its fields") {
  const auto context = parse_traceparent(usual);
  REQUIRE(context.has_value());
  CHECK(context->trace == TraceId{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36});
  CHECK(context->parent == SpanId{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7});
  CHECK(context->sampled);
}

TEST_CASE("only the lowest flag of a traceparent says whether it is sampled") {
  for (const char* flags : {"00", "02", "fe"}) CHECK_FALSE(parse_traceparent(with(53, flags)).value().sampled);
  for (const char* flags : {"01", "03", "ff"}) CHECK(parse_traceparent(with(53, flags)).value().sampled);
}

TEST_CASE("a malformed traceparent is refused") {
  CHECK_FALSE(parse_traceparent("").has_value());
  for (std::size_t size = 0; size < usual.size(); ++size) CHECK_FALSE(parse_traceparent(usual.substr(0, size)).has_value());
  CHECK_FALSE(parse_traceparent(usual + "-").has_value());
  CHECK_FALSE(parse_traceparent(usual + "-00").has_value());
  CHECK_FALSE(parse_traceparent(usual + " ").has_value());
  for (std::size_t at = 0; at < usual.size(); ++at) {
    for (const char* wrong : {"g", "A", "F", " ", "_", "/", ":", "`", "\xff"}) CHECK_FALSE(parse_traceparent(with(at, wrong)).has_value());
    if (usual[at] != '-') CHECK_FALSE(parse_traceparent(with(at, "-")).has_value());
    if (usual[at] == '-') CHECK_FALSE(parse_traceparent(with(at, "0")).has_value());
  }
  CHECK_FALSE(parse_traceparent(with(3, std::string(32, '0'))).has_value());
  CHECK_FALSE(parse_traceparent(with(36, std::string(16, '0'))).has_value());
  CHECK_FALSE(parse_traceparent(with(0, "ff")).has_value());
}

TEST_CASE("of a later version of traceparent the fields that are known are read") {
  for (const char* version : {"01", "fe", "cc"}) {
    CHECK(parse_traceparent(with(0, version)).has_value());
    CHECK(parse_traceparent(with(0, version) + "-").has_value());
    CHECK(parse_traceparent(with(0, version) + "-anything at all").value().sampled);
    CHECK_FALSE(parse_traceparent(with(0, version) + "0").has_value());
    CHECK_FALSE(parse_traceparent(with(0, version) + ".x").has_value());
  }
}

}  // namespace
}  // namespace pinfold
