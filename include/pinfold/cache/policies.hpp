#pragma once
// Policies: how keys that match a glob are to be cached. The first that matches wins.
//
// A set of policies does not change; another one takes its place. PolicySet::match walks a trie of what the patterns
// begin with, so that a key that falls under none of a hundred policies is done after a byte or two.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/glob.hpp"
#include "pinfold/store/write_rules.hpp"

namespace pinfold::cache {

enum class Priority : std::uint8_t { protect, normal, first_out };

struct Policy {
  std::string name;
  std::string match;                 // a glob; every policy needs one
  std::int64_t ttl_ms = 0;           // for writes that set none; 0: none
  std::int64_t max_ttl_ms = 0;       // 0: any
  unsigned jitter_percent = 0;       // of a time to live, which is shortened by up to so much
  std::int64_t stale_ms = 0;         // of entries that do not name one
  std::int64_t coalesce_ms = 0;      // how long a plain GET waits for the first one's SET
  std::int64_t lease_ms = 0;         // 0: lease-duration
  double early_refresh = 1.0;        // XFetch's beta
  std::int64_t negative_ttl_ms = 0;  // 0: negative-ttl-max
  std::uint64_t max_leases = 0;      // 0: any number
  std::uint64_t max_value = 0;       // bytes; 0: any size
  std::uint64_t max_memory = 0;      // bytes; 0: any
  unsigned max_memory_percent = 0;   // of maxmemory, in place of bytes
  Priority priority = Priority::normal;
  /// Identifies it in counters and entries while it exists, from 1 on.
  std::uint8_t slot = 0;

  bool operator==(const Policy&) const = default;
};

/// "match", "max-ttl" ... in the order in which they are shown.
std::span<const std::string_view> policy_fields();
/// What is wrong with the value, or nothing.
std::optional<std::string> set_field(Policy& policy, std::string_view field, std::string_view value);
/// As set_field takes it: "5m", "10%", "normal".
std::string show_field(const Policy& policy, std::string_view field);
/// Whether `name` can be a policy's: 1 to 64 letters, digits and "-_.".
bool is_policy_name(std::string_view name);

constexpr std::size_t most_policies = 250;

/// Something in a policy that cannot be meant, though it is allowed.
struct PolicyWarning {
  std::string policy;  // its name
  std::string text;
};
/// What is contradictory in policies, in their order; `lease_ms` is what those get that name no lease.
std::vector<PolicyWarning> warnings_about(std::span<const Policy> policies, std::int64_t lease_ms);

class PolicySet final : public store::WriteRules {
 public:
  /// Slots are given to those that have none.
  explicit PolicySet(std::vector<Policy> policies);

  std::span<const Policy> all() const { return policies_; }
  bool empty() const { return policies_.empty(); }
  const Policy* find(std::string_view name) const;
  /// The policy with that slot; null if there is none.
  const Policy* at(std::uint8_t slot) const;
  /// A pattern with something between two '*' matches no key that is longer, in bytes. 250 of them then compare 256 KB at most.
  static constexpr std::size_t longest_searched = 512;
  /// The first policy whose pattern matches; null if none does. For each pattern that begins and ends like the key it compares up to
  /// 1 KB, however long the key is.
  const Policy* match(std::string_view key) const;

  bool on_write(const store::Key& key, std::size_t value_bytes, UnixMs now, UnixMs& expires_at, store::Extra& extra) const override;
  UnixMs on_expiry(const store::Key& key, UnixMs now, UnixMs expires_at) const override;

 private:
  // Patterns are found by the bytes before their first wildcard, in a trie; those that do not end with it, by the bytes after
  // their last one, in another trie that hangs on the end of the first and is read backwards.
  struct Node {
    std::vector<std::pair<char, std::uint32_t>> children;  // by byte, in order
    std::vector<std::uint16_t> prefixes;                   // policies that match whatever follows
    std::vector<std::uint16_t> patterns;                   // policies whose pattern must be compared
    std::uint32_t tails = 0;                               // the root of the other trie; 0: there is none
  };
  void insert(std::uint16_t policy);
  std::uint32_t child_of(std::uint32_t node, char byte) const;
  std::uint32_t provide_child(std::uint32_t node, char byte);
  std::uint16_t match_tails(std::uint32_t root, std::string_view key, std::uint16_t best) const;

  std::vector<Policy> policies_;
  std::vector<Glob> globs_;  // their patterns
  std::vector<Node> nodes_;
};

/// A time to live of `ms` less the policy's jitter.
std::int64_t shortened(const Policy& policy, std::int64_t ms);
/// The deadline that `policy` leaves of one that a writer asks for (0: none).
UnixMs limited_deadline(const Policy& policy, UnixMs now, UnixMs expires_at);

}  // namespace pinfold::cache
