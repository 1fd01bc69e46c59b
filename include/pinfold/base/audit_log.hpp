#pragma once
// The audit log: who has connected, authenticated, been refused, and changed what. Each event is a line of JSON.
//
//   {"time":"2026-05-01T10:00:00.123456Z","event":"auth-failed","client":7,"address":"192.0.2.1:4000","user":"default","seq":12}
//
// Any thread notes an event, and a thread of the server's own writes it. So noting one takes no system call but for waking that
// thread (Sleeper), never waits for a disk, and is allowed with a shard locked. Lines that wait to be written take at most 4 MB, and
// those that the writer has taken as much again. What does not fit is counted, and the next line that can be written says so.
//
// What clients can repeat as fast as they send is limited: each source of each kind has so many lines a second. The others are counted, and
// a line says how many were left out. That is all kinds but connections that are accepted and closed, which cost their client more, and
// requests of administrators that succeed. The sources are counted in 4096 places that a keyed hash chooses: nobody can aim at the place
// of another, but two sources that share one by chance share an allowance.
// In all, there is no other limit for lines than the queue. What clients can cause before they have authenticated takes three quarters of
// it at most, and each source of that a quarter. So the flood of one source takes none of the lines of another, and leaves room for what
// administrators do. Somebody with thousands of addresses can make the log grow as fast as the disk takes it, and can use up the allowances
// of many places and those three quarters.
//
// No client can forge a line or break one: names are constants of the code, and every byte of a value that is no printable ASCII
// is escaped. No line is longer than `longest_line`: long values are cut, and the line then says "cut":true.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/log_lines.hpp"
#include "pinfold/base/siphash.hpp"
#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/throttle.hpp"

namespace pinfold {

/// One line while it is being made. Throws std::bad_alloc.
class AuditLine {
 public:
  explicit AuditLine(std::string_view event);

  AuditLine& add(std::string_view name, std::string_view value);
  AuditLine& add(std::string_view name, std::uint64_t value);

  /// The line but for its end, which AuditLog adds. Ends the use of this object.
  std::string take();

 private:
  std::string text_;
  bool cut_ = false;
};

/// Thread-safe. Off until start() is called; then note() costs one relaxed load.
class AuditLog final : public LogLines {
 public:
  enum class Kind : unsigned {
    server,               // the server has started, stopped, or opened this file anew
    connection_accepted,  // a client has connected
    connection_refused,   // a client was not let in
    connection_closed,    // a connection has ended, and why
    auth_ok,              // a client has authenticated
    auth_failed,          // a client gave a wrong user or password
    auth_limited,         // an attempt to authenticate was refused unseen
    denied,               // a request was refused, because the client may not make it
    administration,       // an administrative request
    configuration,        // a change of settings or policies, or a look at them
    acl,                  // a change of users, or a look at them
    purge,                // entries were removed by tag, by prefix, or all of them
    count,
  };
  /// What is known of a kind. The table of all kinds is in audit_log.cpp.
  struct Event {
    Kind kind;
    std::string_view name;         // as lines say it
    unsigned per_second;           // the most lines of the kind that one source has in a second; 0: all. At most RateWindow::most
    unsigned repeated_per_second;  // the same for lines with Repeated::yes
    bool from_outside;             // whether clients that have not authenticated can cause it; these leave room for others in the queue
  };
  static std::span<const Event> events();

  /// Who causes a line: nothing in it is a client's to choose. Without both it is the server itself.
  struct Source {
    std::string_view user = {};     // the name of the client's user; empty if it has none, and for attempts to authenticate that fail
    std::string_view address = {};  // the client's; its origin counts (origin_of). All clients of unix sockets have the same one
  };
  /// Whether a client can repeat what the line tells of as fast as it sends, although lines of the kind are not limited otherwise: a
  /// request that has failed, or a further authentication on one connection. Then the limit is Event::repeated_per_second.
  enum class Repeated : bool { no, yes };

  static constexpr std::size_t longest_line = 4096;
  static constexpr std::size_t most_waiting_bytes = 4 * 1024 * 1024;
  /// The most of it that lines of kinds with Event::from_outside take, and the most that such lines of one source do.
  static constexpr std::size_t most_bytes_from_outside = most_waiting_bytes / 4 * 3;
  static constexpr std::size_t most_bytes_of_source = most_waiting_bytes / 4;

