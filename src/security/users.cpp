#include "pinfold/security/users.hpp"

#include <utility>

namespace pinfold::security {

Users::Users() { publish(std::make_shared<const User>(std::string(default_user_name), "")); }

void Users::publish(std::shared_ptr<const User> user) {
  const std::lock_guard lock(mutex_);
  if (user->name() == default_user_name) ask_password_.store(user->asks_password(), std::memory_order_relaxed);
  users_.insert_or_assign(user->name(), std::move(user));
}

std::shared_ptr<const User> Users::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = users_.find(name);
  return found != users_.end() ? found->second : nullptr;
}

std::shared_ptr<const User> Users::authenticate(std::string_view name, std::string_view password) const {
  std::shared_ptr<const User> named = find(name);
  // In place of a user that is not there another one's password is compared, for the time that it takes.
  const std::shared_ptr<const User> compared = named != nullptr ? named : find(default_user_name);
  return compared->accepts(password) ? named : nullptr;
}

std::shared_ptr<const User> Users::of_new_connection() const {
  std::shared_ptr<const User> user = find(default_user_name);
  return user->asks_password() ? nullptr : user;
}

}  // namespace pinfold::security
