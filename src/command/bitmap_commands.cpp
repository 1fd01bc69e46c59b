// The commands that see a value as an array of bits, or of small integers (BITFIELD). bits.cpp has the
// arithmetic.

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/work.hpp"
#include "pinfold/command/bits.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/encoding.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_names.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/prepared_write.hpp"
#include "pinfold/command/string_commands.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {
namespace {

std::string_view text_of(const std::optional<store::Value>& value) { return value ? value->text : std::string_view(); }

// Whether writing in place would not change what OBJECT ENCODING shows.
bool is_raw(const store::Value& value) { return encoding_name(value) == "raw"; }

// A bit's position, which must lie within the longest string. BITFIELD also takes "#n" for the n-th field of
// `field_bits`. Nothing after an error reply.
std::optional<std::uint64_t> read_offset(Call& call, std::string_view text, unsigned field_bits = 0) {
  const bool in_fields = field_bits > 0 && text.starts_with('#');
  std::int64_t offset = -1;
  if (const auto number = parse_i64(text.substr(in_fields ? 1 : 0))) {
    const bool over = __builtin_mul_overflow(*number, in_fields ? field_bits : 1, &offset);
    if (over) offset = -1;
  }
  if (offset < 0 || static_cast<std::uint64_t>(offset) / 8 >= longest_string(call)) {
    call.reply.error("ERR bit offset is not an integer or out of range");
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(offset);
}

Outcome getbit(Call& call) {
  const auto offset = read_offset(call, call.args[2]);
  if (!offset) return Outcome::done;
  const auto value = call.db().read(call.key());
  return call.reply.integer(test_bit(text_of(value), *offset) ? 1 : 0);
}

Tried setbit_growing(Call& call, store::Growth* growth) {
  constexpr FieldType one_bit{false, 1};
  const auto offset = read_offset(call, call.args[2]);
  if (!offset) return Outcome::done;
  const auto bit = parse_i64(call.args[3]);
  if (!bit || (*bit & ~std::int64_t{1}) != 0) {
    return call.reply.error("ERR bit is not an integer or out of range");
  }
  store::Database db = call.db();
  const auto old = db.peek(call.key());
  const std::int64_t before = test_bit(text_of(old), *offset) ? 1 : 0;
  const std::size_t size = std::max<std::size_t>(text_of(old).size(), *offset / 8 + 1);
  // A bit that is set to what it is does not fail a WATCH, but leaves the value raw as any other.
  const bool changes = !old || size > old->text.size() || before != *bit;
  if (changes || !is_raw(*old)) {
    const store::Writing value = db.resize(call.key(), size, changes, growth);
    if (!value) return not_grown(call, value.stored());
    write_field(value.data(), *offset, one_bit, *bit);
  }
  return call.reply.integer(before);
}

Outcome setbit(Call& call) { return write_growing(call, setbit_growing); }

enum class RangeUnit : std::uint8_t { bytes, bits };

// BYTE or BIT; nothing for anything else.
std::optional<RangeUnit> take_unit(Cursor& options) {
  if (options.take("BIT")) return RangeUnit::bits;
  if (options.take("BYTE")) return RangeUnit::bytes;
  return std::nullopt;
}

// Positions in bits or bytes as a range of bits of `text`.
std::optional<Range> resolve_bits(std::string_view text, std::int64_t first, std::int64_t last, RangeUnit unit) {
  const auto size = static_cast<std::int64_t>(text.size());
  if (unit == RangeUnit::bits) return resolve_range(first, last, size * 8);
  const auto bytes = resolve_range(first, last, size);
  if (!bytes) return std::nullopt;
  return Range{bytes->first * 8, bytes->last * 8 + 7};
}

// What a task does between two looks at the clock: some tens of microseconds.
constexpr std::uint64_t piece_bytes = 256 * 1024;

// Goes through a range of the bits of a large value, piece by piece.
class BitsTask : public Task {
 public:
  BitsTask(const store::Value& value, Range bits) : value_(value), left_(bits) {}

  Outcome step(Call& call) final {
    const std::int64_t end = monotonic_us() + step_us;
    for (;;) {
      const std::uint64_t last = std::min(left_.last, (left_.first / 8 + piece_bytes) * 8 - 1);
      const bool over = last == left_.last;
      if (look(value_.text(), {left_.first, last}) || over) return reply(call);
      left_.first = last + 1;
      if (monotonic_us() >= end) return Outcome::waits;
    }
  }

 private:
  // True if nothing behind this piece matters any more.
  virtual bool look(std::string_view text, Range piece) = 0;
  virtual resp::Written reply(Call& call) = 0;

  const KeptValue value_;
  Range left_;
};

class CountTask : public BitsTask {
 public:
  using BitsTask::BitsTask;

 private:
  bool look(std::string_view text, Range piece) override {
    count_ += count_bits(text, piece);
    return false;
  }
  resp::Written reply(Call& call) override { return call.reply.integer(static_cast<std::int64_t>(count_)); }

  std::uint64_t count_ = 0;
};

Outcome reply_count(Call& call, const store::Value& value, Range bits) {
  const std::size_t bytes = bits.size() / 8;
  if (bytes <= most_locked_bytes_of(call)) return call.reply.integer(static_cast<std::int64_t>(count_bits(value.text, bits)));
  if (refuse_long_inside_exec(call, bytes)) return Outcome::done;
  return call.begin(std::make_unique<CountTask>(value, bits));
}

// Up to version 7.2 Redis looks for the key before it looks at the range, for BITPOS likewise: whatever is
// wrong with the range, a missing key has no bits.
Outcome bitcount(Call& call) {
  const auto value = call.db().read(call.key());
  if (!value) return call.reply.integer(0);
  const std::size_t count = call.args.size();
  if (count == 2) {
    const auto all = resolve_bits(value->text, 0, -1, RangeUnit::bytes);
    return all ? reply_count(call, *value, *all) : call.reply.integer(0);
  }
  if (count != 4 && count != 5) return call.syntax_error();
  Cursor options(call.args, 2);
  const auto first = options.take_integer();
  const auto last = options.take_integer();
  if (!first || !last) return call.not_an_integer();
  if (is_backward(*first, *last)) return call.reply.integer(0);
  const auto unit = options.done() ? RangeUnit::bytes : take_unit(options);
  if (!unit) return call.syntax_error();
  const auto range = resolve_bits(value->text, *first, *last, *unit);
  return range ? reply_count(call, *value, *range) : call.reply.integer(0);
}

struct Search {
  std::int64_t first = 0;
  std::int64_t last = -1;
  bool last_given = false;
  RangeUnit unit = RangeUnit::bytes;
};

// The arguments of BITPOS behind the bit; nothing after an error reply. As in Redis the unit is checked
// before the last position.
std::optional<Search> parse_search(Call& call) {
  Search search;
  const std::size_t count = call.args.size();
  if (count == 3) return search;
  if (count > 6) {
    call.syntax_error();
    return std::nullopt;
  }
  const auto first = parse_i64(call.args[3]);
  if (!first) {
    call.not_an_integer();
    return std::nullopt;
  }
  search.first = *first;
  if (count == 6) {
    Cursor options(call.args, 5);
    const auto unit = take_unit(options);
    if (!unit) {
      call.syntax_error();
      return std::nullopt;
    }
    search.unit = *unit;
  }
  if (count > 4) {
    const auto last = parse_i64(call.args[4]);
    if (!last) {
      call.not_an_integer();
      return std::nullopt;
    }
    search.last = *last;
    search.last_given = true;
  }
  return search;
}

// What BITPOS answers if there is no such bit in `range`: without an end, the bits behind the value count as clear.
std::int64_t position_beyond(const Search& search, bool wanted, Range range) {
  const bool behind = !wanted && !search.last_given;
  return behind ? static_cast<std::int64_t>(range.last) + 1 : -1;
}

class FindTask : public BitsTask {
 public:
  FindTask(const store::Value& value, Range bits, bool wanted, std::int64_t otherwise)
      : BitsTask(value, bits), wanted_(wanted), position_(otherwise) {}

 private:
  bool look(std::string_view text, Range piece) override {
    const auto at = find_bit(text, wanted_, piece);
    if (at) position_ = static_cast<std::int64_t>(*at);
    return at.has_value();
  }
  resp::Written reply(Call& call) override { return call.reply.integer(position_); }

  const bool wanted_;
  std::int64_t position_;
};

Outcome bitpos(Call& call) {
  const auto bit = parse_i64(call.args[2]);
  if (!bit) return call.not_an_integer();
  if (*bit != 0 && *bit != 1) return call.reply.error("ERR The bit argument must be 1 or 0.");
  const bool wanted = *bit == 1;
  const auto value = call.db().read(call.key());
  // A missing key is an endless row of clear bits.
  if (!value) return call.reply.integer(wanted ? -1 : 0);
  const auto search = parse_search(call);
  if (!search) return Outcome::done;
  const auto range = resolve_bits(value->text, search->first, search->last, search->unit);
  if (!range) return call.reply.integer(-1);
  const std::int64_t otherwise = position_beyond(*search, wanted, *range);
  const std::size_t bytes = range->size() / 8;
  if (bytes > most_locked_bytes_of(call)) {
    if (refuse_long_inside_exec(call, bytes)) return Outcome::done;
    return call.begin(std::make_unique<FindTask>(*value, *range, wanted, otherwise));
  }
  const auto at = find_bit(value->text, wanted, *range);
  return call.reply.integer(at ? static_cast<std::int64_t>(*at) : otherwise);
}

// BITOP

struct BitOp {
  BitOperation operation = BitOperation::both;
  bool inverts = false;
};

std::optional<BitOp> parse_operation(std::string_view name) {
  if (iequals(name, "AND")) return BitOp{BitOperation::both, false};
  if (iequals(name, "OR")) return BitOp{BitOperation::either, false};
  if (iequals(name, "XOR")) return BitOp{BitOperation::one, false};
  if (iequals(name, "NOT")) return BitOp{BitOperation::both, true};
  return std::nullopt;
}

// Bytes of the sources combined into those of `to`, where they all begin at `at`.
void combine_piece(const BitOp& op, std::span<const std::string_view> sources, std::size_t at, char* to, std::size_t size) {
  const auto part = [&](std::string_view source) { return source.substr(std::min(at, source.size()), size); };
  const std::string_view first = part(sources[0]);
  // Beyond the shortest source, an AND is clear.
  std::size_t common = size;
  if (op.operation == BitOperation::both && !op.inverts) {
    for (const std::string_view source : sources) common = std::min(common, part(source).size());
  }
  const std::size_t copied = std::min(first.size(), common);
  if (copied > 0) std::memcpy(to, first.data(), copied);
  std::memset(to + copied, 0, size - copied);
  work::bytes(size);
  if (op.inverts) invert(to, size);
  for (const std::string_view source : sources.subspan(1)) combine(op.operation, to, common, part(source).substr(0, common));
}

std::size_t longest_of(std::span<const std::string_view> sources) {
  std::size_t size = 0;
  for (const std::string_view source : sources) size = std::max(size, source.size());
  return size;
}

Outcome store_result(Call& call, const store::Key& target, Blob result) {
  const std::size_t size = result.size();
  store::PutOptions how;
  how.encoding = store::Encoding::raw;
  store::Database db = call.db();
  const store::Stored stored = db.put(target, std::move(result), how);
  return stored ? call.reply.integer(static_cast<std::int64_t>(size)) : call.refused(stored);
}

// The whole of BITOP, with everything locked. `keys`: the target, then the sources.
// `result`: a block that may be used for it. It is made apart, since a write would invalidate sources in the same shard.
Outcome combine_locked(Call& call, const BitOp& op, std::span<const store::Key> keys, std::span<const std::string_view> sources,
                       Blob result = {}) {
  const std::size_t size = longest_of(sources);
  store::Database db = call.db();
  if (size == 0) {
    db.remove(keys[0]);
    return call.reply.integer(0);
  }
  if (!result || result.capacity() < size) {
    if (const store::Stored room = db.has_room(size); !room) return call.refused(room);
    result = Blob::allocate(call.engine.keyspace.memory().heap(), size, size);
  }
  if (result) {
    result.set_size(size);
    combine_piece(op, sources, 0, result.data(), size);
  }
  return result ? store_result(call, keys[0], std::move(result)) : call.out_of_memory();
}

// BITOP of large values. They are combined with nothing locked, and the result is stored if the sources are then still what they
// were, so that the answer is of one moment. Otherwise it begins anew, and gives up after some tries: to combine them with everything
// locked would keep others waiting for as long as the sources are large and many.
class BitOpTask : public Task {
 public:
  BitOpTask(const Call& call, const BitOp& op) : op_(op), memory_(call.engine, call.session.shared), room_(call.engine.keyspace) {}
  /// Keeps the names of the keys. False: there is no memory for them.
  bool keep_names(const Call& call) {
    const bool kept = names_.keep(call, memory_);
    names_memory_ = memory_.held();
    return kept;
  }

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    if (sources_.empty()) {
      if (const std::optional<Outcome> whole = meet_sources(call)) return *whole;
    }
    if (!result_) {
      const auto made = room_.make(longest_of(texts_), end);
      if (made == store::GradualRoom::Result::more) return Outcome::waits;
      if (made == store::GradualRoom::Result::ready) result_ = block_for(call, longest_of(texts_));
      if (!result_) return call.out_of_memory();
    }
    while (at_ < result_.size()) {
      const std::size_t size = std::min<std::size_t>(std::max<std::size_t>(piece_bytes / texts_.size(), 1), result_.size() - at_);
      combine_piece(op_, texts_, at_, result_.data() + at_, size);
      at_ += size;
      if (monotonic_us() >= end) return Outcome::waits;
    }
    return store_if_same(call);
  }

 private:
  static constexpr unsigned most_tries = 8;

  // What came of it if that was all.
  std::optional<Outcome> meet_sources(Call& call) {
    if (tries_++ == most_tries) {
      return call.reply.error("ERR the sources of BITOP kept changing while they were combined, try again");
    }
    const std::vector<store::Key> keys = names_.lock(call, 0, names_.size());
    store::Database db = call.db();
    texts_.clear();
    for (const store::Key& key : std::span(keys).subspan(1)) {
      const auto value = db.peek(key);
      if (!memory_.ask(sizeof(KeptValue) + sizeof(std::string_view) + (value ? KeptValue::cost(*value) : 0))) {
        return call.reply.error(beyond_clients_memory);
      }
      sources_.push_back(value ? KeptValue(*value) : KeptValue());
    }
    std::size_t bytes = 0;
    for (const KeptValue& source : sources_) bytes += texts_.emplace_back(source.text()).size();
    const std::size_t size = longest_of(texts_);
    if (bytes + size <= most_locked_bytes) return combine_locked(call, op_, keys, texts_);
    call.held.release();
    at_ = 0;
    return std::nullopt;
  }

  // Empty if there is no memory for it.
  Blob block_for(Call& call, std::size_t size) {
    store::Room room;
    if (!room_.hand_over(room)) return {};
    return Blob::allocate(call.engine.keyspace.memory().heap(), size, size);
  }

  // Begins anew if the sources have changed.
  Outcome store_if_same(Call& call) {
    const std::vector<store::Key> keys = names_.lock(call, 0, names_.size());
    store::Database db = call.db();
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const auto value = db.peek(keys[i + 1]);
      if (value ? sources_[i].is(*value) : sources_[i].text().empty()) continue;
      call.held.release();
      sources_.clear();
      result_ = Blob();
      memory_.give_back(memory_.held() - names_memory_);
      return Outcome::waits;
    }
    return store_result(call, keys[0], std::move(result_));
  }

