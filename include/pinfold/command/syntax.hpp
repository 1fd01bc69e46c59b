#pragma once
// Turns Row::syntax into a tree of arguments, for COMMAND DOCS and for tests of the command table.
//
// The notation is that of Redis' manual:
//   key                 a value                       NX         a token, sent as it stands
//   [ ... ]             optional                      < A | B >  one of several
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
  std::string token;  // the word before the argument, or the argument itself if it is a token; may be empty
  int key_spec = -1;  // the index of the key spec of the row that finds this argument
  bool optional = false;
  bool multiple = false;
  bool multiple_token = false;           // the token is repeated with each value
  std::vector<Argument> arguments = {};  // of a oneof or block

  bool operator==(const Argument&) const = default;
};

/// Parses the arguments in `syntax`. Returns nothing if it is malformed. The types follow from the names, except for keys.
std::optional<std::vector<Argument>> parse_syntax(std::string_view syntax);

/// The arguments of a command, with keys marked by its key specs. The first call parses the syntax of all commands and keeps the result.
const std::vector<Argument>& arguments_of(const Row& row);

/// Redis' word for a type: "pure-token".
std::string_view type_name(ArgumentType type);

}  // namespace pinfold::command
