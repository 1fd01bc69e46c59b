// Random histories of trees against containers of the standard library.

#include "pinfold/store/tree.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/refused_blocks.hpp"
#include "pinfold/base/work.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

// Catch's own assertions take longer than the steps.
void require(bool holds, const char* what) {
  if (!holds) FAIL(what);
}

std::string text_of(const char* element) {
  Element::Digits digits;
  return std::string(Element(element).text(digits));
}

// A heap that must be empty at the end.
struct Heap {
  ~Heap() {
    while (heap.give_back(SIZE_MAX)) {
    }
    CHECK(used == 0);
    CHECK(heap.loose() == 0);
    CHECK(heap.unstored_trees() == 0);
  }
  std::atomic<std::int64_t> used{0};
  BlockHeap heap{[this](std::int64_t bytes) { used += bytes; }, 0};
};

// A packed item: an element, or two of them, with references of its own.
class Item {
 public:
  Item(BlockHeap& heap, const std::vector<std::string>& texts, std::optional<double> score = {}) {
    if (score) bytes_.assign(reinterpret_cast<const char*>(&*score), sizeof *score);
    for (const std::string& text : texts) {
      PackedElement element(text);
      require(element.provide_block(heap), "a block");
      const Element packed(element.packed().data());
      if (packed.is_block()) blocks_.push_back(packed.block());
      bytes_ += element.packed();
      element.keep_block();
    }
  }
  ~Item() {
    for (void* block : blocks_) Blob::release(block);
  }
  Item(const Item&) = delete;
  Item& operator=(const Item&) = delete;
  std::string_view bytes() const { return bytes_; }
  // The tree has taken the references over, if it has taken the item.
  bool keep_if(bool taken) {
    if (taken) blocks_.clear();
    return taken;
  }

 private:
  std::string bytes_;
  std::vector<void*> blocks_;
};

// What all kinds of histories have in common.
class History {
 public:
  History(TreeKind kind, std::uint64_t seed) : random_(seed), tree_(heap_.heap, kind) {}
  virtual ~History() = default;

  void run(int steps, bool refusing = false) {
    refusing_ = refusing;
    for (int i = 0; i < steps; ++i) {
      // Long phases of growth and of decline.
      growing_ = i / 700 % 3 != 2;
      step();
      if (below(40) == 0) snapshot();
      if (below(10) == 0) audit();
      if (below(10) == 0) read();
    }
    audit();
    while (!snapshots_.empty()) drop();
    release(tree_);
    require(refusing == (refusals_ > 0), "refusals");
  }

