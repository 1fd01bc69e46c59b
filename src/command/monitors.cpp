#include "pinfold/command/monitors.hpp"

#include <algorithm>
#include <utility>

#include "pinfold/command/monitor_feed.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {

Monitors::Monitors(Engine& engine, unsigned threads) {
  list_.reserve(most);
  for (unsigned i = 0; i < threads; ++i) feeds_.push_back(std::make_unique<MonitorFeed>(engine));
}

Monitors::~Monitors() = default;

bool Monitors::add(Session& session, std::shared_ptr<const security::User> user) {
  const std::lock_guard lock(mutex_);
  if (session.shared.monitors.load(std::memory_order_relaxed)) return true;
  if (list_.size() >= most) return false;
  list_.push_back({session.shared.place(), std::move(user)});
  session.shared.monitors.store(true, std::memory_order_relaxed);
  changed();
  return true;
}

void Monitors::set_user(const Session& session, std::shared_ptr<const security::User> user) {
  if (!session.shared.monitors.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex_);
  for (Monitor& one : list_) {
    if (one.place == session.shared.place()) one.user.swap(user);
  }
  changed();
}

void Monitors::remove(Session& session) {
  if (!session.shared.monitors.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(mutex_);
  std::erase_if(list_, [&](const Monitor& one) { return one.place == session.shared.place(); });
  session.shared.monitors.store(false, std::memory_order_relaxed);
  changed();
}

// With the mutex locked.
void Monitors::changed() {
  count_.store(list_.size(), std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_release);
}

Monitors::List Monitors::list() const {
  const std::lock_guard lock(mutex_);
  return list_;
}

}  // namespace pinfold::command
