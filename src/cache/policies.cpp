#include "pinfold/cache/policies.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::cache {

namespace {

using Error = std::optional<std::string>;

std::optional<std::int64_t> parse_percent(std::string_view text, std::int64_t most) {
  if (!text.ends_with('%')) return std::nullopt;
  const auto number = parse_i64(text.substr(0, text.size() - 1));
  if (!number || *number < 0 || *number > most) return std::nullopt;
  return number;
}

Error read_duration(std::int64_t& to, std::string_view value) {
  const auto ms = parse_duration(value);
  if (!ms) return "must be a duration such as 50ms, 30s, 5m, 1h or 1d";
  to = *ms;
  return std::nullopt;
}

template <std::int64_t Policy::*member>
Error read_duration(Policy& policy, std::string_view value) {
  return read_duration(policy.*member, value);
}
template <std::int64_t Policy::*member>
std::string show_duration(const Policy& policy) {
  return pinfold::show_duration(policy.*member);
}

// The bound is the same as for LEASE and lease-duration.
Error read_lease(Policy& policy, std::string_view value) {
  constexpr std::int64_t longest_ms = 3'600'000;
  if (Error error = read_duration(policy.lease_ms, value)) return error;
  if (policy.lease_ms > longest_ms) return "must be at most 1h (3600000ms)";
  return std::nullopt;
}

Error read_match(Policy& policy, std::string_view value) {
  constexpr std::size_t longest = 1024;
  if (value.empty() || value.size() > longest) return "must be a glob of 1 to 1024 bytes";
  // Reads the pattern as Glob does. A pattern that ends inside an escape or a class cannot be meant.
  bool open = false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\\') {
      if (++i == value.size()) return "must not end with a backslash";
    } else if (value[i] == '[') {
      open = true;
    } else if (value[i] == ']') {
      open = false;
    }
  }
  if (open) return "has a '[' without a ']'";
  // Patterns are compared while a shard is locked.
  constexpr unsigned most_cost = 2;
  const Glob glob(value);
  if (glob.refused() != nullptr || glob.cost() > most_cost) {
    return "must not have more than 64 characters with a '?' or '[' among them between two '*'";
  }
  // The memory of policies is not accounted. There may be 250 policies, and two sets of them while they are being changed.
  constexpr std::size_t most_compiled = 16 * 1024;
  if (glob.memory() > most_compiled) {
    return "must not take more than 16 KB when it is compiled: it has too many '*', or too many parts with a '?' or '[' between two '*'";
  }
  policy.match = value;
  return std::nullopt;
}

Error read_jitter(Policy& policy, std::string_view value) {
  const auto percent = parse_percent(value, 90);
  if (!percent) return "must be a percentage from 0% to 90%";
  policy.jitter_percent = static_cast<unsigned>(*percent);
  return std::nullopt;
}

Error read_beta(Policy& policy, std::string_view value) {
  const auto beta = parse_real(value);
  if (!beta || *beta < 0 || *beta > 1000) return "must be a number from 0 to 1000";
  policy.early_refresh = static_cast<double>(*beta);
  return std::nullopt;
}

// 0 stands for any number, as it did before there was a word for that. No lease at all is `none`.
Error read_max_leases(Policy& policy, std::string_view value) {
  const auto number = parse_i64(value);
  if (iequals(value, "none")) {
    policy.max_leases = 0;
  } else if (iequals(value, "unlimited") || number == 0) {
    policy.max_leases = Policy::any_number;
  } else if (number && *number > 0) {
    policy.max_leases = static_cast<std::uint64_t>(*number);
  } else {
    return "must be a number, or none, or unlimited";
  }
  return std::nullopt;
}

std::string show_max_leases(const Policy& policy) {
  if (policy.max_leases == 0) return "none";
  return policy.max_leases == Policy::any_number ? "unlimited" : std::to_string(policy.max_leases);
}

