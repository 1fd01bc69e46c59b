// Fuzzes the rules of users: the grammar, and what the rules allow.
//
// The input is rules, one a line, for one user. Its last bytes choose requests that are checked. Invariants:
//   - a rule is accepted, or refused with an error of one line
//   - the rules of a user, applied to a new one, make the same user
//   - a request is allowed if and only if a reading of the rules that is as simple as it can be allows it
//   - a check does no more comparisons than most_compared() says, and allocates nothing
//   - a failed allocation is a std::bad_alloc, and nothing is lost

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/allocations.hpp"
#include "support/require.hpp"
#include "support/tail.hpp"

#include "pinfold/base/glob.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/catalogue.hpp"
#include "pinfold/security/user_rules.hpp"

using fuzz::require;
using pinfold::iequals;
using pinfold::command::catalogue;
using pinfold::security::Access;
using pinfold::security::CheckedRequest;
using pinfold::security::MatchBudget;
using pinfold::security::User;
using pinfold::security::UserRules;

namespace {

constexpr std::size_t most_rules = 200;

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty() && lines.size() < most_rules) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// The words of a line of rules. A selector, with the spaces in it, is one word.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  while (!line.empty()) {
    std::size_t end = std::min(line.find(' '), line.size());
    if (line.starts_with('(')) end = std::min(line.find(')'), line.size() - 1) + 1;
    // A first argument may hold a bracket, but not end with one.
    while (line.starts_with('(') && end < line.size() && line[end] != ' ') end = std::min(line.find(')', end), line.size() - 1) + 1;
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

// --- the simple reading ---

bool names_command(std::string_view rule, std::size_t command) {
  const auto& all = catalogue();
  const std::optional<std::size_t> named = all.find(rule);
  if (!named) return false;
  const auto inner = all.subcommands(*named);
  return *named == command || (command >= inner.first && command < inner.first + inner.count);
}

// Whether the command, or the container that it is in, is in the category.
bool in_category(std::string_view category, std::size_t command) {
  const auto& all = catalogue();
  const std::optional<std::size_t> index = all.find_category(category);
  if (!index) return false;
  if (all.in_category(command, *index)) return true;
  for (std::size_t i = 0; i < all.count(); ++i) {
    const auto inner = all.subcommands(i);
    if (command >= inner.first && command < inner.first + inner.count && all.in_category(i, *index)) return true;
  }
  return false;
}

struct Wanted {
  std::size_t command;
  std::string_view first_argument;
  std::string_view key;  // empty: the request has no key
  Access access;
  unsigned database;
};

// What one selector has to say of one request, as its rules come.
class Reading {
 public:
  explicit Reading(const Wanted& wanted) : wanted_(&wanted) {}

  void read(std::string_view rule) {
    if (rule.starts_with("!~")) {
      denied_ |= matches(rule.substr(2));
    } else if (rule.starts_with('~')) {
      key(rule.substr(1), Access::both);
    } else if (rule.starts_with('%')) {
      const std::size_t tilde = rule.find('~');
      Access access = Access::none;
      for (const char c : rule.substr(1, tilde - 1)) access = access | (pinfold::lower(c) == 'r' ? Access::read : Access::write);
      key(rule.substr(tilde + 1), access);
    } else if (iequals(rule, "allkeys")) {
      key("*", Access::both);
    } else if (iequals(rule, "resetkeys")) {
      denied_ = false;
      allowed_.clear();
    } else if (iequals(rule, "allcommands")) {
      commands(true);
    } else if (iequals(rule, "nocommands")) {
      commands(false);
    } else if (iequals(rule, "alldbs")) {
      databases(true);
    } else if (iequals(rule, "resetdbs")) {
      databases(false);
    } else if (iequals(rule.substr(0, 3), "db=")) {
      database(rule.substr(3));
    } else if (rule.starts_with('+') || rule.starts_with('-')) {
      command(rule.substr(1), rule.starts_with('+'));
    }
  }

