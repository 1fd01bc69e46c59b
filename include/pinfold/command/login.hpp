#pragma once
// What stands around an attempt to authenticate: the limit for failures, the counts and the audit log.

#include <span>
#include <string>
#include <string_view>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// Whether the client may try a password for this user now. If not, because too many attempts from its address have failed
/// (auth-failures-per-minute) or the audit log cannot be written (audit-log-on-error), the error has been replied. Called
/// before the password is looked at, so that the reply does not tell whether it would have been right.
bool may_try_to_log_in(Call& call, std::string_view name);

/// Notes how an attempt has ended.
void note_login(const Call& call, std::string_view name, bool succeeded);

/// Authenticates a client that has connected with a certificate, if exactly one of the names in it is that of a user. Otherwise the client
/// has the user that it has without a certificate. `refusal` says why the certificate gives no names, if it should. Without names and
/// refusal nothing happens. Called by the client's thread. Throws std::bad_alloc.
void authenticate_certificate(Engine& engine, Session& session, std::span<const std::string> names, std::string_view refusal);

}  // namespace pinfold::command
