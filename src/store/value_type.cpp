#include "pinfold/store/value_type.hpp"

#include "pinfold/base/text.hpp"

namespace pinfold::store {

namespace {

// A string outside of the log is a Blob.
constexpr ValueType string_type{
    .name = "string",
    .release = [](void* raw, Budget&) { return Blob::release(raw), true; },
    .share = [](void* raw) { return Blob::share(raw).detach(); },
    .memory = [](const void* raw) -> std::size_t {
      return Blob::borrow(const_cast<void*>(raw), [](const Blob& block) { return block.memory(); });
    },
    .note_stored = Blob::note_stored,
    .wipe_when_freed = [](void* raw) { Blob::wipe_when_freed(raw); },
    .wipe_slack =
        [](void* raw, std::uint64_t&, Budget& budget) {
          budget.take(0, Blob::borrow(raw, [](const Blob& block) { return block.wipe_slack(); }));
          return true;
        },
    .count = [](const void* raw) -> std::uint64_t {
      return Blob::borrow(const_cast<void*>(raw), [](const Blob& block) { return block.size(); });
    },
    .recount =
        [](const void* raw, const std::function<void(const void*, std::size_t)>& show) {
          return Blob::borrow(const_cast<void*>(raw), [&](const Blob& block) -> ValueType::Recount {
            show(raw, block.memory());
            return {block.stores(), block.references()};
          });
        },
};

// The rows, by the numbers of their types.
constinit std::array<const ValueType*, most_types> rows = {
    &string_type,
};

}  // namespace

const ValueType& value_type(Type type) { return *rows[static_cast<unsigned>(type)]; }

std::optional<Type> find_value_type(std::string_view name) {
  for (unsigned number = 0; number < rows.size(); ++number) {
    if (rows[number] != nullptr && iequals(rows[number]->name, name)) return static_cast<Type>(number);
  }
  return std::nullopt;
}

void set_value_type_for_test(Type type, const ValueType* row) { rows[static_cast<unsigned>(type)] = row; }

void Handle::wipe_slack() const {
  std::uint64_t at = 0;
  for (Budget budget; !wipe_slack(at, budget); budget = {}) {
  }
}

void OwnedHandle::release() {
  for (Budget budget; !handle_.release(budget); budget = {}) {
  }
}

}  // namespace pinfold::store
