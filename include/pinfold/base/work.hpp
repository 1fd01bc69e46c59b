#pragma once
// Counts work instead of time: how many entries a piece of code visits, how many bytes it copies, hashes or compares.
//
// On a busy machine a clock cannot tell whether a lock was held too long. A count of the work done under the lock can, and is the
// same on every machine. Code that may run under a shard's lock reports what its loops do with the functions below. A
// work::Counting collects the reports: a unit test makes one around a call, and the store makes one around each hold of a lock while
// the setting lock-accounting is on. If the thread has no Counting, a report costs one comparison.
//
//   for (...) { ...; }            // visits n entries
//   work::entries(n);             // one report after a loop is cheaper than one in it

#include <cstdint>

namespace pinfold::work {

struct Counts {
  std::uint64_t entries = 0;  // visited: looked up, moved, removed or matched; slots of the index and leases count too
  std::uint64_t bytes = 0;    // copied, hashed, compared, or overwritten
  std::uint64_t nodes = 0;    // of lists and maps, followed or freed
  std::uint64_t allocations = 0;
  std::uint64_t system_calls = 0;

  Counts& operator+=(const Counts& other) {
    entries += other.entries;
    bytes += other.bytes;
    nodes += other.nodes;
    allocations += other.allocations;
    system_calls += other.system_calls;
    return *this;
  }
  friend bool operator==(const Counts&, const Counts&) = default;
};

namespace detail {
// Where this thread's work is counted at present; null if it is not counted.
inline constinit thread_local Counts* counts = nullptr;
}  // namespace detail

/// Whether this thread's work is counted. For a caller that would have to compute what it reports.
inline bool counted() { return detail::counts != nullptr; }

inline void entries(std::uint64_t n = 1) {
  if (detail::counts != nullptr) [[unlikely]]
    detail::counts->entries += n;
}
/// Reports one entry and the bytes of it that are read.
inline void entry(std::uint64_t bytes) {
  if (detail::counts == nullptr) [[likely]]
    return;
  ++detail::counts->entries;
  detail::counts->bytes += bytes;
}
inline void bytes(std::uint64_t n) {
  if (detail::counts != nullptr) [[unlikely]]
    detail::counts->bytes += n;
}
inline void nodes(std::uint64_t n = 1) {
  if (detail::counts != nullptr) [[unlikely]]
    detail::counts->nodes += n;
}
inline void allocation() {
  if (detail::counts != nullptr) [[unlikely]]
    ++detail::counts->allocations;
}
/// Reports one system call. Those that the C library makes on its own are not reported.
inline void system_call() {
  if (detail::counts != nullptr) [[unlikely]]
    ++detail::counts->system_calls;
}

/// Counts the work of its thread while it exists. Countings nest: when an inner one ends, its counts are added to the outer one. So a
/// test may count around code that counts for itself.
class Counting {
 public:
  Counting() : outer_(detail::counts) { detail::counts = &counts_; }
  ~Counting() {
    detail::counts = outer_;
    if (outer_ != nullptr) *outer_ += counts_;
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;

  /// The counts so far, without those of inner Countings that still exist.
  const Counts& counts() const { return counts_; }

 private:
  Counts counts_;
  Counts* const outer_;
};

}  // namespace pinfold::work
