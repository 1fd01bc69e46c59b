#include "pinfold/command/login.hpp"

#include <optional>
#include <string>

#include "pinfold/base/address.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/request_log.hpp"
#include "pinfold/command/rights.hpp"

namespace pinfold::command {
namespace {

struct Counted {
  std::uint64_t origin;
  std::int64_t per_minute;
};

// Nothing for a client whose failures are not counted. The setting is read once, because it may change meanwhile.
std::optional<Counted> counted(const Call& call) {
  const std::int64_t per_minute = call.engine.settings.integer(config::Id::auth_failures_per_minute);
  if (per_minute == 0 || call.session.shared.unix_socket) return std::nullopt;
  const std::optional<std::uint64_t> origin = origin_of(call.session.shared.address);
  if (!origin) return std::nullopt;
  return Counted{*origin, per_minute};
}

ThreadStats& stats_of(const Call& call) { return call.engine.stats.of_thread(call.session.shared.thread); }

}  // namespace

bool may_try_to_log_in(Call& call, std::string_view name) {
  if (audit_forbids(call.engine)) {
    call.reply.error(audit_error);
    return false;
  }
  const std::optional<Counted> client = counted(call);
  const std::int64_t wait_ms = client ? call.engine.auth_failures.wait_ms(client->origin, client->per_minute, call.mono) : 0;
  if (wait_ms == 0) return true;
  stats_of(call).auth_limited.add();
  audit_login(call, AuditLog::Kind::auth_limited, name);
  note_auth_limited(call.session, call.engine, wait_ms);
  call.reply.error("ERR too many attempts to authenticate from this address have failed: nothing was checked, try again in " +
                   std::to_string((wait_ms + 999) / 1000) + " seconds");
  return false;
}

void note_login(const Call& call, std::string_view name, bool succeeded) {
  audit_login(call, succeeded ? AuditLog::Kind::auth_ok : AuditLog::Kind::auth_failed, name);
  if (succeeded) return;
  note_denial(call.engine, call.session,
              {.reason = DenialReason::auth,
               .context = call.in_transaction ? DenialContext::multi : DenialContext::toplevel,
               .object = call.args[0],
               .user = name});
  stats_of(call).auth_failures.add();
  if (const auto client = counted(call)) call.engine.auth_failures.note(client->origin, client->per_minute, call.mono);
}

}  // namespace pinfold::command
