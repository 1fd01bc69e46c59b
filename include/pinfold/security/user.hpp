#pragma once
// Who a client is: the user that it has authenticated as.

#include <string>
#include <string_view>
#include <utility>

namespace pinfold::security {

/// The user of every client that names no other.
inline constexpr std::string_view default_user_name = "default";

/// A user as it was published: its name and how it authenticates. What it may do will stand here as well.
/// Immutable, so it is shared between threads without a lock: a change publishes a new User of the same name (Users::publish).
class User {
 public:
  /// With an empty password the user is open: it asks for none, and accepts any.
  User(std::string name, std::string password) : name_(std::move(name)), password_(std::move(password)) {}

  const std::string& name() const { return name_; }
  bool asks_password() const { return !password_.empty(); }
  /// Whether `password` lets a client in as this user. It takes as long for every text of the same length, so the time of a refusal
  /// does not tell how much of a guess was right (CVE-2026-47783 and its like). O(length of `password`).
  bool accepts(std::string_view password) const;

 private:
  std::string name_;
  std::string password_;
};

}  // namespace pinfold::security
