#include "pinfold/net/reply_memory.hpp"

#include <algorithm>

namespace pinfold::net {

// Counted first and looked at then: threads that ask at the same time see each other.
bool ReplyMemory::allows(std::size_t bytes) {
  const std::size_t wanted = bytes - std::min(bytes, kept);
  if (wanted <= counted_) return true;
  const auto more = static_cast<std::int64_t>(wanted - counted_);
  memory_.add(store::Use::clients, more);
  if (beyond_share(wanted)) {
    memory_.add(store::Use::clients, -more);
    return false;
  }
  counted_ = wanted;
  return true;
}

bool ReplyMemory::beyond_share(std::size_t wanted) const {
  if (client_ != nullptr && client_->no_evict.load(std::memory_order_relaxed)) return false;
  if (wanted > small_ && memory_.used(store::Use::clients) > share_) return true;
  return client_ != nullptr && !engine_.user_may_take(*client_, wanted);
}

void ReplyMemory::recount(std::size_t bytes) {
  const std::size_t wanted = std::min(counted_, bytes - std::min(bytes, kept));
  memory_.add(store::Use::clients, static_cast<std::int64_t>(wanted) - static_cast<std::int64_t>(counted_));
  counted_ = wanted;
}

}  // namespace pinfold::net
