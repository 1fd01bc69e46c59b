#include "pinfold/command/audit.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/request_log.hpp"

namespace pinfold::command {
namespace {

using Kind = AuditLog::Kind;

// Which kind of event a request is, by the beginning of its command's name. All other audited commands are `administration`.
struct KindOfCommands {
  std::string_view begins;
  Kind kind;
};
constexpr KindOfCommands kKinds[] = {
    {"acl|", Kind::acl},          {"config|", Kind::configuration}, {"cache.policy|", Kind::configuration},
    {"cache.purge", Kind::purge}, {"flushall", Kind::purge},        {"flushdb", Kind::purge},
};

Kind kind_of(const Row& row) {
  const auto* const found =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&row](const auto& one) { return row.name.starts_with(one.begins); });
  return found != std::end(kKinds) ? found->kind : Kind::administration;
}

// Called by the client's thread.
void add_client(AuditLine& line, const SharedClient& client) {
  line.add("client", client.id).add("address", client.address).add("user", user_name(client));
  if (!client.name.empty()) line.add("name", client.name);
}

constexpr std::string_view kResults[] = {"ok", "failed", "begun"};  // in the order of RequestResult

}  // namespace

bool may_note(Engine& engine, const Session& session, Kind kind) {
  if (session.group == nullptr) return true;
  std::uint32_t& lines = session.group->audit_lines[static_cast<std::size_t>(kind)];
  if (lines++ < most_noted_of_exec) return true;
  engine.audit.leave_out(kind);
  return false;
}

bool may_note(const Call& call, Kind kind) { return may_note(call.engine, call.session, kind); }

void audit_connection(Engine& engine, Kind kind, const SharedClient& client, std::string_view reason) {
  engine.audit.note(kind, {.address = client.address}, [&](AuditLine& line) {
    line.add("client", client.id).add("address", client.address).add("to", client.local_address);
    if (client.user != nullptr) line.add("user", client.user->name());
    if (!reason.empty()) line.add("reason", reason);
  });
  if (kind == Kind::connection_refused) return;  // a warning has said so
  engine.events.note(EventLog::Kind::clients, [&] {
    std::string line = "client " + std::to_string(client.id) + " (" + client.address + ") ";
    if (kind == Kind::connection_accepted) return line + "has connected to " + client.local_address;
    return line.append("is gone: ").append(reason);
  });
}

void audit_login(const Call& call, Kind kind, std::string_view name) {
  const SharedClient& client = call.session.shared;
  // A client chooses the name that it tries, but not as whom it succeeds.
  const bool succeeded = kind == Kind::auth_ok;
  const std::string_view user = succeeded ? name : std::string_view();
  // A connection has cost its client something. To authenticate again on it costs nothing.
  const bool again = succeeded && std::exchange(call.session.login_noted, true);
  const auto repeated = again ? AuditLog::Repeated::yes : AuditLog::Repeated::no;
  call.engine.audit.note(kind, {.user = user, .address = client.address}, repeated, [&](AuditLine& line) {
    line.add("client", client.id).add("address", client.address);
    line.add("user", call.engine.users.find(name) != nullptr ? name : unknown_user);
  });
}

void audit_denial(Engine& engine, const Session& session, const Row& row, std::string_view error) {
  const SharedClient& client = session.shared;
  // A client that has not authenticated may be served as the default user.
  const security::User* const user = session.user() != nullptr ? session.user() : session.checked_user().get();
  const std::string_view name = user != nullptr ? std::string_view(user->name()) : std::string_view();
  engine.audit.note(Kind::denied, {.user = name, .address = client.address}, [&](AuditLine& line) {
    line.add("client", client.id).add("address", client.address);
    line.add("user", user != nullptr ? name : std::string_view("(unauthenticated)"));
    line.add("command", row.name).add("reason", error);
  });
}

void audit_request(const Call& call, RequestResult result) {
  const Kind kind = kind_of(call.row);
  if (!may_note(call, kind)) return;
  const SharedClient& client = call.session.shared;
  const auto repeated = result == RequestResult::failed ? AuditLog::Repeated::yes : AuditLog::Repeated::no;
  call.engine.audit.note(kind, {.user = user_name(client), .address = client.address}, repeated, [&](AuditLine& line) {
    add_client(line, client);
    line.add("request", shown_request(call.engine.settings, call.row, call.args));
    line.add("result", kResults[static_cast<std::size_t>(result)]);
  });
}

bool is_audited(const Row& row) { return (row.flags & (kAdmin | kLogged | kAudited)) != 0; }

std::optional<AuditedRequest> remember_for_audit(const Call& call) {
  if (!call.engine.audit.on()) return std::nullopt;
  const SharedClient& client = call.session.shared;
  return AuditedRequest{client.id, client.address, std::string(user_name(client)),
                        shown_request(call.engine.settings, call.row, call.args)};
}

void add_request(AuditLine& line, const AuditedRequest& request) {
  line.add("client", request.client).add("address", request.address).add("user", request.user).add("request", request.request);
}

bool audit_forbids(const Engine& engine) {
  enum Choice : std::int64_t { go_on, refuse };  // in the order of the setting's choices
  return engine.audit.on() && engine.audit.failing() && engine.settings.integer(config::Id::audit_log_on_error) == refuse;
}

}  // namespace pinfold::command