  /// Tests give a key, so that chance does not decide which sources share an allowance.
  explicit AuditLog(const HashKey& key = random_hash_key()) : key_(key) {}

  /// Begins to take lines. `writer` is woken when the first line waits; it then calls take(). Called before there are threads that
  /// note events. Takes 48 KB. Throws std::bad_alloc.
  void start(Sleeper& writer);
  bool on() const { return writer_ != nullptr; }

  /// Notes a line of this kind, to which `fill(AuditLine&)` adds fields. `fill` is not called if the line is left out. O(size of the
  /// line); O(length of the user's name) without an allocation if it is left out.
  template <class Fill>
  void note(Kind kind, const Source& source, Repeated repeated, Fill&& fill) {
    if (!on()) [[likely]]
      return;
    if (!admits(kind, source, repeated)) return;
    try {
      AuditLine line = begin(kind);
      fill(line);
      add(kind, source, line.take());
    } catch (const std::bad_alloc&) {
      lose();
    }
  }

  template <class Fill>
  void note(Kind kind, const Source& source, Fill&& fill) {
    note(kind, source, Repeated::no, std::forward<Fill>(fill));
  }
  template <class Fill>
  void note(Kind kind, Fill&& fill) {
    note(kind, Source(), std::forward<Fill>(fill));
  }
  /// Counts a line of this kind as left out, for a caller that has noted as many as it may. O(1).
  void leave_out(Kind kind) {
    if (on()) count_left_out(kind);
  }

  /// Takes the lines that wait to be written, each with its line break. If lines have been lost or left out, the last of them say so; what
  /// was left out at most once a second or, with `all`, now. Called by the writer only.
  std::vector<std::string> take(bool all = false) override;
  /// Tells whether the file could be written, and how many lines were. Called by the writer only.
  void report(bool written, std::uint64_t lines) override;

  /// Whether lines cannot be written: the last attempt failed, or the whole queue is full. That clients have used up their parts of the
  /// queue does not count, because then strangers could have administrators refused (audit-log-on-error).
  bool failing() const { return failing_.load(std::memory_order_relaxed) || full_.load(std::memory_order_relaxed); }
  std::uint64_t lines_written() const { return written_.load(std::memory_order_relaxed); }
  /// Lines that found no room, in the queue or in memory.
  std::uint64_t lines_lost() const { return lost_.load(std::memory_order_relaxed); }
  /// Lines that were left out because one source had too many: of their kind in a second, in the queue, or in one EXEC.
  std::uint64_t lines_left_out() const { return left_out_.load(std::memory_order_relaxed); }
  /// Sets the counts back (CONFIG RESETSTAT). What the file has still to be told of is not forgotten.
  void reset_counts() {
    written_.store(0, std::memory_order_relaxed);
    lost_.store(0, std::memory_order_relaxed);
    left_out_.store(0, std::memory_order_relaxed);
  }

 private:
  static constexpr std::size_t kinds = static_cast<std::size_t>(Kind::count);
  static constexpr std::size_t places = 4096;

  enum class Room : std::uint8_t { some, none_for_source, none_for_outside, none };

  std::size_t place_of(Kind kind, const Source& source) const;
  bool admits(Kind kind, const Source& source, Repeated repeated);
  void count_left_out(Kind kind);
  AuditLine begin(Kind kind);
  void add(Kind kind, const Source& source, std::string text);
  Room room_for(Kind kind, std::size_t place, std::size_t bytes) const;
  void lose();
  std::string finished(std::string text);
  void tell(std::vector<std::string>& lines, AuditLine line, std::atomic<std::uint64_t>& untold);
  void tell_missing(std::vector<std::string>& lines, bool all);

  const HashKey key_;
  Sleeper* writer_ = nullptr;
  std::vector<RateWindow> windows_;  // in places of sources; never resized once there is a writer
  RateWindow tellings_;              // of what was left out
  std::atomic<bool> failing_{false};
  std::atomic<bool> full_{false};
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<std::uint64_t> lost_untold_{0};
  std::atomic<std::uint64_t> left_out_{0};
  std::array<std::atomic<std::uint64_t>, kinds> left_out_untold_{};
  std::mutex mutex_;  // guards what follows
  std::vector<std::string> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::vector<std::uint32_t> waiting_of_;  // those bytes of `waiting_bytes_` that sources from outside have caused, in their places
  std::uint64_t next_number_ = 1;
};

}  // namespace pinfold
