#include "pinfold/command/databases.hpp"

#include <limits>

#include "pinfold/command/engine.hpp"

namespace pinfold::command {

std::optional<int> parse_database(std::string_view text) {
  using Limits = std::numeric_limits<int>;
  const std::optional<std::int64_t> number = parse_i64(text);
  if (!number || *number < Limits::min() || *number > Limits::max()) return std::nullopt;
  return static_cast<int>(*number);
}

std::optional<unsigned> named_database(std::string_view text) {
  const std::optional<int> number = parse_database(text);
  if (!number || *number < 0) return std::nullopt;
  return static_cast<unsigned>(*number);
}

bool is_database(const Call& call, std::int64_t number) {
  return number >= 0 && number < call.engine.settings.integer(config::Id::databases);
}

std::optional<unsigned> take_database(Call& call, Cursor& cursor) {
  const std::string_view text = cursor.take();
  const std::optional<int> number = parse_database(text);
  if (!number && parse_i64(text)) {
    call.reply.error("ERR value is out of range, value must between -2147483648 and 2147483647");
  } else if (!number) {
    call.not_an_integer();
  } else if (!is_database(call, *number)) {
    call.reply.error(no_such_database);
  } else {
    return static_cast<unsigned>(*number);
  }
  return std::nullopt;
}

}  // namespace pinfold::command
