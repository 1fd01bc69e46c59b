#pragma once
// Tracing: spans of requests, on their way to a receiver of OpenTelemetry's protocol.
//
// I/O threads make spans (net/request_tracer.hpp) and add them to one queue of fixed size. One thread of its own takes them from there and
// sends them (server/trace_exporter.hpp). Whatever the receiver does, nobody waits for it: a span that finds the queue full is dropped and
// counted.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/spinning_mutex.hpp"
#include "pinfold/base/trace_context.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::command {

struct Row;

/// A text in place: of a longer one the first `Most` bytes.
template <std::size_t Most>
class ShortText {
 public:
  static_assert(Most < 256);
  ShortText& operator=(std::string_view text) {
    size_ = static_cast<std::uint8_t>(text.copy(bytes_.data(), Most));
    return *this;
  }
  std::string_view view() const { return {bytes_.data(), size_}; }

 private:
  std::uint8_t size_ = 0;
  std::array<char, Most> bytes_{};
};

/// What is told of one request. It refers to nothing but the command table, and has no key and no value. Together, its six durations are
/// the time from the start to the end, and follow on each other but for the waits, which interrupt the execution.
struct Span {
  TraceId trace{};
  SpanId id{};
  SpanId parent{};            // of zeros: it is the root of its trace
  std::int64_t start_ns = 0;  // Unix time at which the request had been received
  // In nanoseconds:
  std::uint64_t queue = 0;      // until the execution began
  std::uint64_t lock_wait = 0;  // for locks of shards
  std::uint64_t room_wait = 0;  // while memory was evicted for the request
  std::uint64_t execute = 0;
  std::uint64_t wait = 0;       // for the load of another client, for a purge, or of a long command between its steps
  std::uint64_t write = 0;      // until the last byte of the reply was handed to the socket
  const Row* row = nullptr;     // null: there is no such command
  std::uint32_t arguments = 0;  // words of the request, its name included
  std::uint32_t queued = 0;     // commands that EXEC has executed
  unsigned db = 0;
  ShortText<63> user;
  ShortText<63> address;
  ShortText<31> error;  // the code of the error that was replied, or why there was no reply; empty: the reply was no error

  std::uint64_t duration() const { return queue + lock_wait + room_wait + execute + wait + write; }
};

/// What the session keeps of CLIENT TRACEPARENT. A plain value.
struct SessionTrace {
  TraceContext context;
  bool present = false;
  bool once = false;  // for the next request only
};

/// Thread-safe, except where a function says otherwise.
class Tracing {
 public:
  /// The queue has room for so many spans, or for fewer if maxmemory is small: it takes at most a sixty-fourth of that.
  static constexpr std::size_t most_waiting = 4096;
  static constexpr std::size_t least_waiting = 32;
  /// As many as the exporter sends at once. It is woken when so many wait.
  static constexpr std::size_t batch = 512;

  explicit Tracing(store::Memory& memory) : memory_(memory) {}
  ~Tracing() { switch_off(); }
  Tracing(const Tracing&) = delete;
  Tracing& operator=(const Tracing&) = delete;

  /// Whether requests are traced. One relaxed load.
  bool on() const { return on_.load(std::memory_order_relaxed); }
  /// Takes the memory of the queue, which counts as Use::sampling. Does nothing if it is on. Throws std::bad_alloc.
  void switch_on();
  /// Gives the memory back. Spans that wait are dropped.
  void switch_off();
  /// How many spans the queue has room for; 0 while it is off.
  std::size_t capacity() const { return capacity_.load(std::memory_order_relaxed); }

  /// Adds a span to the queue, or drops it. O(1), and holds a lock for as long as it takes to copy the span.
  void add(const Span& span);
  /// Counts spans as dropped, for which there is no room elsewhere.
  void drop(std::uint64_t spans = 1) { dropped_.fetch_add(spans, std::memory_order_relaxed); }
  /// Moves the oldest spans to `to`, and returns how many. Copies 32 spans at most, 11 KB, in one hold of the lock.
  std::size_t take(std::span<Span> to);

  /// Who is woken when a batch of spans waits; null: nobody. Before the first span, or after the last.
  void set_exporter(Sleeper* exporter) { exporter_ = exporter; }

  // Counted since the start of the server.
  void count_exported(std::uint64_t spans) { exported_.fetch_add(spans, std::memory_order_relaxed); }
  void count_failed(std::uint64_t spans) { failed_.fetch_add(spans, std::memory_order_relaxed); }
  std::uint64_t exported() const { return exported_.load(std::memory_order_relaxed); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  std::uint64_t failed() const { return failed_.load(std::memory_order_relaxed); }

  store::Memory& memory() { return memory_; }

 private:
  store::Memory& memory_;
  std::atomic<bool> on_{false};
  std::atomic<std::size_t> capacity_{0};
  Sleeper* exporter_ = nullptr;
  std::atomic<std::uint64_t> exported_{0};
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<std::uint64_t> failed_{0};
  SpinningMutex mutex_;            // guards the next three
  std::unique_ptr<Span[]> spans_;  // a ring
  std::size_t first_ = 0;          // the oldest one's place
  std::size_t size_ = 0;
};

}  // namespace pinfold::command
