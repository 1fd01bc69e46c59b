#include "pinfold/command/option_errors.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/command_table.hpp"

namespace pinfold::command {
namespace {

// The words in capitals of the command's syntax.
std::vector<std::string_view> words_of(const Row& row) {
  std::vector<std::string_view> words;
  const std::string_view syntax = row.syntax;
  for (std::size_t at = 0; at < syntax.size();) {
    const std::size_t end = std::min(syntax.find_first_of(" []<>|", at), syntax.size());
    if (end > at && upper(syntax[at]) == syntax[at] && lower(syntax[at]) != syntax[at]) words.push_back(syntax.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::string usage(const Row& row) { return "; usage: " + shown_command(row.name) + " " + std::string(row.syntax); }

}  // namespace

resp::Written wrong_option(Call& call, const Cursor& options) {
  if (options.done()) return call.reply.error("ERR an argument is missing" + usage(call.row));
  const std::string_view word = call.args[options.position()];
  const std::vector<std::string_view> words = words_of(call.row);
  const auto known = std::ranges::find_if(words, [&](std::string_view each) { return iequals(each, word); });
  if (known != words.end() && options.left() == 1)
    return call.reply.error("ERR " + std::string(*known) + " needs a value" + usage(call.row));
  if (known != words.end())
    return call.reply.error("ERR " + std::string(*known) + " does not go with what comes before it" + usage(call.row));
  std::string error = "ERR unknown option '" + excerpt(word) + "'";
  if (const auto nearest = nearest_word(word, words)) error += " (did you mean '" + std::string(*nearest) + "'?)";
  return call.reply.error(error + usage(call.row));
}

std::optional<std::int64_t> read_number(Call& call, std::string_view text, const NumberOption& option) {
  const auto number = parse_i64(text);
  if (number && *number >= option.least && *number <= option.most) return number;
  call.reply.error("ERR " + std::string(option.name) + " takes " + std::string(option.unit) + ", " + std::to_string(option.least) + " to " +
                   std::to_string(option.most) + ", not '" + excerpt(text) + "'");
  return std::nullopt;
}

std::optional<std::int64_t> take_number(Call& call, Cursor& options, const NumberOption& option) {
  return read_number(call, options.take(), option);
}

}  // namespace pinfold::command
