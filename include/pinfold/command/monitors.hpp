#pragma once
// The clients that have sent MONITOR, and what is on its way to them.
//
// A request is shown by the I/O thread that executes it, which writes a line for it into a feed of its own (monitor_feed.hpp), with nothing
// locked. At the end of a batch the lines are pushed together.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "pinfold/base/client_threads.hpp"

namespace pinfold::security {
class User;
}

namespace pinfold::command {

class Engine;
class MonitorFeed;
struct Session;

/// Thread-safe, but for feed_of().
class Monitors {
 public:
  Monitors(Engine& engine, unsigned threads);
  ~Monitors();
  Monitors(const Monitors&) = delete;
  Monitors& operator=(const Monitors&) = delete;

  struct Monitor {
    ClientPlace place;
    std::shared_ptr<const security::User> user;  // as which the client has authenticated
  };
  using List = std::vector<Monitor>;

  /// There may be so many, because each request is checked for each of their users.
  static constexpr std::size_t most = 32;
  /// Lines on their way to all of them may take so much. Further lines are left out, and the clients are told how many.
  static constexpr std::size_t most_pending = 4 * 1024 * 1024;

  /// Whether there is any. One relaxed load.
  bool any() const { return count() != 0; }
  std::size_t count() const { return count_.load(std::memory_order_relaxed); }
  /// Adds a client, if it is none already. Returns false if there are too many. Called by its thread.
  bool add(Session& session, std::shared_ptr<const security::User> user);
  /// Called when the client has authenticated as another user, whose rights hold from now on. Called by its thread.
  void set_user(const Session& session, std::shared_ptr<const security::User> user);
  /// Removes the client, if it is one. Called by its thread. Takes no memory, so that a connection can always be closed.
  void remove(Session& session);
  /// Grows with every change of the list.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }
  /// All of them. Throws std::bad_alloc.
  List list() const;

  /// What the I/O thread with this index shows. Only that thread uses it.
  MonitorFeed& feed_of(unsigned thread) { return *feeds_[thread]; }

  /// Bytes of lines that were pushed and are not in the clients' outputs yet.
  std::atomic<std::size_t> pending{0};

 private:
  void changed();

  std::atomic<std::size_t> count_{0};
  mutable std::mutex mutex_;
  List list_;  // with room for `most`
  std::atomic<std::uint64_t> version_{0};
  std::vector<std::unique_ptr<MonitorFeed>> feeds_;  // by thread
};

}  // namespace pinfold::command