  bool allows() const {
    const bool may_call = command_ || first_argument_;
    return may_call && (all_databases_ || database_) && (wanted_->key.empty() || (!denied_ && may_use_key()));
  }

 private:
  struct Allowed {
    std::string pattern;
    Access access;
  };

  bool matches(std::string_view pattern) const { return pinfold::Glob(pattern).matches(wanted_->key); }
  // Of one pattern the accesses add up; those of several do not.
  bool may_use_key() const {
    return std::any_of(allowed_.begin(), allowed_.end(),
                       [this](const Allowed& one) { return includes(one.access, wanted_->access) && matches(one.pattern); });
  }
  void key(std::string_view pattern, Access access) {
    for (Allowed& one : allowed_) {
      if (one.pattern != pattern) continue;
      one.access = one.access | access;
      return;
    }
    allowed_.push_back({std::string(pattern), access});
  }
  void commands(bool allowed) {
    command_ = allowed;
    first_argument_ = false;
  }
  void databases(bool all) {
    all_databases_ = all;
    database_ = false;
  }
  void database(std::string_view list) {
    all_databases_ = false;
    for (bool more = true; more;) {
      const std::size_t comma = list.find(',');
      database_ |= list.substr(0, comma) == std::to_string(wanted_->database);
      more = comma != std::string_view::npos;
      if (more) list.remove_prefix(comma + 1);
    }
  }
  void command(std::string_view name, bool allowed) {
    if (iequals(name, "@all")) return commands(allowed);
    const bool about_it = name.starts_with('@') ? in_category(name.substr(1), wanted_->command) : names_command(name, wanted_->command);
    if (about_it) return commands(allowed);
    if (name.starts_with('@') || catalogue().find(name)) return;
    const std::size_t bar = name.rfind('|');
    if (bar == std::string_view::npos || !iequals(catalogue().name(wanted_->command), name.substr(0, bar))) return;
    first_argument_ |= iequals(name.substr(bar + 1), wanted_->first_argument);
  }

  const Wanted* wanted_;
  bool command_ = false;
  bool first_argument_ = false;
  std::vector<Allowed> allowed_;
  bool denied_ = false;
  bool all_databases_ = true;
  bool database_ = false;
};

bool allowed_by(const std::vector<std::string>& rules, const Wanted& wanted) {
  std::vector<Reading> selectors(1, Reading(wanted));
  for (const std::string& rule : rules) {
    if (iequals(rule, "reset")) {
      selectors.assign(1, Reading(wanted));
    } else if (iequals(rule, "clearselectors")) {
      selectors.erase(selectors.begin() + 1, selectors.end());
    } else if (rule.starts_with('(')) {
      selectors.emplace_back(wanted);
      for (const std::string& inner : words_of(std::string_view(rule).substr(1, rule.size() - 2))) selectors.back().read(inner);
    } else {
      selectors.front().read(rule);
    }
  }
  return std::any_of(selectors.begin(), selectors.end(), [](const Reading& one) { return one.allows(); });
}

// --- the checks ---

// A user with the rules that are accepted, which stay in `rules`.
std::shared_ptr<const User> make(std::vector<std::string>& rules) {
  std::vector<std::string> accepted;
  for (const std::string& rule : rules) {
    UserRules draft("u");
    for (const std::string& one : accepted) require(!draft.apply(one, catalogue()), "a rule is refused the second time", one);
    if (const auto error = draft.apply(rule, catalogue())) {
      const bool clean = !error->empty() && error->find_first_of("\r\n") == std::string::npos;
      require(clean, "an error about a rule is one line", *error);
    } else {
      accepted.push_back(rule);
    }
  }
  rules = std::move(accepted);
  UserRules draft("u");
  for (const std::string& one : rules) require(!draft.apply(one, catalogue()), "a rule is refused the second time", one);
  return draft.build();
}

