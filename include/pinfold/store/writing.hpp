#pragma once
// The bytes of a value that a command writes to after Database::resize() has made them that many.

#include <cstddef>
#include <optional>
#include <utility>

#include "pinfold/store/changes.hpp"
#include "pinfold/store/stored.hpp"

namespace pinfold::store {

/// The change of the key is told when this object goes, because only then its bytes are what they are to be. Until then the shard must
/// stay locked, nothing else may be written there, and the text of the key must stay where it is. True if there are bytes to write to. If
/// there are none, stored() says why, and nothing is told.
class [[nodiscard]] Writing {
 public:
  Writing() = default;
  explicit Writing(Stored refused) : stored_(refused) {}
  /// `cause` empty: what is written is what was there before, and not told.
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
    return *this;
  }
  ~Writing() { tell(); }

  char* data() const { return bytes_; }
  explicit operator bool() const { return bytes_ != nullptr; }
  Stored stored() const { return stored_; }
  /// What will be told; the last word counts.
  void set_cause(Cause cause) { cause_ = cause; }

 private:
  void tell() {
    if (cause_ && bytes_ != nullptr) changes_->tell(*cause_, db_, key_, now_);
  }

  Changes* changes_ = nullptr;
  unsigned db_ = 0;
  Key key_;
  UnixMs now_ = 0;
  char* bytes_ = nullptr;
  std::optional<Cause> cause_;
  Stored stored_ = Stored::no_memory;
};

}  // namespace pinfold::store
