#pragma once
// Reference-counted bytes: the form of values too large to lie in the log, so that a reply can be sent without copying
// them and without holding a lock.

#include <atomic>
#include <cstddef>
#include <string_view>
#include <utility>

#include "pinfold/base/block_heap.hpp"

namespace pinfold {

/// A shared block of bytes with a size and a capacity, in a BlockHeap that outlives it. The heap's account counts it
/// once, from allocation until the last reference is gone. The count is atomic; the bytes are not guarded: whoever
/// writes must hold the only reference (`unique()`), everybody else only reads.
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

  /// A block of `size` bytes with room for `capacity`, not initialized; an empty Blob if memory is exhausted.
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

  // Only for the sole owner.
  /// Sees to a capacity of at least this, moving the bytes if need be; from 1 MB on without a copy. False: no memory.
  bool reserve(std::size_t capacity);
  /// Changes the size. What is new is zero. False: no memory, nothing changed.
  bool resize(std::size_t size);
  /// Changes the size within the capacity. What is new is whatever was written there through data().
  void set_size(std::size_t size);

  /// Whether a store keeps it: it may be held by others as well.
  bool stored() const { return stores() != 0; }
  /// How many entries keep it.
  std::size_t stores() const { return static_cast<std::size_t>(rep_->stores.load(std::memory_order_relaxed)); }
  /// A store has come to keep the block (+1), or does so no longer (-1).
  static void note_stored(void* raw, int sign);

  /// Has the last holder overwrite the bytes. For whoever holds a reference; thread-safe.
  void wipe_when_freed() { wipe_when_freed(rep_); }
  static void wipe_when_freed(void* raw) { static_cast<Rep*>(raw)->wipe.store(true, std::memory_order_relaxed); }
  /// Overwrites what older values have left behind this one; returns how many bytes. Others may hold the block, and do this,
  /// at the same time, but nobody may change it.
  std::size_t wipe_slack() const;

  /// What a block with room for `capacity` would cost in memory.
  static std::size_t memory_for(std::size_t capacity) { return BlockHeap::rounded(sizeof(Rep) + capacity); }
  /// What the block costs in memory.
  std::size_t memory() const { return rep_->block; }

  /// Hands the reference over to a raw pointer (for the log, which keeps bytes, not objects) and back.
  void* detach() { return std::exchange(rep_, nullptr); }
  static Blob attach(void* raw) {
    Blob blob;
    blob.rep_ = static_cast<Rep*>(raw);
    return blob;
  }
  /// Another reference to a block that a raw pointer keeps alive.
  static Blob share(void* raw) {
    Blob blob = attach(raw);
    blob.acquire();
    return blob;
  }
  /// Looks at a block that a raw pointer keeps alive, without counting.
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
    std::size_t block;  // bytes of the whole block, this header included
    std::size_t size;
    std::size_t written;  // bytes beyond were never written to
    std::atomic<int> stores{0};
    std::atomic<bool> wipe{false};  // when it is freed
    char* bytes() { return reinterpret_cast<char*>(this + 1); }
  };

  void acquire() {
    if (rep_ != nullptr) rep_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release();

  Rep* rep_ = nullptr;
};

}  // namespace pinfold
