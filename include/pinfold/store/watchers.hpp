#pragma once
// Who WATCHes which key of one shard. Guarded by the shard's lock.

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pinfold::store {

struct WatchFlag;

class Watchers {
 public:
  void add(unsigned db, std::string_view key, std::shared_ptr<WatchFlag> flag);
  void remove(unsigned db, std::string_view key, const WatchFlag* flag);

  /// Raises the flags of everybody who watches `key`. The one place that every change of an entry goes through; with
  /// nobody watching in this shard it is a comparison.
  void changed(unsigned db, std::string_view key) {
    if (!flags_.empty()) raise(db, key);
  }
  bool empty() const { return flags_.empty(); }
  /// The keys of `db` that somebody watches.
  std::vector<std::string> keys(unsigned db) const;

 private:
  void raise(unsigned db, std::string_view key);

  std::unordered_map<std::string, std::vector<std::shared_ptr<WatchFlag>>> flags_;  // by database byte and key
};

}  // namespace pinfold::store
