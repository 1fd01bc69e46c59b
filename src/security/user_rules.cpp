#include "pinfold/security/user_rules.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"

namespace pinfold::security {
namespace {

using Error = std::optional<std::string>;

constexpr std::string_view syntax_error = "Syntax error";
constexpr std::string_view unknown_command = "Unknown command or category name in ACL";
constexpr std::string_view bad_hash = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
constexpr std::string_view no_such_password = "The password you are trying to remove from the user does not exist";
constexpr std::string_view useless_key_pattern =
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with "
    "an empty list of patterns";
constexpr std::string_view useless_channel_pattern =
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to "
    "start with an empty list of channels";
constexpr std::string_view first_argument_of_subcommand = "Allowing first-arg of a subcommand is not supported";

constexpr std::string_view too_many_rules = "At most 4096 rules can be applied to a user at a time";
constexpr std::string_view too_many_bytes = "At most 262144 bytes of rules can be applied to a user at a time";
static_assert(UserRules::most_rules == 4096 && UserRules::most_bytes == 262144);

Error error(std::string_view text) { return std::string(text); }

std::string more_than(std::string_view what, std::size_t most) {
  return "A user can have at most " + std::to_string(most) + " " + std::string(what);
}

// A rule stands in a line of an ACL file, between spaces.
bool has_space(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return is_space(c) || c == '\0'; });
}

// --- commands ---

// Removes what earlier rules have said of this command or category: the rule that comes now says it anew. For a container that includes
// the rules of its subcommands.
void forget_rules_of(Selector& selector, std::string_view name) {
  std::erase_if(selector.command_rules, [name](std::string_view rule) {
    rule.remove_prefix(1);
    if (!iequals(rule.substr(0, name.size()), name)) return false;
    return rule.size() == name.size() || rule[name.size()] == '|';
  });
}

void add_rule(Selector& selector, bool allowed, const std::string& name) {
  forget_rules_of(selector, name);
  selector.command_rules.push_back((allowed ? "+" : "-") + name);
}

// The bits of a command and of its subcommands.
void add_to(CommandSet& set, std::size_t command, const CommandCatalogue& commands) {
  set.set(command);
  const CommandCatalogue::Subcommands inner = commands.subcommands(command);
  for (std::size_t i = 0; i < inner.count; ++i) set.set(inner.first + i);
}

// Rules for first arguments of these commands are overruled.
void set_commands(Selector& selector, const CommandSet& set, bool allowed, const CommandCatalogue& commands) {
  selector.commands = allowed ? selector.commands | set : selector.commands & ~set;
  std::erase_if(selector.first_arguments, [&](const FirstArgument& one) {
    if (!set.test(one.command)) return false;
    forget_rules_of(selector, std::string(commands.name(one.command)) + "|" + one.argument);
    return true;
  });
}

void set_all_commands(Selector& selector, bool allowed) {
  if (allowed) {
    selector.commands.set();
  } else {
    selector.commands.reset();
  }
  selector.all_commands = allowed;
  selector.command_rules.clear();
  selector.first_arguments.clear();
}

Error set_category(Selector& selector, std::string_view name, bool allowed, const CommandCatalogue& commands) {
  if (iequals(name, "all")) {
    set_all_commands(selector, allowed);
    return std::nullopt;
  }
  const std::optional<std::size_t> category = commands.find_category(name);
  if (!category) return error(unknown_command);
  CommandSet set;
  for (std::size_t i = 0; i < commands.count(); ++i) {
    if (commands.in_category(i, *category)) add_to(set, i, commands);
  }
  set_commands(selector, set, allowed, commands);
  add_rule(selector, allowed, "@" + std::string(commands.categories()[*category]));
  return std::nullopt;
}

// "+select|0": a command with this first argument. `name` has a '|' and is no subcommand.
Error allow_first_argument(Selector& selector, std::string_view name, const CommandCatalogue& commands) {
  const std::size_t bar = name.rfind('|');
  const std::string_view argument = name.substr(bar + 1);
  const std::optional<std::size_t> command = commands.find(name.substr(0, bar));
  if (!command) return error(unknown_command);
  if (commands.is_subcommand(*command)) return error(first_argument_of_subcommand);
  if (argument.empty() || has_space(argument) || argument.ends_with(')')) return error(syntax_error);
  if (commands.subcommands(*command).count > 0) return error(unknown_command);
  if (selector.commands.test(*command)) return std::nullopt;
  const auto same = [&](const FirstArgument& one) { return one.command == *command && iequals(one.argument, argument); };
  std::erase_if(selector.first_arguments, same);
  selector.first_arguments.push_back({*command, std::string(argument)});
  add_rule(selector, true, std::string(commands.name(*command)) + "|" + std::string(argument));
  return std::nullopt;
}

