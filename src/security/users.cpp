#include "pinfold/security/users.hpp"

#include <algorithm>
#include <array>
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

// The user as a version of the one that has this usage; as a new one if it is null.
Users::Pointer version_of(Users::Pointer user, std::shared_ptr<UserUsage> usage) {
  if (usage != nullptr && user->usage() == usage) return user;
  if (usage == nullptr) usage = std::make_shared<UserUsage>();
  return std::make_shared<const User>(user->fields(), std::move(usage));
}

void apply_limits(const User& user) {
  user.usage()->memory_rule.store(user.limits().memory.value_or(UserUsage::no_memory_rule), std::memory_order_relaxed);
}

}  // namespace

const char* refusal_text(Users::Refused refused) {
  static_assert(Users::most == 4096 && Users::most_memory == 64 << 20);
  constexpr const char* texts[] = {"", "they were changed meanwhile", "there are 4096 users, and no more are possible",
                                   "the users would take more than 64 MB of memory"};
  return texts[static_cast<std::size_t>(refused)];
}

Users::Users() { publish(std::make_shared<const User>(default_user())); }

std::shared_ptr<UserUsage> Users::usage_of(std::string_view name) const {
  const auto found = users_.find(name);
  return found != users_.end() ? found->second->usage() : nullptr;
}

void Users::changed() {
  ask_password_.store(users_.find(default_user_name)->second->asks_password(), std::memory_order_relaxed);
  version_.fetch_add(1, std::memory_order_relaxed);
}

void Users::publish(const Pointer& user) {
  for (;;) {
    const Pointer present = find(user->name());
    if (publish(user, present) != nullptr) return;
  }
}

bool Users::is_present(std::string_view name, const Pointer& expected) const {
  const auto present = users_.find(name);
  return (present != users_.end() ? present->second : nullptr) == expected;
}

// The caller holds the version that was there.
void Users::put(const Pointer& version) {
  const auto present = users_.find(version->name());
  if (present != users_.end()) {
    memory_ -= present->second->memory();
    present->second = version;
  } else {
    users_.emplace(version->name(), version);
  }
  memory_ += version->memory();
  apply_limits(*version);
  changed();
}

Users::Pointer Users::publish(Pointer user, const Pointer& expected) {
  Pointer version = version_of(std::move(user), expected != nullptr ? expected->usage() : nullptr);
  const std::lock_guard lock(mutex_);
  if (!is_present(version->name(), expected)) return nullptr;
  put(version);
  return version;
}

Users::Refused Users::publish_within_limits(Pointer user, const Pointer& expected) {
  const Pointer version = version_of(std::move(user), expected != nullptr ? expected->usage() : nullptr);
  const std::size_t before = expected != nullptr ? expected->memory() : 0;
  const std::lock_guard lock(mutex_);
  if (!is_present(version->name(), expected)) return Refused::changed;
  if (expected == nullptr && users_.size() >= most) return Refused::too_many;
  const bool grows = version->memory() > before;
  if (grows && memory_ + (version->memory() - before) > most_memory) return Refused::too_much_memory;
  put(version);
  return Refused::no;
}

std::size_t Users::remove(std::span<const std::string_view> names) {
  constexpr std::size_t at_a_time = 64;
  std::size_t count = 0;
  while (!names.empty()) {
    const auto some = names.first(std::min(names.size(), at_a_time));
    names = names.subspan(some.size());
    std::array<Map::node_type, at_a_time> removed;  // freed with nothing locked
    const std::size_t before = count;
    const std::lock_guard lock(mutex_);
    for (const std::string_view name : some) {
      const auto found = users_.find(name);
      if (found == users_.end() || name == default_user_name) continue;
      memory_ -= found->second->memory();
      removed[count++ - before] = users_.extract(found);
    }
    if (count != before) changed();
  }
  return count;
}

Users::Refused Users::replace_all(std::vector<Pointer> users) {
  std::vector<std::shared_ptr<UserUsage>> usages(users.size());
  Map all;  // then the former users, which are freed with nothing locked
  const auto are_present = [&] {
    for (std::size_t i = 0; i < users.size(); ++i) {
      if (usage_of(users[i]->name()) != usages[i]) return false;
    }
    return true;
  };
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < users.size(); ++i) usages[i] = usage_of(users[i]->name());
    }
    all.clear();
    for (std::size_t i = 0; i < users.size(); ++i) {
      users[i] = version_of(std::move(users[i]), usages[i]);
      all.emplace(users[i]->name(), users[i]);
    }
    const std::lock_guard lock(mutex_);
    if (!are_present()) continue;  // somebody has added or removed one of them meanwhile
    const auto standard = users_.find(default_user_name);
    all.emplace(standard->first, standard->second);  // unless it is there
    std::size_t memory = 0;
    for (const auto& [name, user] : all) memory += user->memory();
    if (all.size() > most) return Refused::too_many;
    if (memory > most_memory) return Refused::too_much_memory;
    users_.swap(all);
    memory_ = memory;
    for (const auto& [name, user] : users_) apply_limits(*user);
    changed();
    return Refused::no;
  }
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
  const std::lock_guard lock(mutex_);
  return memory_;
}

Users::Pointer Users::authenticate(std::string_view name, std::string_view password, PasswordWork* work) const {
  Pointer user = find(name);
  if (user == nullptr) {
    User::accepts_nobody(password, work);
    return nullptr;
  }
  return user->accepts(password, work) ? user : nullptr;
}

Users::Pointer Users::of_new_connection() const {
  Pointer user = find(default_user_name);
  return user->asks_password() ? nullptr : user;
}

}  // namespace pinfold::security
