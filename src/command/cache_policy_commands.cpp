// CACHE.POLICY: the policies, at run time.

#include <algorithm>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/request_log.hpp"

namespace pinfold::command {
namespace {

resp::Written reply_policy(Call& call, const cache::Policy& policy, std::span<const cache::PolicyWarning> warnings) {
  const cache::PolicyCounters& counters = call.engine.cache.counters_of(policy.slot);
  const cache::PolicyReadTotals reads = call.engine.cache.reads_of(policy.slot);
  const auto fields = cache::policy_fields();
  const auto number = [&](std::string_view name, std::int64_t n) {
    call.reply.bulk(name);
    call.reply.integer(n);
  };
  const cache::SwitchCounters& switched = call.engine.cache.switch_counts.by_slot[policy.slot];
  constexpr std::size_t statistics = 13;
  call.reply.map(1 + fields.size() + statistics + 1);
  call.reply.bulk("name");
  call.reply.bulk(policy.name);
  for (const std::string_view field : fields) {
    call.reply.bulk(field);
    call.reply.bulk(cache::show_field(policy, field));
  }
  const store::EntryUse use = call.engine.keyspace.use_of(policy.slot, call.held);
  number("keys", static_cast<std::int64_t>(use.keys));
  number("bytes", static_cast<std::int64_t>(use.bytes));
  number("hits", static_cast<std::int64_t>(reads.hits));
  number("stale-hits", static_cast<std::int64_t>(reads.stale_hits));
  number("negative-hits", static_cast<std::int64_t>(reads.negative_hits));
  number("misses", static_cast<std::int64_t>(reads.misses));
  number("leases-granted", static_cast<std::int64_t>(counters.leases.load()));
  number("leases", counters.leases_alive.load());
  number("loads", static_cast<std::int64_t>(counters.loads.load()));
  number("load-ms", static_cast<std::int64_t>(counters.load_ms.load()));
  number("reads-bypassed", static_cast<std::int64_t>(switched.reads_bypassed.load()));
  number("writes-bypassed", static_cast<std::int64_t>(switched.writes_bypassed.load()));
  number("writes-not-admitted", static_cast<std::int64_t>(switched.writes_not_admitted.load()));
  const auto own = [&](const cache::PolicyWarning& warning) { return warning.policy == policy.name; };
  call.reply.bulk("warnings");
  call.reply.array(static_cast<std::size_t>(std::ranges::count_if(warnings, own)));
  for (const cache::PolicyWarning& warning : warnings) {
    if (own(warning)) call.reply.bulk(warning.text);
  }
  return {};
}

std::vector<cache::PolicyWarning> warnings_about(Call& call, std::span<const cache::Policy> policies) {
  return cache::warnings_about(policies, call.engine.cache.lease_ms.load());
}

Outcome policy_list(Call& call) {
  const std::lock_guard lock(call.engine.cache.policies_mutex());
  const auto policies = call.engine.cache.policies_copy();
  call.reply.array(policies.size());
  const auto warnings = warnings_about(call, policies);
  for (const cache::Policy& policy : policies) reply_policy(call, policy, warnings);
  return Outcome::done;
}

Outcome policy_show(Call& call) {
  const std::lock_guard lock(call.engine.cache.policies_mutex());
  const auto policies = call.engine.cache.policies_copy();
  const auto found = std::find_if(policies.begin(), policies.end(), [&](const auto& p) { return p.name == call.args[2]; });
  return found != policies.end() ? reply_policy(call, *found, warnings_about(call, policies)) : call.reply.null();
}

Outcome policy_match(Call& call) {
  const cache::Policy* const policy = call.engine.cache.policy_of(call.key().text);
  return policy != nullptr ? call.reply.bulk(policy->name) : call.reply.null();
}

Outcome policy_set(Call& call) {
  const std::string_view name = call.args[2];
  if (call.args.size() % 2 == 0) return call.reply.error("ERR field '" + excerpt(call.args.back()) + "' needs a value");
  if (!cache::is_policy_name(name)) {
    return call.reply.error("ERR a policy's name must have 1 to 64 letters, digits and '-', '_' or '.'");
  }
  const std::lock_guard lock(call.engine.cache.policies_mutex());
  auto policies = call.engine.cache.policies_copy();
  const std::vector<cache::PolicyWarning> known = warnings_about(call, policies);
  auto found = std::find_if(policies.begin(), policies.end(), [&](const auto& p) { return p.name == name; });
  if (found == policies.end()) {
    if (policies.size() == cache::most_policies) return call.reply.error("ERR there are too many policies already");
    policies.emplace_back().name = name;
    found = std::prev(policies.end());
  }
  for (std::size_t i = 3; i < call.args.size(); i += 2) {
    for (std::size_t before = 3; before < i; before += 2) {
      if (!iequals(call.args[before], call.args[i])) continue;
      return call.reply.error("ERR policy '" + std::string(name) + "': " + excerpt(call.args[i]) + " is set twice");
    }
    if (const auto error = cache::set_field(*found, call.args[i], call.args[i + 1])) {
      return call.reply.error("ERR policy '" + std::string(name) + "': " + *error);
    }
  }
  if (found->match.empty()) return call.reply.error("ERR there is no policy '" + std::string(name) + "', and a new one needs a match");
  // A pattern can leave no keys to the policies behind it, so these are warned of as well, but only of what is new.
  for (const cache::PolicyWarning& warning : warnings_about(call, policies)) {
    const auto same = [&](const cache::PolicyWarning& other) { return other.policy == warning.policy && other.text == warning.text; };
    if (warning.policy != name && std::ranges::any_of(known, same)) continue;
    call.engine.events.note(EventLog::Kind::policies, [&] { return "policy '" + warning.policy + "': " + warning.text; });
  }
  call.engine.cache.set_policies(std::move(policies));
  return call.reply.ok();
}

Outcome policy_del(Call& call) {
  const std::lock_guard lock(call.engine.cache.policies_mutex());
  auto policies = call.engine.cache.policies_copy();
  const bool found = std::erase_if(policies, [&](const auto& p) { return p.name == call.args[2]; }) > 0;
  if (found) {
    call.engine.cache.set_policies(std::move(policies));
    note_request(call);
  }
  return call.reply.integer(found ? 1 : 0);
}

constexpr std::uint32_t kOperator = kAdmin | kNoScript | kLoading | kNoMulti;

// clang-format off
constexpr Row kRows[] = {
    {.name = "cache.policy", .arity = -2,
     .group = "cache", .since = "0.1.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for commands about cache policies."},
    {.name = "cache.policy|del", .handler = policy_del, .arity = 3,
     .flags = kOperator,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N policies.",
     .summary = "Removes a policy.",
     .syntax = "name"},
    {.name = "cache.policy|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(1)",
     .summary = "Tells which subcommands there are."},
    {.name = "cache.policy|list", .handler = policy_list, .arity = 2,
     .flags = kOperator,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N policies.",
     .summary = "All policies with their statistics, in the order in which they are compared."},
    {.name = "cache.policy|match", .handler = policy_match, .arity = 3,
     .flags = kReadOnly | kFast,
     .keys = {KeySpec::one(KeyUse::peek, 2)},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N patterns that begin as the key does.",
     .summary = "The name of the policy that a key falls under.",
     .syntax = "key"},
    {.name = "cache.policy|set", .handler = policy_set, .arity = -5,
     .flags = kOperator | kLogged,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N policies.",
     .summary = "Changes fields of a policy, or adds one behind the others.",
     .syntax = "name field value [field value ...]"},
    {.name = "cache.policy|show", .handler = policy_show, .arity = 3,
     .flags = kOperator,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N policies.",
     .summary = "One policy with its statistics.",
     .syntax = "name"},
};
// clang-format on

}  // namespace

std::span<const Row> cache_policy_commands() { return kRows; }

}  // namespace pinfold::command