 protected:
  using Texts = std::vector<std::string>;

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  // Makes a change, for which the heap refuses one block now and then.
  template <class Change>
  auto change(Change&& change) {
    const std::int64_t before = blocks_until_refusal = refusing_ && below(2) == 0 ? static_cast<std::int64_t>(below(8)) : -1;
    auto result = change();
    const bool refused = before >= 0 && blocks_until_refusal < 0;
    blocks_until_refusal = -1;
    if (refused) {
      ++refusals_;
      audit();
    }
    if (!result && !refused) FAIL("a change that fails although no memory was refused");
    return result;
  }
  std::string some_text() {
    const std::uint64_t number = below(3000);
    switch (below(12)) {
      case 0:
        return std::to_string(number) + std::string(600 + number % 900, 'b');
      case 1:
        return std::to_string(number) + std::string(number % 509, 'm');
      case 2:
      case 3:
      case 4:
        return std::to_string(static_cast<std::int64_t>(number) - 1000);
      case 5:
        return std::to_string(number * 1'000'000'007);
      default:
        return "text" + std::to_string(number) + std::string(number % 40, 't');
    }
  }
  // Releases a tree in small pieces.
  static void release(Tree& tree) {
    for (bool done = false; !done;) {
      Budget all;
      all.part(3, 1 << 10, [&](Budget& little) { return done = tree.release(little); });
    }
    require(tree.size() == 0 && tree.memory() == 0, "nothing is left");
  }
  void audit() {
    const Tree::Audit audit = tree_.audit();
    require(audit.consistent, "a consistent tree");
    require(audit.items == tree_.size() && audit.memory == tree_.memory(), "the account");
  }
  void snapshot() {
    if (snapshots_.size() == 4) drop();
    snapshots_.emplace_back(tree_.share(), contents_of(tree_));
  }
  void drop() {
    auto& [tree, contents] = snapshots_[below(snapshots_.size())];
    require(contents_of(tree) == contents, "a snapshot stays as it was");
    require(tree.audit().consistent, "a consistent snapshot");
    std::swap(snapshots_.back().first, tree);
    std::swap(snapshots_.back().second, contents);
    if (below(2) == 0) release(snapshots_.back().first);
    snapshots_.pop_back();
  }
  Texts contents_of(const Tree& tree) {
    Texts texts;
    Tree::Path path = tree.at(0);
    const std::uint64_t seen = tree.visit(path, UINT64_MAX, [&](const char* item) {
      texts.push_back(described(item));
      return true;
    });
    require(seen == tree.size() && path.item() == nullptr, "all items are visited");
    return texts;
  }
  static std::string described(const char* item, TreeKind kind) {
    switch (kind) {
      case TreeKind::hash:
        return text_of(item) + "=" + text_of(Element(item).end());
      case TreeKind::scored:
        return std::to_string(ScoredItem(item).score()) + " " + text_of(ScoredItem(item).member().data());
      case TreeKind::index:
        return std::string(item, index_item);
      default:
        return text_of(item);
    }
  }
  std::string described(const char* item) const { return described(item, tree_.kind()); }
  virtual void step() = 0;
  virtual void read() = 0;

  std::mt19937_64 random_;
  Heap heap_;
  Tree tree_;
  bool growing_ = true;
  bool refusing_ = false;
  std::uint64_t refusals_ = 0;
  std::vector<std::pair<Tree, Texts>> snapshots_;
};

// Places of a tree in order are those of a vector.
void check_places(const Tree& tree, const std::vector<std::string>& expected, std::uint64_t position, std::uint64_t count,
                  const std::function<std::string(const char*)>& described) {
  Tree::Path path = tree.at(position);
  require(tree.position_of(path) == position, "the position of a place");
  std::vector<std::string> seen;
  const auto note = [&](const char* item) {
    seen.push_back(described(item));
    return seen.size() < count;
  };
  tree.visit(path, UINT64_MAX, note);
  const std::uint64_t end = std::min<std::uint64_t>(position + count, expected.size());
  require(std::equal(seen.begin(), seen.end(), expected.begin() + static_cast<std::ptrdiff_t>(position)), "visited forwards");
  require(position + seen.size() == end && tree.position_of(path) == end, "behind the last one visited");
  seen.clear();
  path = tree.at(position);
  tree.visit_back(path, UINT64_MAX, note);
  require(seen.size() == std::min(position, count) && tree.position_of(path) == position - seen.size(), "before the first one visited");
  for (std::uint64_t i = 0; i < seen.size(); ++i) require(seen[i] == expected[position - 1 - i], "visited backwards");
  path = tree.at(position);
  for (std::uint64_t i = position; i < end; ++i) {
    require(path.item() != nullptr && described(path.item()) == expected[i], "an item at its place");
    require(tree.next(path) == (i + 1 < expected.size()), "a next item");
  }
  path = tree.at(position);
  for (std::uint64_t i = position; i > 0 && i + count > position; --i) {
    require(tree.previous(path) && described(path.item()) == expected[i - 1], "the item before");
  }
}

class ListHistory : public History {
 public:
  explicit ListHistory(std::uint64_t seed) : History(TreeKind::list, seed) {}

 private:
  std::uint64_t place(std::uint64_t n) {
    switch (below(4)) {
      case 0:
        return 0;
      case 1:
        return n;
      default:
        return below(n + 1);
    }
  }
  void step() override {
    const std::uint64_t position = place(model_.size());
    const auto at = model_.begin() + static_cast<std::ptrdiff_t>(position);
    if (model_.empty() || below(8) < (growing_ ? 6U : 2U)) {
      const std::string text = some_text();
      Item item(heap_.heap, {text});
      if (item.keep_if(change([&] { return tree_.insert(tree_.at(position), item.bytes()); }))) model_.insert(at, text);
    } else if (position == model_.size()) {
      require(!tree_.erase(tree_.at(position)), "nothing at the end");
    } else if (below(4) == 0) {
      const std::string text = some_text();
      Item item(heap_.heap, {text});
      if (item.keep_if(change([&] { return tree_.replace(tree_.at(position), item.bytes()); }))) *at = text;
    } else if (below(150) == 0) {
      cut();
    } else if (change([&] { return tree_.erase(tree_.at(position)); })) {
      model_.erase(at);
    }
  }
  void cut() {
    std::uint64_t from = place(model_.size());
    std::uint64_t to = below(3) == 0 ? place(model_.size()) : std::min<std::uint64_t>(from + below(300), model_.size());
    if (from > to) std::swap(from, to);
    std::optional<Tree> part = change([&] { return tree_.cut(from, to); });
    if (!part) return;
    const auto begin = model_.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = model_.begin() + static_cast<std::ptrdiff_t>(to);
    require(part->audit().consistent && contents_of(*part) == Texts(begin, end), "what was cut out");
    model_.erase(begin, end);
    require(contents_of(tree_) == model_, "what is left");
    audit();
  }
  void read() override {
    require(tree_.size() == model_.size(), "the size");
    check_places(tree_, model_, below(model_.size() + 1), 1 + below(400), [this](const char* item) { return described(item); });
  }

