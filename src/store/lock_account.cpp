#include "pinfold/store/lock_account.hpp"

#include <algorithm>
#include <new>
#include <optional>

#include "pinfold/store/entry.hpp"

namespace pinfold::store {

namespace {

constexpr work::Counts budget{.entries = 512, .bytes = 256 * 1024, .nodes = 512};

thread_local const HoldCause* current_cause = nullptr;

// The hold of this thread, if it has locked any shard.
struct Hold {
  unsigned shards = 0;
  std::string_view cause;
  Named named;
  std::optional<work::Counting> counting;
};
thread_local Hold hold;

std::uint64_t beyond(std::uint64_t done, std::uint64_t allowed) { return done - std::min(done, allowed); }

work::Counts beyond(const work::Counts& done, const work::Counts& allowed) {
  return {.entries = beyond(done.entries, allowed.entries),
          .bytes = beyond(done.bytes, allowed.bytes),
          .nodes = beyond(done.nodes, allowed.nodes),
          .allocations = done.allocations,
          .system_calls = done.system_calls};
}

void raise_to(work::Counts& most, const work::Counts& counts) {
  most.entries = std::max(most.entries, counts.entries);
  most.bytes = std::max(most.bytes, counts.bytes);
  most.nodes = std::max(most.nodes, counts.nodes);
  most.allocations = std::max(most.allocations, counts.allocations);
  most.system_calls = std::max(most.system_calls, counts.system_calls);
}

}  // namespace

work::Counts Named::allowance() const {
  constexpr std::uint64_t visits_per_key = 16;
  constexpr std::uint64_t times_per_byte = 4;
  constexpr work::Counts per_element{.entries = 8, .bytes = 4096, .nodes = 32};
  return {.entries = keys * visits_per_key + elements * per_element.entries,
          .bytes = keys * 2 * max_inline_entry + bytes * times_per_byte + elements * per_element.bytes,
          .nodes = keys * visits_per_key + elements * per_element.nodes};
}

bool over_budget(const work::Counts& counts) {
  return counts.entries > budget.entries || counts.bytes > budget.bytes || counts.nodes > budget.nodes || counts.system_calls > 0;
}

HoldCause::HoldCause(std::string_view name, Named named) : name_(name), named_(named), outer_(current_cause) { current_cause = this; }

std::string_view LockAccount::name_of_cause() { return current_cause != nullptr ? current_cause->name_ : "other"; }

HoldCause::~HoldCause() { current_cause = outer_; }

void LockAccount::begin() {
  if (hold.shards++ > 0) return;
  hold.cause = name_of_cause();
  hold.named = current_cause != nullptr ? current_cause->named_ : Named{};
  hold.counting.emplace();
}

void LockAccount::end() {
  if (--hold.shards > 0) return;
  const work::Counts counts = beyond(hold.counting->counts(), hold.named.allowance());
  hold.counting.reset();
  const std::lock_guard lock(mutex_);
  try {
    Cause& cause = causes_[hold.cause];
    ++cause.holds;
    if (over_budget(counts)) ++cause.over;
    raise_to(cause.most, counts);
  } catch (const std::bad_alloc&) {  // then this hold is not counted
  }
}

void LockAccount::waited(std::uint64_t ticks) {
  const std::lock_guard lock(mutex_);
  try {
    Cause& cause = causes_[name_of_cause()];
    ++cause.waits;
    cause.wait_ticks += ticks;
  } catch (const std::bad_alloc&) {  // then this wait is not counted
  }
}

std::vector<std::pair<std::string_view, LockAccount::Cause>> LockAccount::causes() const {
  const std::lock_guard lock(mutex_);
  return {causes_.begin(), causes_.end()};
}

void LockAccount::reset() {
  const std::lock_guard lock(mutex_);
  causes_.clear();
}

}  // namespace pinfold::store