Error read_admit(Policy& policy, std::string_view value) {
  const auto percent = parse_percent(value, 100);
  if (!percent) return "must be a percentage from 0% to 100%";
  policy.admit_percent = static_cast<unsigned>(*percent);
  return std::nullopt;
}

template <bool Policy::*member>
Error read_flag(Policy& policy, std::string_view value) {
  const bool yes = iequals(value, "yes");
  if (!yes && !iequals(value, "no")) return "must be yes or no";
  policy.*member = yes;
  return std::nullopt;
}
template <bool Policy::*member>
std::string show_flag(const Policy& policy) {
  return policy.*member ? "yes" : "no";
}

// Whether a size has no unit, which was most likely forgotten. Only 0 needs none.
bool lacks_unit(std::string_view value, std::uint64_t bytes) { return bytes != 0 && is_digit(value.back()); }

// For the number 25: "25mb, or is 25b".
std::string with_units(std::string_view number) { return excerpt(number) + "mb, or is " + excerpt(number) + "b"; }

Error read_max_value(Policy& policy, std::string_view value) {
  const auto bytes = parse_memory(value);
  if (!bytes) return "must be a size such as 1mb";
  if (lacks_unit(value, *bytes)) return "must be a size with a unit: '" + excerpt(value) + "' may be meant as " + with_units(value);
  policy.max_value = *bytes;
  return std::nullopt;
}

Error read_max_memory(Policy& policy, std::string_view value) {
  const auto percent = parse_percent(value, 100);
  const auto bytes = parse_memory(value);
  if (!percent && !bytes) return "must be a size in a whole number such as 100mb, or a whole percentage of maxmemory, 0% to 100%";
  if (bytes && lacks_unit(value, *bytes)) {
    return "must be a size with a unit, or a percentage of maxmemory: '" + excerpt(value) + "' may be meant as " + excerpt(value) +
           "% or as " + with_units(value);
  }
  policy.max_memory = percent ? 0 : *bytes;
  policy.max_memory_percent = percent ? static_cast<unsigned>(*percent) : 0;
  return std::nullopt;
}

constexpr std::array<std::string_view, 3> priorities = {"normal", "protected", "first-out"};  // in the order of store::Priority

Error read_priority(Policy& policy, std::string_view value) {
  const auto found = std::find_if(priorities.begin(), priorities.end(), [&](auto name) { return iequals(name, value); });
  if (found == priorities.end()) return "must be one of: protected, normal, first-out";
  policy.priority = static_cast<store::Priority>(found - priorities.begin());
  return std::nullopt;
}

// A size in bytes as read_max_value() and read_max_memory() accept it, with its unit.
std::string show_bytes(std::uint64_t bytes) { return bytes != 0 ? std::to_string(bytes) + "b" : "0"; }

std::string show_beta(const Policy& policy) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, policy.early_refresh);
  return {text, end};
}

// A field of a policy: its name, how it is read from text, and how it is shown.
struct Field {
  std::string_view name;
  Error (*read)(Policy&, std::string_view);
  std::string (*show)(const Policy&);
};

constexpr Field kFields[] = {
    {"match", read_match, [](const Policy& p) { return p.match; }},
    {"ttl", read_duration<&Policy::ttl_ms>, show_duration<&Policy::ttl_ms>},
    {"max-ttl", read_duration<&Policy::max_ttl_ms>, show_duration<&Policy::max_ttl_ms>},
    {"jitter", read_jitter, [](const Policy& p) { return std::to_string(p.jitter_percent) + "%"; }},
    {"stale", read_duration<&Policy::stale_ms>, show_duration<&Policy::stale_ms>},
    {"coalesce", read_duration<&Policy::coalesce_ms>, show_duration<&Policy::coalesce_ms>},
    {"lease", read_lease, show_duration<&Policy::lease_ms>},
    {"early-refresh", read_beta, show_beta},
    {"negative-ttl", read_duration<&Policy::negative_ttl_ms>, show_duration<&Policy::negative_ttl_ms>},
    {"max-leases", read_max_leases, show_max_leases},
    {"max-value", read_max_value, [](const Policy& p) { return show_bytes(p.max_value); }},
    {"max-memory", read_max_memory,
     [](const Policy& p) { return p.max_memory_percent != 0 ? std::to_string(p.max_memory_percent) + "%" : show_bytes(p.max_memory); }},
    {"priority", read_priority, [](const Policy& p) { return std::string(priorities[static_cast<unsigned>(p.priority)]); }},
    {"admit", read_admit, [](const Policy& p) { return std::to_string(p.admit_percent) + "%"; }},
    {"bypass", read_flag<&Policy::bypass>, show_flag<&Policy::bypass>},
    {"serve-stale", read_flag<&Policy::serve_stale>, show_flag<&Policy::serve_stale>},
};

