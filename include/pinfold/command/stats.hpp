#pragma once
// The counters of the command room. Each I/O thread has its own, and so has the thread of the admin port. A thread is the only writer of
// its own. They are summed when they are read.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/counter.hpp"
#include "pinfold/base/histogram.hpp"
#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

struct CommandCounters {
  Counter calls;
  // What all calls took, in ticks of the processor's counter (ThreadClock) and without waiting for locks and memory before the call: of
  // those whose durations were noted, and of the others, which were made while the setting metrics was off.
  Counter measured_ticks;
  Counter unmeasured_ticks;
  Counter rejected;  // calls refused before execution: arity, authentication, memory
  Counter failed;    // calls that the handler has answered with an error
};

/// The codes of errors that are counted by themselves. Clients can invent codes, with scripts and DEBUG ERROR: so those that are not like
/// others are refused, and further ones when there are many. The server's own codes never are. Thread-safe.
class ErrorCodes {
 public:
  static constexpr std::size_t most_invented = 128;

  /// Whether the code is counted by itself.
  bool admits(std::string_view code);
  /// Forgets which codes there are.
  void clear();

 private:
  std::mutex mutex_;
  std::set<std::string, std::less<>> invented_;
};

/// Counts the errors of one thread by their code ("ERR", "WRONGTYPE"); those with codes that ErrorCodes refuses as "OTHER". That thread
/// adds, and any thread may read.
class ErrorCounts {
 public:
  explicit ErrorCounts(ErrorCodes& codes) : codes_(codes) {}

  void add(std::string_view code);
  void add_to(std::map<std::string, std::uint64_t>& sums) const;
  void clear();

 private:
  bool add_known(std::string_view code);

  ErrorCodes& codes_;
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::uint64_t>> counts_;
};

/// The counters of one thread. Only that thread adds to them.
struct alignas(64) ThreadStats {
  ThreadStats(std::size_t command_count, ErrorCodes& codes) : commands(command_count), durations(command_count), errors(codes) {}
  std::vector<CommandCounters> commands;  // by index in commands()
  Histograms durations;                   // of calls, by index in commands(), while `measures`
  bool measures = true;                   // the setting metrics; only the thread itself reads and writes this
  std::atomic<bool> tells_events{false};  // whether keyspace events are published, which have the names of commands
  std::uint64_t span_scale = 0;           // ThreadClock::span_scale()
  /// Of the rounds of the event loop, from when the system reports ready descriptors until all of them have been served, while `measures`.
  /// A client that becomes ready in a round waits for its end.
  Histograms rounds{1};
  Counter busy_ticks;  // of all these rounds together, of the processor's counter
  Counter connections_received;
  Counter net_input;
  Counter net_output;
  Counter reads;   // reads from sockets of clients
  Counter writes;  // writes to sockets of clients
  Counter cycles;  // rounds of the event loop
  Counter protocol_errors;
  Counter output_limit_disconnections;
  Counter query_limit_disconnections;
  Counter abandoned_disconnections;  // Connection::give_way()
  Counter idle_disconnections;
  Counter auth_failures;          // wrong passwords, and wrong tokens of the admin port
  Counter auth_limited;           // attempts refused because of auth-failures-per-minute
  Counter protected_connections;  // refused by protected-mode
  // Requests and attempts that were denied, by the reason (DenialReason).
  Counter denied_command;
  Counter denied_key;
  Counter denied_channel;
  Counter denied_auth;
  Counter denied_database;
  Counter rate_limited;    // requests refused because of the rate of their user
  Counter tls_handshakes;  // that are done, resumed ones included
  Counter tls_resumed;
  Counter tls_failed;
  Counter tls_timed_out;
  Counter tls_users_refused;  // certificates with which no client was authenticated, although tls-auth-clients-user says so
  // Commands that SLOWLOG and COMMANDLOG have noted, whatever they remember.
  Counter slow_commands;
  Counter large_requests;
  Counter large_replies;
  Counter admin_requests;  // to the admin port
  // Of these, refused because there was no token, by protected-mode, or because of the name of the host that was asked.
  Counter admin_without_token;
  Counter admin_protected;
  Counter admin_wrong_host;
  Counter admin_rejected;      // connections to the admin port that were refused, because there were too many
  Counter messages_delivered;  // of publish/subscribe, to clients of the thread
  // Scripts and functions that were executed, and what has been locked for them: a run counts once more if it is made anew.
  Counter scripts;
  Counter scripts_locked_all;
  Counter scripts_locked_declared;
  Counter scripts_locked_more;         // commands for which further shards were locked in the middle of a script
  Counter scripts_run_again;           // runs that were given up and made anew
  Counter scripts_refused_undeclared;  // commands that were refused because they use undeclared keys
  Counter scripts_killed;
  Counter scripts_out_of_time;
  ErrorCounts errors;
};

class Stats {
 public:
  explicit Stats(unsigned threads);
  ThreadStats& of_thread(unsigned thread) { return *threads_[thread]; }
  ThreadStats& of_admin() { return *threads_.back(); }
  /// How many I/O threads there are.
  std::size_t thread_count() const { return threads_.size() - 1; }

  /// The sum of one counter over all threads since the last reset.
  std::uint64_t total(Counter ThreadStats::*counter) const;
  /// The calls of all commands since the last reset. O(threads * commands).
  std::uint64_t calls() const;

  struct CommandTotal {
    std::uint64_t calls = 0;
    std::uint64_t usec = 0;
    double usec_per_call = 0;
    double measured_seconds = 0;  // of the calls whose durations were noted
    std::uint64_t rejected = 0;
    std::uint64_t failed = 0;
  };
  CommandTotal command(std::size_t index) const;

  /// The durations of a command's calls since the last reset.
  histogram::Counts durations(std::size_t index) const;

  /// The durations of a thread's rounds since the last reset.
  histogram::Counts rounds(unsigned thread) const;
  /// How long a thread has been in its rounds since the last reset, in nanoseconds.
  std::uint64_t busy_ns(unsigned thread) const;

  std::map<std::string, std::uint64_t> errors() const;
  std::uint64_t error_total() const;

  /// CONFIG RESETSTAT.
  void reset();

 private:
  ErrorCodes error_codes_;
  std::vector<std::unique_ptr<ThreadStats>> threads_;       // the I/O threads, and behind them that of the admin port
  mutable std::mutex mutex_;                                // guards before_reset_
  std::vector<std::unique_ptr<ThreadStats>> before_reset_;  // the values of threads_ at the last reset
};

}  // namespace pinfold::command