  Texts model_;
};

// A set, or a hash.
class HashedHistory : public History {
 public:
  HashedHistory(TreeKind kind, std::uint64_t seed) : History(kind, seed) {}

 private:
  bool is_hash() const { return tree_.kind() == TreeKind::hash; }
  Tree::Path find(const std::string& text) const { return tree_.find(PackedElement(text), hash_of_text(text)); }
  void step() override {
    if (below(150) == 0) return cut();
    std::string text = some_text();
    const auto there = model_.lower_bound(text);
    if (there != model_.end() && below(2) == 0) text = there->first;
    const std::string value = is_hash() ? some_text() : "";
    const Tree::Path path = find(text);
    require(path.found() == model_.contains(text), "what is found");
    Item item(heap_.heap, is_hash() ? Texts{text, value} : Texts{text});
    if (path.found()) {
      require(described(path.item()) == (is_hash() ? text + "=" + model_.at(text) : text), "the item that is found");
      if (is_hash() && below(8) < (growing_ ? 6U : 2U)) {
        if (item.keep_if(change([&] { return tree_.replace(path, item.bytes()); }))) model_[text] = value;
      } else if (!growing_ || below(2) == 0) {
        if (change([&] { return tree_.erase(path); })) model_.erase(text);
      }
    } else if (below(8) < (growing_ ? 7U : 1U)) {
      if (item.keep_if(change([&] { return tree_.insert(path, item.bytes()); }))) model_[text] = value;
    }
  }
  // The items that are cut out are those that are lost, and all others are still found.
  void cut() {
    std::uint64_t from = below(model_.size() + 1);
    std::uint64_t to = below(3) == 0 ? below(model_.size() + 1) : std::min<std::uint64_t>(from + below(100), model_.size());
    if (from > to) std::swap(from, to);
    std::optional<Tree> part = change([&] { return tree_.cut(from, to); });
    if (!part) return;
    require(part->audit().consistent && part->size() == to - from, "what was cut out");
    Tree::Path path = part->at(0);
    part->visit(path, part->size(), [&](const char* item) {
      const std::string text = text_of(item);
      require(part->find(PackedElement(text), hash_of_text(text)).found(), "an item of what was cut out is found there");
      return require(model_.erase(text) == 1, "an item that was there"), true;
    });
    require(tree_.size() == model_.size(), "what is left");
    for (const auto& [text, value] : model_) require(find(text).found(), "what is left is found");
    audit();
    release(*part);
  }
  // As a cursor of SSCAN goes: all items of a leaf, and then from the next hash on.
  void read() override {
    require(tree_.size() == model_.size(), "the size");
    std::multiset<std::string> seen;
    std::uint64_t hash = 0;
    do {
      Tree::Path path = tree_.from_hash(hash);
      const std::uint64_t next = tree_.next_hash(path);
      require(next == 0 || next > hash, "a cursor that goes on");
      hash = next;
      for (; path.item() != nullptr && (next == 0 || Element(path.item()).hash() < next); tree_.next(path)) {
        seen.insert(described(path.item()));
      }
    } while (hash != 0);
    require(seen.size() == model_.size(), "each item is seen once");
    for (const auto& [text, value] : model_) require(seen.contains(is_hash() ? text + "=" + value : text), "an item is seen");
    if (model_.empty()) return;
    const std::uint64_t position = below(model_.size());
    require(tree_.position_of(find(text_of(tree_.at(position).item()))) == position, "the position of an item");
  }

  std::map<std::string, std::string> model_;
};

class ScoredHistory : public History {
 public:
  explicit ScoredHistory(std::uint64_t seed) : History(TreeKind::scored, seed) {}

