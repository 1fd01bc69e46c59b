#pragma once
// The settings by which OBJECT ENCODING names collections.

#include "pinfold/command/engine.hpp"
#include "pinfold/types/edit.hpp"

namespace pinfold::command {

/// Their present values. Thread-safe, O(1).
inline types::Thresholds thresholds(const Engine& engine) {
  using config::Id;
  const auto size = [&](Id id) { return static_cast<std::uint64_t>(engine.settings.integer(id)); };
  return {.hash_entries = size(Id::hash_max_listpack_entries),
          .hash_value = size(Id::hash_max_listpack_value),
          .set_numbers = size(Id::set_max_intset_entries),
          .set_entries = size(Id::set_max_listpack_entries),
          .set_value = size(Id::set_max_listpack_value),
          .zset_entries = size(Id::zset_max_listpack_entries),
          .zset_value = size(Id::zset_max_listpack_value),
          .list_size = engine.settings.integer(Id::list_max_listpack_size)};
}

}  // namespace pinfold::command
