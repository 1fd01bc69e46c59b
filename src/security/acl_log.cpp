#include "pinfold/security/acl_log.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pinfold::security {
namespace {

bool is_similar(const AclLog::Entry& entry, const AclLog::Event& event, MonoMs now) {
  const AclLog::Event& earlier = entry.event;
  return earlier.reason == event.reason && earlier.context == event.context && now - entry.noted <= AclLog::similar_for_ms &&
         earlier.object == event.object && earlier.username == event.username;
}

void cut(std::string& text, std::size_t most) {
  if (text.size() <= most) return;
  text.resize(most);
  text.shrink_to_fit();
}

}  // namespace

void AclLog::note(Event event, std::size_t most, Moment now) {
  cut(event.object, longest_object);
  cut(event.username, longest_object);
  cut(event.client, longest_client);
  most = std::min(most, most_entries);
  Entry forgotten;  // freed after the lock has been released
  const std::lock_guard lock(mutex_);
  const auto end = entries_.begin() + static_cast<std::ptrdiff_t>(std::min(entries_.size(), compared));
  const auto found = std::find_if(entries_.begin(), end, [&](const Entry& entry) { return is_similar(entry, event, now.mono); });
  if (found != end) {
    found->event.client = std::move(event.client);
    ++found->count;
    found->updated = now.unix;
    found->noted = now.mono;
    std::rotate(entries_.begin(), found, std::next(found));
    return;
  }
  if (most == 0) return;
  entries_.push_front(
      {.event = std::move(event), .count = 1, .id = next_id_++, .created = now.unix, .updated = now.unix, .noted = now.mono});
  if (entries_.size() > most) {
    forgotten = std::move(entries_.back());
    entries_.pop_back();
  }
}

std::vector<AclLog::Entry> AclLog::newest(std::size_t count) const {
  const std::lock_guard lock(mutex_);
  return {entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(std::min(count, entries_.size()))};
}

void AclLog::trim(std::size_t most) {
  std::deque<Entry> forgotten;  // freed after the lock has been released
  const std::lock_guard lock(mutex_);
  if (most == 0) {
    forgotten.swap(entries_);
    return;
  }
  while (entries_.size() > most) {
    forgotten.push_back(std::move(entries_.back()));
    entries_.pop_back();
  }
}

const char* reason_name(AclLog::Reason reason) {
  constexpr const char* names[] = {"auth", "command", "key", "channel", "database"};
  return names[static_cast<std::size_t>(reason)];
}

const char* context_name(AclLog::Context context) {
  constexpr const char* names[] = {"toplevel", "multi", "lua"};  // in the order of Context
  return names[static_cast<std::size_t>(context)];
}

}  // namespace pinfold::security
