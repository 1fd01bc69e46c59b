#include "pinfold/security/user.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "pinfold/security/user_rules.hpp"

namespace pinfold::security {
namespace {

// Looks at all hashes, wherever the right one is, and at nothing as often as it takes to make the least number of comparisons.
bool is_one_of(std::string_view password, const std::vector<PasswordHash>& hashes, PasswordWork* work) {
  const bool fits = password.size() <= longest_password;
  if (!fits) password = {};
  const PasswordHash hash = hash_of(password);
  bool found = false;
  for (const PasswordHash& one : hashes) found = equal_in_constant_time(hash, one) || found;
  std::size_t compared = hashes.size();
  for (; compared < User::least_comparisons; ++compared) static_cast<void>(equal_in_constant_time(hash, PasswordHash{}));
  if (work != nullptr) *work = {.hashed = password.size(), .compared = compared};
  return found && fits;
}

KeyPatterns patterns_of(const Selector& selector) {
  std::vector<KeyPattern> patterns;
  if (selector.all_keys) patterns.push_back({Pattern("*")});
  patterns.insert(patterns.end(), selector.keys.begin(), selector.keys.end());
  return KeyPatterns(patterns);
}

bool same_rights(const Selector& a, const Selector& b) {
  return a.commands == b.commands && a.command_text() == b.command_text() && a.key_text() == b.key_text() &&
         a.channel_text() == b.channel_text() && a.database_text() == b.database_text();
}

// About the bytes that a selector takes, with the copies of its patterns that checks use.
std::size_t memory_of(const Selector& selector) {
  constexpr std::size_t small = 64;      // a text that has little in it, and its place in a list
  constexpr std::size_t buckets = 1024;  // of KeyPatterns
  constexpr std::size_t to_find = 64;    // a pattern's filter and bits there
  std::size_t bytes = sizeof(Selector) + sizeof(KeyPatterns) + buckets;
  for (const KeyPattern& one : selector.keys) bytes += 2 * sizeof(KeyPattern) + 2 * one.pattern.memory() + to_find;
  for (const Pattern& one : selector.channels) bytes += one.memory();
  for (const std::string& rule : selector.command_rules) bytes += small + rule.capacity();
  for (const FirstArgument& one : selector.first_arguments) bytes += small + one.argument.capacity();
  return bytes + selector.databases.capacity() * sizeof(unsigned);
}

std::size_t memory_of(const UserFields& fields) {
  constexpr std::size_t small = 64;  // the place among the users, which has the name once more
  std::size_t bytes = sizeof(User) + small + 2 * fields.name.capacity() + fields.passwords.capacity() * sizeof(PasswordHash);
  for (const Selector& selector : fields.selectors) bytes += memory_of(selector);
  return bytes;
}

}  // namespace

User::User(UserFields fields, std::shared_ptr<UserUsage> usage)
    : fields_(std::move(fields)), usage_(std::move(usage)), memory_(memory_of(fields_)) {
  for (const Selector& selector : fields_.selectors) {
    keys_.push_back(patterns_of(selector));
    unlimited_ = unlimited_ || selector.unlimited();
    unlimited_channels_ = unlimited_channels_ || (selector.unlimited() && selector.all_channels);
  }
}

bool User::accepts(std::string_view password, PasswordWork* work) const {
  const bool right = is_one_of(password, fields_.passwords, work);
  return fields_.enabled && (right || fields_.nopass);
}

void User::accepts_nobody(std::string_view password, PasswordWork* work) {
  [[maybe_unused]] volatile bool found = is_one_of(password, {}, work);
}

Verdict User::check(std::size_t selector, const CheckedRequest& request, MatchBudget& budget) const {
  using Denied = Verdict::Denied;
  const Selector& rules = fields_.selectors[selector];
  if (!request.needs_no_rule && !rules.allows_command(request.command, request.first_argument)) return {Denied::command};
  if (!rules.all_databases) {
    for (std::size_t i = 0; i < request.databases.size(); ++i) {
      if (!rules.allows_database(request.databases[i])) return {Denied::database, i};
    }
    if (request.all_databases) return {Denied::database, request.databases.size()};
  }
  const KeyPatterns& patterns = keys_[selector];
  for (const KeyGroup& group : request.keys) {
    for (const std::uint32_t at : group.positions) {
      if (!patterns.allow(request.args[at], group.access, budget)) return {budget.spent() ? Denied::too_costly : Denied::key, at};
    }
  }
  if (request.all_keys && !patterns.allow_all_with(request.all_keys_with, request.all_keys_access)) return {Denied::all_keys};
  const ChannelGroup& channels = request.channels;
  for (std::size_t i = 0; i < channels.count && !rules.all_channels; ++i) {
    const std::size_t at = channels.first + i;
    if (rules.allows_channel(request.args[at], channels.literal, budget)) continue;
    return {budget.spent() ? Denied::too_costly : Denied::channel, at};
  }
  return {};
}

Verdict User::check(const CheckedRequest& request, MatchBudget& budget) const {
  const auto progress = [](const Verdict& verdict) { return std::tie(verdict.denied, verdict.at); };
  Verdict furthest = check(0, request, budget);
  for (std::size_t i = 1; i < keys_.size() && !furthest.allowed() && !budget.spent(); ++i) {
    const Verdict verdict = check(i, request, budget);
    if (verdict.allowed() || progress(furthest) < progress(verdict)) furthest = verdict;
  }
  return furthest;
}

bool User::allows_channel(std::string_view channel, bool literal, MatchBudget& budget) const {
  const auto& selectors = fields_.selectors;
  return std::any_of(selectors.begin(), selectors.end(), [&](const Selector& one) { return one.allows_channel(channel, literal, budget); });
}

bool User::allows_one(std::size_t command, unsigned database, std::string_view key, Access access) const {
  constexpr std::uint64_t few = 16'384;  // beside those that check() makes if these are not enough
  MatchBudget budget(few);
  const Selector* rules = fields_.selectors.data();
  for (const KeyPatterns& patterns : keys_) {
    const Selector& one = *rules++;
    const bool allowed = one.commands[command] && (one.all_databases || one.allows_database(database));
    if (allowed && (patterns.plainly_allow(key, access) || patterns.allow(key, access, budget))) return true;
  }
  return false;
}

std::uint64_t User::selectors_for(std::size_t command, std::string_view first_argument, unsigned database) const {
  std::uint64_t selectors = 0;
  static_assert(UserRules::most_selectors <= std::numeric_limits<decltype(selectors)>::digits);
  for (std::size_t i = 0; i < std::min(keys_.size(), UserRules::most_selectors); ++i) {
    const Selector& rules = fields_.selectors[i];
    if (rules.allows_command(command, first_argument) && rules.allows_database(database)) selectors |= std::uint64_t{1} << i;
  }
  return selectors;
}

bool User::may_list(std::uint64_t selectors, std::string_view key, MatchBudget& budget) const {
  for (std::size_t i = 0; selectors != 0; ++i, selectors >>= 1) {
    if ((selectors & 1) != 0 && keys_[i].allow(key, Access::read, budget)) return true;
  }
  return false;
}

std::uint64_t User::most_compared(std::string_view key) const {
  std::uint64_t sum = 0;
  for (const KeyPatterns& patterns : keys_) sum += patterns.most_compared(key);
  return sum;
}

bool User::has_rights_of(const User& other) const {
  return std::equal(fields_.selectors.begin(), fields_.selectors.end(), other.fields_.selectors.begin(), other.fields_.selectors.end(),
                    same_rights);
}

}  // namespace pinfold::security
