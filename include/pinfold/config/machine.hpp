#pragma once
// What this process may use of the machine. Containers see the host's /proc, so the limits of the control
// group count as well. `root` is put before every path, for tests.

#include <cstdint>
#include <string>

namespace pinfold::config {

/// Memory of the machine or, if smaller, the limit of a cgroup (v2 or v1) this process is in, in bytes; 0 if
/// unknown.
std::uint64_t available_memory(const std::string& root = "");

/// Cores that this process may run on: its affinity and the quota of its cgroup, rounded up. At least 1.
unsigned available_cores(const std::string& root = "");

}  // namespace pinfold::config
