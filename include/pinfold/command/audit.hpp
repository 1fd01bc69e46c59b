#pragma once
// Lines of the audit log about clients and their requests (base/audit_log.hpp). While the audit log is off, each function costs one
// comparison.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/base/audit_log.hpp"
#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// Whether one more line of this kind is noted for this call. Of the commands that one EXEC or script executes, the first
/// most_noted_of_exec of each kind are, whether or not the audit log is on: noting takes microseconds, and others wait for the shards
/// meanwhile. Counts the line, and one that is not noted as left out. So it is asked once for each line.
bool may_note(const Call& call, AuditLog::Kind kind);
bool may_note(Engine& engine, const Session& session, AuditLog::Kind kind);
inline constexpr std::size_t most_noted_of_exec = 16;

/// Notes that a connection was accepted, refused or closed. `reason` is empty for one that was accepted. Called by the client's
/// thread.
void audit_connection(Engine& engine, AuditLog::Kind kind, const SharedClient& client, std::string_view reason);

/// What logs have in place of a name that no user has, because people type passwords where the name belongs.
inline constexpr std::string_view unknown_user = "(unknown)";

/// Notes an attempt to authenticate: `auth_ok`, `auth_failed` or `auth_limited`. A name that no user has is left out. The caller has asked
/// may_note().
void audit_login(const Call& call, AuditLog::Kind kind, std::string_view name);

/// Notes that a request was refused because its client may not make it. `error` is the reply. Of the request's arguments only the
/// command is told.
void audit_denial(Engine& engine, const Session& session, const Row& row, std::string_view error);

/// How a request has ended; `begun` if its reply comes later.
enum class RequestResult : std::uint8_t { ok, failed, begun };
/// Notes a request that administrates or purges, if may_note() says so.
void audit_request(const Call& call, RequestResult result);
/// Whether requests of this command are noted by audit_request() when they have been executed: those of administrators, purges and flushes.
bool is_audited(const Row& row);

/// A client and its request, for a line that comes later, when both may be gone.
struct AuditedRequest {
  std::uint64_t client;
  std::string address;
  std::string user;
  std::string request;
};
/// Nothing while the audit log is off.
std::optional<AuditedRequest> remember_for_audit(const Call& call);
/// Adds these four to a line.
void add_request(AuditLine& line, const AuditedRequest& request);

/// Whether the audit log cannot be written, and audit-log-on-error says that requests of is_audited() commands and authentications are then
/// refused.
bool audit_forbids(const Engine& engine);
inline constexpr std::string_view audit_error =
    "ERR the audit log cannot be written, and audit-log-on-error is 'refuse': administration, purges and AUTH are refused until it can";

}  // namespace pinfold::command
