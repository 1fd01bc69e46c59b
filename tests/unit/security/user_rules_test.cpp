#include "pinfold/security/user_rules.hpp"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/seed.hpp"
#include "toy_catalogue.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::security;
using namespace std::string_literals;

namespace {

std::string rules(std::initializer_list<std::string_view> list) { return rules_of(*user_with(list)); }

const std::string& large_text() {
  static const std::string text(UserRules::most_bytes, 'a');
  return text;
}

std::string error_of(std::string_view rule, std::initializer_list<std::string_view> before = {}) {
  UserRules draft("alice");
  apply(draft, before);
  return draft.apply(rule, toy_commands).value_or("no error");
}

// The words of a line. A selector, from a word that begins with a bracket to one that ends with one, is one word.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  bool inside = false;
  while (!line.empty()) {
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string word(line.substr(0, space));
    line.remove_prefix(std::min(space + 1, line.size()));
    if (inside) {
      words.back() += " " + word;
    } else {
      words.push_back(word);
    }
    inside = words.back().starts_with('(') && !word.ends_with(')');
  }
  return words;
}

bool may(const User& user, std::string_view name, std::string_view first_argument = "x") {
  return user.selectors().front().allows_command(command(name), first_argument);
}

}  // namespace

TEST_CASE("rules: what is shown of a user is what was set, in the order of Redis") {
  CHECK(rules({}) == "off resetchannels -@all");
  CHECK(rules({"on", "nopass", "~*", "&*", "+@all"}) == "on nopass ~* &* +@all");
  CHECK(rules({"allkeys", "allchannels", "allcommands"}) == "off ~* &* +@all");
  CHECK(rules({"ALLKEYS", "On", "NoPass"}) == "on nopass ~* resetchannels -@all");
  CHECK(rules({"~a", "%R~b", "%W~c", "%RW~d", "%wr~e", "&f", "!~g"}) == "off ~a %R~b %W~c ~d ~e !~g resetchannels &f -@all");
  CHECK(rules({"%R~a", "%W~a"}) == "off ~a resetchannels -@all");
  CHECK(rules({"~a", "~a", "&a", "&a", "!~a", "!~a"}) == "off ~a !~a resetchannels &a -@all");
  CHECK(rules({"~a", "resetkeys", "&a", "resetchannels"}) == "off resetchannels -@all");
  CHECK(rules({"skip-sanitize-payload"}) == "off skip-sanitize-payload resetchannels -@all");
  CHECK(rules({"on", ">a", "~a", "(+get)", "db=1", "reset"}) == "off sanitize-payload resetchannels -@all");
  CHECK(rules({">a"}) == "off #ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb resetchannels -@all");
  CHECK(rules({"maxmemory=64MB", "Rate=1000"}) == "off maxmemory=67108864 rate=1000 resetchannels -@all");
  CHECK(rules({"maxmemory=0", "rate=0", "on"}) == "on maxmemory=0 rate=0 resetchannels -@all");
  CHECK(rules({"MaxMemory=5%", "maxmemory=7%"}) == "off maxmemory=7% resetchannels -@all");
  CHECK(rules({"maxmemory=1mb", "rate=1", "resetlimits"}) == "off resetchannels -@all");
  CHECK(rules({"maxmemory=1mb", "rate=1", "reset"}) == "off sanitize-payload resetchannels -@all");
  CHECK(rules({"db=3,1", "db=2,1"}) == "off resetchannels db=1,2,3 -@all");
  CHECK(rules({"db=1", "alldbs"}) == "off resetchannels -@all");
  CHECK(rules({"resetdbs"}) == "off resetchannels resetdbs -@all");
  CHECK(rules({"(+get ~a)", "( %R~b  +set )"}) == "off resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels -@all +set)");
  CHECK(rules({"(+get ~a)", "clearselectors"}) == "off resetchannels -@all");
  CHECK(rules({""}) == "off resetchannels -@all");
}

