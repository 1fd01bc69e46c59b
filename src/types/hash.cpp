#include "pinfold/types/hash.hpp"

#include <array>
#include <cstring>
#include <utility>

namespace pinfold::types {

using store::Collection;
using store::Element;
using store::Form;
using store::PackedElement;
using store::Stored;

namespace {

// A field and its value one behind the other.
class Pair {
 public:
  Pair(std::string_view field, std::string_view value) : size_(field.size() + value.size()) {
    std::memcpy(bytes_.data(), field.data(), field.size());
    std::memcpy(bytes_.data() + field.size(), value.data(), value.size());
  }
  std::string_view item() const { return {bytes_.data(), size_}; }

 private:
  std::size_t size_;
  std::array<char, 2 * store::most_packed_element> bytes_;
};

// Returns whether the field is new. The elements need no blocks, and there is room for them.
bool set_in_run(RunBuffer& run, const PackedElement& field, const PackedElement& value) {
  const char* const item = find_item<true>(run.bytes(), field);
  if (item == nullptr) {
    run.append(Pair(field.packed(), value.packed()).item());
    return true;
  }
  const Element old = value_of(item);
  run.replace(run.run(store::TreeKind::hash).offset(old.data()), old.size(), value.packed());
  return false;
}

enum class Set : std::uint8_t { added, replaced, no_memory };

Set set_in_items(store::Tree& items, BlockHeap& heap, PackedElement& field, PackedElement& value) {
  if (!field.provide_block(heap) || !value.provide_block(heap)) return Set::no_memory;
  const Pair pair(field.packed(), value.packed());
  const store::Tree::Path place = items.find(field, field.hash());
  const bool done = place.found() ? items.replace(place, pair.item()) : items.insert(place, pair.item());
  if (!done) return Set::no_memory;
  field.keep_block();
  value.keep_block();
  return place.found() ? Set::replaced : Set::added;
}

// Sets the pairs from `next` on. Returns how many it has set: fewer than there are if there is no memory.
std::size_t set_all(store::Tree& items, BlockHeap& heap, const Texts& pairs, std::size_t next, std::uint64_t& added) {
  std::size_t set = 0;
  for (std::size_t i = next; i < pairs.size(); i += 2, ++set) {
    PackedElement field(pairs[i], pairs.block(i));
    PackedElement value(pairs[i + 1], pairs.block(i + 1));
    const Set how = set_in_items(items, heap, field, value);
    if (how == Set::no_memory) break;
    if (how == Set::added) ++added;
  }
  return set;
}

bool fits_inline(std::string_view text) { return text.size() <= store::most_inline_element; }

}  // namespace

Stored HashEdit::put_run(const RunBuffer& run, bool large) {
  large = large || run.count() > thresholds_.hash_entries;
  return edit_.put(large ? Form::packed_large : Form::packed_small, run.bytes());
}

Stored HashEdit::set(const Texts& pairs, std::uint64_t& added) {
  added = 0;
  const bool large = is_large() || pairs.announced() / 2 > thresholds_.hash_entries || pairs.any_longer_than(thresholds_.hash_value);
  if (!edit_.packed()) return set_in_tree(pairs, large, added);
  RunBuffer& run = RunBuffer::scratch();
  if (edit_.exists()) run.assign(edit_.bytes());
  std::size_t next = 0;
  while (next < pairs.size() && run.fits() && fits_inline(pairs[next]) && fits_inline(pairs[next + 1])) {
    if (set_in_run(run, PackedElement(pairs[next]), PackedElement(pairs[next + 1]))) ++added;
    next += 2;
  }
  return next == pairs.size() && run.fits() ? put_run(run, large) : grow_into_tree(run, pairs, next, large, added);
}

// `run` has the pairs before `next`, and may be larger than a packed collection.
Stored HashEdit::grow_into_tree(const RunBuffer& run, const Texts& pairs, std::size_t next, bool large, std::uint64_t& added) {
  const Texts::Need need = pairs.need(next);
  const std::size_t growth = tree_growth(need) + 2 * run.bytes().size();
  if (const Stored refused = edit_.may_grow(growth, need.received); !refused) return refused;
  store::OwnedHandle made = make_collection(heap_, store::Type::hash, run.run(store::TreeKind::hash));
  if (!made) return Stored::no_memory;
  Collection& collection = Collection::of(made.get());
  if (set_all(collection.items, heap_, pairs, next, added) * 2 != pairs.size() - next) return Stored::no_memory;
  large = large || collection.size() > thresholds_.hash_entries;
  return edit_.put(large ? Form::tree_large : Form::tree_small, &Collection::of(made.detach()));
}

Stored HashEdit::set_in_tree(const Texts& pairs, bool large, std::uint64_t& added) {
  const Texts::Need need = pairs.need();
  if (const Stored refused = edit_.may_grow(tree_growth(need), need.received, pairs.size()); !refused) return refused;
  std::size_t set = 0;
  bool renamed = false;
  const Stored stored = edit_.change([&](Collection& collection) {
    set = set_all(collection.items, heap_, pairs, 0, added);
    renamed = set > 0 && !is_large() && (large || collection.size() > thresholds_.hash_entries);
    return set > 0 && !renamed;
  });
  if (!stored) return stored;
  if (renamed) edit_.rename(Form::tree_large);
  return set * 2 == pairs.size() ? Stored::done : Stored::no_memory;
}

Stored HashEdit::remove(const Texts& fields, std::uint64_t& removed) {
  removed = 0;
  if (!edit_.exists()) return Stored::done;
  return edit_.packed() ? remove_from_run(fields, removed) : remove_from_tree(fields, removed);
}

Stored HashEdit::remove_from_run(const Texts& fields, std::uint64_t& removed) {
  RunBuffer& run = RunBuffer::scratch();
  const std::string_view before = edit_.bytes();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const PackedElement field(fields[i]);
    const char* const item = find_item<true>(removed == 0 ? before : run.bytes(), field);
    if (item == nullptr) continue;
    const std::size_t offset = static_cast<std::size_t>(item - (removed == 0 ? before : run.bytes()).data());
    if (removed++ == 0) run.assign(before);
    run.erase(offset, store::item_size(store::TreeKind::hash, run.bytes().data() + offset));
  }
  return removed == 0 ? Stored::done : edit_.put(edit_.form(), run.bytes());
}

Stored HashEdit::remove_from_tree(const Texts& fields, std::uint64_t& removed) {
  bool failed = false;
  bool packed = false;
  RunBuffer& run = RunBuffer::scratch();
  const Stored stored = edit_.change([&](Collection& collection) {
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const PackedElement field(fields[i]);
      const store::Tree::Path place = collection.items.find(field, field.hash());
      if (!place.found()) continue;
      failed = !collection.items.erase(place);
      if (failed) break;
      ++removed;
    }
    packed = removed > 0 && collection.size() > 0 && pack_again(collection.items, run);
    return removed > 0 && !packed;
  });
  if (!stored) return stored;
  if (packed) edit_.pack(is_large() ? Form::packed_large : Form::packed_small, run.bytes());
  return failed ? Stored::no_memory : Stored::done;
}

}  // namespace pinfold::types
