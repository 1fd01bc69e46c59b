#pragma once
// Arguments that came in blocks of their own, because they are large: a handler can store such a block as it is.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/blob.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

/// A block on its way from a client to the store. It is data from its allocation on, and counted as such; once it is
/// release()d the store counts it. The keyspace must outlive it.
class ReceivedBlob {
 public:
  ReceivedBlob() = default;
  ReceivedBlob(ReceivedBlob&& other) noexcept
      : blob_(std::move(other.blob_)), memory_(std::exchange(other.memory_, nullptr)) {}
  ReceivedBlob& operator=(ReceivedBlob other) noexcept {
    std::swap(blob_, other.blob_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~ReceivedBlob() { uncount(); }

  /// A block of exactly `size` bytes; an empty one if there is no memory. Room for it has been made.
  static ReceivedBlob allocate(store::Keyspace& keyspace, std::size_t size);

  explicit operator bool() const { return static_cast<bool>(blob_); }
  char* data() { return blob_.data(); }
  std::string_view view() const { return blob_ ? blob_.view() : std::string_view{}; }
  Blob release() {
    uncount();
    return std::move(blob_);
  }

 private:
  void uncount() {
    if (memory_ == nullptr) return;
    memory_->add(store::Use::blobs, -static_cast<std::int64_t>(blob_.memory()));
    memory_ = nullptr;
  }

  Blob blob_;
  store::Memory* memory_ = nullptr;  // where it is counted, if it is
};

/// The large arguments of one request, in order.
class LargeArguments {
 public:
  std::size_t count() const { return arguments_.size(); }
  std::size_t index(std::size_t n) const { return arguments_[n].index; }
  std::string_view view(std::size_t n) const { return arguments_[n].blob.view(); }
  /// Of all that have come and not been taken.
  std::size_t bytes() const;

  /// Adds the argument at `index` of the request.
  void add(std::size_t index, ReceivedBlob blob) { arguments_.push_back({index, std::move(blob)}); }
  /// Drops the bytes of all, because there was no room for one of them: the request is to be refused.
  void refuse();
  bool refused() const { return refused_; }

  /// The block of the argument at `index`, whose bytes stay where they are; an empty Blob if it has none (any more).
  Blob take(std::size_t index);

 private:
  struct Argument {
    std::size_t index;
    ReceivedBlob blob;
  };
  std::vector<Argument> arguments_;
  bool refused_ = false;
};

}  // namespace pinfold::command