TEST_CASE("rules: commands are shown as they were allowed, without what a later rule has overruled") {
  CHECK(rules({"+get", "+@read"}) == "off resetchannels -@all +get +@read");
  CHECK(rules({"+get", "-get", "+GET"}) == "off resetchannels -@all +get");
  CHECK(rules({"+@all", "-@write", "+set"}) == "off resetchannels +@all -@write +set");
  CHECK(rules({"+set", "+@all"}) == "off resetchannels +@all");
  CHECK(rules({"+@all", "nocommands"}) == "off resetchannels -@all");
  CHECK(rules({"+config|get", "+config"}) == "off resetchannels -@all +config");
  CHECK(rules({"+config", "-config|get"}) == "off resetchannels -@all +config -config|get");
  CHECK(rules({"+select|0", "+select|1"}) == "off resetchannels -@all +select|0 +select|1");
  CHECK(rules({"+select|0", "-select"}) == "off resetchannels -@all");
  CHECK(rules({"+select|0", "-@connection"}) == "off resetchannels -@all");
  CHECK(rules({"+select|0", "+get", "+@connection"}) == "off resetchannels -@all +get +@connection");
  CHECK(rules({"+GET", "-get"}) == "off resetchannels -@all");
  CHECK(rules({"+@all", "-config", "+config|get", "-config|get"}) == "off resetchannels +@all -config");
  CHECK(rules({"+@read", "-@admin", "+get", "+@geo"}) == "off resetchannels -@all +@read");
  CHECK(rules({"(+get -get ~a)"}) == "off resetchannels -@all (~a resetchannels -@all)");
  CHECK(rules({"+select", "+select|0"}) == "off resetchannels -@all +select");
  CHECK(rules({"+@READ"}) == "off resetchannels -@all +@read");
}

TEST_CASE("rules: which commands are allowed") {
  const auto user = user_with({"+@read", "-mget", "+config", "-config|set", "+select|0", "+@geo"});
  CHECK(may(*user, "get"));
  CHECK_FALSE(may(*user, "mget"));
  CHECK_FALSE(may(*user, "set"));
  CHECK(may(*user, "config"));
  CHECK(may(*user, "config|get"));
  CHECK_FALSE(may(*user, "config|set"));
  CHECK(may(*user, "select", "0"));
  CHECK_FALSE(may(*user, "select", "1"));
  CHECK_FALSE(may(*user, "select", ""));
  CHECK_FALSE(may(*user_with({"+select|0", "-@connection"}), "select", "0"));
  CHECK_FALSE(may(*user_with({"+config|get", "-config"}), "config|get"));
}

TEST_CASE("rules: errors are those of Redis") {
  for (const std::string_view rule : {"foo",
                                      "~a b",
                                      "~a\tb",
                                      "~a\nb",
                                      "&a b",
                                      "%~a",
                                      "%X~a",
                                      "%RR~a",
                                      "%Ra",
                                      "%RW",
                                      "%",
                                      ")",
                                      "(on)",
                                      "(>a)",
                                      "(reset)",
                                      "((+get)",
                                      "(clearselectors)",
                                      "+get|",
                                      "+select|",
                                      "~* ",
                                      "db=",
                                      "db=a",
                                      "db=-1",
                                      "db=1,",
                                      "db=,1",
                                      "db=1 ",
                                      "db=99999999999999999999",
                                      "!~a b",
                                      "+select|a b",
                                      "(~a))"}) {
    INFO(rule);
    CHECK(error_of(rule) == "Syntax error");
  }
  CHECK(error_of("~a\0b"s) == "Syntax error");
  for (const std::string_view rule : {"+foo", "-foo", "+@foo", "-@foo", "+", "-", "+@", "+config|foo", "-config|foo", "-select|0", "+foo|a",
                                      "+get|a|b", "+|a", "-config|", "+get ", "(+get))"}) {
    INFO(rule);
    CHECK(error_of(rule) == "Unknown command or category name in ACL");
  }
  CHECK(error_of("+config|get|x") == "Allowing first-arg of a subcommand is not supported");
  const std::string hash(64, 'a');
  for (const std::string& bad :
       {""s, "abc"s, hash.substr(1), hash + "a", std::string(64, 'A'), std::string(64, 'g'), std::string(64, '\0')}) {
    CHECK(error_of("#" + bad) == "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters");
    CHECK(error_of("!" + bad) == "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters");
  }
  CHECK(error_of("<a") == "The password you are trying to remove from the user does not exist");
  CHECK(error_of("!" + hash) == "The password you are trying to remove from the user does not exist");
  const std::string keys =
      "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start "
      "with an empty list of patterns";
  CHECK(error_of("~a", {"~*"}) == keys);
  CHECK(error_of("%R~a", {"allkeys"}) == keys);
  CHECK(error_of("(~* ~a)") == keys);
  CHECK(error_of("~a", {"%RW~*"}) == "no error");
  CHECK(error_of("&a", {"&*"}) ==
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' "
        "to start with an empty list of channels");
}

