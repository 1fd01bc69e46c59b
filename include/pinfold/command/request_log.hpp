#pragma once
// Lines in the log about administrative requests and about refused requests (EventLog).

#include <optional>
#include <span>
#include <string>

#include "pinfold/command/call.hpp"
#include "pinfold/config/settings.hpp"

namespace pinfold::command {

/// The name of a key, or the beginning of one, as the setting log-key-names lets it appear in a log: in quotes and shortened. O(1) for
/// long names.
std::string shown_key(const config::Settings& settings, std::string_view key);

/// The words of a request as they may appear in a log. Long arguments and long lists are shortened. Passwords are left out
/// (shown_argument). `args` need not be valid.
std::string shown_request(const config::Settings& settings, const Row& row, Args args);

/// Returns "client 7 (127.0.0.1:40000): CONFIG SET maxmemory 1gb", with shown_request().
std::string describe_request(const Call& call);

/// Notes such a line. It is called for commands with kLogged, and by the handlers of other commands if they have changed something.
void note_request(const Call& call);
/// The same for a request whose outcome is known later. `request` is its line. If there is an error, the line says that it has failed.
void note_outcome(Engine& engine, const std::string& request, const std::optional<std::string>& error);
/// Notes that a request was refused for want of memory.
void note_out_of_memory(const Session& session, const Row& row, Engine& engine);
/// Notes that an attempt to authenticate was refused unseen, and after how many milliseconds the next one is possible.
void note_auth_limited(const Session& session, Engine& engine, std::int64_t wait_ms);
/// Notes that a request was refused because of the rate of the client's user.
void note_rate_limited(const Session& session, Engine& engine, const security::User& user, std::int64_t per_second);
/// The names that a certificate has, for logs: the first three of them, each cut at 64 bytes, and how many there are beside.
std::string shown_names(std::span<const std::string> names);
/// Notes that a client's certificate with these names has not authenticated it, although tls-auth-clients-user says that it may.
void note_certificate_refused(const Session& session, Engine& engine, std::string_view reason, std::span<const std::string> names);
/// Notes that a client has sent an HTTP request.
void note_http(const Session& session, Engine& engine);

}  // namespace pinfold::command
