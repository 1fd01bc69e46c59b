#include "pinfold/command/expiry.hpp"

namespace pinfold::command {

std::optional<UnixMs> deadline(std::int64_t value, TimeUnit unit, TimeBase base, UnixMs now) {
  std::int64_t ms = value;
  if (unit == TimeUnit::seconds && __builtin_mul_overflow(value, 1000, &ms)) return std::nullopt;
  if (base == TimeBase::relative && __builtin_add_overflow(ms, now, &ms)) return std::nullopt;
  return ms;
}

}  // namespace pinfold::command
