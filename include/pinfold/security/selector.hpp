#pragma once
// A selector: a set of permissions. A request needs one selector of its user that allows all of it.

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/security/command_catalogue.hpp"
#include "pinfold/security/patterns.hpp"

namespace pinfold::security {

/// The longest rule, in bytes, but for a selector.
inline constexpr std::size_t longest_rule = 4096;

/// Keys among the arguments of a request, and what the request does with them.
struct KeyGroup {
  std::span<const std::uint32_t> positions;  // their indices among the arguments
  Access access = Access::both;
};

/// Channels among the arguments of a request: `count` of them from `first` on. Patterns that are subscribed to (`literal`) are not matched:
/// as in Redis, the user needs a rule with the same pattern.
struct ChannelGroup {
  std::size_t first = 0;
  std::size_t count = 0;
  bool literal = false;
};

/// What has to be known of a request to check it. The views need to be valid during the check only.
struct CheckedRequest {
  std::size_t command = 0;               // the index in the catalogue
  bool needs_no_rule = false;            // a command for everybody, such as AUTH: no command rule concerns it
  std::string_view first_argument = {};  // behind the name of the command
  std::span<const std::string_view> args = {};
  std::array<KeyGroup, 2> keys = {};         // the keys that the arguments name
  ChannelGroup channels = {};                // the channels that they name
  bool all_keys = false;                     // whether it changes or reads keys that its arguments do not name
  Access all_keys_access = Access::both;     // what it does with them
  std::string_view all_keys_with = {};       // only keys that begin with this
  std::span<const unsigned> databases = {};  // in which it works
  bool all_databases = false;                // works in all of them
};

/// The answer to a check.
struct Verdict {
  /// Ordered: how far a selector got with a request that it denies. `too_costly`: to find out would take too many comparisons of keys with
  /// patterns (MatchBudget).
  enum class Denied : std::uint8_t { no, command, database, key, all_keys, channel, too_costly };
  Denied denied = Denied::no;
  // key, channel, too_costly: the index among the arguments; database: the index in CheckedRequest::databases, or behind the last for all.
  std::size_t at = 0;

  bool allowed() const { return denied == Denied::no; }
};

/// Commands of the catalogue, a bit for each.
using CommandSet = std::bitset<CommandCatalogue::most>;

/// A request for a command with this first argument only: "+select|0".
struct FirstArgument {
  std::size_t command = 0;
  std::string argument;
};

/// The permissions of a selector as its rules have set them. A plain value. UserRules changes it; a User has it constant.
struct Selector {
  CommandSet commands;
  bool all_commands = false;               // +@all was the last rule for all commands; otherwise -@all
  std::vector<std::string> command_rules;  // those after it, in order: "+get", "-@write"
  std::vector<FirstArgument> first_arguments;
  std::vector<KeyPattern> keys;  // without allkeys
  bool all_keys = false;
  std::vector<Pattern> channels;  // without allchannels
  bool all_channels = false;
  std::vector<unsigned> databases;  // sorted; of no meaning if all_databases
  bool all_databases = true;

  /// The rules as ACL LIST shows them, each with "" for nothing: "-@all +get +@read".
  std::string command_text() const;
  std::string key_text() const;       // "~a %R~b !~c", "~*"
  std::string channel_text() const;   // "&a", "&*"
  std::string database_text() const;  // "db=0,1", with another "db=" for each longest_rule bytes, "resetdbs", or "" for all databases

  /// Whether it allows every command with every key in every database. Channels do not count: all_channels tells whether a request for
  /// channels is allowed as well.
  bool unlimited() const;
  /// Whether the command is allowed, whatever its keys. `first_argument`: that of the request.
  bool allows_command(std::size_t command, std::string_view first_argument) const;
  bool allows_database(unsigned database) const;
  /// Whether it allows the channel, or with `literal` the pattern. All comparisons come off the budget; false if it is spent. O(channels).
  bool allows_channel(std::string_view channel, bool literal, MatchBudget& budget) const;
};

}  // namespace pinfold::security
