#pragma once
// Deadlines as commands name them: EX, PX, EXAT, PXAT and the EXPIRE family. Shared by SET, GETEX, MSETEX, SETEX ...

#include <cstdint>
#include <optional>

#include "pinfold/base/clock.hpp"
#include "pinfold/command/cursor.hpp"

namespace pinfold::command {

enum class TimeUnit { seconds, milliseconds };
enum class TimeBase { relative, absolute };

/// `value` as an absolute deadline in milliseconds, or nothing if it overflows. Does not check its sign.
std::optional<UnixMs> deadline(std::int64_t value, TimeUnit unit, TimeBase base, UnixMs now);

}  // namespace pinfold::command
