#pragma once
// Lines in the log that say which switches for an incident are on, so that nobody forgets them: when one is set, at the start of
// the server, and once an hour.

#include <string>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/engine.hpp"

namespace pinfold::server {

/// Which switches are on (serve-stale, admit, bypass, max-leases 0), by setting and by policy, and what they do. Empty if none
/// is. Names 5 policies at most. The caller must have locked Cache::policies_mutex(). O(policies).
std::string switches_that_are_on(command::Engine& engine);

/// Not thread-safe: for the background worker.
class SwitchReminder {
 public:
  explicit SwitchReminder(command::Engine& engine) : engine_(engine) {}

  /// Notes a line for the log if other switches are on than before, or if an hour has passed since the last line and some are
  /// on. If the policies are being changed, the next call does so.
  void look(MonoMs now);

 private:
  command::Engine& engine_;
  std::string told_;  // what the last line said; empty: that none is on
  MonoMs told_at_;
};

}  // namespace pinfold::server
