#include "pinfold/types/list.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/store/kept_tree.hpp"

namespace pinfold::types {

using store::Collection;
using store::Element;
using store::Form;
using store::PackedElement;
using store::Stored;
using store::Tree;
using store::TreeKind;

namespace {

// A list in a tree that gets as small as this goes back into its entry.
constexpr std::uint64_t most_packed_again_items = most_packed_items / 4;
constexpr std::size_t most_packed_again_bytes = most_packed_bytes / 4;
// Items that are read forwards and compared backwards.
constexpr std::uint64_t read_at_once = 128;

bool is_large(Form form) { return form == Form::packed_large || form == Form::tree_large; }

std::size_t bytes_of(std::span<const std::string_view> texts) {
  return std::accumulate(texts.begin(), texts.end(), std::size_t{0},
                         [](std::size_t sum, std::string_view text) { return sum + text.size(); });
}

bool add_one(Tree& tree, const Tree::Path& path, std::string_view text, Blob block, BlockHeap& heap) {
  PackedElement element(text, std::move(block));
  if (!element.provide_block(heap) || !tree.insert(path, element.packed())) return false;
  element.keep_block();
  return true;
}

bool append_run(Tree& tree, const Run& run) {
  for (const char* item = run.begin(); item != run.end(); item = run.next(item)) {
    if (!tree.insert(tree.at(tree.size()), Element(item).packed())) return false;
  }
  return true;
}

// Calls `change` with a tree, and undoes what that has done if it returns false.
template <class Change>
bool all_or_nothing(Tree& tree, Change&& change) {
  Tree before = tree.share();
  if (change()) return true;
  tree = std::move(before);
  return false;
}

// Whether Redis would call a list with so much a quicklist, by list-max-listpack-size. For bytes the figure is that of a listpack only
// nearly. `part`: it may have only this part of the limit, a half if `part` is 2.
bool exceeds(std::int64_t limit, std::uint64_t items, std::uint64_t bytes, std::uint64_t part = 1) {
  constexpr std::uint64_t safe_bytes = 8192;  // that it allows whatever the number of elements
  constexpr std::array<std::uint64_t, 5> sizes = {4096, 8192, 16384, 32768, 65536};
  if (limit >= 0) return part * items > std::max<std::uint64_t>(static_cast<std::uint64_t>(limit), 1) || bytes > safe_bytes;
  return part * bytes > sizes[std::min<std::size_t>(static_cast<std::size_t>(-(limit + 1)), sizes.size() - 1)];
}

// The bytes of a listpack, which also says behind each element how long it is.
std::uint64_t listpack_bytes(const RunBuffer& run) { return run.bytes().size() + 2 * run.count(); }

// Copies the elements of a tree from a position on into `run`. Returns false if they are more than `most` bytes, or lie in blocks.
bool copy_to_run(const Tree& tree, std::uint64_t from, std::uint64_t count, std::size_t most, RunBuffer& run) {
  bool fits = true;
  Tree::Path path = tree.at(from);
  tree.visit(path, count, [&](const char* item) {
    const Element element(item);
    fits = !element.is_block() && run.bytes().size() + element.size() <= most;
    if (fits) run.append(element.packed());
    return fits;
  });
  return fits;
}

}  // namespace

ListRange list_range(std::int64_t first, std::int64_t last, std::uint64_t size) {
  const auto end = static_cast<std::int64_t>(size);
  const auto from_left = [end](std::int64_t index) { return index >= 0 ? index : std::max<std::int64_t>(index, -end - 1) + end; };
  const std::int64_t from = std::max<std::int64_t>(from_left(first), 0);
  const std::int64_t to = std::min(from_left(last), end - 1) + 1;
  if (from >= to) return {};
  return {static_cast<std::uint64_t>(from), static_cast<std::uint64_t>(to)};
}

std::optional<std::uint64_t> list_position(std::int64_t index, std::uint64_t size) {
  const auto end = static_cast<std::int64_t>(size);
  if (index >= end || index < -end) return std::nullopt;
  return static_cast<std::uint64_t>(index >= 0 ? index : index + end);
}

std::optional<List> List::find(store::Database& db, const store::Key& key, store::Access access) {
  const auto value = find_collection(db, key, store::Type::list, access);
  return value ? std::optional<List>(*value) : std::nullopt;
}

Element List::at(std::uint64_t position) const { return Element(packed() ? run().at(position) : tree().at(position).item()); }

// --- searching ---

// Returns whether the search goes on.
bool ListSearch::look_at(const char* item, std::uint64_t position) {
  ++looked_at_;
  if (needle_.equals(Element(item))) {
    if (skipped_ < options_.skip) {
      ++skipped_;
    } else {
      found_.push_back(position);
    }
  }
  return looked_at_ != options_.compared && (options_.most == 0 || found_.size() < options_.most);
}

void ListSearch::search(const Run& run) {
  const std::size_t count = run.count();
  work::entries(count);
  std::array<const char*, most_packed_items> items;
  const char* item = run.begin();
  for (std::size_t i = 0; i < count; ++i, item = run.next(item)) {
    items[i] = item;
    if (options_.from == End::left && !look_at(item, i)) return;
  }
  if (options_.from == End::left) return;
  for (std::size_t i = count; i > 0 && look_at(items[i - 1], i - 1);) --i;
}

bool ListSearch::search(const Tree& tree, std::uint64_t items) {
  bool more = !over_;
  for (std::uint64_t left = std::min(items, tree.size() - looked_at_); left > 0 && more;) {
    // Items are read from the left, also those that are compared from the right.
    const bool right = options_.from == End::right;
    const std::uint64_t count = right ? std::min(left, read_at_once) : left;
    const std::uint64_t first = right ? tree.size() - looked_at_ - count : looked_at_;
    std::array<const char*, read_at_once> read;
    std::size_t found = 0;
    Tree::Path path = tree.at(first);
    tree.visit(path, count, [&](const char* item) {
      if (!right) return more = look_at(item, looked_at_);
      read[found++] = item;
      return true;
    });
    for (; found > 0 && more; --found) more = look_at(read[found - 1], first + found - 1);
    left -= count;
  }
  over_ = !more || looked_at_ == tree.size();
  return over_;
}

// --- changes ---

std::size_t ListEdit::Place::in(const RunBuffer& run) const {
  if (kind == Kind::left) return Run::header;
  if (kind == Kind::right) return run.bytes().size();
  const Run of = run.run(TreeKind::list);
  return of.offset(of.at(position));
}

Tree::Path ListEdit::Place::in(const Tree& tree) const {
  if (kind == Kind::position) return tree.at(position);
  return tree.at(kind == Kind::left ? 0 : tree.size());
}

Element ListEdit::at(std::uint64_t position) const { return Element(packed() ? run().at(position) : tree().at(position).item()); }

Stored ListEdit::push(End end, std::span<const std::string_view> texts, const BlockOf& block_of) {
  return add({.kind = end == End::left ? Place::Kind::left : Place::Kind::right}, texts, block_of);
}

Stored ListEdit::insert(std::uint64_t position, std::string_view text, Blob block) {
  return add({.kind = Place::Kind::position, .position = position}, {&text, 1}, [&](std::size_t) { return std::move(block); });
}

Stored ListEdit::add(const Place& place, std::span<const std::string_view> texts, const BlockOf& block_of) {
  if (!packed()) return add_to_tree(place, texts, block_of);
  RunBuffer& run = RunBuffer::scratch();
  if (exists()) run.assign(edit_.bytes());
  std::size_t added = 0;
  while (added < texts.size() && run.fits()) {
    const PackedElement element(texts[added]);
    if (element.needs_block()) break;
    run.insert(place.in(run), element.packed());
    ++added;
  }
  if (added == texts.size() && run.fits()) return edit_.put(packed_form(Resizing::grows, run), run.bytes());
  return store_as_tree(Resizing::grows, run, bytes_of(texts), [&](Tree& tree) { return add_all(tree, place, texts, block_of, added); });
}

Stored ListEdit::add_to_tree(const Place& place, std::span<const std::string_view> texts, const BlockOf& block_of) {
  const std::size_t bytes = bytes_of(texts);
  if (const Stored refused = edit_.may_grow(bytes); !refused) return refused;
  return change_tree(form_after(Resizing::grows, false, size() + texts.size(), tree().memory() + bytes), [&](Tree& tree) {
    const auto add = [&] { return add_all(tree, place, texts, block_of, 0); };
    return texts.size() == 1 ? add() : all_or_nothing(tree, add);
  });
}

bool ListEdit::add_all(Tree& tree, const Place& place, std::span<const std::string_view> texts, const BlockOf& block_of, std::size_t from) {
  for (std::size_t i = from; i < texts.size(); ++i) {
    Blob block;
    if (block_of && texts[i].size() > store::most_inline_element) block = block_of(i);
    if (!add_one(tree, place.in(tree), texts[i], std::move(block), memory_.heap())) return false;
  }
  return true;
}

// Stores the items of `run` as a tree, which `alter` changes first. `added`: by how many bytes it grows.
template <class Alter>
Stored ListEdit::store_as_tree(Resizing how, const RunBuffer& run, std::size_t added, Alter&& alter) {
  if (const Stored refused = edit_.may_grow(run.bytes().size() + added); !refused) return refused;
  Collection* const collection = Collection::make(memory_.heap(), store::Type::list);
  if (collection == nullptr) return Stored::no_memory;
  store::OwnedHandle owner = Collection::own(store::Type::list, collection);
  if (!append_run(collection->items, run.run(TreeKind::list)) || !alter(collection->items)) return Stored::no_memory;
  owner.detach();
  return edit_.put(form_after(how, false, collection->size(), collection->items.memory()), collection);
}

// Changes the tree where it is, or a copy of it if the list gets another name.
template <class Alter>
Stored ListEdit::change_tree(Form form, Alter&& alter) {
  if (form != edit_.form()) {
    Collection* const changed = edit_.collection().clone();
    if (changed == nullptr) return Stored::no_memory;
    store::OwnedHandle owner = Collection::own(store::Type::list, changed);
    if (!alter(changed->items)) return Stored::no_memory;
    owner.detach();
    return edit_.put(form, changed);
  }
  bool done = false;
  const Stored stored = edit_.change([&](Collection& collection) { return done = alter(collection.items); });
  return stored && !done ? Stored::no_memory : stored;
}

Stored ListEdit::set(std::uint64_t position, std::string_view text, Blob block) {
  PackedElement element(text, std::move(block));
  const auto replace = [&](Tree& tree) {
    if (!element.provide_block(memory_.heap()) || !tree.replace(tree.at(position), element.packed())) return false;
    element.keep_block();
    return true;
  };
  if (!packed()) {
    if (const Stored refused = edit_.may_grow(text.size()); !refused) return refused;
    const Element before = at(position);
    const std::uint64_t freed = before.is_block() ? before.text_size() : 0;
    return change_tree(form_after(Resizing::replaces, false, size(), tree().memory() - freed + text.size()), replace);
  }
  RunBuffer& run = RunBuffer::scratch();
  run.assign(edit_.bytes());
  if (element.needs_block()) return store_as_tree(Resizing::replaces, run, text.size(), replace);
  const Run items = run.run(TreeKind::list);
  const char* const item = items.at(position);
  run.replace(items.offset(item), Element(item).size(), element.packed());
  if (run.fits()) return edit_.put(packed_form(Resizing::replaces, run), run.bytes());
  return store_as_tree(Resizing::replaces, run, text.size(), [](Tree&) { return true; });
}

Stored ListEdit::keep(const ListRange& range) {
  if (range.size() == 0) return edit_.put(Form::packed_small, std::string_view());
  if (auto stored = keep_packed(range)) return *stored;
  if (range.size() + 1 == size()) {
    const std::uint64_t other = range.from == 0 ? range.to : 0;
    return remove({&other, 1});
  }
  Tree front;
  Tree back;
  const Stored stored = cut(range, front, back);
  // What was cut out is freed in pieces.
  for (Tree* const gone : {&front, &back}) store::KeptTree(memory_, std::move(*gone));
  return stored;
}

Stored ListEdit::take(End end, std::uint64_t count, Tree& taken) {
  const std::uint64_t before = size();
  const ListRange range = end == End::left ? ListRange{count, before} : ListRange{0, before - count};
  taken = tree().share();
  if (range.size() == 0) return edit_.put(Form::packed_small, std::string_view());
  if (auto stored = keep_packed(range)) return *stored;
  taken = Tree();
  Tree other;
  return end == End::left ? cut(range, taken, other) : cut(range, other, taken);
}

// Cuts out what is before and behind the range.
Stored ListEdit::cut(const ListRange& range, Tree& front, Tree& back) {
  const std::uint64_t before = size();
  const Form form = form_after(Resizing::shrinks, false, range.size(), tree().memory() / before * range.size());
  return change_tree(form, [&](Tree& tree) {
    const auto take_part = [&tree](std::uint64_t from, std::uint64_t to, Tree& part) {
      auto taken = tree.cut(from, to);
      if (taken) part = std::move(*taken);
      return taken.has_value();
    };
    const auto take_back = [&] { return take_part(range.to, before, back); };
    const auto take_front = [&] { return take_part(0, range.from, front); };
    if (range.from == 0) return take_back();
    if (range.to == before) return take_front();
    return all_or_nothing(tree, [&] { return take_back() && take_front(); });
  });
}

// Does it if the list is packed afterwards.
std::optional<Stored> ListEdit::keep_packed(const ListRange& range) {
  RunBuffer& run = RunBuffer::scratch();
  if (packed()) {
    run.assign(edit_.bytes());
    const Run items = run.run(TreeKind::list);
    const std::size_t count = items.count();
    const std::size_t from = items.offset(items.at(range.from));
    const std::size_t to = items.offset(items.at(range.to));
    run.erase(to, run.bytes().size() - to, count - range.to);
    run.erase(Run::header, from - Run::header, range.from);
    return edit_.put(packed_form(Resizing::shrinks, run), run.bytes());
  }
  if (range.size() > most_packed_again_items) return std::nullopt;
  if (!copy_to_run(tree(), range.from, range.size(), most_packed_again_bytes, run)) return std::nullopt;
  return edit_.put(packed_form(Resizing::shrinks, run), run.bytes());
}

Stored ListEdit::remove(std::span<const std::uint64_t> positions) {
  if (positions.size() == size()) return keep({});
  if (packed()) {
    RunBuffer& run = RunBuffer::scratch();
    run.assign(edit_.bytes());
    for (std::size_t i = positions.size(); i > 0; --i) {
      const Run items = run.run(TreeKind::list);
      const char* const item = items.at(positions[i - 1]);
      run.erase(items.offset(item), Element(item).size());
    }
    return edit_.put(packed_form(Resizing::shrinks, run), run.bytes());
  }
  const std::uint64_t left = size() - positions.size();
  return change_tree(form_after(Resizing::shrinks, false, left, tree().memory() / size() * left), [&](Tree& tree) {
    const auto erase = [&] {
      for (std::size_t i = positions.size(); i > 0; --i) {
        if (!tree.erase(tree.at(positions[i - 1]))) return false;
      }
      return true;
    };
    return positions.size() == 1 ? erase() : all_or_nothing(tree, erase);
  });
}

Stored ListEdit::take_back(End end) {
  const std::uint64_t position = end == End::left ? 0 : size() - 1;
  if (packed() || size() == 1) return keep(end == End::left ? ListRange{1, size()} : ListRange{0, position});
  // The push has made the way to the element the tree's own.
  return change_tree(edit_.form(), [&](Tree& tree) { return tree.erase(tree.at(position)); });
}

Stored ListEdit::rotate(End to) {
  const std::uint64_t from = to == End::left ? size() - 1 : 0;
  if (packed()) {
    RunBuffer& run = RunBuffer::scratch();
    run.assign(edit_.bytes());
    const Run items = run.run(TreeKind::list);
    const char* const item = items.at(from);
    const std::size_t offset = items.offset(item);
    std::array<char, store::most_packed_element> copy;
    const std::size_t size = Element(item).size();
    std::copy_n(item, size, copy.data());
    run.erase(offset, size);
    run.insert(to == End::left ? Run::header : run.bytes().size(), {copy.data(), size});
    return edit_.put(packed_form(Resizing::shrinks, run), run.bytes());
  }
  return change_tree(form_after(Resizing::shrinks, false, size(), tree().memory()), [&](Tree& tree) {
    return all_or_nothing(tree, [&] {
      const Element element(tree.at(from).item());
      Element::Digits digits;
      const std::string_view text = element.text(digits);
      Blob block = element.is_block() ? element.share() : Blob();
      const std::uint64_t place = to == End::left ? 0 : tree.size();
      if (!add_one(tree, tree.at(place), text, std::move(block), memory_.heap())) return false;
      return tree.erase(tree.at(to == End::left ? tree.size() - 1 : 0));
    });
  });
}

Stored ListEdit::replace(Collection* changed) {
  return edit_.put(form_after(Resizing::shrinks, false, changed->size(), changed->items.memory()), changed);
}

// --- names ---

// As in Redis, a list gets the name quicklist only when it grows, and loses it only when it has shrunk to half of what a listpack may have.
// An element that replaces another one counts as one more while it does.
Form ListEdit::form_after(Resizing how, bool packed, std::uint64_t items, std::uint64_t bytes) const {
  bool large = exists() && is_large(edit_.form());
  if (how == Resizing::grows) large = large || exceeds(list_size_, items, bytes);
  if (how == Resizing::replaces) large = large || exceeds(list_size_, items + 1, bytes);
  if (how != Resizing::grows) large = large && exceeds(list_size_, items, bytes, 2);
  if (packed) return large ? Form::packed_large : Form::packed_small;
  return large ? Form::tree_large : Form::tree_small;
}

Form ListEdit::packed_form(Resizing how, const RunBuffer& run) const { return form_after(how, true, run.count(), listpack_bytes(run)); }

// --- drafts ---

bool ListDraft::append(std::string_view text, Blob block) {
  if (!made_) {
    made_ = store::OwnedHandle(store::Handle(store::Type::list, Collection::make(memory_.heap(), store::Type::list)));
    made_.free_in(memory_.leftovers());
  }
  return made_ && add_one(collection().items, collection().items.at(size()), text, std::move(block), memory_.heap());
}

Stored ListDraft::put(store::Database& db, const store::Key& key) {
  RunBuffer& run = RunBuffer::scratch();
  store::TypedValue value;
  if (size() <= most_packed_items && copy_to_run(collection().items, 0, size(), most_packed_bytes, run)) {
    const bool large = exceeds(list_size_, run.count(), listpack_bytes(run));
    value.kind = kind_of(store::Type::list, large ? Form::packed_large : Form::packed_small);
    value.packed = run.bytes();
    const Stored stored = db.put(key, std::move(value), {});
    forget_scratch();
    if (stored) made_ = {};
    return stored;
  }
  const bool large = exceeds(list_size_, size(), collection().items.memory());
  value.kind = kind_of(store::Type::list, large ? Form::tree_large : Form::tree_small);
  value.outside = std::move(made_);
  return db.put(key, std::move(value), {});
}

}  // namespace pinfold::types
