#pragma once
// The present TLS context, and when it is replaced: when a setting changes, at SIGHUP, when a file changes, and every few hours for
// the sake of new ticket keys.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/net/tls_context.hpp"

namespace pinfold::net {

/// Thread-safe. `engine` must outlive it. A context that cannot be loaded leaves the present one in force. Loading reads files, so it may
/// take as long as a disk does.
class TlsCertificates {
 public:
  explicit TlsCertificates(command::Engine& engine) : engine_(engine) {}

  /// Makes a context from the settings and their files, and logs what has come of it. Returns an error, or nothing.
  std::optional<std::string> load();
  /// Loads again if a file has changed since the last attempt, if the last attempt has failed, or if the ticket keys are old. Costs a few
  /// system calls. An error is logged once, however often the same comes again.
  void look();
  /// The context for new connections; null before the first load().
  std::shared_ptr<const TlsContext> context() const;

 private:
  // What tells a file from an earlier one, of all files together.
  using Stamp = std::string;
  static Stamp stamp_of(const TlsOptions& options);
  std::optional<std::string> load_locked();
  void log(const std::optional<std::string>& error, const TlsContext* loaded);

  command::Engine& engine_;
  std::mutex loading_;  // held while files are read; taken before mutex_. Guards the next three
  Stamp stamp_;
  bool failed_ = false;
  MonoMs loaded_at_;
  mutable std::mutex mutex_;  // guards context_
  std::shared_ptr<const TlsContext> context_;
};

}  // namespace pinfold::net
