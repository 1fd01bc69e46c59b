#pragma once
// Runs Lua 5.1 scripts of clients, with the libraries and the error texts of Redis 7.0, in a sandbox.
//
// This room knows Lua and nothing of commands. What a script wants of the server goes through a Host, and what it returns goes to a Sink;
// the command room implements both. No type of Lua's appears in this header.
//
// What a script can cause is bounded:
// - Memory: the Account is asked before the interpreter's memory grows, and a script that is refused fails with "not enough memory". All
//   that scripts have allocated and that is not collected yet is at most Limits::memory, whatever script it came from.
// - Time: Host::stop is asked at least once in 4096 instructions or 4096 steps of library functions, where a step is a character compared,
//   an element moved or 64 bytes copied: in about 0.1 ms. What the core of Lua does with one value at once is not divided: a copy, a
//   comparison or a conversion of a string, the rehash of a table, next() over its removed elements. It takes up to 0.3 ms for each MB of
//   the value. So while the interpreter holds blocks of more than 64 KB together, it asks in proportion more often, down to 4 instructions.
//   After a reason to stop, no pcall of the script catches the error.
// - Depth: C++ frames are at most a megabyte deep, whatever coroutines, patterns or tables are nested in each other.
//
// Errors of Lua are C++ exceptions here (Debian's liblua5.1-c++), so a Host or Sink may have objects with destructors in its frames. It
// must not throw: what it throws would be taken for an error of the script.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold::script {

/// Receives the value that a script returns, in the order of the protocol. The sink knows what the client's protocol is and chooses the
/// form. Not thread-safe.
class Sink {
 public:
  /// Whether there is room for `bytes` more. Asked before each value. After false the interpreter gives up: run() returns
  /// Ended::refused_reply, and the caller replaces what was written.
  virtual bool takes(std::size_t bytes) = 0;

  virtual void null() = 0;
  virtual void integer(std::int64_t value) = 0;
  virtual void bulk(std::string_view bytes) = 0;
  /// A status line. `text` is a script's: it may hold line breaks, which the sink replaces.
  virtual void status(std::string_view text) = 0;
  /// An error. `text` begins with its code and without a '-', and may hold line breaks, which the sink replaces. `counted_before`: it is a
  /// reply of redis.call or redis.pcall that the script passes on. Redis counts such an error in its statistics once, when the command
  /// fails.
  virtual void error(std::string_view text, bool counted_before) = 0;
  /// Headers: `size` elements, or `pairs` keys and values, follow.
  virtual void array(std::size_t size) = 0;
  virtual void map(std::size_t pairs) = 0;
  virtual void set(std::size_t size) = 0;
  /// Comes from scripts that have called redis.setresp(3) only. To a client of RESP2 a boolean is :1 or :0.
  virtual void boolean(bool value) = 0;
  virtual void real(double value) = 0;
  /// The digits of a number of any size; line breaks are the sink's to replace.
  virtual void big_number(std::string_view digits) = 0;
  /// `format` has three characters, or others if the script says so.
  virtual void verbatim(std::string_view format, std::string_view text) = 0;

 protected:
  ~Sink() = default;
};

/// Level of a line that a script logs, with Redis' numbers.
enum class LogLevel : std::uint8_t { debug = 0, verbose = 1, notice = 2, warning = 3 };

/// What redis.acl_check_cmd is answered.
enum class Permission : std::uint8_t { granted, denied, no_such_command };

/// What a script wants of the server. One object may serve many runs. Not thread-safe.
class Host {
 public:
  /// The reply of a command, in RESP2 or RESP3 as the server writes it to clients: whole, in pieces that may be cut anywhere. The pieces
  /// are valid until the next call of the host; the interpreter copies what it needs at once.
  struct Reply {
    std::span<const std::string_view> pieces;
    /// The script is to be given up without an answer, such as to run it anew with more locks. Then `pieces` does not count, no pcall
    /// catches it, and run() returns Ended::abandoned.
    bool abandon = false;
  };

  /// Runs a command for redis.call or redis.pcall. `arguments` has the name first and at least one element; the views are valid during the
  /// call. `resp` is 2 or 3, as redis.setresp has said: the protocol of the reply. Errors are replies ("-ERR ..."), also those for which
  /// Redis has texts of its own in scripts, such as an unknown command: "-ERR Unknown Redis command called from script"; which text belongs
  /// to what is the command room's to know.
  virtual Reply call(std::span<const std::string_view> arguments, int resp) = 0;
  /// redis.acl_check_cmd, for the user that runs the script.
  virtual Permission may_call(std::span<const std::string_view> arguments) = 0;
  /// redis.log. `text` may hold any bytes.
  virtual void log(LogLevel level, std::string_view text) = 0;
  /// Is asked between steps, thus often: one comparison or a read of the clock. Empty to go on, otherwise the text of the error that ends
  /// the script, such as "ERR Error running script: Script killed by user with SCRIPT KILL..."; it must stay valid until the run has ended.
  /// Then run() returns Ended::stopped.
  virtual std::string_view stop() = 0;

 protected:
  ~Host() = default;
};

