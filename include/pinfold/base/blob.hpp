#pragma once
// Reference-counted bytes. Values that are too large for the log have this form, so that a reply can be sent without a copy
// and without a lock.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "pinfold/base/block_heap.hpp"

namespace pinfold {

/// A shared block of bytes with a size and a capacity, in a BlockHeap that outlives it. The heap's account counts it
/// once, from allocation until the last reference is gone. The reference count is atomic. The bytes are not guarded: they may
/// be written only by the holder of the only reference (`unique()`), and else are only read.
class Blob {
 public:
  Blob() = default;
  Blob(const Blob& other) : rep_(other.rep_) { acquire(); }
  Blob(Blob&& other) noexcept : rep_(std::exchange(other.rep_, nullptr)) {}
  Blob& operator=(Blob other) noexcept {
    std::swap(rep_, other.rep_);
    return *this;
  }
  ~Blob() { release(); }

  /// Returns a block of `size` bytes with room for `capacity`, not initialized, or an empty Blob if memory is exhausted.
  static Blob allocate(BlockHeap& heap, std::size_t size, std::size_t capacity);
  static Blob zeroed(BlockHeap& heap, std::size_t size);
  static Blob copy_of(BlockHeap& heap, std::string_view bytes);

  explicit operator bool() const { return rep_ != nullptr; }
  char* data() { return rep_->bytes(); }
  std::string_view view() const { return {rep_->bytes(), rep_->size}; }
  std::size_t size() const { return rep_->size; }
  std::size_t capacity() const { return rep_->block - sizeof(Rep); }
  std::size_t references() const { return rep_->references.load(std::memory_order_acquire); }
  bool unique() const { return references() == 1; }

  // The next three are for the sole owner only.
  /// Makes the capacity at least `capacity`. The bytes may move; from 1 MB on they move without a copy. Returns false if there
  /// is no memory.
  bool reserve(std::size_t capacity);
  /// Changes the size. New bytes are zero. Returns false, with nothing changed, if there is no memory.
  bool resize(std::size_t size);
  /// Changes the size within the capacity. New bytes are what was written there through data().
  void set_size(std::size_t size);

  /// Whether entries of the store refer to it. Replies may refer to it as well.
  bool stored() const { return stores() != 0; }
  /// How many entries refer to it.
  std::size_t stores() const { return static_cast<std::size_t>(rep_->stores.load(std::memory_order_relaxed)); }
  /// To be called when one more entry refers to the block (+1), or one less (-1).
  static void note_stored(void* raw, int sign);
  /// The same for a node of a tree that refers to the block.
  static void note_in_tree(void* raw, int sign);

  /// The bytes will be overwritten when the last reference goes. Any holder of a reference may call it, from any thread.
  void wipe_when_freed() { wipe_when_freed(rep_); }
  static void wipe_when_freed(void* raw) { static_cast<Rep*>(raw)->wipe.store(true, std::memory_order_relaxed); }
  /// Overwrites bytes of older values that lie beyond the size, `most` of them, from the last one backwards. Leaves out the last
  /// `done` bytes, which an earlier call has overwritten. Returns how many it has overwritten: fewer than `most` if no more are
  /// left. Other holders may read the block and call this at the same time, but nobody may change it.
  std::size_t wipe_slack(std::size_t done = 0, std::size_t most = SIZE_MAX) const;

  /// The memory that a block with room for `capacity` would take.
  static std::size_t memory_for(std::size_t capacity) { return BlockHeap::rounded(sizeof(Rep) + capacity); }
  /// The memory that the block takes.
  std::size_t memory() const { return rep_->block; }

  /// Turns the reference into a raw pointer, for the log, which keeps bytes and not objects.
  void* detach() { return std::exchange(rep_, nullptr); }
  /// Takes the reference back from a raw pointer.
  static Blob attach(void* raw) {
    Blob blob;
    blob.rep_ = static_cast<Rep*>(raw);
    return blob;
  }
  /// Gives up the reference that a raw pointer stands for.
  static void release(void* raw) { static_cast<void>(attach(raw)); }
  /// Adds a reference to a block that a raw pointer keeps alive.
  static Blob share(void* raw) {
    Blob blob = attach(raw);
    blob.acquire();
    return blob;
  }
  /// Calls `look` with a block that a raw pointer keeps alive. The reference is not counted.
  template <class Look>
  static auto borrow(void* raw, Look&& look) {
    Blob blob = attach(raw);
    const auto seen = look(std::as_const(blob));
    blob.detach();
    return seen;
  }

 private:
  struct Rep {
    BlockHeap* heap;
    std::atomic<std::size_t> references;
    std::size_t block;  // bytes of the whole block, with this header
    std::size_t size;
    std::size_t written;  // the bytes beyond this were never written to
    std::atomic<int> stores{0};
    std::atomic<bool> wipe{false};  // overwrite the bytes when the block is freed
    char* bytes() { return reinterpret_cast<char*>(this + 1); }
  };

  void acquire() {
    if (rep_ != nullptr) rep_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release();

  Rep* rep_ = nullptr;
};

}  // namespace pinfold
