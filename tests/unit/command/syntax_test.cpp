#include "pinfold/command/syntax.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {

// An argument tree in one line: "NX|XX?" and the like, so that a test reads as a picture of what was
// understood.
std::string show(const Argument& argument);

std::string show(const std::vector<Argument>& arguments, std::string_view between) {
  std::string text;
  for (const Argument& argument : arguments) {
    if (!text.empty()) text += between;
    text += show(argument);
  }
  return text;
}

std::string show(const Argument& argument) {
  std::string text;
  if (argument.type == ArgumentType::pure_token) {
    text = argument.token;
  } else {
    if (!argument.token.empty()) text = argument.token + "=";
    if (argument.type == ArgumentType::oneof) {
      text += "<" + show(argument.arguments, "|") + ">";
    } else if (argument.type == ArgumentType::block) {
      text += "{" + show(argument.arguments, " ") + "}";
    } else {
      text += argument.name;
    }
  }
  if (argument.optional) text += '?';
  if (argument.multiple) text += argument.multiple_token ? "**" : "*";
  return text;
}

std::string parsed(std::string_view syntax) {
  const auto arguments = parse_syntax(syntax);
  return arguments ? show(*arguments, " ") : "malformed";
}

}  // namespace

TEST_CASE("syntax: values, options and alternatives") {
  CHECK(parsed("") == "");
  CHECK(parsed("key value") == "key value");
  CHECK(parsed("key [NX | XX] [GET]") == "key <NX|XX>? GET?");
  CHECK(parsed("key [EX seconds | KEEPTTL]") == "key <EX=seconds|KEEPTTL>?");
  CHECK(parsed("<ON | OFF>") == "<ON|OFF>");
  CHECK(parsed("[FILTERBY <MODULE module-name | PATTERN pattern>]") == "FILTERBY=<MODULE=module-name|PATTERN=pattern>?");
  CHECK(parsed("[start end]") == "{start end}?");
  CHECK(parsed("[start [end [BYTE | BIT]]]") == "{start {end <BYTE|BIT>?}?}?");
  CHECK(parsed("[protover [AUTH username password] [SETNAME clientname]]") == "{protover AUTH={username password}? SETNAME=clientname?}?");
}

TEST_CASE("syntax: repetition") {
  CHECK(parsed("key [key ...]") == "key*");
  CHECK(parsed("[command-name [command-name ...]]") == "command-name?*");
  CHECK(parsed("key value [key value ...]") == "{key value}*");
  CHECK(parsed("numkeys key value [key value ...] [NX | XX]") == "numkeys {key value}* <NX|XX>?");
  CHECK(parsed("[ID client-id [client-id ...]]") == "ID=client-id?*");
  CHECK(parsed("[GET encoding offset [GET encoding offset ...]]") == "GET={encoding offset}?**");
  CHECK(parsed("[GET offset | [OVERFLOW <WRAP | SAT>] <SET value | INCRBY increment> "
               "[GET offset | [OVERFLOW <WRAP | SAT>] <SET value | INCRBY increment> ...]]") ==
        "<GET=offset|{OVERFLOW=<WRAP|SAT>? <SET=value|INCRBY=increment>}>?*");
  CHECK(parsed("<ip:port | <[ID client-id] | [USER username] ...>>") == "<ip:port|<ID=client-id?|USER=username?>*>");
}

TEST_CASE("syntax: types follow from names") {
  const auto arguments = parse_syntax("seconds pattern unix-time-seconds value");
  REQUIRE(arguments);
  CHECK((*arguments)[0].type == ArgumentType::integer);
  CHECK((*arguments)[1].type == ArgumentType::pattern);
  CHECK((*arguments)[2].type == ArgumentType::unix_time);
  CHECK((*arguments)[3].type == ArgumentType::string);
}

TEST_CASE("syntax: what is malformed is refused") {
  for (const char* syntax :
       {"[", "]", "[]", "<>", "[key", "key]", "<A | B]", "|", "[A |]", "[| A]", "...", "key ...", "a | b", "[key ... more]"}) {
    INFO(syntax);
    CHECK_FALSE(parse_syntax(syntax));
  }
}

TEST_CASE("syntax: keys are marked by the key specs of the command") {
  const auto types = [](std::string_view name) {
    std::string text;
    for (const Argument& argument : arguments_of(*find_command_by_name(name))) {
      text += argument.type == ArgumentType::key ? std::to_string(argument.key_spec) : "-";
    }
    return text;
  };
  CHECK(types("copy") == "01--");
  CHECK(types("del") == "0");
  CHECK(types("expire") == "0--");
  CHECK(types("object|freq") == "0");
  CHECK(types("scan") == "----");
  CHECK(types("bitop") == "-01");
  CHECK(types("lcs") == "00----");
  CHECK(arguments_of(*find_command_by_name("mset")).front().arguments.front().type == ArgumentType::key);
  const Argument& depends = arguments_of(*find_command_by_name("cache.set")).back();
  CHECK(depends.token == "DEPENDS");
  CHECK(depends.arguments.front().type == ArgumentType::integer);
  CHECK(depends.arguments.back().key_spec == 1);
  CHECK(arguments_of(*find_command_by_name("incrbyfloat"))[1].type == ArgumentType::real);
}
