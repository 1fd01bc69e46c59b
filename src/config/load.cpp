// Reads the settings at start: from the YAML file, the environment and the command line.

#include <algorithm>
#include <filesystem>
#include <utility>

#include "pinfold/base/text.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/config/values.hpp"
#include "pinfold/config/yaml.hpp"

namespace pinfold::config {
namespace {

using Error = std::optional<std::string>;

// Describes a bad value. A password is left out, because messages end up in logs.
std::string bad_value(const Setting& setting, std::string_view value, const std::string& reason) {
  const std::string shown = is_secret(setting.id) ? "" : " " + quoted(value);
  return "bad value" + shown + " for '" + std::string(setting.name) + "': " + reason;
}

// Whether Kubernetes has set this variable. It tells every container about every service in such variables, and those of a service
// called "pinfold" look like settings. One of them is PINFOLD_PORT=tcp://10.0.0.1:6379.
bool set_by_kubernetes(std::string_view name, std::string_view value) {
  return name.starts_with("PINFOLD_SERVICE_") || name.starts_with("PINFOLD_PORT_") ||
         (name == "PINFOLD_PORT" && value.find("://") != std::string_view::npos);
}

std::string help_text() {
  std::string text =
      "Usage: pinfold-server [file.yaml] [--name value ...]\n\n"
      "A cache server that speaks the Redis protocol. Settings come from the file, then from the "
      "environment\n"
      "(PINFOLD_NAME), then from the command line; the later wins.\n\n"
      "  --check        say what is wrong or contradictory in all that, and exit: 0 for nothing, 1 if the server\n"
      "                 would not start, 2 if it would, with warnings; opens no port, socket or log\n"
      "  -h, --help     print this and exit\n"
      "  -v, --version  print the version and exit\n\n"
      "Settings and their defaults:\n\n";
  for (const Setting& setting : settings_table()) {
    text.append("  --").append(setting.name).append(" ");
    text.append(setting.default_value.empty() ? "\"\"" : setting.default_value).append("\n");
    // The help text is one paragraph. It is broken into lines that fit a terminal of 80 columns.
    constexpr std::size_t width = 72;
    for (std::string_view left = setting.help; !left.empty();) {
      std::size_t size = left.size() <= width ? left.size() : left.rfind(' ', width);
      text.append("      ").append(left.substr(0, size)).append("\n");
      left.remove_prefix(std::min(size + 1, left.size()));
    }
  }
  return text;
}

std::string version_text() { return "Pinfold server v=" + std::string(version) + "\n"; }

bool is_option(std::string_view argument) { return argument.starts_with("-") && argument.size() > 1; }

Start refused(std::string_view text) { return {Start::Outcome::refused, one_line(text)}; }

}  // namespace

std::optional<std::string> Settings::load_file(const std::string& path) {
  std::string text;
  if (Error error = read_whole(path, text)) return error;
  YamlFile file;
  if (Error error = parse_yaml(text, path, file)) return error;
  for (const YamlEntry& entry : file.entries) {
    const std::string where = path + ":" + std::to_string(entry.line) + ": ";
    const Setting* setting = find_setting(entry.name);
    if (setting == nullptr) return one_line(where + unknown_setting(entry.name, true));
    if (Error error = set(setting->id, yaml_value(*setting, entry), false)) {
      return one_line(where + bad_value(*setting, entry.value, *error));
    }
  }
  for (const std::vector<YamlEntry>& policy : file.policies) {
    std::vector<PolicyField>& fields = policies_.emplace_back();
    for (const YamlEntry& field : policy) {
      fields.push_back({field.name, field.value, path + ":" + std::to_string(field.line) + ": "});
    }
  }
  for (YamlUser& user : file.users) {
    users_.push_back({std::move(user.name), std::move(user.rules), path + ":" + std::to_string(user.line) + ": "});
  }
  std::error_code ignored;
  file_ = std::filesystem::absolute(path, ignored).string();
  return std::nullopt;
}

std::optional<std::string> Settings::load_environment(const char* const* environment) {
  constexpr std::string_view prefix = "PINFOLD_";
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view variable = *environment;
    if (!variable.starts_with(prefix)) continue;
    const std::size_t equals = std::min(variable.find('='), variable.size());
    const std::string_view name = variable.substr(0, equals);
    const std::string_view value = variable.substr(std::min(equals + 1, variable.size()));
    if (set_by_kubernetes(name, value)) continue;
    const auto table = settings_table();
    const auto found = std::ranges::find_if(table, [&](const Setting& one) { return environment_name(one) == name; });
    if (found == table.end()) {
      std::string as_setting = to_lower(name.substr(prefix.size()));
      std::ranges::replace(as_setting, '_', '-');
      return "environment variable " + std::string(name) + ": " + unknown_setting(as_setting);
    }
    if (Error error = set(found->id, value, false)) {
      return "environment variable " + std::string(name) + ": " + bad_value(*found, value, *error);
    }
  }
  return std::nullopt;
}

Start Settings::load_command_line(int argc, const char* const* argv, const char* const* environment) {
  std::vector<std::string_view> arguments(argv + std::min(argc, 1), argv + argc);
  Start start;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string_view argument = arguments[at];
    if (argument == "--check") {
      start.outcome = Start::Outcome::check;
      arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(at--));
      continue;
    }
    if (argument == "--help" || argument == "-h") return {Start::Outcome::print, help_text()};
    if (argument == "--version" || argument == "-v") return {Start::Outcome::print, version_text()};
    const bool has_value = argument.starts_with("--") && argument.find('=') == std::string_view::npos;
    if (has_value) ++at;  // the value is skipped without a look at it: it may begin with "--"
  }
  std::size_t first = 0;
  if (!arguments.empty() && !is_option(arguments[0])) {
    first = 1;
    if (Error error = load_file(std::string(arguments[0]))) return refused(*error);
  }
  if (Error error = load_environment(environment)) return refused(*error);
  if (Error error = load_options(std::span(arguments).subspan(first))) return refused(*error);
  return start;
}

std::optional<std::string> Settings::load_options(std::span<const std::string_view> options) {
  for (std::size_t at = 0; at < options.size(); ++at) {
    std::string_view name = options[at];
    if (!name.starts_with("--")) {
      return "unexpected argument " + quoted(name) + " (options are --name value; the file comes first)";
    }
    name.remove_prefix(2);
    const std::size_t equals = name.find('=');
    std::optional<std::string_view> value;
    if (equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    const Setting* setting = find_setting(name);
    if (setting == nullptr) return unknown_setting(name);
    if (!value) {
      if (at + 1 == options.size()) return "option --" + std::string(name) + " needs a value";
      value = options[++at];
    }
    if (Error error = set(setting->id, *value, false)) return bad_value(*setting, *value, *error);
  }
  return std::nullopt;
}

}  // namespace pinfold::config
