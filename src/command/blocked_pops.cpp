#include "pinfold/command/blocked_pops.hpp"

#include <bitset>
#include <map>
#include <string>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/cache/db_name.hpp"
#include "pinfold/command/clients.hpp"
#include "pinfold/store/changes.hpp"

namespace pinfold::command {

using cache::DbName;
using cache::DbNameView;
using store::Key;

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

// The queues at the keys of one shard, guarded by its lock.
class BlockedPops::OfShard final : public store::Observer {
 public:
  OfShard(BlockedPops& pops, unsigned shard)
      : pops_(pops), subscription_(pops.keyspace_.changes(shard), *this, {store::Cause::written, store::Cause::exchanged}) {}

  void join(unsigned db, const Key& key, BlockedClient& client) {
    const auto [at, fresh] = states_.try_emplace(DbName(db, key.text));
    State& state = at->second;
    try {
      state.queue.emplace(Turn(client.type(), client.ticket()), &client);
    } catch (...) {
      if (fresh) states_.erase(at);
      throw;
    }
    if (!fresh) return;
    state.name = &at->first;
    state.hash = key.hash;
    subscription_.listen(true);
    pops_.keys_.fetch_add(1, relaxed);
  }

  void leave(unsigned db, const Key& key, const BlockedClient& client) {
    const auto at = states_.find(DbNameView(db, key.text));
    if (at == states_.end() || at->second.queue.erase({client.type(), client.ticket()}) == 0) return;
    State& state = at->second;
    if (!state.queue.empty()) return look_later(state);
    if (!state.listed) erase(at);  // else settle() does
  }

  bool has_waiting_before(unsigned db, const Key& key, store::Type type, std::uint64_t ticket) const {
    if (states_.empty()) [[likely]]
      return false;
    const auto at = states_.find(DbNameView(db, key.text));
    if (at == states_.end()) return false;
    const auto first = at->second.queue.lower_bound({type, 0});
    return first != at->second.queue.end() && first->first.first == type && first->first.second < ticket;
  }

  void changed(const store::Change& change) noexcept override {
    if (change.cause == store::Cause::exchanged) {
      exchanged_.set(change.db);
      subscription_.want_settle();
      return;
    }
    work::nodes(1);
    if (const auto at = states_.find(DbNameView(change.db, change.key.text)); at != states_.end()) look_later(at->second);
  }

  void settle() override {
    while (State* const state = to_look_at_) {
      to_look_at_ = state->next;
      state->listed = false;
      if (state->queue.empty()) {
        erase(states_.find(*state->name));
      } else {
        wake_first(*state);
      }
    }
    for (unsigned db = 0; exchanged_.any(); ++db) {
      if (!exchanged_.test(db)) continue;
      exchanged_.reset(db);
      look_at_database(db);
    }
  }

 private:
  using Turn = std::pair<store::Type, std::uint64_t>;  // the type that a client waits for, and its ticket
  struct State {
    std::map<Turn, BlockedClient*> queue;
    const DbName* name = nullptr;  // the key in the map
    std::uint64_t hash = 0;        // of the key
    State* next = nullptr;         // in the list of those that settle() looks at, which takes no memory
    bool listed = false;           // whether it is in this list
  };
  using States = std::map<DbName, State, cache::DbNameLess>;

  void erase(States::iterator at) {
    states_.erase(at);
    subscription_.listen(!states_.empty());
    pops_.keys_.fetch_sub(1, relaxed);
  }

  void look_later(State& state) {
    if (!std::exchange(state.listed, true)) state.next = std::exchange(to_look_at_, &state);
    subscription_.want_settle();
  }

  // Wakes the first client that waits for a value of the type that is there.
  void wake_first(const State& state) const {
    work::entries();
    const auto value = pops_.keyspace_.glance(state.name->first, {state.name->second, state.hash});
    if (!value || value->absent || value->is_string()) return;
    const store::Type type = value->kind.type();
    const auto first = state.queue.lower_bound({type, 0});
    if (first != state.queue.end() && first->first.first == type) first->second->wake();
  }

  // All keys of the database may have other values now.
  void look_at_database(unsigned db) {
    unsigned left = 64;
    for (auto at = states_.lower_bound(DbNameView(db, {})); at != states_.end() && at->first.first == db; ++at) {
      if (left-- == 0) {
        pops_.exchanges_[db].fetch_add(1, std::memory_order_release);
        return;
      }
      wake_first(at->second);
    }
  }

  BlockedPops& pops_;
  store::Changes::Subscription subscription_;
  States states_;
  State* to_look_at_ = nullptr;
  std::bitset<store::database_count> exchanged_;
};

BlockedPops::BlockedPops(store::Keyspace& keyspace) : keyspace_(keyspace) {
  for (unsigned shard = 0; shard < keyspace.shard_count(); ++shard) shards_.push_back(std::make_unique<OfShard>(*this, shard));
}

BlockedPops::~BlockedPops() = default;

std::size_t BlockedPops::memory_of_place(std::string_view key) {
  constexpr std::size_t state = 192;  // a node of the map of keys, as malloc rounds it
  constexpr std::size_t turn = 80;    // a node of the queue
  return state + turn + key.size();
}

void BlockedPops::join(unsigned db, const Key& key, BlockedClient& client) { of(key).join(db, key, client); }

void BlockedPops::leave(unsigned db, const Key& key, const BlockedClient& client) { of(key).leave(db, key, client); }

bool BlockedPops::has_waiting_before(unsigned db, const Key& key, store::Type type, std::uint64_t ticket) const {
  return of(key).has_waiting_before(db, key, type, ticket);
}

// --- clients ---

BlockedClient::BlockedClient(BlockedPops& pops, Clients& clients, const ClientPlace& place, unsigned db, store::Type type,
                             std::uint64_t ticket)
    : pops_(pops),
      clients_(clients),
      place_(place),
      db_(db),
      type_(type),
      ticket_(ticket),
      exchanges_(pops.exchanges_[db].load(std::memory_order_acquire)) {
  pops_.clients_.fetch_add(1, relaxed);
}

BlockedClient::~BlockedClient() { pops_.clients_.fetch_sub(1, relaxed); }

void BlockedClient::wake() {
  if (!woken_.exchange(true)) clients_.wake_task(place_);
}

bool BlockedClient::wants_to_look() const { return woken_.load() || pops_.exchanges_[db_].load(std::memory_order_acquire) != exchanges_; }

void BlockedClient::has_looked() {
  woken_.store(false);
  exchanges_ = pops_.exchanges_[db_].load(std::memory_order_acquire);
}

}  // namespace pinfold::command
