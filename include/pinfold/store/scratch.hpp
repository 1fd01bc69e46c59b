#pragma once
// Where the entries of one segment wait while it is emptied. All the memory that may take is there before anything
// changes: what evicts and compacts must not fail halfway.

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "pinfold/eviction/policy.hpp"
#include "pinfold/store/entry.hpp"
#include "pinfold/store/index.hpp"
#include "pinfold/store/segment.hpp"

namespace pinfold::store {

struct Scratch {
  struct Resident {
    Ref ref;
    std::uint64_t hash;
  };
  /// An entry on its way from one segment to another.
  struct Survivor {
    std::size_t at;  // in `bytes`
    Ref old_ref;
    std::uint64_t hash;
    eviction::Queue to;
  };

  Scratch() {
    constexpr std::size_t most_entries = segment_size / entry_header;
    bytes.reserve(segment_size);
    survivors.reserve(most_entries);
    residents.reserve(most_entries);
    deadlines.reserve(most_entries);
  }
  /// Overwrites what survivors have left here.
  void wipe() {
    bytes.assign(bytes.capacity(), 0);
    bytes.clear();
  }
  void clear() {
    bytes.clear();
    survivors.clear();
    residents.clear();
    deadlines.clear();
  }

  std::vector<char> bytes;
  std::vector<Survivor> survivors;
  std::vector<Resident> residents;
  std::vector<UnixMs> deadlines;
  std::uint64_t wiped = 0;  // the last of ScratchPool's wipings that it has seen
};

/// As many as threads were at work at the same time. Thread-safe.
class ScratchPool {
 public:
  struct Return {
    ScratchPool* pool;
    void operator()(Scratch* scratch) const { pool->give_back(scratch); }
  };
  using Handle = std::unique_ptr<Scratch, Return>;

  /// An empty one, which the handle gives back; null if there is no memory for it.
  Handle borrow() {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      Handle handle(free_.back().release(), Return{this});
      free_.pop_back();
      handle->clear();
      return handle;
    }
    try {
      free_.reserve(made_ + 1);
      Handle handle(new Scratch, Return{this});
      handle->wiped = wiping_;
      ++made_;
      return handle;
    } catch (const std::bad_alloc&) {
      return Handle(nullptr, Return{this});
    }
  }

  /// Overwrites all of them; those at work now when they are given back.
  void wipe() {
    const std::lock_guard lock(mutex_);
    ++wiping_;
    for (const auto& scratch : free_) wipe(*scratch);
    unwiped_ = made_ - free_.size();
  }
  /// Whether that has come to an end.
  bool wiped() {
    const std::lock_guard lock(mutex_);
    return unwiped_ == 0;
  }

 private:
  void wipe(Scratch& scratch) {
    scratch.wipe();
    scratch.wiped = wiping_;
  }
  void give_back(Scratch* scratch) {
    const std::lock_guard lock(mutex_);
    if (scratch->wiped != wiping_) [[unlikely]] {
      wipe(*scratch);
      --unwiped_;
    }
    free_.emplace_back(scratch);
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
  std::size_t made_ = 0;
  std::uint64_t wiping_ = 0;
  std::size_t unwiped_ = 0;
};

}  // namespace pinfold::store