void check_round_trip(const User& user) {
  if (UserRules::too_long(user)) return;
  const std::string text = rules_of(user);
  UserRules draft("u");
  for (const std::string& word : words_of(text)) {
    const auto error = draft.apply(word, catalogue());
    require(!error, "a user's own rules are refused", text + "\n" + word + ": " + error.value_or(""));
  }
  const auto again = draft.build();
  require(rules_of(*again) == text, "the rules of a user make another one", text + "\n" + rules_of(*again));
  require(again->has_rights_of(user) && user.has_rights_of(*again), "the rules of a user make one with other rights", text);
  const bool same = again->enabled() == user.enabled() && again->nopass() == user.nopass() && again->passwords() == user.passwords();
  require(same, "the rules of a user make one with other passwords", text);
  require(rules_of(*UserRules(user).build()) == text, "a user that is not changed is another one", text);
}

void check_request(const User& user, const std::vector<std::string>& rules, const Wanted& wanted) {
  const std::array<std::string_view, 2> args{catalogue().name(wanted.command), wanted.key};
  const std::uint32_t at = 1;
  CheckedRequest request;
  request.command = wanted.command;
  request.first_argument = wanted.first_argument;
  request.args = args;
  if (!wanted.key.empty()) request.keys[0] = {{&at, 1}, wanted.access};
  request.databases = {&wanted.database, 1};
  bool allowed = false;
  MatchBudget budget;
  pinfold::work::Counting counting;
  fuzz::Allocations::reset();
  fuzz::Allocations::fail(1, 1000);
  {
    const fuzz::Watched watched;
    allowed = user.check(request, budget).allowed();
  }
  const bool allocates = fuzz::Allocations::failed() > 0;
  fuzz::Allocations::spare();
  require(!allocates, "a check allocates");
  require(counting.counts().bytes <= user.most_compared(wanted.key), "a check compares more than most_compared()");
  require(counting.counts().bytes <= MatchBudget::most - budget.left(), "a check compares more than it takes off the budget");
  require(!user.unlimited() || allowed, "a user without limits is denied something");
  require(allowed == allowed_by(rules, wanted),
          allowed ? "a request is allowed that should not be" : "a request is denied that should not be",
          std::string(args[0]) + " " + std::string(wanted.first_argument) + " key " + std::string(wanted.key) + " for " + rules_of(user));
}

// As make(), with an allocation that fails.
void check_refused_memory(const std::vector<std::string>& rules, std::uint32_t fails_at) {
  fuzz::Allocations::reset();
  fuzz::Allocations::fail(fails_at);
  try {
    const fuzz::Watched watched;
    UserRules draft("u");
    for (const std::string& rule : rules) {
      if (draft.apply(rule, catalogue())) break;
    }
    const auto user = draft.build();
    static_cast<void>(rules_of(*user));
  } catch (const std::bad_alloc&) {
  }
  fuzz::Allocations::spare();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view keys[] = {"", "a", "ab", "product:1", "secret:1", "{x}", "*", "\\", "[a]", "abcabcabcabc"};
  constexpr std::string_view first_arguments[] = {"", "0", "1", "get", "GET", "x"};
  constexpr Access accesses[] = {Access::none, Access::read, Access::write, Access::both};
  constexpr std::size_t requests = 8;
  constexpr std::size_t choices_of_a_request = 4;
  fuzz::Tail tail(data, size);
  const std::uint32_t fails_at = tail.byte();
  const std::string_view choices = tail.bytes(requests * choices_of_a_request);
  fuzz::Tail chosen(reinterpret_cast<const std::uint8_t*>(choices.data()), choices.size());
  std::vector<std::string> rules = lines_of(tail.text());
  const std::vector<std::string> all = rules;
  const std::shared_ptr<const User> user = make(rules);
  check_round_trip(*user);
  for (std::size_t i = 0; i < requests; ++i) {
    const Wanted wanted{.command = chosen.byte() % catalogue().count(),
                        .first_argument = first_arguments[chosen.byte() % std::size(first_arguments)],
                        .key = keys[chosen.byte() % std::size(keys)],
                        .access = accesses[i % std::size(accesses)],
                        .database = chosen.byte() % 4U};
    check_request(*user, rules, wanted);
  }
  if (fails_at > 0) check_refused_memory(all, fails_at);
  return 0;
}
