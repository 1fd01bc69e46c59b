#pragma once
// Which names a client's certificate gives it. A name becomes a user's name, so what is ambiguous or odd is refused and not
// interpreted: an embedded NUL (CVE-2009-2408), several common names, wildcards, control characters, anything that is too long.

#include <cstdint>
#include <string>
#include <vector>

#include <openssl/x509.h>

namespace pinfold::net {

/// Where in a certificate names of users are, in the order of the choices of tls-auth-clients-user.
enum class TlsNameField : std::int64_t { off, cn, uri, dns };

/// The names that a certificate has in a field, or why they are not used.
struct TlsNames {
  static constexpr std::size_t longest = 256;  // bytes of a name
  static constexpr std::size_t most = 16;      // names of a certificate

  std::vector<std::string> names;
  std::string refusal;  // if it is not empty, `names` is
};

/// Whether a certificate is valid at `now`, Unix time in seconds.
bool is_valid_at(const X509& certificate, std::int64_t now);
/// Reads the names of a certificate. `now` is Unix time in seconds: a certificate that is not valid at that time gives none. One bad
/// name refuses the certificate. O(size of the certificate). Throws std::bad_alloc.
TlsNames names_of(const X509& certificate, TlsNameField field, std::int64_t now);

}  // namespace pinfold::net
