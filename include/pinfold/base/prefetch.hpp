#pragma once
// Fetching memory ahead of its use.

namespace pinfold {

/// Starts to fetch the cache line at `address`. Any address is allowed. It does not use __builtin_prefetch, because GCC 12 takes a
/// function that does nothing else for one without effects and drops its calls.
inline void prefetch(const void* address) {
#if defined(__x86_64__)
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(address)));
#elif defined(__aarch64__)
  asm volatile("prfm pldl1keep, %0" : : "Q"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address);
#endif
}

/// As prefetch(), for a line that will be written to: the line is taken away from the cores that have it.
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
