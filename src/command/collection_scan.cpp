#include "pinfold/command/collection_scan.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/command/collection_reply.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

std::optional<CollectionScan> take_collection_scan(Call& call, std::uint64_t cursor, bool takes_no_values) {
  CollectionScan scan;
  scan.cursor = cursor;
  std::optional<std::string_view> pattern;
  for (Cursor options(call.args, 3); !options.done();) {
    if (options.take_with_value("COUNT")) {
      const std::optional<std::int64_t> count = options.take_integer();
      if (!count) {
        call.not_an_integer();
        return std::nullopt;
      }
      if (*count < 1) {
        call.syntax_error();
        return std::nullopt;
      }
      scan.count = static_cast<std::uint64_t>(*count);
    } else if (options.take_with_value("MATCH")) {
      pattern = options.take();
    } else if (takes_no_values && options.take("NOVALUES")) {
      scan.no_values = true;
    } else {
      call.syntax_error();
      return std::nullopt;
    }
  }
  if (pattern && *pattern != "*") {
    scan.pattern = compile_pattern(call, *pattern);
    if (scan.pattern == nullptr) return std::nullopt;
  }
  return scan;
}

resp::Written reply_empty_scan(Call& call) {
  call.reply.array(2);
  call.reply.bulk_integer(0);
  return call.reply.array(0);
}

namespace {

// The items that one call has found.
class Found {
 public:
  Found(Call& call, const CollectionScan& scan, ScanWriter write)
      : call_(call), scan_(scan), write_(write), reply_(output_, call.reply.protocol()) {}

  // `element`: that of the item which is compared. Returns false if the budget of EXEC does not allow that.
  bool add(const char* item, const char* element) {
    if (scan_.pattern != nullptr) {
      store::Element::Digits digits;
      const std::string_view text = store::Element(element).text(digits);
      const std::uint64_t most = scan_.pattern->most_compared(text);
      if (call_.in_transaction && most > call_.session.group->budget.bytes_left()) return false;
      if (!scan_.pattern->matches(text)) return true;
    }
    elements_ += write_(reply_, item, scan_.no_values);
    return true;
  }
  std::size_t bytes() const { return output_.size(); }

  resp::Written reply(std::uint64_t cursor) {
    call_.reply.array(2);
    call_.reply.bulk_integer(static_cast<std::int64_t>(cursor));
    call_.reply.array(elements_);
    call_.reply.output().move_from(output_);
    return {};
  }

 private:
  Call& call_;
  const CollectionScan& scan_;
  const ScanWriter write_;
  resp::Output output_;
  resp::Reply reply_;
  std::uint64_t elements_ = 0;
};

resp::Written scan_items(Call& call, const CollectionScan& scan, const ScannedItems& items, ScanWriter write) {
  Found found(call, scan, write);
  std::uint64_t visited = 0;
  const std::size_t before_element = items.kind == store::TreeKind::scored ? sizeof(double) : 0;
  const char* const end = items.bytes.data() + items.bytes.size();
  for (const char* item = items.bytes.data(); item != end; item += store::item_size(items.kind, item), ++visited) {
    if (!found.add(item, item + before_element)) return refuse_beyond_budget(call);
  }
  work::entries(visited);
  return found.reply(0);
}

// How much one call returns, before it ends with the present leaf.
struct ScanLimits {
  std::uint64_t items;
  std::size_t bytes;
};

resp::Written scan_tree(Call& call, const CollectionScan& scan, const store::Tree& tree, ScanWriter write, const ScanLimits& most) {
  Found found(call, scan, write);
  std::uint64_t cursor = scan.cursor;
  std::uint64_t visited = 0;
  do {
    store::Tree::Path path = tree.from_hash(cursor);
    cursor = tree.next_hash(path);
    const std::uint64_t begin = tree.position_of(path);
    const std::uint64_t end = cursor == 0 ? tree.size() : tree.position_of(tree.from_hash(cursor));
    bool allowed = true;
    visited += tree.visit(path, end - begin, [&](const char* item) { return allowed = found.add(item, item); });
    if (!allowed) return refuse_beyond_budget(call);
  } while (cursor != 0 && visited < std::min(scan.count, most.items) && found.bytes() < most.bytes);
  return found.reply(cursor);
}

// All in one step, as SCAN.
class ScanTreeTask : public Task {
 public:
  ScanTreeTask(CollectionScan scan, store::KeptTree&& tree, ScanWriter write)
      : scan_(std::move(scan)), tree_(std::move(tree)), write_(write) {
    accounted = false;
  }
  Outcome step(Call& call) override {
    constexpr ScanLimits most{10'000, 1024 * 1024};
    return scan_tree(call, scan_, *tree_, write_, most);
  }

 private:
  const CollectionScan scan_;
  const store::KeptTree tree_;
  const ScanWriter write_;
};

}  // namespace

Outcome reply_scan(Call& call, CollectionScan scan, const ScannedItems& items, ScanWriter write) {
  if (scan.pattern == nullptr || call.in_transaction) return scan_items(call, scan, items, write);
  const std::string copy(items.bytes);
  work::bytes(copy.size());
  call.held.release();
  return scan_items(call, scan, {items.kind, copy}, write);
}

Outcome reply_scan(Call& call, CollectionScan scan, const store::Tree& tree, ScanWriter write) {
  // A leaf has a few hundred items at most, and what is looked at is less than that beyond the count.
  constexpr std::uint64_t few = 128;
  constexpr std::size_t few_bytes = 128 * 1024;
  if (call.in_transaction || (scan.pattern == nullptr && scan.count <= few)) return scan_tree(call, scan, tree, write, {few, few_bytes});
  const bool soon = scan.count <= most_locked_items;
  auto task = std::make_unique<ScanTreeTask>(std::move(scan), keep_tree(call, tree.share()), write);
  return soon ? call.begin(std::move(task)) : call.park(std::move(task));
}

}  // namespace pinfold::command
