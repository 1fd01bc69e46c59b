// MONITOR: the requests of all clients, as they are executed (monitor_feed.hpp).

#include <span>

#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"

namespace pinfold::command {
namespace {

Outcome monitor(Call& call) {
  if (call.in_transaction) return call.reply.error("ERR MONITOR isn't allowed for DENY BLOCKING client");
  const std::shared_ptr<const security::User>& user = call.session.acting_user(call.engine.users);
  if (user == nullptr || !call.engine.monitors.add(call.session, user)) {
    return call.reply.error("ERR there are as many clients that use MONITOR as there may be (32)");
  }
  return call.reply.ok();
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "monitor", .handler = monitor, .arity = 1,
     .flags = kAdmin | kNoScript | kLoading,
     .group = "server", .since = "1.0.0",
     .complexity = "O(1). While a client monitors, each request is O(N) for N bytes of it that are shown.",
     .summary = "Shows the requests of all clients as they are executed, until RESET or the end of the connection."},
};
// clang-format on

}  // namespace

std::span<const Row> monitor_commands() { return kRows; }

}  // namespace pinfold::command
