// CL.THROTTLE: rate limits in one atomic command on the server's clock, with the arguments and the reply of
// the module redis-cell.
//
// The algorithm is GCRA, the generic cell rate algorithm. A key holds one number, the theoretical arrival
// time: when the next action is due of a caller who keeps to the rate exactly. Each action moves it one
// interval (period / count) on, from now if it has passed. An action is admitted unless that puts it more
// than max_burst + 1 intervals ahead of now. Time and memory are constant, where a log of past actions has an
// entry for each. What is given up is to know when they were. Once the time has passed it says as much as no
// entry does, so that is when the entry expires: callers that stay away cost nothing.
//
// Times are kept in nanoseconds, so that rates up to a thousand million a second have an interval; now is a
// multiple of a millisecond, as for all commands. They are of the clock that never goes back: a step of the
// wall clock must not refuse everybody for as long. Only the entry's deadline is of the wall clock.

#include <algorithm>
#include <optional>
#include <string>

#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"

namespace pinfold::command {
namespace {

using Nanoseconds = std::int64_t;

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr Nanoseconds kMillisecond = 1'000'000;
// The limit is a reply too, and JavaScript has integers up to there.
constexpr std::int64_t kLargestBurst = (std::int64_t{1} << 53) - 2;

struct Request {
  std::int64_t max_burst = 0;
  std::int64_t count = 0;
  std::int64_t period = 0;
  std::int64_t quantity = 1;
};

struct Limit {
  std::int64_t actions;   // how many may come at once
  Nanoseconds interval;   // after which one more may
  Nanoseconds tolerance;  // interval * actions: how far ahead of now the arrival time may be
};

// Reads the argument at `index`, called `name` in the error that is replied if it is no number or less than
// `least`.
bool read_number(Call& call, std::size_t index, std::string_view name, std::int64_t least, std::int64_t& to) {
  const auto number = parse_i64(call.args[index]);
  if (!number) {
    call.not_an_integer();
  } else if (*number < least) {
    call.reply.error("ERR " + std::string(name) + " must be at least " + std::to_string(least));
  } else {
    to = *number;
    return true;
  }
  return false;
}

// False if the arguments are wrong; then the error has been replied.
bool read_request(Call& call, Request& request) {
  if (call.args.size() > 6) {
    call.syntax_error();
    return false;
  }
  return read_number(call, 2, "max-burst", 0, request.max_burst) && read_number(call, 3, "count", 1, request.count) &&
         read_number(call, 4, "period", 1, request.period) &&
         (call.args.size() < 6 || read_number(call, 5, "quantity", 0, request.quantity));
}

// Nothing if the interval is too short, or the time that the limit spans too long, to be counted.
std::optional<Limit> make_limit(const Request& request, Nanoseconds now) {
  if (request.max_burst > kLargestBurst) return std::nullopt;
  Limit limit{request.max_burst + 1, 0, 0};
  Nanoseconds period = 0;
  if (__builtin_mul_overflow(request.period, kSecond, &period)) return std::nullopt;
  limit.interval = period / request.count;
  Nanoseconds latest = 0;
  if (limit.interval == 0 || __builtin_mul_overflow(limit.interval, limit.actions, &limit.tolerance) ||
      __builtin_add_overflow(now, limit.tolerance, &latest)) {
    return std::nullopt;
  }
  return limit;
}

// Rounded up, so that whoever waits that long has waited long enough.
std::int64_t in_seconds(Nanoseconds time) { return time / kSecond + (time % kSecond != 0 ? 1 : 0); }

// How far the arrival time is ahead of now. Nothing if the key holds something else; then the error has been
// replied.
std::optional<Nanoseconds> read_ahead(Call& call, Nanoseconds now) {
  const auto value = call.db().peek(call.key());
  if (!value) return 0;
  const auto arrival = parse_i64(value->text);
  if (!arrival) {
    call.not_an_integer();
    return std::nullopt;
  }
  return *arrival > now ? *arrival - now : 0;
}

store::Stored store_arrival(Call& call, Nanoseconds now, Nanoseconds ahead) {
  char text[20];
  const char* end = write_i64(text, now + ahead);
  store::PutOptions how;
  how.expires_at = call.now + ahead / kMillisecond + (ahead % kMillisecond != 0 ? 1 : 0);
  store::Database db = call.db();
  const store::Stored stored = db.put(call.key(), std::string_view(text, static_cast<std::size_t>(end - text)), how);
  if (!stored || call.engine.cache.policies() == nullptr) return stored;
  if (!db.find(call.key(), store::Access::none())) return stored;  // a switch forbids that it is stored
  // A policy gives it its priority, but not its times: a limit forgotten early would let too much pass.
  return db.without_rules().set_expiry(call.key(), how.expires_at);
}

Outcome throttle(Call& call) {
  Request request;
  if (!read_request(call, request)) return Outcome::done;
  const Nanoseconds now = call.mono.ms * kMillisecond;
  const auto limit = make_limit(request, now);
  if (!limit) return call.reply.error("ERR rate is out of range");
  const auto found = read_ahead(call, now);
  if (!found) return Outcome::done;

  Nanoseconds ahead = *found;
  Nanoseconds wait = -1;
  const bool possible = request.quantity <= limit->actions;
  if (possible) {
    const Nanoseconds step = limit->interval * request.quantity;
    wait = std::max<Nanoseconds>(ahead - (limit->tolerance - step), 0);
    if (wait == 0) ahead += step;
  }
  const bool admitted = wait == 0;
  if (ahead != *found) {
    if (const store::Stored stored = store_arrival(call, now, ahead); !stored) return call.refused(stored);
  }
  call.reply.array(5);
  call.reply.integer(admitted ? 0 : 1);
  call.reply.integer(limit->actions);
  call.reply.integer(std::max<Nanoseconds>(limit->tolerance - ahead, 0) / limit->interval);
  call.reply.integer(wait > 0 ? in_seconds(wait) : -1);
  return call.reply.integer(in_seconds(ahead));
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "cl.throttle", .handler = throttle, .arity = -5,
     .flags = kWrite | kDenyOom | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(1)",
     .summary = "Counts an action against a rate of count in period seconds, from which a burst of max-burst more is let pass. Answers "
                "as redis-cell does: 1 if it is refused, 0 if not; the limit, which is max-burst + 1; what is left of it; the seconds "
                "until a retry makes sense, or -1; the seconds until all of it is there again. A quantity above 1 counts as so many "
                "actions, 0 only looks.",
     .syntax = "key max-burst count period [quantity]"},
};
// clang-format on

}  // namespace

std::span<const Row> throttle_commands() { return kRows; }

}  // namespace pinfold::command