TEST_CASE("rules: a pattern that would match nothing because it is too costly is no rule") {
  const std::string long_piece = "*[ab]" + std::string(2000, '?') + "*";
  std::string many_pieces = "*";
  for (int i = 0; i < 600; ++i) many_pieces += "?[ab]c*";
  many_pieces.resize(4090);
  many_pieces += "*";
  for (const std::string& pattern : {long_piece, many_pieces}) {
    for (const std::string& rule :
         {"~" + pattern, "%R~" + pattern, "!~" + pattern, "&" + pattern, "(~" + pattern + ")", "(!~" + pattern + ")"}) {
      INFO(rule);
      CHECK(error_of(rule).starts_with("The pattern has "));
    }
  }
}

TEST_CASE("rules: a limit that cannot be says what it must be") {
  const std::string memory =
      "maxmemory must be bytes with a unit b, kb, mb, gb (64mb), or a whole percentage of maxmemory, 0% to 100%; 0 is no limit";
  for (const char* bad : {"maxmemory=", "maxmemory=x", "maxmemory=-1", "maxmemory=101%", "MAXMEMORY=1.5mb", "maxmemory=1 mb"}) {
    INFO(bad);
    CHECK(error_of(bad) == memory);
  }
  const std::string rate = "rate must be a number of requests a second, up to 1000000; 0 is no limit";
  for (const char* bad : {"rate=", "rate=x", "rate=-1", "rate=1000001", "rate=1.5", "rate=1k", "rate= 1"}) {
    INFO(bad);
    CHECK(error_of(bad) == rate);
  }
  for (const char* bad : {"rate", "maxmemory", "(rate=1)", "(maxmemory=1mb)", "(resetlimits)", "max-memory=1mb"}) {
    INFO(bad);
    CHECK(error_of(bad) == "Syntax error");
  }
}

