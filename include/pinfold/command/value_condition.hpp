#pragma once
// Conditions on the value that a key has now: IFEQ of Valkey 8.1, IFNE, IFDEQ and IFDNE of Redis 8.4. Shared
// by SET and DELEX.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/cursor.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::command {

/// The XXH3-64 hash of a value as DIGEST shows it: 16 hexadecimal digits in lower case. O(size).
std::string digest(std::string_view value);

/// The same of a value that comes in pieces.
class RunningDigest {
 public:
  RunningDigest();
  void add(std::string_view piece);
  std::string text() const;

 private:
  struct Free {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, Free> state_;
};

struct KnownDigest;

class ValueCondition {
 public:
  /// Takes "IFEQ value" or one of its relatives if it comes next. Only one condition can be taken.
  bool take(Cursor& options);

  bool given() const { return kind_ != Kind::none; }
  /// Whether the operand is a digest.
  bool by_digest() const { return kind_ == Kind::digest_equal || kind_ == Kind::digest_differs; }
  /// Whether the operand is a digest that cannot be one. Redis looks at it only when there is a value to
  /// compare.
  bool malformed() const;
  /// Whether the condition holds for the value, or for there being none. Only if given() and not malformed().
  /// `known`: may be the value's digest; null: none is known.
  bool holds(const std::optional<store::Value>& value, const KnownDigest* known = nullptr) const;
  /// Whether that takes the digest of a large value, and `known` is not it: which then keeps the value. Never if `known` is null.
  bool must_wait(const std::optional<store::Value>& value, KnownDigest* known) const;

 private:
  enum class Kind : std::uint8_t { none, equal, differs, digest_equal, digest_differs };
  Kind kind_ = Kind::none;
  std::string_view operand_;
};

constexpr std::string_view malformed_digest = "ERR must be exactly 16 hexadecimal characters";

}  // namespace pinfold::command
