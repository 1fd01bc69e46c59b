#pragma once

#include "tally.h"
#include <sys/types.h>

namespace pinfold::load {

// User and system time of another process, all its threads together, ended ones too. Read from the process'
// CPU clock, which counts nanoseconds; where a sandbox hides that clock, from /proc, which counts ticks of 10
// ms.
class CpuClock {
 public:
  explicit CpuClock(pid_t process);

  // Seconds since the process started; negative when it cannot be read.
  double seconds() const;
  const char* source() const { return fine_ ? "process clock" : "ticks"; }

 private:
  pid_t process_;
  clockid_t clock_{};
  bool fine_ = false;
};

// Runs a load that gives a Tally, and notes in it the CPU time that the process used meanwhile; 0: nobody's.
template <typename Run>
Tally with_cpu_of(pid_t process, Run run) {
  if (process == 0) return run();
  const CpuClock clock(process);
  const double before = clock.seconds();
  Tally tally = run();
  const double after = clock.seconds();
  if (before >= 0 && after >= 0) tally.server_cpu_seconds = after - before;
  tally.cpu_clock = clock.source();
  return tally;
}

}  // namespace pinfold::load
