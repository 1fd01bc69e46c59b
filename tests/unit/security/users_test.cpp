#include "pinfold/security/users.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "toy_catalogue.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::security;
using namespace std::string_literals;

namespace {

using Names = std::vector<std::string_view>;

// An empty password: none.
std::shared_ptr<const User> with_password(const std::string& name, const std::string& password) {
  return user_with({"on", password.empty() ? "nopass" : ">" + password}, name);
}

std::shared_ptr<const User> default_user(const std::string& password) { return with_password("default", password); }

}  // namespace

TEST_CASE("a user accepts its password and nothing else") {
  const auto user = default_user("secret");
  CHECK(user->name() == "default");
  CHECK(user->asks_password());
  CHECK(user->accepts("secret"));
  for (const std::string& wrong : {""s, "s"s, "secre"s, "secrets"s, "secretsecret"s, "Secret"s, "secret\0"s, "\0ecret"s}) {
    CHECK_FALSE(user->accepts(wrong));
  }
}

TEST_CASE("a password may have any bytes") {
  const auto user = default_user("a\0b\xff"s);
  CHECK(user->accepts("a\0b\xff"s));
  CHECK_FALSE(user->accepts("a"));
  CHECK_FALSE(user->accepts("a\0b\xfe"s));
}

TEST_CASE("a user without a password accepts any") {
  const auto user = default_user("");
  CHECK_FALSE(user->asks_password());
  CHECK(user->accepts(""));
  CHECK(user->accepts("anything"));
}

TEST_CASE("a user may have several passwords, for as long as each is needed") {
  UserRules draft("default");
  apply(draft, {"on", ">old", ">new"});
  CHECK((draft.build()->accepts("old") && draft.build()->accepts("new")));
  apply(draft, {"<old"});
  CHECK((!draft.build()->accepts("old") && draft.build()->accepts("new")));
  apply(draft, {"<new"});
  CHECK_FALSE(draft.build()->accepts("new"));
  CHECK_FALSE(draft.build()->accepts(""));
}

TEST_CASE("a user that is off accepts nothing, and one without passwords neither") {
  CHECK_FALSE(user_with({"off", ">secret"})->accepts("secret"));
  CHECK_FALSE(user_with({"off", "nopass"})->accepts("secret"));
  CHECK_FALSE(user_with({"on"})->accepts(""));
  CHECK_FALSE(user_with({"on"})->accepts("secret"));
}

