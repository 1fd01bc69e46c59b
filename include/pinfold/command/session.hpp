#pragma once
// What the server remembers of one client: the Session, which belongs to the client's connection, and within it a SharedClient,
// which other threads may read (CLIENT LIST, INFO).

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

#include "pinfold/base/audit_log.hpp"
#include "pinfold/base/clock.hpp"
#include "pinfold/base/mail.hpp"
#include "pinfold/command/large_arguments.hpp"
#include "pinfold/command/queued.hpp"
#include "pinfold/command/subscriber.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/command/tracing.hpp"
#include "pinfold/command/tracking.hpp"
#include "pinfold/command/transaction_budget.hpp"
#include "pinfold/command/waiting.hpp"
#include "pinfold/security/users.hpp"
#include "pinfold/store/database.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

struct Row;

/// Which limit of memory a client is closed for: that of all clients, or that of its user.
enum class Evicted : std::uint8_t { no, for_all, for_user };

/// The part of a session that all threads may read. The members after `mutex` are guarded by it; the others are atomic, or
/// constant once the connection has started. Only the connection's thread writes, except where a member says otherwise. Sizes
/// are in bytes.
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
  std::atomic<int> queued{-1};  // commands that MULTI has queued; -1 outside of MULTI
  std::atomic<std::uint64_t> queued_bytes{0};
  std::atomic<unsigned> watched{0};
  std::atomic<bool> no_evict{false};
  std::atomic<bool> no_touch{false};
  std::atomic<std::uint64_t> waiting{0};                           // the ticket of the wait for a reply; 0: the client does not wait
  std::atomic<bool> paused{false};                                 // whether a request waits for the end of a CLIENT PAUSE
  std::atomic<bool> monitors{false};                               // MONITOR: the client is shown the requests of all
  std::array<std::atomic<unsigned>, topic_kinds> subscriptions{};  // by TopicKind
  std::atomic<std::uint64_t> subscribed_bytes{0};
  std::atomic<bool> closing{false};  // set by any thread (CLIENT KILL, eviction of clients); the connection's thread closes the client
  std::atomic<std::uint64_t> watched_bytes{0};
  std::atomic<std::uint64_t> tracking_bytes{0};  // of the prefixes of CLIENT TRACKING
  std::atomic<std::uint8_t> tracking{0};         // TrackingFlag values; 0: the client does not track
  std::atomic<std::uint64_t> redirect{0};        // the client to which its invalidations are redirected; 0: none
  std::atomic<bool> redirect_target{false};      // set by any thread: another client redirects its invalidations to this one, or did so
  std::atomic<Evicted> evicted{Evicted::no};     // set by any thread: the client is being closed because of the memory that it takes
  std::atomic<std::uint64_t> input_bytes{0};     // received and not yet executed, without large arguments
  std::atomic<std::uint64_t> input_room{0};      // the capacity of the input buffer
  std::atomic<std::uint64_t> large_bytes{0};     // of large arguments that have arrived; these count as data
  std::atomic<std::uint64_t> output_bytes{0};    // replies that have not been sent
  std::atomic<std::uint64_t> buffer_memory{0};   // the connection and its buffers
  std::atomic<std::uint64_t> task_bytes{0};      // what the task of a long command has collected

  /// The bytes that the client takes of the memory for clients.
  std::uint64_t memory() const {
    constexpr auto relaxed = std::memory_order_relaxed;
    return buffer_memory.load(relaxed) + queued_bytes.load(relaxed) + watched_bytes.load(relaxed) + task_bytes.load(relaxed) +
           subscribed_bytes.load(relaxed) + tracking_bytes.load(relaxed);
  }
  // Kept by Clients.
  std::shared_ptr<security::UserUsage> usage;  // where the client counts; only its thread changes it, with the registry locked
  std::atomic<std::int64_t> counted{0};        // the part of usage->bytes that is this client's
  std::uint64_t transport_bytes = 0;           // what its transport takes while it is idle; only its thread uses this
  std::uint64_t counted_requests = 0;          // those of `commands` that are counted in a usage; only its thread uses this
  // Those of the client since its connection began, and the part of these that is counted in a usage. Only its thread uses them.
  store::ReadCounts reads;
  store::ReadCounts counted_reads;

  std::atomic<std::uint64_t> net_input{0};
  std::atomic<std::uint64_t> net_output{0};
  std::atomic<std::uint64_t> commands{0};

  std::mutex mutex;
  std::string name;
  std::shared_ptr<const security::User> user;  // null: the client has not authenticated
  std::string library_name;
  std::string library_version;
};