  const BitOp op_;
  ClientMemory memory_;
  KeptNames names_;  // of the target, then of the sources
  std::vector<KeptValue> sources_;
  std::vector<std::string_view> texts_;
  store::GradualRoom room_;
  Blob result_;
  std::size_t at_ = 0;
  unsigned tries_ = 0;
  std::uint64_t names_memory_ = 0;
};

Outcome bitop(Call& call) {
  const auto op = parse_operation(call.args[1]);
  if (!op) return call.syntax_error();
  if (op->inverts && call.args.size() != 4) {
    return call.reply.error("ERR BITOP NOT must be called with a single source key.");
  }
  store::Database db = call.db();
  std::vector<std::string_view> sources;
  std::size_t bytes = 0;
  for (const store::Key& key : call.keys.subspan(1)) {
    sources.push_back(text_of(db.read(key)));
    bytes += sources.back().size();
  }
  // Each byte is read, and those of the result are written.
  bytes += longest_of(sources);
  if (bytes <= most_locked_bytes_of(call)) return combine_locked(call, *op, call.keys, sources);
  if (refuse_long_inside_exec(call, bytes)) return Outcome::done;
  call.held.release();
  auto task = std::make_unique<BitOpTask>(call, *op);
  if (!task->keep_names(call)) return call.reply.error(beyond_clients_memory);
  return call.begin(std::move(task));
}

