#pragma once
// Lines for the log. Any thread notes a line, and the server's background worker passes it on to the log's writer. So noting a line takes
// no system call and never waits for a disk, and is allowed with a shard locked.
//
// Both the rate and the memory are bounded: a few lines of each kind per second, and a number of lines that wait to be passed on. Each
// administrative command is a kind of its own, so that many lines about one command do not hide another. Lines that are left out are
// counted in the next line of their kind or, if none comes in the next second, in a line of their own. Thread-safe.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/throttle.hpp"

namespace pinfold {

class EventLog {
 public:
  /// How important a line is. The setting loglevel says from which level on lines are written.
  enum class Level : std::uint8_t { debug, verbose, notice, warning };
  enum class Kind : unsigned {
    administration,    // commands of an administrator
    failures,          // failures of the server in work for an administrator
    purges,            // the results of purges
    policies,          // contradictions in a policy that was set
    out_of_memory,     // requests refused for want of memory
    max_clients,       // connections refused because of maxclients
    refused_clients,   // connections refused by protected-mode
    auth_limited,      // attempts to authenticate refused because of auth-failures-per-minute
    rate_limited,      // requests refused because of the request rate of their user
    http,              // HTTP requests on the port, whose connections are closed
    closed_clients,    // clients that are closed because they take too much memory or do not read
    not_accepted,      // connections that the system could not accept
    handshakes,        // TLS handshakes that have failed
    certificates,      // certificates that were loaded
    bad_certificates,  // certificates that were not loaded, or will soon be useless
    clients,           // clients that have connected, and that are gone
    handshakes_done,   // TLS handshakes that are done
    background,        // what the background worker has done in a second
    switches,          // which switches for an incident are on
    tracing,           // whether spans can be delivered
    settings,          // settings that were changed and may do harm
    long_scripts,      // scripts that have run for a second, or were ended
    undeclared_keys,   // scripts that use keys which their callers have not declared
    // What scripts log, by its level.
    scripts_debug,
    scripts_verbose,
    scripts_notice,
    scripts_warning,
    count,
  };
  struct Line {
    Kind kind;
    std::chrono::system_clock::time_point at;
    std::string text;
  };

  /// The most lines of a kind that are written in a second.
  static constexpr unsigned per_second(Kind kind) { return kind == Kind::purges || kind == Kind::undeclared_keys ? 20 : 5; }
  static Level level_of(Kind kind);
  static constexpr std::size_t most_waiting = 256;

  /// `commands` are the names of the administrative commands. The texts must outlive the log.
  explicit EventLog(std::span<const std::string_view> commands = {});

  /// Lines of lower levels are not noted from now on. At first all are.
  void set_least(Level level) { least_.store(level, std::memory_order_relaxed); }
  void set_none() { least_.store(beyond_all, std::memory_order_relaxed); }
  /// Whether lines of this kind are noted.
  bool wants(Kind kind) const { return level_of(kind) >= least_.load(std::memory_order_relaxed); }

  /// Notes the std::string that `make()` returns. `make` is not called if the line is left out.
  template <class Make>
  void note(Kind kind, Make&& make) {
    note(throttles_[static_cast<unsigned>(kind)], make);
  }
  /// Notes a line of the kind `administration` about the command with this index in the constructor's list.
  template <class Make>
  void note_command(std::size_t command, Make&& make) {
    note(throttles_[static_cast<unsigned>(Kind::count) + command], make);
  }

  /// Takes the lines that wait, oldest first, and lines that count what was left out in past seconds (with `all`, in the
  /// present second too).
  std::vector<Line> take(bool all = false);

 private:
  struct Throttle : pinfold::Throttle {
    Kind kind{};
    std::string_view command;  // empty for a kind that is not one command
  };

  template <class Make>
  void note(Throttle& throttle, Make&& make) {
    if (!wants(throttle.kind) || !throttle.admits(per_second(throttle.kind))) return;
    try {
      add(throttle, make());
    } catch (const std::bad_alloc&) {
      throttle.leave_out();
    }
  }
  void add(Throttle& throttle, std::string text);
  static void add_left_out(Throttle& throttle, std::vector<Line>& lines);

  static constexpr auto beyond_all = static_cast<Level>(255);

  std::atomic<Level> least_{Level::debug};
  std::vector<Throttle> throttles_;  // one per kind, then one per command; never resized
  std::mutex mutex_;                 // guards waiting_
  std::vector<Line> waiting_;
};

}  // namespace pinfold
