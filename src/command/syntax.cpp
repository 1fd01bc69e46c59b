#include "pinfold/command/syntax.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include "pinfold/base/text.hpp"
#include "pinfold/command/describe.hpp"

namespace pinfold::command {
namespace {

// What is written, before it is known what belongs together. A word has no alternatives.
struct Node {
  std::string word;
  bool optional = false;
  bool repeated = false;                             // the group ends in "..."
  bool multiple = false;                             // a repetition has been folded into the node
  std::vector<std::vector<Node>> alternatives = {};  // of a group

  bool operator==(const Node&) const = default;
  bool is_group() const { return !alternatives.empty(); }
  // Tokens are written in capitals, the names of values are not.
  bool is_token() const { return !is_group() && !(word[0] >= 'a' && word[0] <= 'z'); }
};

using Sequence = std::vector<Node>;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::optional<Sequence> parse() {
    Node all;
    if (!group(all, '\0') || all.alternatives.size() > 1 || all.repeated) return std::nullopt;
    return all.alternatives.front();
  }

 private:
  // Reads alternatives up to `close`, which is taken too.
  bool group(Node& node, char close) {
    node.alternatives.emplace_back();
    for (;;) {
      skip_spaces();
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      if (c == close) break;
      if (node.repeated || !element(node, c)) return false;
    }
    ++at_;
    if (close != '\0' && node.alternatives.back().empty()) return false;
    fold_self_repetition(node);
    return true;
  }

  bool element(Node& node, char c) {
    Sequence& sequence = node.alternatives.back();
    if (c == '\0' || c == ']' || c == '>') return false;
    if (c == '|') {
      ++at_;
      if (sequence.empty()) return false;
      node.alternatives.emplace_back();
      return true;
    }
    if (c == '[' || c == '<') {
      ++at_;
      Node inner;
      inner.optional = c == '[';
      if (!group(inner, c == '[' ? ']' : '>')) return false;
      append(sequence, std::move(inner));
      return true;
    }
    std::string word = take_word();
    if (word == "...") {
      node.repeated = !sequence.empty();
      return node.repeated;
    }
    sequence.emplace_back().word = std::move(word);
    return true;
  }

  // Adds a group to a sequence; "key value [key value ...]" becomes one group that occurs many times.
  static void append(Sequence& sequence, Node group) {
    if (group.repeated && group.optional && group.alternatives.size() == 1) {
      const Sequence& repeated = group.alternatives.front();
      if (repeated.size() <= sequence.size() && std::equal(repeated.rbegin(), repeated.rend(), sequence.rbegin())) {
        sequence.resize(sequence.size() - repeated.size());
        if (repeated.size() == 1) {
          group = Node(repeated.front());
        } else {
          group.optional = group.repeated = false;
        }
        group.multiple = true;
        sequence.push_back(std::move(group));
        return;
      }
    }
    if (group.repeated) group.multiple = true;
    group.repeated = false;
    sequence.push_back(std::move(group));
  }

