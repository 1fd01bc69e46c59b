#include "pinfold/config/yaml.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <unordered_set>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "pinfold/base/text.hpp"
#include "pinfold/config/values.hpp"

namespace pinfold::config {
namespace {

using Error = std::optional<std::string>;

std::string at_line(std::string_view path, std::size_t line, const std::string& message) {
  return one_line(std::string(path) + ":" + std::to_string(line) + ": " + message);
}

std::size_t line_of(const YAML::Mark& mark) { return mark.line < 0 ? 1 : static_cast<std::size_t>(mark.line) + 1; }

// A value in the file: what stands there, and where. The children of a map are its names and values by turns.
struct Node {
  enum class Kind { null, scalar, list, map };

  Kind kind;
  YAML::Mark mark;
  std::string text = {};       // of a scalar, without its quotes
  bool plain = true;           // a scalar that is written without quotes
  std::string_view rest = {};  // of a scalar: the text of the file from where it begins
  std::vector<Node> children = {};

  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_null() const { return kind == Kind::null; }
  bool is_map() const { return kind == Kind::map; }
  bool is_list() const { return kind == Kind::list; }
};

// Why a text that is YAML is no settings file.
class Fault : public std::runtime_error {
 public:
  Fault(const YAML::Mark& mark, const char* why) : std::runtime_error(why), mark_(mark) {}
  const YAML::Mark& mark() const { return mark_; }

