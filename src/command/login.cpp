#include "pinfold/command/login.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

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
  if (may_note(call, AuditLog::Kind::auth_limited)) audit_login(call, AuditLog::Kind::auth_limited, name);
  note_auth_limited(call.session, call.engine, wait_ms);
  call.reply.error("ERR too many attempts to authenticate from this address have failed: nothing was checked, try again in " +
                   std::to_string((wait_ms + 999) / 1000) + " seconds");
  return false;
}

void note_login(const Call& call, std::string_view name, bool succeeded) {
  const AuditLog::Kind kind = succeeded ? AuditLog::Kind::auth_ok : AuditLog::Kind::auth_failed;
  const bool noted = may_note(call, kind);
  if (noted) audit_login(call, kind, name);
  if (succeeded) return;
  if (noted) {
    note_denial(call.engine, call.session,
                {.reason = DenialReason::auth,
                 .context = call.in_transaction ? DenialContext::multi : DenialContext::toplevel,
                 .object = call.args[0],
                 .user = call.engine.users.find(name) != nullptr ? name : unknown_user});
  } else {
    count_denial(call.engine, call.session, DenialReason::auth);
  }
  stats_of(call).auth_failures.add();
  if (const auto client = counted(call)) call.engine.auth_failures.note(client->origin, client->per_minute, call.mono);
}

void authenticate_certificate(Engine& engine, Session& session, std::span<const std::string> names, std::string_view refusal) {
  if (names.empty() && refusal.empty()) return;
  std::shared_ptr<const security::User> user;
  std::string_view reason = refusal;
  for (const std::string& name : names) {
    std::shared_ptr<const security::User> found = engine.users.find(name);
    if (found == nullptr) continue;
    if (user != nullptr) reason = "its certificate has the names of several users";
    user = std::move(found);
  }
  if (reason.empty() && user == nullptr) reason = "no user has a name that its certificate has";
  if (reason.empty() && !user->enabled()) reason = "the user is off";
  if (reason.empty() && audit_forbids(engine)) reason = "the audit log cannot be written (audit-log-on-error)";
  const bool succeeded = reason.empty();
  const SharedClient& client = session.shared;
  const AuditLog::Kind kind = succeeded ? AuditLog::Kind::auth_ok : AuditLog::Kind::auth_failed;
  const std::string_view name = user != nullptr ? std::string_view(user->name()) : unknown_user;
  engine.audit.note(kind, {.user = succeeded ? name : std::string_view(), .address = client.address}, [&](AuditLine& line) {
    line.add("client", client.id).add("address", client.address);
    line.add("user", name).add("by", "certificate");
    if (succeeded) return;
    line.add("reason", reason);
    if (!names.empty()) line.add("names", shown_names(names));
  });
  if (succeeded) return session.set_user(std::move(user));
  engine.stats.of_thread(client.thread).tls_users_refused.add();
  note_certificate_refused(session, engine, reason, names);
}

}  // namespace pinfold::command
