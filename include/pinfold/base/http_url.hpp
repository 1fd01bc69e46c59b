#pragma once
// The address of a receiver that the server sends to over HTTP: http://host:port/path.

#include <optional>
#include <string>
#include <string_view>

namespace pinfold {

struct HttpUrl {
  std::string host;  // a name or an IPv4 or IPv6 address, the last without its brackets
  std::string port;  // a decimal number from 1 to 65535
  std::string path;  // with its '/' in front, and what stands behind a '?'

  /// What a request has in its header Host: "collector:4318", "[::1]:4318".
  std::string host_header() const;
};

/// Reads a URL with all three parts. Otherwise `error` says what is wrong with it, in words that do not repeat the URL. O(length).
std::optional<HttpUrl> parse_http_url(std::string_view text, std::string& error);

}  // namespace pinfold
