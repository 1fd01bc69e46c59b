#pragma once
// What the server remembers of one client. Owned by its connection; written only by the connection's thread.
// What CLIENT LIST shows of it to other threads is in `shared`, behind atomics and a mutex.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/large_arguments.hpp"
#include "pinfold/command/queued.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/command/transaction_budget.hpp"
#include "pinfold/command/waiting.hpp"
#include "pinfold/security/users.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

struct Row;

/// A client as others may see it. Strings are guarded by `mutex`, the rest is atomic.
struct SharedClient {
  std::uint64_t id = 0;
  std::string address;        // "127.0.0.1:1234" or "/path:0"; constant
  std::string local_address;  // constant
  int fd = -1;                // constant
  bool unix_socket = false;   // constant
  MonoMs created;             // constant
  unsigned thread = 0;        // constant: the I/O thread that owns the connection
  ClientPlace place() const { return {id, thread}; }

  std::atomic<MonoMs> last_active{};
  std::atomic<const Row*> last_command{nullptr};
  std::atomic<unsigned> db{0};
  std::atomic<int> protocol{2};
  std::atomic<int> queued{-1};  // commands in MULTI, -1 outside
  std::atomic<std::uint64_t> queued_bytes{0};
  std::atomic<unsigned> watched{0};
  std::atomic<bool> no_evict{false};
  std::atomic<bool> no_touch{false};
  std::atomic<std::uint64_t> waiting{0};  // the ticket of the wait for its reply; 0: it does not wait
  std::atomic<bool> paused{false};        // a request of its waits for the end of a CLIENT PAUSE
  std::atomic<bool> closing{false};       // set by CLIENT KILL; the owner's thread closes it
  std::atomic<std::uint64_t> watched_bytes{0};
  std::atomic<bool> evicted{false};             // is being closed for the memory that it takes
  std::atomic<std::uint64_t> input_bytes{0};    // received and not yet executed, but for large arguments
  std::atomic<std::uint64_t> input_room{0};     // what the buffer for that can hold
  std::atomic<std::uint64_t> large_bytes{0};    // of large arguments that have come; they are data
  std::atomic<std::uint64_t> output_bytes{0};   // replies not yet sent
  std::atomic<std::uint64_t> buffer_memory{0};  // the connection with its buffers
  std::atomic<std::uint64_t> task_bytes{0};     // what the task of a long command has collected

  /// What it takes of the memory for clients.
  std::uint64_t memory() const {
    constexpr auto relaxed = std::memory_order_relaxed;
    return buffer_memory.load(relaxed) + queued_bytes.load(relaxed) + watched_bytes.load(relaxed) + task_bytes.load(relaxed);
  }
  std::atomic<std::uint64_t> net_input{0};
  std::atomic<std::uint64_t> net_output{0};
  std::atomic<std::uint64_t> commands{0};

  std::mutex mutex;
  std::string name;
  std::shared_ptr<const security::User> user;  // null: it has not authenticated
  std::string library_name;
  std::string library_version;
};

struct Transaction {
  bool failed = false;          // a command was refused while queueing: EXEC aborts
  std::uint32_t flags = 0;      // of all queued commands
  std::size_t bytes = 0;        // what the queue occupies, as counted in store::Use::clients
  std::size_t large_bytes = 0;  // large arguments, which are counted as data
  std::uint64_t needed = 0;     // what the commands may need of memory when they are executed
  std::deque<Queued> queue;
  TransactionBudget budget;  // of EXEC
};

struct WatchedKey {
  unsigned db;
  std::string key;
  store::Watch watch;

  bool operator<(const WatchedKey& other) const { return std::tie(db, key) < std::tie(other.db, other.key); }
};

/// The leases for whose keys a client was last told nil: it does not wait when it asks again. A few suffice, because whatever
/// the client sends ends a plain read's wait.
class ToldNil {
 public:
  void add(std::uint64_t token) {
    if (token != 0 && !has(token)) tokens_[next_++ % tokens_.size()] = token;
  }
  bool has(std::uint64_t token) const { return std::find(tokens_.begin(), tokens_.end(), token) != tokens_.end(); }

 private:
  std::array<std::uint64_t, 8> tokens_{};
  unsigned next_ = 0;
};

enum class ReplyMode : std::uint8_t { on, off, skip_next, skip_this };

struct Session {
  SharedClient shared;
  unsigned db = 0;
  int protocol = 2;
  bool no_touch = false;
  bool close_after_reply = false;
  bool more_to_come = false;  // requests behind the one at hand have been received already
  ReplyMode reply_mode = ReplyMode::on;
  std::unique_ptr<Transaction> transaction;  // set between MULTI and EXEC
  std::set<WatchedKey> watched;
  std::size_t watched_bytes = 0;  // what watched occupies, as counted in store::Use::clients
  /// Set by a command whose reply comes later, one of them: until then the connection executes nothing.
  std::unique_ptr<Waiting> waiting;
  std::unique_ptr<Task> task;
  ToldNil told_nil;

  /// Whether a reply is outstanding.
  bool waits() const { return waiting != nullptr || task != nullptr; }

  /// The user that the client has authenticated as; null if it has not.
  const security::User* user() const { return shared.user.get(); }  // written by this thread only
  /// Whether the client may do nothing but authenticate. One that never did is welcome once no password is asked for.
  bool unauthenticated(const security::Users& users) const { return user() == nullptr && users.ask_password(); }

  // These change the session and what others see of it.
  void set_user(std::shared_ptr<const security::User> user);
  void select(unsigned number);
  void set_protocol(int version);
  /// An empty one takes the name away.
  void set_name(std::string_view name);
  void set_no_touch(bool on);

  /// Makes it what a new connection's session is, authenticated as `user`. What belongs to the connection stays: its identity, its
  /// counters, what the client said of its library, and whether the request at hand is to be silent. What the session holds in the
  /// keyspace (MULTI, WATCH) is the caller's to end, because that takes locks.
  void reset(std::shared_ptr<const security::User> user);
};

}  // namespace pinfold::command
