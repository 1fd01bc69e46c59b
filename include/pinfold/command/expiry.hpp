#pragma once
// Reads deadlines from a command's arguments: EX, PX, EXAT and PXAT, and those of the EXPIRE family. Shared by SET, GETEX, MSETEX,
// SETEX and others.

#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

enum class TimeUnit { seconds, milliseconds };
enum class TimeBase { relative, absolute };

/// Converts `value` to an absolute deadline in milliseconds. Returns nothing if it overflows. Does not check the sign.
std::optional<UnixMs> deadline(std::int64_t value, TimeUnit unit, TimeBase base, UnixMs now);

/// Reads the deadline that the argument `text` asks for (SETEX, the options of SET). The number must be positive. Returns nothing if it
/// is wrong. Then it has replied with the error.
std::optional<UnixMs> read_deadline(Call& call, std::string_view text, TimeUnit unit, TimeBase base);

/// The option of SET, GETEX and MSETEX about the deadline: at most one of EX, PX, EXAT, PXAT, and KEEPTTL or PERSIST. As in
/// Redis, an option may be repeated (the last one counts), different options exclude each other, and the number is only
/// checked when all options have been read.
class ExpiryOption {
 public:
  enum class Besides : std::uint8_t { keepttl, persist };

  /// `besides` is the word without a value that the command accepts in addition.
  explicit ExpiryOption(Besides besides) : besides_(besides) {}

  /// Takes the next option if it is one of these and does not exclude the one that was taken before.
  bool take(Cursor& options);

  /// Whether EX, PX, EXAT or PXAT was given. Then deadline() reads the number.
  bool has_time() const { return kind_ >= Kind::ex; }
  bool keeps() const { return kind_ == Kind::word && besides_ == Besides::keepttl; }
  bool persists() const { return kind_ == Kind::word && besides_ == Besides::persist; }

  /// The given deadline, as read_deadline() reads it. Requires has_time().
  std::optional<UnixMs> deadline(Call& call) const;
  /// Whether a deadline was given that has passed. A wrong deadline has not passed; it is no error here.
  bool is_over(UnixMs now) const;
  /// The options for a write. Returns nothing if the deadline is wrong. Then it has replied with the error.
  std::optional<store::PutOptions> put_options(Call& call) const;

 private:
  enum class Kind : std::uint8_t { none, word, ex, px, exat, pxat };
  bool take_time(Cursor& options, std::string_view name, Kind kind);
  TimeUnit unit() const { return kind_ == Kind::ex || kind_ == Kind::exat ? TimeUnit::seconds : TimeUnit::milliseconds; }
  TimeBase base() const { return kind_ == Kind::ex || kind_ == Kind::px ? TimeBase::relative : TimeBase::absolute; }

  Besides besides_;
  Kind kind_ = Kind::none;
  std::string_view value_;
};

}  // namespace pinfold::command
