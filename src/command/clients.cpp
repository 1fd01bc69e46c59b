#include "pinfold/command/clients.hpp"

#include <algorithm>

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
  for (const auto& [id, client] : clients_) visit(*client);
}

void Clients::with(std::uint64_t id, const std::function<void(SharedClient&)>& visit) {
  const std::lock_guard lock(mutex_);
  if (const auto found = clients_.find(id); found != clients_.end()) visit(*found->second);
}

void Clients::kill(SharedClient& client) {
  client.closing.store(true, std::memory_order_relaxed);
  if (wake_to_close) wake_to_close(client.thread, client.id);
}

void Clients::pause(PauseMode mode, UnixMs until, UnixMs now) {
  const std::lock_guard lock(mutex_);
  const PauseMode before = paused(now);
  const UnixMs end = before == PauseMode::none ? until : std::max(until, paused_until());
  // The end first: whoever sees the mode must not see the end of a pause that is over.
  pause_until_.store(end, std::memory_order_relaxed);
  pause_mode_.store(std::max(mode, before), std::memory_order_release);
}

void Clients::unpause() {
  pause_mode_.store(PauseMode::none, std::memory_order_relaxed);
  if (wake_paused) wake_paused();
}

}  // namespace pinfold::command