const Field* find(std::string_view name) {
  const auto found = std::find_if(std::begin(kFields), std::end(kFields), [&](const Field& f) { return iequals(f.name, name); });
  return found == std::end(kFields) ? nullptr : found;
}

bool is_special(char c) { return c == '*' || c == '?' || c == '[' || c == '\\'; }

}  // namespace

std::span<const std::string_view> policy_fields() {
  static const auto names = [] {
    std::array<std::string_view, std::size(kFields)> all;
    std::transform(std::begin(kFields), std::end(kFields), all.begin(), [](const Field& field) { return field.name; });
    return all;
  }();
  return names;
}

Error set_field(Policy& policy, std::string_view field, std::string_view value) {
  const Field* const row = find(field);
  if (row == nullptr) {
    const auto nearest = nearest_word(field, policy_fields());
    return "unknown field '" + excerpt(field) + "'" + (nearest ? " (did you mean '" + std::string(*nearest) + "'?)" : "");
  }
  if (Error error = row->read(policy, value)) return "'" + std::string(row->name) + "' " + *error;
  return std::nullopt;
}

std::string show_field(const Policy& policy, std::string_view field) {
  const Field* const row = find(field);
  return row != nullptr ? row->show(policy) : std::string();
}

namespace {

// The first policy in `before` that matches every key that `policy` matches; null if there is none. Only policies whose
// pattern has no wildcard, or ends with its only one, are recognized.
const Policy* covered_by(std::span<const Policy> before, const Policy& policy) {
  const auto head = [](std::string_view pattern) { return pattern.substr(0, std::ranges::find_if(pattern, is_special) - pattern.begin()); };
  const auto covers = [&](const Policy& other) {
    const std::string_view prefix = head(other.match);
    const bool whole = std::string_view(other.match).substr(prefix.size()).find_first_not_of('*') == std::string_view::npos;
    if (!whole) return false;
    return prefix.size() == other.match.size() ? other.match == policy.match : head(policy.match).starts_with(prefix);
  };
  const auto found = std::ranges::find_if(before, covers);
  return found != before.end() ? &*found : nullptr;
}

}  // namespace

std::vector<PolicyWarning> warnings_about(std::span<const Policy> policies, std::int64_t lease_ms) {
  std::vector<PolicyWarning> warnings;
  for (std::size_t i = 0; i < policies.size(); ++i) {
    Policy policy = policies[i];
    if (policy.lease_ms == 0) policy.lease_ms = lease_ms;
    const auto shown = [&](std::string_view field) { return "'" + std::string(field) + "' (" + show_field(policy, field) + ")"; };
    const auto warn = [&](const std::string& text) { warnings.push_back({policy.name, text}); };
    if (policy.max_ttl_ms != 0 && policy.ttl_ms > policy.max_ttl_ms) {
      warn(shown("ttl") + " is above " + shown("max-ttl") + ", which shortens it");
    }
    if (policy.coalesce_ms > policy.lease_ms) {
      warn(shown("coalesce") + " is longer than " + shown("lease") + ": who waits is sent to load when the lease ends");
    }
    if (policy.bypass && policy.admit_percent < 100) {
      warn(shown("admit") + " has no effect: " + shown("bypass") + " stores no key at all");
    }
    if (policy.bypass && policy.serve_stale) {
      warn(shown("serve-stale") + " has no effect: with " + shown("bypass") + " nothing is served");
    }
    if (const Policy* const other = covered_by(policies.first(i), policy)) {
      warn("no key falls under it: '" + other->match + "' of policy '" + other->name + "' comes first and matches all that '" +
           policy.match + "' does");
    }
  }
  return warnings;
}