TEST_CASE("rules: what a user can have is limited") {
  UserRules draft("alice");
  const auto until_error = [&draft](const auto& rule) {
    for (int i = 0;; ++i) {
      if (const auto error = draft.apply(rule(std::to_string(i)), toy_commands)) return std::pair(i, *error);
    }
  };
  SECTION("passwords") {
    CHECK(until_error([](const std::string& i) { return ">" + i; }) == std::pair(256, "A user can have at most 256 passwords"s));
    CHECK(draft.apply(">" + std::string(4097, 'a'), toy_commands) == "A password can have at most 4096 bytes");
  }
  SECTION("selectors") {
    CHECK(until_error([](const auto&) { return "(+get)"; }) == std::pair(63, "A user can have at most 64 selectors"s));
  }
  SECTION("patterns") {
    CHECK(until_error([](const auto& i) { return "~" + i; }) == std::pair(1024, "A user can have at most 1024 patterns"s));
  }
  SECTION("patterns of all selectors together") {
    std::string selector = "(";
    for (int i = 0; i < 100; ++i) selector += "~" + std::to_string(i) + " ";
    CHECK(until_error([&](const auto&) { return selector + ")"; }) == std::pair(10, "A user can have at most 1024 patterns"s));
  }
  SECTION("bytes of patterns") {
    const auto result = until_error([](const auto& i) { return "~" + std::string(1000, 'a') + i; });
    CHECK(result == std::pair(32, "At most 32768 bytes of patterns can be applied to a user at a time"s));
    UserRules before("bob");
    for (int i = 0; i < 32; ++i) apply(before, {"~" + std::string(1000, 'a') + std::to_string(i)});
    UserRules later(*before.build());
    CHECK(later.apply("&" + std::string(1000, 'b'), toy_commands) == "A user can have at most 32768 bytes of patterns");
  }
  SECTION("bytes of patterns that are compiled, however few stay") {
    bool reset = false;
    const auto result = until_error([&](const auto& i) {
      reset = !reset;
      return reset ? "(~" + std::string(2000, 'a') + " &" + std::string(2000, 'b') + i + ")" : "clearselectors"s;
    });
    CHECK(result == std::pair(16, "At most 32768 bytes of patterns can be applied to a user at a time"s));
  }
  SECTION("a pattern that is there is not compiled again") {
    const std::string pattern(4000, 'a');
    for (const std::string begin : {"~", "!~", "&"}) {
      for (int i = 0; i < 20; ++i) apply(draft, {begin + pattern});
    }
    CHECK(draft.build()->selectors().front().keys.size() == 2);
  }
  SECTION("first arguments") {
    const auto result = until_error([](const auto& i) { return "+get|" + i; });
    CHECK(result == std::pair(128, "A user can have at most 128 rules for first arguments"s));
  }
  SECTION("first arguments of all selectors together") {
    const auto result = until_error([](const auto& i) { return "(+get|" + i + " +set|a +set|b +set|c)"; });
    CHECK(result == std::pair(32, "A user can have at most 128 rules for first arguments"s));
  }
  SECTION("rules for commands") {
    const auto result = until_error([](const auto&) {
      return "(+get +mget +set +del +select +config +@read +@write +@connection +@admin +@geo -get -mget -set -del -select -config|get)";
    });
    CHECK(result == std::pair(63, "A user can have at most 64 selectors"s));
  }
  SECTION("databases") {
    const auto result = until_error([](const auto& i) { return "db=" + i; });
    CHECK(result == std::pair(4096, "At most 4096 rules can be applied to a user at a time"s));
  }
  SECTION("rules") {
    CHECK(until_error([](const auto&) { return "on"; }) == std::pair(4096, "At most 4096 rules can be applied to a user at a time"s));
    std::string selector = "(";
    while (selector.size() < 65000) selector += "+get ";
    CHECK(UserRules("bob").apply(selector + ")", toy_commands) == "At most 4096 rules can be applied to a user at a time");
  }
  SECTION("bytes of rules, however little stays of them") {
    bool reset = false;
    const auto result = until_error([&](const auto&) {
      reset = !reset;
      return reset ? "-get" : "+get|" + std::string(4000, 'a');
    });
    CHECK(result.first < 140);
    CHECK(result.second == "At most 262144 bytes of rules can be applied to a user at a time");
  }
  SECTION("the length of a rule") {
    CHECK(draft.apply("~" + std::string(4096, 'a'), toy_commands) == "A rule can have at most 4096 bytes");
    CHECK(draft.apply("(+get" + std::string(65536, ' ') + ")", toy_commands) == "A selector can have at most 65536 bytes");
  }
}

TEST_CASE("rules: more rules, or more bytes, than a draft takes are refused before anything is done with them") {
  const std::string_view half(large_text().data(), UserRules::most_bytes / 2);
  CHECK_FALSE(UserRules::too_many(std::vector<std::string_view>{half, half}));
  CHECK(UserRules::too_many(std::vector<std::string_view>{half, half, "a"}) ==
        "At most 262144 bytes of rules can be applied to a user at a time");
  CHECK_FALSE(UserRules::too_many(std::vector<std::string_view>(UserRules::most_rules)));
  CHECK(UserRules::too_many(std::vector<std::string_view>(UserRules::most_rules + 1)) ==
        "At most 4096 rules can be applied to a user at a time");
}

