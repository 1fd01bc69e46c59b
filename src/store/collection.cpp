#include "pinfold/store/collection.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace pinfold::store {

namespace {

constexpr std::size_t block_size() { return (sizeof(Collection) + BlockHeap::unit - 1) / BlockHeap::unit * BlockHeap::unit; }

constexpr TreeKind kind_of_items(Type type) {
  switch (type) {
    case Type::set:
      return TreeKind::set;
    case Type::zset:
      return TreeKind::scored;
    case Type::hash:
      return TreeKind::hash;
    default:
      return TreeKind::list;
  }
}

}  // namespace

Collection::Collection(BlockHeap& heap, Type type)
    : items(heap, kind_of_items(type)), index(heap, TreeKind::index), debt(heap, TreeKind::scored), heap_(&heap), type_(type) {}

Collection* Collection::make(BlockHeap& heap, Type type) {
  char* const block = heap.allocate(block_size());
  if (block == nullptr) return nullptr;
  std::memset(block, 0, block_size());  // what lay there before may have to be erased
  return new (block) Collection(heap, type);
}

std::size_t Collection::memory() const { return block_size() + tree_memory(); }

Collection* Collection::clone() const {
  Collection* const other = make(*heap_, type_);
  if (other == nullptr) return nullptr;
  other->items = items.share();
  other->index = index.share();
  other->debt = debt.share();
  return other;
}

OwnedHandle Collection::pin(Leftovers& leftovers) const {
  // Only its count of references changes.
  OwnedHandle pin = own(type_, static_cast<Collection*>(share(const_cast<Collection*>(this))));
  pin.free_in(leftovers);
  return pin;
}

// --- operations of the type ---

// Every change of a collection in an entry is between two of these, or is told by note_growth (Table::change_handle). With several
// holders, several threads may be here; the collection is not changed then.
void Collection::note_stored(void* raw, int sign) {
  auto& collection = *static_cast<Collection*>(raw);
  const int before = collection.stores_.fetch_add(sign, std::memory_order_relaxed);
  if (before != 0 && before + sign != 0) return;
  const std::uint64_t memory = collection.tree_memory();
  const std::uint64_t counted = memory - std::min(memory, collection.counted_elsewhere_);
  const auto bytes = before == 0 ? static_cast<std::int64_t>(counted) : -collection.told_.load(std::memory_order_relaxed);
  collection.told_.fetch_add(bytes, std::memory_order_relaxed);
  collection.heap_->note_stored_trees(bytes);
}

void Collection::note_growth(std::int64_t bytes) {
  told_.fetch_add(bytes, std::memory_order_relaxed);
  heap_->note_stored_trees(bytes);
}

void* Collection::share(void* raw) {
  auto& collection = *static_cast<Collection*>(raw);
  collection.references_.fetch_add(1, std::memory_order_relaxed);
  return raw;
}

bool Collection::release(void* raw, Budget& budget) {
  auto& collection = *static_cast<Collection*>(raw);
  if (!collection.unique() && collection.references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return true;
  collection.references_.store(1, std::memory_order_relaxed);  // nobody else is left; this may take several calls
  const bool wipe = collection.wipe_when_freed_.load(std::memory_order_relaxed);
  for (Tree* const tree : {&collection.debt, &collection.index, &collection.items}) {
    if (wipe) tree->wipe_when_freed();
    if (!tree->release(budget)) return false;
  }
  BlockHeap& heap = *collection.heap_;
  collection.~Collection();
  heap.free(static_cast<char*>(raw), block_size(), wipe);
  return true;
}

Handle* Collection::link(void* raw) { return &static_cast<Collection*>(raw)->link_; }

void Collection::wipe_when_freed(void* raw) { static_cast<Collection*>(raw)->wipe_when_freed_.store(true, std::memory_order_relaxed); }

bool Collection::wipe_slack(void* raw, std::uint64_t erasure, std::uint64_t& /*at*/, Budget& budget) {
  const auto& collection = *static_cast<const Collection*>(raw);
  return collection.items.wipe_slack(erasure, budget) && collection.debt.wipe_slack(erasure, budget);
}

ValueType::Recount Collection::recount(const void* raw, const std::function<void(const void*, std::size_t)>& show) {
  const auto& collection = *static_cast<const Collection*>(raw);
  show(raw, block_size());
  for (const Tree* const tree : {&collection.items, &collection.index, &collection.debt}) tree->for_each_block(show);
  return {static_cast<std::size_t>(collection.stores_.load()), collection.references_.load()};
}

}  // namespace pinfold::store