Error set_by_name(Selector& selector, std::string_view name, bool allowed, const CommandCatalogue& commands) {
  if (name.starts_with('@')) return set_category(selector, name.substr(1), allowed, commands);
  if (const std::optional<std::size_t> command = commands.find(name)) {
    CommandSet set;
    add_to(set, *command, commands);
    set_commands(selector, set, allowed, commands);
    add_rule(selector, allowed, std::string(commands.name(*command)));
    return std::nullopt;
  }
  if (!allowed || name.find('|') == std::string_view::npos) return error(unknown_command);
  return allow_first_argument(selector, name, commands);
}

// Forgets rules that change nothing where they stand: else a user whose rules are changed again and again would get ever more of them.
void forget_useless_rules(Selector& selector, const CommandCatalogue& commands) {
  Selector replayed;
  set_all_commands(replayed, selector.all_commands);
  std::erase_if(selector.command_rules, [&](std::string_view rule) {
    const CommandSet before = replayed.commands;
    const std::size_t first_arguments = replayed.first_arguments.size();
    static_cast<void>(set_by_name(replayed, rule.substr(1), rule.starts_with('+'), commands));
    return replayed.commands == before && replayed.first_arguments.size() == first_arguments;
  });
}

// --- keys, channels, databases ---

// What stands between '%' and '~'.
std::optional<Access> parse_access(std::string_view letters) {
  Access access = Access::none;
  for (const char letter : letters) {
    const Access one = lower(letter) == 'r' ? Access::read : Access::write;
    if ((one == Access::write && lower(letter) != 'w') || includes(access, one)) return std::nullopt;
    access = access | one;
  }
  if (access == Access::none) return std::nullopt;
  return access;
}

// What a rule is applied with, beside the selector that it changes.
struct Context {
  const CommandCatalogue& commands;
  std::size_t& compiled;  // bytes of patterns that the draft has compiled
};

// Compiles the pattern of a rule. Returns the error if it cannot be used.
Error compile(std::string_view text, std::size_t& compiled, std::optional<Pattern>& pattern) {
  if (has_space(text)) return error(syntax_error);
  compiled += text.size();
  if (compiled > UserRules::most_pattern_bytes) {
    return "At most " + std::to_string(UserRules::most_pattern_bytes) + " bytes of patterns can be applied to a user at a time";
  }
  pattern.emplace(text);
  if (pattern->refused() != nullptr) return std::string("The pattern ") + pattern->refused();
  return std::nullopt;
}

Error allow_keys(Selector& selector, std::string_view text, Access access, std::size_t& compiled) {
  if (selector.all_keys) return error(useless_key_pattern);
  const auto same = [text](const KeyPattern& one) { return !one.deny && one.pattern.text() == text; };
  const auto found = std::find_if(selector.keys.begin(), selector.keys.end(), same);
  if (found != selector.keys.end()) {
    found->access = found->access | access;
    return std::nullopt;
  }
  std::optional<Pattern> pattern;
  if (Error error = compile(text, compiled, pattern)) return error;
  selector.keys.push_back({std::move(*pattern), access});
  return std::nullopt;
}

Error deny_keys(Selector& selector, std::string_view text, std::size_t& compiled) {
  const auto same = [text](const KeyPattern& one) { return one.deny && one.pattern.text() == text; };
  if (std::any_of(selector.keys.begin(), selector.keys.end(), same)) return std::nullopt;
  std::optional<Pattern> pattern;
  if (Error error = compile(text, compiled, pattern)) return error;
  selector.keys.push_back({std::move(*pattern), Access::both, true});
  return std::nullopt;
}

void allow_all_keys(Selector& selector) {
  selector.all_keys = true;
  std::erase_if(selector.keys, [](const KeyPattern& one) { return !one.deny; });
}

