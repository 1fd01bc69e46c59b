#include "pinfold/security/users.hpp"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

using pinfold::security::User;
using pinfold::security::Users;
using namespace std::string_literals;

namespace {

std::shared_ptr<const User> default_user(const std::string& password) { return std::make_shared<const User>("default", password); }

}  // namespace

TEST_CASE("a user accepts its password and nothing else") {
  const User user("default", "secret");
  CHECK(user.name() == "default");
  CHECK(user.asks_password());
  CHECK(user.accepts("secret"));
  for (const std::string& wrong : {""s, "s"s, "secre"s, "secrets"s, "secretsecret"s, "Secret"s, "secret\0"s, "\0ecret"s}) {
    CHECK_FALSE(user.accepts(wrong));
  }
}

TEST_CASE("a password may have any bytes") {
  const User user("default", "a\0b\xff"s);
  CHECK(user.accepts("a\0b\xff"s));
  CHECK_FALSE(user.accepts("a"));
  CHECK_FALSE(user.accepts("a\0b\xfe"s));
}

TEST_CASE("a user without a password accepts any") {
  const User user("default", "");
  CHECK_FALSE(user.asks_password());
  CHECK(user.accepts(""));
  CHECK(user.accepts("anything"));
}

TEST_CASE("the default user is there from the start and asks for nothing") {
  const Users users;
  CHECK_FALSE(users.ask_password());
  REQUIRE(users.find("default") != nullptr);
  CHECK(users.find("default")->name() == "default");
  CHECK(users.of_new_connection() == users.find("default"));
  CHECK(users.find("other") == nullptr);
  CHECK(users.find("") == nullptr);
  CHECK(users.find("Default") == nullptr);
}

TEST_CASE("a new connection has no user while the default user asks for a password") {
  Users users;
  users.publish(default_user("secret"));
  CHECK(users.ask_password());
  CHECK(users.of_new_connection() == nullptr);
  users.publish(default_user(""));
  CHECK_FALSE(users.ask_password());
  CHECK(users.of_new_connection() == users.find("default"));
}

TEST_CASE("authenticating gives the user as it is now") {
  Users users;
  users.publish(default_user("first"));
  const auto before = users.authenticate("default", "first");
  REQUIRE(before != nullptr);
  users.publish(default_user("second"));
  CHECK(users.authenticate("default", "first") == nullptr);
  const auto after = users.authenticate("default", "second");
  CHECK(after == users.find("default"));
  CHECK(before != after);
  CHECK(before->accepts("first"));  // who holds it keeps it as it was
}

TEST_CASE("nobody authenticates as a user that is not there") {
  Users users;
  CHECK(users.authenticate("other", "") == nullptr);
  users.publish(default_user("secret"));
  CHECK(users.authenticate("other", "secret") == nullptr);
  CHECK(users.authenticate("", "secret") == nullptr);
}

TEST_CASE("publishing another user leaves the default user alone") {
  Users users;
  users.publish(std::make_shared<const User>("other", "secret"));
  CHECK_FALSE(users.ask_password());
  CHECK(users.of_new_connection()->name() == "default");
  CHECK(users.authenticate("other", "secret") == users.find("other"));
  CHECK(users.authenticate("other", "wrong") == nullptr);
}

TEST_CASE("threads that authenticate see one of the users published, whole") {
  Users users;
  users.publish(default_user("one"));
  std::vector<std::thread> readers;
  std::vector<int> wrong(2);
  for (int& count : wrong) {
    readers.emplace_back([&users, &count] {
      for (int i = 0; i < 2000; ++i) {
        const auto user = users.find("default");
        count += user->accepts("one") != user->accepts("two") ? 0 : 1;
      }
    });
  }
  for (int i = 0; i < 2000; ++i) users.publish(default_user(i % 2 == 0 ? "two" : "one"));
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == std::vector<int>{0, 0});
}
