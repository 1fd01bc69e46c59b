#include "pinfold/admin/pages.hpp"

#include <algorithm>
#include <utility>

#include "pinfold/admin/metrics.hpp"
#include "pinfold/admin/status.hpp"

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

}  // namespace

std::span<const Route> routes() { return kRoutes; }

}  // namespace pinfold::admin
