#pragma once
// Who is told of every write in a shard, by whatever command: what keeps leases is one. Called with the shard locked.

#include <string_view>

namespace pinfold::store {

struct Key;

class KeyListener {
 public:
  virtual ~KeyListener() = default;

  /// `key` was written or removed, or somebody wanted it removed. Not told: that it expired or was evicted, that its
  /// deadline changed.
  virtual void written(unsigned db, const Key& key) = 0;
  /// All keys of a database are gone or others.
  virtual void flushed(unsigned db) = 0;
  /// The lock is about to be given back, after `unsettled` was set.
  virtual void settle() = 0;
};

/// A shard's part of it, so that where nobody listens a write costs a comparison.
struct Listening {
  KeyListener* listener = nullptr;
  bool attentive = false;  // set by the listener: it wants to hear of writes
  bool unsettled = false;  // set by the listener: it wants settle() to be called

  void written(unsigned db, const Key& key) {
    if (attentive) [[unlikely]]
      listener->written(db, key);
  }
  void settle() {
    if (unsettled) [[unlikely]]
      listener->settle();
  }
};

}  // namespace pinfold::store