 private:
  using Scored = std::pair<double, std::string>;

  double some_score() {
    constexpr std::array<double, 8> scores{0, -0.0, 1, -1, 1e300, -HUGE_VAL, HUGE_VAL, 0.5};
    return below(2) == 0 ? scores[below(scores.size())] : static_cast<double>(below(200)) / 4 - 25;
  }
  std::string described_as(const Scored& scored) const { return std::to_string(scored.first) + " " + scored.second; }
  Scored some() {
    if (!model_.empty() && below(3) != 0) {
      const auto at = model_.lower_bound({some_score(), some_text()});
      if (at != model_.end()) return *at;
    }
    return {some_score(), (below(2) == 0 ? "common prefix" : "") + some_text()};
  }
  void step() override {
    const Scored scored = some();
    const Tree::Path path = tree_.find(scored.first, scored.second);
    const auto at = model_.lower_bound(scored);
    const bool there = at != model_.end() && *at == scored;
    require(path.found() == there, "what is found");
    require((path.item() == nullptr) == (at == model_.end()), "a place");
    if (at != model_.end()) require(described(path.item()) == described_as(*at), "the item at a place");
    if (!there && below(8) < (growing_ ? 7U : 1U)) {
      Item item(heap_.heap, {scored.second}, scored.first);
      if (item.keep_if(change([&] { return tree_.insert(path, item.bytes()); }))) model_.insert(scored);
    } else if (there && (!growing_ || below(2) == 0)) {
      if (change([&] { return tree_.erase(path); })) model_.erase(at);
    } else if (below(100) == 0) {
      cut();
    }
  }
  void cut() {
    Texts all = sorted();
    std::uint64_t from = below(all.size() + 1);
    std::uint64_t to = below(2) == 0 ? below(all.size() + 1) : std::min<std::uint64_t>(from + below(100), all.size());
    if (from > to) std::swap(from, to);
    std::optional<Tree> part = change([&] { return tree_.cut(from, to); });
    if (!part) return;
    const auto begin = std::next(model_.begin(), static_cast<std::ptrdiff_t>(from));
    const auto end = std::next(model_.begin(), static_cast<std::ptrdiff_t>(to));
    Texts expected;
    for (auto i = begin; i != end; ++i) expected.push_back(described_as(*i));
    require(part->audit().consistent && contents_of(*part) == expected, "what was cut out");
    model_.erase(begin, end);
    require(contents_of(tree_) == sorted(), "what is left");
    audit();
    release(*part);
  }
  Texts sorted() const {
    Texts all;
    for (const Scored& scored : model_) all.push_back(described_as(scored));
    return all;
  }
  void read() override {
    require(tree_.size() == model_.size(), "the size");
    const Texts all = sorted();
    check_places(tree_, all, below(all.size() + 1), 1 + below(400), [this](const char* item) { return described(item); });
    const double score = some_score();
    const auto first = std::partition_point(model_.begin(), model_.end(), [&](const Scored& scored) { return scored.first < score; });
    const auto beyond = std::partition_point(model_.begin(), model_.end(), [&](const Scored& scored) { return scored.first <= score; });
    const auto number = [&](auto at) { return static_cast<std::uint64_t>(std::distance(model_.begin(), at)); };
    require(tree_.position_of(tree_.lower_bound(score)) == number(first), "the first of a score");
    require(tree_.position_of(tree_.lower_bound(score, true)) == number(beyond), "the first beyond a score");
  }

  std::set<Scored> model_;
};

class IndexHistory : public History {
 public:
  explicit IndexHistory(std::uint64_t seed) : History(TreeKind::index, seed) {}

 private:
  void step() override {
    // Of few hashes, so that many items have the same one.
    const std::uint64_t hash = (below(4) == 0 ? below(20) : below(5000) * 7919 % 5000) << 40 | below(1000);
    const auto score = static_cast<double>(below(8));
    const std::uint64_t key = hash >> 21;
    const auto all = model_.equal_range(key);
    const auto at = std::find_if(all.first, all.second, [&](const auto& pair) { return pair.second == score; });
    if (below(8) < (growing_ ? 6U : 2U)) {
      if (change([&] { return tree_.insert_score(hash, score); })) model_.emplace(key, score);
    } else if (at == all.second) {
      require(!tree_.erase_score(hash, score), "there is none to erase");
    } else if (change([&] { return tree_.erase_score(hash, score); })) {
      model_.erase(at);
    }
    std::multiset<double> expected;
    for (auto i = model_.lower_bound(key); i != model_.upper_bound(key); ++i) expected.insert(i->second);
    std::multiset<double> seen;
    require(!tree_.scores(hash, [&](double here) { return seen.insert(here), false; }), "nothing has stopped it");
    require(seen == expected, "the scores of a hash");
  }
  void read() override { require(tree_.size() == model_.size(), "the size"); }

