#pragma once
// A value whose bytes a command is filling in: what Database::resize() returns.

#include <cstddef>
#include <optional>
#include <utility>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/stored.hpp"

namespace pinfold::store {

class Table;

/// The bytes of the value, to be written to, or the reason why there are none. The destructor tells observers of the change,
/// because only then the bytes are final. Until then the shard must stay locked, nothing else may be written to the shard, and
/// the text of the key must stay valid. The store owns the bytes. Converts to true if there are bytes. If there are none,
/// stored() says why, and nothing is told. Not thread-safe: it belongs to the thread that holds the lock.
class [[nodiscard]] Writing {
 public:
  Writing() = default;
  explicit Writing(Stored refused) : stored_(refused) {}
  /// An empty `cause` says that the bytes will be the same as before. Then nothing is told, unless set_cause() is called.
  Writing(Changes& changes, unsigned db, const Key& key, UnixMs now, char* bytes, std::optional<Cause> cause)
      : changes_(&changes), db_(db), key_(key), now_(now), bytes_(bytes), cause_(cause), stored_(Stored::done) {}
  Writing(Writing&& other) noexcept { *this = std::move(other); }
  Writing& operator=(Writing&& other) noexcept {
    if (this == &other) return *this;
    tell();
    changes_ = other.changes_;
    db_ = other.db_;
    key_ = other.key_;
    now_ = other.now_;
    bytes_ = std::exchange(other.bytes_, nullptr);
    cause_ = std::exchange(other.cause_, {});
    stored_ = other.stored_;
    drop_from_ = other.drop_from_;
    dropped_as_ = other.dropped_as_;
    return *this;
  }
  ~Writing() { tell(); }

  char* data() const { return bytes_; }
  explicit operator bool() const { return bytes_ != nullptr; }
  /// Stored::done, or why there are no bytes.
  Stored stored() const { return stored_; }
  /// Sets the cause that the destructor tells. The last call counts.
  void set_cause(Cause cause) { cause_ = cause; }
  /// Has the destructor remove the entry from its table, whatever is written to it, and tell `cause`: a switch forbids that the
  /// value is stored (KeySwitches). Calls of set_cause() count no more.
  void drop_from(Table& table, Cause cause) {
    drop_from_ = &table;
    dropped_as_ = cause;
  }

 private:
  void tell() {
    if (bytes_ == nullptr) return;
    if (drop_from_ != nullptr) [[unlikely]]
      return drop();
    if (cause_) changes_->tell(*cause_, db_, key_, now_);
  }
  void drop();

  Changes* changes_ = nullptr;
  unsigned db_ = 0;
  Key key_;
  UnixMs now_ = 0;
  char* bytes_ = nullptr;
  std::optional<Cause> cause_;
  Stored stored_ = Stored::no_memory;
  Table* drop_from_ = nullptr;  // null: the value stays
  Cause dropped_as_{};
};

}  // namespace pinfold::store
