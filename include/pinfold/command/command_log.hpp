#pragma once
// The requests that were slow or large, for SLOWLOG and COMMANDLOG: one list of each kind, the oldest entries of which are forgotten.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pinfold/command/request_words.hpp"

namespace pinfold::command {

/// Thread-safe. Its work is bounded, and it waits for no disk.
class CommandLog {
 public:
  enum class Kind : std::uint8_t { slow, large_request, large_reply, count };

  struct Entry {
    std::uint64_t id = 0;        // grows with each entry of its kind; set by add()
    std::int64_t unix_s = 0;     // when the command had ended
    std::uint64_t value = 0;     // slow: microseconds of execution; the others: bytes
    std::uint64_t locks_us = 0;  // slow: how long it has waited for locks of shards, which is no part of the execution
    std::uint64_t room_us = 0;   // slow: how long it has waited while memory was evicted for it
    const Row* row = nullptr;    // of the command, and the database: with the words, what tells who may see them
    unsigned db = 0;
    RequestWords words;
    std::string address;  // of the client
    std::string name;
  };
  using Pointer = std::shared_ptr<const Entry>;

  /// What the entries of one kind may take together, whatever their number may be. In bytes.
  static constexpr std::size_t most_bytes = 2 * 1024 * 1024;

  /// Adds an entry. Then the oldest are forgotten until there are at most `most`, of at most most_bytes. Throws std::bad_alloc.
  void add(Kind kind, Entry entry, std::size_t most);
  /// The newest entries, newest first, at most `count`. O(count). Throws std::bad_alloc.
  std::vector<Pointer> newest(Kind kind, std::size_t count) const;
  std::size_t length(Kind kind) const;
  /// The memory of all entries of a kind.
  std::size_t bytes(Kind kind) const;
  void reset(Kind kind);
  /// Resets all logs, and overwrites what they had.
  void forget();

 private:
  struct List {
    std::deque<Pointer> entries;  // newest first
    std::size_t bytes = 0;
    std::uint64_t next_id = 0;
  };
  List& list(Kind kind) { return lists_[static_cast<std::size_t>(kind)]; }
  const List& list(Kind kind) const { return lists_[static_cast<std::size_t>(kind)]; }

  mutable std::mutex mutex_;
  std::array<List, static_cast<std::size_t>(Kind::count)> lists_;
};

}  // namespace pinfold::command
