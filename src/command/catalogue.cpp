#include "pinfold/command/catalogue.hpp"

#include <algorithm>

#include "pinfold/base/text.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/describe.hpp"

namespace pinfold::command {
namespace {

class TableCatalogue final : public security::CommandCatalogue {
 public:
  std::size_t count() const override { return commands().size(); }
  std::string_view name(std::size_t command) const override { return row(command).name; }
  std::optional<std::size_t> find(std::string_view name) const override {
    const Row* const found = find_command_by_name(name);
    return found != nullptr ? std::optional(command_index(*found)) : std::nullopt;
  }
  Subcommands subcommands(std::size_t command) const override {
    const std::span<const Row* const> inner = command::subcommands(row(command));
    return inner.empty() ? Subcommands{} : Subcommands{command_index(*inner.front()), inner.size()};
  }
  bool is_subcommand(std::size_t command) const override { return name(command).find('|') != std::string_view::npos; }
  std::span<const std::string_view> categories() const override { return all_categories(); }
  std::optional<std::size_t> find_category(std::string_view name) const override {
    const auto names = all_categories();
    const auto found = std::find_if(names.begin(), names.end(), [name](std::string_view one) { return iequals(one, name); });
    return found != names.end() ? std::optional(static_cast<std::size_t>(found - names.begin())) : std::nullopt;
  }
  bool in_category(std::size_t command, std::size_t category) const override { return command::in_category(row(command), category); }

 private:
  static const Row& row(std::size_t command) { return *commands()[command]; }
};

}  // namespace

const security::CommandCatalogue& catalogue() {
  static const TableCatalogue instance;
  return instance;
}

}  // namespace pinfold::command