/// What commands share that are executed one after the other in one hold of locks: those of a transaction, or of a script.
struct CommandGroup {
  TransactionBudget budget;  // what they may do beyond what they name
  // What checks of the user's rights may compare that are made with the shards locked.
  security::MatchBudget matches;
  // How many lines of each kind they wanted in the audit log (may_note).
  std::array<std::uint32_t, static_cast<std::size_t>(AuditLog::Kind::count)> audit_lines{};
  // How many of them were to be noted as slow, and as having a large request or a large reply (most_noted_commands_of_exec).
  std::array<std::uint32_t, 3> noted{};
  bool in_script = false;          // whether a script executes the commands
  std::uint64_t script_ticks = 0;  // that the scripts among them have taken
};

/// The commands that MULTI has queued. Sizes are in bytes.
struct Transaction {
  unsigned db = 0;              // that will be selected when the next command runs, as far as SELECT was queued
  bool failed = false;          // a command was refused when it was to be queued, so EXEC aborts
  std::uint32_t flags = 0;      // the flags (Flag) of all queued commands together
  std::size_t bytes = 0;        // memory of the queue, as it is counted in store::Use::clients
  std::size_t large_bytes = 0;  // large arguments in the queue, which are counted as data
  std::uint64_t needed = 0;     // memory that the commands may need when EXEC runs them
  std::deque<Queued> queue;
  // What checks of the user's rights may compare when commands are queued, so that too much is refused before anything is executed.
  // EXEC makes them once more, with a budget of its own.
  security::MatchBudget queued_matches;
  CommandGroup group;
};

/// A key that the client watches, with what WATCH noted of it.
struct WatchedKey {
  unsigned db;
  std::string key;
  store::Watch watch;

  bool operator<(const WatchedKey& other) const { return std::tie(db, key) < std::tie(other.db, other.key); }
};

/// The last leases under which a plain read of the client was answered nil although another client held the lease. The client
/// does not wait under the same lease again, because it is expected to load the value. Eight tokens are enough, because a plain
/// read that waits is ended by the next thing that the client sends.
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

/// The state of one client. Owned by its connection. Not thread-safe: used by the connection's thread only, except for
/// `shared`.
struct Session {
  SharedClient shared;
  unsigned db = 0;
  int protocol = 2;
  bool no_touch = false;
  bool login_noted = false;  // whether the audit log has been told that a client has authenticated on this connection by a request
  bool close_after_reply = false;
  bool more_to_come = false;  // whether further requests have been received behind the one that is being executed
  ReplyMode reply_mode = ReplyMode::on;
  std::unique_ptr<Transaction> transaction;  // set from MULTI until EXEC or DISCARD
  CommandGroup* group = nullptr;             // set while EXEC or a script executes commands, whose Call::in_transaction is true
  std::set<WatchedKey> watched;
  std::size_t watched_bytes = 0;           // memory of `watched`, as it is counted in store::Use::clients
  PushReceiver* receiver = nullptr;        // the connection; null: the client is not told what is published
  std::unique_ptr<Subscriber> subscriber;  // set while the client has subscriptions; PubSub changes it
  /// A command whose reply comes later sets either `waiting` or `task`. Until the reply is written, the connection executes
  /// nothing.
  std::unique_ptr<Waiting> waiting;
  std::unique_ptr<Task> task;
  ToldNil told_nil;
  std::unique_ptr<Tracking> tracking;  // null: the client does not track
  SessionTrace trace;
  /// What acting_user() has found. Only it and set_user() change this.
  struct Acting {
    std::shared_ptr<const security::User> user;
    bool removed = false;
    // Versions of Users; 0: none.
    std::uint64_t at = 0;            // for which all this was found
    std::uint64_t unlimited_at = 0;  // the same if the user may do everything at any rate
    std::int64_t request_limit = 0;
  } acting;

