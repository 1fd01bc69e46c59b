#pragma once
// Users in files: the ACL file (`aclfile`), whose lines are "user name rule rule ...", and `users` in the settings file. Thread-safe.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/config/settings.hpp"
#include "pinfold/security/user_rules.hpp"
#include "pinfold/security/users.hpp"

namespace pinfold::command {

/// The largest ACL file, in bytes.
inline constexpr std::size_t largest_acl_file = 64 * 1024 * 1024;

/// Puts the words of each selector together: "(+get" "~a)" are the rule "(+get ~a)". Returns nothing, or the word with which a selector
/// begins that does not end.
std::optional<std::string> merge_selectors(std::span<const std::string_view> words, std::vector<std::string>& rules);

/// A draft of a user: of `before`, or of a new one if that is null. acl-pubsub-default says which channels it has at first.
security::UserRules draft_of_user(const config::Settings& settings, std::string_view name, const security::User* before = nullptr);

/// A rule as errors may show it: without the password or hash that may be in it. Nothing is shown of a word that may hide a password behind
/// a rule, nor of a selector if a word inside is no rule, as that may be a password without its '>'.
std::string shown_rule(std::string_view rule);

/// Reads the users of the file that `aclfile` names: all of them, or none and the errors in Redis' words. May take as long as the disk.
std::optional<std::string> read_acl_file(const config::Settings& settings, std::vector<security::Users::Pointer>& users);
/// Writes these users into the file that `aclfile` names. Returns nothing, or the error, also if read_acl_file() would refuse the file
/// because it is too large: then it stays as it was. May take as long as the disk.
std::optional<std::string> write_acl_file(const config::Settings& settings, const std::vector<security::Users::Pointer>& users);

/// Reads the users with which a server starts: those of the ACL file or of the settings file. Returns nothing, or the error in one line.
std::optional<std::string> read_users(const config::Settings& settings, std::vector<security::Users::Pointer>& users);

/// How the users of the settings file must change to be those of the server (Settings::on_rewrite_users). Nothing changes if there is an
/// ACL file. A default user that has only the password of `requirepass` is not written.
std::vector<config::UserChange> changed_users(const config::Settings& settings, const security::Users& users,
                                              const std::vector<config::UserText>& in_file);

}  // namespace pinfold::command
