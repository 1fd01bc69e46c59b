#include "tls.h"

#include <array>
#include <string>

#include "failure.h"

#include <openssl/err.h>

namespace pinfold::load {

std::string tls_error() {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  if (error == 0) return "the connection ended";
  std::array<char, 256> text{};
  ERR_error_string_n(error, text.data(), text.size());
  return text.data();
}

TlsContext make_tls_context(const Options& options) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) throw Failure("no TLS: " + tls_error());
  // Without SSL_MODE_RELEASE_BUFFERS ten thousand idle connections would take gigabytes here.
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  if (!options.tls_version.empty()) {
    const int version = options.tls_version == "1.2" ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
  }
  return context;
}

Tls make_tls(SSL_CTX& context, int socket) {
  Tls tls(SSL_new(&context));
  if (!tls || SSL_set_fd(tls.get(), socket) != 1) throw Failure("no TLS: " + tls_error());
  SSL_set_connect_state(tls.get());
  return tls;
}

}  // namespace pinfold::load