Error allow_channels(Selector& selector, std::string_view text, std::size_t& compiled) {
  if (selector.all_channels) return error(useless_channel_pattern);
  const auto same = [text](const Pattern& one) { return one.text() == text; };
  if (std::any_of(selector.channels.begin(), selector.channels.end(), same)) return std::nullopt;
  std::optional<Pattern> pattern;
  if (Error error = compile(text, compiled, pattern)) return error;
  selector.channels.push_back(std::move(*pattern));
  return std::nullopt;
}

Error allow_databases(Selector& selector, std::string_view list) {
  constexpr std::int64_t most = 1'000'000;  // more than there can be
  std::vector<unsigned>& databases = selector.databases;
  for (bool more = true; more;) {
    const std::size_t comma = list.find(',');
    const std::optional<std::int64_t> number = parse_i64(list.substr(0, comma));
    if (!number || *number < 0 || *number > most) return error(syntax_error);
    const auto database = static_cast<unsigned>(*number);
    const auto place = std::lower_bound(databases.begin(), databases.end(), database);
    if (place == databases.end() || *place != database) databases.insert(place, database);
    more = comma != std::string_view::npos;
    if (more) list.remove_prefix(comma + 1);
  }
  selector.all_databases = false;
  return std::nullopt;
}

// --- a selector as a whole ---

void set_all_channels(Selector& selector, bool allowed) {
  selector.all_channels = allowed;
  selector.channels.clear();
}

void set_all_databases(Selector& selector, bool allowed) {
  selector.all_databases = allowed;
  selector.databases.clear();
}

void reset_keys(Selector& selector) {
  selector.all_keys = false;
  selector.keys.clear();
}

struct WordForSelector {
  std::string_view word;
  void (*apply)(Selector&);
};
constexpr WordForSelector kWordsForSelectors[] = {
    {"allkeys", allow_all_keys},
    {"~*", allow_all_keys},
    {"resetkeys", reset_keys},
    {"allchannels", [](Selector& selector) { set_all_channels(selector, true); }},
    {"&*", [](Selector& selector) { set_all_channels(selector, true); }},
    {"resetchannels", [](Selector& selector) { set_all_channels(selector, false); }},
    {"allcommands", [](Selector& selector) { set_all_commands(selector, true); }},
    {"nocommands", [](Selector& selector) { set_all_commands(selector, false); }},
    {"alldbs", [](Selector& selector) { set_all_databases(selector, true); }},
    {"resetdbs", [](Selector& selector) { set_all_databases(selector, false); }},
};

constexpr std::string_view kDatabases = "db=";

bool begins_with(std::string_view rule, std::string_view word) { return iequals(rule.substr(0, word.size()), word); }

// A rule that a selector and the user's own permissions have in common.
Error apply_to_selector(Selector& selector, std::string_view rule, const Context& context) {
  if (rule.size() > UserRules::longest_rule) return "A rule can have at most " + std::to_string(UserRules::longest_rule) + " bytes";
  for (const WordForSelector& one : kWordsForSelectors) {
    if (!iequals(rule, one.word)) continue;
    one.apply(selector);
    return std::nullopt;
  }
  if (begins_with(rule, kDatabases)) return allow_databases(selector, rule.substr(kDatabases.size()));
  if (rule.starts_with('+') || rule.starts_with('-')) return set_by_name(selector, rule.substr(1), rule.starts_with('+'), context.commands);
  if (rule.starts_with("!~")) return deny_keys(selector, rule.substr(2), context.compiled);
  if (rule.starts_with('~')) return allow_keys(selector, rule.substr(1), Access::both, context.compiled);
  if (rule.starts_with('&')) return allow_channels(selector, rule.substr(1), context.compiled);
  if (rule.starts_with('%') && selector.all_keys) return error(useless_key_pattern);
  const std::size_t tilde = rule.find('~');
  if (!rule.starts_with('%') || tilde == std::string_view::npos) return error(syntax_error);
  const std::optional<Access> access = parse_access(rule.substr(1, tilde - 1));
  return access ? allow_keys(selector, rule.substr(tilde + 1), *access, context.compiled) : error(syntax_error);
}

// --- passwords ---

bool has_password(const UserFields& fields, const PasswordHash& hash) {
  return std::find(fields.passwords.begin(), fields.passwords.end(), hash) != fields.passwords.end();
}