/// Is asked for memory, in grains of 32 KB, before the interpreter's memory grows. May be shared by the interpreters of several threads if
/// it is thread-safe.
class Account {
 public:
  /// Whether the interpreter may take `bytes` more. What is taken is given back by release(), at the latest by the interpreter's
  /// destructor.
  virtual bool take(std::size_t bytes) = 0;
  virtual void release(std::size_t bytes) = 0;

 protected:
  ~Account() = default;
};

/// A compiled script or function of one interpreter. Null (0) is none. Handles are counted by nobody: who got one calls forget() once.
enum class Handle : std::int32_t { none = 0 };

struct Compiled {
  /// None if it does not compile. Then `error` says why, as Redis does after "ERR Error compiling script (new function): ".
  Handle script = Handle::none;
  std::string error;
};

/// The flags of scripts and functions, as bits. allow-cross-slot-keys is known to Redis 7.0.7 and later.
enum Flag : std::uint8_t { no_writes = 1, allow_oom = 2, allow_stale = 4, no_cluster = 8, allow_cross_slot_keys = 16 };

/// All flags with their names, in the order in which FUNCTION LIST shows them.
struct NamedFlag {
  Flag flag;
  std::string_view name;
};
std::span<const NamedFlag> named_flags();
/// The flag of this name (case counts), none if there is none.
std::optional<Flag> flag_named(std::string_view name);

/// A function that a library has registered.
struct Registered {
  std::string name;
  std::optional<std::string> description;
  std::uint8_t flags = 0;
  Handle function = Handle::none;
};

struct Library {
  /// In the order of their registration. Empty after an error.
  std::vector<Registered> functions;
  /// Empty, or why the library cannot be loaded, as Redis says after "ERR ".
  std::string error;
};

/// How a run has ended.
enum class Ended : std::uint8_t {
  returned,       ///< The sink has got the value.
  failed,         ///< The sink has got the error.
  stopped,        ///< Host::stop has ended it.
  abandoned,      ///< The host has given the script up (Host::Reply::abandon).
  refused_reply,  ///< The sink takes no more.
};

struct Outcome {
  Ended ended = Ended::returned;
  /// After `stopped`: the error to reply, which is the text of Host::stop with the name of the script. After `stopped`, `abandoned` and
  /// `refused_reply` the sink may have got a part of a value, which the caller takes back before it replies.
  std::string error;
};

struct Limits {
  /// Bytes that scripts and libraries may have allocated, beyond what the interpreter, its compiled scripts and the compiled code of its
  /// libraries need. At most 1 GB.
  std::size_t memory = std::size_t{64} << 20;
};

/// One Lua state. Each I/O thread has one. Not thread-safe, and not to be called from within its own Host.
class Interpreter {
 public:
  /// Makes the state, which takes about 100 KB of the account. Without an account nobody is asked. Throws std::bad_alloc if it is refused.
  explicit Interpreter(Account* account = nullptr, Limits limits = {});
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  /// Takes effect at the next growth.
  void set_limits(Limits limits);

  /// Compiles the body of a script. The caller has checked its first line "#!lua ..." and leaves it out, but not the line break at its end,
  /// so that the numbers of lines stay right. Text only: bytecode is refused. O(size), or for conditions with thousands of `or` O(size
  /// squared): so the host is asked whether to stop, if there is one.
  Compiled compile(std::string_view body, Host* host = nullptr);

  /// Runs a script. `name` is what error messages call it: its SHA1 in 40 digits.
  Outcome run(Handle script, std::string_view name, std::span<const std::string_view> keys, std::span<const std::string_view> arguments,
              Host& host, Sink& sink);

  /// Loads a library of functions: runs `code`, which calls redis.register_function. As in compile(), the first line "#!lua name=..." is
  /// left out but for its line break. Host::stop is asked, which thereby limits the time of loading (in Redis 500 ms, with "FUNCTION LOAD
  /// timeout"); Host::call is not. After an error nothing is kept.
  Library load_library(std::string_view code, Host& host);

  /// Runs a function of a library. `name` is the function's.
  Outcome run_function(Handle function, std::string_view name, std::span<const std::string_view> keys,
                       std::span<const std::string_view> arguments, Host& host, Sink& sink);

  /// Gives a script or function up. O(1): its memory becomes garbage. Handle::none is nothing.
  void forget(Handle handle);

  /// Collects some garbage, for about half a millisecond. Returns whether there is more to do. Does nothing while there is little. To be
  /// called after a run, when nobody waits for what is locked for it, and by whoever has time, such as a tick of an idle thread. Without it
  /// garbage is collected in the middle of scripts.
  bool collect();

  /// Collects all garbage if there is so much of it that run() would begin with that. To be called before a run, when nothing is locked for
  /// it. O(1) if there is little, otherwise up to a tenth of a second.
  void make_room();

  /// Bytes that the Lua state takes, garbage included.
  std::size_t memory() const;

  /// How often hosts were asked to stop, for tests of the bounds.
  std::uint64_t polls() const;

 private:
  friend class State;
  std::unique_ptr<class State> state_;
};

}  // namespace pinfold::script
