#pragma once
// The names of a command's keys, for a task: its call has none.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pinfold/command/call.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

/// Not thread-safe.
class KeptNames {
 public:
  /// Keeps the names of all keys of the call. Returns false if the account of clients does not allow it. O(bytes).
  bool keep(const Call& call, ClientMemory& memory) {
    std::uint64_t bytes = 0;
    for (const store::Key& key : call.keys) bytes += sizeof(std::string) + key.text.size();
    if (!memory.ask(bytes)) return false;
    names_.reserve(call.keys.size());
    for (const store::Key& key : call.keys) names_.emplace_back(key.text);
    return true;
  }
  std::size_t size() const { return names_.size(); }
  /// The keys from number `first` on, `count` of them at most, with their shards locked. Threads that already wait for one of these go
  /// first. The keys are valid as long as this object is.
  std::vector<store::Key> lock(Call& call, std::size_t first, std::size_t count) const {
    std::vector<store::Key> keys;
    for (const std::string& name : std::span(names_).subspan(first, std::min(count, names_.size() - first))) {
      keys.push_back(call.engine.keyspace.key(name));
    }
    call.held.acquire_after_waiters(keys);
    return keys;
  }

 private:
  std::vector<std::string> names_;
};

}  // namespace pinfold::command
