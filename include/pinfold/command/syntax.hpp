#pragma once
// Row::syntax as a tree of arguments, for COMMAND DOCS and whoever else wants to know what a command takes.
//
// The notation is that of Redis' manual:
//   key                 a value                       NX         a token, written as it stands
//   [ ... ]             may be left out               < A | B >  one of several
//   key [key ...]       one or more                   EX seconds a token and its value

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/command_table.hpp"

namespace pinfold::command {

enum class ArgumentType { string, integer, real, key, pattern, unix_time, pure_token, oneof, block };

struct Argument {
  std::string name;
  ArgumentType type = ArgumentType::string;
  std::string token;  // the word that stands before the argument, or is it; empty: none
  int key_spec = -1;  // which of the row's key specs finds it
  bool optional = false;
  bool multiple = false;
  bool multiple_token = false;           // the token is repeated with each
  std::vector<Argument> arguments = {};  // of a oneof or block

  bool operator==(const Argument&) const = default;
};

/// The arguments in `syntax`; nothing if it is malformed. Types follow from the names, but for keys.
std::optional<std::vector<Argument>> parse_syntax(std::string_view syntax);

/// The arguments of a command, keys marked by its key specs. Parsed at the first call for any command, then
/// kept.
const std::vector<Argument>& arguments_of(const Row& row);

/// Redis' word for a type: "pure-token".
std::string_view type_name(ArgumentType type);

}  // namespace pinfold::command
