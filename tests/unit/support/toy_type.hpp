#pragma once
// A type of value that only tests have: a list of texts. It lies in the log as bytes (packed) or outside of it as a chain of blocks, one
// for each text, and does all that a type can do: it is counted, freed and overwritten in steps, moves with its entry, and grows in place.
// Not thread-safe.

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pinfold/base/block_heap.hpp"
#include "pinfold/store/value_type.hpp"

namespace pinfold::store::toy {

inline constexpr Type type = static_cast<Type>(31);
inline constexpr ValueKind chained{type, 0};
inline constexpr ValueKind packed{type, 1};

/// What there is, and what was asked of values, in this process.
struct Figures {
  int blocks = 0;
  int moved = 0;
  int unfinished = 0;  // calls of release() that left something
};
inline Figures figures;

struct Node {
  Node* next;
  std::size_t block;
  std::size_t size;
  char* bytes() { return reinterpret_cast<char*>(this + 1); }
  std::size_t room() const { return block - sizeof(Node); }
};

// Its counts are plain numbers, because the tests use it on one thread. A real type needs atomic ones: see ValueType.
struct Chain {
  BlockHeap* heap;
  std::size_t block;
  std::size_t references = 1;
  int stores = 0;
  bool wipe = false;
  std::size_t memory;
  std::size_t count = 0;
  Node* first = nullptr;
  Handle link{};
  std::uint64_t erasure = 0;  // the last one that has begun with it
  Node* unwiped = nullptr;    // where that goes on; null: it is done
};

inline Chain& chain_of(const void* raw) { return *static_cast<Chain*>(const_cast<void*>(raw)); }

// As Blob: what no entry keeps is counted as loose.
inline void account(Chain& chain, std::int64_t bytes) {
  chain.memory += static_cast<std::size_t>(bytes);
  if (chain.stores == 0) chain.heap->note_loose(bytes);
}

inline char* take_block(BlockHeap& heap, std::size_t size) {
  char* const block = heap.allocate(size);
  if (block == nullptr) return nullptr;
  std::memset(block, 0, size);
  ++figures.blocks;
  return block;
}

inline void free_block(BlockHeap& heap, void* block, std::size_t size, bool wipe) {
  heap.free(static_cast<char*>(block), size, wipe);
  --figures.blocks;
}

/// False: no memory, nothing changed.
inline bool add(Chain& chain, std::string_view text) {
  const std::size_t size = BlockHeap::rounded(sizeof(Node) + text.size());
  char* const block = take_block(*chain.heap, size);
  if (block == nullptr) return false;
  Node* const node = new (block) Node{nullptr, size, text.size()};
  std::copy(text.begin(), text.end(), node->bytes());
  Node** end = &chain.first;
  while (*end != nullptr) end = &(*end)->next;
  *end = node;
  ++chain.count;
  account(chain, static_cast<std::int64_t>(size));
  return true;
}

/// Nothing: no memory.
inline OwnedHandle make(BlockHeap& heap, const std::vector<std::string>& texts) {
  const std::size_t size = BlockHeap::rounded(sizeof(Chain));
  char* const block = take_block(heap, size);
  if (block == nullptr) return {};
  Chain* const chain = new (block) Chain{.heap = &heap, .block = size, .memory = 0};
  account(*chain, static_cast<std::int64_t>(size));
  OwnedHandle made(Handle(type, chain));
  for (const std::string& text : texts) {
    if (!add(*chain, text)) return {};
  }
  return made;
}

/// All texts of a value, one behind the other.
inline std::string text_of(Handle handle) {
  std::string text;
  for (Node* at = chain_of(handle.raw()).first; at != nullptr; at = at->next) text.append(at->bytes(), at->size);
  return text;
}

inline bool release(void* raw, Budget& budget) {
  Chain& chain = chain_of(raw);
  if (chain.references > 1) return --chain.references, true;
  while (chain.first != nullptr) {
    if (budget.spent()) return ++figures.unfinished, false;
    Node* const node = std::exchange(chain.first, chain.first->next);
    budget.spend(1);
    account(chain, -static_cast<std::int64_t>(node->block));
    free_block(*chain.heap, node, node->block, chain.wipe);
  }
  account(chain, -static_cast<std::int64_t>(chain.block));
  free_block(*chain.heap, raw, chain.block, chain.wipe);
  return true;
}

inline void note_stored(void* raw, int sign) {
  Chain& chain = chain_of(raw);
  const auto bytes = static_cast<std::int64_t>(chain.memory);
  if (chain.stores == 0) chain.heap->note_loose(-bytes);
  chain.stores += sign;
  if (chain.stores == 0) chain.heap->note_loose(bytes);
}

inline bool wipe_slack(void* raw, std::uint64_t erasure, std::uint64_t& /*at*/, Budget& budget) {
  Chain& chain = chain_of(raw);
  if (std::exchange(chain.erasure, erasure) != erasure) chain.unwiped = chain.first;
  for (Node*& node = chain.unwiped; node != nullptr; node = node->next) {
    if (budget.spent()) return false;
    const std::size_t slack = node->room() - node->size;
    chain.heap->wipe(node->bytes() + node->size, slack);
    budget.spend(1, slack);
  }
  return true;
}

/// Its first block goes to another place, if nobody else refers to it.
inline void* moved(void* raw) {
  ++figures.moved;
  Chain& chain = chain_of(raw);
  if (chain.references > 1) return raw;
  char* const block = take_block(*chain.heap, chain.block);
  if (block == nullptr) return raw;
  Chain* const now = new (block) Chain(chain);
  free_block(*now->heap, raw, now->block, true);
  return now;
}

inline ValueType::Recount recount(const void* raw, const std::function<void(const void*, std::size_t)>& show) {
  const Chain& chain = chain_of(raw);
  show(raw, chain.block);
  for (Node* node = chain.first; node != nullptr; node = node->next) show(node, node->block);
  return {static_cast<std::size_t>(chain.stores), chain.references};
}

inline constexpr ValueType row{
    .name = "toy",
    .encodings = {"chain", "pack"},
    .release = release,
    .link = [](void* raw) { return &chain_of(raw).link; },
    .share = [](void* raw) { return ++chain_of(raw).references, raw; },
    .memory = [](const void* raw) { return chain_of(raw).memory; },
    .note_stored = note_stored,
    .wipe_when_freed = [](void* raw) { chain_of(raw).wipe = true; },
    .wipe_slack = wipe_slack,
    .count = [](const void* raw) -> std::uint64_t { return chain_of(raw).count; },
    .moved = moved,
    .recount = recount,
};

/// As long as it lives the store knows the type. To be made before a keyspace.
class Registered {
 public:
  Registered() {
    set_value_type_for_test(type, &row);
    figures = {};
  }
  ~Registered() { set_value_type_for_test(type, nullptr); }
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;
};

}  // namespace pinfold::store::toy
