#include "pinfold/types/set.hpp"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace pinfold::types {

using store::Collection;
using store::Element;
using store::Form;
using store::PackedElement;
using store::Stored;

namespace {

std::optional<std::int64_t> number_of(const PackedElement& member) {
  if (member.needs_block()) return std::nullopt;
  const Element element(member.packed().data());
  return element.is_number() ? std::optional(element.number()) : std::nullopt;
}

Form form_as(SetName name, bool tree) {
  switch (name) {
    case SetName::numbers:
      return tree ? Form::tree_numbers : Form::packed_numbers;
    case SetName::small:
      return tree ? Form::tree_small : Form::packed_small;
    default:
      return tree ? Form::tree_large : Form::packed_large;
  }
}

SetName name_of(Form form) {
  switch (form) {
    case Form::packed_numbers:
    case Form::tree_numbers:
      return SetName::numbers;
    case Form::packed_small:
    case Form::tree_small:
      return SetName::small;
    default:
      return SetName::large;
  }
}

// Adds numbers to an empty set. Puts them in order.
void append_sorted(NumberSetBuffer& to, std::span<std::int64_t> numbers) {
  std::ranges::sort(numbers);
  for (const std::int64_t number : numbers) to.append(number);
}

}  // namespace

// --- reading ---

std::uint64_t Set::size() const {
  switch (layout_) {
    case Layout::numbers:
      return numbers().size();
    case Layout::run:
      return run().count();
    default:
      return tree().size();
  }
}

bool Set::contains(const PackedElement& member, std::uint64_t hash) const {
  switch (layout_) {
    case Layout::numbers: {
      const auto number = number_of(member);
      return number && numbers().contains(*number);
    }
    case Layout::run:
      return find_item<false>(bytes_, member) != nullptr;
    default:
      return tree().find(member, hash).found();
  }
}

Member Set::at(std::uint64_t position) const {
  switch (layout_) {
    case Layout::numbers:
      return Member(numbers().at(position));
    case Layout::run:
      return Member(run().at(position));
    default:
      return Member(tree().at(position).item());
  }
}

// --- names ---

SetName named_with(SetName name, const PackedElement& member, std::uint64_t before, const Thresholds& thresholds) {
  if (name == SetName::numbers) {
    if (number_of(member)) return before < thresholds.set_numbers ? SetName::numbers : SetName::large;
    if (before == 0) return named_with(SetName::small, member, before, thresholds);
  }
  if (name == SetName::large) return name;
  const bool small = before < thresholds.set_entries && member.text().size() <= thresholds.set_value;
  return small ? SetName::small : SetName::large;
}

SetName named_for(SetName name, std::uint64_t coming, const Thresholds& thresholds) {
  if (name == SetName::numbers && coming > thresholds.set_numbers) return SetName::large;
  if (name == SetName::small && coming > thresholds.set_entries) return SetName::large;
  return name;
}

// --- drafts ---

void SetDraft::assign(Form form, std::string_view bytes) {
  name_ = name_of(form);
  if (form == Form::packed_numbers) {
    layout_ = Set::Layout::numbers;
    numbers_.assign(bytes);
  } else {
    layout_ = Set::Layout::run;
    run_.assign(bytes);
  }
}

void SetDraft::expect(const PackedElement& first, std::uint64_t members) {
  if (size() == 0 && !number_of(first)) name_ = SetName::small;
  name_ = named_for(name_, members, thresholds_);
}

bool SetDraft::become_tree() {
  if (tree_) return true;
  if (layout_ == Set::Layout::numbers) {
    Collection* const made = Collection::make(heap_, store::Type::set);
    if (made == nullptr) return false;
    tree_ = Collection::own(store::Type::set, made);
    const NumberSet all = numbers_.numbers();
    for (std::size_t i = 0; i < all.size(); ++i) {
      const PackedElement member(all.at(i));
      if (!made->items.insert(made->items.find(member, member.hash()), member.packed())) return false;
    }
    work::entries(all.size());
  } else {
    tree_ = make_collection(heap_, store::Type::set, run_.run(store::TreeKind::set));
  }
  layout_ = Set::Layout::tree;
  return static_cast<bool>(tree_);
}

