// COMMAND DOCS: the command table in the form that redis-cli makes its hints and help from.

#include "pinfold/command/command_introspection.hpp"
#include "pinfold/command/describe_task.hpp"
#include "pinfold/command/syntax.hpp"

namespace pinfold::command {
namespace {

using resp::Reply;

void field(Reply& reply, std::string_view name, std::string_view value) {
  reply.bulk(name);
  reply.bulk(value);
}

void reply_argument(Reply& reply, const Argument& argument);

void reply_arguments(Reply& reply, const std::vector<Argument>& arguments) {
  reply.bulk("arguments");
  reply.array(arguments.size());
  for (const Argument& argument : arguments) reply_argument(reply, argument);
}

void reply_argument_flags(Reply& reply, const Argument& argument) {
  const bool flags[] = {argument.optional, argument.multiple, argument.multiple_token};
  constexpr std::string_view names[] = {"optional", "multiple", "multiple_token"};
  std::size_t count = 0;
  for (const bool flag : flags) count += flag ? 1 : 0;
  reply.bulk("flags");
  reply.set(count);
  for (std::size_t i = 0; i < std::size(flags); ++i) {
    if (flags[i]) reply.simple(names[i]);
  }
}

void reply_argument(Reply& reply, const Argument& argument) {
  const bool leaf = argument.arguments.empty();
  const bool flags = argument.optional || argument.multiple || argument.multiple_token;
  reply.map(std::size_t{2} + (leaf ? 1 : 0) + (argument.key_spec >= 0 ? 1 : 0) + (argument.token.empty() ? 0 : 1) + (flags ? 1 : 0) +
            (leaf ? 0 : 1));
  field(reply, "name", argument.name);
  field(reply, "type", type_name(argument.type));
  if (leaf) field(reply, "display_text", argument.name);
  if (argument.key_spec >= 0) {
    reply.bulk("key_spec_index");
    reply.integer(argument.key_spec);
  }
  if (!argument.token.empty()) field(reply, "token", argument.token);
  if (flags) reply_argument_flags(reply, argument);
  if (!leaf) reply_arguments(reply, argument.arguments);
}

void reply_docs(Reply& reply, const Row& row) {
  const std::vector<Argument>& arguments = arguments_of(row);
  const std::span<const Row* const> inner = subcommands(row);
  reply.bulk(row.name);
  reply.map(std::size_t{4} + (arguments.empty() ? 0 : 1) + (inner.empty() ? 0 : 1));
  field(reply, "summary", row.summary);
  field(reply, "since", row.since);
  field(reply, "group", row.group);
  field(reply, "complexity", row.complexity);
  if (!arguments.empty()) reply_arguments(reply, arguments);
  if (!inner.empty()) {
    reply.bulk("subcommands");
    reply.map(inner.size());
    for (const Row* subcommand : inner) reply_docs(reply, *subcommand);
  }
}

void reply_all_docs(Reply& reply) {
  reply.map(command_count());
  for (const Row* row : commands()) {
    if (row->name.find('|') == std::string_view::npos) reply_docs(reply, *row);
  }
}

}  // namespace

// Unknown commands are left out of the answer.
Outcome command_docs(Call& call) {
  if (call.args.size() == 2) {
    reply_all_docs(call.reply);
    return Outcome::done;
  }
  const Args names = call.args.subspan(2);
  auto task = DescribeTask::make(call, names.size(),
                                 {.begin = [](Reply& reply, std::size_t count) { reply.map(count); },
                                  .describe = [](Reply& reply, const Row* row) { reply_docs(reply, *row); }});
  if (task == nullptr) return Outcome::done;
  for (const std::string_view name : names) {
    if (const Row* row = find_command_by_name(name)) task->add(row);
  }
  return DescribeTask::run(call, std::move(task));
}

}  // namespace pinfold::command
