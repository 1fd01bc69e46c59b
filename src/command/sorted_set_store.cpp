#include "pinfold/command/sorted_set_store.hpp"

#include <array>

#include "pinfold/base/work.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/thresholds.hpp"

namespace pinfold::command {

Outcome store_built(Call& call, store::Database db, const store::Key& key, types::SortedSetBuilder& built) {
  const auto size = static_cast<std::int64_t>(built.size());
  if (size == 0) {
    db.remove(key);
    return call.reply.integer(0);
  }
  const store::Stored stored = db.put(key, built.take());
  return stored ? call.reply.integer(size) : call.refused(stored);
}

StoringTask::StoringTask(Call& call, const store::Key& key)
    : key_(key.text), db_(call.session.db), room_(call.engine.keyspace), built_(call.engine.keyspace.memory(), thresholds(call.engine)) {}

Outcome StoringTask::build(Call& call, std::int64_t end_us) {
  using Result = store::GradualRoom::Result;
  constexpr std::uint64_t at_once = 128;
  // They take less than this, with nodes that are cut in two.
  constexpr std::uint64_t bytes_at_once = 128 * 1024;
  for (;;) {
    const Result made = room_.make(bytes_at_once, end_us, built_.memory());
    if (made == Result::more) return Outcome::waits;
    store::Room room;
    if (made == Result::none) return call.out_of_memory();
    if (!room_.hand_over(room)) return Outcome::waits;  // another thread has taken the memory: it is made once more
    for (std::uint64_t i = 0; i < at_once; ++i) {
      Member member;
      if (!next(member)) {
        const std::array keys = {call.engine.keyspace.key(key_)};
        call.held.acquire(keys);
        return store_built(call, call.db(db_), keys[0], built_);
      }
      if (!built_.add(store::Element(member.element), member.score, member.hash)) return call.out_of_memory();
    }
    if (monotonic_us() >= end_us) return Outcome::waits;
  }
}

}  // namespace pinfold::command
