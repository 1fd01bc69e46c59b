#pragma once
// Counters of the command room: per I/O thread, single writer, summed when somebody asks.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/counter.hpp"
#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

struct CommandCounters {
  Counter calls;
  Counter timed_calls;  // those of them that were timed (one in a few: reading a clock costs as much as a GET)
  Counter timed_ns;
  Counter rejected;  // refused before execution: arity, auth, OOM
  Counter failed;    // the handler replied with an error
};

/// Errors by their code ("ERR", "WRONGTYPE"), of one thread: others only look. Codes are bounded in number, as a client can make them
/// up through nothing but the server's own errors.
class ErrorCounts {
 public:
  void add(std::string_view code);
  void add_to(std::map<std::string, std::uint64_t>& sums) const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::vector<std::pair<std::string, std::uint64_t>> counts_;
};

/// One I/O thread's counters. Only that thread adds.
struct alignas(64) ThreadStats {
  explicit ThreadStats(std::size_t command_count) : commands(command_count) {}
  std::vector<CommandCounters> commands;  // by index in commands()
  Counter commands_processed;
  Counter connections_received;
  Counter net_input;
  Counter net_output;
  Counter reads;   // looks for input of a client
  Counter writes;  // of replies to a client
  Counter cycles;  // of the event loop
  Counter protocol_errors;
  Counter output_limit_disconnections;
  Counter query_limit_disconnections;
  Counter idle_disconnections;
  ErrorCounts errors;
};

class Stats {
 public:
  explicit Stats(unsigned threads);
  ThreadStats& of_thread(unsigned thread) { return *threads_[thread]; }
  std::size_t thread_count() const { return threads_.size(); }

  /// Sum of one counter over all threads since the last reset.
  std::uint64_t total(Counter ThreadStats::*counter) const;

  struct CommandTotal {
    std::uint64_t calls = 0;
    std::uint64_t usec = 0;  // estimated from the timed calls
    double usec_per_call = 0;
    std::uint64_t rejected = 0;
    std::uint64_t failed = 0;
  };
  CommandTotal command(std::size_t index) const;

  std::map<std::string, std::uint64_t> errors() const;
  std::uint64_t error_total() const;

  /// CONFIG RESETSTAT.
  void reset();

 private:
  std::vector<std::unique_ptr<ThreadStats>> threads_;
  mutable std::mutex mutex_;                                // guards the rest
  std::vector<std::unique_ptr<ThreadStats>> before_reset_;  // what threads_ said at the last reset
};

}  // namespace pinfold::command
