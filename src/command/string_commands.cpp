// The commands on strings that Redis has had for long. Those that compare values are in
// conditional_string_commands.cpp, those that look at bits in bitmap_commands.cpp, LCS in lcs_command.cpp.

#include "pinfold/command/string_commands.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/command/cache_reads.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/expiry.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/prepared_write.hpp"
#include "pinfold/command/range.hpp"
#include "pinfold/command/value_condition.hpp"

namespace pinfold::command {
namespace {

resp::Written bulk_or_null(Call& call, const std::optional<store::Value>& value) { return value ? call.bulk(*value) : call.reply.null(); }

Outcome get(Call& call) {
  store::Database db = call.db();
  const PlainRead read = read_plain(call, db, call.key(), true);
  return read.waits ? Outcome::waits : bulk_or_null(call, read.value);
}

Outcome mget(Call& call) {
  if (call.engine.cache.guards_reads()) [[unlikely]]
    make_room_for_plain_leases(call);
  store::Database db = call.db();
  call.reply.array(call.keys.size());
  for (const store::Key& key : call.keys) {
    auto value = read_plain(call, db, key, false, store::Access::read().of_any_type()).value;
    if (value && !value->is_string()) value.reset();
    bulk_or_null(call, value);
  }
  return Outcome::done;
}

Outcome strlen(Call& call) {
  const auto value = call.db().read(call.key());
  return call.reply.integer(value ? static_cast<std::int64_t>(value->text.size()) : 0);
}

// Stores the argument at `value` as SET and its relatives do: an entry whose deadline has passed already is not written at all.
store::Stored put(Call& call, std::size_t value, const store::PutOptions& options) {
  store::Database db = call.db();
  const store::Key& key = call.key();
  if (options.expires_at == 0 || options.expires_at > call.now) return call.put_argument(db, key, value, options);
  db.write_expired(key);
  return store::Stored::done;
}

// What comes of a write that was refused, in place of what was replied since `mark`.
Outcome refused_instead(Call& call, std::size_t mark, store::Stored why) {
  call.reply.output().truncate(mark);
  return call.refused(why);
}

// SET

struct SetOptions {
  ExpiryOption expiry{ExpiryOption::Besides::keepttl};
  ValueCondition condition;
  bool nx = false;
  bool xx = false;
  bool get = false;

