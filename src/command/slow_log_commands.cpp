// SLOWLOG and COMMANDLOG: the requests that were slow or large (command_log.hpp, notable.hpp).
//
// SLOWLOG has Redis' entries of six elements, because clients read exactly so many (go-redis). COMMANDLOG's entries of slow commands have
// two more: the microseconds for which the command has waited for locks, and for room.
//
// Whose user may not read all keys is shown what MONITOR would show it of the request, and of all others the name of the command
// (SeenRequests, rights.hpp).

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/help.hpp"
#include "pinfold/command/rights.hpp"

namespace pinfold::command {
namespace {

using Kind = CommandLog::Kind;

enum class Waits : bool { left_out, told };

void reply_entry(resp::Reply& reply, const CommandLog::Entry& entry, std::span<const std::string_view> words, Waits waits) {
  reply.array(waits == Waits::told ? 8 : 6);
  reply.integer(static_cast<std::int64_t>(entry.id));
  reply.integer(entry.unix_s);
  reply.integer(static_cast<std::int64_t>(entry.value));
  reply.array(words.size());
  for (const std::string_view word : words) reply.bulk(word);
  reply.bulk(entry.address);
  reply.bulk(entry.name);
  if (waits == Waits::left_out) return;
  reply.integer(static_cast<std::int64_t>(entry.locks_us));
  reply.integer(static_cast<std::int64_t>(entry.room_us));
}

// -1 asks for all.
std::optional<std::size_t> parse_count(Call& call, std::string_view text) {
  const std::optional<std::int64_t> count = parse_i64(text);
  if (!count || *count < -1) {
    call.reply.error("ERR count should be greater than or equal to -1");
    return std::nullopt;
  }
  return *count < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(*count);
}

std::optional<Kind> parse_kind(Call& call, std::string_view text) {
  if (iequals(text, "slow")) return Kind::slow;
  if (iequals(text, "large-request")) return Kind::large_request;
  if (iequals(text, "large-reply")) return Kind::large_reply;
  call.reply.error("ERR type should be one of the following: slow, large-request, large-reply");
  return std::nullopt;
}

Outcome reply_newest(Call& call, Kind kind, std::size_t count, Waits waits) {
  const std::vector<CommandLog::Pointer> entries = call.engine.command_log.newest(kind, count);
  call.reply.array(entries.size());
  SeenRequests requests(call);
  for (const CommandLog::Pointer& entry : entries) {
    reply_entry(call.reply, *entry, requests.seen(entry->words, *entry->row, entry->db), waits);
  }
  return Outcome::done;
}

Outcome reply_length(Call& call, Kind kind) { return call.reply.integer(static_cast<std::int64_t>(call.engine.command_log.length(kind))); }

Outcome reset(Call& call, Kind kind) {
  call.engine.command_log.reset(kind);
  return call.reply.ok();
}

Outcome slowlog_get(Call& call) {
  constexpr std::size_t usual = 10;
  if (call.args.size() > 3) {
    return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try SLOWLOG HELP.");
  }
  const std::optional<std::size_t> count = call.args.size() == 3 ? parse_count(call, call.args[2]) : usual;
  return count ? reply_newest(call, Kind::slow, *count, Waits::left_out) : Outcome::done;
}

Outcome slowlog_len(Call& call) { return reply_length(call, Kind::slow); }
Outcome slowlog_reset(Call& call) { return reset(call, Kind::slow); }

Outcome commandlog_get(Call& call) {
  const std::optional<std::size_t> count = parse_count(call, call.args[2]);
  if (!count) return Outcome::done;
  const std::optional<Kind> kind = parse_kind(call, call.args[3]);
  return kind ? reply_newest(call, *kind, *count, *kind == Kind::slow ? Waits::told : Waits::left_out) : Outcome::done;
}

Outcome commandlog_len(Call& call) {
  const std::optional<Kind> kind = parse_kind(call, call.args[2]);
  return kind ? reply_length(call, *kind) : Outcome::done;
}

Outcome commandlog_reset(Call& call) {
  const std::optional<Kind> kind = parse_kind(call, call.args[2]);
  return kind ? reset(call, *kind) : Outcome::done;
}

constexpr std::uint32_t kForAdmins = kAdmin | kLoading;

// clang-format off
constexpr Row kRows[] = {
    {.name = "commandlog", .arity = -2,
     .group = "server", .since = "8.1.0",
     .complexity = "Depends on subcommand.",
     .summary = "A container for commands about slow and large requests."},
    {.name = "commandlog|get", .handler = commandlog_get, .arity = 4,
     .flags = kForAdmins,
     .group = "server", .since = "8.1.0",
     .complexity = "O(N) for N entries.",
     .summary = "Lists the newest requests that were slow, or large, or had a large reply.",
     .syntax = "count type"},
    {.name = "commandlog|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "server", .since = "8.1.0",
     .complexity = "O(1)",
     .summary = "Describes the subcommands."},
    {.name = "commandlog|len", .handler = commandlog_len, .arity = 3,
     .flags = kForAdmins,
     .group = "server", .since = "8.1.0",
     .complexity = "O(1)",
     .summary = "Tells how many such requests are remembered.",
     .syntax = "type"},
    {.name = "commandlog|reset", .handler = commandlog_reset, .arity = 3,
     .flags = kForAdmins,
     .group = "server", .since = "8.1.0",
     .complexity = "O(N) for N entries.",
     .summary = "Forgets such requests.",
     .syntax = "type"},
    {.name = "slowlog", .arity = -2,
     .group = "server", .since = "2.2.12",
     .complexity = "Depends on subcommand.",
     .summary = "A container for commands about slow requests."},
    {.name = "slowlog|get", .handler = slowlog_get, .arity = -2,
     .flags = kForAdmins,
     .group = "server", .since = "2.2.12",
     .complexity = "O(N) for N entries.",
     .summary = "Lists the newest slow requests.",
     .syntax = "[count]"},
    {.name = "slowlog|help", .handler = reply_help, .arity = 2,
     .flags = kLoading,
     .group = "server", .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Describes the subcommands."},
    {.name = "slowlog|len", .handler = slowlog_len, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "2.2.12",
     .complexity = "O(1)",
     .summary = "Tells how many slow requests are remembered."},
    {.name = "slowlog|reset", .handler = slowlog_reset, .arity = 2,
     .flags = kForAdmins,
     .group = "server", .since = "2.2.12",
     .complexity = "O(N) for N entries.",
     .summary = "Forgets all slow requests."},
};
// clang-format on

}  // namespace

std::span<const Row> slow_log_commands() { return kRows; }

}  // namespace pinfold::command
