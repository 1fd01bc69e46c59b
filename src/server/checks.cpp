#include "pinfold/server/checks.hpp"

#include <cstdio>

#include "pinfold/admin/admin_server.hpp"
#include "pinfold/base/numbers.hpp"
#include "pinfold/command/user_files.hpp"
#include "pinfold/config/listening.hpp"
#include "pinfold/config/machine.hpp"
#include "pinfold/net/network.hpp"

namespace pinfold::server {

using config::Id;

namespace {

bool reaches_beyond_this_machine(const std::string& bind) { return config::reaches_beyond_this_machine(config::bind_addresses(bind)); }

std::optional<std::string> reach_warning(const config::Settings& settings, bool asks_password) {
  const bool open = reaches_beyond_this_machine(settings.text(Id::bind));
  const bool asks_certificate = settings.integer(Id::port) == 0 && settings.show(Id::tls_auth_clients) == "yes";
  const bool none = settings.integer(Id::port) == 0 && settings.integer(Id::tls_port) == 0;
  if (!open || none || asks_certificate || asks_password) return std::nullopt;
  if (settings.flag(Id::protected_mode)) {
    return "Listening beyond this machine without a password: clients of other machines are refused (protected-mode) until requirepass is "
           "set";
  }
  return "Listening beyond this machine without a password: set requirepass, or bind to 127.0.0.1";
}

std::optional<std::string> tls_warning(const config::Settings& settings) {
  if (config::speaks_tls(settings)) return std::nullopt;
  for (const Id id : {Id::tls_cert_file, Id::tls_key_file, Id::tls_ca_cert_file, Id::tls_ca_cert_dir}) {
    if (!settings.text(id).empty()) {
      return std::string(config::settings_table()[static_cast<std::size_t>(id)].name) +
             " has no effect while tls-port is 0: there is no TLS";
    }
  }
  return std::nullopt;
}

std::optional<std::string> admin_warning(const config::Settings& settings) {
  if (settings.integer(Id::admin_port) == 0) {
    if (settings.flag(Id::admin_tls) || !settings.text(Id::admin_token).empty()) {
      return "admin-tls and admin-token have no effect while admin-port is 0";
    }
    return std::nullopt;
  }
  if (!reaches_beyond_this_machine(settings.text(Id::admin_bind)) || !settings.text(Id::admin_token).empty()) return std::nullopt;
  if (settings.flag(Id::admin_tls) && settings.show(Id::tls_auth_clients) == "yes") return std::nullopt;
  if (settings.flag(Id::protected_mode)) {
    return "admin-bind reaches beyond this machine without admin-token: other machines get /health and /ready only (protected-mode)";
  }
  return "admin-bind reaches beyond this machine without admin-token: set one, or bind to 127.0.0.1";
}

}  // namespace

std::optional<std::string> memory_warning(const config::Settings& settings) {
  const auto memory = static_cast<std::uint64_t>(settings.integer(Id::maxmemory));
  const std::uint64_t available = config::available_memory();
  if (available == 0 || memory <= available / 100 * 90) return std::nullopt;
  return "maxmemory " + human_size(memory) + " leaves too little of the " + human_size(available) +
         " that this machine or container has: the system may kill the server when it fills up; 75% or less is safe";
}

std::vector<std::string> warnings_about(const config::Settings& settings, const std::vector<cache::Policy>& policies, bool asks_password) {
  std::vector<std::string> warnings;
  for (const auto& warning :
       {reach_warning(settings, asks_password), tls_warning(settings), admin_warning(settings), memory_warning(settings)}) {
    if (warning) warnings.push_back(*warning);
  }
  for (const cache::PolicyWarning& warning : cache::warnings_about(policies, settings.integer(Id::lease_duration))) {
    warnings.push_back("policy '" + warning.policy + "': " + warning.text);
  }
  return warnings;
}

int check(const config::Settings& settings) {
  std::vector<cache::Policy> policies;
  auto error = read_policies(settings, policies);
  std::vector<security::Users::Pointer> users;
  if (!error) error = command::read_users(settings, users);
  if (!error) error = net::Network::check_addresses(settings);
  if (!error) error = admin::AdminServer::check(settings);
  std::vector<std::string> warnings;
  if (!error) error = net::Network::check_tls(settings, warnings);
  if (error) {
    std::fprintf(stderr, "pinfold-server: %s\n", error->c_str());
    return 1;
  }
  bool asks_password = !settings.text(Id::requirepass).empty();
  for (const security::Users::Pointer& user : users) {
    if (user->name() == security::default_user_name) asks_password = user->asks_password();
  }
  for (std::string& warning : warnings_about(settings, policies, asks_password)) warnings.push_back(std::move(warning));
  for (const std::string& warning : warnings) std::printf("warning: %s\n", warning.c_str());
  const std::string file = settings.file().empty() ? "no settings file" : settings.file();
  std::printf("%s: %zu policies, %zu users, %zu warnings\n", file.c_str(), policies.size(), users.size(), warnings.size());
  return warnings.empty() ? 0 : 2;
}

}  // namespace pinfold::server
