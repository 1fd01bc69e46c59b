#pragma once
// A few commands and categories, for tests of rules.

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "pinfold/base/text.hpp"
#include "pinfold/security/command_catalogue.hpp"
#include "pinfold/security/user_rules.hpp"

namespace pinfold::security {

class ToyCatalogue final : public CommandCatalogue {
 public:
  std::size_t count() const override { return commands.size(); }
  std::string_view name(std::size_t command) const override { return commands[command].name; }
  std::optional<std::size_t> find(std::string_view name) const override {
    for (std::size_t i = 0; i < commands.size(); ++i) {
      if (iequals(commands[i].name, name)) return i;
    }
    return std::nullopt;
  }
  Subcommands subcommands(std::size_t command) const override {
    return name(command) == "config" ? Subcommands{command + 1, 2} : Subcommands{};
  }
  bool is_subcommand(std::size_t command) const override { return name(command).find('|') != std::string_view::npos; }
  std::span<const std::string_view> categories() const override { return names; }
  std::optional<std::size_t> find_category(std::string_view name) const override {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (iequals(names[i], name)) return i;
    }
    return std::nullopt;
  }
  bool in_category(std::size_t command, std::size_t category) const override { return commands[command].category == category; }

 private:
  struct Command {
    std::string_view name;
    std::size_t category;
  };
  static constexpr std::array<Command, 8> commands = {
      {{"get", 0}, {"mget", 0}, {"set", 1}, {"del", 1}, {"select", 2}, {"config", 3}, {"config|get", 3}, {"config|set", 3}}};
  static constexpr std::array<std::string_view, 5> names = {"read", "write", "connection", "admin", "geo"};
};

inline const ToyCatalogue toy_commands;

/// The index of a command.
inline std::size_t command(std::string_view name) { return toy_commands.find(name).value(); }

/// Applies rules to a draft, all of which must be right.
inline UserRules& apply(UserRules& draft, std::initializer_list<std::string_view> rules) {
  for (const std::string_view rule : rules) {
    INFO(rule);
    REQUIRE(draft.apply(rule, toy_commands) == std::nullopt);
  }
  return draft;
}

inline std::shared_ptr<const User> user_with(std::initializer_list<std::string_view> rules, std::string_view name = "alice") {
  UserRules draft(name);
  return apply(draft, rules).build();
}

}  // namespace pinfold::security
