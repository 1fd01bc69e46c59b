#pragma once
// Certificates that a test makes as it needs them, files for them, and TLS clients that talk to transports through memory.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_transport.hpp"
#include "rig.hpp"
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "pinfold/net/tls_context.hpp"
#include "pinfold/net/tls_transport.hpp"

namespace pinfold::net {

inline void must(bool worked, const char* what) {
  if (!worked) throw std::runtime_error(what);
}

/// A key and a certificate.
struct Certified {
  TlsOwned<EVP_PKEY> key;
  TlsOwned<X509> certificate;
};

/// What a certificate is to say. Texts may hold any bytes.
struct Wanted {
  std::vector<std::string> common_names = {"localhost"};
  std::vector<std::string> uris = {};
  std::vector<std::string> dns_names = {};
  std::int64_t from = -3600;  // seconds from now
  std::int64_t until = 90 * 86'400;
  bool is_authority = false;
};

inline void add_alternative_names(X509& certificate, const Wanted& wanted) {
  if (wanted.uris.empty() && wanted.dns_names.empty()) return;
  GENERAL_NAMES* const names = GENERAL_NAMES_new();
  const auto add = [names](int type, const std::string& text) {
    GENERAL_NAME* const name = GENERAL_NAME_new();
    ASN1_IA5STRING* const value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(names, name);
  };
  for (const std::string& uri : wanted.uris) add(GEN_URI, uri);
  for (const std::string& name : wanted.dns_names) add(GEN_DNS, name);
  must(X509_add1_ext_i2d(&certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1, "alternative names");
  GENERAL_NAMES_free(names);
}

/// Signed by `issuer`, or by itself if that is null.
inline Certified certify(const Wanted& wanted = {}, const Certified* issuer = nullptr) {
  static long serial = 100;
  Certified made{TlsOwned<EVP_PKEY>(EVP_EC_gen("P-256")), TlsOwned<X509>(X509_new())};
  X509* const x509 = made.certificate.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x509), wanted.from);
  X509_gmtime_adj(X509_getm_notAfter(x509), wanted.until);
  X509_NAME* const subject = X509_get_subject_name(x509);
  for (const std::string& name : wanted.common_names) {
    must(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                                    static_cast<int>(name.size()), -1, 0) == 1,
         "a common name");
  }
  X509_set_issuer_name(x509, issuer != nullptr ? X509_get_subject_name(issuer->certificate.get()) : subject);
  X509_set_pubkey(x509, made.key.get());
  if (wanted.is_authority) {
    X509_EXTENSION* const authority = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(x509, authority, -1);
    X509_EXTENSION_free(authority);
  }
  add_alternative_names(*x509, wanted);
  must(X509_sign(x509, issuer != nullptr ? issuer->key.get() : made.key.get(), EVP_sha256()) > 0, "a signature");
  return made;
}

inline std::string text_of_bio(BIO& bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(&bio, &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

inline std::string pem_of(const X509& certificate) {
  const TlsOwned<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), &certificate);
  return text_of_bio(*bio);
}

inline std::string pem_of(const EVP_PKEY& key, const std::string& password = {}) {
  const TlsOwned<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, password.empty() ? nullptr : EVP_aes_256_cbc(), password.data(),
                                static_cast<int>(password.size()), nullptr, nullptr);
  return text_of_bio(*bio);
}

/// A directory that is removed at the end of the test.
class Directory {
 public:
  Directory() {
    char path[] = "/tmp/pinfold-unit-tls-XXXXXX";
    must(mkdtemp(path) != nullptr, "a directory");
    path_ = path;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

 private:
  std::string path_;
};

/// A server's settings, with an authority, a certificate of it and the files of both.
struct TlsFiles {
  TlsFiles() {
    save(certify({.common_names = {"localhost"}}, &authority));
    directory.write("ca.crt", pem_of(*authority.certificate));
    set(config::Id::tls_cert_file, directory.path("server.crt"));
    set(config::Id::tls_key_file, directory.path("server.key"));
    set(config::Id::tls_ca_cert_file, directory.path("ca.crt"));
  }

