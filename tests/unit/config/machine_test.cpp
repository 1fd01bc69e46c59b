#include "pinfold/config/machine.hpp"

#include "temporary.hpp"

#include <catch2/catch.hpp>

namespace pinfold::config {
namespace {

constexpr std::uint64_t megabyte = 1024 * 1024;

class FakeMachine : public TemporaryDirectory {
 public:
  FakeMachine() { write("proc/meminfo", "MemTotal:       16384000 kB\nMemFree:          100 kB\n"); }
  static constexpr std::uint64_t physical = 16384000ULL * 1024;
};

TEST_CASE("without a cgroup the machine's memory counts") {
  const FakeMachine machine;
  CHECK(available_memory(machine.path()) == FakeMachine::physical);
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/cgroup.controllers", "memory\n");
  CHECK(available_memory(machine.path()) == FakeMachine::physical);
}

TEST_CASE("without /proc the memory is unknown") { CHECK(available_memory(TemporaryDirectory().path()) == 0); }

TEST_CASE("cgroup v2: the smallest limit on the way up counts") {
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/kube/pod/container\n");
  machine.write("sys/fs/cgroup/kube/pod/container/memory.max", "max\n");
  CHECK(available_memory(machine.path()) == FakeMachine::physical);
  machine.write("sys/fs/cgroup/kube/pod/memory.max", "536870912\n");
  CHECK(available_memory(machine.path()) == 512 * megabyte);
  machine.write("sys/fs/cgroup/kube/pod/container/memory.max", "268435456\n");
  CHECK(available_memory(machine.path()) == 256 * megabyte);
  machine.write("sys/fs/cgroup/kube/memory.high", "134217728\n");
  CHECK(available_memory(machine.path()) == 128 * megabyte);
}

TEST_CASE("cgroup v2 in a container: the limit is at the mount point") {
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/docker/0123456789abcdef\n");  // the host's path, not mounted here
  machine.write("sys/fs/cgroup/memory.max", "104857600\n");
  CHECK(available_memory(machine.path()) == 100 * megabyte);
}

TEST_CASE("cgroup v1: the memory controller's group counts") {
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "12:cpu,cpuacct:/a\n9:memory:/docker/b\n1:name=systemd:/c\n0::/d\n");
  machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(available_memory(machine.path()) == FakeMachine::physical);
  machine.write("sys/fs/cgroup/memory/docker/b/memory.limit_in_bytes", "209715200\n");
  CHECK(available_memory(machine.path()) == 200 * megabyte);
}

TEST_CASE("a limit above the machine's memory does not count") {
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/memory.max", "1099511627776\n");
  CHECK(available_memory(machine.path()) == FakeMachine::physical);
}

TEST_CASE("malformed files mean no limit") {
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "no colons\n\n0:\n::::\n0::relative\n");
  machine.write("sys/fs/cgroup/memory.max", "lots\n");
  CHECK(available_memory(machine.path()) == FakeMachine::physical);
}

TEST_CASE("a quota of processor time limits the cores, rounded up") {
  const unsigned all = available_cores(TemporaryDirectory().path());
  CHECK(all >= 1);
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/cpu.max", "max 100000\n");
  CHECK(available_cores(machine.path()) == all);
  machine.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  CHECK(available_cores(machine.path()) == 1);
  machine.write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  CHECK(available_cores(machine.path()) == std::min(all, 2U));

  const FakeMachine older;
  older.write("proc/self/cgroup", "4:cpu,cpuacct:/x\n");
  older.write("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
  older.write("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
  CHECK(available_cores(older.path()) == all);
  older.write("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n");
  CHECK(available_cores(older.path()) == 1);
}

}  // namespace
}  // namespace pinfold::config
