#include "pinfold/command/user_files.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/catalogue.hpp"
#include "pinfold/config/replace_file.hpp"
#include "pinfold/config/yaml.hpp"

namespace pinfold::command {
namespace {

using config::Id;
using security::UserRules;
using security::Users;
using Error = std::optional<std::string>;
using Words = std::vector<std::string_view>;

constexpr std::size_t most_errors = 20;  // of one file
constexpr std::string_view too_much_memory = "the users would take more than 64 MB of memory";

Words views_of(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

bool names_unknown(std::string_view reason) { return reason.starts_with("Unknown command"); }

// Makes a user by applying all words to the draft. Returns what is wrong, each part with `where` before it.
std::string apply_words(UserRules draft, const Words& words, const std::string& where, Users::Pointer& user) {
  if (const Error reason = UserRules::too_many(words)) return where + ": " + *reason + ". ";
  std::vector<std::string> rules;
  if (merge_selectors(words, rules)) return where + ": Unmatched parenthesis in selector definition. ";
  std::string errors;
  bool told = false;  // of errors that may follow from one another, the first is told
  for (const std::string& rule : rules) {
    const Error reason = draft.apply(rule, catalogue());
    if (!reason) continue;
    if (names_unknown(*reason)) {
      errors += where + ": Error in applying operation '" + excerpt(shown_rule(rule)) + "': " + *reason + ". ";
    } else if (!std::exchange(told, true)) {
      errors += where + ": " + *reason + ". ";
    }
    if (errors.size() > 1024) break;
  }
  if (!errors.empty()) return errors;
  user = draft.build();
  const Error reason = UserRules::too_long(*user);
  return reason ? where + ": " + *reason + ". " : "";
}

// Collects the users of an ACL file, line by line.
class AclFileReader {
 public:
  AclFileReader(const config::Settings& settings, std::string path) : settings_(settings), path_(std::move(path)) {}

  void line(std::string_view text) {
    ++line_;
    const Words words = words_of(text);
    if (words.empty() || errors_ >= most_errors) return;
    const std::string where = path_ + ":" + std::to_string(line_);
    if (words[0] != "user" || words.size() < 2) return fail(where + " should start with user keyword followed by the username. ");
    if (words[1].size() > security::longest_user_name) return fail(where + ": username '" + excerpt(words[1]) + "' is too long. ");
    if (!security::is_user_name(words[1])) return fail(where + ": username '" + excerpt(words[1]) + "' contains invalid characters. ");
    if (!names_.emplace(words[1]).second) {
      return fail(where + ": Duplicate user '" + excerpt(words[1]) + "' found. ");
    }
    const std::size_t others = names_.contains(security::default_user_name) ? 0 : 1;  // it stays if the file does not name it
    if (users_.size() + others == Users::most) return fail(where + ": there are more than " + std::to_string(Users::most) + " users. ");
    Users::Pointer user;
    const std::string errors = apply_words(draft_of_user(settings_, words[1]), {words.begin() + 2, words.end()}, where, user);
    if (!errors.empty()) return fail(errors);
    memory_ += user->memory();
    users_.push_back(std::move(user));
    if (memory_ > Users::most_memory) {
      errors_ = most_errors - 1;  // enough is enough
      fail(where + ": " + std::string(too_much_memory) + ". ");
    }
  }

  Error take(std::vector<Users::Pointer>& users) {
    if (errors_ > 0) return text_ + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    users = std::move(users_);
    return std::nullopt;
  }

 private:
  void fail(const std::string& error) {
    text_ += one_line(error);
    ++errors_;
  }

  const config::Settings& settings_;
  const std::string path_;
  std::size_t line_ = 0;
  std::size_t errors_ = 0;
  std::size_t memory_ = 0;  // of users_
  std::string text_;
  std::set<std::string, std::less<>> names_;
  std::vector<Users::Pointer> users_;
};

Error read_settings_users(const config::Settings& settings, std::vector<Users::Pointer>& users) {
  std::size_t memory = 0;
  std::size_t others = 1;  // the default user, which stays if it is not named
  for (const config::UserText& user : settings.users()) {
    if (!security::is_user_name(user.name)) return one_line(user.where + "'" + excerpt(user.name) + "' cannot be the name of a user");
    if (user.name == security::default_user_name) others = 0;
    if (users.size() + others == Users::most) return user.where + "there are more than " + std::to_string(Users::most) + " users";
    Users::Pointer made;
    // where: "file.yaml:12: "
    const std::string where = user.where + "user '" + excerpt(user.name) + "'";
    if (std::string errors = apply_words(draft_of_user(settings, user.name), views_of(user.rules), where, made); !errors.empty()) {
      errors.resize(errors.size() - 2);  // the last ". "
      return one_line(errors);
    }
    memory += made->memory();
    users.push_back(std::move(made));
    if (memory > Users::most_memory) return where + ": " + std::string(too_much_memory);
  }
  return std::nullopt;
}

// The default user as it is if nothing but `requirepass` concerns it.
std::string rules_by_requirepass(const config::Settings& settings) {
  UserRules draft(security::default_user_name);
  const std::string password = settings.text(Id::requirepass);
  for (const std::string& rule : {std::string("on"), std::string("allkeys"), std::string("allchannels"), std::string("+@all"),
                                  password.empty() ? "nopass" : ">" + password}) {
    static_cast<void>(draft.apply(rule, catalogue()));
  }
  return security::rules_of(*draft.build());
}

}  // namespace

std::optional<std::string> merge_selectors(std::span<const std::string_view> words, std::vector<std::string>& rules) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string& rule = rules.emplace_back(words[i]);
    if (!rule.starts_with('(')) continue;
    const std::size_t first = i;
    while (!rule.ends_with(')')) {
      if (++i == words.size()) return std::string(words[first]);
      rule.append(" ").append(words[i]);
    }
  }
  return std::nullopt;
}

