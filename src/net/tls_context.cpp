#include "pinfold/net/tls_context.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <new>
#include <sstream>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/text.hpp"

namespace pinfold::net {

namespace {

using Error = std::optional<std::string>;
using config::Id;

constexpr std::size_t largest_file = 1024 * 1024;
constexpr std::size_t most_ca_files = 1024;
// Of the authorities together, and of a chain. OpenSSL takes a third of a millisecond to parse one, and to put N of them into a store it
// takes a time that grows with N * N: 0.06 s for 1000, 50 s for 12,000.
constexpr std::size_t most_certificates = 1024;
constexpr std::size_t most_bytes = 8 * 1024 * 1024;  // of their files

constexpr std::time_t ends_soon_seconds = std::time_t{30} * 24 * 60 * 60;  // as the alert PinfoldCertificateExpires says

// What keys are agreed on with: elliptic curves alone, for TLS 1.2 too. For finite fields, a client that replays one ClientHello of 1.2 KB
// costs a quarter of a second each time (ffdhe8192), on a curve at most 3 ms.
constexpr const char* groups = "X25519:P-256:X448:P-521:P-384";
constexpr long largest_chain = 32 * 1024;  // bytes that a client's certificates may have together
constexpr int longest_chain = 10;          // and how many they may be: OpenSSL keeps all of them, and 3 KB for the smallest

// The ciphers of TLS 1.2 if tls-ciphers names none: those that OpenSSL takes by itself, or by the policy of the system (openssl.cnf),
// without the ones that agree on a key with the server's RSA key alone. So whoever gets hold of that key cannot read what was recorded
// before.
std::string usual_ciphers(SSL_CTX* context) {
  const STACK_OF(SSL_CIPHER)* const all = SSL_CTX_get_ciphers(context);
  std::string names;
  for (int i = 0; i < sk_SSL_CIPHER_num(all); ++i) {
    const SSL_CIPHER* const cipher = sk_SSL_CIPHER_value(all, i);
    const int exchange = SSL_CIPHER_get_kx_nid(cipher);
    if (exchange == NID_kx_rsa || exchange == NID_kx_any) continue;  // the latter are those of TLS 1.3, which have a list of their own
    if (!names.empty()) names += ':';
    names += SSL_CIPHER_get_name(cipher);
  }
  return names;
}

// What OpenSSL says about its last failure, and forgets it.
std::string last_fault() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown error";
}

std::string about(std::string_view setting, const std::string& file, const std::string& what) {
  return std::string(setting) + " '" + file + "': " + what;
}

// Only a regular file is read: to open a FIFO, or to read from a terminal, could last for ever.
Error read_file(std::string_view setting, const std::string& file, std::string& content) {
  const auto fault = [&](const char* what) { return about(setting, file, what + std::generic_category().message(errno)); };
  struct Closed {
    ~Closed() {
      if (fd >= 0) ::close(fd);
    }
    const int fd;
  };
  const Closed opened{::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
  if (opened.fd < 0) return fault("cannot be opened: ");
  struct stat info {};
  if (::fstat(opened.fd, &info) != 0) return fault("cannot be read: ");
  if (S_ISDIR(info.st_mode)) return about(setting, file, "is a directory");
  if (!S_ISREG(info.st_mode)) return about(setting, file, "is no regular file");
  // One byte more than the file has, so that a last read finds its end. Some file systems do not know how much a file has.
  content.resize(std::min(static_cast<std::size_t>(info.st_size), largest_file) + 1);
  std::size_t size = 0;
  for (;;) {
    if (size > largest_file) return about(setting, file, "is larger than 1 MB");
    if (size == content.size()) content.resize(std::min(2 * size + 4096, largest_file + 1));
    const ssize_t count = ::read(opened.fd, content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fault("cannot be read: ");
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  content.resize(size);
  if (size == 0) return about(setting, file, "is empty");
  return std::nullopt;
}

TlsOwned<BIO> view_of(const std::string& content) {
  TlsOwned<BIO> bio(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  if (bio == nullptr) throw std::bad_alloc();
  return bio;
}

// OpenSSL asks for passwords here. Without this function it would ask at the terminal.
int give_password(char* buffer, int size, int /*writing*/, void* data) {
  const auto& password = *static_cast<const std::string*>(data);
  if (password.empty() || password.size() > static_cast<std::size_t>(size)) return -1;
  std::copy(password.begin(), password.end(), buffer);
  return static_cast<int>(password.size());
}

struct Certificates {
  std::vector<TlsOwned<X509>> all;
  std::size_t bytes = 0;  // of their files
};

constexpr const char* no_certificate = "has no certificate in PEM";

// Adds those of a file, which may have none.
Error read_certificates(std::string_view setting, const std::string& file, Certificates& certificates) {
  std::string content;
  if (Error error = read_file(setting, file, content)) return error;
  certificates.bytes += content.size();
  if (certificates.bytes > most_bytes) return about(setting, file, "is too much: the files of authorities may have 8 MB together");
  const TlsOwned<BIO> bio = view_of(content);
  std::string none;
  for (;;) {
    TlsOwned<X509> one(PEM_read_bio_X509(bio.get(), nullptr, give_password, &none));
    if (one == nullptr) break;
    if (certificates.all.size() == most_certificates) return about(setting, file, "is too much: there may be 1024 certificates");
    certificates.all.push_back(std::move(one));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string fault = last_fault();
  if (!at_end) return about(setting, file, "has a broken certificate: " + fault);
  return std::nullopt;
}

// A key begins with a line that says so. OpenSSL's error for a password that is wrong or missing does not.
Error read_key(const TlsOptions& options, TlsOwned<EVP_PKEY>& key) {
  constexpr std::string_view setting = "tls-key-file";
  std::string content;
  if (Error error = read_file(setting, options.key_file, content)) return error;
  const TlsOwned<BIO> bio = view_of(content);
  std::string password = options.key_file_pass;
  key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_password, &password));
  const std::string fault = last_fault();
  const bool encrypted = content.find("ENCRYPTED") != std::string::npos;
  OPENSSL_cleanse(content.data(), content.size());
  OPENSSL_cleanse(password.data(), password.size());
  if (key != nullptr) return std::nullopt;
  if (encrypted && options.key_file_pass.empty()) return about(setting, options.key_file, "has a password: set tls-key-file-pass");
  if (encrypted) return about(setting, options.key_file, "cannot be read with the password in tls-key-file-pass");
  return about(setting, options.key_file, "has no key in PEM: " + fault);
}

// Calls for the usual verification, unless there are too many certificates.
int verify_chain(X509_STORE_CTX* store, void* /*unused*/) {
  if (sk_X509_num(X509_STORE_CTX_get0_untrusted(store)) <= longest_chain) return X509_verify_cert(store);
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_CHAIN_TOO_LONG);
  return 0;
}

std::string serial_of(const X509& certificate) {
  std::string text;
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(&certificate);
  constexpr std::string_view digits = "0123456789ABCDEF";
  constexpr std::size_t longest = 64;
  const std::string_view bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
                               static_cast<std::size_t>(ASN1_STRING_length(serial)));
  for (const char c : bytes.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(digits[byte >> 4]);
    text.push_back(digits[byte & 15]);
  }
  return text;
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<std::int64_t>(timegm(&parts)) : 0;
}

std::string day_of(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  const auto two = [](int number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  return std::to_string(parts.tm_year + 1900) + "-" + two(parts.tm_mon + 1) + "-" + two(parts.tm_mday);
}

std::vector<std::string> files_in(const std::string& directory, std::error_code& error) {
  std::vector<std::string> files;
  for (std::filesystem::directory_iterator one(directory, error), end; !error && one != end; one.increment(error)) {
    std::error_code ignored;
    if (one->is_regular_file(ignored)) files.push_back(one->path().string());
    if (files.size() > most_ca_files) break;
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

TlsOptions::TlsOptions(const config::Settings& settings)
    : cert_file(settings.text(Id::tls_cert_file)),
      key_file(settings.text(Id::tls_key_file)),
      key_file_pass(settings.text(Id::tls_key_file_pass)),
      ca_cert_file(settings.text(Id::tls_ca_cert_file)),
      ca_cert_dir(settings.text(Id::tls_ca_cert_dir)),
      auth_clients(static_cast<AuthClients>(settings.integer(Id::tls_auth_clients))),
      auth_clients_user(static_cast<TlsNameField>(settings.integer(Id::tls_auth_clients_user))),
      protocols(settings.text(Id::tls_protocols)),
      ciphers(settings.text(Id::tls_ciphers)),
      ciphersuites(settings.text(Id::tls_ciphersuites)),
      prefer_server_ciphers(settings.flag(Id::tls_prefer_server_ciphers)),
      session_caching(settings.flag(Id::tls_session_caching)),
      session_cache_seconds(settings.integer(Id::tls_session_cache_timeout)) {}

std::optional<std::string> TlsContext::load(const TlsOptions& options, std::shared_ptr<const TlsContext>& context) {
  ERR_clear_error();
  const std::shared_ptr<TlsContext> made(new TlsContext());
  made->context_.reset(SSL_CTX_new(TLS_server_method()));
  if (made->context_ == nullptr) return "TLS cannot be set up: " + last_fault();
  SSL_CTX* const raw = made->context_.get();
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_set1_groups_list(raw, groups) != 1) return "TLS cannot be set up: " + last_fault();
  SSL_CTX_set_max_cert_list(raw, largest_chain);
  SSL_CTX_set_cert_verify_callback(raw, verify_chain, nullptr);
  if (options.prefer_server_ciphers) SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (Error error = made->set_protocols(options)) return error;
  if (Error error = made->load_server(options)) return error;
  if (Error error = made->load_authorities(options)) return error;
  made->complete_chain();
  made->set_sessions(options);
  made->user_field_ = options.auth_clients_user;
  if (options.auth_clients_user != TlsNameField::off && options.auth_clients == TlsOptions::AuthClients::no) {
    made->warnings_.emplace_back("tls-auth-clients-user has no effect while tls-auth-clients is no: clients show no certificates");
  }
  context = made;
  return std::nullopt;
}

TlsOwned<SSL> TlsContext::make() const { return TlsOwned<SSL>(SSL_new(context_.get())); }

std::optional<std::string> TlsContext::set_protocols(const TlsOptions& options) {
  bool tls12 = options.protocols.empty();
  bool tls13 = options.protocols.empty();
  std::istringstream words(options.protocols);
  for (std::string word; words >> word;) {
    if (iequals(word, "TLSv1.2")) {
      tls12 = true;
    } else if (iequals(word, "TLSv1.3")) {
      tls13 = true;
    } else {
      return "tls-protocols: there is no protocol '" + word + "': it takes TLSv1.2 and TLSv1.3";
    }
  }
  if (!tls12 && !tls13) return "tls-protocols: names no protocol: it takes TLSv1.2 and TLSv1.3";
  SSL_CTX* const context = context_.get();
  SSL_CTX_set_min_proto_version(context, tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(context, tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  const std::string ciphers = options.ciphers.empty() ? usual_ciphers(context) : options.ciphers;
  if (ciphers.empty() && tls12) {  // without TLS 1.2 no list is needed
    if (!tls13) return "tls-ciphers: none of the system's ciphers for TLS 1.2 keeps secret what was recorded: name some, or allow TLSv1.3";
    warnings_.emplace_back("none of the system's ciphers for TLS 1.2 keeps secret what was recorded (tls-ciphers): only TLS 1.3 is spoken");
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  } else if (!ciphers.empty() && SSL_CTX_set_cipher_list(context, ciphers.c_str()) != 1) {
    return "tls-ciphers: " + (options.ciphers.empty() ? "the system's ciphers" : "'" + ciphers + "'") + ": " + last_fault();
  }
  if (!options.ciphersuites.empty() && SSL_CTX_set_ciphersuites(context, options.ciphersuites.c_str()) != 1) {
    return "tls-ciphersuites: '" + options.ciphersuites + "': " + last_fault();
  }
  return std::nullopt;
}

std::optional<std::string> TlsContext::load_server(const TlsOptions& options) {
  if (options.cert_file.empty()) return "tls-cert-file is not set: TLS needs a certificate";
  if (options.key_file.empty()) return "tls-key-file is not set: TLS needs the key of the certificate";
  Certificates certificates;
  if (Error error = read_certificates("tls-cert-file", options.cert_file, certificates)) return error;
  const std::vector<TlsOwned<X509>>& chain = certificates.all;
  if (chain.empty()) return about("tls-cert-file", options.cert_file, no_certificate);
  TlsOwned<EVP_PKEY> key;
  if (Error error = read_key(options, key)) return error;
  SSL_CTX* const context = context_.get();
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1) {
    return about("tls-cert-file", options.cert_file, "cannot be used: " + last_fault());
  }
  if (X509_check_private_key(chain[0].get(), key.get()) != 1 || SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    ERR_clear_error();
    return about("tls-key-file", options.key_file, "is not the key of the certificate in tls-cert-file '" + options.cert_file + "'");
  }
  for (std::size_t i = 0; i < chain.size(); ++i) {
    look_at(*chain[i], about("tls-cert-file", options.cert_file, i == 0 ? "the certificate" : "certificate " + std::to_string(i + 1)),
            server_);
    if (i > 0 && SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
      return about("tls-cert-file", options.cert_file, "certificate " + std::to_string(i + 1) + " cannot be used: " + last_fault());
    }
  }
  struct stat info {};
  if (::stat(options.key_file.c_str(), &info) == 0 && (info.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    warnings_.push_back(about("tls-key-file", options.key_file, "every user of this machine may read it"));
  }
  return std::nullopt;
}

std::optional<std::string> TlsContext::load_authorities(const TlsOptions& options) {
  using AuthClients = TlsOptions::AuthClients;
  SSL_CTX* const context = context_.get();
  const bool any = !options.ca_cert_file.empty() || !options.ca_cert_dir.empty();
  if (options.auth_clients != AuthClients::no && !any) {
    return "tls-auth-clients asks for certificates of clients, and neither tls-ca-cert-file nor tls-ca-cert-dir says which authorities may "
           "have made them: set one, or set tls-auth-clients to no";
  }
  Certificates authorities;
  if (!options.ca_cert_file.empty()) {
    if (Error error = read_certificates("tls-ca-cert-file", options.ca_cert_file, authorities)) return error;
    if (authorities.all.empty()) return about("tls-ca-cert-file", options.ca_cert_file, no_certificate);
  }
  if (!options.ca_cert_dir.empty()) {
    std::error_code error;
    const std::vector<std::string> files = files_in(options.ca_cert_dir, error);
    if (error) return about("tls-ca-cert-dir", options.ca_cert_dir, "cannot be read: " + error.message());
    if (files.size() > most_ca_files) return about("tls-ca-cert-dir", options.ca_cert_dir, "has more than 1024 files");
    if (files.empty()) return about("tls-ca-cert-dir", options.ca_cert_dir, "has no files");
    const std::size_t before = authorities.all.size();
    for (const std::string& file : files) {
      if (Error fault = read_certificates("tls-ca-cert-dir", file, authorities)) return fault;
    }
    if (authorities.all.size() == before) return about("tls-ca-cert-dir", options.ca_cert_dir, no_certificate);
  }
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  for (const TlsOwned<X509>& one : authorities.all) {
    look_at(*one, "an authority for certificates of clients (serial number " + serial_of(*one) + ")", authority_);
    if (X509_STORE_add_cert(store, one.get()) != 1) return "tls-ca-cert-file: a certificate cannot be used: " + last_fault();
  }
  if (options.auth_clients == AuthClients::no) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  } else {
    const bool must = options.auth_clients == AuthClients::yes;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (must ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  }
  return std::nullopt;
}

// Decides once which certificates clients get behind the server's own. Otherwise OpenSSL would look for them among the authorities, and
// verify them, in each handshake: a fifth of its CPU time. What tls-cert-file lacks is taken from the authorities, but for the root, which
// clients must have. A chain that does not end at one of them is sent as the file has it.
void TlsContext::complete_chain() {
  SSL_CTX* const context = context_.get();
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_build_cert_chain(context, SSL_BUILD_CHAIN_FLAG_UNTRUSTED | SSL_BUILD_CHAIN_FLAG_NO_ROOT | SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
                                        SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR);
  ERR_clear_error();
}

// Tickets hold all of a session, encrypted. So resumption costs the server no memory.
void TlsContext::set_sessions(const TlsOptions& options) {
  SSL_CTX* const context = context_.get();
  constexpr std::string_view id = "pinfold";
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(id.data()), static_cast<unsigned>(id.size()));
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, options.session_cache_seconds);
  SSL_CTX_set_num_tickets(context, options.session_caching ? 1 : 0);
  if (!options.session_caching) SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
}

// Keeps the certificate that expires first, and warns of one that is not valid or will not be for long.
void TlsContext::look_at(X509& certificate, const std::string& what, command::CertificateSummary& summary) {
  const ASN1_TIME* const end = X509_get0_notAfter(&certificate);
  const ASN1_TIME* const begin = X509_get0_notBefore(&certificate);
  std::time_t soon = std::time(nullptr) + ends_soon_seconds;
  if (X509_cmp_current_time(end) <= 0) {
    warnings_.push_back(what + " has expired on " + day_of(end));
  } else if (X509_cmp_time(end, &soon) <= 0) {
    warnings_.push_back(what + " ends soon, on " + day_of(end));
  }
  if (X509_cmp_current_time(begin) > 0) warnings_.push_back(what + " is not valid before " + day_of(begin));
  const std::int64_t expires = seconds_of(end);
  if (summary.serial.empty() || expires < summary.expires_at) {
    summary.serial = serial_of(certificate);
    summary.expires_at = expires;
  }
  summary.begins_at = std::max(summary.begins_at, seconds_of(begin));
}

}  // namespace pinfold::net
