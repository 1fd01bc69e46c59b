#pragma once
// Sets: members without an order.
//
// A set of at most 448 numbers is an array of numbers (number_set.hpp) as long as it counts as an intset. Any other small set is a run
// (run.hpp) of members, in the order in which they were added. A set with more than 128 members, of more than 4 KB, or with a member of
// more than 512 bytes is a Collection. It becomes packed again when it has shrunk to a quarter of these bounds.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/types/keyed.hpp"
#include "pinfold/types/number_set.hpp"

namespace pinfold::types {

/// A member of a set where it lies: an element, or a number in an array of numbers. A view.
class Member {
 public:
  explicit Member(const char* element) : at_(element) {}
  explicit Member(std::int64_t number) : number_(number) {}

  bool is_plain_number() const { return at_ == nullptr; }
  /// For finding it in other sets, and storing it there.
  store::PackedElement packed() const { return is_plain_number() ? store::PackedElement(number_) : store::PackedElement(element()); }
  std::int64_t number() const { return number_; }
  store::Element element() const { return store::Element(at_); }

 private:
  const char* at_ = nullptr;
  std::int64_t number_ = 0;
};

/// A set where it lies, for reading. A view: valid until the key is changed, and only while its shard is locked. Not thread-safe.
class Set {
 public:
  enum class Layout : std::uint8_t { numbers, run, tree };

  explicit Set(const store::Value& value) : Set(store::form_of(value.kind), value.text, collection_of(value.handle())) {}
  /// `form` and the packed bytes, or the collection.
  Set(store::Form form, std::string_view bytes, const store::Collection* collection)
      : bytes_(bytes),
        collection_(collection),
        layout_(collection != nullptr ? Layout::tree : (form == store::Form::packed_numbers ? Layout::numbers : Layout::run)) {}

  Layout layout() const { return layout_; }
  // Each only for its layout.
  NumberSet numbers() const { return NumberSet(bytes_); }
  Run run() const { return {store::TreeKind::set, bytes_}; }
  const store::Collection& collection() const { return *collection_; }
  const store::Tree& tree() const { return collection().items; }
  std::string_view bytes() const { return bytes_; }

  /// Members. O(1).
  std::uint64_t size() const;
  /// O(log members), but O(members) in a run.
  bool contains(const store::PackedElement& member) const { return contains(member, layout_ == Layout::tree ? member.hash() : 0); }
  /// The same for a caller that knows the member's hash. Only a tree needs it.
  bool contains(const store::PackedElement& member, std::uint64_t hash) const;
  /// The member with this number, in the order in which they lie. O(log members), but O(members) in a run. The member is valid as long as
  /// the set.
  Member at(std::uint64_t position) const;
  /// Calls `visit(Member)` with the members from a position on, up to `count` of them, while it returns true. Returns how many it has
  /// visited, and reports them to base/work.hpp.
  template <class Visit>
  std::uint64_t visit(std::uint64_t from, std::uint64_t count, Visit&& visit) const;

 private:
  static const store::Collection* collection_of(store::Handle handle) { return handle ? &store::Collection::of(handle) : nullptr; }

  std::string_view bytes_;
  const store::Collection* collection_;
  Layout layout_;
};

/// What OBJECT ENCODING calls a set: an intset while all members are numbers and as few as set-max-intset-entries allows, and then a
/// listpack while all members are short and few enough. Otherwise a hashtable, for ever. In this order.
enum class SetName : std::uint8_t { numbers, small, large };
/// The name that a set has when it gets a further member. `before`: how many it had.
SetName named_with(SetName name, const store::PackedElement& member, std::uint64_t before, const Thresholds& thresholds);
/// The name of a set that gets up to this many members at once, as Redis guesses it.
SetName named_for(SetName name, std::uint64_t coming, const Thresholds& thresholds);

/// A set that is being made, or of which a changed copy is made, apart from its key. Not thread-safe. It uses the buffers of the thread
/// until it is too large for them, so there can be one at a time, and only in one step of a task; unless it is a tree from the start.
class SetDraft {
 public:
  SetDraft(BlockHeap& heap, const Thresholds& thresholds)
      : heap_(heap), thresholds_(thresholds), numbers_(NumberSetBuffer::scratch()), run_(RunBuffer::scratch()) {}
  ~SetDraft() { forget_scratch(); }
  SetDraft(const SetDraft&) = delete;
  SetDraft& operator=(const SetDraft&) = delete;

  /// Begins with the members of a packed set, which has some.
  void assign(store::Form form, std::string_view bytes);
  /// Makes it a tree. Returns false if there is no memory.
  bool become_tree();
  /// If it is destroyed as a large tree, that is freed later. After become_tree().
  void free_in(store::Leftovers& leftovers) { tree_.free_in(leftovers); }
  /// Up to so many members are to be added, of which this one is the first. Redis guesses the name by that.
  void expect(const store::PackedElement& first, std::uint64_t members);

  enum class Added : std::uint8_t { yes, no, no_memory };
  Added add(store::PackedElement& member);
  std::uint64_t size() const;

