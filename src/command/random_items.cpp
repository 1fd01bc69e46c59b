#include "pinfold/command/random_items.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/random.hpp"
#include "pinfold/base/work.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/store/budget.hpp"

namespace pinfold::command {

RandomPicks picks_of(std::int64_t count) {
  const bool distinct = count >= 0;
  return {.count = static_cast<std::uint64_t>(distinct ? count : -count), .distinct = distinct};
}

namespace {

std::vector<const char*> items_of(const types::Run& run) {
  std::vector<const char*> items;
  items.reserve(run.count());
  for (const char* item = run.begin(); item != run.end(); item = run.next(item)) items.push_back(item);
  work::entries(items.size());
  return items;
}

// Different positions below `size`, in order. `count` must be less than `size`.
std::vector<std::uint64_t> draw_positions(std::uint64_t count, std::uint64_t size) {
  std::vector<std::uint64_t> drawn;
  drawn.reserve(count);
  while (drawn.size() < count) {
    for (std::size_t missing = count - drawn.size(); missing > 0; --missing) drawn.push_back(random_below(size));
    std::ranges::sort(drawn);
    drawn.erase(std::unique(drawn.begin(), drawn.end()), drawn.end());
  }
  return drawn;
}

// Gives up a snapshot, which may have become the last holder of nodes. Returns whether that is done.
bool released(store::KeptTree& tree, std::int64_t end_us) {
  for (store::Budget budget; !tree.release(budget); budget = {}) {
    if (monotonic_us() >= end_us) return false;
  }
  return true;
}

// Picks with replacement. The copy of a run, or the snapshot of a tree, is the task's own.
class RepeatedPicksTask : public Task {
 public:
  RepeatedPicksTask(const types::Run& run, const RandomPicks& picks)
      : run_(run.bytes()), items_(items_of(types::Run(run.kind(), run_))), picks_(picks) {}
  RepeatedPicksTask(store::KeptTree&& tree, const RandomPicks& picks) : tree_(std::move(tree)), picks_(picks) {}

  Outcome step(Call& call) override {
    if (!std::exchange(replying, true)) call.reply.array(picks_.count * picks_.words);
    const std::size_t full = call.reply.output().size() + reply_piece;
    const std::int64_t end = monotonic_us() + step_us;
    constexpr std::uint64_t between_looks = 256;
    while (picks_.count > 0 && call.reply.output().size() < full) {
      picks_.write(call.reply, items_.empty() ? tree_->at(random_below(tree_->size())).item() : items_[random_below(items_.size())]);
      if (--picks_.count % between_looks == 0 && monotonic_us() >= end) break;
    }
    return picks_.count == 0 && released(tree_, end) ? Outcome::done : Outcome::waits;
  }
  std::uint64_t pinned() const override { return tree_.memory(); }
  std::uint64_t loose() const override { return tree_.loose_memory(); }

 private:
  const std::string run_;
  const std::vector<const char*> items_;
  store::KeptTree tree_;
  RandomPicks picks_;
};

// Picks without replacement from a tree: marks the positions in a bit set, and then writes the items there. If most are to be picked, those
// that are not are marked.
class DistinctPicksTask : public Task {
 public:
  DistinctPicksTask(const Call& call, store::KeptTree&& tree, const RandomPicks& picks)
      : tree_(std::move(tree)),
        picks_(picks),
        memory_(call.engine, call.session.shared),
        size_(tree_->size()),
        marks_picked_(picks.count <= size_ / 2),
        to_mark_(marks_picked_ ? picks.count : size_ - picks.count) {}

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    if (!replying) {
      if (marks_ == nullptr && !make_marks()) return call.reply.error(beyond_clients_memory);
      if (!mark(end)) return Outcome::waits;
      replying = true;
      call.reply.array(picks_.count * picks_.words);
    }
    const std::size_t full = call.reply.output().size() + reply_piece;
    while (next_ < size_ && call.reply.output().size() < full) {
      write_some(call.reply);
      if (monotonic_us() >= end) break;
    }
    return next_ >= size_ && released(tree_, end) ? Outcome::done : Outcome::waits;
  }
  std::uint64_t pinned() const override { return tree_.memory(); }
  std::uint64_t loose() const override { return tree_.loose_memory(); }

 private:
  static constexpr unsigned bits = 64;

  bool make_marks() {
    const std::size_t words = size_ / bits + 1;
    if (!memory_.ask(words * sizeof(std::uint64_t))) return false;
    marks_.reset(static_cast<std::uint64_t*>(std::calloc(words, sizeof(std::uint64_t))));
    return marks_ != nullptr;
  }
  // Returns whether all are marked.
  bool mark(std::int64_t end) {
    constexpr unsigned between_looks = 1024;
    for (unsigned tries = 1; to_mark_ > 0; ++tries) {
      const std::uint64_t position = random_below(size_);
      std::uint64_t& word = marks_[position / bits];
      const std::uint64_t bit = std::uint64_t{1} << position % bits;
      if ((word & bit) == 0) --to_mark_;
      word |= bit;
      if (tries % between_looks == 0 && monotonic_us() >= end) return to_mark_ == 0;
    }
    return true;
  }
  std::uint64_t picked_in(std::uint64_t word) const { return marks_picked_ ? marks_[word] : ~marks_[word]; }

