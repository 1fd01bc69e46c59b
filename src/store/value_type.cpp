#include "pinfold/store/value_type.hpp"

#include "pinfold/base/text.hpp"
#include "pinfold/store/leftovers.hpp"

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
        [](void* raw, std::uint64_t /*erasure*/, std::uint64_t& at, Budget& budget) {
          // With these, one budget is enough for the slack of any block that is no mapping of its own: a fifth of a megabyte.
          constexpr std::size_t beyond = 32 * 1024;
          if (budget.bytes_spent()) return false;
          const std::size_t most = budget.bytes_left() + beyond;
          const std::size_t wiped = Blob::borrow(raw, [&](const Blob& block) { return block.wipe_slack(at, most); });
          at += wiped;
          budget.take(0, wiped);
          return wiped < most;
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

void OwnedHandle::release() {
  if (leftovers_ != nullptr) return leftovers_->give_up(handle_);
  for (Budget budget; !handle_.release(budget); budget = {}) {
  }
}

}  // namespace pinfold::store
