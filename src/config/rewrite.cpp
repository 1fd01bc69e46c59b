// CONFIG REWRITE: writes the present settings into the file that they came from, and leaves everything else in it as it is.
//
// The file is edited as text, because a YAML library that writes a document loses its comments. Only values that stand on one
// line are understood. To be safe, the new text is parsed before it replaces the file. If it does not have the values that it
// should, the file stays as it was.

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "pinfold/base/text.hpp"
#include "pinfold/config/replace_file.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/config/values.hpp"
#include "pinfold/config/yaml.hpp"

namespace pinfold::config {
namespace {

using Error = std::optional<std::string>;

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(line).append("\n");
  return text;
}

// Writes a scalar: bare if no reader of YAML can take it for anything else, and in double quotes if one could. Only a password may hold
// control characters (see values.cpp). Bytes that are not UTF-8 are written as they are: no YAML, but read as they were written.
std::string yaml_scalar(std::string_view value) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const auto harmless = [](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_' || c == '/' || c == '.';
  };
  const bool bare = !value.empty() && value[0] != '-' && value[0] != '.' && std::ranges::all_of(value, harmless);
  if (bare && !iequals(value, "null")) return std::string(value);
  std::string text = "\"";
  for (const char c : value) {
    if (is_control(c)) {
      constexpr std::string_view digits = "0123456789abcdef";
      text.append("\\x").append(1, digits[static_cast<unsigned char>(c) >> 4]).append(1, digits[c & 15]);
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

// The end of the scalar that starts at `at`: after its closing quote, or before the comment or the end of the line.
std::size_t scalar_end(std::string_view line, std::size_t at) {
  if (at < line.size() && (line[at] == '"' || line[at] == '\'')) {
    const std::size_t size = quoted_size(line.substr(at));
    return size != 0 ? at + size : line.size();
  }
  std::size_t end = std::min({line.size(), line.find(" #", at), line.find("\t#", at)});
  while (end > at && is_space(line[end - 1])) --end;
  return end;
}

// Puts `value` in the place of the entry's old one.
void replace_value(std::vector<std::string>& lines, const YamlEntry& entry, std::string_view value) {
  if (entry.null) {
    std::string& line = lines[entry.line - 1];
    const std::size_t colon = line.find(':', line.find(entry.name) + entry.name.size());
    if (colon != std::string::npos) line.insert(colon + 1, " " + yaml_scalar(value));
    return;
  }
  if (entry.value_line > lines.size()) return;
  std::string& line = lines[entry.value_line - 1];
  if (entry.value_column > line.size()) return;
  line.replace(entry.value_column, scalar_end(line, entry.value_column) - entry.value_column, yaml_scalar(value));
}

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

// Whether the text begins with `mark` as a word of YAML: white space or nothing follows.
bool has_indicator(std::string_view text, char mark) { return text.starts_with(mark) && (text.size() == 1 || is_space(text[1])); }

// Whether the line says nothing, or is a comment.
bool is_idle(std::string_view line) {
  const auto* const first = std::ranges::find_if_not(line, is_space);
  return first == line.end() || *first == '#';
}

// The lines of `users`, as places in the file, from its name to where the next setting begins, without the comments before that.
struct Block {
  std::size_t begin;
  std::size_t end;
};

Block block_from(const std::vector<std::string>& lines, std::size_t begin, std::size_t indent) {
  const auto belongs = [&](const std::string& line) {
    const std::size_t at = line.find_first_not_of(' ');
    if (is_idle(line) || at > indent) return true;
    // An item of a list, or the value of a name that begins with "?", may stand below the name.
    const std::string_view text = std::string_view(line).substr(at);
    return at == indent && (has_indicator(text, '-') || has_indicator(text, ':'));
  };
  std::size_t end = begin + 1;
  while (end < lines.size() && belongs(lines[end])) ++end;
  while (end > begin + 1 && is_idle(lines[end - 1])) --end;
  return {begin, end};
}

std::vector<std::string> user_lines(std::size_t indent, const std::string& name, const std::string& rules) {
  constexpr std::size_t longest_key = 1024;  // YAML finds no colon further away, except after a "?"
  const std::string space(indent, ' ');
  const std::string key = yaml_scalar(name);
  if (key.size() <= longest_key) return {space + key + ": " + yaml_scalar(rules)};
  return {space + "? " + key, space + ": " + yaml_scalar(rules)};
}

// The column in which the name of a user begins, or the "?" before it.
std::size_t indent_of(const std::vector<std::string>& lines, const YamlUser& user) {
  if (user.line > lines.size()) return user.column;
  const std::string_view line = lines[user.line - 1];
  const std::size_t first = std::min(line.find_first_not_of(' '), line.size());
  return has_indicator(line.substr(first), '?') ? first : user.column;
}

// Lines that take the place of a block of lines; of none, if that is empty.
struct Edit {
  Block block;
  std::vector<std::string> lines;
};

// Makes the edits, which are in the order of the file, in one pass. One that begins within the block before it is left out; the check of
// the new text then finds that.
std::vector<std::string> edited(std::vector<std::string> lines, std::vector<Edit> edits) {
  std::vector<std::string> result;
  std::size_t next = 0;
  const auto copy_to = [&](std::size_t end) {
    for (; next < end; ++next) result.push_back(std::move(lines[next]));
  };
  for (Edit& edit : edits) {
    if (edit.block.begin < next) continue;
    copy_to(edit.block.begin);
    for (std::string& line : edit.lines) result.push_back(std::move(line));
    next = edit.block.end;
  }
  copy_to(lines.size());
  return result;
}

// The lines of the file with the users changed. O(lines and users), but for a logarithm.
std::vector<std::string> with_users_changed(std::vector<std::string> lines, const YamlFile& file, const std::vector<UserChange>& changes) {
  constexpr std::size_t usual_indent = 2;
  std::map<std::string_view, const UserChange*> left;
  for (const UserChange& change : changes) left[change.name] = &change;
  const std::size_t indent = file.users.empty() ? usual_indent : indent_of(lines, file.users.front());
  std::vector<Edit> edits;
  for (const YamlUser& user : file.users) {
    const auto found = left.find(user.name);
    if (found == left.end()) continue;
    const UserChange& change = *found->second;
    left.erase(found);
    if (user.line > lines.size()) continue;
    const std::size_t column = indent_of(lines, user);
    Edit& edit = edits.emplace_back(Edit{block_from(lines, user.line - 1, column), {}});
    if (change.rules) edit.lines = user_lines(column, user.name, *change.rules);
  }
  std::vector<std::string> added;
  for (const UserChange& change : changes) {
    if (!left.contains(change.name) || !change.rules) continue;
    for (std::string& line : user_lines(indent, change.name, *change.rules)) added.push_back(std::move(line));
  }
  if (!added.empty()) {
    if (file.users_line == 0) added.insert(added.begin(), "users:");
    const std::size_t end = file.users_line == 0 ? lines.size() : block_from(lines, file.users_line - 1, 0).end;
    edits.push_back({{end, end}, std::move(added)});
  }
  return edited(std::move(lines), std::move(edits));
}

std::vector<UserText> users_of(const YamlFile& file) {
  std::vector<UserText> users;
  for (const YamlUser& user : file.users) users.push_back({user.name, user.rules, ""});
  return users;
}

// The users that the file is to have: each with its name, and its rules as one text.
using NamedRules = std::map<std::string, std::string>;

NamedRules named_rules(const std::vector<UserText>& users) {
  NamedRules all;
  for (const UserText& user : users) all[user.name] = join_words(user.rules);
  return all;
}

bool has_same_fields(const std::vector<YamlEntry>& a, const std::vector<YamlEntry>& b) {
  return std::ranges::equal(a, b, [](const YamlEntry& x, const YamlEntry& y) { return x.name == y.name && x.value == y.value; });
}

}  // namespace

std::optional<std::string> Settings::rewrite() {
  const std::lock_guard writing(file_mutex_);
  const std::vector<State> now = states();  // a copy, so that changes of settings do not wait for the disk
  if (file_.empty()) return "The server is running without a config file";
  std::string text;
  if (Error error = read_whole(file_, text)) return error;
  YamlFile file;
  if (Error error = parse_yaml(text, file_, file)) return error;
  const std::vector<YamlEntry>& entries = file.entries;

  const std::string_view mark = text.starts_with(byte_order_mark) ? byte_order_mark : "";
  std::vector<std::string> lines = split_lines(std::string_view(text).substr(mark.size()));
  for (const Setting& setting : settings_table()) {
    const State& state = now[static_cast<std::size_t>(setting.id)];
    const auto entry = std::ranges::find_if(entries, [&](const YamlEntry& e) { return find_setting(e.name) == &setting; });
    if (entry == entries.end()) {
      if (!is_default(setting.id, state)) lines.push_back(std::string(setting.name) + ": " + yaml_scalar(state.given));
    } else if (!same_value(setting.id, state, yaml_value(setting, *entry))) {
      replace_value(lines, *entry, state.given);
    }
  }

  std::vector<UserText> users = users_of(file);
  if (user_changes_) {
    const std::vector<UserChange> changes = user_changes_(users);
    lines = with_users_changed(std::move(lines), file, changes);
    NamedRules wanted = named_rules(users);
    for (const UserChange& change : changes) {
      wanted.erase(change.name);
      if (change.rules) wanted[change.name] = *change.rules;
    }
    users.clear();
    for (auto& [name, rules] : wanted) users.push_back({name, {std::move(rules)}, ""});
  }

  const std::string result = std::string(mark) + join_lines(lines);
  if (result == text) return std::nullopt;
  if (result.size() > largest_settings_file) {
    return "cannot change " + file_ + ": it would be larger than " + std::to_string(largest_settings_file) + " bytes";
  }
  if (Error error = check_rewritten(result, file, now, users)) return error;
  return replace_file(file_, result);
}

std::optional<std::string> Settings::check_rewritten(const std::string& text, const YamlFile& former, const std::vector<State>& now,
                                                     const std::vector<UserText>& users) const {
  YamlFile file;
  if (Error error = parse_yaml(text, file_, file))
    return "cannot change " + file_ + ", because not all values are on lines of their own: " + *error;
  const std::vector<YamlEntry>& entries = file.entries;
  for (const YamlEntry& entry : entries) {  // the rest of a value may have become one
    if (find_setting(entry.name) == nullptr) return "cannot change " + file_ + ", because not all values are on lines of their own";
  }
  for (const Setting& setting : settings_table()) {
    const auto entry = std::ranges::find_if(entries, [&](const YamlEntry& e) { return find_setting(e.name) == &setting; });
    const State& state = now[static_cast<std::size_t>(setting.id)];
    if (entry == entries.end() ? is_default(setting.id, state) : same_value(setting.id, state, yaml_value(setting, *entry))) continue;
    return "cannot change '" + std::string(setting.name) + "' in " + file_ + ": its value is not on a line of its own";
  }
  if (!std::ranges::equal(file.policies, former.policies, has_same_fields)) {
    return "cannot change " + file_ + ": its policies must be on lines of their own";
  }
  if (named_rules(users_of(file)) != named_rules(users)) {
    return "cannot change 'users' in " + file_ + ": each user must begin on a line of its own";
  }
  return std::nullopt;
}

}  // namespace pinfold::config
