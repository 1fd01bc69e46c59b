#include "pinfold/security/users.hpp"

#include <utility>

namespace pinfold::security {
namespace {

UserFields default_user() {
  Selector everything;
  everything.commands.set();
  everything.all_commands = true;
  everything.all_keys = true;
  everything.all_channels = true;
  return {.name = std::string(default_user_name), .enabled = true, .nopass = true, .selectors = {everything}};
}

}  // namespace

Users::Users() { publish(std::make_shared<const User>(default_user())); }

const User& Users::put(Map& users, Pointer user) {
  const auto present = users_.find(user->name());
  std::shared_ptr<UserUsage> usage = present != users_.end() ? present->second->usage() : std::make_shared<UserUsage>();
  if (user->usage() != usage) user = std::make_shared<const User>(user->fields(), std::move(usage));
  std::string name = user->name();
  return *users.insert_or_assign(std::move(name), std::move(user)).first->second;
}

void Users::changed(const User& user) {
  user.usage()->memory_rule.store(user.limits().memory.value_or(UserUsage::no_memory_rule), std::memory_order_relaxed);
  changed();
}

void Users::changed() {
  ask_password_.store(users_.find(default_user_name)->second->asks_password(), std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_relaxed);
}

void Users::publish(Pointer user) {
  Pointer before;  // freed with nothing locked
  const std::lock_guard lock(mutex_);
  const auto present = users_.find(user->name());
  if (present != users_.end()) before = present->second;
  changed(put(users_, std::move(user)));
}

bool Users::publish(Pointer user, const Pointer& expected) {
  const std::lock_guard lock(mutex_);
  const auto present = users_.find(user->name());
  if ((present != users_.end() ? present->second : nullptr) != expected) return false;
  changed(put(users_, std::move(user)));
  return true;
}

std::size_t Users::remove(std::span<const std::string_view> names) {
  std::vector<Map::node_type> removed;  // freed with nothing locked
  removed.reserve(names.size());
  const std::lock_guard lock(mutex_);
  for (const std::string_view name : names) {
    const auto found = users_.find(name);
    if (found != users_.end() && name != default_user_name) removed.push_back(users_.extract(found));
  }
  if (!removed.empty()) changed();
  return removed.size();
}

void Users::replace_all(std::vector<Pointer> users) {
  Map all;  // then the former users, which are freed with nothing locked
  const std::lock_guard lock(mutex_);
  for (Pointer& user : users) put(all, std::move(user));
  if (all.find(default_user_name) == all.end()) put(all, users_.find(default_user_name)->second);
  users_.swap(all);
  for (const auto& [name, user] : users_) changed(*user);
}

void Users::set_request_limit(std::int64_t per_second) {
  request_limit_.store(per_second, std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  changed();
}

Users::Pointer Users::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = users_.find(name);
  return found != users_.end() ? found->second : nullptr;
}

Users::Pointer Users::present(const User& user) const {
  Pointer found = find(user.name());
  return found != nullptr && found->usage() == user.usage() ? found : nullptr;
}

std::vector<Users::Pointer> Users::all() const {
  std::vector<Pointer> users;
  const std::lock_guard lock(mutex_);
  users.reserve(users_.size());
  for (const auto& [name, user] : users_) users.push_back(user);
  return users;
}

std::size_t Users::size() const {
  const std::lock_guard lock(mutex_);
  return users_.size();
}

std::size_t Users::memory() const {
  std::size_t bytes = 0;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, user] : users_) bytes += user->memory();
  return bytes;
}

Users::Pointer Users::authenticate(std::string_view name, std::string_view password) const {
  Pointer user = find(name);
  if (user == nullptr) {
    User::accepts_nobody(password);
    return nullptr;
  }
  return user->accepts(password) ? user : nullptr;
}

Users::Pointer Users::of_new_connection() const {
  Pointer user = find(default_user_name);
  return user->asks_password() ? nullptr : user;
}

}  // namespace pinfold::security
