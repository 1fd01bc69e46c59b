#pragma once
// Makes the spans of the requests that one I/O thread executes (command/tracing.hpp).
//
// A connection tells what happens to a request: begin() when it is executed, executed() after that, waited() if its reply came later,
// settle() when bytes were written. Times are those of the processor's counter (base/thread_clock.hpp). While tracing is off, nothing of
// this is called.
//
// A span whose reply is not written yet is kept in one of a fixed number of slots, in the chain of its connection. A request that finds no
// slot is not told of, and its span is counted as dropped.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/tracing.hpp"

namespace pinfold::net {

/// Used by its thread alone. The engine must outlive it. Every function is O(1), unless it says otherwise.
class RequestTracer {
 public:
  explicit RequestTracer(command::Engine& engine) : engine_(engine) {}
  ~RequestTracer();
  RequestTracer(const RequestTracer&) = delete;
  RequestTracer& operator=(const RequestTracer&) = delete;

  /// The spans of one connection that are not complete, in the order of their requests.
  struct Chain {
    static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t first = none;
    std::uint32_t last = none;
    bool empty() const { return first == none; }
  };
  /// How many bytes were written to a connection, and how many will have been when all that waits has been written.
  struct Written {
    std::uint64_t now = 0;
    std::uint64_t in_the_end = 0;
  };

  /// Whether any connection has a span that is not complete.
  bool any() const { return used_ != 0; }

  /// Decides whether the request is traced, and returns it: by the context that its client has given, which is used up if it was for one
  /// request, or if there is none by trace-sample-percent. The execution begins now. `received` is when it had been received, in ticks.
  bool begin(command::Session& session, const command::Row* row, command::Args args, std::uint64_t received);
  /// The request that has begun is executed. `error` is the code of the error that was replied. If the reply comes later, waited() is
  /// called.
  void executed(Chain& chain, const command::Session& session, std::string_view error, const Written& written);
  /// The connection was closed while the request was executed.
  void cut_off(const command::Session& session);

  /// A step of the connection's long command has taken so many ticks.
  void stepped(const Chain& chain, std::uint64_t ticks);
  /// The reply that had to be waited for is there.
  void waited(Chain& chain, std::string_view error, const Written& written);
  /// Completes the spans whose replies are within the first `written` bytes. O(such spans).
  void settle(Chain& chain, std::uint64_t written);
  /// Completes all spans: the connection is closed. O(spans).
  void close(Chain& chain);

  /// To be called now and then: gives the memory of the slots back if tracing is off and none is used.
  void tend();

 private:
  static constexpr std::uint64_t not_replied = std::numeric_limits<std::uint64_t>::max();
  // A span that is not complete.
  struct Open {
    command::Span span;
    std::uint64_t since = 0;           // in ticks: when the wait or the write began
    std::uint64_t ends_at = 0;         // the written bytes with which the reply ends; not_replied: there is no reply yet
    std::uint64_t stepped = 0;         // ticks that the steps of a long command have taken in the wait
    std::uint32_t next = Chain::none;  // in the chain, or among the free ones
  };

  void end_execution(const command::Session& session, std::string_view error);
  bool take_memory();
  void give_memory_back();
  std::uint32_t take_slot();
  void free_first(Chain& chain);
  void finish(command::Span& span, std::uint64_t now);

  command::Engine& engine_;
  command::Span current_;    // of the request that is being executed
  std::uint64_t began_ = 0;  // its execution, in ticks
  std::uint64_t ended_ = 0;
  std::uint64_t waited_before_ = 0;  // ThreadWaits::total() then
  std::uint64_t room_before_ = 0;
  std::vector<Open> slots_;
  std::size_t used_ = 0;
  std::size_t waiting_ = 0;  // of these, for replies that come later: half of the slots at most
  std::uint32_t free_ = Chain::none;
  std::int64_t accounted_ = 0;
};

}  // namespace pinfold::net
