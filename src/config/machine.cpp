#include "pinfold/config/machine.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include <sched.h>

namespace pinfold::config {
namespace {

constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The control groups of this process: one for each hierarchy, as a path below its mount point.
struct Groups {
  std::string unified;  // v2: a path such as "/system.slice/x.service"; empty if there is none
  std::string memory;   // v1
  std::string cpu;      // v1
};

bool has_controller(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const std::string_view one = list.substr(0, list.find(','));
    if (one == name) return true;
    list.remove_prefix(std::min(one.size() + 1, list.size()));
  }
  return false;
}

// Lines are "id:controllers:path"; v2 has id 0 and no controllers.
Groups own_groups(const std::string& root) {
  Groups groups;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) groups.unified = path;
    if (has_controller(controllers, "memory")) groups.memory = path;
    if (has_controller(controllers, "cpu")) groups.cpu = path;
  }
  return groups;
}

// The directories of a group and of all groups around it: the smallest of their limits counts. In a container without a cgroup
// namespace the path is the host's, while only the container's own group is mounted. Then the inner directories do not exist, and
// the mount point is the container's group.
std::vector<std::string> directories(const std::string& mount, std::string path) {
  std::vector<std::string> found;
  while (path.size() > 1) {
    found.push_back(mount + path);
    const std::size_t slash = path.rfind('/');
    path.resize(slash == std::string::npos ? 0 : slash);
  }
  found.push_back(mount);
  return found;
}

// Reads a limit. "max", and any other text that is no number, means no limit.
std::uint64_t smallest(const std::vector<std::string>& places, std::string_view name) {
  std::uint64_t least = no_limit;
  for (const std::string& place : places) {
    const std::optional<std::uint64_t> limit = to_number(first_line(place + "/" + std::string(name)));
    if (limit) least = std::min(least, *limit);
  }
  return least;
}

std::uint64_t physical_memory(const std::string& root) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t kilobytes = 0;
    if (fields >> name >> kilobytes && name == "MemTotal:") return kilobytes * 1024;
  }
  return 0;
}

std::uint64_t cores_for(std::uint64_t quota, std::uint64_t period) {
  return period == 0 ? no_limit : std::max<std::uint64_t>(1, (quota + period - 1) / period);
}

std::uint64_t cpu_quota(const std::string& root, const Groups& groups) {
  std::uint64_t least = no_limit;
  for (const std::string& place : directories(root + "/sys/fs/cgroup", groups.unified)) {
    std::istringstream fields(first_line(place + "/cpu.max"));
    std::string quota;
    std::uint64_t period = 0;
    if (!(fields >> quota >> period)) continue;
    if (const auto number = to_number(quota)) least = std::min(least, cores_for(*number, period));
  }
  for (const std::string& place : directories(root + "/sys/fs/cgroup/cpu", groups.cpu)) {
    const auto quota = to_number(first_line(place + "/cpu.cfs_quota_us"));  // -1: no limit
    const auto period = to_number(first_line(place + "/cpu.cfs_period_us"));
    if (quota && period) least = std::min(least, cores_for(*quota, *period));
  }
  return least;
}

}  // namespace

std::uint64_t available_memory(const std::string& root) {
  const Groups groups = own_groups(root);
  const std::vector<std::string> unified = directories(root + "/sys/fs/cgroup", groups.unified);
  std::uint64_t least = std::min(smallest(unified, "memory.max"), smallest(unified, "memory.high"));
  least = std::min(least, smallest(directories(root + "/sys/fs/cgroup/memory", groups.memory), "memory.limit_in_bytes"));
  // A result of 2^60 or more means that the memory is not known: v1 says "no limit" with a number near 2^63, and /proc may be missing.
  const std::uint64_t physical = physical_memory(root);
  if (physical != 0) least = std::min(least, physical);
  return least >= 1ULL << 60 ? 0 : least;
}

unsigned available_cores(const std::string& root) {
  cpu_set_t affinity;
  CPU_ZERO(&affinity);
  std::uint64_t cores = std::thread::hardware_concurrency();
  if (sched_getaffinity(0, sizeof affinity, &affinity) == 0) cores = static_cast<std::uint64_t>(CPU_COUNT(&affinity));
  cores = std::min(cores, cpu_quota(root, own_groups(root)));
  return static_cast<unsigned>(std::max<std::uint64_t>(1, cores));
}

}  // namespace pinfold::config