// BITFIELD

struct FieldOp {
  enum class Kind : std::uint8_t { get, set, increment };
  Kind kind = Kind::get;
  FieldType type{false, 1};
  Overflow overflow = Overflow::wrap;
  std::uint64_t offset = 0;
  std::int64_t operand = 0;

  std::uint64_t bytes_needed() const { return (offset + type.bits - 1) / 8 + 1; }
};

struct FieldOps {
  std::vector<FieldOp> list;
  std::uint64_t bytes_needed = 0;  // by those that write
  bool writes = false;
};

std::optional<Overflow> parse_overflow(std::string_view name) {
  if (iequals(name, "WRAP")) return Overflow::wrap;
  if (iequals(name, "SAT")) return Overflow::saturate;
  if (iequals(name, "FAIL")) return Overflow::fail;
  return std::nullopt;
}

// What follows GET, SET or INCRBY. False after an error reply.
bool parse_field_op(Call& call, Cursor& cursor, FieldOp& op) {
  const auto type = parse_field_type(cursor.take());
  if (!type) {
    call.reply.error("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
    return false;
  }
  op.type = *type;
  const auto offset = read_offset(call, cursor.take(), type->bits);
  if (!offset) return false;
  op.offset = *offset;
  if (op.kind == FieldOp::Kind::get) return true;
  const auto operand = cursor.take_integer();
  if (!operand) {
    call.not_an_integer();
    return false;
  }
  op.operand = *operand;
  return true;
}

// The subcommands of BITFIELD; nothing after an error reply.
std::optional<FieldOps> parse_field_ops(Call& call) {
  FieldOps ops;
  Overflow overflow = Overflow::wrap;
  for (Cursor cursor(call.args, 2); !cursor.done();) {
    FieldOp op;
    op.overflow = overflow;
    const std::size_t left = cursor.left();
    if (left >= 3 && cursor.take("GET")) {
      op.kind = FieldOp::Kind::get;
    } else if (left >= 4 && cursor.take("SET")) {
      op.kind = FieldOp::Kind::set;
    } else if (left >= 4 && cursor.take("INCRBY")) {
      op.kind = FieldOp::Kind::increment;
    } else if (cursor.take_with_value("OVERFLOW")) {
      const auto named = parse_overflow(cursor.take());
      if (!named) {
        call.reply.error("ERR Invalid OVERFLOW type specified");
        return std::nullopt;
      }
      overflow = *named;
      continue;
    } else {
      call.syntax_error();
      return std::nullopt;
    }
    if (!parse_field_op(call, cursor, op)) return std::nullopt;
    if (op.kind != FieldOp::Kind::get) {
      ops.writes = true;
      ops.bytes_needed = std::max(ops.bytes_needed, op.bytes_needed());
    }
    ops.list.push_back(op);
  }
  return ops;
}

// The bytes that BITFIELD works on. They are made writable at the first change, or at once where the value must grow
// or is not raw yet. As in Redis, a WATCH fails if an operation wrote something new, not if all of them were refused.
class FieldBytes {
 public:
  FieldBytes(Call& call, const FieldOps& ops, store::Growth* growth) : call_(call), growth_(growth), size_(ops.bytes_needed) {
    store::Database db = call.db();
    const auto value = ops.writes ? db.peek(call.key()) : db.read(call.key());
    text_ = text_of(value);
    size_ = std::max<std::size_t>(size_, text_.size());
    grows_ = size_ > text_.size();
    if (ops.writes && (grows_ || !is_raw(*value))) make_writable();
  }
  /// What came of making them writable. If that was refused nothing has been written.
  store::Stored stored() const { return stored_; }

  std::int64_t read(const FieldOp& op) const { return read_field(text_, op.offset, op.type); }
  void write(const FieldOp& op, std::int64_t value) {
    if (value == read(op) && !grows_) return;
    if (!writing_ && !make_writable()) return;
    writing_.set_cause(store::Cause::written);
    write_field(writing_.data(), op.offset, op.type, value);
  }

 private:
  bool make_writable() {
    writing_ = call_.db().resize(call_.key(), size_, false, growth_);
    stored_ = writing_.stored();
    if (!writing_) return false;
    text_ = {writing_.data(), size_};
    if (grows_) writing_.set_cause(store::Cause::grown);  // there is a new value, whatever becomes of the operations
    return true;
  }

  Call& call_;
  store::Growth* const growth_;
  std::size_t size_;
  std::string_view text_;
  store::Writing writing_;
  bool grows_ = false;
  store::Stored stored_ = store::Stored::done;
};

resp::Written run_field_op(Call& call, const FieldOp& op, FieldBytes& bytes) {
  const std::int64_t old = bytes.read(op);
  if (op.kind == FieldOp::Kind::get) return call.reply.integer(old);
  const bool sets = op.kind == FieldOp::Kind::set;
  const auto value = sets ? fit_field(op.operand, op.type, op.overflow) : add_field(old, op.operand, op.type, op.overflow);
  if (!value) return call.reply.null();
  bytes.write(op, *value);
  return call.reply.integer(sets ? old : *value);
}

Tried run_field_ops(Call& call, const FieldOps& ops, store::Growth* growth) {
  const std::size_t mark = call.reply.output().mark();
  FieldBytes bytes(call, ops, growth);
  call.reply.array(ops.list.size());
  for (const FieldOp& op : ops.list) {
    if (bytes.stored()) run_field_op(call, op, bytes);
  }
  if (bytes.stored()) return Outcome::done;
  call.reply.output().truncate(mark);
  return not_grown(call, bytes.stored());
}

Tried bitfield_growing(Call& call, store::Growth* growth) {
  const auto ops = parse_field_ops(call);
  return ops ? run_field_ops(call, *ops, growth) : Outcome::done;
}

Outcome bitfield(Call& call) { return write_growing(call, bitfield_growing); }

Outcome bitfield_ro(Call& call) {
  const auto ops = parse_field_ops(call);
  if (!ops) return Outcome::done;
  if (ops->writes) return call.reply.error("ERR BITFIELD_RO only supports the GET subcommand");
  return *run_field_ops(call, *ops, nullptr);  // nothing has to be made for what only reads
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "bitcount", .handler = bitcount, .arity = -2,
     .flags = kReadOnly | kBeyondNamed, .categories = kBitmap,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "bitmap", .since = "2.6.0",
     .complexity = "O(N) for N bytes looked at.",
     .summary = "Counts the bits that are set in a value or a range of it.",
     .syntax = "key [start end [BYTE | BIT]]"},
    {.name = "bitfield", .handler = bitfield, .arity = -2,
     .flags = kWrite | kDenyOom, .categories = kBitmap,
     .keys = {KeySpec::one(KeyUse::bitfield)},
     .events = {.written = Event::setbit},
     .group = "bitmap", .since = "3.2.0",
     .complexity = "O(1) for each operation, plus copying the value when it outgrows its room.",
     .summary = "Reads and changes integers of any width at any bits of a value.",
     .syntax = "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset "
               "increment> [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset "
               "increment> ...]]"},
    {.name = "bitfield_ro", .handler = bitfield_ro, .arity = -2,
     .flags = kReadOnly | kFast, .categories = kBitmap,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "bitmap", .since = "6.0.0",
     .complexity = "O(1) for each operation.",
     .summary = "Reads integers of any width at any bits of a value.",
     .syntax = "key [GET encoding offset [GET encoding offset ...]]"},
    {.name = "bitop", .handler = bitop, .arity = -4,
     .flags = kWrite | kDenyOom | kBeyondNamed, .categories = kBitmap,
     .keys = {KeySpec::one(KeyUse::write, 2), KeySpec::range(KeyUse::read, 3, -1)},
     .group = "bitmap", .since = "2.6.0",
     .complexity = "O(N) for N bytes in all values.",
     .summary = "Combines the bits of several values, or inverts those of one, and stores the result.",
     .syntax = "<AND | OR | XOR | NOT> destkey key [key ...]"},
    {.name = "bitpos", .handler = bitpos, .arity = -3,
     .flags = kReadOnly | kBeyondNamed, .categories = kBitmap,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "bitmap", .since = "2.8.7",
     .complexity = "O(N) for N bytes looked at.",
     .summary = "Finds the first bit that is set, or clear, in a value or a range of it.",
     .syntax = "key bit [start [end [BYTE | BIT]]]"},
    {.name = "getbit", .handler = getbit, .arity = 3,
     .flags = kReadOnly | kFast, .categories = kBitmap,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "bitmap", .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Reads one bit of a value; past its end all are clear.",
     .syntax = "key offset"},
    {.name = "setbit", .handler = setbit, .arity = 4,
     .flags = kWrite | kDenyOom, .categories = kBitmap,
     .keys = {KeySpec::one(KeyUse::modify)},
     .events = {.written = Event::setbit},
     .group = "bitmap", .since = "2.2.0",
     .complexity = "O(1), plus copying the value when it outgrows its room.",
     .summary = "Sets or clears one bit of a value, making it longer if need be, and answers what it was.",
     .syntax = "key offset value"},
};
// clang-format on

}  // namespace

std::span<const Row> bitmap_commands() { return kRows; }

}  // namespace pinfold::command
