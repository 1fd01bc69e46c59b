#include "pinfold/store/changes.hpp"

#include "pinfold/base/work.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/tag_names.hpp"

namespace pinfold::store {

Changes::Subscription::Subscription(Changes& changes, Observer& observer, Causes causes)
    : changes_(changes), observer_(observer), causes_(causes) {
  Subscription** last = &changes_.first_;
  while (*last != nullptr) last = &(*last)->next_;
  *last = this;
}

Changes::Subscription::~Subscription() {
  Subscription** at = &changes_.first_;
  while (*at != this) at = &(*at)->next_;
  *at = next_;
  changes_.note_wanted();
}

void Changes::Subscription::listen(bool on) {
  if (listening_ == on) return;
  listening_ = on;
  changes_.note_wanted();
}

void Changes::note_wanted() {
  wanted_ = {};
  for (const Subscription* at = first_; at != nullptr; at = at->next_) {
    if (at->listening_) wanted_ = wanted_ | at->causes_;
  }
}

[[gnu::noinline]] void Changes::tell_all(const Change& change) {
  for (Subscription* at = first_; at != nullptr; at = at->next_) {
    if (at->listening_ && at->causes_.has(change.cause)) at->observer_.changed(change);
  }
}

[[gnu::noinline]] void Changes::tell_source_gone(unsigned db, std::uint64_t hash, const Entry& before, UnixMs now, const Purge* purge) {
  if (!wants(Cause::source_gone)) return;
  const Extra extra = Extra::read(before.extra());
  if (!has_dependencies(extra.tags) && (extra.stale_ms == 0 || before.live(now))) return;
  tell_all({.cause = Cause::source_gone, .db = db, .key = {before.key(), hash}, .now = now, .before = &before, .purge = purge});
}

[[gnu::noinline]] void Changes::tell_replaced(unsigned db, std::uint64_t hash, const Entry& before, std::string_view tags) {
  if (!wants(Cause::source_gone)) return;
  const Extra old = Extra::read(before.extra());
  const bool keeps = has_all_dependencies(tags, old.tags);
  if (keeps && old.stale_ms == 0) return;  // the clock is not read for what is usual
  const UnixMs now = unix_ms();
  if (keeps && before.live(now)) return;
  tell_all({.cause = Cause::source_gone, .db = db, .key = {before.key(), hash}, .now = now, .before = &before});
}

[[gnu::noinline]] void Changes::settle_all() {
  while (wants_settle_) {
    for (Subscription* at = first_; at != nullptr; at = at->next_) {
      if (!at->wants_settle_) continue;
      work::nodes();
      at->observer_.settle();
      at->wants_settle_ = false;
    }
    // The look-ups of one observer may have removed expired entries, and another observer may then have asked for settle().
    wants_settle_ = false;
    for (const Subscription* at = first_; at != nullptr; at = at->next_) wants_settle_ |= at->wants_settle_;
  }
}

}  // namespace pinfold::store