  // Writes the items that are picked of the next 64, or of as many words of the bit set that have none.
  void write_some(resp::Reply& reply) {
    constexpr std::uint64_t most_empty = 4096;
    std::uint64_t word = next_ / bits;
    const std::uint64_t words = size_ / bits + 1;
    for (std::uint64_t skipped = 0; word < words && picked_in(word) == 0 && skipped < most_empty; ++skipped) ++word;
    next_ = word * bits;
    if (next_ >= size_ || picked_in(word) == 0) return;
    const std::uint64_t picked = picked_in(word);
    const std::uint64_t some = std::min<std::uint64_t>(bits, size_ - next_);
    constexpr int dense = 8;
    if (std::popcount(picked) >= dense) {
      store::Tree::Path path = tree_->at(next_);
      unsigned at = 0;
      tree_->visit(path, some, [&](const char* item) {
        if ((picked >> at++ & 1) != 0) picks_.write(reply, item);
        return true;
      });
    } else {
      for (std::uint64_t rest = picked; rest != 0; rest &= rest - 1) {
        const auto at = static_cast<std::uint64_t>(std::countr_zero(rest));
        if (at < some) picks_.write(reply, tree_->at(next_ + at).item());
      }
    }
    next_ += some;
  }

  struct Free {
    void operator()(std::uint64_t* words) const { std::free(words); }
  };

  store::KeptTree tree_;
  const RandomPicks picks_;
  ClientMemory memory_;
  const std::uint64_t size_;
  const bool marks_picked_;
  std::uint64_t to_mark_;
  std::unique_ptr<std::uint64_t[], Free> marks_;
  std::uint64_t next_ = 0;  // the position up to which items have been written
};

// Whether the picks may be written with the shard locked.
bool are_few(const Call& call, const RandomPicks& picks, std::uint64_t bytes, std::uint64_t size) {
  if (picks.count > most_locked_items_of(call)) return false;
  return bytes / size * picks.count <= most_read_bytes_of(call);
}

Outcome write_whole(Call& call, const store::Collection& collection, const RandomPicks& picks) {
  const std::uint64_t size = collection.size();
  return reply_items(call, collection, {.count = size, .headed = size * picks.words, .write = picks.write});
}

}  // namespace

Outcome reply_random_items(Call& call, const types::Run& run, RandomPicks picks) {
  const std::uint64_t size = run.count();
  if (picks.distinct) {
    std::uint64_t wanted = std::min(picks.count, size);
    call.reply.array(wanted * picks.words);
    const char* item = run.begin();
    for (std::uint64_t left = size; wanted > 0; --left, item = run.next(item)) {
      if (random_below(left) >= wanted) continue;
      --wanted;
      picks.write(call.reply, item);
    }
    work::entries(size);
    return Outcome::done;
  }
  if (!are_few(call, picks, run.bytes().size(), size)) {
    if (refuse_many_inside_exec(call, picks.count)) return Outcome::done;
    return call.begin(std::make_unique<RepeatedPicksTask>(run, picks));
  }
  const std::vector<const char*> items = items_of(run);
  call.reply.array(picks.count * picks.words);
  for (; picks.count > 0; --picks.count) picks.write(call.reply, items[random_below(size)]);
  return Outcome::done;
}

Outcome reply_random_items(Call& call, const store::Collection& collection, RandomPicks picks) {
  const store::Tree& tree = collection.items;
  const std::uint64_t size = tree.size();
  if (picks.distinct && picks.count >= size) return write_whole(call, collection, picks);
  if (!are_few(call, picks, tree.memory(), size)) {
    if (refuse_many_inside_exec(call, picks.count)) return Outcome::done;
    if (picks.distinct) return call.begin(std::make_unique<DistinctPicksTask>(call, keep_items(call, collection), picks));
    return call.begin(std::make_unique<RepeatedPicksTask>(keep_items(call, collection), picks));
  }
  call.reply.array(picks.count * picks.words);
  if (picks.distinct) {
    for (const std::uint64_t position : draw_positions(picks.count, size)) picks.write(call.reply, tree.at(position).item());
  } else {
    for (std::uint64_t i = 0; i < picks.count; ++i) picks.write(call.reply, tree.at(random_below(size)).item());
  }
  work::entries(picks.count);
  return Outcome::done;
}

}  // namespace pinfold::command
