#include "pinfold/store/value_type.hpp"

#include "pinfold/base/text.hpp"
#include "pinfold/store/collection.hpp"
#include "pinfold/store/leftovers.hpp"

namespace pinfold::store {

namespace {

constexpr ValueType collection_row(std::string_view name, const std::array<std::string_view, most_forms>& encodings) {
  return {
      .name = name,
      .encodings = encodings,
      .release = Collection::release,
      .link = Collection::link,
      .share = Collection::share,
      .memory = [](const void* raw) { return static_cast<const Collection*>(raw)->memory(); },
      .note_stored = Collection::note_stored,
      .wipe_when_freed = Collection::wipe_when_freed,
      .wipe_slack = Collection::wipe_slack,
      .count = [](const void* raw) { return static_cast<const Collection*>(raw)->size(); },
      .recount = Collection::recount,
  };
}

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

// Encodings in the order of Form.
constexpr ValueType list_type = collection_row("list", {"listpack", "quicklist", {}, "quicklist", "listpack"});
constexpr ValueType set_type = collection_row("set", {"listpack", "hashtable", "intset", "hashtable", "listpack", "intset"});
constexpr ValueType zset_type = collection_row("zset", {"listpack", "skiplist", {}, "skiplist", "listpack"});
constexpr ValueType hash_type = collection_row("hash", {"listpack", "hashtable", {}, "hashtable", "listpack"});

// The rows, by the numbers of their types.
constinit std::array<const ValueType*, most_types> rows = {
    &string_type, &list_type, &set_type, &zset_type, &hash_type,
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
