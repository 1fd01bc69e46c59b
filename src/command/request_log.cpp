#include "pinfold/command/request_log.hpp"

#include "pinfold/base/text.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::command {
namespace {

using Kind = EventLog::Kind;

std::string describe_client(const Session& session) {
  return "client " + std::to_string(session.shared.id) + " (" + session.shared.address + ")";
}

}  // namespace

std::string describe_request(const Session& session, Args args) {
  constexpr std::size_t most_arguments = 12;
  constexpr std::size_t longest_argument = 64;
  std::string line = describe_client(session) + ":";
  bool secret = false;
  for (std::size_t i = 0; i < args.size() && i < most_arguments; ++i) {
    const std::string_view shown = args[i].substr(0, longest_argument);
    const bool plain = !shown.empty() && shown.find_first_of("\"\\ ") == std::string_view::npos && quoted(shown).size() == shown.size() + 2;
    line += ' ';
    line += secret ? "(hidden)" : plain ? std::string(shown) : quoted(shown);
    if (!secret && shown.size() < args[i].size()) line += "...";
    const config::Setting* const setting = config::find_setting(args[i]);
    secret = setting != nullptr && config::is_secret(setting->id);
  }
  if (args.size() > most_arguments) line += " and " + std::to_string(args.size() - most_arguments) + " more arguments";
  return line;
}

void note_request(const Call& call) {
  call.engine.events.note_command(command_index(call.row), [&call] { return describe_request(call.session, call.args); });
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

void note_http(const Session& session, Engine& engine) {
  engine.events.note(Kind::http, [&] {
    return "closing " + describe_client(session) + ", which sends HTTP: a browser or a proxy may have been made to send Redis commands";
  });
}

}  // namespace pinfold::command