bool is_policy_name(std::string_view name) {
  constexpr std::size_t longest = 64;
  return !name.empty() && name.size() <= longest && std::all_of(name.begin(), name.end(), [](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_' || c == '.';
  });
}

PolicySet::PolicySet(std::vector<Policy> policies) : policies_(std::move(policies)), nodes_(1) {
  std::array<bool, 256> taken{};
  for (const Policy& policy : policies_) taken[policy.slot] = true;
  taken[0] = true;
  for (Policy& policy : policies_) {
    if (policy.slot != 0) continue;
    policy.slot = static_cast<std::uint8_t>(std::find(taken.begin(), taken.end(), false) - taken.begin());
    taken[policy.slot] = true;
  }
  globs_.reserve(policies_.size());
  for (const Policy& policy : policies_) globs_.emplace_back(policy.match);
  for (std::size_t i = 0; i < policies_.size(); ++i) insert(static_cast<std::uint16_t>(i));
}

// The child of a node for the next byte. 0, which is the root, if there is none.
std::uint32_t PolicySet::child_of(std::uint32_t node, char byte) const {
  const auto& children = nodes_[node].children;
  const auto place = std::ranges::lower_bound(children, byte, {}, &std::pair<char, std::uint32_t>::first);
  return place != children.end() && place->first == byte ? place->second : 0;
}

std::uint32_t PolicySet::provide_child(std::uint32_t node, char byte) {
  if (const std::uint32_t known = child_of(node, byte); known != 0) return known;
  const auto fresh = static_cast<std::uint32_t>(nodes_.size());
  auto& children = nodes_[node].children;
  children.insert(std::ranges::lower_bound(children, byte, {}, &std::pair<char, std::uint32_t>::first), {byte, fresh});
  nodes_.emplace_back();
  return fresh;
}

void PolicySet::insert(std::uint16_t policy) {
  const std::string_view pattern = policies_[policy].match;
  // A node takes about 100 bytes, so paths end here. Patterns with a longer beginning in common are told apart by
  // comparing them.
  constexpr std::size_t longest_path = 16;
  const auto head = std::min(longest_path, static_cast<std::size_t>(std::ranges::find_if(pattern, is_special) - pattern.begin()));
  std::uint32_t at = 0;
  for (const char byte : pattern.substr(0, head)) at = provide_child(at, byte);
  if (pattern.substr(head) == "*") return nodes_[at].prefixes.push_back(policy);
  if (head == pattern.size()) return nodes_[at].patterns.push_back(policy);
  if (nodes_[at].tails == 0) {
    nodes_[at].tails = static_cast<std::uint32_t>(nodes_.size());
    nodes_.emplace_back();
  }
  at = nodes_[at].tails;
  // With a class or an escape it is not plain where the last wildcard ends. Such a pattern is compared, whatever the
  // key ends with.
  const bool plain = pattern.find_first_of("[\\") == std::string_view::npos;
  const std::string_view tail = pattern.substr(pattern.size() - std::min(pattern.size() - head, longest_path));
  for (auto byte = tail.rbegin(); plain && byte != tail.rend() && !is_special(*byte); ++byte) at = provide_child(at, *byte);
  nodes_[at].patterns.push_back(policy);
}

const Policy* PolicySet::find(std::string_view name) const {
  const auto found = std::find_if(policies_.begin(), policies_.end(), [&](const Policy& p) { return p.name == name; });
  return found == policies_.end() ? nullptr : &*found;
}