 private:
  YAML::Mark mark_;
};

// Makes a tree of a text, in one pass. yaml-cpp's own YAML::Load() takes a quoted text without an end, finds no end of the documents in a
// text such as ",", and needs more time and memory. Throws a Fault or a YAML::Exception.
class Reader final : public YAML::EventHandler {
 public:
  explicit Reader(const std::string& text) : text_(text) {
    lines_.push_back(text_.starts_with(byte_order_mark) ? byte_order_mark.size() : 0);
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == '\n') lines_.push_back(i + 1);
    }
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    try {
      while (parser.HandleNextDocument(*this)) {
      }
    } catch (const YAML::Exception& problem) {
      if (is_at_alias(problem.mark)) throw Fault(problem.mark, property);  // yaml-cpp's message shows the text, maybe a password
      throw;
    }
  }
  // Returns the tree of the document, or null for a text without one. Null values stand for what is left out.
  const Node* document() const { return root_.children.empty() ? nullptr : &root_.children.front(); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(begun_, true)) throw Fault(mark, "more than one YAML document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_properties(mark, "?", anchor);
    add({.kind = Node::Kind::null, .mark = mark});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override { throw Fault(mark, property); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    refuse_properties(mark, tag, anchor);
    const std::string_view text = from(mark);
    const bool quoted = text.starts_with('"') || text.starts_with('\'');
    if (quoted && quoted_size(text) == 0) throw Fault(mark, "a quoted text that does not end");
    add({.kind = Node::Kind::scalar, .mark = mark, .text = value, .plain = tag == "?", .rest = text});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    refuse_properties(mark, tag, anchor);
    open_.push_back(add({.kind = Node::Kind::list, .mark = mark}));
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value /*style*/) override {
    refuse_properties(mark, tag, anchor);
    open_.push_back(add({.kind = Node::Kind::map, .mark = mark}));
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  static constexpr const char* property = "a tag, an anchor or an alias of YAML: put a text that begins with !, & or * in quotes";

  // Refuses a value with a tag or an anchor. A settings file needs none, and a rule such as !~secret:* without quotes is a tag of an empty
  // text. yaml-cpp says "?" as the tag of a plain text or a collection without one, and "!" for a quoted text and for the tag "!".
  void refuse_properties(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    const bool tagged = (tag != "?" && tag != "!") || from(mark).starts_with('!');
    if (tagged || anchor != YAML::NullAnchor) throw Fault(mark, property);
  }

  // The text from a place to the end.
  std::string_view from(const YAML::Mark& mark) const {
    if (mark.line < 0 || mark.column < 0 || static_cast<std::size_t>(mark.line) >= lines_.size()) return {};
    return text_.substr(std::min(lines_[static_cast<std::size_t>(mark.line)] + static_cast<std::size_t>(mark.column), text_.size()));
  }
  // The mark of a fault in an alias is the star or what follows it.
  bool is_at_alias(const YAML::Mark& mark) const {
    YAML::Mark before = mark;
    --before.column;
    return from(mark).starts_with('*') || from(before).starts_with('*');
  }
  Node* add(Node node) { return &open_.back()->children.emplace_back(std::move(node)); }

  const std::string_view text_;
  std::vector<std::size_t> lines_;  // where they begin
  bool begun_ = false;              // a document has
  Node root_{.kind = Node::Kind::list, .mark = {}};
  std::vector<Node*> open_{&root_};  // the collections that have not ended, from the outermost to the innermost
};

// Whether YAML takes what follows on the line of a name or value for a comment, although it may be meant as a part of the value: a '#'
// before what could be a hash. It would be lost in silence, with all behind it.
bool may_lose_text(const Node& scalar) {
  std::string_view rest = scalar.rest;
  if (scalar.plain) {
    for (const std::string_view word : words_of(scalar.text)) {
      const std::size_t at = std::min(rest.find(word), rest.size());
      rest.remove_prefix(std::min(at + word.size(), rest.size()));
    }
  } else if (const std::size_t size = quoted_size(rest); size != 0) {
    rest.remove_prefix(size);
  } else {
    return false;  // a block, in which there are no comments
  }
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t,:[]{}"), rest.size()));
  constexpr std::string_view surely_comment = " \t\r\n#-=";
  return rest.size() > 1 && rest[0] == '#' && surely_comment.find(rest[1]) == std::string_view::npos;
}

Error text_lost(const Node& scalar, std::string_view path) {
  return at_line(path, line_of(scalar.mark), "YAML takes '#' for a comment here: put the text in quotes, or a space after the '#'");
}

using Names = std::unordered_set<std::string>;

Error read_entry(const Node& name, const Node& value, std::string_view path, Names& names, std::vector<YamlEntry>& entries) {
  const std::size_t line = line_of(name.mark);
  if (!name.is_scalar()) return at_line(path, line, "expected the name of a setting");
  if (!value.is_scalar() && !value.is_null()) {
    return at_line(path, line, "'" + name.text + "' must be a single value");
  }
  if (!names.insert(to_lower(name.text)).second) return at_line(path, line, "'" + name.text + "' is set twice");
  if (const Setting* const setting = find_setting(name.text); setting != nullptr && is_secret(setting->id)) {
    if (may_lose_text(name)) return text_lost(name, path);
    if (value.is_scalar() && may_lose_text(value)) return text_lost(value, path);
  }
  entries.push_back({.name = name.text,
                     .value = value.text,
                     .plain = value.plain,
                     .null = value.is_null(),
                     .line = line,
                     .value_line = line_of(value.mark),
                     .value_column = static_cast<std::size_t>(std::max(value.mark.column, 0))});
  return std::nullopt;
}

// Reads the value of `policies`: a list of mappings of scalars.
Error read_policies(const Node& list, std::size_t line, std::string_view path, std::vector<std::vector<YamlEntry>>& policies) {
  if (list.is_null()) return std::nullopt;
  if (!list.is_list()) return at_line(path, line, "'policies' must be a list");
  for (const Node& item : list.children) {
    if (!item.is_map()) return at_line(path, line_of(item.mark), "a policy must be lines of the form 'field: value'");
    std::vector<YamlEntry>& fields = policies.emplace_back();
    Names names;
    for (std::size_t i = 0; i < item.children.size(); i += 2) {
      if (Error error = read_entry(item.children[i], item.children[i + 1], path, names, fields)) return error;
    }
  }
  return std::nullopt;
}

Error read_user(const Node& name, const Node& rules, std::string_view path, Names& names, std::vector<YamlUser>& users) {
  const std::size_t line = line_of(name.mark);
  if (!name.is_scalar()) return at_line(path, line, "expected the name of a user");
  if (!names.insert(name.text).second) return at_line(path, line, "user '" + name.text + "' is there twice");
  if (may_lose_text(name)) return text_lost(name, path);
  YamlUser user{name.text, {}, line, static_cast<std::size_t>(std::max(name.mark.column, 0))};
  if (rules.is_scalar()) {
    if (may_lose_text(rules)) return text_lost(rules, path);
    for (const std::string_view word : words_of(rules.text)) user.rules.emplace_back(word);
  } else if (rules.is_list()) {
    for (const Node& rule : rules.children) {
      if (!rule.is_scalar()) return at_line(path, line_of(rule.mark), "a rule of a user must be a text: put it in quotes");
      if (rule.text.empty()) return at_line(path, line_of(rule.mark), "a rule of a user is empty");
      if (may_lose_text(rule)) return text_lost(rule, path);
      user.rules.push_back(rule.text);
    }
  } else if (!rules.is_null()) {
    return at_line(path, line, "the rules of user '" + user.name + "' must be a text or a list of texts");
  }
  users.push_back(std::move(user));
  return std::nullopt;
}

// Reads the value of `users`: a mapping of names to rules.
Error read_users(const Node& users, std::size_t line, std::string_view path, YamlFile& file) {
  file.users_line = line;
  if (users.is_null()) return std::nullopt;
  if (!users.is_map()) return at_line(path, line, "'users' must be lines of the form 'name: rules'");
  Names names;
  for (std::size_t i = 0; i < users.children.size(); i += 2) {
    if (Error error = read_user(users.children[i], users.children[i + 1], path, names, file.users)) return error;
  }
  return std::nullopt;
}

// Refuses what yaml-cpp reads, but not as a text of these bytes and lines: it takes UTF-16 and UTF-32, the byte 4 for the end of the file,
// and a carriage return without a line feed for the end of a line that it does not count.
Error check_bytes(std::string_view text, std::string_view path) {
  if (text.starts_with("\xFE\xFF") || text.starts_with("\xFF\xFE")) return at_line(path, 1, "the file is not in UTF-8");
  std::size_t line = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
    } else if (c == '\r') {
      if (i + 1 == text.size() || text[i + 1] != '\n') return at_line(path, line, "a carriage return without a line feed behind it");
    } else if (static_cast<unsigned char>(c) < 0x20 && c != '\t') {
      return at_line(path, line, "a control character: write it as in \"\\x01\"");
    }
  }
  return std::nullopt;
}

