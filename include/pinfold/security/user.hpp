#pragma once
// A user: the identity that a client has once it has authenticated, and what it may do.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/security/password.hpp"
#include "pinfold/security/selector.hpp"
#include "pinfold/security/user_limits.hpp"

namespace pinfold::security {

/// The name of the user for clients that name no other.
inline constexpr std::string_view default_user_name = "default";

/// The rules sanitize-payload and skip-sanitize-payload. They are shown and have no effect, because Pinfold has no RESTORE.
enum class Sanitize : std::uint8_t { unset, sanitize, skip };

/// What the rules have set, for a user and for a draft of one (UserRules).
struct UserFields {
  std::string name;
  bool enabled = false;
  bool nopass = false;  // accepts any password
  Sanitize sanitize = Sanitize::unset;
  UserLimits limits = {};
  std::vector<PasswordHash> passwords = {};  // in the order in which they were added
  std::vector<Selector> selectors;           // the first has the user's own permissions (the root); there is always one
};

/// Immutable, so threads share it without a lock. Made by UserRules. To change a user, a new User with the same name is published
/// (Users::publish).
class User {
 public:
  /// `usage` tells users of one name apart: the versions of a user share it, and a user that is made after another of its name was removed
  /// has its own. Users gives it; null is none yet.
  explicit User(UserFields fields, std::shared_ptr<UserUsage> usage = nullptr);

  const std::string& name() const { return fields_.name; }
  bool enabled() const { return fields_.enabled; }
  bool nopass() const { return fields_.nopass; }
  const std::vector<PasswordHash>& passwords() const { return fields_.passwords; }
  const std::vector<Selector>& selectors() const { return fields_.selectors; }
  const UserFields& fields() const { return fields_; }
  const UserLimits& limits() const { return fields_.limits; }
  const std::shared_ptr<UserUsage>& usage() const { return usage_; }
  /// About the bytes that the user takes: its patterns, compiled, its rules and its passwords.
  std::size_t memory() const { return memory_; }

  /// Whether a client must authenticate to be this user.
  bool asks_password() const { return !nopass() || !enabled(); }
  /// Whether a client may authenticate as this user with `password`. Does the same work whether the password is right, wrong, or the
  /// user is disabled or needs no password, and for all users that have at most least_comparisons passwords. A password longer than
  /// longest_password is wrong, and is not hashed. O(length of `password` + passwords).
  bool accepts(std::string_view password, PasswordWork* work = nullptr) const;
  /// Does the work of accepts() for a user that does not exist.
  static void accepts_nobody(std::string_view password, PasswordWork* work = nullptr);
  static constexpr std::size_t least_comparisons = 16;

  /// Whether the user may do everything, so that no request needs a check of rights, but for those that name channels.
  bool unlimited() const { return unlimited_; }
  /// Whether the same is true of requests for channels.
  bool unlimited_channels() const { return unlimited_channels_; }
  /// Whether one selector allows the channel, or with `literal` the pattern: whether a client of the user may go on to be told of what is
  /// published there. False if the budget is spent. O(selectors * channels), and what the budget allows.
  bool allows_channel(std::string_view channel, bool literal, MatchBudget& budget) const;
  /// Whether a request is allowed: by one selector, all of it. If none allows it, the verdict is that of the selector that got furthest.
  /// O(selectors * (keys * patterns + databases)), and all comparisons come off the budget. Allocates nothing.
  Verdict check(const CheckedRequest& request, MatchBudget& budget) const;
  /// The quick answer for a request with one key: true if it is allowed by the rules for its command as a whole. If not, check() tells.
  /// Makes few comparisons.
  bool allows_one(std::size_t command, unsigned database, std::string_view key, Access access) const;
  /// For a command that names keys which its arguments do not name (KEYS, SCAN, RANDOMKEY): the selectors that allow it in the database,
  /// a bit for each by its index. O(selectors).
  std::uint64_t selectors_for(std::size_t command, std::string_view first_argument, unsigned database) const;
  /// Whether one of these selectors allows to read the key, so that the command may name it. False if the budget is spent.
  /// O(selectors * patterns), and what the budget allows.
  bool may_list(std::uint64_t selectors, std::string_view key, MatchBudget& budget) const;
  /// The most comparisons that may_list() makes for `key`.
  std::uint64_t most_compared(std::string_view key) const;

  /// Whether `other` may do the same. Passwords, and whether the users are enabled, do not count.
  bool has_rights_of(const User& other) const;

 private:
  Verdict check(std::size_t selector, const CheckedRequest& request, MatchBudget& budget) const;

  UserFields fields_;
  std::vector<KeyPatterns> keys_;  // of each selector
  std::shared_ptr<UserUsage> usage_;
  bool unlimited_ = false;
  bool unlimited_channels_ = false;
  std::size_t memory_;
};

}  // namespace pinfold::security
