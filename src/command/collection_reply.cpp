#include "pinfold/command/collection_reply.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/store/budget.hpp"

namespace pinfold::command {

resp::Written reply_element(resp::Reply& reply, const store::Element& element) {
  if (element.is_block()) return reply.bulk(element.share());
  store::Element::Digits digits;
  return reply.bulk(element.text(digits));
}

std::uint64_t most_locked_items_of(const Call& call) {
  return call.in_transaction ? call.session.group->budget.entries_left() : most_locked_items;
}

std::uint64_t most_read_bytes_of(const Call& call) {
  return call.in_transaction ? call.session.group->budget.bytes_left() : most_locked_bytes;
}

bool refuse_many_inside_exec(Call& call, std::uint64_t items) {
  if (!call.in_transaction) return false;
  const std::uint64_t most = call.session.group->budget.limits().entries;
  if (items <= most) {
    refuse_beyond_budget(call);
    return true;
  }
  call.reply.error(("ERR " + shown_name(call)).append(shown_place(call)) + " looks at " + std::to_string(most) + " elements at most");
  return true;
}

namespace {

void write_header(resp::Reply& reply, const ItemsReply& what) {
  switch (what.header) {
    case ItemsReply::Header::array:
      reply.array(what.headed);
      return;
    case ItemsReply::Header::map:
      reply.map(what.headed);
      return;
    case ItemsReply::Header::set:
      reply.set(what.headed);
      return;
  }
}

// Items that are read forwards and written backwards.
constexpr std::uint64_t reversed_at_once = 128;

// Writes up to `most` items of what is left of `what`, or about `bytes`, and takes them off `what`.
void write_some(resp::Reply& reply, const store::Tree& tree, ItemsReply& what, std::uint64_t most, std::size_t bytes) {
  const std::size_t end = reply.output().size() + bytes;
  if (!what.reverse) {
    store::Tree::Path path = tree.at(what.from);
    const std::uint64_t written = tree.visit(path, std::min(most, what.count), [&](const char* item) {
      what.write(reply, item);
      return reply.output().size() < end;
    });
    what.from += written;
    what.count -= written;
    return;
  }
  while (what.count > 0 && most > 0 && reply.output().size() < end) {
    std::array<const char*, reversed_at_once> items;
    const std::uint64_t some = std::min({most, what.count, reversed_at_once});
    store::Tree::Path path = tree.at(what.from + what.count - some);
    std::size_t found = 0;
    tree.visit(path, some, [&](const char* item) {
      items[found++] = item;
      return true;
    });
    while (found > 0) what.write(reply, items[--found]);
    what.count -= some;
    most -= some;
  }
}

class ItemsTask : public Task {
 public:
  ItemsTask(store::KeptTree&& tree, const ItemsReply& what) : items_(std::move(tree), what) {}

  Outcome step(Call& call) override { return items_.step(call, *this); }
  std::uint64_t pinned() const override { return items_.tree().memory(); }
  std::uint64_t loose() const override { return items_.tree().loose_memory(); }

 private:
  ItemsInPieces items_;
};

// Whether these items may be written with the shard locked.
bool is_few(const Call& call, const store::Tree& tree, const ItemsReply& what) {
  if (what.count > most_locked_items_of(call)) return false;
  return tree.memory() / std::max<std::uint64_t>(tree.size(), 1) * what.count <= most_read_bytes_of(call);
}

Outcome write_all(Call& call, const store::Tree& tree, ItemsReply what) {
  write_header(call.reply, what);
  write_some(call.reply, tree, what, what.count, SIZE_MAX / 2);
  return Outcome::done;
}

}  // namespace

Outcome ItemsInPieces::step(Call& call, Task& task) {
  constexpr std::uint64_t most_items = 1 << 16;
  if (!std::exchange(task.replying, true)) write_header(call.reply, what_);
  if (what_.count > 0) write_some(call.reply, *tree_, what_, most_items, Task::reply_piece);
  if (what_.count > 0) return Outcome::waits;
  // The snapshot may have become the last holder of nodes.
  const std::int64_t end = monotonic_us() + Task::step_us;
  for (store::Budget budget; !tree_.release(budget); budget = {}) {
    if (monotonic_us() >= end) return Outcome::waits;
  }
  return Outcome::done;
}

resp::Written reply_items(Call& call, const types::Run& run, const ItemsReply& what) {
  write_header(call.reply, what);
  std::array<const char*, types::most_packed_items> items;
  const char* item = what.count > 0 ? run.at(what.from) : nullptr;
  for (std::uint64_t i = 0; i < what.count; ++i, item = run.next(item)) {
    if (what.reverse) {
      items[i] = item;
    } else {
      what.write(call.reply, item);
    }
  }
  for (std::uint64_t i = what.reverse ? what.count : 0; i > 0; --i) what.write(call.reply, items[i - 1]);
  work::bytes(run.bytes().size());  // which lie together, so they cost what a string of this size does
  return {};
}

store::KeptTree keep_items(Call& call, const store::Collection& collection) { return {call.engine.keyspace.memory(), collection}; }
store::KeptTree keep_tree(Call& call, store::Tree&& tree) { return {call.engine.keyspace.memory(), std::move(tree)}; }

Outcome reply_items(Call& call, const store::Collection& collection, const ItemsReply& what) {
  if (is_few(call, collection.items, what)) return write_all(call, collection.items, what);
  if (refuse_many_inside_exec(call, what.count)) return Outcome::done;
  return call.begin(std::make_unique<ItemsTask>(keep_items(call, collection), what));
}

Outcome reply_items(Call& call, store::Tree&& tree, const ItemsReply& what) {
  if (call.in_transaction) return write_all(call, tree, what);
  return call.begin(std::make_unique<ItemsTask>(keep_tree(call, std::move(tree)), what));
}

}  // namespace pinfold::command
