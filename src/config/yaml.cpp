#include "pinfold/config/yaml.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <sstream>
#include <system_error>
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

Error read_entry(const YAML::Node& name, const YAML::Node& value, std::string_view path, std::vector<YamlEntry>& entries) {
  const std::size_t line = line_of(name.Mark());
  if (!name.IsScalar()) return at_line(path, line, "expected the name of a setting");
  if (!value.IsScalar() && !value.IsNull()) {
    return at_line(path, line, "'" + name.Scalar() + "' must be a single value");
  }
  const bool twice = std::ranges::any_of(entries, [&](const YamlEntry& one) { return one.name == name.Scalar(); });
  if (twice) return at_line(path, line, "'" + name.Scalar() + "' is set twice");
  const YAML::Mark mark = value.Mark();
  // yaml-cpp gives a quoted scalar the tag "!" and a plain one the tag "?".
  entries.push_back({.name = name.Scalar(),
                     .value = value.IsNull() ? "" : value.Scalar(),
                     .plain = value.Tag() != "!",
                     .null = value.IsNull(),
                     .line = line,
                     .value_line = line_of(mark),
                     .value_column = static_cast<std::size_t>(std::max(mark.column, 0))});
  return std::nullopt;
}

// Reads the value of `policies`: a list of mappings of scalars.
Error read_policies(const YAML::Node& list, std::size_t line, std::string_view path, std::vector<std::vector<YamlEntry>>& policies) {
  if (list.IsNull()) return std::nullopt;
  if (!list.IsSequence()) return at_line(path, line, "'policies' must be a list");
  for (const YAML::Node& item : list) {
    if (!item.IsMap()) return at_line(path, line_of(item.Mark()), "a policy must be lines of the form 'field: value'");
    std::vector<YamlEntry>& fields = policies.emplace_back();
    for (const auto& field : item) {
      if (Error error = read_entry(field.first, field.second, path, fields)) return error;
    }
  }
  return std::nullopt;
}

Error read_user(const YAML::Node& name, const YAML::Node& rules, std::string_view path, std::vector<YamlUser>& users) {
  const std::size_t line = line_of(name.Mark());
  if (!name.IsScalar()) return at_line(path, line, "expected the name of a user");
  const bool twice = std::ranges::any_of(users, [&](const YamlUser& one) { return one.name == name.Scalar(); });
  if (twice) return at_line(path, line, "user '" + name.Scalar() + "' is there twice");
  YamlUser user{name.Scalar(), {}, line, static_cast<std::size_t>(std::max(name.Mark().column, 0))};
  if (rules.IsScalar()) {
    for (const std::string_view word : words_of(rules.Scalar())) user.rules.emplace_back(word);
  } else if (rules.IsSequence()) {
    for (const YAML::Node& rule : rules) {
      if (!rule.IsScalar()) return at_line(path, line_of(rule.Mark()), "a rule of a user must be a text: put it in quotes");
      user.rules.push_back(rule.Scalar());
    }
  } else if (!rules.IsNull()) {
    return at_line(path, line, "the rules of user '" + user.name + "' must be a text or a list of texts");
  }
  users.push_back(std::move(user));
  return std::nullopt;
}

// Reads the value of `users`: a mapping of names to rules.
Error read_users(const YAML::Node& users, std::size_t line, std::string_view path, YamlFile& file) {
  file.users_line = line;
  if (users.IsNull()) return std::nullopt;
  if (!users.IsMap()) return at_line(path, line, "'users' must be lines of the form 'name: rules'");
  for (const auto& user : users) {
    if (Error error = read_user(user.first, user.second, path, file.users)) return error;
  }
  return std::nullopt;
}

// Finds what YAML::Load() does not: where a second document begins, and a quoted text without an end, which yaml-cpp takes. yaml-cpp finds
// no end of the documents in a text such as ",".
class FirstLook final : public YAML::EventHandler {
 public:
  explicit FirstLook(const std::string& text) : text_(text) {
    lines_.push_back(text_.starts_with(byte_order_mark) ? byte_order_mark.size() : 0);
    for (std::size_t i = 0; i < text_.size(); ++i) {
      if (text_[i] == '\n') lines_.push_back(i + 1);
    }
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (documents_ < 2 && parser.HandleNextDocument(*this)) {
    }
    if (documents_ == 2) fault_ = "more than one YAML document";
  }
  // Null if there is none.
  const char* fault() const { return fault_; }
  std::size_t line() const { return line_of(mark_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) mark_ = mark;
  }
  void OnScalar(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t /*anchor*/, const std::string& /*value*/) override {
    const std::string_view text = from(mark);
    const bool quoted = text.starts_with('"') || text.starts_with('\'');
    if (fault_ != nullptr || !quoted || quoted_size(text) != 0) return;
    fault_ = "a quoted text that does not end";
    mark_ = mark;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnAlias(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnSequenceStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {}
  void OnMapEnd() override {}

 private:
  static constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

  // The text from a place to the end.
  std::string_view from(const YAML::Mark& mark) const {
    if (mark.line < 0 || mark.column < 0 || static_cast<std::size_t>(mark.line) >= lines_.size()) return {};
    return text_.substr(std::min(lines_[static_cast<std::size_t>(mark.line)] + static_cast<std::size_t>(mark.column), text_.size()));
  }

  const std::string_view text_;
  std::vector<std::size_t> lines_;  // where they begin
  int documents_ = 0;
  const char* fault_ = nullptr;
  YAML::Mark mark_;  // of the fault
};

Error read_text(const std::string& text, std::string_view path, YamlFile& file) {
  if (const FirstLook look(text); look.fault() != nullptr) return at_line(path, look.line(), look.fault());
  const YAML::Node document = YAML::Load(text);
  if (document.IsNull()) return std::nullopt;
  if (!document.IsMap()) return at_line(path, line_of(document.Mark()), "expected lines of the form 'name: value'");
  bool has_policies = false;
  for (const auto& entry : document) {
    const bool is_list = entry.first.IsScalar() && entry.first.Scalar() == "policies";
    const bool is_users = entry.first.IsScalar() && entry.first.Scalar() == "users";
    const std::size_t line = line_of(entry.first.Mark());
    if (is_list && std::exchange(has_policies, true)) return at_line(path, line, "'policies' is set twice");
    if (is_users && file.users_line != 0) return at_line(path, line, "'users' is set twice");
    if (is_users) {
      if (Error error = read_users(entry.second, line, path, file)) return error;
      continue;
    }
    // If an unknown name has a list as its value ('policy' for 'policies'), the error is about the name and not about the value.
    const bool single = entry.second.IsScalar() || entry.second.IsNull();
    if (!is_list && !single && entry.first.IsScalar() && find_setting(entry.first.Scalar()) == nullptr) {
      return at_line(path, line, unknown_setting(entry.first.Scalar(), true));
    }
    Error error =
        is_list ? read_policies(entry.second, line, path, file.policies) : read_entry(entry.first, entry.second, path, file.entries);
    if (error) return error;
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
  } catch (const YAML::Exception& problem) {
    return at_line(path, line_of(problem.mark), "not valid YAML: " + problem.msg);
  }
}

Error read_whole(const std::string& path, std::string& text) {
  const auto fail = [&] { return "cannot read '" + path + "': " + std::generic_category().message(errno); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) return fail();
  char part[4096];
  while (const std::size_t size = std::fread(part, 1, sizeof part, file.get())) text.append(part, size);
  if (std::ferror(file.get()) != 0) return fail();
  return std::nullopt;
}

}  // namespace pinfold::config