  /// Whether the client may do no more than change its subscriptions, because it could not tell replies from messages (RESP2).
  bool only_subscribes() const { return subscriber != nullptr && protocol < 3; }
  /// Called when that may have changed.
  void look_for_rights_again() { acting.at = acting.unlimited_at = 0; }

  /// Whether a reply comes later and has not been written yet.
  bool waits() const { return waiting != nullptr || task != nullptr; }

  /// The user as which the client has authenticated; null if it has not. Needs no lock, because only this thread changes the
  /// user.
  const security::User* user() const { return shared.user.get(); }
  /// Whether the client may only authenticate. A client without a user is not unauthenticated while the default user asks for
  /// no password.
  bool unauthenticated(const security::Users& users) const { return user() == nullptr && users.ask_password(); }

  /// Whether the client may do everything at any rate but name channels, so that no request needs a check. Costs one relaxed load and a
  /// comparison. False also if that is not known yet: after the users have changed, or the client has authenticated.
  bool may_do_all(const security::Users& users) const { return acting.unlimited_at == users.version(); }
  /// The user whose rights hold for the next request: the present version of user(). For a client that has not authenticated it is the
  /// default user, if that asks for no password. Null if the client may only authenticate, or if its user was removed, which removed()
  /// tells. O(log users) if the users have changed since the last call.
  const std::shared_ptr<const security::User>& acting_user(const security::Users& users);
  /// The user with which the last request was checked: what acting_user() has found, without looking again. Null if that was nobody, or
  /// if the client has authenticated since.
  const std::shared_ptr<const security::User>& checked_user() const { return acting.user; }
  /// The same as acting_user() without looking for it: null also if the users have changed since. O(1).
  const security::User* known_user(const security::Users& users) const {
    return acting.at == users.version() ? acting.user.get() : nullptr;
  }
  /// How many requests a second acting_user() may make; 0: no limit. Known after a call of acting_user().
  std::int64_t request_limit() const { return acting.request_limit; }
  /// Where the client counts: the usage of user(), or if the client has not authenticated that of the acting user. May be null.
  std::shared_ptr<security::UserUsage> usage() const;
  /// Whether the client's user was found removed. Its connection must be closed.
  bool removed() const { return acting.removed; }

  // These change the session, and what other threads see of it in `shared`.
  void set_user(std::shared_ptr<const security::User> user);
  void select(unsigned number);
  void set_protocol(int version);
  /// An empty name removes the name.
  void set_name(std::string_view name);
  void set_no_touch(bool on);

  /// Makes the session that of a new connection, authenticated as `user` (RESET). The connection's identity and counters stay,
  /// and so do the name and version of the client's library, the leases for which it was told nil, and the reply mode of the
  /// request that is being executed. Before, the caller ends MULTI, WATCH and subscriptions, because ending them takes locks.
  void reset(std::shared_ptr<const security::User> user);

  /// Sets `group` as long as it exists. It may exist inside of another one.
  class Grouped {
   public:
    Grouped(Session& session, CommandGroup& group) : session_(session), outer_(std::exchange(session.group, &group)) {}
    ~Grouped() { session_.group = outer_; }
    Grouped(const Grouped&) = delete;
    Grouped& operator=(const Grouped&) = delete;

   private:
    Session& session_;
    CommandGroup* const outer_;
  };
};

}  // namespace pinfold::command
