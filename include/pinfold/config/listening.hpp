#pragma once
// What several settings together say about where the server listens, and how.

#include <string>
#include <string_view>
#include <vector>

#include "pinfold/config/settings.hpp"

namespace pinfold::config {

/// A word of `bind` or `admin-bind`.
struct BindAddress {
  std::string text;       // as it was written, without '-'
  bool may_miss = false;  // "-::1": listen there if this machine has the address
  bool is_loopback() const { return text.starts_with("127.") || text == "::1"; }
};
/// The words of the setting `bind` or `admin-bind`, whether they are addresses or not.
std::vector<BindAddress> bind_addresses(std::string_view setting);
/// Whether an address is not of the loopback.
bool reaches_beyond_this_machine(const std::vector<BindAddress>& addresses);

bool has_tls_port(const Settings& settings);
/// Whether the admin port is there, and speaks TLS.
bool has_tls_admin_port(const Settings& settings);
/// Whether any port speaks TLS.
bool speaks_tls(const Settings& settings);

}  // namespace pinfold::config
