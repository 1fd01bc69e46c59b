#pragma once
// The scripts that clients have sent, found by their SHA1 (EVALSHA), and what has been seen of their use of keys.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "pinfold/base/clock.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::command {

/// What has been seen of the keys that a script or function uses. A script whose runs have used declared keys only, so many of them one
/// after the other, is trusted to do so: only those keys are locked for it. One that has used another key once is never trusted again.
/// Thread-safe.
class KeyHabit {
 public:
  static constexpr std::uint32_t runs_to_trust = 16;

  bool is_trusted() const {
    const std::uint32_t runs = runs_.load(std::memory_order_relaxed);
    return runs >= runs_to_trust && runs != strays;
  }
  bool has_strayed() const { return runs_.load(std::memory_order_relaxed) == strays; }
  /// A run has ended that has used declared keys only.
  void note_declared() {
    std::uint32_t runs = runs_.load(std::memory_order_relaxed);
    // If another thread has changed it meanwhile, this run is not counted.
    if (runs < runs_to_trust) runs_.compare_exchange_strong(runs, runs + 1, std::memory_order_relaxed);
  }
  /// A run has used a key that it had not declared.
  void note_undeclared() {
    if (runs_.load(std::memory_order_relaxed) != strays) runs_.store(strays, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint32_t strays = UINT32_MAX;

  std::atomic<std::uint32_t> runs_{0};
};

/// The 40 digits of a SHA1, in lower case.
using ScriptDigest = std::array<char, 40>;
inline std::string_view text_of(const ScriptDigest& digest) { return {digest.data(), digest.size()}; }
/// The digest of a script's body. O(size).
ScriptDigest digest_of(std::string_view body);
/// The digest that a client names, in any case; nothing if `text` cannot be one.
std::optional<ScriptDigest> named_digest(std::string_view text);

/// The first line of a script: "#!lua flags=no-writes,allow-oom".
struct Shebang {
  bool present = false;
  std::uint8_t flags = 0;  // script::Flag; without a first line nothing is known
  std::size_t length = 0;  // of the line, without the line break at its end
};
/// Reads the first line. Returns the text of Redis' error, or an empty one.
std::string read_shebang(std::string_view body, Shebang& shebang);

/// One script. Constant but for its atomic members, so any thread may use it.
struct Script {
  Script(const ScriptDigest& script_digest, std::string_view script_body, const Shebang& first_line)
      : digest(script_digest), body(script_body), shebang(first_line) {}

  const ScriptDigest digest;
  const std::string body;
  const Shebang shebang;
  mutable KeyHabit habit;
  std::atomic<bool> cached{false};            // whether it is in the cache
  std::atomic<bool> loaded{false};            // by SCRIPT LOAD: it is not removed for another script
  mutable std::atomic<std::int64_t> used{0};  // when it was used last, in monotonic milliseconds

  /// The memory that the cache counts for it.
  std::size_t memory() const { return sizeof(Script) + body.size() + bookkeeping; }

 private:
  static constexpr std::size_t bookkeeping = 256;  // of the cache and of the allocator
};

/// All scripts. Those that EVAL has brought are removed when there are too many of them, the one first that was not used for longest, as in
/// Redis 7.4. Those of SCRIPT LOAD stay until SCRIPT FLUSH. Thread-safe: it has a mutex, under which nothing else is locked.
class ScriptCache {
 public:
  /// The most scripts of EVAL that are kept.
  static constexpr std::size_t most_of_eval = 500;

  explicit ScriptCache(store::Memory& memory) : memory_(memory) {}

  /// Null if there is none.
  std::shared_ptr<Script> find(const ScriptDigest& digest) const;
  /// Adds a script, or returns the one that is there with the same digest. `limit` is what all of them may take, in bytes. If there is no
  /// room for it, even when all scripts of EVAL were removed, the result is not `cached`. O(1); O(most_of_eval) if one has to go.
  std::shared_ptr<Script> add(std::shared_ptr<Script> script, bool loaded, std::uint64_t limit, MonoMs now);
  /// Removes all. The scripts that are running go on.
  void flush();

  /// Changes with each script that is removed. Costs one relaxed load.
  std::uint64_t removals() const { return removals_.load(std::memory_order_relaxed); }
  /// The number of removals at the last flush.
  std::uint64_t flushed_at() const { return flushed_at_.load(std::memory_order_relaxed); }
  std::size_t size() const;
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  /// How many scripts of EVAL were removed to make room since the start.
  std::uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }

 private:
  struct Hash {
    std::size_t operator()(const ScriptDigest& digest) const { return std::hash<std::string_view>()(text_of(digest)); }
  };
  void remove(const ScriptDigest& digest);
  bool remove_oldest_of_eval();
  void account(std::int64_t bytes);

  store::Memory& memory_;
  mutable std::mutex mutex_;  // guards the two below
  std::unordered_map<ScriptDigest, std::shared_ptr<Script>, Hash> scripts_;
  std::size_t of_eval_ = 0;
  std::atomic<std::uint64_t> removals_{0};
  std::atomic<std::uint64_t> flushed_at_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> evicted_{0};
};

}  // namespace pinfold::command
