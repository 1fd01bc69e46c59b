#include "pinfold/types/draft.hpp"

#include "pinfold/base/work.hpp"

namespace pinfold::types {

using store::Collection;
using store::Form;
using store::OwnedHandle;
using store::Value;

std::optional<Value> Draft::State::value(store::Type type) const {
  if (!exists) return std::nullopt;
  return Value{.text = bytes, .encoding = store::Encoding::typed, .kind = kind_of(type, form), .outside = tree.get().raw()};
}

bool Draft::begin(const std::optional<Value>& value) {
  before_ = State();
  now_ = State();
  changed_ = false;
  if (!value) return true;
  before_.exists = now_.exists = true;
  before_.form = now_.form = store::form_of(value->kind);
  if (!value->handle()) {
    before_.bytes = now_.bytes = value->text;
    work::bytes(2 * value->text.size());
    return true;
  }
  Collection& original = Collection::of(value->handle());
  Collection* const clone = original.clone();
  if (clone == nullptr) return false;
  now_.tree = Collection::own(type_, clone);
  now_.tree.free_in(memory_.leftovers());
  before_.tree = original.pin(memory_.leftovers());
  return true;
}

bool Draft::began_with(const std::optional<Value>& value) const {
  if (!value || !before_.exists) return !value && !before_.exists;
  if (store::form_of(value->kind) != before_.form) return false;
  if (value->handle() || before_.tree) return value->handle().raw() == before_.tree.get().raw();
  work::bytes(value->text.size());
  return value->text == before_.bytes;
}

OwnedHandle Draft::successor(const std::optional<Value>& value) const {
  const bool alike = value && value->handle() && before_.tree && store::form_of(value->kind) == before_.form;
  return alike ? Collection::of(value->handle()).pin(memory_.leftovers()) : OwnedHandle();
}

bool Draft::has_grown() const {
  const auto bytes_of = [](const State& state) { return state.tree ? state.tree.get().memory() : state.bytes.size(); };
  return bytes_of(now_) > bytes_of(before_);
}

void Draft::remove() {
  now_ = State();
  changed_ = true;
}

void Draft::put_bytes(Form form, std::string_view bytes) {
  now_ = State{.exists = true, .form = form, .bytes = std::string(bytes), .tree = {}};
  changed_ = true;
}

void Draft::put(Form form, OwnedHandle tree) {
  tree.free_in(memory_.leftovers());
  now_ = State{.exists = true, .form = form, .bytes = {}, .tree = std::move(tree)};
  changed_ = true;
}

void Draft::rename(Form form) {
  now_.form = form;
  changed_ = true;
}

}  // namespace pinfold::types
