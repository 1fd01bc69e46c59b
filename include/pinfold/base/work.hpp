#pragma once
// Counts work instead of time: how many entries a piece of code visits, how many bytes it copies, hashes or compares.
//
// A clock cannot tell on a busy machine whether a lock was held too long; a count of what was done meanwhile can, and comes to
// the same on every machine. Code that may run under a shard's lock reports what its loops do with the functions below. Somebody
// who wants to know makes a work::Counting: a unit test around a call, the store around each hold of a lock while the setting
// lock-accounting is on. When nobody counts on this thread, a report costs one comparison.
//
//   for (...) { ...; }            // visits n entries
//   work::entries(n);             // one report after a loop is cheaper than one in it

#include <cstdint>

namespace pinfold::work {

struct Counts {
  std::uint64_t entries = 0;  // visited: looked up, moved, dropped, matched; slots of the index and leases count too
  std::uint64_t bytes = 0;    // copied, hashed, compared, or overwritten
  std::uint64_t nodes = 0;    // of lists and maps: freed, or followed
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
// Where this thread's work is counted at present; null: nowhere.
inline constinit thread_local Counts* counts = nullptr;
}  // namespace detail

/// True if somebody counts. For a caller that would have to compute what it reports.
inline bool counted() { return detail::counts != nullptr; }

inline void entries(std::uint64_t n = 1) {
  if (detail::counts != nullptr) [[unlikely]]
    detail::counts->entries += n;
}
/// An entry of which so many bytes are looked at.
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
/// Report each, but not what the C library does on its own.
inline void system_call() {
  if (detail::counts != nullptr) [[unlikely]]
    ++detail::counts->system_calls;
}

/// Counts the work of this thread while it lives. They nest: what an inner one counted is added to the outer one when the
/// inner one ends, so a test may count around code that counts for itself.
class Counting {
 public:
  Counting() : outer_(detail::counts) { detail::counts = &counts_; }
  ~Counting() {
    detail::counts = outer_;
    if (outer_ != nullptr) *outer_ += counts_;
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;

  /// What was counted so far, without inner ones that still count.
  const Counts& counts() const { return counts_; }

 private:
  Counts counts_;
  Counts* const outer_;
};

}  // namespace pinfold::work
