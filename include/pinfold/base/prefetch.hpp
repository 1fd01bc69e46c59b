#pragma once
// Fetching memory ahead of its use.

namespace pinfold {

/// Starts bringing the cache line at `address` in; any address is allowed. Not __builtin_prefetch: GCC 12 takes a
/// function that does nothing else for one without effects, and drops the calls of it.
inline void prefetch(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(address)));
#elif defined(__aarch64__)
  asm volatile("prfm pldl1keep, %0" : : "Q"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address);
#endif
}

/// As prefetch(), of a line that is going to be written to: takes it from the cores that have it.
inline void prefetch_to_write(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#elif defined(__aarch64__)
  asm volatile("prfm pstl1keep, %0" : : "Q"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

}  // namespace pinfold
