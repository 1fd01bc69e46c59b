#pragma once
// What is to be said of a configuration before a server runs with it: by --check, or in the log at start.

#include <optional>
#include <string>
#include <vector>

#include "pinfold/cache/policies.hpp"
#include "pinfold/config/settings.hpp"

namespace pinfold::server {

/// The policies of the settings file. Returns what is wrong with them, or nothing.
std::optional<std::string> read_policies(const config::Settings& settings, std::vector<cache::Policy>& policies);

/// Whether maxmemory leaves too little of what this machine or container has.
std::optional<std::string> memory_warning(const config::Settings& settings);
/// What a server could run with, but hardly anybody means. Empty: nothing.
std::vector<std::string> warnings_about(const config::Settings& settings, const std::vector<cache::Policy>& policies);

/// --check: prints what is wrong with the configuration, or what warnings there are, and returns the exit status: 0 for neither, 1 for a
/// server that would not start, 2 for one that would, with warnings. Opens no port.
int check(const config::Settings& settings);

}  // namespace pinfold::server
