#include "pinfold/config/listening.hpp"

#include <algorithm>
#include <sstream>

namespace pinfold::config {

std::vector<BindAddress> bind_addresses(std::string_view setting) {
  std::vector<BindAddress> all;
  std::istringstream words{std::string(setting)};
  for (std::string word; words >> word;) {
    const bool may_miss = word.front() == '-';
    all.push_back({word.substr(may_miss ? 1 : 0), may_miss});
  }
  return all;
}

bool reaches_beyond_this_machine(const std::vector<BindAddress>& addresses) {
  return !std::ranges::all_of(addresses, &BindAddress::is_loopback);
}

bool has_tls_port(const Settings& settings) { return settings.integer(Id::tls_port) != 0; }

bool has_tls_admin_port(const Settings& settings) { return settings.integer(Id::admin_port) != 0 && settings.flag(Id::admin_tls); }

bool speaks_tls(const Settings& settings) { return has_tls_port(settings) || has_tls_admin_port(settings); }

}  // namespace pinfold::config
