#pragma once
// What one I/O thread shows to the clients that have sent MONITOR (monitors.hpp).
//
// A client is shown the requests of all clients if its user may read all keys. Otherwise it is shown those whose keys its user may read,
// without tags, and of those without keys the name of the command, but none that works on keys which it does not name (KEYS, FLUSHALL, a
// purge). As in Redis, administrative commands are shown to nobody, and passwords neither (request_words.hpp). The rights are those that
// the client has at the moment: also if they were changed, or it has authenticated as another user since it sent MONITOR.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pinfold/command/engine.hpp"
#include "pinfold/command/request_words.hpp"
#include "pinfold/command/rights.hpp"

namespace pinfold::command {

/// How much of a request is shown.
inline constexpr WordLimits monitor_limits = {.words = 512, .bytes_of_word = 1024, .bytes = 16 * 1024};
/// How much of one transaction is shown, in bytes of its lines. A line tells how many commands follow.
inline constexpr std::size_t most_of_transaction = 256 * 1024;

/// Not thread-safe. Called with nothing locked. Takes no memory while there is no monitor.
class MonitorFeed {
 public:
  explicit MonitorFeed(Engine& engine) : engine_(engine) {}

  /// Adds a line for a request that is about to be executed, or was, in database `db`. O(the monitors' users, and what is shown). A line
  /// for which there is no memory is left out.
  void show(const Session& session, const Row& row, Args args, unsigned db);
  /// The same for a transaction that is about to be executed: its commands as they are queued, and EXEC behind them, as in Redis.
  void show_transaction(const Session& session, const Row& exec, Args args);
  /// Called when the transaction of the last show_transaction() was not executed: only EXEC is shown of it.
  void take_back_transaction(const Session& session, const Row& exec, Args args);
  /// How far the lines have come.
  struct Mark {
    std::vector<std::size_t> sizes;  // of the lines of each group
    std::size_t bytes = 0;
  };
  /// Called before a script is executed, with nothing locked or, inside EXEC, with shards locked.
  Mark begin_script();
  /// The same as show() for a command of a script, with shards locked. Of one script most_of_transaction bytes are shown.
  void show_in_script(const Session& session, const Row& row, Args args, unsigned db);
  /// Called when a script that has begun with this mark is run anew: what it has shown is taken back.
  void take_back_script(const Mark& mark);
  /// Pushes the lines.
  void flush() {
    if (bytes_ > 0) [[unlikely]]
      push_all();
  }

 private:
  // The monitors of one user, and the lines for them.
  struct Group {
    std::shared_ptr<const security::User> as_added;
    std::shared_ptr<const security::User> user;  // the present version; null: it was removed
    std::vector<ClientPlace> places;
    std::string lines;
    std::uint64_t left_out = 0;
  };

  // All that is shown together has one budget of comparisons. What comes when it is spent is shown only to users that may do everything.
  void add(const Session& session, const Row& row, Args args, unsigned db, security::MatchBudget& budget);
  void follow_monitors();
  void push_all();
  void push(Group& group);
  Sight sight_of_group(const Group& group, const Row& row, Args args, unsigned db, security::MatchBudget& budget);

  Engine& engine_;
  std::uint64_t monitors_version_ = 0;  // for which groups_ was made
  std::uint64_t users_version_ = 0;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> positions_;
  std::size_t bytes_ = 0;         // of the lines of all groups
  std::size_t most_bytes_ = 0;    // that they may be while a script runs
  security::MatchBudget budget_;  // of the script that runs
};

}  // namespace pinfold::command