  std::multimap<std::uint64_t, double> model_;
};

}  // namespace

template <class Kind, class... Arguments>
void run(Arguments... arguments) {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  Kind(arguments..., seed).run(6000);
  Kind(arguments..., seed + 1).run(3000, true);
}

TEST_CASE("tree: a random history of a list equals a vector, also if memory is refused") { run<ListHistory>(); }

TEST_CASE("tree: a random history of a set equals a map, also if memory is refused") { run<HashedHistory>(TreeKind::set); }

TEST_CASE("tree: a random history of a hash equals a map, also if memory is refused") { run<HashedHistory>(TreeKind::hash); }

TEST_CASE("tree: a random history of scores and members equals a set of pairs, also if memory is refused") { run<ScoredHistory>(); }

TEST_CASE("tree: a random history of an index equals a multimap, also if memory is refused") { run<IndexHistory>(); }

namespace {

// A large tree of numbers, whose audit is made once.
struct Numbers {
  explicit Numbers(TreeKind kind) : tree(heap.heap, kind) {}
  ~Numbers() { CHECK(tree.audit().consistent); }
  void insert(const Tree::Path& path, std::int64_t number) {
    const PackedElement element(number);
    const auto score = static_cast<double>(number);
    std::string item;
    if (tree.kind() == TreeKind::scored) item.assign(reinterpret_cast<const char*>(&score), sizeof score);
    item += element.packed();
    require(tree.insert(path, item), "an insertion");
  }
  Tree::Path place_of(std::int64_t number, std::int64_t position) const {
    const PackedElement element(number);
    if (tree.kind() == TreeKind::list) return tree.at(static_cast<std::uint64_t>(position));
    if (tree.kind() == TreeKind::set) return tree.find(element, element.hash());
    return tree.find(static_cast<double>(number), element.text());
  }

  Heap heap;
  Tree tree;
};

constexpr std::int64_t many = 150'000;
constexpr TreeKind some_kinds[] = {TreeKind::list, TreeKind::set, TreeKind::scored};

}  // namespace

TEST_CASE("tree: what is built in order is nearly full") {
  for (const bool forwards : {true, false}) {
    for (const TreeKind kind : some_kinds) {
      Numbers numbers(kind);
      std::uint64_t bytes = 0;
      for (std::int64_t i = 0; i < many; ++i) {
        const std::int64_t number = 1'000'000 + (forwards ? i : many - i);
        numbers.insert(numbers.place_of(number, forwards ? i : 0), number);
        bytes += PackedElement(number).packed().size() + (kind == TreeKind::scored ? sizeof(double) : 0);
      }
      CAPTURE(forwards, static_cast<int>(kind), static_cast<double>(numbers.tree.memory()) / static_cast<double>(bytes));
      // A set comes in no order. The leaves of its numbers have much room for what they may still get.
      CHECK(numbers.tree.memory() < (kind == TreeKind::set ? bytes * 3 : bytes * 107 / 100));
    }
  }
}

TEST_CASE("tree: the work of a change does not depend on how large the tree is") {
  for (const TreeKind kind : some_kinds) {
    Numbers numbers(kind);
    std::mt19937_64 random(1);
    work::Counts most;
    for (std::int64_t i = 0; i < many; ++i) {
      const auto number = static_cast<std::int64_t>(random() >> 20);
      const Tree::Path path = numbers.place_of(number, static_cast<std::int64_t>(random() % (numbers.tree.size() + 1)));
      const bool erase = kind != TreeKind::list ? path.found() : i % 3 == 2 && path.item() != nullptr;
      const Tree snapshot = i % 1000 == 0 ? numbers.tree.share() : Tree();
      const work::Counting counting;
      if (erase) {
        require(numbers.tree.erase(path), "a removal");
      } else {
        numbers.insert(path, number);
      }
      most.entries = std::max(most.entries, counting.counts().entries);
      most.bytes = std::max(most.bytes, counting.counts().bytes);
      most.nodes = std::max(most.nodes, counting.counts().nodes);
      most.allocations = std::max(most.allocations, counting.counts().allocations);
    }
    CAPTURE(static_cast<int>(kind));
    CHECK(most.entries <= 300);
    CHECK(most.bytes <= 24 * 1024);
    CHECK(most.allocations <= 8);
    CHECK(most.nodes <= 8 * 11 + 10);  // an allocation visits 11
  }
}

