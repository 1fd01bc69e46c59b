#include "pinfold/command/clients.hpp"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "pinfold/base/work.hpp"

namespace pinfold::command {

void Clients::add(SharedClient& client) {
  const std::lock_guard lock(mutex_);
  clients_.emplace(client.id, &client);
  count_.store(clients_.size(), std::memory_order_relaxed);
}

void Clients::remove(SharedClient& client) {
  recount(client);
  const std::lock_guard lock(mutex_);
  clients_.erase(client.id);
  count_to(client, nullptr);
  count_.store(clients_.size(), std::memory_order_relaxed);
}

void Clients::for_each(const std::function<void(SharedClient&)>& visit) {
  constexpr std::size_t at_a_time = 64;
  const std::uint64_t last = last_id();
  for (std::uint64_t next = 1; next != 0 && next <= last;) next = for_some(next, at_a_time, visit);
}

std::uint64_t Clients::for_some(std::uint64_t from, std::size_t most, const std::function<void(SharedClient&)>& visit) {
  const std::lock_guard lock(mutex_);
  auto next = clients_.lower_bound(from);
  std::size_t visited = 0;
  for (; visited < most && next != clients_.end(); ++next, ++visited) visit(*next->second);
  work::entries(visited);
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

void Clients::count_to(SharedClient& client, std::shared_ptr<security::UserUsage> usage) {
  constexpr auto relaxed = std::memory_order_relaxed;
  if (usage != nullptr) {
    by_user_.emplace(std::pair(usage.get(), client.id), &client);
    usage->clients.fetch_add(1, relaxed);
    usage->transport_bytes.fetch_add(client.transport_bytes, relaxed);
  }
  if (client.usage != nullptr) {
    by_user_.erase({client.usage.get(), client.id});
    client.usage->clients.fetch_sub(1, relaxed);
    client.usage->transport_bytes.fetch_sub(client.transport_bytes, relaxed);
    client.usage->bytes.fetch_sub(client.counted.exchange(0, relaxed), relaxed);
  }
  client.usage.swap(usage);
}

void Clients::set_transport_bytes(SharedClient& client, std::uint64_t bytes) {
  constexpr auto relaxed = std::memory_order_relaxed;
  const std::uint64_t more = bytes - std::exchange(client.transport_bytes, bytes);  // modulo 2^64 if it is less
  transport_bytes_.fetch_add(more, relaxed);
  if (client.usage != nullptr) client.usage->transport_bytes.fetch_add(more, relaxed);
}

void Clients::follow_user(Session& session) {
  SharedClient& client = session.shared;
  recount(client);
  std::shared_ptr<security::UserUsage> usage = session.usage();
  if (usage == client.usage) [[likely]]
    return;
  {
    const std::lock_guard lock(mutex_);
    count_to(client, std::move(usage));
  }
  recount(client);
}

// Each change is an exchange of what is counted, so the sum stays right if another thread evicts the client meanwhile.
void Clients::recount(SharedClient& client) {
  constexpr auto relaxed = std::memory_order_relaxed;
  const std::uint64_t requests = client.commands.load(relaxed);
  const std::uint64_t more = requests - std::exchange(client.counted_requests, requests);
  const store::ReadCounts counted = std::exchange(client.counted_reads, client.reads);
  if (client.usage == nullptr) return;
  if (more != 0) client.usage->requests.fetch_add(more, relaxed);
  const auto add = [relaxed](std::atomic<std::uint64_t>& sum, std::uint64_t now, std::uint64_t before) {
    if (now != before) sum.fetch_add(now - before, relaxed);
  };
  add(client.usage->hits, client.reads.hits, counted.hits);
  add(client.usage->misses, client.reads.misses, counted.misses);
  add(client.usage->stale_hits, client.reads.stale_hits, counted.stale_hits);
  add(client.usage->negative_hits, client.reads.negative_hits, counted.negative_hits);
  const std::int64_t now = client.evicted.load(relaxed) == Evicted::no ? static_cast<std::int64_t>(client.memory()) : 0;
  if (now != client.counted.load(relaxed)) client.usage->bytes.fetch_add(now - client.counted.exchange(now, relaxed), relaxed);
}

// The memory of an evicted client is as good as back.
void Clients::evict(SharedClient& client, Evicted why) {
  constexpr auto relaxed = std::memory_order_relaxed;
  client.evicted.store(why, relaxed);
  if (client.usage != nullptr) client.usage->bytes.fetch_sub(client.counted.exchange(0, relaxed), relaxed);
  kill(client);
}

namespace {

// The choice of clients that have to go.
class Choice {
 public:
  void add(SharedClient& client, bool unauthenticated) {
    if (client.closing.load(std::memory_order_relaxed)) return;  // its memory is as good as back
    const std::uint64_t memory = client.memory();
    if (client.no_evict.load(std::memory_order_relaxed)) {
      exempt_ += memory;
    } else {
      sum_ += memory;
      candidates_.push_back({unauthenticated, memory, &client});
    }
  }

  // Calls `evict` for clients until the others take no more than `share`. Returns false if that cannot be.
  template <class Evict>
  bool make(std::uint64_t share, Evict&& evict) {
    // The exempt clients must not drive all others out.
    const std::uint64_t others = std::max(share - std::min(share, exempt_), share / 4);
    std::make_heap(candidates_.begin(), candidates_.end());
    for (auto end = candidates_.end(); sum_ > others && end != candidates_.begin(); --end) {
      std::pop_heap(candidates_.begin(), end);
      const Candidate& largest = *(end - 1);
      sum_ -= largest.memory;
      evict(*largest.client);
    }
    return sum_ + exempt_ <= share;
  }

 private:
  struct Candidate {
    bool unauthenticated;
    std::uint64_t memory;
    SharedClient* client;
    bool operator<(const Candidate& other) const {
      return std::tie(unauthenticated, memory) < std::tie(other.unauthenticated, other.memory);
    }
  };

  std::vector<Candidate> candidates_;
  std::uint64_t sum_ = 0;     // of clients that may be evicted
  std::uint64_t exempt_ = 0;  // of clients that may not
};

}  // namespace

bool Clients::evict_largest(std::uint64_t share) {
  const std::lock_guard lock(mutex_);
  work::entries(clients_.size());
  Choice choice;
  for (const auto& [id, client] : clients_) {
    const std::lock_guard user_lock(client->mutex);
    choice.add(*client, client->user == nullptr);
  }
  return choice.make(share, [this](SharedClient& client) {
    count_evicted();
    evict(client, Evicted::for_all);
  });
}

bool Clients::evict_largest_of(security::UserUsage& user, std::uint64_t share) {
  const std::lock_guard lock(mutex_);
  Choice choice;
  std::uint64_t looked_at = 0;
  for (auto at = by_user_.lower_bound({&user, 0}); at != by_user_.end() && at->first.first == &user; ++at, ++looked_at) {
    choice.add(*at->second, false);
  }
  work::entries(looked_at);
  return choice.make(share, [this, &user](SharedClient& client) {
    count_closed_for_user(user);
    evict(client, Evicted::for_user);
  });
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
