#include "pinfold/types/sorted_set_algebra.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/work.hpp"

namespace pinfold::types {

using store::Element;
using store::PackedElement;
using store::TreeKind;

namespace {

// Members that are visited, and operands in which these are looked for, between two looks at the clock.
constexpr std::uint64_t most_at_once = 256;

bool same(const Element& a, const Element& b) {
  if (!a.is_block() || !b.is_block()) return a.packed() == b.packed();
  Element::Digits of_a;
  Element::Digits of_b;
  return a.text(of_a) == b.text(of_b);
}

double without_nan(double score) { return std::isnan(score) ? 0 : score; }

// `a` is a number. If `b` is none, the sum is 0, and `b` is neither less nor more.
double aggregated(Aggregate how, double a, double b) {
  switch (how) {
    case Aggregate::least:
      return std::min(a, b);
    case Aggregate::most:
      return std::max(a, b);
    default:
      return without_nan(a + b);
  }
}

template <class T>
T* allocate(std::uint64_t count) {
  work::allocation();
  return static_cast<T*>(std::calloc(count, sizeof(T)));
}

// A packed set of numbers, as a run of elements.
std::string as_run(const Set& set) {
  std::string run(Run::header, '\0');
  const auto count = static_cast<std::uint16_t>(set.size());
  std::memcpy(run.data(), &count, sizeof count);
  set.visit(0, set.size(), [&](const Member& member) {
    run += member.packed().packed();
    return true;
  });
  return run;
}

}  // namespace

bool stands_before(const ScoredMember& a, const ScoredMember& b) {
  if (a.score != b.score) return a.score < b.score;
  Element::Digits digits;
  return compare_texts(Element(a.element), Element(b.element).text(digits)) < 0;
}

// --- MemberTable ---

namespace {
std::uint64_t slots_for(std::uint64_t members) { return std::bit_ceil(members + members / 2 + 1); }
}  // namespace

std::uint64_t MemberTable::memory_for(std::uint64_t members) {
  return members * sizeof(ScoredMember) + slots_for(members) * sizeof(std::uint32_t);
}

bool MemberTable::reserve(std::uint64_t members) {
  if (members >= UINT32_MAX) return false;
  members_.reset(allocate<ScoredMember>(members + 1));
  slots_.reset(allocate<std::uint32_t>(slots_for(members)));
  mask_ = slots_for(members) - 1;
  return members_ != nullptr && slots_ != nullptr;
}

ScoredMember* MemberTable::find(const Element& element, std::uint64_t hash) {
  for (std::uint64_t slot = slot_of(hash); slots_[slot] != 0; slot = (slot + 1) & mask_) {
    ScoredMember& member = members_[slots_[slot] - 1];
    if (member.hash == hash && same(Element(member.element), element)) return &member;
  }
  return nullptr;
}

void MemberTable::add(const ScoredMember& member) {
  std::uint64_t slot = slot_of(member.hash);
  while (slots_[slot] != 0) slot = (slot + 1) & mask_;
  members_[size_++] = member;
  slots_[slot] = static_cast<std::uint32_t>(size_);
}

// --- Operand ---

Operand::Operand(const store::Value& value) {
  if (value.kind.type() == store::Type::set) kind_ = TreeKind::set;
  if (value.handle()) {
    large_ = &store::Collection::of(value.handle());
    size_ = large_->size();
    return;
  }
  bytes_ = value.text;
  numbers_ = store::form_of(value.kind) == store::Form::packed_numbers;
  size_ = numbers_ ? NumberSet(bytes_).size() : Run(kind_, bytes_).count();
}

void Operand::keep(store::Memory& memory) {
  if (large_ == nullptr) {
    own_ = bytes_;
    bytes_ = own_;
    return;
  }
  kept_ = large_->pin(memory.leftovers());
}

std::uint64_t Operand::index_memory() const {
  constexpr std::uint64_t bytes_of_number = 9;
  if (large_ != nullptr) return 0;
  return MemberTable::memory_for(size_) + (numbers_ ? size_ * bytes_of_number : 0);
}

void Operand::prepare() {
  if (!std::exchange(numbers_, false)) return;
  own_ = as_run(Set(store::Form::packed_numbers, bytes_, nullptr));
  bytes_ = own_;
}

bool Operand::index() {
  if (large_ != nullptr || size_ == 0) return true;
  if (!table_.reserve(size_)) return false;
  visit(0, size_, [&](const char* element, double score) {
    table_.add({element, score, Element(element).hash()});
    return true;
  });
  return true;
}

std::optional<double> Operand::score(const Element& member, std::uint64_t hash) {
  if (table_.size() > 0) {
    const ScoredMember* const found = table_.find(member, hash);
    return found != nullptr ? std::optional(found->score) : std::nullopt;
  }
  if (large_ != nullptr) {
    const PackedElement element(member);
    if (kind_ == TreeKind::scored) return SortedSet(*large_).score(element, hash);
    return large_->items.find(element, hash).found() ? std::optional(1.0) : std::nullopt;
  }
  std::optional<double> found;
  visit(0, size_, [&](const char* element, double score) {
    if (same(Element(element), member)) found = score;
    return !found;
  });
  return found;
}

// --- ScoredAlgebra ---

std::uint64_t ScoredAlgebra::most_results() const {
  if (operands_.empty()) return 0;
  if (operation_ == ScoredOperation::difference) return operands_.front().size();
  std::uint64_t sum = 0;
  std::uint64_t least = UINT64_MAX;
  for (const Operand& operand : operands_) {
    sum += operand.size();
    least = std::min(least, operand.size());
  }
  return operation_ == ScoredOperation::union_of_all ? sum : least;
}

std::uint64_t ScoredAlgebra::cost() const {
  const std::uint64_t visited = most_results();
  if (operation_ == ScoredOperation::union_of_all) return visited;
  std::uint64_t looked_through = 0;
  for (const Operand& operand : operands_) looked_through += operand.looked_through();
  return visited == 0 ? 0 : visited * operands_.size() + looked_through;
}

std::uint64_t ScoredAlgebra::memory() const {
  const std::uint64_t results = most_results();
  const std::uint64_t listed = results * sizeof(ScoredMember);
  if (operation_ == ScoredOperation::union_of_all) return MemberTable::memory_for(results) + listed;
  std::uint64_t indexes = 0;
  for (const Operand& operand : operands_) indexes += operand.index_memory();
  return indexes + (only_counted_ ? 0 : 2 * listed);
}

std::uint64_t ScoredAlgebra::at_once() const {
  if (operation_ == ScoredOperation::union_of_all) return most_at_once;
  return std::max<std::uint64_t>(most_at_once / order_.size(), 1);
}

bool ScoredAlgebra::begin() {
  // The smallest one first: its members are looked for in the others. As in Redis, also where it only decides about rounding.
  for (Operand& operand : operands_) order_.push_back(&operand);
  if (operation_ != ScoredOperation::difference) std::ranges::stable_sort(order_, {}, &Operand::size);
  const std::uint64_t results = most_results();
  if (operation_ == ScoredOperation::union_of_all) return table_.reserve(results);
  constexpr std::uint64_t few = 4;
  indexed_ = results > few;
  if (!only_counted_) {
    listed_.reset(allocate<ScoredMember>(results + 1));
    if (listed_ == nullptr) return false;
  }
  return true;
}

// Makes one more operand ready. Returns false if there is no memory.
bool ScoredAlgebra::prepare_next() {
  if (prepared_ == order_.size()) {
    stage_ = Stage::collect;
    return true;
  }
  Operand& operand = *order_[prepared_++];
  operand.prepare();
  return prepared_ == 1 || !indexed_ || operand.index();
}

void ScoredAlgebra::add(const ScoredMember& member) {
  if (!only_counted_) {
    if (size_ > 0 && in_order_) in_order_ = stands_before(listed_[size_ - 1], member);
    listed_[size_] = member;
  }
  ++size_;
}

void ScoredAlgebra::add_to_union(const char* element, double score) {
  const std::uint64_t hash = Element(element).hash();
  if (ScoredMember* const found = table_.find(Element(element), hash)) {
    found->score = aggregated(aggregate_, found->score, score);
  } else {
    table_.add({element, score, hash});
  }
}

// A member of the first operand: whether it belongs to the result, and with which score. Returns whether the result may have more.
bool ScoredAlgebra::look_for(const char* element, double score) {
  const std::uint64_t hash = Element(element).hash();
  const bool wanted = operation_ == ScoredOperation::intersection;
  for (std::size_t i = 1; i < order_.size(); ++i) {
    Operand& other = *order_[i];
    const auto found = other.score(Element(element), hash);
    if (found.has_value() != wanted) return true;
    if (wanted) score = aggregated(aggregate_, score, other.weight * *found);
  }
  add({element, score, hash});
  return size_ < most_;
}

// Visits some members of an operand. Returns whether there are more.
bool ScoredAlgebra::collect_some() {
  const bool all = operation_ == ScoredOperation::union_of_all;
  if (operand_ == order_.size() || (!all && operand_ > 0)) return false;
  Operand& operand = *order_[operand_];
  const std::uint64_t count = std::min(at_once(), operand.size() - position_);
  bool more = true;
  operand.visit(position_, count, [&](const char* element, double score) {
    const double weighted = without_nan(operand.weight * score);
    if (all) {
      add_to_union(element, weighted);
    } else {
      more = look_for(element, weighted);
    }
    return more;
  });
  position_ += count;
  if (position_ == operand.size()) {
    ++operand_;
    position_ = 0;
  }
  return more;
}

// Returns false if there is no memory.
bool ScoredAlgebra::begin_sorting() {
  if (size_ > decltype(sort_)::value_type::few) {
    spare_.reset(allocate<ScoredMember>(size_));
    if (spare_ == nullptr) return false;
  }
  sort_.emplace(results_, size_, spare_.get(), stands_before);
  return true;
}

ScoredAlgebra::Progress ScoredAlgebra::advance(std::int64_t end_us) {
  if (stage_ == Stage::begin) {
    if (!begin()) return Progress::no_memory;
    stage_ = Stage::prepare;
  }
  while (stage_ == Stage::prepare) {
    if (!prepare_next()) return Progress::no_memory;
    if (monotonic_us() >= end_us) return Progress::more;
  }
  while (stage_ == Stage::collect) {
    if (!collect_some()) {
      const bool all = operation_ == ScoredOperation::union_of_all;
      size_ = all ? table_.size() : size_;
      results_ = all ? table_.members() : listed_.get();
      in_order_ = in_order_ && !all;
      stage_ = only_counted_ || in_order_ || size_ < 2 ? Stage::done : Stage::sort;
      if (stage_ == Stage::sort && !begin_sorting()) return Progress::no_memory;
    }
    if (stage_ != Stage::done && monotonic_us() >= end_us) return Progress::more;
  }
  while (stage_ == Stage::sort) {
    if (!sort_->step()) {
      results_ = sort_->items();
      stage_ = Stage::done;
    } else if (monotonic_us() >= end_us) {
      return Progress::more;
    }
  }
  return Progress::done;
}

}  // namespace pinfold::types
