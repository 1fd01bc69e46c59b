// Hashes: fields and their values under one key. types/hash.hpp has their structure.

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/argument_texts.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/collection_scan.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/many_arguments.hpp"
#include "pinfold/command/many_elements.hpp"
#include "pinfold/command/random_items.hpp"
#include "pinfold/command/thresholds.hpp"
#include "pinfold/types/hash.hpp"

namespace pinfold::command {
namespace {

using store::Element;
using store::PackedElement;
using types::Hash;

// The hash under the call's key, for a command that reads it. Throws WrongType.
std::optional<Hash> find_hash(Call& call) {
  store::Database db = call.db();
  const auto value = types::find_collection(db, call.key(), store::Type::hash);
  return value ? std::optional(Hash(*value)) : std::nullopt;
}

BlockHeap& heap_of(Call& call) { return call.engine.keyspace.memory().heap(); }

// --- writing ---

resp::Written refuse_arity(Call& call) { return call.reply.error(wrong_arity(call.row)); }

Outcome reply_count(Call& call, std::uint64_t count) { return call.reply.integer(static_cast<std::int64_t>(count)); }
Outcome reply_ok(Call& call, std::uint64_t /*count*/) { return call.reply.ok(); }

template <Outcome (*reply)(Call&, std::uint64_t)>
Outcome set_all(Call& call) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits);
  std::uint64_t added = 0;
  const store::Stored stored = hash.set(ArgumentTexts(call, 2), added);
  return stored ? reply(call, added) : call.refused(stored);
}

store::Stored set_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits, &slice.draft);
  return hash.set(ArgumentTexts(call, slice), counted);
}

constexpr ElementsWrite kSet{store::Type::hash, 2, 0, most_written_at_once, set_all<reply_count>, nullptr, set_some, reply_count};
constexpr ElementsWrite kSetMany{store::Type::hash, 2, 0, most_written_at_once, set_all<reply_ok>, nullptr, set_some, reply_ok};

Outcome hset(Call& call) { return call.args.size() % 2 != 0 ? refuse_arity(call) : write_elements(call, kSet, 2); }
Outcome hmset(Call& call) { return call.args.size() % 2 != 0 ? refuse_arity(call) : write_elements(call, kSetMany, 2); }

Outcome hsetnx(Call& call) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits);
  if (hash.find(PackedElement(call.args[2])) != nullptr) return call.reply.integer(0);
  std::uint64_t added = 0;
  const store::Stored stored = hash.set(ArgumentTexts(call, 2), added);
  return stored ? call.reply.integer(1) : call.refused(stored);
}

Outcome remove_all(Call& call) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits);
  std::uint64_t removed = 0;
  const store::Stored stored = hash.remove(ArgumentTexts(call, 2), removed);
  return stored ? reply_count(call, removed) : call.refused(stored);
}

store::Stored remove_some(Call& call, const ElementSlice& slice, std::uint64_t& counted) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits, &slice.draft);
  return hash.remove(ArgumentTexts(call, slice), counted);
}

constexpr ElementsWrite kRemove{store::Type::hash, 1, 0, most_written_at_once, remove_all, nullptr, remove_some, reply_count};

Outcome hdel(Call& call) { return write_elements(call, kRemove, 2); }

// Stores a number's text as the value of the field that is the third word.
store::Stored set_number(Call& call, types::HashEdit& hash, std::string_view text) {
  const std::string_view pair[] = {call.args[2], text};
  std::uint64_t added = 0;
  return hash.set(types::Texts(pair), added);
}