Error add_password(UserFields& fields, const PasswordHash& hash) {
  if (!has_password(fields, hash)) {
    if (fields.passwords.size() == UserRules::most_passwords) return more_than("passwords", UserRules::most_passwords);
    fields.passwords.push_back(hash);
  }
  fields.nopass = false;
  return std::nullopt;
}

Error remove_password(UserFields& fields, const PasswordHash& hash) {
  if (!has_password(fields, hash)) return error(no_such_password);
  std::erase(fields.passwords, hash);
  return std::nullopt;
}

Error change_password(UserFields& fields, char how, std::string_view text) {
  const bool hashed = how == '#' || how == '!';
  if (text.size() > UserRules::longest_password) {
    return hashed ? error(bad_hash) : "A password can have at most " + std::to_string(UserRules::longest_password) + " bytes";
  }
  const std::optional<PasswordHash> hash = hashed ? parse_hash(text) : hash_of(text);
  if (!hash) return error(bad_hash);
  return how == '>' || how == '#' ? add_password(fields, *hash) : remove_password(fields, *hash);
}

// --- a user as a whole ---

void remove_passwords(UserFields& fields, bool nopass) {
  fields.passwords.clear();
  fields.nopass = nopass;
}

struct WordForUser {
  std::string_view word;
  void (*apply)(UserFields&);
};
constexpr std::string_view kReset = "reset";
constexpr WordForUser kWordsForUsers[] = {
    {"on", [](UserFields& fields) { fields.enabled = true; }},
    {"off", [](UserFields& fields) { fields.enabled = false; }},
    {"nopass", [](UserFields& fields) { remove_passwords(fields, true); }},
    {"resetpass", [](UserFields& fields) { remove_passwords(fields, false); }},
    {"skip-sanitize-payload", [](UserFields& fields) { fields.sanitize = Sanitize::skip; }},
    {"sanitize-payload", [](UserFields& fields) { fields.sanitize = Sanitize::sanitize; }},
    {"clearselectors", [](UserFields& fields) { fields.selectors.resize(1); }},
    {"resetlimits", [](UserFields& fields) { fields.limits = {}; }},
};

struct LimitOfUser {
  std::string_view begins;
  std::optional<std::int64_t> UserLimits::*limit;
  std::optional<std::int64_t> (*parse)(std::string_view value);
  std::string_view wanted;
};
constexpr LimitOfUser kLimits[] = {
    {"maxmemory=", &UserLimits::memory, parse_memory_limit,
     "maxmemory must be bytes with a unit b, kb, mb, gb (64mb), or a whole percentage of maxmemory, 0% to 100%; 0 is no limit"},
    {"rate=", &UserLimits::requests, parse_request_limit, "rate must be a number of requests a second, up to 1000000; 0 is no limit"},
};

// The limit that the rule is about; null if it is about none.
const LimitOfUser* limit_of(std::string_view rule) {
  const auto* const found =
      std::find_if(std::begin(kLimits), std::end(kLimits), [rule](const LimitOfUser& one) { return begins_with(rule, one.begins); });
  return found != std::end(kLimits) ? found : nullptr;
}

Error set_limit(UserFields& fields, const LimitOfUser& limit, std::string_view value) {
  const std::optional<std::int64_t> number = has_space(value) ? std::nullopt : limit.parse(value);
  if (!number) return error(limit.wanted);
  fields.limits.*limit.limit = number;
  return std::nullopt;
}

// The error for a user that has become too large; nothing if it has not.
Error too_large(const UserFields& fields) {
  if (fields.selectors.size() > UserRules::most_selectors) return more_than("selectors", UserRules::most_selectors);
  std::size_t patterns = 0;
  std::size_t bytes = 0;
  std::size_t command_rules = 0;
  std::size_t first_arguments = 0;
  std::size_t databases = 0;
  for (const Selector& selector : fields.selectors) {
    patterns += selector.keys.size() + selector.channels.size();
    for (const KeyPattern& one : selector.keys) bytes += one.pattern.text().size();
    for (const Pattern& one : selector.channels) bytes += one.text().size();
    command_rules += selector.command_rules.size();
    first_arguments += selector.first_arguments.size();
    databases += selector.databases.size();
  }
  if (patterns > UserRules::most_patterns) return more_than("patterns", UserRules::most_patterns);
  if (bytes > UserRules::most_pattern_bytes) return more_than("bytes of patterns", UserRules::most_pattern_bytes);
  if (command_rules > UserRules::most_command_rules) return more_than("rules for commands", UserRules::most_command_rules);
  if (first_arguments > UserRules::most_first_arguments) {
    return more_than("rules for first arguments", UserRules::most_first_arguments);
  }
  if (databases > UserRules::most_databases) return more_than("databases", UserRules::most_databases);
  return std::nullopt;
}

