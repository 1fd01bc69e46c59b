#pragma once
// The rules of the ACL grammar, which make and change users: "on", ">password", "+@read", "~product:*", "(+get ~a)".
//
// The grammar is that of Redis 7.0, which this file does not repeat. Beyond it there are `db=0,1`, `alldbs` and `resetdbs` of Valkey 9.1,
// and `!~pattern`: a selector with this rule allows no key that matches the pattern, whatever its other patterns say. `resetkeys` removes
// these rules as well; `allkeys` keeps them. `maxmemory=64mb` and `rate=1000` set limits of the user (UserLimits), `maxmemory=0` and
// `rate=0` set none, and after `resetlimits` the settings for all users hold again.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/security/command_catalogue.hpp"
#include "pinfold/security/user.hpp"

namespace pinfold::security {

/// A draft of a user. Not thread-safe.
class UserRules {
 public:
  // What one user can have. A rule beyond these is refused.
  static constexpr std::size_t longest_rule = 4096;       // bytes, but for a selector
  static constexpr std::size_t longest_selector = 65536;  // bytes
  static constexpr std::size_t longest_password = security::longest_password;
  static constexpr std::size_t most_rules = 4096;    // that are applied to one draft
  static constexpr std::size_t most_bytes = 262144;  // of these rules
  static constexpr std::size_t most_passwords = 256;
  static constexpr std::size_t most_selectors = 64;
  static constexpr std::size_t most_patterns = 1024;        // of all selectors together
  static constexpr std::size_t most_pattern_bytes = 32768;  // of all patterns together; a byte takes 1 KB at most once it is compiled
  static constexpr std::size_t most_command_rules = 1024;   // of all selectors together
  static constexpr std::size_t most_databases = 4096;       // of all selectors together

  /// A new user: disabled, without passwords, and it may do nothing.
  explicit UserRules(std::string_view name);
  /// A user that exists, to be changed.
  explicit UserRules(const User& user);

  /// Applies a rule. Returns nothing, or the error in Redis' words without a code: "Syntax error". After an error the draft must not be
  /// used any more. O(length of the rule + commands + patterns).
  std::optional<std::string> apply(std::string_view rule, const CommandCatalogue& commands);

  /// The user that the rules describe. Throws std::bad_alloc.
  std::shared_ptr<const User> build() const;

 private:
  std::optional<std::string> apply_to_user(std::string_view rule, const CommandCatalogue& commands);
  std::optional<std::string> add_selector(std::string_view rules, const CommandCatalogue& commands);
  std::optional<std::string> count_rule();

  UserFields fields_;
  std::size_t rules_ = 0;  // that were applied
  std::size_t bytes_ = 0;  // of these
};

/// Whether a user may have this name: it is not empty, and has no space, line break or NUL.
bool is_user_name(std::string_view name);

/// The rules of a user in one line, without "user" and its name: "on #ha5h ~* &* +@all". Applied to a new user they make the same user.
std::string rules_of(const User& user);

}  // namespace pinfold::security
