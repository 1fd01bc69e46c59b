#pragma once
// The keys of one shard that clients WATCH.
//
// No client is told of a change. Each watched key counts its changes. Each database counts how often it was emptied or
// exchanged (DatabaseHistory). A Watch holds both counts as they were when it began, and whether the key existed. EXEC compares
// them with the present ones. So a write costs the same however many clients watch its key, and FLUSHALL, SWAPDB and a purge
// cost the same however many keys are watched.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::store {

/// What WATCH notes of one key. A plain value.
struct Watch {
  bool live = false;             // whether the key existed
  std::uint64_t changes = 0;     // the count of the key's changes (Watchers::add)
  std::uint64_t generation = 0;  // DatabaseHistory::generation of its database
  std::uint64_t view = 0;        // how often the switches that hide keys had changed (Keyspace::set_key_switches)
};

/// What happened to a database as a whole. A database begins a new generation each time when it is emptied or exchanged;
/// generations are numbered. A plain value.
struct DatabaseHistory {
  std::uint64_t generation = 0;        // how often the database was emptied or exchanged
  std::uint64_t exchanged = 0;         // the generation that the last exchange began; 0: there was none
  std::uint64_t exchanged_before = 0;  // the generation that the last exchange but one began; 0: there was none
  UnixMs exchanged_at = 0;             // the time of the last exchange
  std::uint64_t purged = 0;            // the generation in which tags or a prefix were last purged
};

/// The observer of a shard that counts the changes of watched keys. A removal counts only if plain commands could find the
/// entry. Purges are not counted: EXEC finds that the key is missing. Changes of whole databases are not counted either: they
/// are in DatabaseHistory.
///
/// Not thread-safe: guarded by the shard's lock. Only add() takes memory. Functions are O(1) on average.
class Watchers final : public Observer {
 public:
  explicit Watchers(Changes& changes)
      : subscription_(changes, *this, {Cause::written, Cause::deadline, Cause::staled, Cause::deleted, Cause::expired, Cause::evicted}) {}

  /// Counts one more watch of the key. Returns the count of the key's changes, which began at 0 with its first watch. Throws
  /// std::bad_alloc.
  std::uint64_t add(unsigned db, const Key& key);
  /// Counts one watch less. The watch must have been counted by add(). With the last watch, the key and its count are
  /// forgotten.
  void remove(unsigned db, const Key& key);

  void changed(const Change& change) noexcept override;

  /// What was seen of a watched key.
  struct Seen {
    std::uint64_t changes = 0;
    UnixMs expired = 0;  // the latest deadline among the key's entries that were removed after their deadlines; 0: none
  };
  /// Zeros if the key is not watched.
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
