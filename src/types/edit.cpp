#include "pinfold/types/edit.hpp"

#include <algorithm>

#include "pinfold/store/wrong_type.hpp"
#include "pinfold/types/run.hpp"

namespace pinfold::types {

using store::Collection;
using store::Stored;

std::optional<store::Value> find_collection(store::Database& db, const store::Key& key, store::Type type, store::Access access) {
  auto value = db.find(key, access.of_any_type());
  if (value && (value->is_string() || value->kind.type() != type)) throw store::WrongType();
  return value;
}

Edit::Edit(store::Database& db, const store::Key& key, store::Type type, Draft* draft)
    : db_(db),
      key_(key),
      type_(type),
      draft_(draft),
      value_(draft != nullptr ? draft->now() : find_collection(db, key, type, store::Access::write())) {}

Stored Edit::may_grow(std::size_t bytes, std::size_t received, std::size_t changes) {
  // An element may take a new leaf, and the nodes above it may be cut in two.
  constexpr std::size_t for_nodes = 8 * 1024;
  const std::size_t room = bytes + for_nodes + copied_by(changes);
  if (draft_ != nullptr) return db_.has_room(room);
  const std::size_t before = !value_ ? 0 : (value_->handle() ? value_->handle().memory() : value_->text.size());
  if (const Stored accepted = db_.accepts_collection(key_, before + bytes + received); !accepted) return accepted;
  return db_.has_room(room);
}

// The bytes of nodes that so many changes copy at most.
std::size_t Edit::copied_by(std::size_t changes) const {
  constexpr std::size_t node = 2048;
  constexpr std::size_t nodes_of_a_path = 3;
  if (packed() || (draft_ == nullptr && collection().unique())) return 0;
  return std::min(collection().memory(), changes * nodes_of_a_path * node);
}

Stored Edit::put(store::Form form, std::string_view run) {
  if (Run(store::TreeKind::list, run).count() != 0) return put_bytes(form, run);
  if (exists()) remove();
  return Stored::done;
}

Stored Edit::put_bytes(store::Form form, std::string_view bytes) {
  if (draft_ != nullptr) {
    draft_->put_bytes(form, bytes);
    return Stored::done;
  }
  return db_.put(key_, store::TypedValue{.kind = kind_of(type_, form), .packed = bytes}, {.keep_expiry = true});
}

Stored Edit::put(store::Form form, Collection* collection) {
  if (draft_ != nullptr) {
    draft_->put(form, Collection::own(type_, collection));
    return Stored::done;
  }
  if (!packed() && this->collection().stores() > 1) collection->count_beside(this->collection());
  store::TypedValue value{.kind = kind_of(type_, form), .outside = Collection::own(type_, collection)};
  return db_.put(key_, std::move(value), {.keep_expiry = true});
}

// The original cannot go here, because the draft has a reference to it as well.
Stored Edit::put(Draft& draft) {
  const std::optional<store::Value> now = draft.now();
  if (!now) {
    if (exists()) remove();
    return Stored::done;
  }
  const store::Form form = store::form_of(now->kind);
  if (!now->handle()) return put_bytes(form, now->text);
  if (draft.has_grown()) {
    if (const Stored accepted = db_.accepts_collection(key_, draft.memory()); !accepted) return accepted;
  }
  if (packed() || this->form() != form) return put(form, &Collection::of(draft.take().detach()));
  db_.change(key_, type_, [&draft](store::OwnedHandle& handle) {
    const Collection& original = Collection::of(handle.get());
    store::OwnedHandle changed = draft.take();
    if (original.stored()) Collection::of(changed.get()).count_beside(original);  // its own entry does not count while it is changed
    handle = std::move(changed);
    return true;
  });
  return Stored::done;
}

void Edit::remove() {
  if (draft_ != nullptr) {
    draft_->remove();
  } else {
    db_.remove_emptied(key_);
  }
}

void Edit::rename(store::Form form) {
  if (draft_ != nullptr) return draft_->rename(form);
  const auto value = db_.find(key_, store::Access::none());
  if (!value || !value->handle()) return;  // a switch has come on meanwhile, and the key is not found any more
  store::TypedValue same{.kind = kind_of(type_, form), .outside = value->handle().share()};
  if (!same.outside || !db_.put(key_, std::move(same), {.keep_expiry = true})) tell_written();
}

bool Edit::pack(store::Form form, std::string_view bytes) {
  const bool packed = static_cast<bool>(put_bytes(form, bytes));
  if (!packed) tell_written();
  return packed;
}

void Edit::tell_written() {
  db_.change(key_, type_, [](store::OwnedHandle&) { return true; });
}

bool Edit::make_unique(store::OwnedHandle& handle) const {
  const Collection& shared = Collection::of(handle.get());
  if (shared.unique()) return true;
  Collection* const mine = shared.clone();
  if (mine == nullptr) return false;
  if (shared.stored()) mine->count_beside(shared);  // its own entry does not count while it is changed
  handle = Collection::own(type_, mine);
  return true;
}

}  // namespace pinfold::types
