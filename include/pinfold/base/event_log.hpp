#pragma once
// What happened, for the log. Any thread notes a line; the server's background worker writes it. So a thread that notes
// something makes no system call for it, which it may do with a shard locked, and never waits for a disk.
//
// Bounded in both directions: a few lines of a kind a second, however many there would be, and so many waiting. Each command of an
// administrator is a kind of its own, so that many of one do not hide another. What was left out is counted in the next line of the kind,
// or, if none comes in the next second, in a line of its own. Thread-safe.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold {

class EventLog {
 public:
  enum class Kind : unsigned {
    administration,  // what an administrator did
    failures,        // what the server failed to do for an administrator
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

  /// `commands` are the names of those of administrators; what they point to must outlast the log.
  explicit EventLog(std::span<const std::string_view> commands = {});

  /// Notes what `make()` returns, a std::string; it is not called if the line is left out.
  template <class Make>
  void note(Kind kind, Make&& make) {
    note(throttles_[static_cast<unsigned>(kind)], make);
  }
  /// Notes a line about the command with that place among those given to the constructor, of the kind administration.
  template <class Make>
  void note_command(std::size_t command, Make&& make) {
    note(throttles_[static_cast<unsigned>(Kind::count) + command], make);
  }

  /// The lines that wait to be written, oldest first, and the numbers of those left out in seconds that are over; with `all` also in
  /// this one.
  std::vector<Line> take(bool all = false);

 private:
  struct Throttle {
    Kind kind{};
    std::string_view command;              // the name of its command, if it is one's
    std::atomic<std::uint64_t> window{0};  // second since start << 8 | lines in it
    std::atomic<std::uint64_t> left_out{0};
  };

  template <class Make>
  void note(Throttle& throttle, Make&& make) {
    if (!admits(throttle)) return;
    try {
      add(throttle, make());
    } catch (const std::bad_alloc&) {
      throttle.left_out.fetch_add(1, std::memory_order_relaxed);
    }
  }
  static bool admits(Throttle& throttle);
  void add(Throttle& throttle, std::string text);
  static void add_left_out(Throttle& throttle, std::vector<Line>& lines);

  std::vector<Throttle> throttles_;  // one per kind, then one per command; never resized
  std::mutex mutex_;                 // guards waiting_
  std::vector<Line> waiting_;
};

}  // namespace pinfold
