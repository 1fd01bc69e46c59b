#include "pinfold/types/set_algebra.hpp"

#include <algorithm>

namespace pinfold::types {

namespace {
bool visits_all(SetOperation operation) { return operation == SetOperation::union_of_all || operation == SetOperation::concatenation; }
}  // namespace

SetCombination::SetCombination(SetOperation operation, std::vector<Set> sets)
    : operation_(operation),
      sets_(std::move(sets)),
      sources_(visits_all(operation) ? sets_.size() : 1),
      hashed_(std::ranges::any_of(sets_, [](const Set& set) { return set.layout() == Set::Layout::tree; })) {
  if (operation_ == SetOperation::intersection) std::ranges::stable_sort(sets_, {}, &Set::size);
}

std::uint64_t SetCombination::visits() const {
  std::uint64_t visits = 0;
  for (std::size_t i = 0; i < sources_; ++i) visits += sets_[i].size();
  return visits;
}

std::uint64_t SetCombination::look_ups() const {
  if (operation_ == SetOperation::concatenation) return 0;
  if (operation_ != SetOperation::union_of_all) return sets_[0].size() * (sets_.size() - 1);
  std::uint64_t look_ups = 0;
  for (std::size_t i = 0; i < sets_.size(); ++i) look_ups += sets_[i].size() * i;
  return look_ups;
}

std::uint64_t SetCombination::bytes() const {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < sources_; ++i) {
    bytes += sets_[i].layout() == Set::Layout::tree ? sets_[i].tree().memory() : sets_[i].bytes().size();
  }
  return bytes;
}

bool SetCombination::belongs(const PackedElement& member) const {
  if (sets_.size() == 1 || operation_ == SetOperation::concatenation) return true;
  const std::uint64_t hash = hashed_ ? member.hash() : 0;
  const auto has = [&](const Set& set) { return set.contains(member, hash); };
  switch (operation_) {
    case SetOperation::intersection:
      return std::all_of(sets_.begin() + 1, sets_.end(), has);
    case SetOperation::difference:
      return std::none_of(sets_.begin() + 1, sets_.end(), has);
    default:
      return std::none_of(sets_.begin(), sets_.begin() + static_cast<std::ptrdiff_t>(source_), has);
  }
}

}  // namespace pinfold::types
