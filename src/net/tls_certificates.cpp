#include "pinfold/net/tls_certificates.hpp"

#include <algorithm>
#include <filesystem>
#include <new>
#include <system_error>
#include <utility>

#include <sys/stat.h>

namespace pinfold::net {

namespace {

constexpr std::int64_t ticket_keys_ms = std::int64_t{6} * 60 * 60 * 1000;
constexpr std::int64_t first_retry_ms = 2000;
constexpr std::int64_t last_retry_ms = std::int64_t{5} * 60 * 1000;

// The time of the last change of the inode is there for the sake of permissions.
void add_stamp(std::string& stamp, const std::string& file) {
  struct stat info {};
  if (file.empty() || ::stat(file.c_str(), &info) != 0) {
    stamp += "-\n";
    return;
  }
  for (const auto part :
       {static_cast<std::int64_t>(info.st_dev), static_cast<std::int64_t>(info.st_ino), static_cast<std::int64_t>(info.st_size),
        static_cast<std::int64_t>(info.st_mtim.tv_sec), static_cast<std::int64_t>(info.st_mtim.tv_nsec),
        static_cast<std::int64_t>(info.st_ctim.tv_sec), static_cast<std::int64_t>(info.st_ctim.tv_nsec)}) {
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
  std::optional<std::string> error;
  former_.reset();
  try {
    former_ = {present_, engine_.tls.certificates()};
    error = load_files();
  } catch (const std::bad_alloc&) {
    error = "out of memory";
  }
  present_.tried_at = monotonic_ms();
  present_.retry_ms = error ? std::clamp(2 * present_.retry_ms, first_retry_ms, last_retry_ms) : 0;
  if (error) {
    note_failure(*error);
  } else {
    note_loaded();
  }
  return error;
}

std::optional<std::string> TlsCertificates::load_files() {
  const TlsOptions options(engine_.settings);
  present_.stamp = stamp_of(options);  // before the files are read: if they change meanwhile, they are read again
  std::shared_ptr<const TlsContext> loaded;
  if (auto error = TlsContext::load(options, loaded)) return error;
  const auto now = static_cast<std::int64_t>(unix_seconds());
  if (present_.context != nullptr && !loaded->server().is_valid_at(now) && present_.context->server().is_valid_at(now)) {
    const bool expired = loaded->server().expires_at <= now;
    return "the certificate in '" + options.cert_file + "' " +
           (expired ? "has expired, and the present one has not" : "is not valid yet, and the present one is");
  }
  engine_.tls.loaded(loaded->server(), loaded->authority(), now);
  const std::lock_guard lock(mutex_);
  present_.context.swap(loaded);
  return std::nullopt;
}

void TlsCertificates::undo() {
  if (!former_) return;
  {
    const std::lock_guard lock(mutex_);
    std::swap(present_, former_->state);
  }
  engine_.tls.restore(std::move(former_->status));
  former_.reset();
}

void TlsCertificates::note_failure(const std::string& error) const {
  if (!engine_.tls.not_loaded(error)) return;
  engine_.events.note(EventLog::Kind::bad_certificates,
                      [&] { return "TLS: " + error + "; clients that connect get the certificates of before"; });
  engine_.audit.note(AuditLog::Kind::server, [&](AuditLine& line) { line.add("action", "certificates-refused").add("reason", error); });
}

void TlsCertificates::note_loaded() const {
  const TlsContext& loaded = *present_.context;
  for (const std::string& warning : loaded.warnings()) {
    engine_.events.note(EventLog::Kind::bad_certificates, [&] { return "TLS: " + warning; });
  }
  engine_.events.note(EventLog::Kind::certificates, [&] { return "TLS: certificates loaded, serial number " + loaded.server().serial; });
  engine_.audit.note(AuditLog::Kind::server,
                     [&](AuditLine& line) { line.add("action", "certificates-loaded").add("serial", loaded.server().serial); });
}

void TlsCertificates::look() {
  former_.reset();
  const bool changed = stamp_of(TlsOptions(engine_.settings)) != present_.stamp;
  const std::int64_t since = monotonic_ms() - present_.tried_at;
  if (changed) present_.retry_ms = 0;
  const bool again = present_.retry_ms != 0 && since >= present_.retry_ms;
  if (changed || again || since >= ticket_keys_ms) load();
}

}  // namespace pinfold::net
