#pragma once
// What INFO tells of TLS. The net room writes it.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace pinfold::command {

/// A certificate, for operators. All empty if there is none.
struct CertificateSummary {
  std::string serial;           // hexadecimal
  std::int64_t begins_at = 0;   // Unix time in seconds; of several certificates the latest
  std::int64_t expires_at = 0;  // the same

  bool is_valid_at(std::int64_t now) const { return begins_at <= now && now < expires_at; }
};

/// The present certificates, and how the last attempts to load them went.
struct TlsCertificateState {
  CertificateSummary server;     // that of the chain which expires first
  CertificateSummary authority;  // the same of the authorities that clients' certificates may come from
  std::uint64_t loads = 0;
  std::uint64_t failed_loads = 0;
  std::int64_t loaded_at = 0;  // Unix time in seconds; 0: never
  std::string last_error;      // empty if the last attempt succeeded
};

/// Thread-safe.
class TlsStatus {
 public:
  std::atomic<std::uint64_t> clients{0};    // connections whose handshake is done
  std::atomic<std::uint64_t> under_way{0};  // handshakes that have begun
  std::atomic<std::uint64_t> waiting{0};    // connections whose handshakes wait for their turns

  void loaded(CertificateSummary server, CertificateSummary authority, std::int64_t now) {
    const std::lock_guard lock(mutex_);
    state_.server = std::move(server);
    state_.authority = std::move(authority);
    state_.loaded_at = now;
    state_.last_error.clear();
    ++state_.loads;
  }
  /// Returns whether the error is another one than that of the last attempt.
  bool not_loaded(const std::string& error) {
    const std::lock_guard lock(mutex_);
    ++state_.failed_loads;
    if (state_.last_error == error) return false;
    state_.last_error = error;
    return true;
  }
  /// The certificates of `former` are in force again. What has been counted since stays.
  void restore(TlsCertificateState former) {
    const std::lock_guard lock(mutex_);
    former.loads = state_.loads;
    former.failed_loads = state_.failed_loads;
    state_ = std::move(former);
  }
  TlsCertificateState certificates() const {
    const std::lock_guard lock(mutex_);
    return state_;
  }

 private:
  mutable std::mutex mutex_;  // guards state_
  TlsCertificateState state_;
};

}  // namespace pinfold::command