// Numbers that are to lie in a run or tree, because the set is no intset any more or has become too large.
bool SetDraft::leave_numbers() {
  const NumberSet all = numbers_.numbers();
  if (all.size() > most_packed_items) return become_tree();
  run_.clear();
  for (std::size_t i = 0; i < all.size(); ++i) run_.append(PackedElement(all.at(i)).packed());
  layout_ = Set::Layout::run;
  return true;
}

SetDraft::Added SetDraft::add(PackedElement& member) {
  switch (layout_) {
    case Set::Layout::numbers:
      return add_to_numbers(member);
    case Set::Layout::run:
      return add_to_run(member);
    default:
      return add_to_tree(member);
  }
}

SetDraft::Added SetDraft::add_to_numbers(PackedElement& member) {
  const auto number = number_of(member);
  if (name_ == SetName::numbers && number) {
    const std::size_t place = numbers_.numbers().place_of(*number);
    if (place < numbers_.size() && numbers_.numbers().at(place) == *number) return Added::no;
    const SetName name = named_with(name_, member, numbers_.size(), thresholds_);
    if (name == SetName::numbers && numbers_.size() < NumberSet::most) {
      numbers_.insert(*number);
      return Added::yes;
    }
    if (name == SetName::numbers) return become_tree() ? add_to_tree(member) : Added::no_memory;
  }
  if (!leave_numbers()) return Added::no_memory;
  return add(member);
}

SetDraft::Added SetDraft::add_to_run(PackedElement& member) {
  if (find_item<false>(run_.bytes(), member) != nullptr) return Added::no;
  const std::uint64_t before = run_.count();
  const std::size_t size = member.needs_block() ? most_packed_bytes : member.packed().size();
  const bool inline_only = !member.needs_block() && !Element(member.packed().data()).is_block();
  if (!inline_only || before == most_packed_items || run_.bytes().size() + size > most_packed_bytes) {
    return become_tree() ? add_to_tree(member) : Added::no_memory;
  }
  name_ = named_with(name_, member, before, thresholds_);
  run_.append(member.packed());
  return Added::yes;
}

SetDraft::Added SetDraft::add_to_tree(PackedElement& member) {
  Collection& collection = Collection::of(tree_.get());
  const store::Tree::Path place = collection.items.find(member, member.hash());
  if (place.found()) return Added::no;
  if (!member.provide_block(heap_)) return Added::no_memory;
  const std::uint64_t before = collection.size();
  if (!collection.items.insert(place, member.packed())) return Added::no_memory;
  member.keep_block();
  name_ = named_with(name_, member, before, thresholds_);
  return Added::yes;
}

std::uint64_t SetDraft::size() const {
  if (layout_ == Set::Layout::numbers) return numbers_.size();
  return layout_ == Set::Layout::run ? run_.count() : Collection::of(tree_.get()).size();
}

Form SetDraft::form() const { return form_as(name_, is_tree()); }

void SetDraft::finish() {
  if (!tree_) return;
  const store::Tree& tree = Collection::of(tree_.get()).items;
  if (name_ == SetName::numbers && tree.size() <= NumberSet::most) {
    std::array<std::int64_t, NumberSet::most> all;
    std::size_t count = 0;
    store::Tree::Path path = tree.at(0);
    tree.visit(path, tree.size(), [&](const char* item) {
      all[count++] = Element(item).number();
      return true;
    });
    numbers_.clear();
    append_sorted(numbers_, {all.data(), count});
    layout_ = Set::Layout::numbers;
  } else if (name_ != SetName::numbers && pack_if_fits(tree, run_)) {
    layout_ = Set::Layout::run;
  } else {
    return;
  }
  tree_ = {};
}

Stored SetDraft::put(store::Database& db, const store::Key& key) {
  store::TypedValue value{.kind = kind_of(store::Type::set, form())};
  if (is_tree()) {
    value.outside = take_tree();
  } else {
    value.packed = bytes();
  }
  return db.put(key, std::move(value));
}

// --- changing ---

SetName SetEdit::name() const { return name_of(edit_.form()); }