security::UserRules draft_of_user(const config::Settings& settings, std::string_view name, const security::User* before) {
  enum Choice : std::int64_t { all_channels, no_channels };  // in the order of the setting's choices
  const bool all = settings.integer(Id::acl_pubsub_default) == all_channels;
  const auto channels = all ? UserRules::Channels::all : UserRules::Channels::none;
  return before != nullptr ? UserRules(*before, channels) : UserRules(name, channels);
}

std::string shown_rule(std::string_view rule) {
  if (security::is_about_password(rule)) return std::string(1, rule[0]) + std::string(config::hidden);
  const bool is_selector = rule.starts_with('(');
  if (is_selector ? security::is_rule_without_secret(rule) : !security::may_hide_password(rule)) return std::string(rule);
  return is_selector ? "(" + std::string(config::hidden) + ")" : std::string(config::hidden);
}

std::optional<std::string> read_acl_file(const config::Settings& settings, std::vector<Users::Pointer>& users) {
  const std::string path = settings.text(Id::aclfile);
  std::error_code problem;
  const std::uintmax_t size = std::filesystem::file_size(path, problem);
  if (problem) return "Error loading ACLs, opening file '" + path + "': " + problem.message();
  if (size > largest_acl_file)
    return "Error loading ACLs, file '" + path + "' is larger than " + std::to_string(largest_acl_file) + " bytes";
  std::string text;
  if (const Error error = config::read_whole(path, text)) return "Error loading ACLs: " + *error;
  AclFileReader reader(settings, path);
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    reader.line(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return reader.take(users);
}

std::optional<std::string> write_acl_file(const config::Settings& settings, const std::vector<Users::Pointer>& users) {
  std::string text;
  for (const Users::Pointer& user : users) {
    text.append("user ").append(user->name()).append(" ").append(security::rules_of(*user)).append("\n");
    if (text.size() > largest_acl_file) {
      return "the users take more than the " + std::to_string(largest_acl_file) + " bytes that an ACL file can have";
    }
  }
  return config::replace_file(settings.text(Id::aclfile), text);
}

std::optional<std::string> read_users(const config::Settings& settings, std::vector<Users::Pointer>& users) {
  if (settings.text(Id::aclfile).empty()) return read_settings_users(settings, users);
  if (!settings.users().empty()) {
    return settings.users().front().where +
           "there are users in the settings file and an ACL file (aclfile): only one of them may have users";
  }
  return read_acl_file(settings, users);
}

std::vector<config::UserChange> changed_users(const config::Settings& settings, const Users& users,
                                              const std::vector<config::UserText>& in_file) {
  if (!settings.text(Id::aclfile).empty()) return {};
  std::map<std::string, std::string> present;
  for (const Users::Pointer& user : users.all()) present.emplace(user->name(), security::rules_of(*user));
  std::vector<config::UserChange> changes;
  for (const config::UserText& user : in_file) {
    const auto found = present.find(user.name);
    if (found == present.end()) {
      changes.push_back({user.name, std::nullopt});
      continue;
    }
    Users::Pointer made;
    const bool understood = apply_words(draft_of_user(settings, user.name), views_of(user.rules), "", made).empty();
    if (!understood || security::rules_of(*made) != found->second) changes.push_back({user.name, found->second});
    present.erase(found);
  }
  const auto standard = present.find(std::string(security::default_user_name));
  if (standard != present.end() && standard->second == rules_by_requirepass(settings)) present.erase(standard);
  for (auto& [name, rules] : present) changes.push_back({name, std::move(rules)});
  return changes;
}

}  // namespace pinfold::command