Outcome hincrby(Call& call) {
  const auto increment = parse_i64(call.args[3]);
  if (!increment) return call.not_an_integer();
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits);
  std::int64_t sum = *increment;
  if (const char* const item = hash.find(PackedElement(call.args[2]))) {
    const Element value = types::value_of(item);
    if (!value.is_number()) return call.reply.error("ERR hash value is not an integer");
    if (__builtin_add_overflow(value.number(), *increment, &sum)) {
      return call.reply.error("ERR increment or decrement would overflow");
    }
  }
  Element::Digits digits;
  const std::string_view text(digits.data(), static_cast<std::size_t>(write_i64(digits.data(), sum) - digits.data()));
  const store::Stored stored = set_number(call, hash, text);
  return stored ? call.reply.integer(sum) : call.refused(stored);
}

Outcome hincrbyfloat(Call& call) {
  const auto increment = parse_real(call.args[3]);
  if (!increment) return call.reply.error("ERR value is not a valid float");
  if (!std::isfinite(*increment)) return call.reply.error("ERR value is NaN or Infinity");
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits);
  long double sum = *increment;
  if (const char* const item = hash.find(PackedElement(call.args[2]))) {
    Element::Digits digits;
    const auto value = parse_real(types::value_of(item).text(digits));
    if (!value) return call.reply.error("ERR hash value is not a float");
    sum += *value;
  }
  if (!std::isfinite(sum)) return call.reply.error("ERR increment would produce NaN or Infinity");
  const std::string text = format_real(sum);
  const store::Stored stored = set_number(call, hash, text);
  return stored ? call.reply.bulk(text) : call.refused(stored);
}

// --- reading single fields ---

resp::Written reply_value(resp::Reply& reply, const char* item) {
  return item != nullptr ? reply_element(reply, types::value_of(item)) : reply.null();
}

Outcome hget(Call& call) {
  const auto hash = find_hash(call);
  if (!hash) return call.reply.null();
  return reply_value(call.reply, hash->find(PackedElement(call.args[2])));
}

Outcome hexists(Call& call) {
  const auto hash = find_hash(call);
  return call.reply.integer(hash && hash->find(PackedElement(call.args[2])) != nullptr ? 1 : 0);
}

Outcome hstrlen(Call& call) {
  const auto hash = find_hash(call);
  const char* const item = hash ? hash->find(PackedElement(call.args[2])) : nullptr;
  return call.reply.integer(item != nullptr ? static_cast<std::int64_t>(types::value_of(item).text_size()) : 0);
}

Outcome hlen(Call& call) {
  const auto hash = find_hash(call);
  return call.reply.integer(hash ? static_cast<std::int64_t>(hash->size()) : 0);
}

// HMGET of so many fields that finding and copying their values takes long. Has a copy of a hash that is a run.
class ManyFieldsTask final : public ManyArgumentsTask {
 public:
  ManyFieldsTask(Call& call, const Hash& hash) : ManyArgumentsTask(call, hash.packed() ? hash.run().bytes().size() : 0) {
    if (!kept()) return;
    if (hash.packed()) {
      run_ = hash.run().bytes();
    } else {
      tree_ = keep_items(call, hash.collection());
    }
  }

  std::uint64_t pinned() const override { return tree_.memory(); }
  std::uint64_t loose() const override { return tree_.loose_memory(); }

 private:
  void answer(Call& call, std::string_view name) override {
    const PackedElement field(name);
    reply_value(call.reply, run_.empty() ? types::find_item(*tree_, field) : types::find_item<true>(run_, field));
  }

  std::string run_;
  store::KeptTree tree_;
};

// Whether these fields may be looked for, and their values copied, with the key locked.
bool are_few(const Call& call, const Hash& hash, std::uint64_t fields) {
  const std::uint64_t bytes = hash.packed() ? hash.run().bytes().size() : hash.tree().memory();
  return bytes / hash.size() * fields <= most_read_bytes_of(call);
}

Outcome hmget(Call& call) {
  const auto hash = find_hash(call);
  const std::size_t fields = call.args.size() - 2;
  if (hash && (!are_few(call, *hash, fields) || (fields > most_locked_items && !call.in_transaction))) {
    if (refuse_many_inside_exec(call, fields)) return Outcome::done;
    return ManyArgumentsTask::begin(call, std::make_unique<ManyFieldsTask>(call, *hash));
  }
  call.reply.array(fields);
  for (const std::string_view field : call.args.subspan(2)) {
    reply_value(call.reply, hash ? hash->find(PackedElement(field)) : nullptr);
  }
  return Outcome::done;
}

