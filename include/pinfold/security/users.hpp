#pragma once
// The users that there are. Today there is one, the default user, whose password is the setting `requirepass`.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "pinfold/security/user.hpp"

namespace pinfold::security {

/// Publishes users, by name. Thread-safe.
/// Who holds a user keeps it as it was: publishing another of its name logs nobody out.
class Users {
 public:
  /// With a default user who asks for no password.
  Users();

  /// Makes `user` the one of its name, in place of the one before. It applies to whoever authenticates from now on.
  void publish(std::shared_ptr<const User> user);

  /// The user of that name; null if there is none. O(log users).
  std::shared_ptr<const User> find(std::string_view name) const;

  /// The user `name` if the password is right; null if it is wrong or there is no such user. A name that does not exist takes as long as
  /// one whose password is wrong.
  std::shared_ptr<const User> authenticate(std::string_view name, std::string_view password) const;

  /// The user of a connection that has not authenticated yet: the default user if it asks for no password, else null.
  std::shared_ptr<const User> of_new_connection() const;

  /// Whether the default user asks for a password, so that a client without a user is unauthenticated. One relaxed load.
  bool ask_password() const { return ask_password_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> ask_password_{false};  // written with the mutex held
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const User>, std::less<>> users_;  // there is always a default user
};

}  // namespace pinfold::security