TEST_CASE("rules: after reset, and in each selector, a user has the channels that a new one has") {
  UserRules draft("alice", UserRules::Channels::all);
  CHECK(rules_of(*draft.build()) == "off &* -@all");
  CHECK(rules_of(*apply(draft, {"resetchannels", "&a", "(+get)"}).build()) == "off resetchannels &a -@all (&* -@all +get)");
  CHECK(rules_of(*apply(draft, {"(resetchannels)", "reset"}).build()) == "off sanitize-payload &* -@all");
  CHECK(rules_of(*apply(draft, {"clearselectors"}).build()) == "off sanitize-payload &* -@all");
  CHECK(draft.apply("&a", toy_commands)->starts_with("Adding a pattern after the * pattern"));
  UserRules later(*user_with({"on"}), UserRules::Channels::all);
  CHECK(rules_of(*later.build()) == "on resetchannels -@all");
  CHECK(rules_of(*apply(later, {"reset"}).build()) == "off sanitize-payload &* -@all");
}

TEST_CASE("rules: a user at any limit is made again by its line") {
  UserRules draft("alice");
  const auto add = [&draft](const std::string& rule) { REQUIRE(draft.apply(rule, toy_commands) == std::nullopt); };
  const auto later = [&draft] { draft = UserRules(*draft.build()); };  // another request
  const auto filled = [](const std::string& begin, std::size_t size) { return begin + std::string(size - begin.size(), 'a'); };
  SECTION("passwords") {
    for (std::size_t i = 0; i < UserRules::most_passwords; ++i) add(">" + std::to_string(i));
  }
  SECTION("the longest rules") {
    add(filled("~", UserRules::longest_rule));
    add(filled("%w~b", UserRules::longest_rule));
    add(filled("!~", UserRules::longest_rule));
    add(filled("&", UserRules::longest_rule));
    add(filled("+get|", UserRules::longest_rule));
  }
  SECTION("patterns") {
    for (std::size_t i = 0; i < UserRules::most_patterns; ++i) add("%R~" + std::to_string(i));
  }
  SECTION("bytes of patterns, all of which were others before") {
    for (int i = 0; i < 8; ++i) add(filled("&" + std::to_string(i), 4001));
    later();
    add("resetchannels");
    for (int i = 0; i < 8; ++i) add(filled("!~" + std::to_string(i), 4002));
  }
  SECTION("databases") {
    const auto number = [](std::size_t i) { return std::to_string(100'000 + 3 * i); };
    for (std::size_t i = 0; i < UserRules::most_databases;) {
      std::string rule = "db=" + number(i);
      for (++i; i < UserRules::most_databases && rule.size() + 8 < UserRules::longest_rule; ++i) rule += "," + number(i);
      add(rule);
    }
  }
  SECTION("databases of many selectors") {
    for (std::size_t i = 1; i < UserRules::most_selectors; ++i) {
      std::string rule = "(db=";
      for (std::size_t j = 0; j < UserRules::most_databases / UserRules::most_selectors; ++j)
        rule += std::to_string(1'000'000 - 100 * i - j) + ",";
      rule.back() = ')';
      add(rule);
    }
  }
  SECTION("rules for first arguments, up to the length of a line") {
    constexpr std::size_t size = UserRules::most_bytes / UserRules::most_first_arguments;
    for (std::size_t i = 1; i < UserRules::most_first_arguments; ++i) {
      add(filled("+get|" + std::to_string(i), size - 1));
      later();
    }
    add(filled("+set|", UserRules::most_bytes - rules_of(*draft.build()).size() - 1));
    CHECK(rules_of(*draft.build()).size() == UserRules::most_bytes);
  }
  SECTION("the longest selector") {
    std::string selector;
    for (int i = 0; i < 16; ++i) selector += filled("+get|" + std::to_string(i), 4000) + " ";
    const std::size_t added = std::string_view("resetchannels -@all ").size();
    selector += filled("+set|", UserRules::longest_selector - selector.size() - added);
    add("(" + selector + ")");
    CHECK(rules_of(*draft.build()).size() == std::string_view("off resetchannels -@all ()").size() + UserRules::longest_selector);
  }
  SECTION("selectors") {
    for (std::size_t i = 1; i < UserRules::most_selectors; ++i) add("(~a %R~b !~c &d db=1 +get +@write)");
  }
  const auto user = draft.build();
  CHECK(UserRules::too_long(*user) == std::nullopt);
  UserRules again("alice");
  for (const std::string& word : words_of(rules_of(*user))) REQUIRE(again.apply(word, toy_commands) == std::nullopt);
  CHECK((rules_of(*again.build()) == rules_of(*user)));
  CHECK(again.build()->has_rights_of(*user));
}

TEST_CASE("rules: a user whose line could not be applied again is told of") {
  UserRules draft("alice");
  SECTION("by the rules of several requests") {
    for (int i = 0; i < 120; ++i) {
      apply(draft, {"+get|" + std::to_string(i) + std::string(3000, 'a')});
      draft = UserRules(*draft.build());
    }
    CHECK(UserRules::too_long(*draft.build()) == "The rules of a user can have at most 262144 bytes as ACL LIST shows them");
  }
  SECTION("by what a selector gets beside its rules") {
    std::string selector = "(+get|" + std::string(4000, 'a');
    for (int i = 0; selector.size() < UserRules::longest_selector - 4000; ++i)
      selector += " +set|" + std::to_string(i) + std::string(3980, 'a');
    selector += " +del|";
    selector += std::string(UserRules::longest_selector - selector.size() + 1, 'a') + ")";
    REQUIRE(draft.apply(selector, toy_commands) == std::nullopt);
    CHECK(UserRules::too_long(*draft.build()) == "The rules of a selector can have at most 65536 bytes as ACL LIST shows them");
  }
}

TEST_CASE("rules: the line of a user, applied to a new one, makes the same user") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> some = {"on",
                                         "off",
                                         "nopass",
                                         "resetpass",
                                         ">a",
                                         ">b",
                                         "<a",
                                         "+get",
                                         "-get",
                                         "+@read",
                                         "-@read",
                                         "+@all",
                                         "-@all",
                                         "+config",
                                         "-config",
                                         "+config|get",
                                         "-config|set",
                                         "+select|0",
                                         "+select|A",
                                         "-select",
                                         "+select",
                                         "-@connection",
                                         "~a*",
                                         "%R~b",
                                         "%W~b",
                                         "~*",
                                         "%RW~*",
                                         "%R~*",
                                         "!~secret*",
                                         "!~*",
                                         "resetkeys",
                                         "&a",
                                         "&*",
                                         "resetchannels",
                                         "db=1,2",
                                         "db=0",
                                         "alldbs",
                                         "resetdbs",
                                         "sanitize-payload",
                                         "clearselectors",
                                         "maxmemory=64mb",
                                         "maxmemory=3%",
                                         "maxmemory=0",
                                         "rate=1000",
                                         "rate=0",
                                         "resetlimits",
                                         "skip-sanitize-payload",
                                         "~(x",
                                         "~y)",
                                         "&(z"};
  const auto pick = [&](std::size_t most) { return some[random() % std::min(most, some.size())]; };
  for (int i = 0; i < 3000; ++i) {
    UserRules draft("alice");
    for (unsigned n = random() % 12; n > 0; --n) {
      std::string rule = pick(some.size());
      if (random() % 6 == 0) rule = "(" + pick(some.size()) + " " + pick(some.size()) + " " + pick(some.size()) + ")";
      static_cast<void>(draft.apply(rule, toy_commands));
    }
    const auto user = draft.build();
    const std::string line = rules_of(*user);
    INFO(line);
    UserRules again("alice");
    for (const std::string& word : words_of(line)) {
      INFO(word);
      REQUIRE(again.apply(word, toy_commands) == std::nullopt);
    }
    CHECK(rules_of(*again.build()) == line);
    CHECK(again.build()->has_rights_of(*user));
    CHECK(again.build()->unlimited() == user->unlimited());
  }
}

TEST_CASE("rules: random bytes never stop the parser") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::mt19937_64 random(seed);
  const std::string_view interesting = "+-@~%&()!#<>|*[]^\\? RWrw,=db0aget\0\n\xff";
  for (int i = 0; i < 20000; ++i) {
    std::string rule;
    for (unsigned n = random() % 20; n > 0; --n) rule.push_back(interesting[random() % interesting.size()]);
    UserRules draft("alice");
    if (draft.apply(rule, toy_commands)) continue;
    const auto user = draft.build();
    CHECK(rules_of(*user).find('\n') == std::string::npos);
    CHECK(rules_of(*user).find('\0') == std::string::npos);
  }
}

