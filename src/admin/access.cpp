#include "pinfold/admin/access.hpp"

#include <algorithm>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <openssl/evp.h>

#include "pinfold/base/address.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/security/password.hpp"

namespace pinfold::admin {

using config::Id;
using Kind = AuditLog::Kind;

namespace {

std::optional<std::string> from_base64(std::string_view text) {
  const std::size_t plain = std::min(text.find('='), text.size());  // OpenSSL takes a '=' anywhere
  const auto padding = static_cast<std::ptrdiff_t>(text.size() - plain);
  const bool is_padded = padding <= 2 && text.find_first_not_of('=', plain) == std::string_view::npos;
  if (text.empty() || text.size() % 4 != 0 || !is_padded) return std::nullopt;
  std::vector<unsigned char> bytes(text.size() / 4 * 3);
  const int size = EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  return std::string(bytes.begin(), bytes.begin() + size - padding);
}

// What stands behind the name of a scheme, which may be in any case.
std::optional<std::string_view> behind(std::string_view scheme, std::string_view text) {
  if (text.size() <= scheme.size() || text[scheme.size()] != ' ' || !iequals(text.substr(0, scheme.size()), scheme)) return std::nullopt;
  text.remove_prefix(scheme.size());
  return text.substr(std::min(text.find_first_not_of(' '), text.size()));
}

}  // namespace

std::optional<std::string> secret_of(std::string_view authorization) {
  if (const auto token = behind("Bearer", authorization)) return std::string(*token);
  const auto encoded = behind("Basic", authorization);
  if (!encoded) return std::nullopt;
  const std::optional<std::string> pair = from_base64(*encoded);
  const std::size_t colon = pair ? pair->find(':') : std::string::npos;
  return colon == std::string::npos ? std::nullopt : std::optional(pair->substr(colon + 1));
}

bool is_local_name(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos || (end + 1 < host.size() && host[end + 1] != ':')) return false;
    in6_addr parsed{};
    return inet_pton(AF_INET6, std::string(host.substr(1, end - 1)).c_str(), &parsed) == 1;
  }
  const std::string name(host.substr(0, host.find(':')));
  in_addr parsed{};
  return !name.empty() && (name.find('.') == std::string::npos || inet_pton(AF_INET, name.c_str(), &parsed) == 1);
}

std::optional<Access::Refusal> Access::refusal(const Asker& asker, const Claims& claims) {
  const std::string token = engine_.settings.text(Id::admin_token);
  if (token.empty()) return without_token(asker, claims);
  const Refusal none_given{401,
                           "The token of admin-token is needed: 'Authorization: Bearer <token>', or any name and the token as password.\n"};
  command::ThreadStats& stats = engine_.stats.of_admin();
  if (claims.authorization.empty()) {
    stats.admin_without_token.add();
    return none_given;
  }
  const std::int64_t per_minute = engine_.settings.integer(Id::auth_failures_per_minute);
  const std::optional<std::uint64_t> origin = origin_of(asker.address);
  const bool is_limited = per_minute > 0 && origin.has_value();
  if (const std::int64_t wait_ms = is_limited ? failures_.wait_ms(origin.value_or(0), per_minute, monotonic_ms()) : 0; wait_ms > 0) {
    stats.auth_limited.add();
    note(Kind::auth_limited, asker, {});
    engine_.events.note(EventLog::Kind::auth_limited,
                        [&] { return "admin-port: " + asker.address + " has shown too many wrong tokens (auth-failures-per-minute)"; });
    return Refusal{429, "Too many wrong tokens came from this address: nothing was checked.\n", (wait_ms + 999) / 1000};
  }
  const std::optional<std::string> secret = secret_of(claims.authorization);
  if (security::equal_in_constant_time(security::hash_of(secret.value_or("")), security::hash_of(token))) return std::nullopt;
  if (is_limited) failures_.note(origin.value_or(0), per_minute, monotonic_ms());
  stats.auth_failures.add();
  note(Kind::auth_failed, asker, {});
  return none_given;
}

std::optional<Access::Refusal> Access::without_token(const Asker& asker, const Claims& claims) {
  if (engine_.settings.flag(Id::protected_mode) && !asker.certified && !is_loopback(asker.address)) {
    engine_.stats.of_admin().admin_protected.add();
    note(Kind::denied, asker, "protected-mode");
    engine_.events.note(EventLog::Kind::refused_clients,
                        [&] { return "admin-port: " + asker.address + " was refused: protected-mode is on, and there is no admin-token"; });
    return Refusal{403, "protected-mode is on and there is no admin-token: only this machine may ask for this.\n"};
  }
  if (claims.host.empty() || is_local_name(claims.host)) return std::nullopt;
  engine_.stats.of_admin().admin_wrong_host.add();
  return Refusal{421, "Without admin-token, this port answers to addresses and to names without a dot only, such as localhost.\n"};
}

// The path that was asked for is left out: it is the asker's to choose.
void Access::note(Kind kind, const Asker& asker, std::string_view reason) {
  engine_.audit.note(kind, {.address = asker.address}, [&](AuditLine& line) {
    line.add("address", asker.address).add("by", "admin-token");
    if (!reason.empty()) line.add("reason", reason);
  });
}

}  // namespace pinfold::admin
