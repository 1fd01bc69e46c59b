#pragma once

#include <string>

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

}  // namespace pinfold::load