std::string rules_of_selector(const Selector& selector) {
  std::string text = selector.key_text();
  if (!selector.all_channels) add_word(text, "resetchannels");
  add_word(text, selector.channel_text());
  add_word(text, selector.database_text());
  add_word(text, selector.command_text());
  return text;
}

}  // namespace

UserRules::UserRules(std::string_view name, Channels channels) : channels_(channels) {
  fields_.name = name;
  fields_.selectors.push_back(new_selector());
}

UserRules::UserRules(const User& user, Channels channels) : fields_(user.fields()), channels_(channels) {}

Selector UserRules::new_selector() const {
  Selector selector;
  selector.all_channels = channels_ == Channels::all;
  return selector;
}

std::optional<std::string> UserRules::too_many(std::span<const std::string_view> rules) {
  if (rules.size() > most_rules) return error(too_many_rules);
  std::size_t bytes = 0;
  for (const std::string_view rule : rules) bytes += rule.size();
  return bytes > most_bytes ? error(too_many_bytes) : std::nullopt;
}

std::optional<std::string> UserRules::apply(std::string_view rule, const CommandCatalogue& commands) {
  if (rule.empty()) return std::nullopt;
  commands_ = &commands;
  bytes_ += rule.size();
  if (bytes_ > most_bytes) return error(too_many_bytes);
  if (Error error = apply_to_user(rule, commands)) return error;
  return too_large(fields_);
}

std::optional<std::string> UserRules::count_rule() { return ++rules_ > most_rules ? error(too_many_rules) : std::nullopt; }

std::optional<std::string> UserRules::apply_to_user(std::string_view rule, const CommandCatalogue& commands) {
  if (Error error = count_rule()) return error;
  if (iequals(rule, kReset)) {
    fields_ = UserFields{.name = std::move(fields_.name), .sanitize = Sanitize::sanitize, .selectors = {new_selector()}};
    return std::nullopt;
  }
  for (const WordForUser& one : kWordsForUsers) {
    if (!iequals(rule, one.word)) continue;
    one.apply(fields_);
    return std::nullopt;
  }
  if (is_about_password(rule)) return change_password(fields_, rule.front(), rule.substr(1));
  if (const LimitOfUser* const limit = limit_of(rule)) return set_limit(fields_, *limit, rule.substr(limit->begins.size()));
  if (rule.starts_with('(') && rule.ends_with(')')) return add_selector(rule.substr(1, rule.size() - 2), commands);
  return apply_to_selector(fields_.selectors.front(), rule, {commands, compiled_});
}

std::optional<std::string> UserRules::add_selector(std::string_view rules, const CommandCatalogue& commands) {
  if (rules.size() > longest_selector) return "A selector can have at most " + std::to_string(longest_selector) + " bytes";
  Selector selector = new_selector();
  while (!rules.empty()) {
    const std::size_t space = std::min(rules.find(' '), rules.size());
    const std::string_view rule = rules.substr(0, space);
    rules.remove_prefix(std::min(space + 1, rules.size()));
    if (rule.empty()) continue;
    if (Error error = count_rule()) return error;
    // A pattern with a bracket at its end would end the selector where the user's line is read again.
    if (rule.ends_with(')') && !rule.starts_with('+') && !rule.starts_with('-')) return error(syntax_error);
    if (Error error = apply_to_selector(selector, rule, {commands, compiled_})) return error;
  }
  fields_.selectors.push_back(std::move(selector));
  return std::nullopt;
}

std::shared_ptr<const User> UserRules::build() const {
  UserFields fields = fields_;
  if (commands_ != nullptr) {
    for (Selector& selector : fields.selectors) forget_useless_rules(selector, *commands_);
  }
  return std::make_shared<const User>(std::move(fields));
}

