#include "pinfold/store/tree_node.hpp"

#include <new>

#include "pinfold/base/work.hpp"

namespace pinfold::store {

std::uint64_t hash_key_of(TreeKind kind, const char* item) {
  if (kind != TreeKind::index) return Element(item).hash();
  std::uint32_t key = 0;
  std::memcpy(&key, item, sizeof key);
  return key;
}

TreeKey scored_key(double score, std::string_view member) {
  constexpr std::uint64_t sign = std::uint64_t{1} << 63;
  const auto bits = std::bit_cast<std::uint64_t>(score == 0 ? 0.0 : score);
  std::array<char, sizeof(std::uint64_t)> prefix{};
  std::copy_n(member.data(), std::min(member.size(), prefix.size()), prefix.data());
  std::uint64_t number = 0;
  for (const char c : prefix) number = number << 8 | static_cast<unsigned char>(c);
  return {(bits & sign) != 0 ? ~bits : bits | sign, number};
}

TreeKey scored_key_of(const char* item) {
  const ScoredItem scored(item);
  Element::Digits digits;
  return scored_key(scored.score(), scored.member().text(digits));
}

Tree::Node* Tree::Node::make(BlockHeap& heap, TreeKind kind, unsigned level, std::size_t size) {
  const std::size_t block = BlockHeap::rounded(size);
  char* const raw = heap.allocate(block);
  if (raw == nullptr) return nullptr;
  heap.note_trees(static_cast<std::int64_t>(block));
  std::memset(raw, 0, block);
  Node* const node = new (raw) Node;
  node->references.store(1, std::memory_order_relaxed);
  node->level = level & 15U;
  node->units = static_cast<std::uint8_t>(block / BlockHeap::unit);
  node->begin = level == 0 ? header : static_cast<std::uint16_t>((block - header) / bytes_per_child(kind));
  node->end = header;
  return node;
}

void Tree::Node::free(BlockHeap& heap, Node* node, bool wipe) {
  const unsigned size = node->size();
  work::nodes();
  heap.note_trees(-static_cast<std::int64_t>(size));
  heap.free(reinterpret_cast<char*>(node), size, wipe);
}

// --- leaves ---

unsigned Tree::Node::offset_of(TreeKind kind, unsigned number) const {
  if (number == count) return end;
  const char* item = at(begin);
  while (number-- > 0) item += item_size(kind, item);
  return static_cast<unsigned>(item - at(0));
}

namespace {

// Where a run begins after a change of its length: so that little moves, and that who adds at one end moves the others seldom.
unsigned begin_after(const Tree::Node& leaf, unsigned before, unsigned after, unsigned removed, unsigned added) {
  const unsigned used = leaf.used() - removed + added;
  if (added <= removed) return before < after ? leaf.begin + removed - added : leaf.begin;
  const unsigned more = added - removed;
  const bool front = leaf.begin - Tree::Node::header >= more;
  const bool back = leaf.size() - leaf.end >= more;
  if (before == 0) return front ? leaf.begin - more : leaf.size() - used;
  if (after == 0) return back ? leaf.begin : Tree::Node::header;
  if (front && (before < after || !back)) return leaf.begin - more;
  return back ? leaf.begin : Tree::Node::header;
}

}  // namespace

void Tree::Node::splice(unsigned offset, unsigned removed, std::string_view item) {
  const auto added = static_cast<unsigned>(item.size());
  const unsigned old_begin = begin;
  const unsigned old_end = end;
  const unsigned before = offset - begin;
  const unsigned after = end - offset - removed;
  const unsigned now = begin_after(*this, before, after, removed, added);
  const unsigned behind = now + before + added;  // where what follows the item goes to
  const bool back_first = now > old_begin;
  const auto move_back = [&] {
    if (behind == offset + removed || after == 0) return;
    std::memmove(at(behind), at(offset + removed), after);
    work::bytes(after);
  };
  if (back_first) move_back();
  if (now != old_begin && before != 0) {
    std::memmove(at(now), at(old_begin), before);
    work::bytes(before);
  }
  if (!back_first) move_back();
  if (added != 0) std::memcpy(at(now + before), item.data(), added);
  begin = static_cast<std::uint16_t>(now);
  end = static_cast<std::uint16_t>(behind + after);
  if (begin > old_begin) std::memset(at(old_begin), 0, std::min<unsigned>(begin, old_end) - old_begin);
  if (end < old_end) std::memset(at(std::max<unsigned>(end, old_begin)), 0, old_end - std::max<unsigned>(end, old_begin));
}

void Tree::Node::move_to_end() {
  const unsigned bytes = used();
  const unsigned to = size() - bytes;
  std::memmove(at(to), at(begin), bytes);
  std::memset(at(begin), 0, std::min(bytes, to - begin));
  begin = static_cast<std::uint16_t>(to);
  end = static_cast<std::uint16_t>(to + bytes);
}

// --- inner nodes ---

TreeKey Tree::Node::key(TreeKind kind, unsigned slot) const {
  if (kind == TreeKind::list) return {};
  return {keys()[slot], kind == TreeKind::scored ? prefixes()[slot] : 0};
}

void Tree::Node::set_key(TreeKind kind, unsigned slot, const TreeKey& key) {
  if (kind == TreeKind::list) return;
  keys()[slot] = key.key;
  if (kind == TreeKind::scored) prefixes()[slot] = key.prefix;
}

Tree::Node::Child Tree::Node::child(TreeKind kind, unsigned slot) const {
  return {children()[slot], counts()[slot], bytes()[slot], key(kind, slot)};
}

void Tree::Node::set_child(TreeKind kind, unsigned slot, const Child& child) {
  children()[slot] = child.node;
  counts()[slot] = child.count;
  bytes()[slot] = child.bytes;
  set_key(kind, slot, child.key);
}

void Tree::Node::insert_child(TreeKind kind, unsigned slot, const Child& child) {
  const unsigned arrays = bytes_per_child(kind) / sizeof(std::uint64_t);
  for (unsigned i = 0; i < arrays; ++i) {
    std::uint64_t* const from = array(i) + slot;
    std::memmove(from + 1, from, (count - slot) * sizeof *from);
  }
  work::bytes(std::uint64_t{count - slot} * bytes_per_child(kind));
  ++count;
  set_child(kind, slot, child);
  has_blocks = has_blocks | child.node->has_blocks;
}

void Tree::Node::remove_child(TreeKind kind, unsigned slot) {
  const unsigned arrays = bytes_per_child(kind) / sizeof(std::uint64_t);
  --count;
  for (unsigned i = 0; i < arrays; ++i) {
    std::uint64_t* const to = array(i) + slot;
    std::memmove(to, to + 1, (count - slot) * sizeof *to);
    array(i)[count] = 0;
  }
  work::bytes(std::uint64_t{count - slot} * bytes_per_child(kind));
}

void Tree::Node::append_children(TreeKind kind, const Node& from, unsigned slot, unsigned number) {
  const unsigned arrays = bytes_per_child(kind) / sizeof(std::uint64_t);
  for (unsigned i = 0; i < arrays; ++i) std::memcpy(array(i) + count, from.array(i) + slot, number * sizeof(std::uint64_t));
  work::bytes(std::uint64_t{number} * bytes_per_child(kind));
  count = static_cast<std::uint16_t>(count + number);
  has_blocks = has_blocks | from.has_blocks;
}

unsigned Tree::Node::slot_of(std::uint64_t key) const {
  // The first child has no key: whatever is before the second belongs to it.
  const std::uint64_t* const all = keys();
  unsigned slot = 0;
  for (unsigned left = count; left > 1;) {
    const unsigned half = left / 2;
    slot += all[slot + half] <= key ? half : 0;
    left -= half;
  }
  return slot;
}

}  // namespace pinfold::store