Stored SetEdit::may_add(const Texts& members) {
  const Texts::Need need = members.need();
  if (!edit_.packed()) return edit_.may_grow(tree_growth(need), need.received, members.size());
  const std::uint64_t most = exists() ? set().size() + members.size() : members.size();
  const std::size_t bytes = edit_.bytes().size() + need.packed;
  const bool stays_packed = need.inline_only && most <= most_packed_items && bytes <= most_packed_bytes;
  if (stays_packed || (exists() && edit_.form() == Form::packed_numbers && most <= NumberSet::most)) return Stored::done;
  constexpr std::size_t of_numbers = 10;
  const std::size_t present = exists() ? std::max(edit_.bytes().size(), set().size() * of_numbers) : 0;
  return edit_.may_grow(tree_growth(need) + 2 * present, need.received);
}

Stored SetEdit::add(const Texts& members, std::uint64_t& added) {
  added = 0;
  if (const Stored refused = may_add(members); !refused) return refused;
  if (!edit_.packed()) return add_to_tree(members, added);
  SetDraft draft(heap_, thresholds_);
  if (exists()) draft.assign(edit_.form(), edit_.bytes());
  for (std::size_t i = 0; i < members.size(); ++i) {
    PackedElement member(members[i], members.block(i));
    if (i == 0) draft.expect(member, members.announced());
    const SetDraft::Added how = draft.add(member);
    if (how == SetDraft::Added::no_memory) return Stored::no_memory;
    if (how == SetDraft::Added::yes) ++added;
  }
  if (added == 0) return Stored::done;
  if (draft.is_tree()) {
    const Form form = draft.form();
    return edit_.put(form, &Collection::of(draft.take_tree().detach()));
  }
  return edit_.put_bytes(draft.form(), draft.bytes());
}

Stored SetEdit::add_to_tree(const Texts& members, std::uint64_t& added) {
  bool failed = false;
  bool renamed = false;
  SetName next = named_for(name(), members.announced(), thresholds_);
  const Stored stored = edit_.change([&](Collection& collection) {
    for (std::size_t i = 0; i < members.size(); ++i) {
      PackedElement member(members[i], members.block(i));
      const store::Tree::Path place = collection.items.find(member, member.hash());
      if (place.found()) continue;
      const std::uint64_t before = collection.size();
      failed = !member.provide_block(heap_) || !collection.items.insert(place, member.packed());
      if (failed) break;
      member.keep_block();
      ++added;
      next = named_with(next, member, before, thresholds_);
    }
    renamed = added > 0 && next != name();
    return added > 0 && !renamed;
  });
  if (!stored) return stored;
  if (renamed) edit_.rename(form_as(next, true));
  return failed ? Stored::no_memory : Stored::done;
}

Stored SetEdit::prepare(const Texts& member) {
  if (const Stored refused = may_add(member); !refused) return refused;
  PackedElement element(member[0], member.block(0));
  if (edit_.packed()) {
    SetDraft draft(heap_, thresholds_);
    if (exists()) draft.assign(edit_.form(), edit_.bytes());
    draft.expect(element, 1);
    if (draft.add(element) == SetDraft::Added::no_memory) return Stored::no_memory;
    form_after_ = draft.form();
    if (draft.is_tree()) made_ = draft.take_tree();
    return Stored::done;
  }
  bool failed = false;
  const Stored stored = edit_.change([&](Collection& collection) {
    const store::Tree::Path place = collection.items.find(element, element.hash());
    if (place.found()) return false;
    const SetName next = named_with(named_for(name(), 1, thresholds_), element, collection.size(), thresholds_);
    failed = !element.provide_block(heap_) || !collection.items.insert(place, element.packed());
    if (failed) return false;
    element.keep_block();
    inserted_ = true;
    form_after_ = form_as(next, true);
    return false;
  });
  return stored && failed ? Stored::no_memory : stored;
}

Stored SetEdit::finish() {
  if (made_) return edit_.put(form_after_, &Collection::of(made_.detach()));
  if (form_after_ == edit_.form()) return edit_.change([](Collection&) { return true; });  // which tells of it
  edit_.rename(form_after_);
  return Stored::done;
}

