#include "pinfold/base/http_url.hpp"

#include <catch2/catch.hpp>

namespace pinfold {
namespace {

std::string parts(std::string_view text) {
  std::string error;
  const auto url = parse_http_url(text, error);
  CHECK(url.has_value() == error.empty());
  return url ? url->host + "|" + url->port + "|" + url->path + "|" + url->host_header() : "refused";
}

TEST_CASE("a URL of a receiver is taken apart") {
  CHECK(parts("http://127.0.0.1:4318/v1/traces") == "127.0.0.1|4318|/v1/traces|127.0.0.1:4318");
  CHECK(parts("HTTP://otel-collector.monitoring_1:80/a/b?c=d&e=%20") ==
        "otel-collector.monitoring_1|80|/a/b?c=d&e=%20|otel-collector.monitoring_1:80");
  CHECK(parts("http://[2001:db8::1]:65535/x") == "2001:db8::1|65535|/x|[2001:db8::1]:65535");
}

TEST_CASE("what is no such URL is refused, and the reason does not repeat it") {
  for (const char* text : {"",
                           "http",
                           "http:",
                           "http://",
                           "http:///x",
                           "https://a:1/x",
                           "HTTPS://a:1/x",
                           "//a:1/x",
                           "a:1/x",
                           "http://a/x",
                           "http://a:1",
                           "http://a:1/",
                           "http://a:/x",
                           "http://a:0/x",
                           "http://a:01/x",
                           "http://a:65536/x",
                           "http://a:-1/x",
                           "http://a:1x/x",
                           "http://:1/x",
                           "http://a b:1/x",
                           "http://[]:1/x",
                           "http://[a]:1/x",
                           "http://[::1]/x",
                           "http://::1:1/x",
                           "http://u@a:1/x",
                           "http://u:p@a:1/x",
                           "http://a:1/x y",
                           "http://a:1/x#y",
                           "http://a:1/x\r\nHost: b",
                           "http://a\r\n:1/x",
                           "http://a:1/\xc3\xa4"}) {
    std::string error;
    CHECK_FALSE(parse_http_url(text, error).has_value());
    CHECK(error.find("http://host:port/path") != std::string::npos);
    CHECK(error.find('\r') == std::string::npos);
  }
}

}  // namespace
}  // namespace pinfold
