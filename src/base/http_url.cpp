#include "pinfold/base/http_url.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"

namespace pinfold {

namespace {

constexpr std::string_view form = "it takes http://host:port/path, such as http://127.0.0.1:4318/v1/traces";

bool is_letter_or_digit(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z'); }

bool is_name(std::string_view host) {
  return !host.empty() && std::ranges::all_of(host, [](char c) { return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_'; });
}

bool is_v6(std::string_view host) {
  return host.find(':') != std::string_view::npos &&
         std::ranges::all_of(host, [](char c) { return is_letter_or_digit(c) || c == ':' || c == '.' || c == '%'; });
}

std::optional<HttpUrl> wrong(std::string& error, std::string_view what) {
  error.assign(what).append(": ").append(form);
  return std::nullopt;
}

}  // namespace

std::string HttpUrl::host_header() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + port;
}

std::optional<HttpUrl> parse_http_url(std::string_view text, std::string& error) {
  constexpr std::string_view scheme = "http://";
  constexpr std::int64_t last_port = 65535;
  if (iequals(text.substr(0, std::string_view("https://").size()), "https://")) return wrong(error, "https is not supported");
  if (!iequals(text.substr(0, scheme.size()), scheme)) return wrong(error, "the URL does not begin with http://");
  text.remove_prefix(scheme.size());
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash + 1 == text.size()) return wrong(error, "the URL has no path");
  const std::string_view path = text.substr(slash);
  if (!std::ranges::all_of(path, [](char c) { return is_printable(c) && c != ' ' && c != '#'; })) {
    return wrong(error, "the URL has a path with characters that must be encoded");
  }
  const std::string_view authority = text.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) return wrong(error, "the URL has a user or a password, which are not supported");
  const std::size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.ends_with(']')) return wrong(error, "the URL has no port");
  std::string_view host = authority.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed ? !is_v6(host) : !is_name(host)) return wrong(error, "the URL has no valid host");
  const std::string_view port = authority.substr(colon + 1);
  const std::optional<std::int64_t> number = parse_i64(port);
  if (!number || *number < 1 || *number > last_port) return wrong(error, "the URL has no valid port");
  return HttpUrl{std::string(host), std::string(port), std::string(path)};
}

}  // namespace pinfold
