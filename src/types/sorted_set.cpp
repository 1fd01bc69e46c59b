#include "pinfold/types/sorted_set.hpp"

#include <cmath>
#include <cstring>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/types/keyed.hpp"

namespace pinfold::types {

using store::Collection;
using store::Element;
using store::PackedElement;
using store::ScoredItem;
using store::Stored;
using store::Tree;
using store::TreeKind;

namespace {

// What a write pays of the debt.
constexpr std::uint64_t paid_by_write = 64;

// --- items ---

// A set that is called listpack has no negative zero, as in Redis.
double without_minus(double score) { return score + 0.0; }

// A score and a member, as they lie in a run or a tree.
class PackedItem {
 public:
  PackedItem(double score, std::string_view member) : size_(sizeof score + member.size()) {
    std::memcpy(bytes_.data(), &score, sizeof score);
    std::memcpy(bytes_.data() + sizeof score, member.data(), member.size());
  }
  std::string_view bytes() const { return {bytes_.data(), size_}; }

 private:
  std::size_t size_;
  std::array<char, sizeof(double) + store::most_packed_element> bytes_;
};

// Whether an item stands before a score and a member.
bool is_before(const ScoredItem& item, double score, std::string_view member) {
  const double other = item.score();
  return other != score ? other < score : compare_texts(item.member(), member) < 0;
}

// --- a packed set ---

struct InRun {
  const char* item;
  std::uint64_t rank;
};

std::optional<InRun> find_in(const Run& run, const PackedElement& member) {
  work::entries();
  std::uint64_t rank = 0;
  for (const char* item = run.begin(); item < run.end(); item = run.next(item), ++rank) {
    if (member.equals(ScoredItem(item).member())) return InRun{item, rank};
  }
  return std::nullopt;
}

void insert_into(RunBuffer& buffer, double score, const PackedElement& member) {
  const Run run = buffer.run(TreeKind::scored);
  const char* item = run.begin();
  while (item < run.end() && is_before(ScoredItem(item), score, member.text())) item = run.next(item);
  work::entries();
  buffer.insert(run.offset(item), PackedItem(score, member.packed()).bytes());
}

void erase_from(RunBuffer& buffer, const char* item) {
  const Run run = buffer.run(TreeKind::scored);
  buffer.erase(run.offset(item), store::item_size(TreeKind::scored, item));
}

// --- a large set ---

// The place of a member in `items`; found() says whether it is there.
Tree::Path find_in(const Collection& set, std::string_view member, std::uint64_t hash) {
  struct Search {
    const Tree& items;
    std::string_view member;
    Tree::Path path;
  } search{set.items, member, {}};
  // The function fits into std::function without memory of its own.
  set.index.scores(hash, [&search](double score) {
    search.path = search.items.find(score, search.member);
    return search.path.found();
  });
  return search.path;
}

// The index first: what it has too often does no harm.
bool insert_into(Collection& set, double score, std::string_view item, std::string_view member, std::uint64_t hash) {
  if (!set.index.insert_score(hash, score)) return false;
  if (set.items.insert(set.items.find(score, member), item)) return true;
  set.index.erase_score(hash, score);
  return false;
}

bool insert_into(Collection& set, double score, PackedElement& member, std::uint64_t hash) {
  if (!member.provide_block(set.heap())) return false;
  const PackedItem item(score, member.packed());
  if (!insert_into(set, score, item.bytes(), member.text(), hash)) return false;
  member.keep_block();
  return true;
}

bool erase_from(Collection& set, const Tree::Path& path, std::uint64_t hash) {
  const double score = ScoredItem(path.item()).score();
  if (!set.items.erase(path)) return false;
  set.index.erase_score(hash, score);
  return true;
}

// If there is no memory, the member stays where it was. If there is not even enough for that, it is gone.
bool move_in(Collection& set, const Tree::Path& path, double score, const PackedElement& member, std::uint64_t hash) {
  const ScoredItem old(path.item());
  const double before = old.score();
  const PackedItem old_item(before, old.member().packed());
  const PackedItem item(score, old.member().packed());
  Blob block = old.member().is_block() ? old.member().share() : Blob();
  if (!set.items.erase(path)) return false;
  bool moved = insert_into(set, score, item.bytes(), member.text(), hash);
  if (moved) {
    set.index.erase_score(hash, before);
  } else if (!set.items.insert(set.items.find(before, member.text()), old_item.bytes())) {
    return false;
  }
  block.detach();
  return moved;
}

Tree empty_items(Collection& set) { return {set.heap(), TreeKind::scored}; }

// Removes the index items of members that are no longer in `items`.
void erase_scores(Collection& set, const Tree& members) {
  Tree::Path path = members.at(0);
  members.visit(path, members.size(), [&](const char* item) {
    const ScoredItem member(item);
    set.index.erase_score(member.member().hash(), member.score());
    return true;
  });
}

// What RunBuffer has as a collection with one reference. Empty if there is no memory.
store::OwnedHandle enlarged(BlockHeap& heap, const Run& run) {
  Collection* const made = Collection::make(heap, store::Type::zset);
  if (made == nullptr) return {};
  store::OwnedHandle handle = Collection::own(store::Type::zset, made);
  for (const char* item = run.begin(); item < run.end(); item = run.next(item)) {
    const ScoredItem scored(item);
    const std::string_view bytes(item, store::item_size(TreeKind::scored, item));
    if (!made->items.insert(made->items.at(made->items.size()), bytes)) return {};
    if (!made->index.insert_score(scored.member().hash(), scored.score())) return {};
  }
  return handle;
}

// --- ZADD ---

// What is to be done for one member. `now`: the score that it has.
enum class Verdict : std::uint8_t { nothing, refused, not_a_number, add, move };

Verdict judge(const AddRules& rules, std::optional<double> now, double& score) {
  if (!now) return rules.only_existing ? Verdict::refused : Verdict::add;
  if (rules.only_new) return Verdict::refused;
  if (rules.increment) score += *now;
  if (std::isnan(score)) return Verdict::not_a_number;
  if ((rules.only_higher && score <= *now) || (rules.only_lower && score >= *now)) return Verdict::refused;
  return score == *now ? Verdict::nothing : Verdict::move;
}

// Notes what was done; returns whether anything was.
bool note(Added& added, Verdict verdict, double score) {
  added.score = verdict == Verdict::refused ? std::nullopt : std::optional(score);
  added.added += verdict == Verdict::add ? 1 : 0;
  added.changed += verdict == Verdict::move ? 1 : 0;
  added.not_a_number = added.not_a_number || verdict == Verdict::not_a_number;
  return verdict == Verdict::add || verdict == Verdict::move;
}

// One ZADD. It goes on in a collection when the packed form does not suffice.
class Adding {
 public:
  Adding(Edit& edit, BlockHeap& heap, const Thresholds& thresholds, const AddRules& rules, Added& added)
      : edit_(edit), heap_(heap), thresholds_(thresholds), rules_(rules), added_(added), large_name_(named_large(edit.form())) {}

