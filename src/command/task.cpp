#include "pinfold/command/task.hpp"

#include "pinfold/command/engine.hpp"

namespace pinfold::command {

bool ClientMemory::ask(std::uint64_t bytes) {
  constexpr std::uint64_t always = 64 * 1024;
  if (held_ + bytes > always && !engine_.client_may_take(client_, bytes)) return false;
  held_ += bytes;
  add(static_cast<std::int64_t>(bytes));
  return true;
}

void ClientMemory::give_back(std::uint64_t bytes) {
  held_ -= bytes;
  add(-static_cast<std::int64_t>(bytes));
}

void ClientMemory::add(std::int64_t bytes) {
  engine_.keyspace.memory().add(store::Use::clients, bytes);
  client_.task_bytes.fetch_add(static_cast<std::uint64_t>(bytes), std::memory_order_relaxed);
  engine_.clients.recount(client_);
}

}  // namespace pinfold::command
