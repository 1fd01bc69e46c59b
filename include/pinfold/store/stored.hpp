#pragma once
// The result of a function that stores: done, or why it was refused. A refused write has changed nothing.

#include <cstddef>
#include <cstdint>

namespace pinfold::store {

/// A plain value of one word, returned in a register. Converts to true if the write was done.
class [[nodiscard]] Stored {
 public:
  static const Stored done;
  /// The system gave no memory, or a packed value was too long (TypedValue). Database::set_expiry() returns it also if there is
  /// no entry.
  static const Stored no_memory;
  /// The value is larger than the rules allow (WriteRules).
  static const Stored too_large;
  /// The collection would take more than one may (Keyspace::limit_collections).
  static const Stored collection_too_large;
  /// The caller has to make the block that Growth describes, with nothing locked, and then try again.
  static const Stored must_prepare;
  /// Copying the value would take longer than a shard may be locked, and the caller cannot wait for a block (Growth::may_wait).
  static const Stored takes_too_long;
  /// `bytes` more do not fit under the memory limit. The caller can make room (Keyspace::make_room) with nothing locked, and
  /// try again.
  static constexpr Stored needs_room(std::uint64_t bytes) { return Stored(Kind::needs_room, bytes); }

  constexpr explicit operator bool() const { return kind() == Kind::done; }
  constexpr bool operator==(const Stored&) const = default;

  constexpr bool needs_room() const { return kind() == Kind::needs_room; }
  /// The bytes for which room is needed; 0 unless needs_room().
  constexpr std::uint64_t bytes() const { return word_ >> kind_bits; }

 private:
  enum class Kind : std::uint64_t { done, no_memory, too_large, collection_too_large, must_prepare, takes_too_long, needs_room };
  constexpr explicit Stored(Kind kind, std::uint64_t bytes = 0) : word_(static_cast<std::uint64_t>(kind) | bytes << kind_bits) {}
  constexpr Kind kind() const { return static_cast<Kind>(word_ & ((1U << kind_bits) - 1)); }

  static constexpr unsigned kind_bits = 8;
  std::uint64_t word_;  // the kind, and above it the bytes; not bit-fields, see command/outcome.hpp
};

inline constexpr Stored Stored::done{Kind::done};
inline constexpr Stored Stored::no_memory{Kind::no_memory};
inline constexpr Stored Stored::too_large{Kind::too_large};
inline constexpr Stored Stored::collection_too_large{Kind::collection_too_large};
inline constexpr Stored Stored::must_prepare{Kind::must_prepare};
inline constexpr Stored Stored::takes_too_long{Kind::takes_too_long};

/// The result of resizing a value: its bytes, to be written to, or why there are none. Converts to true if there are bytes. The
/// store owns them.
class [[nodiscard]] Resized {
 public:
  explicit Resized(char* bytes) : bytes_(bytes), stored_(bytes != nullptr ? Stored::done : Stored::no_memory) {}
  Resized(Stored refused) : stored_(refused) {}

  explicit operator bool() const { return bytes_ != nullptr; }
  bool operator==(std::nullptr_t) const { return bytes_ == nullptr; }
  char* data() const { return bytes_; }
  Stored stored() const { return stored_; }

 private:
  char* bytes_ = nullptr;
  Stored stored_;
};

}  // namespace pinfold::store