// --- reading all fields ---

void write_pair(resp::Reply& reply, const char* item) {
  reply_element(reply, types::field_of(item));
  reply_element(reply, types::value_of(item));
}
void write_field(resp::Reply& reply, const char* item) { reply_element(reply, types::field_of(item)); }
void write_value(resp::Reply& reply, const char* item) { reply_element(reply, types::value_of(item)); }

Outcome reply_all(Call& call, ItemWriter write, ItemsReply::Header header) {
  const auto hash = find_hash(call);
  const std::uint64_t size = hash ? hash->size() : 0;
  const ItemsReply all{.count = size, .header = header, .headed = size, .write = write};
  if (!hash) return header == ItemsReply::Header::map ? call.reply.map(0) : call.reply.array(0);
  if (hash->packed()) return reply_items(call, hash->run(), all);
  return reply_items(call, hash->collection(), all);
}

Outcome hgetall(Call& call) { return reply_all(call, write_pair, ItemsReply::Header::map); }
Outcome hkeys(Call& call) { return reply_all(call, write_field, ItemsReply::Header::array); }
Outcome hvals(Call& call) { return reply_all(call, write_value, ItemsReply::Header::array); }

std::uint64_t write_scanned(resp::Reply& reply, const char* item, bool no_values) {
  write_field(reply, item);
  if (no_values) return 1;
  write_value(reply, item);
  return 2;
}

Outcome hscan(Call& call) {
  const auto cursor = parse_cursor(call.args[2]);
  if (!cursor) return call.reply.error("ERR invalid cursor");
  const auto hash = find_hash(call);
  if (!hash) return reply_empty_scan(call);
  auto scan = take_collection_scan(call, *cursor, true);
  if (!scan) return Outcome::done;
  if (!hash->packed()) return reply_scan(call, std::move(*scan), hash->tree(), write_scanned);
  const std::string_view items = hash->run().bytes().substr(types::Run::header);
  return reply_scan(call, std::move(*scan), ScannedItems{store::TreeKind::hash, items}, write_scanned);
}

// HRANDFIELD with a count.

void write_pair_apart(resp::Reply& reply, const char* item) {
  if (reply.protocol() >= 3) reply.array(2);
  write_pair(reply, item);
}

Outcome hrandfield_many(Call& call) {
  const auto count = parse_i64(call.args[2]);
  if (!count) return call.not_an_integer();
  if (*count == INT64_MIN)
    return call.reply.error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
  const bool with_values = call.args.size() == 4 && iequals(call.args[3], "WITHVALUES");
  if (call.args.size() > 3 && !with_values) return call.syntax_error();
  constexpr std::int64_t most = INT64_MAX / 2;
  if (with_values && (*count < -most || *count > most)) return call.reply.error("ERR value is out of range");
  const auto hash = find_hash(call);
  if (!hash || *count == 0) return call.reply.array(0);
  RandomPicks picks = picks_of(*count);
  picks.write = with_values ? write_pair_apart : write_field;
  picks.words = with_values && call.reply.protocol() < 3 ? 2 : 1;
  return hash->packed() ? reply_random_items(call, hash->run(), picks) : reply_random_items(call, hash->collection(), picks);
}

Outcome hrandfield(Call& call) {
  if (call.args.size() > 2) return hrandfield_many(call);
  const auto hash = find_hash(call);
  if (!hash) return call.reply.null();
  const std::uint64_t position = random_below(hash->size());
  write_field(call.reply, hash->packed() ? hash->run().at(position) : hash->tree().at(position).item());
  return Outcome::done;
}

// --- reading and removing ---

constexpr std::size_t first_taken = 4;  // of the arguments of HGETDEL

