#pragma once
// How much of the machine this process may use. A container sees the host's /proc, so the limits of the control group are read
// as well. `root` is put before every path, for tests. Thread-safe; reads files each time.

#include <cstdint>
#include <string>

namespace pinfold::config {

/// The memory of the machine or, if that is smaller, the limit of a cgroup (v2 or v1) of this process. In bytes; 0 if unknown.
std::uint64_t available_memory(const std::string& root = "");

/// The number of cores that this process may use, by its affinity and by the quota of its cgroup, rounded up. At least 1.
unsigned available_cores(const std::string& root = "");

}  // namespace pinfold::config
