#include "pinfold/command/expiry.hpp"

namespace pinfold::command {

std::optional<UnixMs> deadline(std::int64_t value, TimeUnit unit, TimeBase base, UnixMs now) {
  std::int64_t ms = value;
  if (unit == TimeUnit::seconds && __builtin_mul_overflow(value, 1000, &ms)) return std::nullopt;
  if (base == TimeBase::relative && __builtin_add_overflow(ms, now, &ms)) return std::nullopt;
  return ms;
}

std::optional<UnixMs> read_deadline(Call& call, std::string_view text, TimeUnit unit, TimeBase base) {
  const auto value = parse_i64(text);
  if (!value) {
    call.not_an_integer();
    return std::nullopt;
  }
  const auto at = *value > 0 ? deadline(*value, unit, base, call.now) : std::nullopt;
  if (!at) call.invalid_expire();
  return at;
}

bool ExpiryOption::take_time(Cursor& options, std::string_view name, Kind kind) {
  if ((kind_ != Kind::none && kind_ != kind) || !options.take_with_value(name)) return false;
  kind_ = kind;
  value_ = options.take();
  return true;
}

bool ExpiryOption::take(Cursor& options) {
  if (take_time(options, "EX", Kind::ex) || take_time(options, "PX", Kind::px) || take_time(options, "EXAT", Kind::exat) ||
      take_time(options, "PXAT", Kind::pxat)) {
    return true;
  }
  const std::string_view word = besides_ == Besides::keepttl ? "KEEPTTL" : "PERSIST";
  if (has_time() || !options.take(word)) return false;
  kind_ = Kind::word;
  return true;
}

std::optional<UnixMs> ExpiryOption::deadline(Call& call) const { return read_deadline(call, value_, unit(), base()); }

bool ExpiryOption::is_over(UnixMs now) const {
  const auto value = has_time() ? parse_i64(value_) : std::nullopt;
  const auto at = value && *value > 0 ? command::deadline(*value, unit(), base(), now) : std::nullopt;
  return at && *at <= now;
}

std::optional<store::PutOptions> ExpiryOption::put_options(Call& call) const {
  store::PutOptions how;
  how.keep_expiry = keeps();
  if (has_time()) {
    const auto at = deadline(call);
    if (!at) return std::nullopt;
    how.expires_at = *at;
  }
  return how;
}

}  // namespace pinfold::command