TEST_CASE("tree: a cut takes as little work for many items as for few") {
  for (const TreeKind kind : {TreeKind::list, TreeKind::scored, TreeKind::set}) {
    Numbers numbers(kind);
    for (std::int64_t i = 0; i < many; ++i) numbers.insert(numbers.place_of(i, i), i);
    std::mt19937_64 random(1);
    std::vector<Tree> parts;
    std::uint64_t left = many;
    for (int i = 0; i < 60; ++i) {
      const std::uint64_t from = random() % left;
      const std::uint64_t to = from + random() % (i % 2 == 0 ? 40 : left - from);
      const work::Counting counting;
      auto part = numbers.tree.cut(from, to);
      const work::Counts counts = counting.counts();
      REQUIRE(part);
      left -= part->size();
      require(numbers.tree.size() == left, "the size");
      CHECK(counts.entries <= 400);  // all items of the leaves at both ends, and the nodes that are given up
      CHECK(counts.bytes <= 64 * 1024);
      CHECK(counts.allocations <= 40);
      require(part->audit().consistent && numbers.tree.audit().consistent, "consistent trees");
      if (left < 1000) break;
    }
  }
}

TEST_CASE("tree: an erasure overwrites what elements' blocks have left, once, and again what has come since") {
  Heap heap;
  Tree tree(heap.heap, TreeKind::list);
  const auto add = [&](std::uint64_t position) {
    Item item(heap.heap, {std::string(700, 'x')});
    require(item.keep_if(tree.insert(tree.at(position), item.bytes())), "an insertion");
  };
  for (std::uint64_t i = 0; i < 5000; ++i) add(i);
  const Tree other = tree.share();
  int steps = 1;
  for (; steps < 1000; ++steps) {
    Budget budget;
    const work::Counting counting;
    const bool done = tree.wipe_slack(7, budget);
    CHECK(counting.counts().bytes <= 256 * 1024);
    CHECK(counting.counts().entries <= 700);
    if (done) break;
  }
  CHECK(steps > 5);
  const auto bytes_of = [](const Tree& which, std::uint64_t erasure) {
    Budget budget;
    const work::Counting counting;
    require(which.wipe_slack(erasure, budget), "done");
    return counting.counts().bytes;
  };
  CHECK(bytes_of(tree, 7) == 0);
  CHECK(bytes_of(other, 7) == 0);
  add(2000);
  const std::uint64_t again = bytes_of(tree, 7);
  CHECK(again > 0);
  CHECK(again < 64 * 1024);
  CHECK(bytes_of(tree, 7) == 0);
}

TEST_CASE("tree: who reads a snapshot without a lock sees one moment of it while the tree changes") {
  Heap heap;
  std::mutex mutex;
  Tree tree(heap.heap, TreeKind::set);
  std::int64_t total = 0;  // of the numbers in it
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done) {
      Tree snapshot;
      std::int64_t expected = 0;
      {
        const std::lock_guard lock(mutex);
        snapshot = tree.share();
        expected = total;
      }
      std::int64_t seen = 0;
      Tree::Path path = snapshot.at(0);
      snapshot.visit(path, UINT64_MAX, [&](const char* item) {
        seen += std::stoll(text_of(item).substr(0, 4));
        return true;
      });
      require(seen == expected, "the sum of a moment");
    }
  });
  std::mt19937_64 random(1);
  for (int i = 0; i < 30'000; ++i) {
    const auto number = static_cast<std::int64_t>(1000 + random() % 3000);
    const std::string text = std::to_string(number) + (number % 10 == 0 ? std::string(600, 'x') : "");
    const PackedElement element(text);
    const std::lock_guard lock(mutex);
    const Tree::Path path = tree.find(element, element.hash());
    if (path.found()) {
      require(tree.erase(path), "a removal");
      total -= number;
    } else {
      Item item(heap.heap, {text});
      require(item.keep_if(tree.insert(path, item.bytes())), "an insertion");
      total += number;
    }
  }
  done = true;
  reader.join();
}
