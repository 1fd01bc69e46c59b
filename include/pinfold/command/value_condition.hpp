#pragma once
// Conditions on the present value of a key: IFEQ of Valkey 8.1, and IFNE, IFDEQ and IFDNE of Redis 8.4. Shared by SET and DELEX.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "pinfold/command/cursor.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::command {

/// Returns the XXH3-64 hash of a value as DIGEST shows it: 16 hexadecimal digits in lower case. O(size).
std::string digest(std::string_view value);

/// Computes the digest of a value that comes in pieces.
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

struct KnownValue;

class ValueCondition {
 public:
  /// Makes the condition that the value equals the next argument, which is taken.
  static ValueCondition equals(Cursor& cursor);
  /// Takes "IFEQ value", or another condition of this kind, if it comes next. Only one condition can be taken.
  bool take(Cursor& options);

  bool given() const { return kind_ != Kind::none; }
  /// Whether must_wait() can be true.
  bool may_wait() const;
  /// Whether the operand should be a digest and is not. Redis checks that only when there is a value to compare.
  bool malformed() const;
  /// Whether the condition holds for `value`, or for a key without a value. Requires given() and not malformed(). `known` is what has been
  /// found out about the value before; null if nothing has. O(1) if that answers the question, else O(size of the value).
  bool holds(const std::optional<store::Value>& value, const KnownValue* known = nullptr) const;
  /// Whether holds() would have to read all bytes of a large value that `known` is not about. Then `known` is made to keep the value, and
  /// to say what must be found out. Returns false if `known` is null.
  bool must_wait(const std::optional<store::Value>& value, KnownValue* known) const;

 private:
  enum class Kind : std::uint8_t { none, equal, differs, digest_equal, digest_differs };
  bool by_digest() const { return kind_ == Kind::digest_equal || kind_ == Kind::digest_differs; }
  void take_operand(Cursor& cursor);
  bool equal(const store::Value& value, const KnownValue* known) const;

  Kind kind_ = Kind::none;
  std::string_view operand_;
  std::size_t operand_at_ = 0;  // the index of the operand among the arguments
};

constexpr std::string_view malformed_digest = "ERR must be exactly 16 hexadecimal characters";

}  // namespace pinfold::command