  Stored add(std::span<Addition> additions) { return edit_.packed() ? add_packed(additions) : add_large(additions); }

 private:
  // Returns whether the member can be in a packed set, and has done what was asked if so.
  bool add_one(RunBuffer& buffer, const Addition& addition) {
    const PackedElement member(addition.member);
    if (member.needs_block()) return false;
    const Run run = buffer.run(TreeKind::scored);
    const auto found = find_in(run, member);
    double score = addition.score;
    const Verdict verdict = judge(rules_, found ? std::optional(ScoredItem(found->item).score()) : std::nullopt, score);
    if (verdict == Verdict::add && !has_room(buffer, member)) return false;
    if (!note(added_, verdict, score)) return true;
    if (found) erase_from(buffer, found->item);
    insert_into(buffer, large_name_ ? score : without_minus(score), member);
    if (verdict == Verdict::add) note_size(buffer.count(), addition.member.size());
    changed_ = true;
    return true;
  }

  static bool has_room(const RunBuffer& buffer, const PackedElement& member) {
    return buffer.count() < most_packed_items && buffer.bytes().size() + sizeof(double) + member.packed().size() <= most_packed_bytes;
  }

  // Returns whether it was done; not if there is no memory.
  bool add_one(Collection& set, Addition& addition) {
    PackedElement member(addition.member, std::move(addition.block));
    const std::uint64_t hash = member.hash();
    const Tree::Path path = find_in(set, addition.member, hash);
    double score = addition.score;
    const Verdict verdict = judge(rules_, path.found() ? std::optional(ScoredItem(path.item()).score()) : std::nullopt, score);
    const double stored = large_name_ ? score : without_minus(score);
    if (verdict == Verdict::add && !insert_into(set, stored, member, hash)) return false;
    if (verdict == Verdict::move && !move_in(set, path, stored, member, hash)) return false;
    if (!note(added_, verdict, score)) return true;
    if (verdict == Verdict::add) note_size(set.size(), addition.member.size());
    changed_ = true;
    return true;
  }

