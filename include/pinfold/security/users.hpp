#pragma once
// The users of the server.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/security/user.hpp"

namespace pinfold::security {

/// The present users, by name. There is always a default user. Thread-safe.
///
/// A client keeps the User that it got when it authenticated, and asks version() before each request. If that has changed, it takes the
/// present() version of its user, or is closed if the user was removed.
class Users {
 public:
  using Pointer = std::shared_ptr<const User>;

  /// How many users there may be, and how many bytes they may take together (memory()).
  static constexpr std::size_t most = 4096;
  static constexpr std::size_t most_memory = 64 * 1024 * 1024;
  /// Why users were not published. `changed`: somebody else was faster.
  enum class Refused : std::uint8_t { no, changed, too_many, too_much_memory };

  /// Starts with a default user that may do everything and asks for no password.
  Users();

  /// Counts the changes. Costs one relaxed load. Never 0.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }

  /// Puts `user` in place of the user with the same name, or adds it. Throws std::bad_alloc.
  void publish(const Pointer& user);
  /// Does so only if `expected` is still the user with that name; null if there must be none. Returns the user that find() gives then, a
  /// version of `expected`; null if it was not. To change a user: find it, apply rules to it, publish it, and begin again if somebody
  /// else was faster. Allocates nothing if `user` is a version of `expected` already; otherwise throws std::bad_alloc.
  Pointer publish(Pointer user, const Pointer& expected);
  /// The same for a user that must not exceed the limits: there are no more than `most` users then, and they take no more than
  /// `most_memory`, unless `user` takes less than the version before.
  Refused publish_within_limits(Pointer user, const Pointer& expected);
  /// Removes the users with these names, except the default user, a few at a time. Returns how many there were.
  std::size_t remove(std::span<const std::string_view> names);
  /// Sets how many requests a second a user may make whose rules say nothing of it (user-requests-per-second); 0: no limit. Counts as
  /// a change.
  void set_request_limit(std::int64_t per_second);
  /// How many requests a second the user may make; 0: no limit.
  std::int64_t request_limit(const User& user) const {
    return user.limits().requests.value_or(request_limit_.load(std::memory_order_relaxed));
  }
  /// Makes `users` all users (ACL LOAD), by name; each name is there once. A user with the name of a present user counts as a new version
  /// of it. If `users` has no default user, the present one stays. Changes nothing if there would be too many users, or too large ones.
  /// Throws std::bad_alloc, and changes nothing then.
  Refused replace_all(std::vector<Pointer> users);

  /// The user with this name; null if there is none. O(log users).
  Pointer find(std::string_view name) const;
  /// The present version of `user`; null if it was removed.
  Pointer present(const User& user) const;
  /// The number of users.
  std::size_t size() const;
  /// About the bytes that all users take. O(1).
  std::size_t memory() const;
  /// All users, by name.
  std::vector<Pointer> all() const;

  /// The user with this name if it is enabled and accepts the password; otherwise null. Does the same work if there is no such user.
  /// `work`: what that was.
  Pointer authenticate(std::string_view name, std::string_view password, PasswordWork* work = nullptr) const;

  /// The user of a new connection: the default user if it asks for no password, otherwise null.
  Pointer of_new_connection() const;

  /// Whether the default user asks for a password. A client without a user is then unauthenticated. Costs one relaxed load.
  bool ask_password() const { return ask_password_.load(std::memory_order_relaxed); }

 private:
  using Map = std::map<std::string, Pointer, std::less<>>;

  // With the mutex held. Users are made, and freed, without it: their patterns may take long.
  std::shared_ptr<UserUsage> usage_of(std::string_view name) const;  // null if there is no such user
  bool is_present(std::string_view name, const Pointer& expected) const;
  void put(const Pointer& version);
  void changed();

  std::atomic<std::uint64_t> version_{1};
  std::atomic<bool> ask_password_{false};  // written with the mutex held
  std::atomic<std::int64_t> request_limit_{0};
  mutable std::mutex mutex_;
  Map users_;
  std::size_t memory_ = 0;  // of users_
};

/// The refusal in words; "" for none.
const char* refusal_text(Users::Refused refused);

}  // namespace pinfold::security
