#pragma once
// How a value gets larger if that would take too long with its shard locked: the new block is made first, with nothing locked.
//
//   1. Database::resize() refuses with Stored::must_prepare, and sets the size, capacity and source of the block that it wants.
//   2. The caller makes that block with nothing locked.
//   3. The caller calls resize() again. If the value is still in the block `source`, or still inline if there is no
//      `source`, the new block takes its place. Otherwise resize() drops the new block and begins again with step 1.
//
// Step 3 compares only the addresses of blocks. That is enough, because `source` is a reference, and a block with several
// references is not changed. So if the value is still in this block, it has the same bytes as before.

#include <cstddef>
#include <utility>

#include "pinfold/base/blob.hpp"

namespace pinfold::store {

/// What Database::resize() and its caller tell each other. Not thread-safe; sizes are in bytes.
struct Growth {
  /// The most that is copied, or filled with zeros, while the shard is locked.
  static constexpr std::size_t most_locked = 256 * 1024;
  /// The most that is copied while the shard is locked, if the caller cannot wait.
  static constexpr std::size_t most_without_waiting = 1024 * 1024;

  /// Set by the caller: whether it can wait for a block to be made. A command inside EXEC cannot, and no command can in the
  /// last of its tries (command/prepared_write.hpp).
  bool may_wait = true;
  /// Set by resize() when it refuses with Stored::must_prepare: the block that the caller is to make.
  std::size_t size = 0;      // the size that the value is to have
  std::size_t capacity = 0;  // the capacity that the block must have
  Blob source;               // the value's present block; empty if there is no value, or an inline one, which resize() copies itself

  /// Made by the caller: a block with the bytes of `source`, followed by zeros up to `size`.
  Blob block;

  /// Called by resize(): asks the caller for a block. A block that was made before is dropped.
  void want(std::size_t new_size, std::size_t new_capacity, Blob old) {
    size = new_size;
    capacity = new_capacity;
    source = std::move(old);
    block = Blob();
  }
};

}  // namespace pinfold::store