  void note_size(std::uint64_t members, std::size_t member) {
    large_name_ = large_name_ || members > thresholds_.zset_entries || member > thresholds_.zset_value;
  }

  Stored add_packed(std::span<Addition> additions) {
    RunBuffer& buffer = RunBuffer::scratch();
    if (edit_.exists()) buffer.assign(edit_.bytes());
    while (!additions.empty() && add_one(buffer, additions.front())) additions = additions.subspan(1);
    if (additions.empty()) return changed_ ? edit_.put(sorted_set_form(true, large_name_), buffer.bytes()) : Stored::done;
    if (const Stored refused = edit_.may_grow(bytes_of(additions) + 4 * buffer.bytes().size()); !refused) return refused;
    store::OwnedHandle made = enlarged(heap_, buffer.run(TreeKind::scored));
    if (!made) return Stored::no_memory;
    if (!add_all(Collection::of(made.get()), additions)) return Stored::no_memory;
    if (!changed_) return Stored::done;
    return edit_.put(sorted_set_form(false, large_name_), &Collection::of(made.detach()));
  }

  Stored add_large(std::span<Addition> additions) {
    if (const Stored refused = edit_.may_grow(bytes_of(additions), 0, 2 * additions.size()); !refused) return refused;
    if (!large_name_) return add_renamed(additions);
    bool had_memory = true;
    const Stored stored = edit_.change([&](Collection& set) {
      pay_debt(set, paid_by_write);
      had_memory = add_all(set, additions);
      return changed_;
    });
    return had_memory ? stored : Stored::no_memory;
  }

  // For a large set that is called small. Its name may change, so it is stored anew.
  Stored add_renamed(std::span<Addition> additions) {
    Collection* const mine = edit_.collection().clone();
    if (mine == nullptr) return Stored::no_memory;
    store::OwnedHandle handle = Collection::own(store::Type::zset, mine);
    pay_debt(*mine, paid_by_write);
    if (!add_all(*mine, additions)) return Stored::no_memory;
    if (!changed_) return Stored::done;
    return edit_.put(sorted_set_form(false, large_name_), &Collection::of(handle.detach()));
  }

  bool add_all(Collection& set, std::span<Addition> additions) {
    for (Addition& addition : additions) {
      if (!add_one(set, addition)) return false;
    }
    return true;
  }

  static std::size_t bytes_of(std::span<const Addition> additions) {
    constexpr std::size_t beside_member = 64;  // its score, the item of the index, and what is free in leaves
    std::size_t bytes = 0;
    for (const Addition& addition : additions) bytes += beside_member + addition.member.size();
    return bytes;
  }