Outcome take_all(Call& call) {
  store::Database db = call.db();
  const types::Thresholds limits = thresholds(call.engine);
  types::HashEdit hash(db, call.key(), heap_of(call), limits);
  const std::size_t mark = call.reply.output().mark();
  call.reply.array(call.args.size() - first_taken);
  for (const std::string_view field : call.args.subspan(first_taken)) {
    reply_value(call.reply, hash.exists() ? hash.find(PackedElement(field)) : nullptr);
  }
  std::uint64_t removed = 0;
  const store::Stored stored = hash.remove(ArgumentTexts(call, first_taken), removed);
  if (stored) return Outcome::done;
  call.reply.output().truncate(mark);
  return call.refused(stored);
}

constexpr ElementsWrite kTake{store::Type::hash, 1, 0, most_written_at_once, take_all, nullptr, remove_some, nullptr};

// HGETDEL of many fields, or long values: removes the fields, and then replies the values from the hash as it was before.
class TakeFieldsTask final : public ManyElementsTask {
 public:
  explicit TakeFieldsTask(Call& call) : ManyElementsTask(call, kTake, first_taken) {}

 private:
  Outcome answer(Call& call) override {
    const Args fields = elements();
    const auto value = before();
    const std::int64_t end = monotonic_us() + step_us;
    if (!std::exchange(replying, true)) call.reply.array(fields.size());
    const std::size_t full = call.reply.output().size() + reply_piece;
    constexpr std::size_t between_looks = 64;
    while (answered_ < fields.size() && call.reply.output().size() < full) {
      reply_value(call.reply, value ? Hash(*value).find(PackedElement(fields[answered_])) : nullptr);
      if (++answered_ % between_looks == 0 && monotonic_us() >= end) break;
    }
    return answered_ < fields.size() ? Outcome::waits : Outcome::done;
  }

  std::size_t answered_ = 0;
};

Outcome hgetdel(Call& call) {
  if (!iequals(call.args[2], "FIELDS")) return call.reply.error("ERR Mandatory argument FIELDS is missing or not at the right position");
  const auto count = parse_i64(call.args[3]);
  if (!count || *count < 1) return call.reply.error("ERR Number of fields must be a positive integer");
  const std::size_t fields = call.args.size() - first_taken;
  if (static_cast<std::uint64_t>(*count) != fields) {
    return call.reply.error("ERR The `numfields` parameter must match the number of arguments");
  }
  store::Database db = call.db();
  const auto value = types::find_collection(db, call.key(), store::Type::hash, store::Access::none());
  const bool are_short = !value || are_few(call, Hash(*value), fields);
  if (are_short && (call.in_transaction || fields <= most_written_at_once)) return take_all(call);
  if (refuse_many_inside_exec(call, fields)) return Outcome::done;
  return ManyElementsTask::begin(call, std::make_unique<TakeFieldsTask>(call));
}

constexpr std::uint32_t kGrow = kWrite | kDenyOom;

