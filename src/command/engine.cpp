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

// A change of the default user by requirepass, so that it can be undone: the setting tells one password, while ACL SETUSER and files may
// have given the user others.
struct DefaultUserChange {
  security::Users::Pointer before;
  security::Users::Pointer after;  // null: there was no change
};

// As Redis: the password is the only one of the default user, and an empty one means that it needs none. Returns an error if it cannot be a
// password.
std::optional<std::string> set_default_password(security::Users& users, const std::string& password, DefaultUserChange& change) {
  change = {};
  for (;;) {
    const security::Users::Pointer present = users.find(security::default_user_name);
    security::UserRules draft(*present);
    if (auto error = draft.apply(password.empty() ? "nopass" : "resetpass", catalogue())) return error;
    if (!password.empty()) {
      if (auto error = draft.apply(">" + password, catalogue())) return error;
    }
    const security::Users::Pointer changed = draft.build();
    if (auto error = security::UserRules::too_long(*changed)) return error;
    if (security::Users::Pointer user = users.publish(changed, present)) {
      change = {present, std::move(user)};
      return std::nullopt;
    }
  }
}

// Unless the default user has been changed once more: whoever did that knew the user with the password.
void undo(security::Users& users, DefaultUserChange& change) {
  if (change.after != nullptr) users.publish(change.before, change.after);
  change = {};
}

}  // namespace

Engine::Engine(config::Settings& server_settings, store::Keyspace& server_keyspace, unsigned threads)
    : settings(server_settings),
      keyspace(server_keyspace),
      cache(server_keyspace, threads),
      blocked_pops(server_keyspace),
      stats(threads),
      accesses(server_settings, server_keyspace.memory(), threads, monotonic_ms()),
      monitors(*this, threads),
      tracking(*this, threads),
      pubsub(*this, threads),
      keyspace_events(*this),
      working_set(server_keyspace),
      scripting(*this, server_keyspace.memory(), threads),
      events(names_of_commands()),
      tracing(server_keyspace.memory()),
      run_id(random_run_id()),
      memory_at_start(server_keyspace.memory().used()) {
  // A server that cannot do this does not start: it would let everybody in.
  const auto change = std::make_shared<DefaultUserChange>();
  if (const auto error = set_default_password(users, settings.text(config::Id::requirepass), *change)) {
    throw std::runtime_error("requirepass: " + *error);
  }
  const auto limit_requests = [this]() -> std::optional<std::string> {
    users.set_request_limit(settings.integer(config::Id::user_requests_per_second));
    return std::nullopt;
  };
  limit_requests();
  settings.on_change(config::Id::user_requests_per_second, limit_requests);
  const auto follow_events = [this]() -> std::optional<std::string> {
    keyspace_events.follow(static_cast<config::EventClasses>(settings.integer(config::Id::notify_keyspace_events)));
    return std::nullopt;
  };
  follow_events();
  settings.on_change(config::Id::notify_keyspace_events, follow_events);
  const auto set_password = [this, change] { return set_default_password(users, settings.text(config::Id::requirepass), *change); };
  settings.on_change(config::Id::requirepass, set_password, [this, change] { undo(users, *change); });
}

// Of a setting as maxmemory-clients.
std::uint64_t Engine::share_of(std::int64_t share) const {
  // As in Redis, a limit so low that nobody could say anything is not meant.
  constexpr std::uint64_t least = 128 * 1024;
  constexpr std::uint64_t least_as_percentage = 4 * 1024 * 1024;
  constexpr std::uint64_t unlimited = UINT64_MAX;
  if (share == 0) return unlimited;
  if (share > 0) return std::max(static_cast<std::uint64_t>(share), least);
  const std::uint64_t memory = keyspace.memory().limit();
  if (memory == 0) return unlimited;
  return std::max(memory / 100 * static_cast<std::uint64_t>(-share), least_as_percentage);
}

std::uint64_t Engine::clients_share() const { return share_of(settings.integer(config::Id::maxmemory_clients)); }

// A connection costs something before it asks for anything. maxclients bounds that, the share is for more.
std::uint64_t Engine::user_share(const security::UserUsage& user) const {
  const std::int64_t rule = user.memory_rule.load(std::memory_order_relaxed);
  const std::uint64_t share = share_of(rule != security::UserUsage::no_memory_rule ? rule : settings.integer(config::Id::maxmemory_user));
  const auto count = static_cast<std::uint64_t>(user.clients.load(std::memory_order_relaxed));
  if (share == UINT64_MAX) return share;
  return share + Clients::idle_bytes_of(count) + user.transport_bytes.load(std::memory_order_relaxed);
}

bool Engine::client_may_take(const SharedClient& client, std::uint64_t bytes) const {
  const std::uint64_t most = clients_share();
  const std::uint64_t used = keyspace.memory().used(store::Use::clients);
  if (most != UINT64_MAX && (bytes > most || used > most + clients.idle_bytes() - bytes)) return false;
  return user_may_take(client, bytes);
}

bool Engine::user_may_take(const SharedClient& client, std::uint64_t bytes) const {
  if (client.usage == nullptr) return true;
  const std::uint64_t most = user_share(*client.usage);
  const auto used = static_cast<std::uint64_t>(std::max<std::int64_t>(client.usage->bytes.load(std::memory_order_relaxed), 0));
  return bytes <= most && used <= most - bytes;
}

void Engine::enforce_user_share(Session& session) {
  constexpr std::int64_t patience_ms = 100;  // to choose again when those who must not go take too much
  try {
    clients.follow_user(session);
  } catch (const std::bad_alloc&) {  // a connection that is being closed comes here; all others will come again
    return;
  }
  if (session.shared.usage == nullptr || user_may_take(session.shared, 0)) return;
  security::UserUsage& user = *session.shared.usage;
  const MonoMs now = monotonic_ms();
  if (now < user.choose_again.load(std::memory_order_relaxed)) return;
  bool fit = false;
  try {
    fit = clients.evict_largest_of(user, user_share(user));
  } catch (const std::bad_alloc&) {
  }
  if (!fit) user.choose_again.store(now + patience_ms, std::memory_order_relaxed);
}

}  // namespace pinfold::command
