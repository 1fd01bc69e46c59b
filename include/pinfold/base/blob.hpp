#pragma once
// Reference-counted bytes on the heap: the form of values too large to lie in the log, so that a reply can be sent
// without copying them and without holding a lock.

#include <atomic>
#include <cstddef>
#include <string_view>
#include <utility>

namespace pinfold {

/// A shared block of bytes with a size and a capacity. The count is atomic; the bytes are not guarded: whoever
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

  /// A block of `size` uninitialized bytes with room for `capacity`; an empty Blob if memory is exhausted.
  static Blob allocate(std::size_t size, std::size_t capacity);

  explicit operator bool() const { return rep_ != nullptr; }
  char* data() { return rep_->bytes(); }
  std::string_view view() const { return {rep_->bytes(), rep_->size}; }
  std::size_t size() const { return rep_->size; }
  std::size_t capacity() const { return rep_->capacity; }
  std::size_t references() const { return rep_->references.load(std::memory_order_acquire); }
  bool unique() const { return references() == 1; }
  /// Changes the size within the capacity. Only for the sole owner.
  void set_size(std::size_t size) { rep_->size = size; }
  /// What the block costs in memory, the allocator's own share included.
  std::size_t memory() const;

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

 private:
  struct Rep {
    std::atomic<std::size_t> references;
    std::size_t size;
    std::size_t capacity;
    char* bytes() { return reinterpret_cast<char*>(this + 1); }
  };

  void acquire() {
    if (rep_ != nullptr) rep_->references.fetch_add(1, std::memory_order_relaxed);
  }
  void release();

  Rep* rep_ = nullptr;
};

}  // namespace pinfold