std::optional<std::string> UserRules::too_long(const User& user) {
  // Of all that is limited, only these can be beyond: no rule that a user keeps is longer than the one that was given, and the most words
  // that a line can have are fewer than the rules that can be applied.
  constexpr std::size_t words_of_a_selector = 8;  // beside patterns, rules for commands, and the databases behind the first rule for them
  constexpr std::size_t most_database_rules = most_databases * 8 / (longest_rule - 8);
  static_assert(most_passwords + most_patterns + most_command_rules + most_database_rules + words_of_a_selector * most_selectors <
                most_rules);
  const std::vector<Selector>& selectors = user.selectors();
  for (std::size_t i = 1; i < selectors.size(); ++i) {
    if (rules_of_selector(selectors[i]).size() <= longest_selector) continue;
    return "The rules of a selector can have at most " + std::to_string(longest_selector) + " bytes as ACL LIST shows them";
  }
  if (rules_of(user).size() <= most_bytes) return std::nullopt;
  return "The rules of a user can have at most " + std::to_string(most_bytes) + " bytes as ACL LIST shows them";
}

bool is_user_name(std::string_view name) { return !name.empty() && name.size() <= longest_user_name && !has_space(name); }

bool is_about_password(std::string_view rule) {
  constexpr std::string_view begins = "><#!";
  return !rule.empty() && begins.find(rule.front()) != std::string_view::npos && !rule.starts_with("!~");
}

bool may_hide_password(std::string_view rule) {
  constexpr std::string_view marks = "><#!";
  constexpr std::string_view brackets = "()";
  const bool is_pattern = !rule.empty() && (std::string_view("~%&").find(rule.front()) != std::string_view::npos || rule.starts_with("!~"));
  for (std::size_t i = 1; i < rule.size(); ++i) {
    if (is_space(rule[i])) return true;
    if (marks.find(rule[i]) == std::string_view::npos) continue;
    if (!is_pattern || brackets.find(rule[i - 1]) != std::string_view::npos) return true;
  }
  return false;
}

namespace {

// The same as is_rule_without_secret() for a rule that is no selector.
bool is_plain_rule_without_secret(std::string_view rule) {
  constexpr std::string_view begins = "+-~%&";
  const auto is_it = [rule](const auto& one) { return iequals(rule, one.word); };
  if (rule.empty() || may_hide_password(rule)) return false;
  return begins.find(rule.front()) != std::string_view::npos || rule.starts_with("!~") || begins_with(rule, kDatabases) ||
         limit_of(rule) != nullptr || iequals(rule, kReset) || std::any_of(std::begin(kWordsForUsers), std::end(kWordsForUsers), is_it) ||
         std::any_of(std::begin(kWordsForSelectors), std::end(kWordsForSelectors), is_it);
}

}  // namespace

bool is_rule_without_secret(std::string_view rule) {
  constexpr std::size_t brackets = 2;
  if (rule.size() > UserRules::longest_selector + brackets) return false;  // it is none
  if (!rule.starts_with('(')) return is_plain_rule_without_secret(rule);
  rule.remove_prefix(1);
  if (rule.ends_with(')')) rule.remove_suffix(1);
  while (!rule.empty()) {
    const auto size = static_cast<std::size_t>(std::find_if(rule.begin(), rule.end(), is_space) - rule.begin());
    if (size > 0 && !is_plain_rule_without_secret(rule.substr(0, size))) return false;
    rule.remove_prefix(std::min(size + 1, rule.size()));
  }
  return true;
}

std::string rules_of(const User& user) {
  const UserFields& fields = user.fields();
  std::string text = fields.enabled ? "on" : "off";
  if (fields.nopass) add_word(text, "nopass");
  if (fields.sanitize == Sanitize::skip) add_word(text, "skip-sanitize-payload");
  if (fields.sanitize == Sanitize::sanitize) add_word(text, "sanitize-payload");
  if (fields.limits.memory) add_word(text, "maxmemory=" + show_memory_limit(*fields.limits.memory));
  if (fields.limits.requests) add_word(text, "rate=" + std::to_string(*fields.limits.requests));
  for (const PasswordHash& hash : fields.passwords) add_word(text, "#" + hexadecimal(hash));
  add_word(text, rules_of_selector(fields.selectors.front()));
  for (std::size_t i = 1; i < fields.selectors.size(); ++i) add_word(text, "(" + rules_of_selector(fields.selectors[i]) + ")");
  return text;
}

}  // namespace pinfold::security
