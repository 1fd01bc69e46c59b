#include "pinfold/command/request_log.hpp"

#include <algorithm>

#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {
namespace {

using Kind = EventLog::Kind;

// The values of log-key-names, in the order of its choices.
enum KeyNames : std::int64_t { yes, prefix, no };

std::string describe_client(const Session& session) {
  return "client " + std::to_string(session.shared.id) + " (" + session.shared.address + ")";
}

}  // namespace

std::string shown_key(const config::Settings& settings, std::string_view key) {
  constexpr std::size_t longest = 128;
  constexpr std::size_t longest_prefix = 16;
  const std::int64_t choice = settings.integer(config::Id::log_key_names);
  if (choice == KeyNames::no) return std::string(config::hidden);
  if (choice == KeyNames::yes) return quoted(key.substr(0, longest));
  const std::string_view shown = key.substr(0, std::min(key.substr(0, longest_prefix).find(':'), longest_prefix - 1) + 1);
  return quoted(shown) + (shown.size() < key.size() ? "..." : "");
}

std::string shown_request(const config::Settings& settings, const Row& row, Args args) {
  constexpr std::size_t most_arguments = 12;
  constexpr std::size_t longest_argument = 64;
  std::string line;
  for (std::size_t i = 0; i < args.size() && i < most_arguments; ++i) {
    if (i > 0) line += ' ';
    const Shown shown_as = shown_argument(row, args, i);
    if (shown_as == Shown::secret) {
      line += config::hidden;
      continue;
    }
    if (shown_as == Shown::key && settings.integer(config::Id::log_key_names) != KeyNames::yes) {
      line += shown_key(settings, args[i]);
      continue;
    }
    const std::string_view shown = args[i].substr(0, longest_argument);
    const bool plain = !shown.empty() && shown.find_first_of("\"\\ ") == std::string_view::npos && quoted(shown).size() == shown.size() + 2;
    line += plain ? std::string(shown) : quoted(shown);
    if (shown.size() < args[i].size()) line += "...";
  }
  if (args.size() > most_arguments) line += " and " + std::to_string(args.size() - most_arguments) + " more arguments";
  return line;
}

std::string describe_request(const Call& call) {
  return describe_client(call.session) + ": " + shown_request(call.engine.settings, call.row, call.args);
}

void note_request(const Call& call) {
  call.engine.events.note_command(command_index(call.row), [&call] { return describe_request(call); });
}

void note_outcome(Engine& engine, const std::string& request, const std::optional<std::string>& error) {
  engine.events.note(error ? Kind::failures : Kind::administration, [&] { return error ? request + " failed: " + *error : request; });
}

void note_out_of_memory(const Session& session, const Row& row, Engine& engine) {
  engine.events.note(Kind::out_of_memory, [&] {
    return "refused '" + std::string(row.name) + "' of " + describe_client(session) +
           " for want of memory: nothing (more) could be evicted for it under maxmemory " + engine.settings.show(config::Id::maxmemory) +
           " and maxmemory-policy " + engine.settings.show(config::Id::maxmemory_policy);
  });
}

std::string shown_names(std::span<const std::string> names) {
  constexpr std::size_t most = 3;
  constexpr std::size_t longest = 64;
  std::string shown;
  for (const std::string& name : names.first(std::min(names.size(), most))) {
    if (!shown.empty()) shown += ", ";
    shown += quoted(std::string_view(name).substr(0, longest));
    if (name.size() > longest) shown += "...";
  }
  if (names.size() > most) shown += " and " + std::to_string(names.size() - most) + " more";
  return shown;
}

void note_certificate_refused(const Session& session, Engine& engine, std::string_view reason, std::span<const std::string> names) {
  engine.events.note(Kind::handshakes, [&] {
    return "the certificate of " + describe_client(session) + " authenticates nobody (tls-auth-clients-user): " + std::string(reason) +
           (names.empty() ? "" : ": " + shown_names(names));
  });
}

void note_auth_limited(const Session& session, Engine& engine, std::int64_t wait_ms) {
  engine.events.note(Kind::auth_limited, [&] {
    return "refused AUTH of " + describe_client(session) +
           ": too many attempts from this address have failed (auth-failures-per-minute), the next is " + "possible in " +
           std::to_string((wait_ms + 999) / 1000) + " seconds";
  });
}

void note_rate_limited(const Session& session, Engine& engine, const security::User& user, std::int64_t per_second) {
  engine.events.note(Kind::rate_limited, [&] {
    return "refused a request of " + describe_client(session) + ": its user '" + excerpt(user.name()) + "' may make " +
           std::to_string(per_second) + " requests a second (user-requests-per-second, rate=)";
  });
}

void note_http(const Session& session, Engine& engine) {
  engine.events.note(Kind::http, [&] {
    return "closing " + describe_client(session) + ", which sends HTTP: a browser or a proxy may have been made to send Redis commands";
  });
}

}  // namespace pinfold::command
