// Deadlines of keys: setting, dropping and reading them.

#include <string>

#include "pinfold/base/words.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/expiry.hpp"
#include "pinfold/command/families.hpp"

namespace pinfold::command {
namespace {

using store::Access;
using store::Database;
using store::Value;

struct Conditions {
  bool missing = false;  // NX: only if there is no deadline
  bool present = false;  // XX: only if there is one
  bool later = false;    // GT: only if the new one is later; none at all is later than any
  bool earlier = false;  // LT

  bool allow(UnixMs now_at, UnixMs then_at) const {
    if (missing && now_at != 0) return false;
    if (present && now_at == 0) return false;
    if (later && (now_at == 0 || then_at <= now_at)) return false;
    if (earlier && now_at != 0 && then_at >= now_at) return false;
    return true;
  }
};

// Nothing if the options are wrong; then the error has been replied.
std::optional<Conditions> take_conditions(Call& call) {
  Conditions only;
  Cursor options(call.args, 3);
  while (!options.done()) {
    if (options.take("NX")) {
      only.missing = true;
    } else if (options.take("XX")) {
      only.present = true;
    } else if (options.take("GT")) {
      only.later = true;
    } else if (options.take("LT")) {
      only.earlier = true;
    } else {
      call.reply.error("ERR Unsupported option " + std::string(options.take().substr(0, longest_excerpt)));
      return std::nullopt;
    }
  }
  if (only.missing && (only.present || only.later || only.earlier)) {
    call.reply.error("ERR NX and XX, GT or LT options at the same time are not compatible");
    return std::nullopt;
  }
  if (only.later && only.earlier) {
    call.reply.error("ERR GT and LT options at the same time are not compatible");
    return std::nullopt;
  }
  return only;
}

template <TimeUnit unit, TimeBase base>
Outcome expire(Call& call) {
  const std::optional<Conditions> only = take_conditions(call);
  if (!only) return Outcome::done;
  Cursor time(call.args, 2);
  const std::optional<std::int64_t> amount = time.take_integer();
  if (!amount) return call.not_an_integer();
  const std::optional<UnixMs> at = deadline(*amount, unit, base, call.now);
  if (!at) return call.invalid_expire();

  Database db = call.db();
  const std::optional<Value> value = db.find(call.key(), Access::write().of_any_type());
  if (!value && *at <= call.now) db.remove(call.key());  // what is stale, and a lease
  if (!value || !only->allow(value->expires_at, *at)) return call.reply.integer(0);
  if (*at <= call.now) {
    db.remove(call.key());
  } else if (const store::Stored stored = db.set_expiry(call.key(), *at); !stored) {
    return call.refused(stored);
  }
  return call.reply.integer(1);
}

Outcome persist(Call& call) {
  Database db = call.db();
  const std::optional<Value> value = db.find(call.key(), Access::write().of_any_type());
  if (!value || value->expires_at == 0) return call.reply.integer(0);
  if (const store::Stored stored = db.set_expiry(call.key(), 0); !stored) return call.refused(stored);
  return call.reply.integer(1);
}

// Rounded to the nearest second, without overflow for the latest deadlines.
std::int64_t in_unit(std::int64_t ms, TimeUnit unit) {
  if (unit == TimeUnit::milliseconds) return ms;
  return ms / 1000 + (ms % 1000 >= 500 ? 1 : 0);
}

template <TimeUnit unit, TimeBase base>
Outcome time_to_live(Call& call) {
  const std::optional<Value> value = call.db().find(call.key(), Access::look());
  if (!value) return call.reply.integer(-2);
  if (value->expires_at == 0) return call.reply.integer(-1);
  const std::int64_t ms = value->expires_at - (base == TimeBase::relative ? call.now : 0);
  return call.reply.integer(in_unit(ms, unit));
}

constexpr auto kSeconds = TimeUnit::seconds;
constexpr auto kMs = TimeUnit::milliseconds;
constexpr auto kFromNow = TimeBase::relative;
constexpr auto kAt = TimeBase::absolute;
constexpr std::uint32_t kWriteFast = kWrite | kFast;
constexpr std::uint32_t kReadFast = kReadOnly | kFast;

// clang-format off
constexpr Row kRows[] = {
    {.name = "expire", .handler = expire<kSeconds, kFromNow>, .arity = -3,
     .flags = kWriteFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::update)},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire after a number of seconds; at once if it is not positive.",
     .syntax = "key seconds [NX | XX | GT | LT]"},
    {.name = "expireat", .handler = expire<kSeconds, kAt>, .arity = -3,
     .flags = kWriteFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::update)},
     .group = "generic", .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire at a Unix time in seconds; at once if it has passed.",
     .syntax = "key unix-time-seconds [NX | XX | GT | LT]"},
    {.name = "expiretime", .handler = time_to_live<kSeconds, kAt>, .arity = 2,
     .flags = kReadFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "generic", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Tells when a key expires as a Unix time in seconds; -1 if never, -2 if it is missing.",
     .syntax = "key"},
    {.name = "persist", .handler = persist, .arity = 2,
     .flags = kWriteFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::update)},
     .group = "generic", .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Takes the deadline off a key.",
     .syntax = "key"},
    {.name = "pexpire", .handler = expire<kMs, kFromNow>, .arity = -3,
     .flags = kWriteFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::update)},
     .group = "generic", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire after a number of milliseconds; at once if it is not positive.",
     .syntax = "key milliseconds [NX | XX | GT | LT]"},
    {.name = "pexpireat", .handler = expire<kMs, kAt>, .arity = -3,
     .flags = kWriteFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::update)},
     .group = "generic", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire at a Unix time in milliseconds; at once if it has passed.",
     .syntax = "key unix-time-milliseconds [NX | XX | GT | LT]"},
    {.name = "pexpiretime", .handler = time_to_live<kMs, kAt>, .arity = 2,
     .flags = kReadFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "generic", .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Tells when a key expires as a Unix time in milliseconds; -1 if never, -2 if it is missing.",
     .syntax = "key"},
    {.name = "pttl", .handler = time_to_live<kMs, kFromNow>, .arity = 2,
     .flags = kReadFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "generic", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Tells how many milliseconds a key still lives; -1 if for ever, -2 if it is missing.",
     .syntax = "key"},
    {.name = "ttl", .handler = time_to_live<kSeconds, kFromNow>, .arity = 2,
     .flags = kReadFast, .categories = kKeyspace,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "generic", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Tells how many seconds a key still lives; -1 if for ever, -2 if it is missing.",
     .syntax = "key"},
};
// clang-format on

}  // namespace

std::span<const Row> expiration_commands() { return kRows; }

}  // namespace pinfold::command
