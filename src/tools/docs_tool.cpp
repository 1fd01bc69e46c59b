// Prints a page of documentation from the tables in the code: pinfold-docs commands | configuration | metrics-list.
// scripts/docs writes the pages into docs/.

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include "pinfold/admin/metrics.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/describe.hpp"
#include "pinfold/config/settings.hpp"

namespace {

using namespace pinfold;
using command::Row;

// Text from a table, with what Markdown would take for markup escaped.
std::string prose(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '*' || c == '_' || c == '<' || c == '`' || c == '[') result += '\\';
    result += c;
  }
  return result;
}

// "CLIENT KILL" of "client|kill".
std::string full_name(const Row& row) {
  std::string name = to_upper(row.name);
  std::replace(name.begin(), name.end(), '|', ' ');
  return name;
}

std::string join(const std::vector<std::string_view>& words, std::string_view prefix) {
  std::string text;
  for (const std::string_view word : words) {
    if (!text.empty()) text += ' ';
    text.append("`").append(prefix).append(word).append("`");
  }
  return text.empty() ? "none" : text;
}

void print_command(const Row& row) {
  std::cout << "\n### " << full_name(row) << "\n\n";
  std::cout << "    " << full_name(row);
  if (!row.syntax.empty()) std::cout << ' ' << row.syntax;
  std::cout << "\n\n" << prose(row.summary) << "\n\n";
  std::cout << "- Complexity: " << prose(row.complexity) << (row.complexity.ends_with('.') ? "\n" : ".\n");
  std::cout << "- Since: " << row.since << "\n";
  std::cout << "- Flags: " << join(command::flag_names(row), "") << "\n";
  std::cout << "- ACL categories: " << join(command::category_names(row), "@") << "\n";
}

// What can be sent: containers that only hold subcommands are left out.
std::vector<const Row*> commands_of(std::string_view group) {
  std::vector<const Row*> rows;
  for (const Row* row : command::commands()) {
    if (row->group == group && row->handler != nullptr) rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end(), [](const Row* a, const Row* b) { return full_name(*a) < full_name(*b); });
  return rows;
}

void print_metrics() {
  std::cout
      << "# The metrics\n\n"
         "Made by `scripts/docs` from the tables of metrics. They are served at `/metrics` of the admin port, which\n"
         "[metrics.md](metrics.md) describes. Times are in seconds and sizes in bytes. What ends with `_total` only grows, and "
         "begins\n"
         "anew with a start. `CONFIG RESETSTAT` begins it anew, too, but for CPU time, loads of certificates, what is sampled\n"
         "(`hot_keys_sampled`, `working_set_dropped_samples`) and the figures of users, which begin when the user is made. A histogram\n"
         "has `_bucket`, with a label `le`, `_sum` and `_count`.\n\n"
         "Labels have few values: commands, error codes, databases, reasons, I/O threads, the at most 250 policies, and the 256 users\n"
         "whose clients take most memory. No label has the name of a key or client. Of commands, errors and databases only those\n"
         "are shown that there have been.\n\n"
         "| metric | type | labels | meaning |\n|---|---|---|---|\n";
  for (const admin::MetricDoc& doc : admin::metric_docs()) {
    std::string labels;
    for (const std::string& label : doc.labels) labels.append(labels.empty() ? "`" : ", `").append(label).append("`");
    std::cout << "| `" << doc.name << "` | " << doc.type << " | " << labels << " | " << prose(doc.help) << " |\n";
  }
}

struct Group {
  std::string_view name;
  std::string_view title;
};

std::vector<Group> groups() {
  std::vector<Group> all = {{"string", "Strings"},         {"bitmap", "Bits"},  {"generic", "Keys"}, {"transactions", "Transactions"},
                            {"connection", "Connections"}, {"server", "Server"}};
  // A group that is new here still gets its place.
  for (const Row* row : command::commands()) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const Group& group) { return group.name == row->group; });
    if (!known) all.push_back({row->group, row->group});
  }
  return all;
}

void print_commands() {
  std::cout << "# Commands\n\n"
               "Made by `scripts/docs` from the command table. Replies and errors are those of Redis 7.2; "
               "where they are\n"
               "not, [differences.md](differences.md) says so. *Since* is the version of Redis that brought "
               "a command\n"
               "(of Valkey or a later Redis where 7.2 does not have it). In the syntax `[ ]` may be left "
               "out, `< | >` is\n"
               "a choice, and `...` may be repeated. `COMMAND DOCS` tells a client the same.\n";
  for (const Group& group : groups()) {
    const std::vector<const Row*> rows = commands_of(group.name);
    if (rows.empty()) continue;
    std::cout << "\n## " << group.title << "\n";
    for (const Row* row : rows) print_command(*row);
  }
}

