#pragma once
// What the rules of a user need to know about the commands of the server. The command room implements it from its table
// (command/catalogue.hpp), so the security room need not know the table.

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace pinfold::security {

/// The names and categories of all commands. A command is named by its index, which is constant while the process runs. Thread-safe,
/// because an implementation is constant.
class CommandCatalogue {
 public:
  /// The most commands, subcommands included, that there can be: CommandSet has a bit for each.
  static constexpr std::size_t most = 512;

  virtual ~CommandCatalogue() = default;
  CommandCatalogue(const CommandCatalogue&) = delete;
  CommandCatalogue& operator=(const CommandCatalogue&) = delete;

  /// The number of commands, subcommands included; at most `most`.
  virtual std::size_t count() const = 0;
  /// The name in lower case: "get", and "client|kill" for a subcommand.
  virtual std::string_view name(std::size_t command) const = 0;
  /// The index of the command with this name, in any case; nothing if there is none. O(1).
  virtual std::optional<std::size_t> find(std::string_view name) const = 0;
  /// The first of the subcommands of a container, and their number, which is 0 for a command that has none. They follow each other.
  struct Subcommands {
    std::size_t first = 0;
    std::size_t count = 0;
  };
  virtual Subcommands subcommands(std::size_t command) const = 0;
  /// Whether the command is a subcommand of a container.
  virtual bool is_subcommand(std::size_t command) const = 0;

  /// The names of all categories in lower case without the '@', in the order of ACL CAT. Some may have no command.
  virtual std::span<const std::string_view> categories() const = 0;
  /// The index of a category in categories(), whose name may be in any case; nothing if there is none.
  virtual std::optional<std::size_t> find_category(std::string_view name) const = 0;
  virtual bool in_category(std::size_t command, std::size_t category) const = 0;

 protected:
  CommandCatalogue() = default;
};

}  // namespace pinfold::security
