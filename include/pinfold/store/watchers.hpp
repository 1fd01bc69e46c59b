#pragma once
// Who WATCHes which key of one shard. Guarded by the shard's lock. Only add() takes memory: a change that has happened
// is always told.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pinfold/base/hash.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::store {

struct WatchFlag;

class Watchers {
 public:
  void add(unsigned db, const Key& key, std::shared_ptr<WatchFlag> flag);
  void remove(unsigned db, std::string_view key, const WatchFlag* flag);

  /// Raises the flags of everybody who watches `key`. The one place that every change of an entry goes through; with
  /// nobody watching in this shard it is a comparison.
  void changed(unsigned db, std::string_view key) {
    if (!flags_.empty()) raise(db, key);
  }
  /// Raises those of all watched keys of `db` for which `is_changed` holds.
  template <class Predicate>
  void changed_where(unsigned db, Predicate&& is_changed) {
    work::nodes(flags_.size());
    for (const auto& [name, flags] : flags_) {
      if (name.db == db && is_changed(Key{name.key, name.hash})) raise(flags);
    }
  }
  bool empty() const { return flags_.empty(); }

 private:
  using Flags = std::vector<std::shared_ptr<WatchFlag>>;
  struct Name {
    unsigned db;
    std::string key;
    std::uint64_t hash;  // as the key's, so that changed_where() need not hash all of them anew
  };
  struct NameView {
    unsigned db;
    std::string_view key;
    NameView(unsigned number, std::string_view text) : db(number), key(text) {}
    NameView(const Name& name) : db(name.db), key(name.key) {}
  };
  struct Hash {
    using is_transparent = void;
    Hash() : secret(random_hash_key()) {}
    HashKey secret;
    std::size_t operator()(const NameView& name) const {
      work::bytes(name.key.size());
      return siphash13(secret, name.key) + name.db;
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const NameView& a, const NameView& b) const { return a.db == b.db && a.key == b.key; }
  };

  void raise(unsigned db, std::string_view key);
  static void raise(const Flags& flags);

  std::unordered_map<Name, Flags, Hash, Equal> flags_;
};

}  // namespace pinfold::store
