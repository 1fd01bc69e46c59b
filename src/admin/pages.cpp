#include "pinfold/admin/pages.hpp"

#include <algorithm>
#include <utility>

#include "pinfold/admin/metrics.hpp"
#include "pinfold/admin/status.hpp"
#include "pinfold/base/numbers.hpp"

namespace pinfold::admin {

namespace {

constexpr std::string_view text_type = "text/plain; charset=utf-8";
constexpr std::string_view metrics_type = "text/plain; version=0.0.4; charset=utf-8";

Page index(const PageRequest& /*request*/) {
  std::string text = "Pinfold\n";
  for (const Route& route : routes()) text.append(route.path).append("\n");
  return {std::move(text)};
}

Page metrics(const PageRequest& request) {
  const store::Keyspace::Locks none(request.engine.keyspace);
  return {metrics_text(command::collect_figures(request.engine, none, unix_ms(), sections_of_metrics()))};
}

Page health(const PageRequest& /*request*/) { return {"ok\n"}; }

Page ready(const PageRequest& request) {
  if (request.not_ready.empty()) return {"ready\n"};
  return {std::string(request.not_ready) + "\n", 503};
}

// A file of the status page. It tells nothing but that this is Pinfold; the numbers need the token.
template <std::string_view (*text)()>
Page file(const PageRequest& /*request*/) {
  return {std::string(text())};
}

Page status(const PageRequest& request) { return {recent_status_json(request.engine)}; }

constexpr Route kRoutes[] = {
    {.path = "/", .type = "text/html; charset=utf-8", .make = file<status_html>, .open = true},
    {.path = "/status.css", .type = "text/css; charset=utf-8", .make = file<status_css>, .open = true},
    {.path = "/status.js", .type = "text/javascript; charset=utf-8", .make = file<status_js>, .open = true},
    {.path = "/status.json", .type = "application/json", .make = status},
    {.path = "/pages", .type = text_type, .make = index},
    {.path = "/metrics", .type = metrics_type, .make = metrics},
    {.path = "/health", .type = text_type, .make = health, .open = true},
    {.path = "/ready", .type = text_type, .make = ready, .open = true},
};

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_code = text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    if (is_code) {
      plain += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      plain += text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

std::optional<std::string> Query::text(std::string_view name) const {
  for (std::string_view rest = text_; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
    const std::size_t equals = one.find('=');
    if (decoded(one.substr(0, equals)) != name) continue;
    return equals == std::string_view::npos ? std::string() : decoded(one.substr(equals + 1));
  }
  return std::nullopt;
}

std::int64_t Query::integer(std::string_view name, std::int64_t least, std::int64_t most, std::int64_t otherwise) const {
  const std::optional<std::string> given = text(name);
  if (!given) return otherwise;
  const std::optional<std::int64_t> number = parse_i64(*given);
  return number && *number >= least && *number <= most ? *number : otherwise;
}

}  // namespace pinfold::admin
