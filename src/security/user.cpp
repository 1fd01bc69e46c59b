#include "pinfold/security/user.hpp"

#include <cstddef>

namespace pinfold::security {
namespace {

// The time depends on the length of `given` only.
bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  volatile unsigned char difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = secret.empty() ? '\0' : secret[i % secret.size()];
    difference = static_cast<unsigned char>(difference | static_cast<unsigned char>(given[i] ^ expected));
  }
  return difference == 0;
}

}  // namespace

bool User::accepts(std::string_view password) const {
  const bool same = equal_in_constant_time(password, password_);
  return same || !asks_password();
}

}  // namespace pinfold::security
