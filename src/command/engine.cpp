#include "pinfold/command/engine.hpp"

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "pinfold/base/random.hpp"
#include "pinfold/command/catalogue.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/security/user_rules.hpp"

namespace pinfold::command {
namespace {

std::string random_run_id() {
  constexpr std::string_view digits = "0123456789abcdef";
  constexpr std::size_t length = 40;
  std::string id;
  while (id.size() < length) id.push_back(digits[random_below(digits.size())]);
  return id;
}

// By command_index.
std::vector<std::string_view> names_of_commands() {
  std::vector<std::string_view> names;
  for (const Row* row : commands()) names.push_back(row->name);
  return names;
}

// As Redis: the password is the only one of the default user, and an empty one means that it needs none. Returns an error if it cannot be a
// password.
std::optional<std::string> set_default_password(security::Users& users, const std::string& password) {
  for (;;) {
    const security::Users::Pointer present = users.find(security::default_user_name);
    security::UserRules draft(*present);
    if (auto error = draft.apply(password.empty() ? "nopass" : "resetpass", catalogue())) return error;
    if (!password.empty()) {
      if (auto error = draft.apply(">" + password, catalogue())) return error;
    }
    if (users.publish(draft.build(), present)) return std::nullopt;
  }
}

}  // namespace

Engine::Engine(config::Settings& server_settings, store::Keyspace& server_keyspace, unsigned threads)
    : settings(server_settings),
      keyspace(server_keyspace),
      cache(server_keyspace),
      stats(threads),
      events(names_of_commands()),
      run_id(random_run_id()),
      memory_at_start(server_keyspace.memory().used()) {
  // A server that cannot do this does not start: it would let everybody in.
  if (const auto error = set_default_password(users, settings.text(config::Id::requirepass))) {
    throw std::runtime_error("requirepass: " + *error);
  }
  settings.on_change(config::Id::requirepass, [this]() -> std::optional<std::string> {
    try {
      return set_default_password(users, settings.text(config::Id::requirepass));
    } catch (const std::bad_alloc&) {
      return "out of memory";  // so that the setting is what it was, like the user
    }
  });
}

std::uint64_t Engine::clients_share() const {
  // As in Redis, a limit so low that nobody could say anything is not meant.
  constexpr std::uint64_t least = 128 * 1024;
  constexpr std::uint64_t least_as_percentage = 4 * 1024 * 1024;
  constexpr std::uint64_t unlimited = UINT64_MAX;
  const std::int64_t share = settings.integer(config::Id::maxmemory_clients);
  if (share == 0) return unlimited;
  if (share > 0) return std::max(static_cast<std::uint64_t>(share), least);
  const std::uint64_t memory = keyspace.memory().limit();
  if (memory == 0) return unlimited;
  return std::max(memory / 100 * static_cast<std::uint64_t>(-share), least_as_percentage);
}

bool Engine::clients_may_take(std::uint64_t bytes) const {
  const std::uint64_t most = clients_share();
  if (most == UINT64_MAX) return true;
  return bytes <= most && keyspace.memory().used(store::Use::clients) <= most + clients.idle_bytes() - bytes;
}

}  // namespace pinfold::command
