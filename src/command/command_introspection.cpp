// COMMAND and its subcommands, and HELP: what the command table tells clients about itself.

#include "pinfold/command/command_introspection.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "pinfold/command/catalogue.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/describe.hpp"
#include "pinfold/command/describe_task.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/pattern.hpp"

namespace pinfold::command {
namespace {

bool is_subcommand(const Row& row) { return row.name.find('|') != std::string_view::npos; }

void reply_names(resp::Reply& reply, const std::vector<std::string_view>& names, std::string_view prefix = "") {
  reply.set(names.size());
  for (const std::string_view name : names) reply.simple(std::string(prefix) + std::string(name));
}

struct LegacyRange {
  int first = 0;
  int last = 0;
  int step = 0;
};

// Before key specs a command had one range of keys. Specs that are ranges one behind the other fit into it; what stands behind a count or
// a word does not.
LegacyRange legacy_range(const Row& row) {
  LegacyRange range;
  for (const KeySpec& spec : shown_specs(row)) {
    if (spec.kind != KeySpec::Kind::range) break;
    const bool first = range.first == 0;
    if (!first && spec.first != range.last + 1) break;
    if (first) range.first = spec.first;
    range.last = spec.last;
    range.step = spec.step;
  }
  return range;
}

void reply_key_spec(resp::Reply& reply, const KeySpec& spec, bool is_key) {
  const bool range = spec.kind == KeySpec::Kind::range || spec.kind == KeySpec::Kind::word;
  const bool option = spec.follows_word();
  reply.map(3);
  reply.bulk("flags");
  reply_names(reply, is_key ? key_use_names(spec.use) : std::vector<std::string_view>{"not_key"});
  reply.bulk("begin_search");
  reply.map(2);
  reply.bulk("type");
  reply.bulk(option ? "keyword" : "index");
  reply.bulk("spec");
  reply.map(option ? 2 : 1);
  if (option) {
    reply.bulk("keyword");
    reply.bulk(spec.word);
  }
  reply.bulk(option ? "startfrom" : "index");
  reply.integer(spec.first);
  reply.bulk("find_keys");
  reply.map(2);
  reply.bulk("type");
  reply.bulk(range ? "range" : "keynum");
  reply.bulk("spec");
  reply.map(3);
  reply.bulk(range ? "lastkey" : "keynumidx");
  reply.integer(range && spec.last > 0 ? spec.last - spec.first : spec.last);
  reply.bulk(range ? "keystep" : "firstkey");
  reply.integer(range ? spec.step : 1);
  reply.bulk(range ? "limit" : "keystep");
  reply.integer(range ? 0 : spec.step);
}

void reply_info(resp::Reply& reply, const Row& row) {
  const LegacyRange range = legacy_range(row);
  reply.array(10);
  reply.bulk(row.name);
  reply.integer(row.arity);
  reply_names(reply, flag_names(row));
  reply.integer(range.first);
  reply.integer(range.last);
  reply.integer(range.step);
  reply_names(reply, category_names(row), "@");
  reply.set(0);  // hints for routing in a cluster: there is none
  const std::vector<KeySpec> specs = shown_specs(row);
  reply.set(specs.size());
  for (const KeySpec& spec : specs) reply_key_spec(reply, spec, !row.channels.sharded);
  const std::span<const Row* const> inner = subcommands(row);
  if (inner.empty()) {
    reply.set(0);
    return;
  }
  reply.array(inner.size());
  for (const Row* subcommand : inner) reply_info(reply, *subcommand);
}

Outcome reply_all_info(Call& call) {
  call.reply.array(command_count());
  for (const Row* row : commands()) {
    if (!is_subcommand(*row)) reply_info(call.reply, *row);
  }
  return Outcome::done;
}

// COMMAND is the one container that is also a command, without arguments.
Outcome command(Call& call) { return reply_all_info(call); }

Outcome command_count_reply(Call& call) { return call.reply.integer(static_cast<std::int64_t>(command_count())); }

Outcome command_info(Call& call) {
  if (call.args.size() == 2) return reply_all_info(call);
  const Args names = call.args.subspan(2);
  auto task = DescribeTask::make(call, names.size(),
                                 {.begin = [](resp::Reply& reply, std::size_t count) { reply.array(count); },
                                  .describe =
                                      [](resp::Reply& reply, const Row* row) {
                                        if (row == nullptr) {
                                          reply.null();
                                        } else {
                                          reply_info(reply, *row);
                                        }
                                      }});
  if (task == nullptr) return Outcome::done;
  for (const std::string_view name : names) task->add(find_command_by_name(name));
  return DescribeTask::run(call, std::move(task));
}

Outcome command_list(Call& call) {
  enum class Filter { none, module, category, pattern } filter = Filter::none;
  std::string_view wanted;
  Cursor options(call.args, 2);
  if (!options.done()) {
    if (!options.take("FILTERBY") || options.left() != 2) return call.syntax_error();
    if (options.take("MODULE")) {
      filter = Filter::module;
    } else if (options.take("ACLCAT")) {
      filter = Filter::category;
    } else if (options.take("PATTERN")) {
      filter = Filter::pattern;
    } else {
      return call.syntax_error();
    }
    wanted = options.take();
  }
  const std::unique_ptr<const Pattern> pattern = compile_pattern(call, filter == Filter::pattern ? wanted : "", true);
  if (pattern == nullptr) return Outcome::done;
  const std::optional<std::size_t> category = filter == Filter::category ? catalogue().find_category(wanted) : std::nullopt;
  std::vector<std::string_view> found;
  for (const Row* row : commands()) {
    const bool matches =
        filter == Filter::none || (category && in_category(*row, *category)) || (filter == Filter::pattern && pattern->matches(row->name));
    if (matches) found.push_back(row->name);
  }
  call.reply.array(found.size());
  for (const std::string_view name : found) call.reply.bulk(name);
  return Outcome::done;
}

// The row of the command given to GETKEYS, if it has keys that can be found; otherwise the error has been
// replied.
const Row* command_with_keys(Call& call, Args args) {
  const Row* row = find_command(args);
  if (row == nullptr || (is_container(*row) && args.size() > 1)) {
    call.reply.error("ERR Invalid command specified");
    return nullptr;
  }
  if (row->keys[0].kind == KeySpec::Kind::none) {
    call.reply.error("ERR The command has no key arguments");
    return nullptr;
  }
  if (!arity_fits(*row, args.size())) {
    call.reply.error("ERR Invalid number of arguments specified for command");
    return nullptr;
  }
  return row;
}

Outcome get_keys(Call& call, bool with_flags) {
  const Args args = call.args.subspan(2);
  const Row* row = command_with_keys(call, args);
  if (row == nullptr) return Outcome::done;
  std::vector<std::uint32_t> positions;
  if (extract_keys(*row, args, positions) == Extraction::malformed) {
    // As in Redis: of commands that need no keys nothing is said to be wrong.
    if ((row->flags & kRunsScript) != 0) return call.reply.array(0);
    return call.reply.error("ERR Invalid arguments specified for command");
  }
  call.reply.array(positions.size());
  for (const KeySpec& spec : row->keys) {
    positions.clear();
    static_cast<void>(extract_keys(spec, args, positions));  // they have been found before
    for (const std::uint32_t position : positions) {
      if (with_flags) call.reply.array(2);
      call.reply.bulk(args[position]);
      if (with_flags) reply_names(call.reply, key_use_names(key_use(spec, args)));
    }
  }
  return Outcome::done;
}

Outcome command_getkeys(Call& call) { return get_keys(call, false); }
Outcome command_getkeysandflags(Call& call) { return get_keys(call, true); }

Shown shown_in_getkeys(Args args, std::size_t index) {
  constexpr std::size_t first = 2;
  return index < first ? Shown::plain : shown_in_request(args.subspan(first), index - first);
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "command", .handler = command, .arity = -1,
     .flags = kLoading | kNoMulti, .categories = kConnection, .shown = shown_never,
     .group = "server", .since = "2.8.13",
     .complexity = "O(N) for N commands.",
     .summary = "Describes every command."},
    {.name = "command|count", .handler = command_count_reply, .arity = 2,
     .flags = kLoading, .categories = kConnection,
     .group = "server", .since = "2.8.13",
     .complexity = "O(N) for N commands.",
     .summary = "Counts the commands, without their subcommands."},
    {.name = "command|docs", .handler = command_docs, .arity = -2,
     .flags = kLoading | kNoMulti, .categories = kConnection, .shown = shown_command_names,
     .group = "server", .since = "7.0.0",
     .complexity = "O(N) for N commands.",
     .summary = "Documents some commands, or all: purpose, complexity and arguments.",
     .syntax = "[command-name [command-name ...]]"},
    {.name = "command|getkeys", .handler = command_getkeys, .arity = -3,
     .flags = kLoading, .categories = kConnection, .shown = shown_in_getkeys, .has_request = true,
     .group = "server", .since = "2.8.13",
     .complexity = "O(N) for N arguments.",
     .summary = "Finds the keys in a command with its arguments.",
     .syntax = "command [arg [arg ...]]"},
    {.name = "command|getkeysandflags", .handler = command_getkeysandflags, .arity = -3,
     .flags = kLoading, .categories = kConnection, .shown = shown_in_getkeys, .has_request = true,
     .group = "server", .since = "7.0.0",
     .complexity = "O(N) for N arguments.",
     .summary = "Finds the keys in a command with its arguments, and what it does with each.",
     .syntax = "command [arg [arg ...]]"},
    {.name = "command|help", .handler = reply_help, .arity = 2,
     .flags = kLoading, .categories = kConnection,
     .group = "server", .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Prints the subcommands."},
    {.name = "command|info", .handler = command_info, .arity = -2,
     .flags = kLoading | kNoMulti, .categories = kConnection, .shown = shown_command_names,
     .group = "server", .since = "2.8.13",
     .complexity = "O(N) for N commands.",
     .summary = "Describes some commands, or all: arity, flags, categories and where their keys are.",
     .syntax = "[command-name [command-name ...]]"},
    {.name = "command|list", .handler = command_list, .arity = -2,
     .flags = kLoading | kNoMulti, .categories = kConnection,
     .group = "server", .since = "7.0.0",
     .complexity = "O(N) for N commands.",
     .summary = "Lists the names of commands and subcommands.",
     .syntax = "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]"},
};
// clang-format on

}  // namespace

std::size_t command_count() {
  const std::span<const Row* const> all = commands();
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const Row* row) { return !is_subcommand(*row); }));
}

Outcome reply_help(Call& call) {
  const Row* container = find_command_by_name(call.row.name.substr(0, call.row.name.find('|')));
  const std::span<const Row* const> inner = subcommands(*container);
  call.reply.array(1 + 2 * inner.size());
  call.reply.simple(to_upper(container->name) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
  for (const Row* row : inner) {
    std::string usage = to_upper(row->name.substr(container->name.size() + 1));
    if (!row->syntax.empty()) usage.append(" ").append(row->syntax);
    call.reply.simple(usage);
    call.reply.simple("    " + std::string(row->summary));
  }
  return Outcome::done;
}

std::span<const Row> command_commands() { return kRows; }

}  // namespace pinfold::command