TEST_CASE("the default user is there from the start, asks for nothing and may do everything") {
  const Users users;
  CHECK_FALSE(users.ask_password());
  REQUIRE(users.find("default") != nullptr);
  CHECK(users.find("default")->name() == "default");
  CHECK(users.find("default")->unlimited());
  CHECK(rules_of(*users.find("default")) == "on nopass ~* &* +@all");
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
  users.publish(user_with({"off", "nopass"}, "default"));
  CHECK(users.ask_password());
  CHECK(users.of_new_connection() == nullptr);
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

TEST_CASE("to find out whether a password is right takes the same work for all users, known and unknown") {
  Users users;
  UserRules many("many");
  apply(many, {"on"});
  for (std::size_t i = 0; i < User::least_comparisons; ++i) apply(many, {">" + std::to_string(i)});
  users.publish(many.build());
  users.publish(with_password("one", "secret"));
  users.publish(with_password("free", ""));
  users.publish(user_with({"off", ">secret"}, "off"));
  for (const std::string& password : {""s, "secret"s, "0"s, std::string(longest_password, 'x')}) {
    for (const std::string_view name : {"many", "one", "free", "off", "default", "nobody", ""}) {
      PasswordWork work;
      users.authenticate(name, password, &work);
      INFO(name << " with " << password.size() << " bytes");
      CHECK(work.hashed == password.size());
      CHECK(work.compared == User::least_comparisons);
    }
  }
}

TEST_CASE("a password longer than a user can have is wrong without being hashed, for all users") {
  Users users;
  const std::string longest(longest_password, 'x');
  const std::string longer = longest + "x";
  users.publish(with_password("one", longest));
  users.publish(user_with({"on", "#" + hexadecimal(hash_of(longer)), "#" + hexadecimal(hash_of(""))}, "hash"));
  users.publish(with_password("free", ""));
  CHECK(users.authenticate("one", longest) != nullptr);
  CHECK(users.authenticate("hash", "") != nullptr);
  for (const std::string_view name : {"one", "hash", "free", "nobody"}) {
    for (const std::size_t size : {longest_password + 1, 100 * longest_password}) {
      PasswordWork work;
      const bool accepted = users.authenticate(name, std::string(size, 'x'), &work) != nullptr;
      INFO(name);
      CHECK(accepted == (name == "free"));
      CHECK(work.hashed == 0);
      CHECK(work.compared == User::least_comparisons);
    }
  }
}

TEST_CASE("users that are published, removed and replaced at a time are each one user, with the usage that all its versions have") {
  Users users;
  constexpr int rounds = 500;
  // Made here, because the checks in with_password() are for one thread.
  const std::vector<std::shared_ptr<const User>> file = {with_password("alice", "file"), with_password("bob", "file")};
  const auto changed = with_password("alice", "changed");
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (int i = 0; i < rounds; ++i) users.publish(changed);
  });
  threads.emplace_back([&] {
    for (int i = 0; i < rounds; ++i) users.remove(Names{"alice"});
  });
  threads.emplace_back([&] {
    for (int i = 0; i < rounds; ++i) users.replace_all(file);
  });
  int wrong = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto alice = users.find("alice");
    const auto bob = users.find("bob");
    if (alice != nullptr && (alice->usage() == nullptr || (bob != nullptr && alice->usage() == bob->usage()))) ++wrong;
    if (const auto now = alice != nullptr ? users.present(*alice) : nullptr; now != nullptr && now->usage() != alice->usage()) ++wrong;
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  const auto before = users.find("bob");
  users.replace_all({with_password("bob", "new"), with_password("alice", "new")});
  CHECK(users.present(*before) == users.find("bob"));
  CHECK(users.size() == 3);
  CHECK(users.authenticate("bob", "new") != nullptr);
}

TEST_CASE("publishing another user leaves the default user alone") {
  Users users;
  users.publish(with_password("other", "secret"));
  CHECK_FALSE(users.ask_password());
  CHECK(users.of_new_connection()->name() == "default");
  CHECK(users.authenticate("other", "secret") == users.find("other"));
  CHECK(users.authenticate("other", "wrong") == nullptr);
  CHECK(users.size() == 2);
}

TEST_CASE("every change of the users changes their version, and nothing else does") {
  Users users;
  std::uint64_t version = users.version();
  const auto changed = [&] { return std::exchange(version, users.version()) != users.version(); };
  CHECK(version != 0);
  users.publish(with_password("other", "secret"));
  CHECK(changed());
  CHECK(users.authenticate("other", "secret") != nullptr);
  CHECK(users.remove(Names{"nobody", "default"}) == 0);
  CHECK_FALSE(users.publish(default_user("x"), nullptr));
  CHECK_FALSE(changed());
  CHECK(users.remove(Names{"other"}) == 1);
  CHECK(changed());
  users.replace_all({});
  CHECK(changed());
}

TEST_CASE("a user is published over another only if that is still there") {
  Users users;
  const auto first = with_password("alice", "1");
  CHECK_FALSE(users.publish(first, users.find("default")));
  CHECK(users.publish(first, nullptr));
  const auto before = users.find("alice");
  CHECK(users.publish(with_password("alice", "2"), before));
  CHECK_FALSE(users.publish(with_password("alice", "3"), before));
  CHECK(users.authenticate("alice", "2") != nullptr);
}