const Policy* PolicySet::at(std::uint8_t slot) const {
  const auto found = std::find_if(policies_.begin(), policies_.end(), [slot](const Policy& p) { return p.slot == slot; });
  return found == policies_.end() ? nullptr : &*found;
}

namespace {

constexpr std::uint16_t no_policy = std::numeric_limits<std::uint16_t>::max();

// Whether the pattern is to be compared with the key. That happens with the key's shard locked, and keys may be long.
// So a pattern that has to be searched for in the key is compared with short keys only. Any other is compared with no
// more bytes of the key than the pattern has itself.
bool is_compared(const Glob& glob, std::string_view key) { return glob.cost() == 0 || key.size() <= PolicySet::longest_searched; }

}  // namespace

const Policy* PolicySet::match(std::string_view key) const {
  std::uint16_t best = no_policy;
  std::uint32_t at = 0;
  for (std::size_t i = 0;; ++i) {
    const Node& node = nodes_[at];
    if (!node.prefixes.empty()) best = std::min(best, node.prefixes.front());
    if (i == key.size() && !node.patterns.empty()) best = std::min(best, node.patterns.front());
    if (node.tails != 0) best = match_tails(node.tails, key, best);
    if (i == key.size() || (at = child_of(at, key[i])) == 0) break;
  }
  return best == no_policy ? nullptr : &policies_[best];
}

std::uint16_t PolicySet::match_tails(std::uint32_t root, std::string_view key, std::uint16_t best) const {
  std::uint32_t at = root;
  for (auto byte = key.rbegin();; ++byte) {
    for (const std::uint16_t policy : nodes_[at].patterns) {
      if (policy < best && is_compared(globs_[policy], key) && globs_[policy].matches(key)) best = policy;
    }
    if (byte == key.rend() || (at = child_of(at, *byte)) == 0) return best;
  }
}

UnixMs limited_deadline(const Policy& policy, UnixMs now, UnixMs expires_at) {
  std::int64_t left = expires_at == 0 ? policy.ttl_ms : expires_at - now;
  if (policy.max_ttl_ms != 0 && (left == 0 || left > policy.max_ttl_ms)) left = policy.max_ttl_ms;
  return left > 0 ? now + shortened(policy, left) : expires_at;
}

std::int64_t shortened(const Policy& policy, std::int64_t ms) {
  if (policy.jitter_percent == 0) return ms;
  const auto most = static_cast<std::uint64_t>(static_cast<double>(ms) * policy.jitter_percent / 100);
  return std::max<std::int64_t>(ms - static_cast<std::int64_t>(random_below(most + 1)), 1);
}

namespace {
std::uint32_t stale_window(const Policy& policy) {
  constexpr std::int64_t longest = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::min(policy.stale_ms, longest));
}
}  // namespace

bool PolicySet::on_write(const store::Key& key, std::size_t value_bytes, UnixMs now, UnixMs& expires_at, store::Extra& extra) const {
  const Policy* const policy = match(key.text);
  if (policy == nullptr) return true;
  if (policy->max_value != 0 && value_bytes > policy->max_value) return false;
  expires_at = limited_deadline(*policy, now, expires_at);
  if (extra.stale_ms == 0 && expires_at != 0) extra.stale_ms = stale_window(*policy);
  extra.policy = policy->slot;
  return true;
}

store::WriteRules::Deadline PolicySet::on_expiry(const store::Key& key, UnixMs now, UnixMs expires_at) const {
  const Policy* const policy = match(key.text);
  if (policy == nullptr) return {expires_at};
  if (expires_at != 0) return {limited_deadline(*policy, now, expires_at), stale_window(*policy)};
  if (policy->max_ttl_ms != 0) return {now + shortened(*policy, policy->max_ttl_ms), stale_window(*policy)};
  return {};
}

}  // namespace pinfold::cache
