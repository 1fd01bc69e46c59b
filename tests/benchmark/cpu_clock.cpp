#include "cpu_clock.h"

#include <fstream>
#include <sstream>

#include <time.h>
#include <unistd.h>

namespace pinfold::load {
namespace {

double from_ticks(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return -1;
  // The command name, field 2, may hold spaces; it ends at the last parenthesis. utime and stime are 14
  // and 15.
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return -1;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0;
  double system = 0;
  if (!(fields >> user >> system)) return -1;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

CpuClock::CpuClock(pid_t process) : process_(process) {
  timespec now{};
  fine_ = ::clock_getcpuclockid(process, &clock_) == 0 && ::clock_gettime(clock_, &now) == 0;
}

double CpuClock::seconds() const {
  if (!fine_) return from_ticks(process_);
  timespec now{};
  if (::clock_gettime(clock_, &now) != 0) return -1;
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace pinfold::load
