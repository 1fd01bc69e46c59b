// The policies of the settings file. Apart from the other checks, because a fuzz target (tests/fuzz/yaml.cpp) compiles this file alone.

#include <algorithm>

#include "pinfold/base/text.hpp"
#include "pinfold/server/checks.hpp"

namespace pinfold::server {

std::optional<std::string> read_policies(const config::Settings& settings, std::vector<cache::Policy>& policies) {
  for (const auto& fields : settings.policies()) {
    cache::Policy& policy = policies.emplace_back();
    for (const config::PolicyField& field : fields) {
      if (field.name != "name") {
        if (const auto error = cache::set_field(policy, field.name, field.value)) return one_line(field.where + *error);
        continue;
      }
      if (!cache::is_policy_name(field.value)) {
        return field.where + "a policy's name must have 1 to 64 letters, digits and '-', '_' or '.'";
      }
      const bool taken = std::any_of(policies.begin(), policies.end(), [&](const auto& p) { return p.name == field.value; });
      if (taken) return field.where + "there is another policy '" + field.value + "'";
      policy.name = field.value;
    }
    if (policy.name.empty()) return (fields.empty() ? std::string() : fields[0].where) + "a policy needs a name";
    if (policy.match.empty()) return fields[0].where + "policy '" + policy.name + "' needs a match";
    if (policies.size() > cache::most_policies) return fields[0].where + "there are too many policies";
  }
  return std::nullopt;
}

}  // namespace pinfold::server