std::string range_of(const config::Setting& setting) {
  constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
  if (setting.max == none) return "at least " + std::to_string(setting.min);
  return std::to_string(setting.min) + " to " + std::to_string(setting.max);
}

std::string values_of(const config::Setting& setting) {
  switch (setting.type) {
    case config::Type::text:
      return "text";
    case config::Type::integer:
      return "a number, " + range_of(setting);
    case config::Type::percent:
      return "a percentage, " + range_of(setting);
    case config::Type::milliseconds:
      return "milliseconds, or a duration (`500ms`, `10s`, `5m`), " + range_of(setting);
    case config::Type::seconds:
      return "seconds, or a duration (`30s`, `5m`, `1h`), " + range_of(setting);
    case config::Type::minutes:
      return "minutes, or a duration (`30m`, `1h`), " + range_of(setting);
    case config::Type::memory:
      if (setting.min < 0) return "bytes, with an optional unit (`kb`, `mb`, `gb`), or a percentage";
      return "bytes, with an optional unit (`kb`, `mb`, `gb`), " + range_of(setting);
    case config::Type::flag:
      return "`yes` or `no`";
    case config::Type::choice:
      break;
  }
  std::string text;
  std::string_view left = setting.choices;
  while (!left.empty()) {
    const std::string_view one = left.substr(0, left.find('|'));
    left.remove_prefix(std::min(one.size() + 1, left.size()));
    if (!text.empty()) text += left.empty() ? " or " : ", ";
    text.append("`").append(one).append("`");
  }
  return text;
}

std::string environment_name(std::string_view name) {
  std::string result = "PINFOLD_" + to_upper(name);
  std::replace(result.begin(), result.end(), '-', '_');
  return result;
}

void print_configuration() {
  std::cout << "# Configuration\n\n"
               "Made by `scripts/docs` from the settings table.\n\n"
               "    pinfold-server [file.yaml] [--name value ...]\n\n"
               "Every setting can be given in the file (`name: value`), in the environment, and on the "
               "command line; the\n"
               "later of these wins. Those that can change at run time are changed with `CONFIG SET name "
               "value`, and\n"
               "`CONFIG REWRITE` writes them into the file. An unknown name or a bad value ends the start "
               "with one line\n"
               "on stderr.\n\n"
               "Where a setting takes `yes` or `no`, the file may say `true` or `on`, `false` or `off` as well, without quotes:\n"
               "these are words of YAML. Everywhere else it is `yes` or `no`, as in Redis.\n\n"
               "The file is YAML in UTF-8: lines `name: value`, each name once, with a list `policies` and a mapping `users`. Tags,\n"
               "anchors and aliases of YAML are refused, so that no rule or password is taken for one. Put a text in quotes if it\n"
               "begins with `!`, `&`, `*`, `#`, `>`, `|`, `%`, `@` or a bracket, or has `#` after a space. A control character other\n"
               "than a tab or the end of a line is written `\"\\x01\"`.\n\n"
               "`pinfold-server file.yaml --check` says what is wrong in all that or contradictory in the policies. It exits\n"
               "with 0 if there is nothing to say, with 1 if the server would not start, and with 2 if it would, with warnings; the\n"
               "same warnings are in the log of a server that starts. It opens no port, socket or log: whether these can be opened\n"
               "shows when the server starts. Relative names of files count from the folder in which the server is started.\n";
  for (const config::Setting& setting : config::settings_table()) {
    std::cout << "\n## " << setting.name << "\n\n" << prose(setting.help) << "\n\n";
    std::cout << "- Values: " << values_of(setting) << "\n";
    std::cout << "- Default: " << (setting.default_value.empty() ? "empty" : "`" + std::string(setting.default_value) + "`") << "\n";
    std::cout << "- Environment: `" << environment_name(setting.name) << "`\n";
    std::cout << "- At run time: " << (setting.runtime ? "yes" : "no, only at start") << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view page = argc == 2 ? argv[1] : "";
  if (page == "commands") {
    print_commands();
  } else if (page == "configuration") {
    print_configuration();
  } else if (page == "metrics-list") {
    print_metrics();
  } else {
    std::cerr << "usage: pinfold-docs commands | configuration | metrics-list\n";
    return 1;
  }
  return std::cout.flush() ? 0 : 1;
}
