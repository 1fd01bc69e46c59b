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

/// For the main thread alone, but for latest(). `engine` must outlive it. A context that cannot be loaded leaves the present one in force.
/// Loading reads files, so it may take as long as a disk does.
class TlsCertificates {
 public:
  explicit TlsCertificates(command::Engine& engine) : engine_(engine) {}

  /// Makes a context from the settings and their files, and logs what has come of it. Returns an error, or nothing. Throws std::bad_alloc
  /// if there is no memory for an error; look() tries again then too.
  std::optional<std::string> load();
  /// Takes the last load() back, because its settings have been refused. Called before the next look().
  void undo();
  /// Loads again if a file has changed since the last attempt, or if the ticket keys are old. If the last attempt has failed, it also loads
  /// after 2 seconds, and then after twice as long each time, up to 5 minutes: memory or descriptors may have been short. Otherwise costs
  /// a few system calls. An error is logged once, however often the same comes again.
  void look();
  /// The context for new connections; null before the first load().
  const std::shared_ptr<const TlsContext>& context() const { return present_.context; }
  /// The same for any thread.
  std::shared_ptr<const TlsContext> latest() const {
    const std::lock_guard lock(mutex_);
    return present_.context;
  }

 private:
  // What tells a file from an earlier one, of all files together.
  using Stamp = std::string;
  // What the last attempt has left.
  struct State {
    std::shared_ptr<const TlsContext> context;
    Stamp stamp;
    MonoMs tried_at;
    std::int64_t retry_ms = 0;  // how long after a failure the next attempt comes; 0: there was none
  };
  struct Former {
    State state;
    command::TlsCertificateState status;
  };
  static Stamp stamp_of(const TlsOptions& options);
  std::optional<std::string> load_files();
  void note_loaded() const;
  void note_failure(const std::string& error) const;

  command::Engine& engine_;
  mutable std::mutex mutex_;  // held when present_.context is changed, and when another thread reads it
  State present_;
  std::optional<Former> former_;  // before the last load(), for undo()
};

}  // namespace pinfold::net