  void save(const Certified& server) const {
    directory.write("server.crt", pem_of(*server.certificate));
    directory.write("server.key", pem_of(*server.key));
  }
  void set(config::Id id, std::string_view value) {
    if (const auto error = settings.set(id, value, false)) throw std::runtime_error(*error);
  }
  std::optional<std::string> try_to_load() { return TlsContext::load(TlsOptions(settings), context); }
  std::shared_ptr<const TlsContext> load() {
    if (const auto error = try_to_load()) throw std::runtime_error(*error);
    return context;
  }

  Directory directory;
  Certified authority = certify({.common_names = {"authority"}, .is_authority = true});
  config::Settings settings;
  std::shared_ptr<const TlsContext> context;
};

/// A client that speaks TLS with a transport over a Wire. Nothing happens by itself: pass() carries bytes to and fro.
class TlsClient {
 public:
  explicit TlsClient(std::shared_ptr<Wire> wire, int protocol = TLS1_3_VERSION, const Certified* certificate = nullptr,
                     SSL_SESSION* session = nullptr)
      : wire_(std::move(wire)), context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_min_proto_version(context_.get(), protocol);
    SSL_CTX_set_max_proto_version(context_.get(), protocol);
    SSL_CTX_set_ciphersuites(context_.get(),
                             "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256");
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(context_.get(), keep_session);
    if (certificate != nullptr) {
      SSL_CTX_use_certificate(context_.get(), certificate->certificate.get());
      SSL_CTX_use_PrivateKey(context_.get(), certificate->key.get());
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_app_data(ssl_.get(), this);
    if (session != nullptr) SSL_set_session(ssl_.get(), session);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in_, -1);
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_connect_state(ssl_.get());
  }
  ~TlsClient() { SSL_SESSION_free(session_); }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  /// Goes on with the handshake as far as it can.
  bool shake_hands() {
    receive();
    const bool done = SSL_do_handshake(ssl_.get()) == 1;
    deliver();
    return done;
  }
  void send(std::string_view bytes) {
    must(SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) == static_cast<int>(bytes.size()), "a write of the client");
    deliver();
  }
  /// What has come since the last call.
  std::string take() {
    receive();
    std::string taken;
    std::string piece(64 * 1024, '\0');
    for (;;) {
      const int size = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
      if (size <= 0) break;
      taken.append(piece, 0, static_cast<std::size_t>(size));
    }
    deliver();
    return taken;
  }
  void say_goodbye() {
    SSL_shutdown(ssl_.get());
    deliver();
  }
  /// Takes new keys, and asks the other side for the same.
  void update_keys(bool asks = true) {
    SSL_key_update(ssl_.get(), asks ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(ssl_.get());
    deliver();
  }
  void offer_ciphers(const char* ciphers) { must(SSL_set_cipher_list(ssl_.get(), ciphers) == 1, "ciphers"); }
  /// A certificate that is sent behind the client's own.
  void show_beside(X509& certificate) { must(SSL_add1_chain_cert(ssl_.get(), &certificate) == 1, "a chain"); }
  /// Which kinds of keys it offers, the first of which it sends one of.
  void offer_groups(const char* groups) { must(SSL_set1_groups_list(ssl_.get(), groups) == 1, "groups"); }
  bool established() const { return SSL_is_init_finished(ssl_.get()) == 1; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  bool was_told_goodbye() const { return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
  SSL_SESSION* session() const { return session_; }

 private:
  static int keep_session(SSL* ssl, SSL_SESSION* session) {
    auto& client = *static_cast<TlsClient*>(SSL_get_app_data(ssl));
    SSL_SESSION_free(std::exchange(client.session_, session));
    return 1;
  }
  void receive() {
    const std::string bytes = wire_->take();
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
  }
  void deliver() {
    const std::string bytes = text_of_bio(*out_);
    if (bytes.empty()) return;
    static_cast<void>(BIO_reset(out_));
    wire_->deliver(bytes);
  }

  std::shared_ptr<Wire> wire_;
  TlsOwned<SSL_CTX> context_;
  TlsOwned<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  SSL_SESSION* session_ = nullptr;
};

/// Carries a handshake to its end. Returns false if the transport fails before.
inline bool finish_handshake(TlsTransport& transport, TlsClient& client) {
  char byte = 0;
  const iovec room{&byte, 1};
  for (int i = 0; i < 100'000; ++i) {
    client.shake_hands();
    if (transport.read({&room, 1}).outcome != Transport::Outcome::blocked) return false;
    if (transport.handshake() == Transport::Handshake::done) return true;
  }
  return false;
}

inline iovec run(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

/// A server's transport over a wire, and its client.
struct Tls {
  explicit Tls(TlsFiles& files, int protocol = TLS1_3_VERSION, const Certified* certificate = nullptr, SSL_SESSION* session = nullptr)
      : transport(std::make_unique<FakeTransport>(wire), files.context != nullptr ? files.context : files.load(), buffers),
        client(wire, protocol, certificate, session) {}

  /// Carries the handshake to its end. Returns false if it fails.
  bool shake_hands() {
    if (!finish_handshake(transport, client)) return false;
    established = transport.established();
    if (!client.shake_hands()) return false;
    client.take();  // the ticket
    return true;
  }
  /// At most 4096 bytes, which are in `spare` then.
  Transport::Result read() {
    const iovec room{spare.data(), spare.size()};
    return transport.read({&room, 1});
  }
  /// Reads until nothing more comes.
  std::string read_all() {
    std::string received;
    for (;;) {
      const Transport::Result result = read();
      last = result.outcome;
      if (result.outcome == Transport::Outcome::done) {
        received.append(spare.data(), result.bytes);
      } else if (wire->rest().empty() || result.outcome != Transport::Outcome::blocked) {
        return received;
      }
    }
  }
  /// Writes all of it, whatever the transport takes at a time. Returns false if it fails.
  bool write_all(std::vector<std::string> runs) {
    for (int i = 0; i < 1'000'000; ++i) {
      std::vector<iovec> parts;
      for (const std::string& one : runs) {
        if (!one.empty()) parts.push_back(run(one));
      }
      if (parts.empty()) return true;
      Transport::Result result = transport.write(parts);
      if (result.outcome == Transport::Outcome::failed) return false;
      for (std::string& one : runs) {
        const std::size_t count = std::min(one.size(), result.bytes);
        one.erase(0, count);
        result.bytes -= count;
      }
      if (result.outcome == Transport::Outcome::blocked) wire->let_write();
    }
    return false;
  }

  std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  TlsBuffers buffers;
  TlsTransport transport;
  TlsClient client;
  std::array<char, 4096> spare{};
  Transport::Outcome last = Transport::Outcome::done;
  Transport::Established established;
};

/// A connection of a rig with TLS, whose client is at the other end of the wire.
inline std::shared_ptr<Wire> adopt(Rig& rig, const TlsFiles& files, const std::string& peer = "127.0.0.1:1000") {
  auto wire = std::make_shared<Wire>();
  wire->peer = peer;
  rig.thread.adopt(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wire), files.context, rig.thread.tls_buffers()));
  rig.settle();
  return wire;
}

/// A thread that asks its clients for no certificates and has so many handshakes under way at most, and clients for it.
struct Handshakes {
  struct Begun {
    std::shared_ptr<Wire> wire;
    std::unique_ptr<TlsClient> client;
  };

  explicit Handshakes(const char* most) {
    files.set(config::Id::tls_auth_clients, "no");
    files.load();
    rig.set(config::Id::protected_mode, "no");
    rig.set(config::Id::tls_max_handshakes, most);
  }
  /// A client that has sent its first bytes, and nothing more.
  Begun begin(const std::string& peer = "127.0.0.1:1000") {
    const auto wire = adopt(rig, files, peer);
    Begun begun{wire, std::make_unique<TlsClient>(wire)};
    begun.client->shake_hands();
    rig.settle();
    return begun;
  }

  TlsFiles files;
  Rig rig;
};

}  // namespace pinfold::net