  bool parse(Cursor options) {
    while (!options.done()) {
      if (!condition.given() && !xx && options.take("NX")) {
        nx = true;
      } else if (!condition.given() && !nx && options.take("XX")) {
        xx = true;
      } else if (options.take("GET")) {
        get = true;
      } else if (!expiry.take(options) && (nx || xx || !condition.take(options))) {
        return false;
      }
    }
    return true;
  }
  // Whether the value that is there must be looked at.
  bool looks() const { return nx || xx || get || condition.given(); }
};

// Whether SET may go on, given what is there.
bool admits(const SetOptions& options, const std::optional<store::Value>& old, const KnownValue* known) {
  if (options.nx) return !old;
  if (options.xx) return old.has_value();
  return !options.condition.given() || options.condition.holds(old, known);
}

// SET with options that need the old value. With GET the old value is the whole reply, whether or not the new
// one was stored. Nothing: the old value has to be looked at first.
Tried set_looking(Call& call, const SetOptions& options, const store::PutOptions& how, KnownValue* known) {
  store::Database db = call.db();
  if (options.condition.may_wait() && options.condition.must_wait(db.peek(call.key()), known)) return std::nullopt;
  // Whether there is a value is known of any type.
  const store::Access access = options.get ? store::Access::read() : store::Access::write();
  const auto old = db.find(call.key(), options.get || options.condition.given() ? access : access.of_any_type());
  if (old && options.condition.malformed()) return call.reply.error(malformed_digest);
  const bool admitted = admits(options, old, known);
  const std::size_t mark = call.reply.output().mark();
  if (options.get) {
    bulk_or_null(call, old);
  } else if (admitted) {
    call.reply.ok();
  } else {
    call.reply.null();
  }
  if (!admitted) return Outcome::done;
  const store::Stored stored = put(call, 2, how);
  return stored ? Outcome::done : refused_instead(call, mark, stored);
}

Tried set_again(Call& call, KnownValue* known) {
  SetOptions options;
  if (!options.parse(Cursor(call.args, 3))) return call.syntax_error();
  const auto how = options.expiry.put_options(call);
  return how ? set_looking(call, options, *how, known) : Outcome::done;
}

// Apart, so that a plain SET does without what it needs on the stack.
[[gnu::noinline]] Outcome look_and_set(Call& call, const SetOptions& options, const store::PutOptions& how) {
  KnownValue none;
  const Tried tried = set_looking(call, options, how, &none);
  return tried ? *tried : inspect_and_write(call, set_again, std::move(none));
}

Outcome set(Call& call) {
  SetOptions options;
  if (!options.parse(Cursor(call.args, 3))) return call.syntax_error();
  const auto how = options.expiry.put_options(call);
  if (!how) return Outcome::done;
  if (options.looks()) return look_and_set(call, options, *how);
  const store::Stored stored = put(call, 2, *how);
  return stored ? call.reply.ok() : call.refused(stored);
}

Outcome set_expiring(Call& call, TimeUnit unit) {
  const auto at = read_deadline(call, call.args[2], unit, TimeBase::relative);
  if (!at) return Outcome::done;
  store::PutOptions how;
  how.expires_at = *at;
  const store::Stored stored = put(call, 3, how);
  return stored ? call.reply.ok() : call.refused(stored);
}

Outcome setex(Call& call) { return set_expiring(call, TimeUnit::seconds); }
Outcome psetex(Call& call) { return set_expiring(call, TimeUnit::milliseconds); }

Outcome setnx(Call& call) {
  store::Database db = call.db();
  if (db.has(call.key())) return call.reply.integer(0);
  const store::Stored stored = call.put_argument(db, call.key(), 2);
  return stored ? call.reply.integer(1) : call.refused(stored);
}

Outcome getset(Call& call) {
  store::Database db = call.db();
  const std::size_t mark = call.reply.output().mark();
  bulk_or_null(call, db.read(call.key()));
  const store::Stored stored = call.put_argument(db, call.key(), 2);
  return stored ? Outcome::done : refused_instead(call, mark, stored);
}

Outcome getdel(Call& call) {
  store::Database db = call.db();
  const auto value = db.read(call.key());
  bulk_or_null(call, value);
  db.remove(call.key());  // also what is stale, and a lease
  return Outcome::done;
}

Outcome getex(Call& call) {
  ExpiryOption expiry(ExpiryOption::Besides::persist);
  for (Cursor options(call.args, 2); !options.done();) {
    if (!expiry.take(options)) return call.syntax_error();
  }
  store::Database db = call.db();
  const auto value = read_plain(call, db, call.key()).value;
  if (!value) {
    if (expiry.is_over(call.now)) db.remove(call.key());  // what is stale, and a lease
    return call.reply.null();                             // a time that is wrong is no error without a value
  }
  UnixMs at = 0;
  if (expiry.has_time()) {
    const auto asked = expiry.deadline(call);
    if (!asked) return Outcome::done;
    at = *asked;
  }
  const bool persists = expiry.persists() && value->expires_at != 0;
  const std::size_t mark = call.reply.output().mark();
  call.bulk(*value);
  const bool stale = !value->fresh(call.now);  // its deadline is not the reader's to set
  if (at != 0 && at <= call.now) {
    db.remove(call.key());
  } else if (!stale && (at != 0 || persists)) {
    const store::Stored stored = db.set_expiry(call.key(), at);
    if (!stored) return refused_instead(call, mark, stored);
  }
  return Outcome::done;
}

// MSET and MSETNX. Dispatch has made room for the arguments; if memory runs out all the same, the pairs
// before that stay written, as after a sequence of SETs.
Outcome mset(Call& call) {
  if (call.args.size() % 2 == 0) return reply_wrong_arity(call);
  const store::Stored stored = put_pairs(call, 2);
  return stored ? call.reply.ok() : call.refused(stored);
}

Outcome msetnx(Call& call) {
  if (call.args.size() % 2 == 0) return reply_wrong_arity(call);
  store::Database db = call.db();
  for (const store::Key& key : call.keys) {
    if (db.has(key)) return call.reply.integer(0);
  }
  const store::Stored stored = put_pairs(call, 2);
  return stored ? call.reply.integer(1) : call.refused(stored);
}

// Counters

Outcome add(Call& call, std::int64_t increment) {
  store::Database db = call.db();
  std::int64_t sum = 0;
  if (const auto old = db.peek(call.key())) {
    const auto number = parse_i64(old->text);
    if (!number) return call.not_an_integer();
    sum = *number;
  }
  if (__builtin_add_overflow(sum, increment, &sum)) {
    return call.reply.error("ERR increment or decrement would overflow");
  }
  char text[20];
  const char* end = write_i64(text, sum);
  store::PutOptions how;
  how.keep_expiry = true;
  const std::string_view digits(text, static_cast<std::size_t>(end - text));
  const store::Stored stored = db.put(call.key(), digits, how);
  return stored ? call.reply.integer(sum) : call.refused(stored);
}

Outcome incr(Call& call) { return add(call, 1); }
Outcome decr(Call& call) { return add(call, -1); }

Outcome incrby(Call& call) {
  const auto increment = parse_i64(call.args[2]);
  return increment ? add(call, *increment) : call.not_an_integer();
}

Outcome decrby(Call& call) {
  const auto decrement = parse_i64(call.args[2]);
  if (!decrement) return call.not_an_integer();
  if (*decrement == INT64_MIN) return call.reply.error("ERR decrement would overflow");
  return add(call, -*decrement);
}

Outcome incrbyfloat(Call& call) {
  store::Database db = call.db();
  long double sum = 0;
  const auto old = db.peek(call.key());
  const auto number = old ? parse_real(old->text) : sum;
  const auto increment = parse_real(call.args[2]);
  if (!number || !increment) return call.reply.error("ERR value is not a valid float");
  sum = *number + *increment;
  if (!std::isfinite(sum)) return call.reply.error("ERR increment would produce NaN or Infinity");
  store::PutOptions how;
  how.keep_expiry = true;
  how.encoding = store::Encoding::embedded;
  const std::string text = format_real(sum);
  const store::Stored stored = db.put(call.key(), text, how);
  return stored ? call.reply.bulk(text) : call.refused(stored);
}

// Parts of values

Outcome getrange(Call& call) {
  const auto first = parse_i64(call.args[2]);
  const auto last = parse_i64(call.args[3]);
  if (!first || !last) return call.not_an_integer();
  const auto value = call.db().read(call.key());
  if (!value || is_backward(*first, *last)) return call.reply.bulk(std::string_view());
  const auto range = resolve_range(*first, *last, static_cast<std::int64_t>(value->text.size()));
  if (!range) return call.reply.bulk(std::string_view());
  // A large value is sent from where it lies, without a copy.
  if (value->is_block()) return call.reply.bulk(value->share(), range->first, range->size());
  return call.reply.bulk(value->text.substr(range->first, range->size()));
}

// The reply if a string may not grow to `size` bytes.
bool refuse_size(Call& call, std::uint64_t size) {
  if (size <= longest_string(call)) return false;
  call.reply.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  return true;
}

Tried append_growing(Call& call, store::Growth* growth) {
  store::Database db = call.db();
  const std::string_view tail = call.args[2];
  const auto old = db.peek(call.key());
  const std::size_t before = old ? old->text.size() : 0;
  if (!old) {
    if (const store::Stored stored = call.put_argument(db, call.key(), 2); !stored) return call.refused(stored);
  } else {
    if (refuse_size(call, before + tail.size())) return Outcome::done;
    const store::Writing value = db.resize(call.key(), before + tail.size(), true, growth);
    if (!value) return not_grown(call, value.stored());
    if (!tail.empty()) std::memcpy(value.data() + before, tail.data(), tail.size());
    work::bytes(tail.size());
  }
  return call.reply.integer(static_cast<std::int64_t>(before + tail.size()));
}

Outcome append(Call& call) { return write_growing(call, append_growing); }

Tried setrange_growing(Call& call, store::Growth* growth) {
  const auto offset = parse_i64(call.args[2]);
  if (!offset) return call.not_an_integer();
  if (*offset < 0) return call.reply.error("ERR offset is out of range");
  const std::string_view part = call.args[3];
  store::Database db = call.db();
  const auto old = db.peek(call.key());
  const std::size_t before = old ? old->text.size() : 0;
  if (part.empty()) return call.reply.integer(static_cast<std::int64_t>(before));
  const std::uint64_t end = static_cast<std::uint64_t>(*offset) + part.size();
  if (refuse_size(call, end)) return Outcome::done;
  const std::size_t size = std::max<std::size_t>(before, end);
  const store::Writing value = db.resize(call.key(), size, true, growth);
  if (!value) return not_grown(call, value.stored());
  std::memcpy(value.data() + *offset, part.data(), part.size());
  work::bytes(part.size());
  return call.reply.integer(static_cast<std::int64_t>(size));
}

Outcome setrange(Call& call) { return write_growing(call, setrange_growing); }

// clang-format off
constexpr std::uint32_t kGrow = kWrite | kDenyOom;

// clang-format off
constexpr Row kRows[] = {
    {.name = "append", .handler = append, .arity = 3,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::append},
     .group = "string", .since = "2.0.0",
     .complexity = "O(M) for M bytes appended, plus copying the value when it outgrows its room.",
     .summary = "Adds bytes to the end of a value; a missing key counts as empty.",
     .syntax = "key value"},
    {.name = "decr", .handler = decr, .arity = 2,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::incrby},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Takes one from the number stored at a key.",
     .syntax = "key"},
    {.name = "decrby", .handler = decrby, .arity = 3,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::incrby},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Takes an integer from the number stored at a key.",
     .syntax = "key decrement"},
    {.name = "get", .handler = get, .arity = 2,
     .flags = kReadOnly | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Reads the value of a key.",
     .syntax = "key"},
    {.name = "getdel", .handler = getdel, .arity = 2,
     .flags = kWrite | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::take)},
     .group = "string", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Reads the value of a key and removes the key.",
     .syntax = "key"},
    {.name = "getex", .handler = getex, .arity = -2,
     .flags = kWrite | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .group = "string", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Reads the value of a key and sets or clears its deadline.",
     .syntax = "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]"},
    {.name = "getrange", .handler = getrange, .arity = 4,
     .flags = kReadOnly, .categories = kString,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "string", .since = "2.4.0",
     .complexity = "O(N) for N bytes returned; all of a large value is returned without a copy.",
     .summary = "Reads a part of a value, between two positions.",
     .syntax = "key start end"},
    {.name = "getset", .handler = getset, .arity = 3,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replaces the value of a key and answers the one before. SET with GET does the same.",
     .syntax = "key value"},
    {.name = "incr", .handler = incr, .arity = 2,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::incrby},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Adds one to the number stored at a key; a missing key counts as 0.",
     .syntax = "key"},
    {.name = "incrby", .handler = incrby, .arity = 3,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::incrby},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Adds an integer to the number stored at a key.",
     .syntax = "key increment"},
    {.name = "incrbyfloat", .handler = incrbyfloat, .arity = 3,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::incrbyfloat},
     .group = "string", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Adds a number with a fraction to the number stored at a key.",
     .syntax = "key increment"},
    {.name = "mget", .handler = mget, .arity = -2,
     .flags = kReadOnly | kFast, .categories = kString,
     .keys = {KeySpec::range(KeyUse::read, 1, -1)},
     .group = "string", .since = "1.0.0",
     .complexity = "O(N) for N keys.",
     .summary = "Reads the values of several keys at one moment.",
     .syntax = "key [key ...]"},
    {.name = "mset", .handler = mset, .arity = -3,
     .flags = kGrow, .categories = kString,
     .keys = {KeySpec::range(KeyUse::write, 1, -1, 2)},
     .group = "string", .since = "1.0.1",
     .complexity = "O(N) for N keys.",
     .summary = "Sets several keys at one moment.",
     .syntax = "key value [key value ...]"},
    {.name = "msetnx", .handler = msetnx, .arity = -3,
     .flags = kGrow, .categories = kString,
     .keys = {KeySpec::range(KeyUse::create, 1, -1, 2)},
     .group = "string", .since = "1.0.1",
     .complexity = "O(N) for N keys.",
     .summary = "Sets several keys at one moment, unless one of them exists.",
     .syntax = "key value [key value ...]"},
    {.name = "psetex", .handler = psetex, .arity = 4,
     .flags = kGrow, .categories = kString,
     .keys = {KeySpec::one(KeyUse::write)},
     .events = {.deadline = true},
     .group = "string", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Sets a key together with its time to live in milliseconds.",
     .syntax = "key milliseconds value"},
    {.name = "set", .handler = set, .arity = -3,
     .flags = kGrow, .categories = kString,
     .keys = {KeySpec::one(KeyUse::set_get)},
     .events = {.deadline = true},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1); with a value or a digest to compare, O(N) for N bytes of the old value.",
     .summary = "Sets the value of a key, on conditions and with a deadline if so asked.",
     .syntax = "key value [NX | XX | IFEQ match-value | IFNE match-value | IFDEQ match-digest | IFDNE match-digest] [GET] [EX seconds | "
               "PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]"},
    {.name = "setex", .handler = setex, .arity = 4,
     .flags = kGrow, .categories = kString,
     .keys = {KeySpec::one(KeyUse::write)},
     .events = {.deadline = true},
     .group = "string", .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Sets a key together with its time to live in seconds.",
     .syntax = "key seconds value"},
    {.name = "setnx", .handler = setnx, .arity = 3,
     .flags = kGrow | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::create)},
     .group = "string", .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Sets a key unless it exists.",
     .syntax = "key value"},
    {.name = "setrange", .handler = setrange, .arity = 4,
     .flags = kGrow, .categories = kString,
     .keys = {KeySpec::one(KeyUse::update)},
     .events = {.written = Event::setrange},
     .group = "string", .since = "2.2.0",
     .complexity = "O(M) for M bytes written, plus copying the value when it outgrows its room.",
     .summary = "Overwrites bytes of a value from a position on, filling a gap before it with zeros.",
     .syntax = "key offset value"},
    {.name = "strlen", .handler = strlen, .arity = 2,
     .flags = kReadOnly | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "string", .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Tells how many bytes a value has.",
     .syntax = "key"},
    {.name = "substr", .handler = getrange, .arity = 4,
     .flags = kReadOnly, .categories = kString,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "string", .since = "1.0.0",
     .complexity = "O(N) for N bytes returned.",
     .summary = "The old name of GETRANGE.",
     .syntax = "key start end"},
};
// clang-format on

}  // namespace

store::Stored put_pairs(Call& call, std::size_t first_value, const store::PutOptions& how) {
  store::Database db = call.db();
  if (!call.accepts_values(db, first_value, 2)) return store::Stored::too_large;
  const bool over = how.expires_at != 0 && how.expires_at <= call.now;
  for (std::size_t i = 0; i < call.keys.size(); ++i) {
    if (over) {
      db.remove(call.keys[i]);
    } else if (const store::Stored stored = call.put_argument(db, call.keys[i], first_value + 2 * i, how); !stored) {
      return stored;
    }
  }
  return store::Stored::done;
}

std::span<const Row> string_commands() { return kRows; }

}  // namespace pinfold::command
