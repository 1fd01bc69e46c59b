#pragma once
// How a value gets larger when that takes too long for the lock of its shard: its block is made before, with nothing locked.
//
// Database::resize() refuses and says what it wants. The caller makes a block of that capacity that begins with the bytes of `source`,
// and calls it again. If the value is then still what it was, which its block tells (nobody changes one that others hold), the new block
// takes its place; if not, it is looked at anew.

#include <cstddef>
#include <utility>

#include "pinfold/base/blob.hpp"

namespace pinfold::store {

struct Growth {
  /// So many bytes may be copied, or filled with zeros, while the shard is locked.
  static constexpr std::size_t most_locked = 256 * 1024;
  /// The same where nobody can wait.
  static constexpr std::size_t most_without_waiting = 1024 * 1024;

  /// Set by the caller: whether it can do so.
  bool may_wait = true;
  /// Set by resize() where it returned null: the caller is to make the block, or would have to and may not.
  bool wanted = false;
  bool refused = false;
  std::size_t size = 0;
  std::size_t capacity = 0;
  Blob source;  // empty: the value is no block

  /// Made by the caller: the bytes of `source`, and zeros up to `size`.
  Blob block;

  void want(std::size_t new_size, std::size_t new_capacity, Blob old) {
    wanted = true;
    size = new_size;
    capacity = new_capacity;
    source = std::move(old);
    block = Blob();
  }
};

}  // namespace pinfold::store
