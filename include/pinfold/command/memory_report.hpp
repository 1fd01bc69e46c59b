#pragma once
// What memory is used for, in the terms of INFO memory and MEMORY STATS.

#include <cstdint>

#include "pinfold/command/engine.hpp"

namespace pinfold::command {

/// All in bytes, but for the ratio.
struct MemoryReport {
  // Each of these is read once, so that they add up even while other threads work.
  std::uint64_t segments;
  std::uint64_t blobs;
  std::uint64_t index;
  std::uint64_t ghosts;
  std::uint64_t herd;  // leases, waiting clients, refused versions, purges
  std::uint64_t clients;
  std::uint64_t used;  // the sum of all above: what maxmemory bounds, and clients
  std::uint64_t peak;
  std::uint64_t startup;   // what was used before there was any data
  std::uint64_t overhead;  // the part of `used` that is neither keys nor values
  std::uint64_t dataset;   // the rest of `used`: segments and blocks
  std::uint64_t resident;  // resident memory of the process, as the kernel counts it

  /// The ratio of resident to used memory. The program itself, the allocator and segments that are not full make it larger.
  double fragmentation() const { return used > 0 ? static_cast<double>(resident) / static_cast<double>(used) : 0; }
  std::int64_t fragmentation_bytes() const { return static_cast<std::int64_t>(resident) - static_cast<std::int64_t>(used); }
  /// The share of the data itself in the memory that was added since the start, in percent.
  double dataset_percentage() const;
  double peak_percentage() const;
};

MemoryReport memory_report(const Engine& engine);

/// The resident memory of this process; 0 if the kernel does not say.
std::uint64_t resident_memory();

}  // namespace pinfold::command
