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
#include <span>
#include <string>
#include <string_view>

#include "pinfold/security/command_catalogue.hpp"
#include "pinfold/security/user.hpp"

namespace pinfold::security {

/// A draft of a user. Not thread-safe.
class UserRules {
 public:
  // What one user can have. A rule beyond these is refused.
  static constexpr std::size_t longest_rule = security::longest_rule;
  static constexpr std::size_t longest_selector = 65536;  // bytes
  static constexpr std::size_t longest_password = security::longest_password;
  static constexpr std::size_t most_rules = 4096;    // that are applied to one draft
  static constexpr std::size_t most_bytes = 262144;  // of these rules
  static constexpr std::size_t most_passwords = 256;
  static constexpr std::size_t most_selectors = 64;
  static constexpr std::size_t most_patterns = 1024;  // of all selectors together
  // Of all patterns together, and of those that the rules of one draft compile; a byte takes 1 KB at most once it is compiled.
  static constexpr std::size_t most_pattern_bytes = 32768;
  static constexpr std::size_t most_command_rules = 1024;   // of all selectors together
  static constexpr std::size_t most_first_arguments = 128;  // of all selectors together, and they are command rules as well
  static constexpr std::size_t most_databases = 4096;       // of all selectors together

  /// Whether a selector without rules may use all channels. It holds for a new user, after "reset", and for each new selector.
  enum class Channels : bool { none, all };

  /// A new user: disabled, without passwords, and it may do nothing, unless `channels` says otherwise.
  explicit UserRules(std::string_view name, Channels channels = Channels::none);
  /// A user that exists, to be changed.
  explicit UserRules(const User& user, Channels channels = Channels::none);

  /// The error for so many rules, or rules of so many bytes, as no draft takes; nothing if they can be applied one by one. It costs little,
  /// so it is asked before anything is done with rules that somebody has sent. A word of a selector counts as a rule.
  static std::optional<std::string> too_many(std::span<const std::string_view> rules);
  /// Applies a rule. Returns nothing, or the error in Redis' words without a code: "Syntax error". After an error the draft must not be
  /// built; further rules can be applied, to find further errors. O(length of the rule + commands + patterns).
  std::optional<std::string> apply(std::string_view rule, const CommandCatalogue& commands);

  /// The user that the rules describe, without rules for commands that change nothing. Throws std::bad_alloc.
  std::shared_ptr<const User> build() const;
  /// The error for a user whose line (rules_of) cannot be applied to a new user, because it is too long; nothing if it can be. Such a user
  /// must not be published: it could be saved, but not loaded. O(length of the line). Throws std::bad_alloc.
  static std::optional<std::string> too_long(const User& user);

 private:
  std::optional<std::string> apply_to_user(std::string_view rule, const CommandCatalogue& commands);
  std::optional<std::string> add_selector(std::string_view rules, const CommandCatalogue& commands);
  std::optional<std::string> count_rule();

  Selector new_selector() const;

  UserFields fields_;
  const CommandCatalogue* commands_ = nullptr;  // of the rules that were applied; null if there were none
  std::size_t rules_ = 0;                       // that were applied
  std::size_t bytes_ = 0;                       // of these
  std::size_t compiled_ = 0;                    // bytes of patterns that these have compiled
  Channels channels_;
};

/// The longest name of a user, in bytes: refusals copy it.
inline constexpr std::size_t longest_user_name = 1024;
/// Whether a user may have this name: it is neither empty nor too long, and has no space, line break or NUL.
bool is_user_name(std::string_view name);

/// Whether a rule has a password or a hash, as it begins: ">", "<", "#" or "!", but not "!~".
bool is_about_password(std::string_view rule);
/// Whether a password may stand behind the beginning of a word that should be one rule: behind white space, or behind a ">", "<", "#" or
/// "!" that the rule cannot have there ("on >secret", "(~a)>secret"). A pattern may have these, but not behind a bracket.
bool may_hide_password(std::string_view rule);
/// Whether a rule can be shown to others: it begins as a rule that has no password, and has none behind that. Anything else may be a
/// password whose '>' was forgotten. In a selector each word must be such a rule; it need not end.
bool is_rule_without_secret(std::string_view rule);

/// The rules of a user in one line, without "user" and its name: "on #ha5h ~* &* +@all". Applied to a new user they make the same user,
/// unless the line is too long for that (UserRules::too_long).
std::string rules_of(const User& user);

}  // namespace pinfold::security