TEST_CASE("limits: users that are published at a time do not exceed the limits together") {
  Users users;
  std::vector<std::shared_ptr<const User>> some;
  for (std::size_t i = 0; i < Users::most + 200; ++i)
    some.push_back(std::make_shared<const User>(UserFields{.name = std::to_string(i), .selectors = std::vector<Selector>(1)}));
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> refused{0};
  const auto publish = [&] {
    for (std::size_t i = next++; i < some.size(); i = next++)
      refused += users.publish_within_limits(some[i], nullptr) == Users::Refused::too_many ? 1 : 0;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(publish);
  for (std::thread& thread : threads) thread.join();
  CHECK(users.size() == Users::most);
  CHECK(refused == 201);  // the default user was there
  std::size_t sum = 0;
  for (const auto& user : users.all()) sum += user->memory();
  CHECK(users.memory() == sum);

  // A user that is there can be changed, and one that is not there needs room.
  const auto present = users.all().front();
  CHECK(users.publish_within_limits(user_with({"on"}, present->name()), present) == Users::Refused::no);
  CHECK(users.publish_within_limits(user_with({"on"}, present->name()), present) == Users::Refused::changed);
  std::vector<std::string> names;
  for (const auto& user : some) names.push_back(user->name());
  CHECK(users.remove(Names(names.begin(), names.end())) == Users::most - 1);
  CHECK(users.memory() == users.find("default")->memory());
  CHECK(users.replace_all(some) == Users::Refused::too_many);
  CHECK(users.size() == 1);
  some.resize(Users::most - 1);
  CHECK(users.replace_all(some) == Users::Refused::no);
  CHECK(users.size() == Users::most);
}

TEST_CASE("limits: users take bounded memory together, and less is always possible") {
  Users users;
  UserRules draft("large");
  apply(draft, {"on"});
  for (int i = 0; i < 30; ++i) {
    std::string pattern = "~*";
    for (int n = 0; n < 200; ++n) pattern += "?ab*";
    REQUIRE(draft.apply(pattern + std::to_string(i), toy_commands) == std::nullopt);
  }
  const UserFields fields = draft.build()->fields();
  const auto large = [&](int i) {
    UserFields one = fields;
    one.name = std::to_string(i);
    return std::make_shared<const User>(std::move(one));
  };
  int count = 0;
  while (users.publish_within_limits(large(count), nullptr) == Users::Refused::no) ++count;
  CHECK(users.publish_within_limits(large(count), nullptr) == Users::Refused::too_much_memory);
  CHECK(count > 0);
  CHECK(users.memory() <= Users::most_memory);
  CHECK(users.memory() + large(0)->memory() > Users::most_memory);
  const auto before = users.find("0");
  CHECK(users.publish_within_limits(user_with({"on"}, "0"), before) == Users::Refused::no);
  CHECK(users.publish_within_limits(large(count), nullptr) == Users::Refused::no);
  // The requirepass setting must not fail for it.
  users.publish(large(count + 1));
  CHECK(users.memory() > Users::most_memory);
  CHECK(users.publish_within_limits(user_with({"off"}, "0"), users.find("0")) == Users::Refused::no);
  std::vector<Users::Pointer> all = users.all();
  CHECK(users.replace_all(all) == Users::Refused::too_much_memory);
}

TEST_CASE("the memory of a user counts its name twice: the map of users has it, too") {
  const std::string name(1000, 'n');
  CHECK(user_with({}, name)->memory() >= user_with({}, "a")->memory() + 2 * 900);
}

TEST_CASE("the versions of a user are one user, and one that is made after it was removed is another") {
  Users users;
  users.publish(with_password("alice", "1"));
  const auto first = users.find("alice");
  users.publish(with_password("alice", "2"));
  CHECK(users.present(*first) == users.find("alice"));
  users.replace_all({with_password("alice", "3"), with_password("bob", "1")});
  CHECK(users.present(*first) == users.find("alice"));
  CHECK(users.find("alice")->accepts("3"));
  CHECK(users.remove(Names{"alice"}) == 1);
  CHECK(users.present(*first) == nullptr);
  users.publish(with_password("alice", "1"));
  CHECK(users.find("alice") != nullptr);
  CHECK(users.present(*first) == nullptr);
}

TEST_CASE("the default user cannot be removed, by whatever means") {
  Users users;
  users.publish(default_user("secret"));
  const auto before = users.find("default");
  CHECK(users.remove(Names{"default"}) == 0);
  users.replace_all({with_password("alice", "1")});
  CHECK(users.find("default") == before);
  CHECK(users.ask_password());
  CHECK(users.all().size() == 2);
  users.replace_all({});
  CHECK(users.find("default") == before);
  CHECK(users.all().size() == 1);
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
  const auto one = default_user("one");
  const auto two = default_user("two");
  for (int i = 0; i < 2000; ++i) users.publish(i % 2 == 0 ? two : one);
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == std::vector<int>{0, 0});
}