Error read_text(const std::string& text, std::string_view path, YamlFile& file) {
  if (text.size() > largest_settings_file) {
    return at_line(path, 1, "the file is larger than " + std::to_string(largest_settings_file) + " bytes");
  }
  if (Error error = check_bytes(text, path)) return error;
  const Reader reader(text);
  const Node* const document = reader.document();
  if (document == nullptr || document->is_null()) return std::nullopt;
  if (!document->is_map()) return at_line(path, line_of(document->mark), "expected lines of the form 'name: value'");
  bool has_policies = false;
  Names names;
  for (std::size_t i = 0; i < document->children.size(); i += 2) {
    const Node& name = document->children[i];
    const Node& value = document->children[i + 1];
    const bool is_list = name.is_scalar() && name.text == "policies";
    const bool is_users = name.is_scalar() && name.text == "users";
    const std::size_t line = line_of(name.mark);
    if (is_list && std::exchange(has_policies, true)) return at_line(path, line, "'policies' is set twice");
    if (is_users && file.users_line != 0) return at_line(path, line, "'users' is set twice");
    if (is_users) {
      if (Error error = read_users(value, line, path, file)) return error;
      continue;
    }
    // If an unknown name has a list as its value ('policy' for 'policies'), the error is about the name and not about the value.
    const bool single = value.is_scalar() || value.is_null();
    if (!is_list && !single && name.is_scalar() && find_setting(name.text) == nullptr) {
      return at_line(path, line, unknown_setting(name.text, true));
    }
    if (Error error = is_list ? read_policies(value, line, path, file.policies) : read_entry(name, value, path, names, file.entries))
      return error;
  }
  return std::nullopt;
}

}  // namespace

std::size_t quoted_size(std::string_view text) {
  const char quote = text.front();
  for (std::size_t i = 1; i < text.size(); ++i) {
    const bool escapes = quote == '"' ? text[i] == '\\' : text[i] == quote && i + 1 < text.size() && text[i + 1] == quote;
    if (escapes) {
      ++i;
    } else if (text[i] == quote) {
      return i + 1;
    }
  }
  return 0;
}

std::string_view yaml_value(const Setting& setting, const YamlEntry& entry) {
  const bool takes_flags = setting.type == Type::flag || setting.id == Id::enable_debug_command;
  if (!takes_flags || !entry.plain) return entry.value;
  if (iequals(entry.value, "true") || iequals(entry.value, "on")) return "yes";
  if (iequals(entry.value, "false") || iequals(entry.value, "off")) return "no";
  return entry.value;
}

Error parse_yaml(const std::string& text, std::string_view path, YamlFile& file) {
  try {
    return read_text(text, path, file);
  } catch (const Fault& fault) {
    return at_line(path, line_of(fault.mark()), fault.what());
  } catch (const YAML::Exception& problem) {
    return at_line(path, line_of(problem.mark),
                   "not valid YAML: " + problem.msg + " (a text that begins with one of !&*#>|%@ or a bracket goes into quotes)");
  }
}

Error read_whole(const std::string& path, std::string& text) {
  const auto fail = [&] { return "cannot read '" + path + "': " + std::generic_category().message(errno); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) return fail();
  char part[4096];
  while (const std::size_t size = std::fread(part, 1, sizeof part, file.get())) {
    if (text.size() + size > largest_settings_file) {
      return at_line(path, 1, "the file is larger than " + std::to_string(largest_settings_file) + " bytes");
    }
    text.append(part, size);
  }
  if (std::ferror(file.get()) != 0) return fail();
  return std::nullopt;
}

}  // namespace pinfold::config
