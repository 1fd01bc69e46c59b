// Reading of trees: places, and the way from one to the next. Changes are in tree_change.cpp and tree_cut.cpp.

#include "pinfold/store/tree.hpp"

#include "pinfold/base/prefetch.hpp"
#include "pinfold/store/tree_node.hpp"

namespace pinfold::store {

namespace {

void prefetch_node(const Tree::Node* node) {
  constexpr std::size_t line = 64;
  constexpr std::size_t lines = 4;
  for (std::size_t i = 0; i < lines; ++i) prefetch(reinterpret_cast<const char*>(node) + i * line);
}

}  // namespace

// --- a tree ---

Tree::~Tree() {
  for (Budget budget; !release(budget); budget = {}) {
  }
}

Tree::Tree(Tree&& other) noexcept
    : heap_(other.heap_),
      root_(std::exchange(other.root_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      memory_(std::exchange(other.memory_, 0)),
      kind_(other.kind_),
      wipe_(other.wipe_) {}

Tree& Tree::operator=(Tree&& other) noexcept {
  std::swap(heap_, other.heap_);
  std::swap(root_, other.root_);
  std::swap(size_, other.size_);
  std::swap(memory_, other.memory_);
  std::swap(kind_, other.kind_);
  std::swap(wipe_, other.wipe_);
  return *this;
}

Tree Tree::share() const {
  if (heap_ == nullptr) return {};
  Tree other(*heap_, kind_);
  if (root_ == nullptr) return other;
  root_->add_reference();
  other.root_ = root_;
  other.size_ = size_;
  other.memory_ = memory_;
  return other;
}

// Gives up the blocks of a leaf's items, from the first one on. The leaf has only the others then.
bool Tree::release_leaf(Node& leaf, Budget& budget) {
  while (leaf.has_blocks && leaf.count > 0) {
    if (budget.spent()) return false;
    const char* const item = leaf.at(leaf.begin);
    budget.spend(1);
    for_each_block_of(kind_, item, [&](void* block) {
      memory_ -= memory_of_block(block);
      give_up_block(block, wipe_);
    });
    leaf.begin = static_cast<std::uint16_t>(leaf.begin + item_size(kind_, item));
    --leaf.count;
  }
  return true;
}

// Each step goes down to the last leaf or emptied node, and frees it: the tree itself says how far this has come. Nodes that others hold
// are left to them.
bool Tree::release(Budget& budget) {
  const auto dropped = [](Node* node) {
    if (!node->shared() || node->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      node->references.store(1, std::memory_order_relaxed);  // this is the only holder
      return false;
    }
    return true;
  };
  if (root_ != nullptr && dropped(root_)) root_ = nullptr;
  while (root_ != nullptr) {
    if (budget.spent()) return false;
    budget.spend(1);
    Node* parent = nullptr;
    Node* node = root_;
    while (!node->leaf() && node->count > 0) {
      const unsigned last = node->count - 1U;
      Node* const child = node->children()[last];
      if (dropped(child)) {
        memory_ -= node->bytes()[last];
        --node->count;
        budget.spend(1);
        if (budget.spent()) return false;
        continue;
      }
      parent = node;
      node = child;
    }
    if (node->leaf() && !release_leaf(*node, budget)) return false;
    memory_ -= node->size();
    if (parent != nullptr) {
      --parent->count;
    } else {
      root_ = nullptr;
    }
    Node::free(*heap_, node, wipe_);
  }
  size_ = memory_ = 0;
  return true;
}

namespace {

// What is below a node is done before the node is marked, so that it is enough to look at the mark later. Another holder may do the same
// at the same time.
bool wipe_below(TreeKind kind, Tree::Node& node, std::uint32_t mark, Budget& budget) {
  if (!node.has_blocks || node.wiped.load(std::memory_order_relaxed) == mark) return true;
  if (budget.spent()) return false;
  budget.spend(1);
  if (node.leaf()) {
    // A block of an element is hardly larger than it must be: a leaf's blocks have less than 60 KB to overwrite.
    for_each_item(kind, node, [&](const char* item, unsigned) {
      budget.spend(1);
      for_each_block_of(kind, item,
                        [&](void* block) { budget.take(0, Blob::borrow(block, [](const Blob& blob) { return blob.wipe_slack(); })); });
    });
  } else {
    for (unsigned i = 0; i < node.count; ++i) {
      if (!wipe_below(kind, *node.children()[i], mark, budget)) return false;
    }
  }
  node.wiped.store(mark, std::memory_order_relaxed);
  return true;
}

}  // namespace

bool Tree::wipe_slack(std::uint64_t erasure, Budget& budget) const {
  return root_ == nullptr || wipe_below(kind_, *root_, static_cast<std::uint32_t>(erasure), budget);
}

// --- places ---

const char* Tree::Path::item() const {
  if (height_ == 0) return nullptr;
  const Node* const leaf = steps_[height_ - 1].node;
  return offset_ == leaf->end ? nullptr : leaf->at(offset_);
}

void Tree::set_in_leaf(Path& path, std::uint32_t slot, std::uint32_t offset) {
  Path::Step& step = path.steps_[path.height_ - 1];
  step.slot = slot;
  path.offset_ = step.node->begin + offset;
}

// Moves a path to the first item of the next leaf. False, and not moved, if there is none.
bool Tree::go_to_next_leaf(Path& path) {
  unsigned depth = path.height_ - 1;
  while (depth > 0 && path.steps_[depth - 1].slot + 1 == path.steps_[depth - 1].node->count) --depth;
  if (depth == 0) return false;
  ++path.steps_[depth - 1].slot;
  for (; depth < path.height_; ++depth) {
    const Path::Step& above = path.steps_[depth - 1];
    path.steps_[depth] = {above.node->children()[above.slot], 0};
  }
  path.offset_ = path.steps_[depth - 1].node->begin;
  return true;
}

// Moves a path to the end of the leaf before.
bool Tree::go_to_leaf_before(Path& path) {
  unsigned depth = path.height_ - 1;
  while (depth > 0 && path.steps_[depth - 1].slot == 0) --depth;
  if (depth == 0) return false;
  --path.steps_[depth - 1].slot;
  for (; depth < path.height_; ++depth) {
    const Path::Step& above = path.steps_[depth - 1];
    Node* const node = above.node->children()[above.slot];
    path.steps_[depth] = {node, node->leaf() ? node->count : node->count - 1U};
  }
  path.offset_ = path.steps_[depth - 1].node->end;
  return true;
}

Tree::Path Tree::at(std::uint64_t position) const {
  Path path;
  if (root_ == nullptr) return path;
  Node* node = root_;
  std::uint64_t left = std::min(position, size_);
  while (!node->leaf()) {
    const std::uint64_t* const counts = node->counts();
    const unsigned last = node->count - 1U;
    unsigned slot = 0;
    for (; slot < last && left >= counts[slot]; ++slot) left -= counts[slot];
    path.steps_[path.height_++] = {node, slot};
    node = node->children()[slot];
    prefetch_node(node);
  }
  path.steps_[path.height_++] = {node, static_cast<std::uint32_t>(left)};
  path.offset_ = node->offset_of(kind_, static_cast<unsigned>(left));
  path.found_ = position < size_;
  return path;
}

std::uint64_t Tree::position_of(const Path& path) const {
  std::uint64_t position = 0;
  for (unsigned depth = 0; depth < path.height_; ++depth) {
    const Path::Step& step = path.steps_[depth];
    if (step.node->leaf()) return position + step.slot;
    for (unsigned i = 0; i < step.slot; ++i) position += step.node->counts()[i];
  }
  return position;
}

bool Tree::next(Path& path) const {
  const char* const item = path.item();
  if (item == nullptr) return false;
  pass(path, 1, static_cast<std::uint32_t>(item_size(kind_, item)));
  return path.item() != nullptr;
}

bool Tree::previous(Path& path) const {
  if (path.height_ == 0) return false;
  Path::Step& step = path.steps_[path.height_ - 1];
  if (step.slot == 0 && !go_to_leaf_before(path)) return false;
  --step.slot;
  path.offset_ = step.node->offset_of(kind_, step.slot);
  return true;
}

void Tree::pass(Path& path, std::uint32_t items, std::uint32_t bytes) const {
  Path::Step& step = path.steps_[path.height_ - 1];
  step.slot += items;
  path.offset_ += bytes;
  if (step.slot == step.node->count) go_to_next_leaf(path);
}

// The items from the place on, in its leaf or, if it is at the end of its leaf, in the next one.
Tree::Items Tree::rest_of_leaf(const Path& path) const {
  if (path.height_ == 0) return {};
  const Path::Step& step = path.steps_[path.height_ - 1];
  if (path.height_ > 1) {
    const Path::Step& above = path.steps_[path.height_ - 2];
    if (above.slot + 1 < above.node->count) prefetch_node(above.node->children()[above.slot + 1]);
  }
  return {step.node->at(path.offset_), step.node->count - step.slot};
}

// The items of the leaf that are before the place; if there are none, those of the leaf before.
Tree::Items Tree::start_of_leaf(Path& path) const {
  if (path.height_ == 0) return {};
  const Path::Step& step = path.steps_[path.height_ - 1];
  if (step.slot == 0 && !go_to_leaf_before(path)) return {};
  return {step.node->at(step.node->begin), step.slot};
}

// --- by hash ---

// The start of the leaf in which items with this key lie.
Tree::Path Tree::leaf_of_key(std::uint64_t key) const {
  Path path;
  if (root_ == nullptr) return path;
  Node* node = root_;
  while (!node->leaf()) {
    const unsigned slot = node->slot_of(key);
    path.steps_[path.height_++] = {node, slot};
    node = node->children()[slot];
    prefetch_node(node);
  }
  path.steps_[path.height_++] = {node, 0};
  path.offset_ = node->begin;
  return path;
}

namespace {

// Whether packed bytes are those of an element: quick to say no. The element may be shorter than they are, but for texts of 64 bytes or
// more its first byte tells, and for these the second.
class Matcher {
 public:
  explicit Matcher(std::string_view packed) : packed_(packed) {
    if (packed.size() >= sizeof tail_) std::memcpy(&tail_, packed.data() + packed.size() - sizeof tail_, sizeof tail_);
  }
  bool matches(const char* item) const {
    const char* const mine = packed_.data();
    const std::size_t size = packed_.size();
    if (*item != *mine) return false;
    if (size < sizeof tail_) return std::memcmp(item, mine, size) == 0;
    constexpr std::size_t two_bytes_of_size = 66;
    if (size >= two_bytes_of_size && item[1] != mine[1]) return false;
    std::uint64_t tail = 0;
    std::memcpy(&tail, item + size - sizeof tail, sizeof tail);
    return tail == tail_ && std::memcmp(item, mine, size - sizeof tail) == 0;
  }

 private:
  std::string_view packed_;
  std::uint64_t tail_ = 0;
};

// Goes through a leaf until `is_it(item)`; returns the number of the item, or of items, and sets `item`.
template <class IsIt>
std::uint32_t look_through(TreeKind kind, const Tree::Node& leaf, const char*& item, IsIt&& is_it) {
  item = leaf.at(leaf.begin);
  std::uint32_t number = 0;
  for (; number < leaf.count && !is_it(item); ++number) item += item_size(kind, item);
  return number;
}

}  // namespace

Tree::Path Tree::find(const PackedElement& element, std::uint64_t hash) const {
  work::entries();
  Path path = leaf_of_key(hash_key(kind_, hash));
  if (path.height_ == 0) return path;
  Path::Step& step = path.steps_[path.height_ - 1];
  const char* item = nullptr;
  if (element.text().size() > most_inline_element) {
    const auto is_it = [&](const char* at) { return Element(at).is_block() && Element(at).hash() == hash && element.equals(Element(at)); };
    step.slot = look_through(kind_, *step.node, item, is_it);
  } else {
    const Matcher matcher(element.packed());
    step.slot = kind_ == TreeKind::hash
                    ? look_through(TreeKind::hash, *step.node, item, [&](const char* at) { return matcher.matches(at); })
                    : look_through(TreeKind::set, *step.node, item, [&](const char* at) { return matcher.matches(at); });
  }
  path.offset_ = static_cast<std::uint32_t>(item - step.node->at(0));
  path.found_ = step.slot < step.node->count;
  return path;
}

Tree::Path Tree::from_hash(std::uint64_t hash) const { return leaf_of_key(hash_key(kind_, hash)); }

std::uint64_t Tree::next_hash(const Path& path) const {
  for (unsigned depth = path.height_ == 0 ? 0 : path.height_ - 1; depth > 0; --depth) {
    const Path::Step& above = path.steps_[depth - 1];
    if (above.slot + 1 < above.node->count) return above.node->keys()[above.slot + 1];
  }
  return 0;
}

Tree::Items Tree::leaf_of_hash(std::uint64_t hash, std::uint32_t& key) const {
  key = static_cast<std::uint32_t>(hash_key(kind_, hash));
  const Path path = leaf_of_key(key);
  return path.height_ == 0 ? Items() : rest_of_leaf(path);
}

Tree::Path Tree::find_score(std::uint64_t hash, double score) const {
  const std::uint64_t key = hash_key(kind_, hash);
  Path path = leaf_of_key(key);
  if (path.height_ == 0) return path;
  Path::Step& step = path.steps_[path.height_ - 1];
  const char* item = nullptr;
  step.slot = look_through(kind_, *step.node, item, [&](const char* at) {
    double here = 0;
    std::memcpy(&here, at + sizeof(std::uint32_t), sizeof here);
    return here == score && hash_key_of(kind_, at) == key;
  });
  path.offset_ = static_cast<std::uint32_t>(item - step.node->at(0));
  path.found_ = step.slot < step.node->count;
  return path;
}

// --- by score ---

// What is looked for in a scored tree: a place between items.
struct Tree::Needle {
  double score;
  std::string_view member;
  bool beyond = false;  // behind all items with this score
  TreeKey key = scored_key(score, member);

  // Whether an item is before the place; `order` is 0 if it is the one that is looked for.
  bool behind(const char* item, int& order) const {
    const ScoredItem at(item);
    if (at.score() != score) return order = 1, at.score() < score;
    if (beyond) return true;
    order = compare_texts(at.member(), member);
    return order < 0;
  }
  // Whether a child begins before the place, or at it.
  bool begins_before(const Node& node, unsigned slot) const {
    const TreeKey here = node.key(TreeKind::scored, slot);
    if (beyond) return here.key <= key.key;
    if (here != key) return here < key;
    int order = 0;
    return behind(first_item(node.children()[slot]), order) || order == 0;
  }
};

Tree::Path Tree::find_needle(const Needle& needle) const {
  work::entries();
  Path path;
  if (root_ == nullptr) return path;
  Node* node = root_;
  while (!node->leaf()) {
    unsigned slot = 0;
    for (unsigned left = node->count; left > 1;) {
      const unsigned half = left / 2;
      if (needle.begins_before(*node, slot + half)) slot += half;
      left -= half;
    }
    path.steps_[path.height_++] = {node, slot};
    node = node->children()[slot];
    prefetch_node(node);
  }
  const char* item = nullptr;
  int order = 1;
  const std::uint32_t slot = look_through(TreeKind::scored, *node, item, [&](const char* at) { return !needle.behind(at, order); });
  path.steps_[path.height_++] = {node, slot};
  path.offset_ = static_cast<std::uint32_t>(item - node->at(0));
  path.found_ = slot < node->count && order == 0;
  if (slot == node->count) go_to_next_leaf(path);
  return path;
}

Tree::Path Tree::find(double score, std::string_view member) const { return find_needle({.score = score, .member = member}); }

Tree::Path Tree::lower_bound(double score, bool beyond) const { return find_needle({.score = score, .member = {}, .beyond = beyond}); }

}  // namespace pinfold::store
