#include "pinfold/command/hot_keys.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace pinfold::command {
HotKeys::HotKeys(MonoMs now) : pane_number_(now.ms / pane_ms), began_(now) { pane_ = static_cast<unsigned>(pane_number_ % panes); }

namespace {
// A counter has to exceed the weakest count by half, so that keys which are asked for equally often do not displace each other.
std::uint32_t bar_for(std::uint32_t weakest) { return std::min(weakest + weakest / 2, (1U << 23)); }
}  // namespace

unsigned HotKeys::weakest() const { return static_cast<unsigned>(std::min_element(counts_.begin(), counts_.end()) - counts_.begin()); }

// The counter of the key exceeds the bar, which may be out of date.
void HotKeys::admit(Bucket& bucket, unsigned at, unsigned db, const store::Key& key, std::uint64_t hash) {
  std::uint32_t& cell = bucket.cells[at];
  const std::uint32_t count = std::min(cell & count_mask, most_counted);
  cell = (cell & ~count_mask) | count;
  const unsigned number = weakest();
  bar_ = bar_for(counts_[number]);
  if (count <= bar_) return;
  Slot& slot = slots_[number];
  if (taken_[number]) cell_of(slot) = born_now() | std::min(counts_[number], most_counted);
  // What the counter has counted, with what halving has taken from it, was spread over the panes since it began.
  const std::uint32_t panes_old = age(cell) + 1;
  const auto since_halving = static_cast<std::uint32_t>(pane_number_ % halve_every) + 1;
  const std::uint32_t halves = 2 * std::min(panes_old, since_halving) + (panes_old - std::min(panes_old, since_halving));
  const std::uint32_t each = std::max(2 * count / halves, 1U);
  const std::uint32_t spread = std::min({panes_old, panes, count});
  std::fill(std::begin(slot.panes), std::end(slot.panes), 0U);
  for (std::uint32_t i = 1; i < spread; ++i) slot.panes[(pane_ + panes - i) % panes] = each;
  slot.panes[pane_] = panes_old <= since_halving ? count - each * (spread - 1) : each;
  counts_[number] = each * (spread - 1) + slot.panes[pane_];
  slot.hash = hash;
  slot.cell = static_cast<std::uint16_t>((&bucket - sketch_.buckets.data()) * static_cast<std::ptrdiff_t>(KeySketch::ways) + at);
  slot.db = static_cast<std::uint8_t>(db);
  slot.length = static_cast<std::uint16_t>(std::min(key.text.size(), longest_name));
  slot.cut = key.text.size() > longest_name;
  std::memcpy(slot.name, key.text.data(), slot.length);
  taken_[number] = true;
  cell = in_table | number;
}

void HotKeys::advance(MonoMs now) {
  const std::int64_t target = now.ms / pane_ms;
  if (target <= pane_number_) return;
  if (target - pane_number_ >= panes) {
    forget_window();
    pane_number_ = target;
    pane_ = static_cast<unsigned>(target % panes);
  }
  while (pane_number_ < target) next_pane();
  bar_ = bar_for(counts_[weakest()]);
}

void HotKeys::next_pane() {
  ++pane_number_;
  pane_ = static_cast<unsigned>(pane_number_ % panes);
  all_[pane_] = 0;
  for (unsigned i = 0; i < slots; ++i) {
    counts_[i] -= slots_[i].panes[pane_];
    slots_[i].panes[pane_] = 0;
  }
  if (pane_number_ % halve_every == 0) halve();
}

void HotKeys::halve() {
  const std::uint32_t oldest = ((static_cast<std::uint32_t>(pane_number_) - 2 * halve_every) & born_mask) << born_shift;
  for (Bucket& bucket : sketch_.buckets) {
    for (std::uint32_t& cell : bucket.cells) {
      if ((cell & in_table) != 0) continue;
      const std::uint32_t count = (cell & count_mask) / 2;
      const std::uint32_t born = age(cell) > halve_every ? oldest : cell & ~count_mask;
      cell = count == 0 ? 0 : born | count;
    }
  }
}

// So much time has passed that nothing is in the window.
void HotKeys::forget_window() {
  for (Bucket& bucket : sketch_.buckets) {
    for (std::uint32_t& cell : bucket.cells) cell = (cell & in_table) != 0 ? cell : 0;
  }
  for (Slot& slot : slots_) std::fill(std::begin(slot.panes), std::end(slot.panes), 0U);
  counts_ = {};
  all_ = {};
}

void HotKeys::append_to(std::vector<CountedKey>& keys) const {
  for (unsigned i = 0; i < slots; ++i) {
    const Slot& slot = slots_[i];
    if (counts_[i] != 0) keys.push_back({slot.hash, slot.db, std::string(slot.name, slot.length), slot.cut, counts_[i]});
  }
}

std::uint64_t HotKeys::all() const { return std::accumulate(all_.begin(), all_.end(), std::uint64_t{0}); }

MonoMs HotKeys::window_began() const { return std::max(began_, MonoMs{(pane_number_ + 1 - panes) * pane_ms}); }

}  // namespace pinfold::command
