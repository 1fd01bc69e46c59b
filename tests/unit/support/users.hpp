#pragma once
// Users for tests.

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/catalogue.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/security/user_rules.hpp"

/// What ACL SETUSER does. Throws if a rule is wrong.
inline void set_user(pinfold::command::Engine& engine, std::string_view name, const std::vector<std::string_view>& rules) {
  const pinfold::security::Users::Pointer before = engine.users.find(name);
  pinfold::security::UserRules draft =
      before != nullptr ? pinfold::security::UserRules(*before) : pinfold::security::UserRules(std::string(name));
  for (const std::string_view rule : rules) {
    if (const auto error = draft.apply(rule, pinfold::command::catalogue())) throw std::runtime_error(*error);
  }
  engine.users.publish(draft.build());
}