TEST_CASE("rules: a user whose rights are given and taken again and again keeps few rules") {
  std::shared_ptr<const User> user = user_with({"+@all", "-@admin"});
  for (int i = 0; i < 3000; ++i) {
    UserRules draft(*user);
    const std::string n = std::to_string(i);
    apply(draft, {"+select|" + n, "-select", "+config|get", "-config|get", "-mget", "+mget", "+@connection"});
    user = draft.build();
    REQUIRE(user->selectors().front().command_rules.size() < 4);
    REQUIRE(user->selectors().front().first_arguments.empty());
  }
  CHECK(may(*user, "mget"));
  CHECK(may(*user, "select"));
  CHECK_FALSE(may(*user, "config|get"));
}

TEST_CASE("rules: what can be shown to others begins as a rule without a password, in a selector each word") {
  for (const std::string_view rule : {"on",
                                      "OFF",
                                      "nopass",
                                      "resetpass",
                                      "reset",
                                      "RESET",
                                      "clearselectors",
                                      "resetlimits",
                                      "allkeys",
                                      "NoCommands",
                                      "alldbs",
                                      "db=1",
                                      "DB=1",
                                      "maxmemory=1mb",
                                      "rate=5",
                                      "+get",
                                      "-@all",
                                      "~a",
                                      "%R~b",
                                      "&c",
                                      "!~d",
                                      "~*",
                                      "(+get ~a)",
                                      "(~a",
                                      "(",
                                      "( +get  !~b )",
                                      "skip-sanitize-payload",
                                      "sanitize-payload"}) {
    INFO(rule);
    CHECK(is_rule_without_secret(rule));
  }
  for (const std::string_view rule : {"", "hunter2", ">a", "<a", "#a", "!a", "(>a)", "(~a hunter2)", "(hunter2 ~a)", "(~a hunter2",
                                      "(~a !x)", "(~a\thunter2)", "((~a hunter2))", "((hunter2", "hunter2)", "onn", " on"}) {
    INFO(rule);
    CHECK_FALSE(is_rule_without_secret(rule));
  }
  // Typed as one word by mistake.
  for (const std::string_view rule : {"+get >hunter2", "~x >hunter2", "~x\n>hunter2", "~x hunter2", "+get\thunter2", "on >hunter2",
                                      "ON>hunter2", "+get>hunter2", "+@all#hunter2", "db=1>hunter2", "rate=5<hunter2", "(~x)>hunter2",
                                      "(~x)!hunter2", "(~x", "+get >hunter2)", "~x)>hunter2", "%R~(>hunter2", "!~x )>hunter2"}) {
    INFO(rule);
    const bool begins_selector = rule == "(~x";
    CHECK(is_rule_without_secret(rule) == begins_selector);
    CHECK(may_hide_password(rule) != begins_selector);
  }
  // A pattern may have any of these characters.
  for (const std::string_view rule : {"~a>b", "%RW~<a>", "&news#1", "!~a!b", "~(a)", "~>", "(~a>b &c#d)", "!~>"}) {
    INFO(rule);
    CHECK(is_rule_without_secret(rule));
  }
  CHECK_FALSE(is_rule_without_secret(std::string(1'000'000, '(')));
  CHECK(is_rule_without_secret("(+" + std::string(65535, 'a') + ")"));
  CHECK_FALSE(is_rule_without_secret("(+" + std::string(65536, 'a') + ")"));
}

TEST_CASE("rules: names of users are words, and not long") {
  CHECK(is_user_name(std::string(1024, 'a')));
  CHECK_FALSE(is_user_name(std::string(1025, 'a')));
  CHECK(is_user_name("alice"));
  CHECK(is_user_name("caf\xc3\xa9"));
  for (const std::string& name : {"a b"s, "a\n"s, "a\tb"s, "\0"s, "a\r"s, ""s}) CHECK_FALSE(is_user_name(name));
}
