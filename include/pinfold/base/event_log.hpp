#pragma once
// What happened, for the log. Any thread notes a line; the server's background worker writes it. So a thread that notes
// something makes no system call for it, which it may do with a shard locked, and never waits for a disk.
//
// Bounded in both directions: a few lines of a kind a second, however many there would be, and so many waiting. What was left
// out is counted in the next line of the kind. Thread-safe.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <new>
#include <string>
#include <vector>

namespace pinfold {

class EventLog {
 public:
  enum class Kind : unsigned {
    administration,  // what an administrator did
    purges,          // what a purge has removed
    policies,        // what is contradictory in a policy that was set
    out_of_memory,   // requests refused for want of memory
    max_clients,     // connections refused because of maxclients
    http,            // HTTP requests on the port, whose connections are closed
    closed_clients,  // clients that are closed for what they take, or for not reading
    not_accepted,    // connections that the system could not give
    count,
  };
  struct Line {
    Kind kind;
    std::chrono::system_clock::time_point at;
    std::string text;
  };

  /// How many lines of a kind are written in a second.
  static constexpr unsigned per_second(Kind kind) { return kind == Kind::purges ? 20 : 5; }
  /// Whether a line is a warning.
  static constexpr bool warns(Kind kind) { return kind != Kind::administration && kind != Kind::purges; }
  static constexpr std::size_t most_waiting = 256;

  /// Notes what `make()` returns, a std::string; it is not called if the line is left out.
  template <class Make>
  void note(Kind kind, Make&& make) {
    if (!admits(kind)) return;
    try {
      add(kind, make());
    } catch (const std::bad_alloc&) {
      left_out(kind).fetch_add(1, std::memory_order_relaxed);
    }
  }

  /// The lines that wait to be written, oldest first.
  std::vector<Line> take();

 private:
  struct Throttle {
    std::atomic<std::uint64_t> window{0};  // second since start << 8 | lines in it
    std::atomic<std::uint64_t> left_out{0};
  };

  bool admits(Kind kind);
  void add(Kind kind, std::string text);
  std::atomic<std::uint64_t>& left_out(Kind kind) { return throttles_[static_cast<unsigned>(kind)].left_out; }

  std::array<Throttle, static_cast<unsigned>(Kind::count)> throttles_;
  std::mutex mutex_;  // guards waiting_
  std::vector<Line> waiting_;
};

}  // namespace pinfold
