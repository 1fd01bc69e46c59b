// Commands that act on what is there only if it is what the caller thinks: the safe release of a lock and its
// relatives. DELIFEQ is Valkey's (9.0), the others are Redis' (8.4).

#define XXH_INLINE_ALL

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include <xxhash.h>

#include "pinfold/base/work.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/expiry.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/prepared_write.hpp"
#include "pinfold/command/string_commands.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/command/value_condition.hpp"

namespace pinfold::command {

namespace {

constexpr std::size_t kDigestDigits = 16;

bool is_hexadecimal(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f'); }

}  // namespace

namespace {

std::string in_hexadecimal(XXH64_hash_t hash) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(kDigestDigits, '0');
  for (auto at = text.rbegin(); at != text.rend(); ++at, hash >>= 4) *at = digits[hash & 0xf];
  return text;
}

XXH3_state_t* state_of(void* state) { return static_cast<XXH3_state_t*>(state); }

// The digest of a large value, piece by piece.
class DigestTask : public Task {
 public:
  explicit DigestTask(const store::Value& value) : value_(value) {}

  Outcome step(Call& call) override {
    constexpr std::size_t piece = 256 * 1024;
    const std::int64_t end = monotonic_us() + step_us;
    for (const std::string_view text = value_.text(); at_ < text.size(); at_ += piece) {
      if (monotonic_us() >= end) return Outcome::waits;
      digest_.add(text.substr(at_, piece));
    }
    return call.reply.bulk(digest_.text());
  }