// clang-format off
constexpr Row kRows[] = {
    {.name = "hdel", .handler = hdel, .arity = -3,
     .flags = kWrite | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::shrink)},
     .events = {.written = Event::hdel},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(N) for N fields to remove.",
     .summary = "Removes fields of a hash, and the key with the last of them.",
     .syntax = "key field [field ...]"},
    {.name = "hexists", .handler = hexists, .arity = 3,
     .flags = kReadOnly | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Tells whether a hash has a field.",
     .syntax = "key field"},
    {.name = "hget", .handler = hget, .arity = 3,
     .flags = kReadOnly | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Reads the value of a field of a hash.",
     .syntax = "key field"},
    {.name = "hgetall", .handler = hgetall, .arity = 2,
     .flags = kReadOnly | kBeyondNamed, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(N) for N fields; other clients are served meanwhile.",
     .summary = "Reads all fields of a hash and their values, as they are at one moment.",
     .syntax = "key"},
    {.name = "hgetdel", .handler = hgetdel, .arity = -5,
     .flags = kWrite | kFast | kBeyondNamed, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::take)},
     .events = {.written = Event::hdel},
     .group = "hash", .since = "8.0.0",
     .complexity = "O(N) for N fields to read and remove.",
     .summary = "Reads the values of fields of a hash and removes the fields.",
     .syntax = "key FIELDS numfields field [field ...]"},
    {.name = "hincrby", .handler = hincrby, .arity = 4,
     .flags = kGrow | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::hincrby},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Adds an integer to the value of a field of a hash; a missing field counts as 0.",
     .syntax = "key field increment"},
    {.name = "hincrbyfloat", .handler = hincrbyfloat, .arity = 4,
     .flags = kGrow | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::hincrbyfloat},
     .group = "hash", .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Adds a number with a fraction to the value of a field of a hash; a missing field counts as 0.",
     .syntax = "key field increment"},
    {.name = "hkeys", .handler = hkeys, .arity = 2,
     .flags = kReadOnly | kBeyondNamed, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(N) for N fields; other clients are served meanwhile.",
     .summary = "Lists the fields of a hash.",
     .syntax = "key"},
    {.name = "hlen", .handler = hlen, .arity = 2,
     .flags = kReadOnly | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Counts the fields of a hash.",
     .syntax = "key"},
    {.name = "hmget", .handler = hmget, .arity = -3,
     .flags = kReadOnly | kFast | kBeyondNamed, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(N) for N fields to read.",
     .summary = "Reads the values of several fields of a hash.",
     .syntax = "key field [field ...]"},
    {.name = "hmset", .handler = hmset, .arity = -4,
     .flags = kGrow | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::update)},
     .events = {.written = Event::hset},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(N) for N fields to set.",
     .summary = "Sets fields of a hash to values. HSET does the same and tells how many are new.",
     .syntax = "key field value [field value ...]"},
    {.name = "hrandfield", .handler = hrandfield, .arity = -2,
     .flags = kReadOnly | kBeyondNamed, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "hash", .since = "6.2.0",
     .complexity = "O(N) for N fields to return.",
     .summary = "Picks fields of a hash at random; with a negative count, fields may be picked more than once.",
     .syntax = "key [count [WITHVALUES]]"},
    {.name = "hscan", .handler = hscan, .arity = -3,
     .flags = kReadOnly | kBeyondNamed, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "hash", .since = "2.8.0",
     .complexity = "O(COUNT) per call, of 10 000 fields and 1 MB at most; O(N) to go through N fields.",
     .summary = "Goes through the fields of a hash, some at each call.",
     .syntax = "key cursor [MATCH pattern] [COUNT count] [NOVALUES]"},
    {.name = "hset", .handler = hset, .arity = -4,
     .flags = kGrow | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::update)},
     .events = {.written = Event::hset},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(N) for N fields to set.",
     .summary = "Sets fields of a hash to values.",
     .syntax = "key field value [field value ...]"},
    {.name = "hsetnx", .handler = hsetnx, .arity = 4,
     .flags = kGrow | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::insert)},
     .events = {.written = Event::hset},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Sets a field of a hash to a value, unless the hash has the field.",
     .syntax = "key field value"},
    {.name = "hstrlen", .handler = hstrlen, .arity = 3,
     .flags = kReadOnly | kFast, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "hash", .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Counts the bytes of the value of a field of a hash.",
     .syntax = "key field"},
    {.name = "hvals", .handler = hvals, .arity = 2,
     .flags = kReadOnly | kBeyondNamed, .categories = kHash,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "hash", .since = "2.0.0",
     .complexity = "O(N) for N fields; other clients are served meanwhile.",
     .summary = "Lists the values of a hash.",
     .syntax = "key"},
};
// clang-format on

}  // namespace

std::span<const Row> hash_commands() { return kRows; }

}  // namespace pinfold::command
