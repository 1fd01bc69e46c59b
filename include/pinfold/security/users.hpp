#pragma once
// The users of the server. At present there is one, the default user. Its password is the setting `requirepass`.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "pinfold/security/user.hpp"

namespace pinfold::security {

/// The present users, by name. Thread-safe. A client keeps the User that it got when it authenticated, so publishing a new one
/// does not log any client out.
class Users {
 public:
  /// Starts with a default user that asks for no password.
  Users();

  /// Puts `user` in place of the user with the same name, or adds it. It holds for clients that authenticate from now on.
  /// Throws std::bad_alloc.
  void publish(std::shared_ptr<const User> user);

  /// The user with this name; null if there is none. O(log users).
  std::shared_ptr<const User> find(std::string_view name) const;

  /// The user with this name if the password is right; null if the password is wrong or there is no such user. For a name that
  /// does not exist, it compares the password of the default user, so that this takes as long as a wrong password.
  std::shared_ptr<const User> authenticate(std::string_view name, std::string_view password) const;

  /// The user of a new connection: the default user if it asks for no password, otherwise null.
  std::shared_ptr<const User> of_new_connection() const;

  /// Whether the default user asks for a password. A client without a user is then unauthenticated. Costs one relaxed load.
  bool ask_password() const { return ask_password_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> ask_password_{false};  // written with the mutex held
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const User>, std::less<>> users_;  // there is always a default user
};

}  // namespace pinfold::security