void SetEdit::take_back(const Texts& member) {
  if (!inserted_) return;
  std::ignore = edit_.change([&](Collection& collection) {
    const PackedElement element(member[0]);
    collection.items.erase(collection.items.find(element, element.hash()));  // insert() has made the way there the tree's own
    return false;
  });
}

Stored SetEdit::remove(const Texts& members, std::uint64_t& removed) {
  removed = 0;
  if (!exists()) return Stored::done;
  if (!edit_.packed()) {
    bool failed = false;
    const Stored stored = remove_in_tree([&](store::Tree& items) {
      for (std::size_t i = 0; i < members.size(); ++i) {
        const PackedElement member(members[i]);
        const store::Tree::Path place = items.find(member, member.hash());
        if (!place.found()) continue;
        failed = !items.erase(place);
        if (failed) break;
        ++removed;
      }
      return removed > 0;
    });
    return failed ? Stored::no_memory : stored;
  }
  return edit_.form() == Form::packed_numbers ? remove_from_numbers(members, removed) : remove_from_run(members, removed);
}

Stored SetEdit::remove_from_numbers(const Texts& members, std::uint64_t& removed) {
  NumberSetBuffer& numbers = NumberSetBuffer::scratch();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto number = number_of(PackedElement(members[i]));
    if (!number) continue;
    const NumberSet all = removed == 0 ? NumberSet(edit_.bytes()) : numbers.numbers();
    const std::size_t place = all.place_of(*number);
    if (place == all.size() || all.at(place) != *number) continue;
    if (removed++ == 0) numbers.assign(edit_.bytes());
    numbers.erase(place);
  }
  return removed == 0 ? Stored::done : put(numbers);
}

Stored SetEdit::remove_from_run(const Texts& members, std::uint64_t& removed) {
  RunBuffer& run = RunBuffer::scratch();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::string_view all = removed == 0 ? edit_.bytes() : run.bytes();
    const char* const item = find_item<false>(all, PackedElement(members[i]));
    if (item == nullptr) continue;
    const std::size_t offset = static_cast<std::size_t>(item - all.data());
    if (removed++ == 0) run.assign(edit_.bytes());
    run.erase(offset, Element(run.bytes().data() + offset).size());
  }
  return removed == 0 ? Stored::done : edit_.put(edit_.form(), run.bytes());
}

Stored SetEdit::remove_at(std::span<const std::uint32_t> positions) {
  if (edit_.form() == Form::packed_numbers) {
    NumberSetBuffer& numbers = NumberSetBuffer::scratch();
    numbers.assign(edit_.bytes());
    for (std::size_t i = positions.size(); i > 0; --i) numbers.erase(positions[i - 1]);
    return put(numbers);
  }
  RunBuffer& run = RunBuffer::scratch();
  run.assign(edit_.bytes());
  const char* item = run.bytes().data() + Run::header;
  std::uint32_t position = 0;
  for (const std::uint32_t gone : positions) {
    for (; position < gone; ++position) item = Element(item).end();
    run.erase(static_cast<std::size_t>(item - run.bytes().data()), Element(item).size());
    ++position;
  }
  return edit_.put(edit_.form(), run.bytes());
}

Stored SetEdit::put(const NumberSetBuffer& numbers) {
  if (numbers.size() > 0) return edit_.put_bytes(Form::packed_numbers, numbers.bytes());
  return edit_.put(Form::packed_small, RunBuffer::scratch().bytes());
}

// An intset becomes an array of numbers again.
void SetEdit::pack(const RunBuffer& run) {
  if (name() != SetName::numbers) {
    edit_.pack(form_as(name(), false), run.bytes());
    return;
  }
  std::array<std::int64_t, most_packed_items> all;
  std::size_t count = 0;
  const Run items = run.run(store::TreeKind::set);
  for (const char* item = items.begin(); item != items.end(); item = items.next(item)) all[count++] = Element(item).number();
  NumberSetBuffer& numbers = NumberSetBuffer::scratch();
  append_sorted(numbers, {all.data(), count});
  edit_.pack(Form::packed_numbers, numbers.bytes());
}

}  // namespace pinfold::types
