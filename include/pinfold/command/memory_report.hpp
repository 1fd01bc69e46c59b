#pragma once
// What memory is used for, in the terms of INFO memory and MEMORY STATS.

#include <cstdint>

#include "pinfold/command/engine.hpp"

namespace pinfold::command {

/// All in bytes, but for the ratio.
struct MemoryReport {
  // Each is read once, so that they add up while others work.
  std::uint64_t segments;
  std::uint64_t blobs;
  std::uint64_t index;
  std::uint64_t ghosts;
  std::uint64_t herd;  // leases, invalidated versions, purges under way
  std::uint64_t clients;
  std::uint64_t used;  // all of these: what maxmemory bounds, and clients
  std::uint64_t peak;
  std::uint64_t startup;   // used before there was any data
  std::uint64_t overhead;  // of used, what is neither keys nor values
  std::uint64_t dataset;   // the rest: segments and blocks
  std::uint64_t resident;  // of the process, as the kernel counts it

  /// Resident to used memory: what the program itself, the allocator and segments not yet full add.
  double fragmentation() const { return used > 0 ? static_cast<double>(resident) / static_cast<double>(used) : 0; }
  std::int64_t fragmentation_bytes() const { return static_cast<std::int64_t>(resident) - static_cast<std::int64_t>(used); }
  /// How much of what data has added is the data itself, in percent.
  double dataset_percentage() const;
  double peak_percentage() const;
};

MemoryReport memory_report(const Engine& engine);

/// Resident memory of this process, 0 if the kernel does not tell.
std::uint64_t resident_memory();

}  // namespace pinfold::command
