#pragma once
// Who may have the pages of the admin port that are not open.
//
// With admin-token, whoever shows it: programs as "Authorization: Bearer <token>", people in a browser as the password of HTTP's Basic
// scheme, with any name. An address that has shown too many wrong tokens (auth-failures-per-minute) waits, as for passwords. Its account is
// another one than that for passwords: a scraper with an old token locks no client of its machine out.
//
// Without admin-token, protected-mode lets in this machine only, and clients with an accepted certificate. And the request must name the
// server by an address or by a name without a dot. So a page of the internet whose name was made to point here (DNS rebinding) reads
// nothing through the browser of somebody who may.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/engine.hpp"
#include "pinfold/security/auth_failures.hpp"

namespace pinfold::admin {

/// For the thread of the admin port alone.
class Access {
 public:
  /// The engine must outlive it.
  explicit Access(command::Engine& engine) : engine_(engine) {}

  struct Asker {
    std::string address;     // "192.0.2.1:4000"
    bool certified = false;  // has shown a certificate of an accepted authority
  };
  /// What the head of a request says; empty: nothing.
  struct Claims {
    std::string_view authorization;
    std::string_view host;
  };
  struct Refusal {
    unsigned status = 403;
    std::string text;                // for people
    std::int64_t retry_seconds = 0;  // of status 429
  };
  /// Why it may not have the page, or nothing. Counts what is refused, and notes in the logs who shows a wrong token or reaches the
  /// port from another machine. O(length of the claims). Throws std::bad_alloc.
  std::optional<Refusal> refusal(const Asker& asker, const Claims& claims);

 private:
  std::optional<Refusal> without_token(const Asker& asker, const Claims& claims);
  void note(AuditLog::Kind kind, const Asker& asker, std::string_view reason);

  command::Engine& engine_;
  security::AuthFailures failures_;
};

/// The secret in an Authorization header: what stands behind "Bearer ", or the password of "Basic ". Nothing for other texts.
std::optional<std::string> secret_of(std::string_view authorization);

/// Whether a Host header is an address or a name without a dot, with or without a port.
bool is_local_name(std::string_view host);

}  // namespace pinfold::admin
