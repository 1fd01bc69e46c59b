#pragma once
// Deadlines as commands name them: EX, PX, EXAT, PXAT and the EXPIRE family. Shared by SET, GETEX, MSETEX,
// SETEX ...

#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

enum class TimeUnit { seconds, milliseconds };
enum class TimeBase { relative, absolute };

/// `value` as an absolute deadline in milliseconds, or nothing if it overflows. Does not check its sign.
std::optional<UnixMs> deadline(std::int64_t value, TimeUnit unit, TimeBase base, UnixMs now);

/// The deadline that the argument `text` asks for, which must be positive as it stands (SETEX, the options of
/// SET). Nothing if it is wrong; then the error has been replied.
std::optional<UnixMs> read_deadline(Call& call, std::string_view text, TimeUnit unit, TimeBase base);

/// What SET, GETEX and MSETEX are told about the deadline: at most one of EX, PX, EXAT, PXAT and either
/// KEEPTTL or PERSIST. As in Redis the same option may be repeated (the last one counts), different ones
/// exclude each other, and the number is only looked at when all options have been read.
class ExpiryOption {
 public:
  enum class Besides : std::uint8_t { keepttl, persist };

  /// `besides`: which word without a value the command knows in addition.
  explicit ExpiryOption(Besides besides) : besides_(besides) {}

  /// Takes the option that comes next, if it is one of these and fits the one taken before.
  bool take(Cursor& options);

  /// EX, PX, EXAT or PXAT was given: the deadline must be read with deadline().
  bool has_time() const { return kind_ >= Kind::ex; }
  bool keeps() const { return kind_ == Kind::word && besides_ == Besides::keepttl; }
  bool persists() const { return kind_ == Kind::word && besides_ == Besides::persist; }

  /// The time given, as read_deadline() reads it. Only if has_time().
  std::optional<UnixMs> deadline(Call& call) const;
  /// Whether a deadline was given that has passed. One that is wrong has not, and is no error yet.
  bool is_over(UnixMs now) const;
  /// What a write that was told so is to do. Nothing if the time is wrong; then the error has been replied.
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
