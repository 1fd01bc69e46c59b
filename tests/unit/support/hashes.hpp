#pragma once
// An index of hashes alone, to test it without a log: a reference is the place of its hash in a list, plus one.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pinfold/store/index.hpp"
#include "pinfold/store/memory.hpp"

struct Hashes {
  pinfold::store::Memory memory{0};
  pinfold::store::Index index{memory};
  std::vector<std::uint64_t> hashes;
  std::vector<bool> erased;  // by place
  std::size_t live = 0;

  bool insert(std::uint64_t hash) {
    hashes.push_back(hash);
    erased.push_back(false);
    const auto ref = static_cast<pinfold::store::Ref>(hashes.size());
    if (index.insert(
            hash, ref, [this](auto r) { return hashes[r - 1]; }, [](auto) {})) {
      ++live;
      return true;
    }
    hashes.pop_back();
    erased.pop_back();
    return false;
  }
  pinfold::store::Index::Slot find(std::size_t at) {
    return index.find(hashes[at], [at](auto r) { return r == at + 1; });
  }
  /// False if it could not be found.
  bool erase(std::size_t at) {
    const auto slot = find(at);
    if (!slot) return false;
    index.erase(slot);
    erased[at] = true;
    --live;
    return true;
  }
  bool shrink_some() {
    return index.shrink_some([this](auto r) { return hashes[r - 1]; }, [](auto) {});
  }
  /// Whether exactly those that were not erased are found.
  bool all_found() {
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      if (static_cast<bool>(find(i)) == erased[i]) return false;
    }
    return true;
  }
  bool consistent() const {
    const auto audit = index.audit();
    return audit.consistent && audit.entries == live;
  }
  std::uint64_t bytes_per_key() const { return index.memory() / live; }
};
