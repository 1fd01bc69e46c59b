#pragma once
// Which keys of one shard clients WATCH. Guarded by the shard's lock. Only add() takes memory: a change that has happened
// is always told.
//
// No client is told of a change. Each watched key counts its changes, each database counts how often it was emptied or exchanged
// (DatabaseHistory), and a Watch says what both were, and whether the key existed, when it began. EXEC compares. So a write
// costs the same however many clients watch its key, and FLUSHALL, SWAPDB and purges the same however many keys are watched.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::store {

/// What a WATCH of one key found.
struct Watch {
  bool live = false;          // the key existed
  std::uint64_t changes = 0;  // of the key
  std::uint64_t epoch = 0;    // of its database
};

/// What happened to a database as a whole.
struct DatabaseHistory {
  std::uint64_t epoch = 0;             // how often it was emptied or exchanged
  std::uint64_t exchanged = 0;         // the epoch that began with the last exchange; 0: there was none
  std::uint64_t exchanged_before = 0;  // the same for the one before
  UnixMs exchanged_at = 0;
  std::uint64_t purged = 0;  // the epoch in which tags or a prefix were last purged
};

/// The observer of a shard that counts changes of watched keys. Of removals it counts those of what plain commands could find;
/// what was purged EXEC does not find any more, and what happens to databases is in their histories.
class Watchers final : public Observer {
 public:
  explicit Watchers(Changes& changes)
      : subscription_(changes, *this, {Cause::written, Cause::deadline, Cause::staled, Cause::deleted, Cause::expired, Cause::evicted}) {}

  /// Somebody more watches the key; returns how often it has changed.
  std::uint64_t add(unsigned db, const Key& key);
  /// Somebody less does, who must have been added.
  void remove(unsigned db, const Key& key);

  void changed(const Change& change) noexcept override;

  struct Seen {
    std::uint64_t changes = 0;
    UnixMs expired = 0;  // the latest deadline of an entry that was removed because of it
  };
  Seen look(unsigned db, const Key& key) const;

 private:
  struct NameView {
    unsigned db;
    std::string_view key;
    std::uint64_t hash;  // the key's
  };
  struct Name {
    unsigned db;
    std::string key;
    std::uint64_t hash;
    explicit Name(const NameView& name) : db(name.db), key(name.key), hash(name.hash) {}
    operator NameView() const { return {db, key, hash}; }
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const NameView& name) const { return name.hash + name.db; }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const NameView& a, const NameView& b) const { return a.db == b.db && a.hash == b.hash && a.key == b.key; }
  };
  struct Watched {
    Seen seen;
    std::uint64_t watches = 0;
  };

  Changes::Subscription subscription_;
  std::unordered_map<Name, Watched, Hash, Equal> keys_;
};

}  // namespace pinfold::store
