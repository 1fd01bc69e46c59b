#pragma once

#include <memory>

#include "options.h"

#include <openssl/ssl.h>

namespace pinfold::load {

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* tls) const { SSL_free(tls); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTls>;
using Tls = std::unique_ptr<SSL, FreeTls>;
using TlsSession = std::unique_ptr<SSL_SESSION, FreeTls>;

// What all connections of the process share. Writes may take a part, and be repeated from another place. Throws Failure.
TlsContext make_tls_context(const Options& options);

// A client's end on this socket, before the handshake. Throws Failure.
Tls make_tls(SSL_CTX& context, int socket);

// Why the last call of OpenSSL on this thread failed.
std::string tls_error();

}  // namespace pinfold::load