 private:
  const KeptValue value_;
  RunningDigest digest_;
  std::size_t at_ = 0;
};

}  // namespace

RunningDigest::RunningDigest() : state_(XXH3_createState()) {
  if (state_ == nullptr || XXH3_64bits_reset(state_of(state_.get())) != XXH_OK) throw std::bad_alloc();
}

void RunningDigest::add(std::string_view piece) {
  work::bytes(piece.size());
  XXH3_64bits_update(state_of(state_.get()), piece.data(), piece.size());
}

std::string RunningDigest::text() const { return in_hexadecimal(XXH3_64bits_digest(state_of(state_.get()))); }

void RunningDigest::Free::operator()(void* state) const { XXH3_freeState(state_of(state)); }

std::string digest(std::string_view value) {
  work::bytes(value.size());
  return in_hexadecimal(XXH3_64bits(value.data(), value.size()));
}

void ValueCondition::take_operand(Cursor& cursor) {
  operand_at_ = cursor.position();
  operand_ = cursor.take();
}

ValueCondition ValueCondition::equals(Cursor& cursor) {
  ValueCondition condition;
  condition.kind_ = Kind::equal;
  condition.take_operand(cursor);
  return condition;
}

bool ValueCondition::take(Cursor& options) {
  if (given()) return false;
  if (options.take_with_value("IFEQ")) {
    kind_ = Kind::equal;
  } else if (options.take_with_value("IFNE")) {
    kind_ = Kind::differs;
  } else if (options.take_with_value("IFDEQ")) {
    kind_ = Kind::digest_equal;
  } else if (options.take_with_value("IFDNE")) {
    kind_ = Kind::digest_differs;
  } else {
    return false;
  }
  take_operand(options);
  return true;
}

bool ValueCondition::malformed() const {
  if (!by_digest()) return false;
  return operand_.size() != kDigestDigits || !std::all_of(operand_.begin(), operand_.end(), is_hexadecimal);
}

bool ValueCondition::may_wait() const { return by_digest() || operand_.size() > most_locked_bytes; }

bool ValueCondition::must_wait(const std::optional<store::Value>& value, KnownValue* known) const {
  if (known == nullptr || !may_wait() || malformed() || !value || value->text.size() <= most_locked_bytes) return false;
  if (!by_digest() && value->text.size() != operand_.size()) return false;
  if (known->value.is(*value)) return false;
  known->value = KeptValue(*value);
  known->argument = by_digest() ? 0 : operand_at_;
  return true;
}

bool ValueCondition::equal(const store::Value& value, const KnownValue* known) const {
  if (value.text.size() != operand_.size()) return false;
  if (known != nullptr && known->argument == operand_at_ && known->value.is(value)) return known->equal;
  work::bytes(operand_.size());
  return value.text == operand_;
}

bool ValueCondition::holds(const std::optional<store::Value>& value, const KnownValue* known) const {
  const auto digest_of = [known](const store::Value& of) {
    return known != nullptr && !known->digest.empty() && known->value.is(of) ? known->digest : digest(of.text);
  };
  switch (kind_) {
    case Kind::equal:
      return value && equal(*value, known);
    case Kind::differs:
      return !value || !equal(*value, known);
    case Kind::digest_equal:
      return value && iequals(digest_of(*value), operand_);
    case Kind::digest_differs:
      return !value || !iequals(digest_of(*value), operand_);
    case Kind::none:
      break;
  }
  return true;
}

namespace {

Outcome digest_command(Call& call) {
  const auto value = call.db().read(call.key());
  if (!value) return call.reply.null();
  const std::size_t bytes = value->text.size();
  if (bytes <= most_locked_bytes_of(call)) return call.reply.bulk(digest(value->text));
  if (refuse_long_inside_exec(call, bytes)) return Outcome::done;
  return call.begin(std::make_unique<DigestTask>(*value));
}

// Removes the key if the condition holds, and replies. Nothing: the value has to be looked at first.
Tried remove_if(Call& call, const ValueCondition& condition, KnownValue* known) {
  store::Database db = call.db();
  const auto value = db.peek(call.key());
  if (!value) {
    db.void_lease(call.key());  // what its holder has read may be the value to be removed
    return call.reply.integer(0);
  }
  if (condition.malformed()) return call.reply.error(malformed_digest);
  if (condition.must_wait(value, known)) return std::nullopt;
  if (!condition.holds(value, known)) return call.reply.integer(0);
  return call.reply.integer(db.remove(call.key()) ? 1 : 0);
}

Tried delifeq_knowing(Call& call, KnownValue* known) {
  Cursor operand(call.args, 2);
  return remove_if(call, ValueCondition::equals(operand), known);
}

Outcome delifeq(Call& call) {
  KnownValue none;
  const Tried tried = delifeq_knowing(call, &none);
  return tried ? *tried : inspect_and_write(call, delifeq_knowing, std::move(none));
}

Tried delex_knowing(Call& call, KnownValue* known) {
  ValueCondition condition;
  if (call.args.size() != 2) {
    if (call.args.size() != 4) return reply_wrong_arity(call);
    Cursor options(call.args, 2);
    if (!condition.take(options)) {
      return call.reply.error("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
    }
  }
  if (condition.given()) return remove_if(call, condition, known);
  return call.reply.integer(call.db().remove(call.key()) ? 1 : 0);
}

Outcome delex(Call& call) {
  KnownValue none;
  const Tried tried = delex_knowing(call, &none);
  return tried ? *tried : inspect_and_write(call, delex_knowing, std::move(none));
}

// MSETEX

struct PairOptions {
  ExpiryOption expiry{ExpiryOption::Besides::keepttl};
  bool nx = false;
  bool xx = false;

  bool parse(Cursor options) {
    while (!options.done()) {
      if (!xx && options.take("NX")) {
        nx = true;
      } else if (!nx && options.take("XX")) {
        xx = true;
      } else if (!expiry.take(options)) {
        return false;
      }
    }
    return true;
  }
};

// Whether the keys are there (XX) or not (NX), all of them, as asked.
bool admitted(Call& call, const PairOptions& options) {
  if (!options.nx && !options.xx) return true;
  store::Database db = call.db();
  return std::all_of(call.keys.begin(), call.keys.end(), [&](const store::Key& key) { return db.has(key) == options.xx; });
}

constexpr std::string_view kWrongPairs = "ERR wrong number of key-value pairs";

std::string wrong_pair_count(const Row&, Args args) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const auto count = parse_i64(args[1]);
  const bool valid = count && *count >= 1 && *count <= most;
  return std::string(valid ? kWrongPairs : "ERR invalid numkeys value");
}

Outcome msetex(Call& call) {
  const std::size_t pairs = call.keys.size();
  if ((call.args.size() - 2) / 2 < pairs) return call.reply.error(kWrongPairs);  // the last one has no value
  PairOptions options;
  if (!options.parse(Cursor(call.args, 2 + 2 * pairs))) return call.syntax_error();
  const auto how = options.expiry.put_options(call);
  if (!how) return Outcome::done;
  if (!admitted(call, options)) return call.reply.integer(0);
  const store::Stored stored = put_pairs(call, 3, *how);
  return stored ? call.reply.integer(1) : call.refused(stored);
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "delex", .handler = delex, .arity = -2,
     .flags = kWrite | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::take)},
     .group = "string", .since = "8.4.0",
     .complexity = "O(1); with a value or a digest to compare, O(N) for N bytes of the value.",
     .summary = "Removes a key if its value, or the digest of it, is or is not the one given.",
     .syntax = "key [IFEQ match-value | IFNE match-value | IFDEQ match-digest | IFDNE match-digest]"},
    {.name = "delifeq", .handler = delifeq, .arity = 3,
     .flags = kWrite | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::take)},
     .group = "string", .since = "9.0.0",
     .complexity = "O(N) for N bytes of the value.",
     .summary = "Removes a key if it has the value given. From Valkey.",
     .syntax = "key value"},
    {.name = "digest", .handler = digest_command, .arity = 2,
     .flags = kReadOnly | kBeyondNamed | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "string", .since = "8.4.0",
     .complexity = "O(N) for N bytes of the value.",
     .summary = "Answers the XXH3 hash of a value, in hexadecimal.",
     .syntax = "key"},
    {.name = "msetex", .handler = msetex, .arity = -4,
     .flags = kWrite | kDenyOom | kMovableKeys, .categories = kString,
     .keys = {KeySpec::counted(KeyUse::write, 1, wrong_pair_count, 2)},
     .events = {.deadline = true},
     .group = "string", .since = "8.4.0",
     .complexity = "O(N) for N keys.",
     .summary = "Sets several keys at one moment, on a condition and with one deadline for all if so asked.",
     .syntax = "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT "
               "unix-time-milliseconds | KEEPTTL]"},
};
// clang-format on

}  // namespace

std::span<const Row> conditional_string_commands() { return kRows; }

}  // namespace pinfold::command
