#pragma once
// The requests and logins that were refused because of users' rights, for ACL LOG. As in Redis, an event that is like one of the
// last minute is counted with it.
//
// Strangers can cause events, so both memory and work are bounded: there are at most `most_entries` entries of `longest_entry` bytes, and
// a new event is compared with the `compared` newest entries only, as in Redis.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "pinfold/base/clock.hpp"

namespace pinfold::security {

/// Thread-safe. note() may be called with a shard locked: it waits for no disk, and its work is bounded.
class AclLog {
 public:
  /// What was not allowed. In the words of Redis: "auth", "command", "key", "channel". "database" is Pinfold's own.
  enum class Reason : std::uint8_t { auth, command, key, channel, database };
  /// Where the request came from: as such, or inside MULTI.
  enum class Context : std::uint8_t { toplevel, multi, script };

  struct Event {
    Reason reason = Reason::command;
    Context context = Context::toplevel;
    std::string object;    // the command, key or database; for `auth` the command that tried
    std::string username;  // the user; for `auth` the name that was tried
    std::string client;    // the client as CLIENT LIST describes it
  };
  struct Entry {
    Event event;  // of the last such event
    std::uint64_t count = 1;
    std::uint64_t id = 0;  // grows with each entry
    UnixMs created = 0;
    UnixMs updated = 0;
    MonoMs noted;  // when the last such event was, for its age
  };

  static constexpr std::size_t most_entries = 1024;
  static constexpr std::size_t longest_object = 128;  // longer texts are cut
  static constexpr std::size_t longest_client = 768;
  static constexpr std::size_t compared = 10;
  static constexpr std::int64_t similar_for_ms = 60'000;

  /// Adds an event, or counts it with one like it. Of more than `most` entries the oldest are forgotten; 0: nothing is kept.
  /// O(compared). Throws std::bad_alloc.
  void note(Event event, std::size_t most, Moment now);

  /// The newest entries, newest first, at most `count`. O(count). Throws std::bad_alloc.
  std::vector<Entry> newest(std::size_t count) const;
  /// Forgets all entries but the newest `most`.
  void trim(std::size_t most);
  void reset() { trim(0); }

 private:
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;  // newest first
  std::uint64_t next_id_ = 0;
};

/// "auth", "command" ...; "toplevel", "multi", "lua".
const char* reason_name(AclLog::Reason reason);
const char* context_name(AclLog::Context context);

}  // namespace pinfold::security
