#include "pinfold/security/selector.hpp"

#include <algorithm>
#include <utility>

#include "pinfold/base/text.hpp"

namespace pinfold::security {
namespace {

// "~*" is the rule for all keys, which no rule may follow.
std::string rule_of(const KeyPattern& one) {
  const std::string& text = one.pattern.text();
  if (one.deny) return "!~" + text;
  if (one.access == Access::read) return "%R~" + text;
  if (one.access == Access::write) return "%W~" + text;
  return (text == "*" ? "%RW~" : "~") + text;
}

}  // namespace

std::string Selector::command_text() const {
  std::string text = all_commands ? "+@all" : "-@all";
  for (const std::string& rule : command_rules) add_word(text, rule);
  return text;
}

std::string Selector::key_text() const {
  std::string text = all_keys ? "~*" : "";
  for (const KeyPattern& one : keys) add_word(text, rule_of(one));
  return text;
}

std::string Selector::channel_text() const {
  std::string text = all_channels ? "&*" : "";
  for (const Pattern& one : channels) add_word(text, "&" + one.text());
  return text;
}

std::string Selector::database_text() const {
  if (all_databases) return "";
  if (databases.empty()) return "resetdbs";
  std::string text;
  std::string rule;
  for (const unsigned database : databases) {
    const std::string number = std::to_string(database);
    if (rule.size() + 1 + number.size() > longest_rule) add_word(text, std::exchange(rule, {}));
    rule += (rule.empty() ? "db=" : ",") + number;
  }
  add_word(text, rule);
  return text;
}

bool Selector::unlimited() const {
  const bool denies_keys = std::any_of(keys.begin(), keys.end(), [](const KeyPattern& one) { return one.deny; });
  return commands.all() && all_keys && !denies_keys && all_databases;
}

bool Selector::allows_command(std::size_t command, std::string_view first_argument) const {
  if (commands.test(command)) return true;
  const auto fits = [&](const FirstArgument& one) { return one.command == command && iequals(one.argument, first_argument); };
  return std::any_of(first_arguments.begin(), first_arguments.end(), fits);
}

bool Selector::allows_database(unsigned database) const {
  return all_databases || std::binary_search(databases.begin(), databases.end(), database);
}

bool Selector::allows_channel(std::string_view channel, bool literal, MatchBudget& budget) const {
  if (all_channels) return true;
  return std::any_of(channels.begin(), channels.end(), [&](const Pattern& one) {
    const std::uint64_t most = literal ? 1 + channel.size() / 16 : one.most_compared(channel);
    return budget.take(most) && (literal ? one.text() == channel : one.matches(channel));
  });
}

}  // namespace pinfold::security
