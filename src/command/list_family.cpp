#include "pinfold/command/list_family.hpp"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "pinfold/base/text.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/keyspace_events.hpp"
#include "pinfold/command/thresholds.hpp"

namespace pinfold::command {

using store::Element;
using types::End;
using types::ListEdit;

namespace {

Event pushed_at(End end) { return end == End::left ? Event::lpush : Event::rpush; }
Event popped_at(End end) { return end == End::left ? Event::lpop : Event::rpop; }

// All elements but `count` at one end.
types::ListRange without(End end, std::uint64_t count, std::uint64_t size) {
  return end == End::left ? types::ListRange{count, size} : types::ListRange{0, size - count};
}

void write_item(resp::Reply& reply, const char* item) { reply_element(reply, Element(item)); }

// What a list has replied is taken back, because it could not be changed.
Outcome take_back(Call& call, std::size_t mark, store::Stored why) {
  call.reply.output().truncate(mark);
  return call.refused(why);
}

// An element that stays valid when its list changes.
class KeptElement {
 public:
  explicit KeptElement(const Element& element) : block_(element.is_block() ? element.share() : Blob()) {
    if (block_) {
      text_ = block_.view();
      return;
    }
    Element::Digits digits;
    const std::string_view text = element.text(digits);
    std::copy(text.begin(), text.end(), bytes_.begin());
    text_ = {bytes_.data(), text.size()};
  }
  KeptElement(const KeptElement&) = delete;
  KeptElement& operator=(const KeptElement&) = delete;

  std::string_view text() const { return text_; }
  const Blob& block() const { return block_; }
  resp::Written reply(resp::Reply& reply) const { return block_ ? reply.bulk(block_) : reply.bulk(text_); }

 private:
  Blob block_;
  std::array<char, store::most_inline_element> bytes_;
  std::string_view text_;
};

}  // namespace

ListEdit edit_list(Call& call, store::Database& db, const store::Key& key, types::Draft* draft) {
  return {db, key, call.engine.keyspace.memory(), thresholds(call.engine), draft};
}

std::optional<End> parse_end(std::string_view word) {
  if (iequals(word, "LEFT")) return End::left;
  if (iequals(word, "RIGHT")) return End::right;
  return std::nullopt;
}

namespace {

std::string key_count_error(std::string_view text) {
  const auto count = parse_i64(text);
  return !count || *count <= 0 ? "ERR numkeys should be greater than 0" : "ERR syntax error";
}

}  // namespace

std::string no_list_keys(const Row& /*row*/, Args args) { return key_count_error(args[1]); }
std::string no_blocking_list_keys(const Row& /*row*/, Args args) { return key_count_error(args[2]); }

std::optional<MultiPop> parse_multi_pop(Call& call, std::size_t at) {
  MultiPop pop;
  Cursor options(call.args, at);
  const auto end = options.done() ? std::nullopt : parse_end(options.take());
  if (!end) {
    call.syntax_error();
    return std::nullopt;
  }
  pop.end = *end;
  if (options.done()) return pop;
  if (!options.take_with_value("COUNT")) {
    call.syntax_error();
    return std::nullopt;
  }
  const auto count = options.take_integer();
  if (!count || *count <= 0) {
    call.reply.error("ERR count should be greater than 0");
    return std::nullopt;
  }
  if (!options.done()) {
    call.syntax_error();
    return std::nullopt;
  }
  pop.count = static_cast<std::uint64_t>(*count);
  return pop;
}

Outcome pop_one(Call& call, const store::Key& key, End end, bool with_key) {
  store::Database db = call.db();
  ListEdit list = edit_list(call, db, key);
  if (!list.exists()) return call.reply.null();
  const std::size_t mark = call.reply.output().mark();
  if (with_key) {
    call.reply.array(2);
    call.reply.bulk(key.text);
  }
  reply_element(call.reply, list.at(end == End::left ? 0 : list.size() - 1));
  note_written_as(popped_at(end));
  const store::Stored stored = list.keep(without(end, 1, list.size()));
  return stored ? Outcome::done : take_back(call, mark, stored);
}

Outcome pop_many(Call& call, const store::Key& key, End end, std::uint64_t count, bool with_key) {
  store::Database db = call.db();
  ListEdit list = edit_list(call, db, key);
  const std::uint64_t size = list.size();
  count = std::min(count, size);
  if (!list.packed() && count > most_locked_items_of(call) && refuse_many_inside_exec(call, count)) return Outcome::done;
  const std::size_t mark = call.reply.output().mark();
  if (with_key) {
    call.reply.array(2);
    call.reply.bulk(key.text);
  }
  const bool right = end == End::right;
  ItemsReply what{.from = right ? size - count : 0, .count = count, .reverse = right, .headed = count, .write = write_item};
  note_written_as(popped_at(end));
  if (list.packed()) {
    reply_items(call, list.run(), what);
    const store::Stored stored = list.keep(without(end, count, size));
    return stored ? Outcome::done : take_back(call, mark, stored);
  }
  store::Tree taken;
  const store::Stored stored = list.take(end, count, taken);
  if (!stored) return take_back(call, mark, stored);
  if (right) what.from = taken.size() - count;
  return reply_items(call, std::move(taken), what);
}

namespace {

// The source and the destination of a move are one list.
Outcome rotate(Call& call, const store::Key& key, End from, End to) {
  store::Database db = call.db();
  ListEdit list = edit_list(call, db, key);
  const std::uint64_t position = from == End::left ? 0 : list.size() - 1;
  const KeptElement element(list.at(position));
  note_written_as(pushed_at(to), popped_at(from));
  const store::Stored stored = from == to ? list.set(position, element.text(), element.block()) : list.rotate(to);
  return stored ? element.reply(call.reply) : call.refused(stored);
}

}  // namespace

Outcome move_element(Call& call, const store::Key& source, const store::Key& destination, End from, End to) {
  if (source.text == destination.text) return rotate(call, source, from, to);
  store::Database db = call.db();
  const ListEdit list = edit_list(call, db, source);
  const KeptElement element(list.at(from == End::left ? 0 : list.size() - 1));
  const std::string_view text = element.text();
  note_written_as(pushed_at(to));
  // First pushed and then removed, so that no element is lost if there is no memory.
  const store::Stored pushed = edit_list(call, db, destination).push(to, {&text, 1}, [&](std::size_t) { return element.block(); });
  if (!pushed) return call.refused(pushed);
  note_written_as(popped_at(from));
  ListEdit shorter = edit_list(call, db, source);
  const store::Stored popped = shorter.exists() ? shorter.keep(without(from, 1, shorter.size())) : store::Stored::done;
  if (popped) return element.reply(call.reply);
  ListEdit longer = edit_list(call, db, destination);
  if (longer.exists()) std::ignore = longer.take_back(to);
  return call.refused(popped);
}

}  // namespace pinfold::command
