#pragma once
// A user: the identity that a client has once it has authenticated.

#include <string>
#include <string_view>
#include <utility>

namespace pinfold::security {

/// The name of the user for clients that name no other.
inline constexpr std::string_view default_user_name = "default";

/// The name of a user and how it authenticates, and later what it may do. Immutable, so threads share it without a lock. To
/// change a user, a new User with the same name is published (Users::publish).
class User {
 public:
  /// With an empty password the user asks for none, and accepts any.
  User(std::string name, std::string password) : name_(std::move(name)), password_(std::move(password)) {}

  const std::string& name() const { return name_; }
  bool asks_password() const { return !password_.empty(); }
  /// Whether a client may authenticate as this user with `password`. Takes the same time for every text of the same length, so
  /// the time of a refusal does not tell how much of a guess was right (CVE-2026-47783 and similar ones). O(length of
  /// `password`).
  bool accepts(std::string_view password) const;

 private:
  std::string name_;
  std::string password_;
};

}  // namespace pinfold::security
