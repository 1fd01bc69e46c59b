#include "pinfold/types/keyed.hpp"

#include <algorithm>
#include <cstring>

#include "pinfold/base/work.hpp"

namespace pinfold::types {

using store::Element;
using store::PackedElement;

template <bool pairs>
const char* find_item(std::string_view run, const PackedElement& element) {
  if (run.size() <= Run::header || element.needs_block()) return nullptr;
  const std::string_view wanted = element.packed();
  work::bytes(wanted.size());
  const char first = wanted.front();
  const char last = wanted.back();
  const char* const end = run.data() + run.size();
  for (const char* at = run.data() + Run::header; at != end;) {
    const std::size_t size = Element(at).size();
    // The first byte has the size of a short text, and the last one differs most often.
    if (*at == first && size == wanted.size() && at[size - 1] == last && std::memcmp(at, wanted.data(), size) == 0) return at;
    at += size;
    if constexpr (pairs) at += Element(at).size();
  }
  return nullptr;
}

template const char* find_item<false>(std::string_view, const PackedElement&);
template const char* find_item<true>(std::string_view, const PackedElement&);

store::OwnedHandle make_collection(BlockHeap& heap, store::Type type, const Run& run) {
  store::Collection* const made = store::Collection::make(heap, type);
  if (made == nullptr) return {};
  store::OwnedHandle owner = store::Collection::own(type, made);
  const store::TreeKind kind = made->items.kind();
  for (const char* item = run.begin(); item != run.end(); item = run.next(item)) {
    const PackedElement element{Element(item)};
    const store::Tree::Path place = made->items.find(element, element.hash());
    if (!made->items.insert(place, {item, store::item_size(kind, item)})) return {};
  }
  work::entries(run.count());
  return owner;
}

namespace {

bool has_block(store::TreeKind kind, const char* item) {
  if (kind == store::TreeKind::scored) return store::ScoredItem(item).member().is_block();
  return Element(item).is_block() || (kind == store::TreeKind::hash && Element(Element(item).end()).is_block());
}

bool pack_within(const store::Tree& tree, RunBuffer& run, std::size_t most_items, std::size_t most_bytes) {
  if (tree.size() > most_items) return false;
  run.clear();
  bool fits = true;
  store::Tree::Path path = tree.at(0);
  tree.visit(path, tree.size(), [&](const char* item) {
    const std::size_t size = store::item_size(tree.kind(), item);
    fits = !has_block(tree.kind(), item) && run.bytes().size() + size <= most_bytes;
    if (fits) run.append({item, size});
    return fits;
  });
  return fits;
}

}  // namespace

bool pack_again(const store::Tree& tree, RunBuffer& run) { return pack_within(tree, run, most_packed_items / 4, most_packed_bytes / 4); }

bool pack_if_fits(const store::Tree& tree, RunBuffer& run) { return pack_within(tree, run, most_packed_items, most_packed_bytes); }

// Leaves that have been cut in two are half full.
std::size_t tree_growth(const Texts::Need& need) { return need.blocks + 2 * need.packed; }

}  // namespace pinfold::types
