#pragma once
// What a command does that may take as long as a disk. The main thread does it, so that no I/O thread waits.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pinfold/base/audit_log.hpp"
#include "pinfold/command/audit.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

/// Sleeps while the main thread works. The work is done to its end, and logged, even if the client goes away meanwhile. Of two clients that
/// ask at once, one is served after the other.
class MainThreadTask : public Task {
 public:
  /// Returns an error, or nothing: then the reply is OK. Called once, on the main thread.
  using Work = std::function<std::optional<std::string>(Engine&)>;
  /// `kind` is the kind of its line in the audit log. The reply to an error begins with `error_prefix`.
  MainThreadTask(const Call& call, AuditLog::Kind kind, Work work, std::string error_prefix);

  Outcome step(Call& call) override;

 private:
  struct Result {
    std::atomic<bool> done{false};
    std::optional<std::string> error;  // constant once `done` is set
  };
  void begin(Call& call);

  const std::string request_;
  const std::optional<AuditedRequest> audited_;
  const bool logged_;  // the request has its line in the log already, so only an error gets one
  const AuditLog::Kind kind_;
  Work work_;
  const std::string error_prefix_;
  std::shared_ptr<Result> result_;
};

}  // namespace pinfold::command