  /// Makes a tree packed if it is small enough. To be called before what follows, which needs members.
  void finish();
  bool is_tree() const { return static_cast<bool>(tree_); }
  const store::Collection& collection() const { return store::Collection::of(tree_.get()); }
  const store::Tree& tree() const { return collection().items; }
  store::Form form() const;
  /// The packed bytes. Only if !is_tree().
  std::string_view bytes() const { return layout_ == Set::Layout::numbers ? numbers_.bytes() : run_.bytes(); }
  /// Hands over the reference to the collection. Only if is_tree().
  store::OwnedHandle take_tree() { return std::move(tree_); }
  /// Stores it as a new value of the key, whatever was there.
  store::Stored put(store::Database& db, const store::Key& key);

 private:
  Added add_to_numbers(store::PackedElement& member);
  Added add_to_run(store::PackedElement& member);
  Added add_to_tree(store::PackedElement& member);
  bool leave_numbers();

  BlockHeap& heap_;
  const Thresholds thresholds_;
  NumberSetBuffer& numbers_;
  RunBuffer& run_;
  store::OwnedHandle tree_;
  Set::Layout layout_ = Set::Layout::numbers;
  SetName name_ = SetName::numbers;
};

/// A set that a command changes. Not thread-safe: a local variable of the command, while the shard of the key is locked. What it refers to
/// must outlive it. One of the functions that store may be called, once.
class SetEdit {
 public:
  /// Throws store::WrongType. With a `draft`: see Edit.
  SetEdit(store::Database& db, const store::Key& key, BlockHeap& heap, const Thresholds& thresholds, Draft* draft = nullptr)
      : edit_(db, key, store::Type::set, draft), heap_(heap), thresholds_(thresholds) {}

  bool exists() const { return edit_.exists(); }
  /// The set as it is before the change. Only if exists().
  Set set() const { return {edit_.form(), edit_.bytes(), edit_.packed() ? nullptr : &edit_.collection()}; }

  /// Whether there is room to add these members. add() asks by itself.
  store::Stored may_add(const Texts& members);
  /// Adds members. `added` becomes the number of those that are new. If memory is refused in the midst, some may have been added.
  store::Stored add(const Texts& members, std::uint64_t& added);

  // Adding one member in two steps, of which only the first may need blocks of the heap. In between, the set of another key may be changed.

  /// Takes what add() would take. If the set is a tree the member is in it then, of which nobody has been told.
  store::Stored prepare(const Texts& member);
  /// Whether finish() does the rest. If not, there was nothing to prepare, and the member is to be added by another SetEdit.
  bool prepared() const { return inserted_ || made_; }
  store::Stored finish();
  /// Undoes prepare(), which cannot fail.
  void take_back(const Texts& member);

  /// Removes members. `removed` becomes the number of those that were there. As for add() if memory is refused, which a tree needs only if
  /// others share its nodes.
  store::Stored remove(const Texts& members, std::uint64_t& removed);
  /// Removes the members with these numbers, which are in ascending order. Only if exists() and the set is packed. O(members).
  store::Stored remove_at(std::span<const std::uint32_t> positions);
  /// Calls `alter(Tree&)` with the members of a set that is a tree. `alter` returns whether it has removed any.
  template <class Alter>
  store::Stored remove_in_tree(Alter&& alter) {
    bool packed = false;
    RunBuffer& run = RunBuffer::scratch();
    const store::Stored stored = edit_.change([&](store::Collection& collection) {
      const bool altered = alter(collection.items);
      packed = altered && collection.size() > 0 && pack_again(collection.items, run);
      return altered && !packed;
    });
    if (stored && packed) pack(run);
    return stored;
  }

 private:
  store::Stored add_to_tree(const Texts& members, std::uint64_t& added);
  store::Stored remove_from_numbers(const Texts& members, std::uint64_t& removed);
  store::Stored remove_from_run(const Texts& members, std::uint64_t& removed);
  store::Stored put(const NumberSetBuffer& numbers);
  SetName name() const;
  void pack(const RunBuffer& run);

  Edit edit_;
  BlockHeap& heap_;
  const Thresholds& thresholds_;
  // What prepare() has done.
  bool inserted_ = false;     // into the tree
  store::OwnedHandle made_;   // a tree that takes the place of a packed set
  store::Form form_after_{};  // of either
};

template <class Visit>
std::uint64_t Set::visit(std::uint64_t from, std::uint64_t count, Visit&& visit) const {
  if (from >= size()) return 0;
  count = std::min(count, size() - from);
  if (layout_ == Layout::tree) {
    store::Tree::Path path = tree().at(from);
    return tree().visit(path, count, [&](const char* item) { return visit(Member(item)); });
  }
  std::uint64_t visited = 0;
  bool more = true;
  if (layout_ == Layout::numbers) {
    const NumberSet all = numbers();
    for (; more && visited < count; ++visited) more = visit(Member(all.at(from + visited)));
  } else {
    const Run all = run();
    const char* item = all.at(from);
    for (; more && visited < count; ++visited) {
      const char* const next = all.next(item);
      more = visit(Member(item));
      item = next;
    }
  }
  work::entries(visited);
  return visited;
}

}  // namespace pinfold::types
