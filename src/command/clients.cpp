#include "pinfold/command/clients.hpp"

#include <algorithm>
#include <tuple>
#include <vector>

#include "pinfold/base/work.hpp"

namespace pinfold::command {

void Clients::add(SharedClient& client) {
  const std::lock_guard lock(mutex_);
  clients_.emplace(client.id, &client);
  count_.store(clients_.size(), std::memory_order_relaxed);
}

void Clients::remove(SharedClient& client) {
  const std::lock_guard lock(mutex_);
  clients_.erase(client.id);
  count_.store(clients_.size(), std::memory_order_relaxed);
}

void Clients::for_each(const std::function<void(SharedClient&)>& visit) {
  const std::lock_guard lock(mutex_);
  work::entries(clients_.size());
  for (const auto& [id, client] : clients_) visit(*client);
}

std::uint64_t Clients::for_some(std::uint64_t from, std::size_t most, const std::function<void(SharedClient&)>& visit) {
  const std::lock_guard lock(mutex_);
  auto next = clients_.lower_bound(from);
  for (; most > 0 && next != clients_.end(); ++next, --most) visit(*next->second);
  return next == clients_.end() ? 0 : next->first;
}

void Clients::with(std::uint64_t id, const std::function<void(SharedClient&)>& visit) {
  const std::lock_guard lock(mutex_);
  if (const auto found = clients_.find(id); found != clients_.end()) visit(*found->second);
}

void Clients::kill(SharedClient& client) {
  client.closing.store(true, std::memory_order_relaxed);
  if (threads != nullptr) threads->close(client.place());
}

bool Clients::end_wait(SharedClient& client, bool with_error) {
  const std::uint64_t ticket = client.waiting.load(std::memory_order_relaxed);
  if (ticket == 0) return false;
  if (threads != nullptr) threads->end_wait(client.place(), ticket, with_error);
  return true;
}

bool Clients::evict_largest(std::uint64_t share) {
  struct Candidate {
    bool unauthenticated;
    std::uint64_t memory;
    SharedClient* client;
    bool operator<(const Candidate& other) const {
      return std::tie(unauthenticated, memory) < std::tie(other.unauthenticated, other.memory);
    }
  };
  const std::lock_guard lock(mutex_);
  std::vector<Candidate> candidates;
  std::uint64_t sum = 0;     // of clients that may be evicted
  std::uint64_t exempt = 0;  // of clients that may not
  for (const auto& [id, client] : clients_) {
    if (client->closing.load(std::memory_order_relaxed)) continue;  // its memory is as good as back
    const std::uint64_t memory = client->memory();
    if (client->no_evict.load(std::memory_order_relaxed)) {
      exempt += memory;
    } else {
      sum += memory;
      const std::lock_guard user_lock(client->mutex);
      candidates.push_back({client->user == nullptr, memory, client});
    }
  }
  // The exempt clients must not drive all others out.
  const std::uint64_t others = std::max(share - std::min(share, exempt), share / 4);
  std::make_heap(candidates.begin(), candidates.end());
  for (auto end = candidates.end(); sum > others && end != candidates.begin(); --end) {
    std::pop_heap(candidates.begin(), end);
    const Candidate& largest = *(end - 1);
    sum -= largest.memory;
    largest.client->evicted.store(true, std::memory_order_relaxed);
    count_evicted();
    kill(*largest.client);
  }
  return sum + exempt <= share;
}

void Clients::pause(PauseMode mode, MonoMs until, MonoMs now, store::Keyspace& keyspace) {
  const std::lock_guard lock(mutex_);
  const PauseMode before = paused(now);
  const MonoMs end = before == PauseMode::none ? until : std::max(until, paused_until());
  // The end first: whoever sees the mode must not see the end of a pause that is over.
  pause_until_.store(end, std::memory_order_relaxed);
  pause_mode_.store(std::max(mode, before), std::memory_order_release);
  keyspace.keep_expired(end);
}

void Clients::unpause(store::Keyspace& keyspace) {
  {
    const std::lock_guard lock(mutex_);
    keyspace.keep_expired({});
    pause_mode_.store(PauseMode::none, std::memory_order_relaxed);
  }
  if (threads != nullptr) threads->end_pause();
}

}  // namespace pinfold::command
