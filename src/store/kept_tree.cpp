#include "pinfold/store/kept_tree.hpp"

#include "pinfold/store/collection.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::store {

KeptTree::KeptTree(Memory& memory, const Collection& collection) : memory_(&memory), pin_(collection.pin(memory.leftovers())) {}

KeptTree::~KeptTree() {
  constexpr std::uint64_t entries_at_once = 16;
  constexpr std::uint64_t bytes_at_once = 16 * 1024;
  Budget budget;
  if (budget.part(entries_at_once, bytes_at_once, [this](Budget& part) { return tree_.release(part); })) return;
  // A collection has a place in the list of what is to be freed. Of which type it is makes no difference.
  Collection* const rest = Collection::make(memory_->heap(), Type::list);
  if (rest == nullptr) return;
  rest->items = std::move(tree_);
  memory_->leftovers().give_up(Handle(Type::list, rest));
}

}  // namespace pinfold::store
