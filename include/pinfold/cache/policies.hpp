#pragma once
// Policies: rules for the keys that match a glob, such as their time to live, how long a lease lasts, or how soon they
// are evicted. The first policy that matches a key applies to it. docs/cache-commands.md has the commands
// (CACHE.POLICY) and what each field means.
//
// A set of policies never changes; a new set takes its place (Cache::set_policies). PolicySet::match() walks a trie of
// the beginnings of the patterns. So for a key that none of a hundred policies matches, it usually ends after a byte or two.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/glob.hpp"
#include "pinfold/store/policy_settings.hpp"
#include "pinfold/store/write_rules.hpp"

namespace pinfold::cache {

/// One policy. A plain value; `0: ...` in a comment is what 0 means.
struct Policy {
  std::string name;
  std::string match;                 // a glob over whole keys; every policy needs one
  std::int64_t ttl_ms = 0;           // time to live for writes that set none; 0: none
  std::int64_t max_ttl_ms = 0;       // longest time to live, also for writes that set none; 0: any
  unsigned jitter_percent = 0;       // each time to live is shortened at random, by up to this percentage
  std::int64_t stale_ms = 0;         // stale window of entries whose writer names none
  std::int64_t coalesce_ms = 0;      // how long a plain GET waits while another client loads the value; 0: not at all
  std::int64_t lease_ms = 0;         // how long a lease lasts; 0: the setting lease-duration
  double early_refresh = 1.0;        // XFetch's beta: the higher, the earlier; 0: never early (Vattani et al., 2015)
  std::int64_t negative_ttl_ms = 0;  // time to live of negative entries whose writer sets none; 0: negative-ttl-max
  static constexpr std::uint64_t any_number = UINT64_MAX;
  std::uint64_t max_leases = any_number;  // leases alive at once
  std::uint64_t max_value = 0;            // largest value, in bytes; 0: any size
  std::uint64_t max_memory = 0;           // entries are evicted before others while they occupy more bytes than this; 0: any
  unsigned max_memory_percent = 0;        // the same as a part of maxmemory, in place of max_memory; 0: not set
  store::Priority priority = store::Priority::normal;
  // Switches for an incident (switches.hpp).
  unsigned admit_percent = 100;  // of the keys that are not stored yet, how many percent may be stored
  bool bypass = false;           // reads find nothing, and writes remove what is there
  bool serve_stale = false;      // entries outlast their deadlines, and are served as stale
  /// A number from 1 to 255 that stands for the policy in entries, leases and counters while it exists. 0: not given
  /// yet.
  std::uint8_t slot = 0;

  bool operator==(const Policy&) const = default;
};

/// The names of all fields ("match", "max-ttl", ...) in the order in which they are shown. The same for every call.
std::span<const std::string_view> policy_fields();
/// Sets a field from its text. Returns nothing if it was set. Otherwise says what is wrong; the field may have changed.
std::optional<std::string> set_field(Policy& policy, std::string_view field, std::string_view value);
/// A field as text that set_field() would accept: "5m", "10%", "normal". Empty if there is no such field.
std::string show_field(const Policy& policy, std::string_view field);
/// Whether `name` can be the name of a policy: 1 to 64 letters, digits and "-_.".
bool is_policy_name(std::string_view name);

constexpr std::size_t most_policies = 250;

/// A contradiction in a policy, which is allowed, but probably a mistake.
struct PolicyWarning {
  std::string policy;  // its name
  std::string text;
};
/// The contradictions in all policies, in the order of the policies. `lease_ms` is the setting lease-duration. Throws
/// std::bad_alloc.
std::vector<PolicyWarning> warnings_about(std::span<const Policy> policies, std::int64_t lease_ms);

/// An immutable set of policies, in the order in which they are tried. Thread-safe to read. The cache reads it with at
/// least one shard locked, and replaces it with all shards locked.
class PolicySet final : public store::WriteRules {
 public:
  /// Gives each policy without a slot a free one.
  explicit PolicySet(std::vector<Policy> policies);

  std::span<const Policy> all() const { return policies_; }
  bool empty() const { return policies_.empty(); }
  /// The policy with that name; null if there is none. O(policies).
  const Policy* find(std::string_view name) const;
  /// The policy with that slot; null if there is none. O(policies).
  const Policy* at(std::uint8_t slot) const;
  /// In bytes. Text between two '*' of a pattern has to be searched for in the key. To bound that search, such a pattern is not
  /// compared with a key that is longer than this, so it does not match the key. A search compares each byte
  /// of the key at most twice, so 250 such patterns compare 256 KB at most.
  static constexpr std::size_t longest_searched = 512;
  /// The first policy whose pattern matches the key; null if none does. It compares up to 1 KB for each pattern whose
  /// beginning and end are those of the key, however long the key is.
  const Policy* match(std::string_view key) const;

  /// Applies the policy of the key to a write, as WriteRules says.
  bool on_write(const store::Key& key, std::size_t value_bytes, UnixMs now, UnixMs& expires_at, store::Extra& extra) const override;
  Deadline on_expiry(const store::Key& key, UnixMs now, UnixMs expires_at) const override;

 private:
  // A node of a trie. The first trie finds patterns by the bytes before their first wildcard. If a pattern goes on behind that
  // wildcard, its node leads to a second trie (`tails`). The second trie finds the pattern by the bytes after its last
  // wildcard, read backwards from the end of the key.
  struct Node {
    std::vector<std::pair<char, std::uint32_t>> children;  // nodes by the next byte, sorted
    std::vector<std::uint16_t> prefixes;                   // policies that match whatever follows: places in policies_
    std::vector<std::uint16_t> patterns;                   // policies whose pattern has to be compared with the key
    std::uint32_t tails = 0;                               // the root of the second trie; 0: none
  };
  void insert(std::uint16_t policy);
  std::uint32_t child_of(std::uint32_t node, char byte) const;
  std::uint32_t provide_child(std::uint32_t node, char byte);
  std::uint16_t match_tails(std::uint32_t root, std::string_view key, std::uint16_t best) const;

  std::vector<Policy> policies_;
  std::vector<Glob> globs_;  // their patterns, compiled
  std::vector<Node> nodes_;  // the first one is the root
};

/// A time to live of `ms` milliseconds, shortened at random as the policy's jitter says. At least 1.
std::int64_t shortened(const Policy& policy, std::int64_t ms);
/// The deadline that an entry under `policy` gets if its writer asks for the deadline `expires_at`. In both, 0 stands for none.
UnixMs limited_deadline(const Policy& policy, UnixMs now, UnixMs expires_at);

}  // namespace pinfold::cache
