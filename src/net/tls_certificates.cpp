#include "pinfold/net/tls_certificates.hpp"

#include <filesystem>
#include <new>
#include <system_error>
#include <utility>

#include <sys/stat.h>

namespace pinfold::net {

namespace {

constexpr std::int64_t ticket_keys_ms = std::int64_t{6} * 60 * 60 * 1000;

void add_stamp(std::string& stamp, const std::string& file) {
  struct stat info {};
  if (file.empty() || ::stat(file.c_str(), &info) != 0) {
    stamp += "-\n";
    return;
  }
  for (const auto part :
       {static_cast<std::int64_t>(info.st_dev), static_cast<std::int64_t>(info.st_ino), static_cast<std::int64_t>(info.st_size),
        static_cast<std::int64_t>(info.st_mtim.tv_sec), static_cast<std::int64_t>(info.st_mtim.tv_nsec)}) {
    stamp.append(std::to_string(part)).append(" ");
  }
  stamp += '\n';
}

}  // namespace

// Names of files that were added to the directory change its own stamp.
TlsCertificates::Stamp TlsCertificates::stamp_of(const TlsOptions& options) {
  Stamp stamp;
  for (const std::string& file : {options.cert_file, options.key_file, options.ca_cert_file, options.ca_cert_dir}) add_stamp(stamp, file);
  if (options.ca_cert_dir.empty()) return stamp;
  constexpr std::size_t most_files = 1024;
  std::error_code error;
  std::size_t files = 0;
  for (std::filesystem::directory_iterator one(options.ca_cert_dir, error), end; !error && one != end; one.increment(error)) {
    if (++files > most_files) break;
    add_stamp(stamp, one->path().string());
  }
  return stamp;
}

std::optional<std::string> TlsCertificates::load() {
  const std::lock_guard lock(loading_);
  return load_locked();
}

std::optional<std::string> TlsCertificates::load_locked() {
  const TlsOptions options(engine_.settings);
  stamp_ = stamp_of(options);  // before the files are read: if they change meanwhile, they are read again
  loaded_at_ = monotonic_ms();
  std::shared_ptr<const TlsContext> loaded;
  std::optional<std::string> error;
  try {
    error = TlsContext::load(options, loaded);
  } catch (const std::bad_alloc&) {
    error = "out of memory";
  }
  failed_ = error.has_value();
  log(error, loaded.get());
  if (error) return error;
  const std::lock_guard lock(mutex_);
  context_ = std::move(loaded);
  return std::nullopt;
}

void TlsCertificates::log(const std::optional<std::string>& error, const TlsContext* loaded) {
  if (error) {
    if (!engine_.tls.not_loaded(*error)) return;
    engine_.events.note(EventLog::Kind::bad_certificates,
                        [&] { return "TLS: " + *error + "; clients that connect get the certificates of before"; });
    engine_.audit.note(AuditLog::Kind::server, [&](AuditLine& line) { line.add("action", "certificates-refused").add("reason", *error); });
    return;
  }
  engine_.tls.loaded(loaded->server(), loaded->authority(), static_cast<std::int64_t>(unix_seconds()));
  for (const std::string& warning : loaded->warnings()) {
    engine_.events.note(EventLog::Kind::bad_certificates, [&] { return "TLS: " + warning; });
  }
  engine_.events.note(EventLog::Kind::certificates, [&] { return "TLS: certificates loaded, serial number " + loaded->server().serial; });
  engine_.audit.note(AuditLog::Kind::server,
                     [&](AuditLine& line) { line.add("action", "certificates-loaded").add("serial", loaded->server().serial); });
}

void TlsCertificates::look() {
  const std::unique_lock lock(loading_, std::try_to_lock);
  if (!lock) return;  // they are being loaded
  const bool old = monotonic_ms() - loaded_at_ >= ticket_keys_ms;
  if (failed_ || old || stamp_of(TlsOptions(engine_.settings)) != stamp_) load_locked();
}

std::shared_ptr<const TlsContext> TlsCertificates::context() const {
  const std::lock_guard lock(mutex_);
  return context_;
}

}  // namespace pinfold::net
