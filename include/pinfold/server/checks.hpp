#pragma once
// Checks a configuration before a server runs with it: for --check, and for warnings in the log at start.

#include <optional>
#include <string>
#include <vector>

#include "pinfold/cache/policies.hpp"
#include "pinfold/config/settings.hpp"

namespace pinfold::server {

/// Reads the policies of the settings file. Returns an error, or nothing.
std::optional<std::string> read_policies(const config::Settings& settings, std::vector<cache::Policy>& policies);

/// A warning if maxmemory leaves too little of the memory of this machine or container for the rest.
std::optional<std::string> memory_warning(const config::Settings& settings);
/// Warnings about settings and policies that are allowed but hardly ever meant. `asks_password`: whether the default user does.
std::vector<std::string> warnings_about(const config::Settings& settings, const std::vector<cache::Policy>& policies, bool asks_password);

/// Does --check: prints the error in the configuration, or the warnings about it. Returns the exit status: 0 if there is nothing to say, 1
/// if a server would not start, 2 if it would start with warnings. Opens no port.
int check(const config::Settings& settings);

}  // namespace pinfold::server
