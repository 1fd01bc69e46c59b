#pragma once
// What all TLS connections share: certificates, key, authorities, protocols and ciphers, as an SSL_CTX of OpenSSL. A context is made
// from files and settings, and never changes. When they change, a new one takes its place, and connections keep theirs.
//
// Each context has ticket keys of its own. So a session of an old context is not resumed under a new one, which may have other
// authorities: its client makes a full handshake.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "pinfold/command/tls_status.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/net/tls_identity.hpp"

namespace pinfold::net {

/// Frees what OpenSSL has made.
struct TlsFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <class Of>
using TlsOwned = std::unique_ptr<Of, TlsFree>;

/// What a context is made of: the settings that begin with tls-, by their names.
struct TlsOptions {
  enum class AuthClients : std::int64_t { no, yes, optional };  // in the order of the setting's choices

  explicit TlsOptions(const config::Settings& settings);

  std::string cert_file;
  std::string key_file;
  std::string key_file_pass;
  std::string ca_cert_file;
  std::string ca_cert_dir;
  AuthClients auth_clients;
  TlsNameField auth_clients_user;
  std::string protocols;
  std::string ciphers;
  std::string ciphersuites;
  bool prefer_server_ciphers;
  bool session_caching;
  std::int64_t session_cache_seconds;
};

/// Immutable, so threads share it without a lock.
class TlsContext {
 public:
  /// Reads the files and makes a context. Returns an error that names the file and says what is wrong with it, or nothing; then
  /// `context` is set. Throws std::bad_alloc. Reads at most 1 MB of each file, 8 MB and 1024
  /// certificates of authorities, and 1024 certificates of the chain: that takes about half a second, if the disk answers.
  static std::optional<std::string> load(const TlsOptions& options, std::shared_ptr<const TlsContext>& context);

  /// A new SSL for a server's side; null if there is no memory.
  TlsOwned<SSL> make() const;
  /// Which names of clients' certificates are names of users.
  TlsNameField user_field() const { return user_field_; }
  /// Whether clients are asked for certificates. Those that they show have been verified.
  bool asks_certificates() const { return SSL_CTX_get_verify_mode(context_.get()) != SSL_VERIFY_NONE; }
  bool requires_certificates() const { return (SSL_CTX_get_verify_mode(context_.get()) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0; }
  const command::CertificateSummary& server() const { return server_; }
  const command::CertificateSummary& authority() const { return authority_; }
  /// What is allowed but hardly ever meant, such as a certificate that has expired.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  TlsContext() = default;

  std::optional<std::string> load_server(const TlsOptions& options);
  std::optional<std::string> load_authorities(const TlsOptions& options);
  void complete_chain();
  std::optional<std::string> set_protocols(const TlsOptions& options);
  void set_sessions(const TlsOptions& options);
  void look_at(X509& certificate, const std::string& what, command::CertificateSummary& summary);

  TlsOwned<SSL_CTX> context_;
  TlsNameField user_field_ = TlsNameField::off;
  command::CertificateSummary server_;
  command::CertificateSummary authority_;
  std::vector<std::string> warnings_;
};

}  // namespace pinfold::net