  Edit& edit_;
  BlockHeap& heap_;
  const Thresholds& thresholds_;
  const AddRules& rules_;
  Added& added_;
  bool large_name_;
  bool changed_ = false;
};

}  // namespace

// --- reading ---

SortedSet::SortedSet(const std::optional<store::Value>& value) : SortedSet() {
  if (!value) return;
  if (value->handle()) {
    large_ = &Collection::of(value->handle());
  } else {
    run_ = Run(TreeKind::scored, value->text);
  }
}

std::optional<double> SortedSet::score(std::string_view member) const {
  const PackedElement element(member);
  return score(element, large_ != nullptr ? element.hash() : 0);
}

std::optional<double> SortedSet::score(const PackedElement& member, std::uint64_t hash) const {
  if (large_ != nullptr) {
    const Tree::Path path = find_in(*large_, member.text(), hash);
    return path.found() ? std::optional(ScoredItem(path.item()).score()) : std::nullopt;
  }
  const auto found = find_in(run_, member);
  return found ? std::optional(ScoredItem(found->item).score()) : std::nullopt;
}

std::optional<SortedSet::Place> SortedSet::place(std::string_view member) const {
  const PackedElement element(member);
  if (large_ != nullptr) {
    const Tree::Path path = find_in(*large_, member, element.hash());
    if (!path.found()) return std::nullopt;
    return Place{large_->items.position_of(path), ScoredItem(path.item()).score()};
  }
  const auto found = find_in(run_, element);
  if (!found) return std::nullopt;
  return Place{found->rank, ScoredItem(found->item).score()};
}

std::uint64_t SortedSet::before(double score, bool beyond) const {
  if (large_ != nullptr) return large_->items.position_of(large_->items.lower_bound(score, beyond));
  work::entries();
  std::uint64_t count = 0;
  for (const char* item = run_.begin(); item < run_.end(); item = run_.next(item), ++count) {
    const double other = ScoredItem(item).score();
    if (beyond ? other > score : other >= score) break;
  }
  return count;
}

std::uint64_t SortedSet::before(std::string_view member, bool beyond) const {
  if (size() == 0) return 0;
  if (large_ != nullptr) {
    const Tree::Path path = large_->items.find(at(0).score(), member);
    return large_->items.position_of(path) + (beyond && path.found() ? 1 : 0);
  }
  work::entries();
  std::uint64_t count = 0;
  for (const char* item = run_.begin(); item < run_.end(); item = run_.next(item), ++count) {
    const int order = compare_texts(ScoredItem(item).member(), member);
    if (beyond ? order > 0 : order >= 0) break;
  }
  return count;
}

Positions SortedSet::between(const ScoreBound& least, const ScoreBound& most) const {
  if (size() == 0) return {};
  return {before(least.score, least.exclusive), before(most.score, !most.exclusive)};
}

Positions SortedSet::between(const LexBound& least, const LexBound& most) const {
  using Kind = LexBound::Kind;
  if (size() == 0 || least.kind == Kind::highest || most.kind == Kind::lowest) return {};
  return {least.kind == Kind::lowest ? 0 : before(least.member, least.exclusive),
          most.kind == Kind::highest ? size() : before(most.member, !most.exclusive)};
}

SortedSetSnapshot::SortedSetSnapshot(const SortedSet& set, store::Memory& memory) {
  if (set.packed()) {
    run_ = set.run().bytes();
    work::bytes(run_.size());
    return;
  }
  large_ = set.collection().pin(memory.leftovers());
}

// --- changes ---

Stored add(Edit& edit, BlockHeap& heap, const Thresholds& thresholds, std::span<Addition> additions, const AddRules& rules, Added& added) {
  return Adding(edit, heap, thresholds, rules, added).add(additions);
}

namespace {

Stored remove_packed(Edit& edit, std::span<const std::string_view> members, std::uint64_t& removed) {
  RunBuffer& buffer = RunBuffer::scratch();
  buffer.assign(edit.bytes());
  for (const std::string_view text : members) {
    const PackedElement member(text);
    const auto found = find_in(buffer.run(TreeKind::scored), member);
    if (!found) continue;
    erase_from(buffer, found->item);
    ++removed;
  }
  return removed > 0 ? edit.put(edit.form(), buffer.bytes()) : Stored::done;
}

Stored remove_packed(Edit& edit, Positions positions) {
  RunBuffer& buffer = RunBuffer::scratch();
  buffer.assign(edit.bytes());
  const Run run = buffer.run(TreeKind::scored);
  const char* const first = run.at(positions.first);
  const char* last = first;
  for (std::uint64_t left = positions.size(); left > 0; --left) last = run.next(last);
  work::entries(positions.last);
  buffer.erase(run.offset(first), static_cast<std::size_t>(last - first), positions.size());
  return edit.put(edit.form(), buffer.bytes());
}

bool remove_large(Collection& set, Positions positions, bool keep_piece, Removal& removal) {
  if (positions.size() == 1) {
    const Tree::Path path = set.items.at(positions.first);
    return erase_from(set, path, ScoredItem(path.item()).member().hash());
  }
  std::optional<Tree> piece = set.items.cut(positions.first, positions.last);
  if (!piece) return false;
  if (keep_piece) removal.piece = piece->share();
  if (positions.size() <= most_removed_at_once) {
    erase_scores(set, *piece);
  } else {
    // If there is no memory for that, the index keeps their items.
    removal.owes = set.debt.append(*piece);
  }
  return true;
}

// Calls `change(Collection&)` with a large set. It returns whether it has removed members. What is left becomes packed if it is little.
template <class Change>
Stored shrink(Edit& edit, bool& packed, Change&& change) {
  RunBuffer& run = RunBuffer::scratch();
  const Stored stored = edit.change([&](Collection& set) {
    const bool changed = change(set);
    packed = changed && set.size() > 0 && pack_again(set.items, run);
    return changed && !packed;
  });
  if (stored && packed) packed = edit.pack(sorted_set_form(true, named_large(edit.form())), run.bytes());
  return stored;
}

}  // namespace

Stored remove(Edit& edit, std::span<const std::string_view> members, std::uint64_t& removed) {
  removed = 0;
  if (!edit.exists()) return Stored::done;
  if (edit.packed()) return remove_packed(edit, members, removed);
  bool had_memory = true;
  bool packed = false;
  const Stored stored = shrink(edit, packed, [&](Collection& set) {
    pay_debt(set, paid_by_write);
    for (const std::string_view text : members) {
      const std::uint64_t hash = store::hash_of_text(text);
      const Tree::Path path = find_in(set, text, hash);
      if (!path.found()) continue;
      had_memory = erase_from(set, path, hash);
      if (!had_memory) break;
      ++removed;
    }
    return removed > 0;
  });
  return had_memory ? stored : Stored::no_memory;
}

Stored remove(Edit& edit, Positions positions, bool keep_piece, Removal& removal) {
  removal.removed = positions.size();
  if (edit.packed()) return remove_packed(edit, positions);
  if (positions.size() == edit.collection().size()) {
    if (keep_piece) removal.piece = edit.collection().items.share();
    return edit.put(edit.form(), std::string_view());
  }
  bool had_memory = true;
  bool packed = false;
  const Stored stored = shrink(edit, packed, [&](Collection& set) {
    pay_debt(set, paid_by_write);
    had_memory = remove_large(set, positions, keep_piece, removal);
    return had_memory;
  });
  if (packed) removal.owes = false;
  return had_memory ? stored : Stored::no_memory;
}

bool pay_debt(Collection& set, std::uint64_t most) {
  const std::uint64_t owed = set.debt.size();
  if (owed == 0) return true;
  if (owed <= most) {
    erase_scores(set, set.debt);
    set.debt = empty_items(set);
    return true;
  }
  // Without memory nothing is paid this time.
  if (const std::optional<Tree> paid = set.debt.cut(0, most)) erase_scores(set, *paid);
  return false;
}

// --- building ---

bool SortedSetBuilder::add(const Element& member, double score, std::uint64_t hash) {
  named_large_ = named_large_ || size_ + 1 > thresholds_.zset_entries || member.text_size() > thresholds_.zset_value;
  const PackedItem item(named_large_ ? score : without_minus(score), member.packed());
  const std::string_view bytes = item.bytes();
  if (!large_ && (member.is_block() || size_ == most_packed_items || used_ + bytes.size() > run_.size()) && !enlarge()) return false;
  if (!large_) {
    std::memcpy(run_.data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  } else {
    Collection& set = large();
    Blob block = member.is_block() ? member.share() : Blob();
    if (!set.index.insert_score(hash, score)) return false;
    if (!set.items.insert(set.items.at(size_), bytes)) return false;
    block.detach();
  }
  ++size_;
  return true;
}

bool SortedSetBuilder::enlarge() {
  const auto count = static_cast<std::uint16_t>(size_);
  std::memcpy(run_.data(), &count, sizeof count);
  large_ = enlarged(memory_.heap(), Run(TreeKind::scored, {run_.data(), used_}));
  if (!large_) return false;
  large_.free_in(memory_.leftovers());
  return true;
}

store::TypedValue SortedSetBuilder::take() {
  const store::ValueKind kind = kind_of(store::Type::zset, sorted_set_form(!large_, named_large_));
  if (large_) return {.kind = kind, .packed = {}, .outside = store::OwnedHandle(large_.detach())};
  const auto count = static_cast<std::uint16_t>(size_);
  std::memcpy(run_.data(), &count, sizeof count);
  return {.kind = kind, .packed = {run_.data(), used_}, .outside = {}};
}

}  // namespace pinfold::types