  // "[A | B [A | B ...]]" is a group that occurs many times.
  static void fold_self_repetition(Node& group) {
    Sequence& last = group.alternatives.back();
    if (last.size() < 2 || !last.back().optional || !last.back().multiple) return;
    const Node repetition = last.back();
    last.pop_back();
    if (repetition.alternatives == group.alternatives) {
      group.multiple = true;
    } else {
      last.push_back(repetition);
    }
  }

  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  std::string take_word() {
    const std::size_t end = std::min(text_.find_first_of(" []<>|", at_), text_.size());
    std::string word(text_.substr(at_, end - at_));
    at_ = end;
    return word;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

ArgumentType type_of_value(std::string_view name) {
  constexpr std::array<std::string_view, 29> integers = {
      "seconds", "milliseconds", "increment", "decrement", "offset",         "count",
      "numkeys", "cursor",       "db",        "index",     "index1",         "index2",
      "start",   "end",          "bit",       "protover",  "timeout",        "client-id",
      "len",     "numreplicas",  "numlocal",  "version",   "destination-db", "min-match-len",
      "maxage",  "samples",      "max-burst", "period",    "quantity"};
  if (name == "pattern") return ArgumentType::pattern;
  if (name.starts_with("unix-time")) return ArgumentType::unix_time;
  const bool integer = std::find(integers.begin(), integers.end(), name) != integers.end();
  return integer ? ArgumentType::integer : ArgumentType::string;
}

// A name for a group that has none of its own: those of its parts, unless that grows too long to read.
std::string joined_name(const std::vector<Argument>& parts, std::string_view otherwise) {
  constexpr std::size_t longest = 40;
  std::string name;
  for (const Argument& part : parts) {
    if (!name.empty()) name += '_';
    name += part.name;
  }
  return name.size() <= longest ? name : std::string(otherwise);
}

std::vector<Argument> bind(const Sequence& sequence);

Argument block_of(std::vector<Argument> parts, std::string token) {
  Argument block;
  block.name = token.empty() ? joined_name(parts, "operation") : to_lower(token);
  block.type = ArgumentType::block;
  block.token = std::move(token);
  block.arguments = std::move(parts);
  return block;
}

Argument one_of_sequence(const Sequence& sequence) {
  std::vector<Argument> parts = bind(sequence);
  return parts.size() == 1 ? std::move(parts.front()) : block_of(std::move(parts), "");
}

Argument argument_of(const Node& node) {
  Argument argument;
  if (!node.is_group()) {
    argument.name = node.word;
    argument.type = type_of_value(node.word);
  } else if (node.alternatives.size() == 1) {
    argument = one_of_sequence(node.alternatives.front());
    if (node.multiple) argument.multiple_token = node.alternatives.front().front().is_token();
  } else {
    argument.type = ArgumentType::oneof;
    for (const Sequence& alternative : node.alternatives) {
      argument.arguments.push_back(one_of_sequence(alternative));
    }
    argument.name = joined_name(argument.arguments, "option");
  }
  argument.optional |= node.optional;
  argument.multiple |= node.multiple;
  return argument;
}

// A token takes what follows it up to the next token or optional group.
std::vector<Argument> bind(const Sequence& sequence) {
  std::vector<Argument> bound;
  std::size_t at = 0;
  while (at < sequence.size()) {
    const Node& node = sequence[at++];
    if (!node.is_token()) {
      bound.push_back(argument_of(node));
      continue;
    }
    std::vector<Argument> operands;
    while (at < sequence.size() && !sequence[at].is_token() && !sequence[at].optional) {
      operands.push_back(argument_of(sequence[at++]));
    }
    if (operands.empty()) {
      Argument& token = bound.emplace_back();
      token.name = to_lower(node.word);
      token.type = ArgumentType::pure_token;
      token.token = node.word;
      token.multiple = node.multiple;
    } else if (operands.size() == 1 && operands.front().token.empty()) {
      operands.front().token = node.word;
      bound.push_back(std::move(operands.front()));
    } else {
      bound.push_back(block_of(std::move(operands), node.word));
    }
  }
  return bound;
}

bool is_key(const KeySpec& spec, int position) {
  switch (spec.kind) {
    case KeySpec::Kind::none:
    case KeySpec::Kind::option:  // behind what may be left out
    case KeySpec::Kind::word:
      return false;
    case KeySpec::Kind::count:
      return position == spec.first + 1;
    case KeySpec::Kind::range:
      return position >= spec.first && (spec.last < 0 || position <= spec.last) && (position - spec.first) % spec.step == 0;
  }
  return false;
}

bool is_one_word(const Argument& argument) {
  return argument.type == ArgumentType::pure_token || (argument.arguments.empty() && argument.token.empty());
}

// Marks keys among arguments as long as it is certain at which position each stands: up to the first that may
// be left out or repeated. False when that point is reached.
bool mark_keys(const Row& row, std::vector<Argument>& arguments, int& position) {
  for (Argument& argument : arguments) {
    if (argument.optional) return false;
    if (!argument.token.empty() && argument.type != ArgumentType::pure_token) ++position;
    if (argument.type == ArgumentType::block) {
      if (!mark_keys(row, argument.arguments, position)) return false;
    } else if (argument.type == ArgumentType::oneof) {
      if (!std::all_of(argument.arguments.begin(), argument.arguments.end(), is_one_word)) return false;
      ++position;
    } else {
      for (int spec = 0; spec < 2; ++spec) {
        if (!is_key(row.keys[spec], position)) continue;
        argument.type = ArgumentType::key;
        argument.key_spec = spec;
      }
      ++position;
    }
    if (argument.multiple) return false;
  }
  return true;
}

// The argument with this token, also if it is one of several from which to choose; null if there is none.
Argument* find_token(std::vector<Argument>& arguments, std::string_view token) {
  for (Argument& argument : arguments) {
    if (argument.token == token) return &argument;
    if (argument.type != ArgumentType::oneof) continue;
    if (Argument* const found = find_token(argument.arguments, token); found != nullptr) return found;
  }
  return nullptr;
}

// Marks the keys behind the word of an option, which are the last of what belongs to it.
void mark_option_keys(const KeySpec& spec, int index, std::vector<Argument>& arguments) {
  if (!spec.follows_word()) return;
  Argument* const option = find_token(arguments, spec.word);
  assert(option != nullptr && "the option of a command is not in its syntax");
  Argument& key = option->arguments.empty() ? *option : option->arguments.back();
  key.type = ArgumentType::key;
  key.key_spec = index;
}

std::vector<Argument> parse_row(const Row& row) {
  std::optional<std::vector<Argument>> arguments = parse_syntax(row.syntax);
  assert(arguments && "the syntax of a command is malformed");
  if (!arguments) return {};
  int position = row.name.find('|') == std::string_view::npos ? 1 : 2;
  mark_keys(row, *arguments, position);
  int index = 0;
  for (const KeySpec& spec : shown_specs(row)) mark_option_keys(spec, index++, *arguments);
  // The one increment that is not an integer.
  if (row.name == "incrbyfloat") arguments->back().type = ArgumentType::real;
  return std::move(*arguments);
}

}  // namespace

std::optional<std::vector<Argument>> parse_syntax(std::string_view syntax) {
  const std::optional<Sequence> sequence = Parser(syntax).parse();
  if (!sequence) return std::nullopt;
  return bind(*sequence);
}

const std::vector<Argument>& arguments_of(const Row& row) {
  static const std::vector<std::vector<Argument>> all = [] {
    std::vector<std::vector<Argument>> parsed;
    for (const Row* each : commands()) parsed.push_back(parse_row(*each));
    return parsed;
  }();
  return all[command_index(row)];
}

std::string_view type_name(ArgumentType type) {
  switch (type) {
    case ArgumentType::string:
      return "string";
    case ArgumentType::integer:
      return "integer";
    case ArgumentType::real:
      return "double";
    case ArgumentType::key:
      return "key";
    case ArgumentType::pattern:
      return "pattern";
    case ArgumentType::unix_time:
      return "unix-time";
    case ArgumentType::pure_token:
      return "pure-token";
    case ArgumentType::oneof:
      return "oneof";
    case ArgumentType::block:
      return "block";
  }
  return "string";
}

}  // namespace pinfold::command
