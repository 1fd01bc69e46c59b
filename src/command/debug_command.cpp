// DEBUG: what tests need and nobody else should have, so it is off unless the operator turns it on.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/encoding.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/figures.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/room.hpp"

namespace pinfold::command {
namespace {

// Redis reads numbers with strtod and atoi here: what is none is 0.
Outcome sleep(Call& call) {
  constexpr double longest = 1e9;  // seconds; more does not fit into the clock's type
  const double seconds = std::strtod(std::string(call.args[2]).c_str(), nullptr);
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(std::min(seconds, longest)));
  return call.reply.ok();
}

Outcome set_active_expire(Call& call) {
  call.engine.keyspace.set_active_expire(std::atoi(std::string(call.args[2]).c_str()) != 0);
  return call.reply.ok();
}

// The command table knows no keys of DEBUG, as in Redis, so dispatch has locked nothing, unless this is
// inside EXEC, which has then locked everything.
Outcome object(Call& call) {
  const store::Key key = call.engine.keyspace.key(call.args[2]);
  if (call.held.empty()) call.held.acquire(key);
  call.read_clock();
  const std::optional<store::Value> value = call.db().find(key, store::Access::none());
  if (!value) return call.reply.error("ERR no such key");
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "Value at:%p refcount:1 encoding:%.*s length:%zu frequency:%u",
                value->handle() ? value->handle().raw() : static_cast<const void*>(value->text.data()),
                static_cast<int>(encoding_name(*value).size()), encoding_name(*value).data(),
                static_cast<std::size_t>(value->handle() ? value->handle().count() : value->text.size()),
                static_cast<unsigned>(value->frequency));
  return call.reply.simple(text.data());
}

// Replies with the text as an error, for clients that test what they do then. Line breaks at its end become spaces too, as in Redis.
Outcome error(Call& call) {
  constexpr std::size_t most_shown = 1024;  // Reply::error() cuts there
  std::string text(call.args[2].substr(0, most_shown));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  return call.reply.error(text);
}

// --- DEBUG PROTOCOL: a reply of each type ---

Outcome show_map(Call& call) {
  call.reply.map(3);
  for (std::int64_t i = 0; i < 3; ++i) {
    call.reply.integer(i);
    call.reply.boolean(i == 1);
  }
  return Outcome::done;
}

Outcome list_three(Call& call) {
  for (std::int64_t i = 0; i < 3; ++i) call.reply.integer(i);
  return Outcome::done;
}

Outcome show_array(Call& call) {
  call.reply.array(3);
  return list_three(call);
}

Outcome show_set(Call& call) {
  call.reply.set(3);
  return list_three(call);
}

Outcome show_attribute(Call& call) {
  if (call.reply.protocol() >= 3) {
    call.reply.attribute(1);
    call.reply.bulk("key-popularity");
    call.reply.array(2);
    call.reply.bulk("key:123");
    call.reply.integer(90);
  }
  return call.reply.bulk("Some real reply following the attribute");
}

Outcome show_push(Call& call) {
  if (call.reply.protocol() < 3) return call.reply.error("ERR RESP2 is not supported by this command");
  call.reply.push(2);
  call.reply.bulk("server-cpu-usage");
  call.reply.integer(42);
  return call.reply.bulk("Some real reply following the push reply");
}

constexpr std::pair<std::string_view, Handler> kTypes[] = {
    {"string", [](Call& call) -> Outcome { return call.reply.bulk("Hello World"); }},
    {"integer", [](Call& call) -> Outcome { return call.reply.integer(12345); }},
    {"double", [](Call& call) -> Outcome { return call.reply.real(3.141); }},
    {"bignum", [](Call& call) -> Outcome { return call.reply.big_number("1234567999999999999999999999999999999"); }},
    {"null", [](Call& call) -> Outcome { return call.reply.null(); }},
    {"array", show_array},
    {"set", show_set},
    {"map", show_map},
    {"attrib", show_attribute},
    {"push", show_push},
    {"verbatim", [](Call& call) -> Outcome { return call.reply.verbatim("This is a verbatim\nstring"); }},
    {"true", [](Call& call) -> Outcome { return call.reply.boolean(true); }},
    {"false", [](Call& call) -> Outcome { return call.reply.boolean(false); }},
};

Outcome protocol(Call& call) {
  for (const auto& [name, show] : kTypes) {
    if (iequals(call.args[2], name)) return show(call);
  }
  std::string names;
  for (const auto& [name, show] : kTypes) names.append(names.empty() ? "" : "|").append(name);
  return call.reply.error("ERR Wrong protocol type name. Please use one of the following: " + names);
}

// --- DEBUG POPULATE ---

struct Population {
  std::uint64_t count = 0;
  std::string prefix = "key";
  std::uint64_t size = 0;  // of each value in bytes; 0: as long as its text
};

// What a key of a population takes, at least.
std::uint64_t bytes_of_one(const Population& what) {
  constexpr std::uint64_t overhead = 16;
  constexpr std::uint64_t shortest = 7;  // "value:0"
  return what.prefix.size() + (what.size != 0 ? what.size : shortest) + overhead;
}

// Stores the keys prefix:0, prefix:1 ... with the values value:0, value:1 ..., and leaves those alone that exist.
class PopulateTask final : public Task {
 public:
  PopulateTask(const Call& call, Population what) : what_(std::move(what)), db_(call.session.db) {}

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    for (; next_ < what_.count; ++next_) {
      if (!call.in_transaction && monotonic_us() >= end) return Outcome::waits;
      if (!store_one(call)) return Outcome::done;
    }
    return call.reply.ok();
  }

 private:
  // False: an error was replied.
  bool store_one(Call& call) {
    const std::string number = std::to_string(next_);
    const std::string name = what_.prefix + ":" + number;
    std::string text = "value:" + number;
    const std::uint64_t size = what_.size != 0 ? what_.size : text.size();
    store::Room room;
    store::Keyspace& keyspace = call.engine.keyspace;
    if (!call.in_transaction && !keyspace.make_room(name.size() + size + overhead, &room)) return fail(call);
    Blob block;
    if (size > store::max_inline_entry / 2) {
      block = Blob::zeroed(keyspace.memory().heap(), size);  // with nothing locked
      if (!block) return fail(call);
      std::copy_n(text.data(), std::min<std::size_t>(text.size(), size), block.data());
    } else {
      text.resize(size);
    }
    const store::Key key = keyspace.key(name);
    if (!call.in_transaction) call.held.acquire(key);
    call.read_clock();
    store::Database db = call.db(db_);
    store::Stored stored = store::Stored::done;
    if (!db.has(key)) {
      stored = call.in_transaction ? db.has_room(name.size() + size) : stored;
      if (stored) stored = block ? db.put(key, std::move(block)) : db.put(key, text);
    }
    if (!call.in_transaction) call.held.release();
    if (!stored) static_cast<void>(call.refused(stored));
    return static_cast<bool>(stored);
  }
  static bool fail(Call& call) {
    call.out_of_memory();
    return false;
  }

  static constexpr std::uint64_t overhead = 128;
  const Population what_;
  const unsigned db_;
  std::uint64_t next_ = 0;
};

Outcome populate(Call& call) {
  constexpr std::size_t longest_prefix = 64 * 1024;
  Population what;
  const auto positive = [&](std::size_t at) {
    const auto number = parse_i64(call.args[at]);
    return number && *number >= 0 ? number : std::nullopt;
  };
  constexpr std::string_view not_positive = "ERR value is out of range, must be positive";
  const auto count = positive(2);
  if (!count) return call.reply.error(not_positive);
  what.count = static_cast<std::uint64_t>(*count);
  if (call.args.size() > 3) {
    if (call.args[3].size() > longest_prefix) return call.reply.error("ERR the prefix must have at most 65536 bytes");
    what.prefix = call.args[3];
  }
  if (call.args.size() > 4) {
    const auto size = positive(4);
    if (!size) return call.reply.error(not_positive);
    if (*size > call.engine.settings.integer(config::Id::proto_max_bulk_len)) {
      return call.reply.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    }
    what.size = static_cast<std::uint64_t>(*size);
  }
  // What can never fit is refused, and nothing is evicted for it.
  const MemoryFigures memory = collect_memory_figures(call.engine, call.held);
  const std::uint64_t limit = memory.limit != 0 ? memory.limit : std::max(memory.available, memory.system);
  if (what.count > limit / bytes_of_one(what)) return call.out_of_memory();
  if (!call.in_transaction) return call.begin(std::make_unique<PopulateTask>(call, std::move(what)));
  constexpr std::uint64_t most_inside_exec = 64;
  if (what.count > most_inside_exec || what.count * bytes_of_one(what) > most_locked_bytes_of(call)) {
    refuse_long_inside_exec(call, 0);
    return Outcome::done;
  }
  PopulateTask task(call, std::move(what));
  return call.run_whole(task);
}

Outcome help(Call& call);

struct Subcommand {
  std::string_view name;
  std::size_t least;  // words after the name
  std::size_t most;
  Handler handler;
  Shown shown = Shown::plain;  // its arguments
};
constexpr Subcommand kSubcommands[] = {
    {"ERROR", 1, 1, error},       {"HELP", 0, 0, help},         {"OBJECT", 1, 1, object, Shown::key},
    {"POPULATE", 1, 3, populate}, {"PROTOCOL", 1, 1, protocol}, {"SET-ACTIVE-EXPIRE", 1, 1, set_active_expire},
    {"SLEEP", 1, 1, sleep},
};

const Subcommand* find_subcommand(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kSubcommands), std::end(kSubcommands), [name](const Subcommand& one) { return iequals(name, one.name); });
  return found != std::end(kSubcommands) ? found : nullptr;
}

Outcome help(Call& call) {
  constexpr std::string_view lines[] = {
      "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "ERROR <text>",
      "    Replies with the text as an error.",
      "OBJECT <key>",
      "    Tells how the value of a key is stored.",
      "POPULATE <count> [<prefix>] [<size>]",
      "    Stores so many keys, <prefix>:0 and so on ('key:0'), with values 'value:0' and so on, of <size> bytes.",
      "    Keys that exist are left alone.",
      "PROTOCOL <type>",
      "    Replies with a value of the type: string, integer, double, bignum, null, array, set, map, attrib, push,",
      "    verbatim, true or false.",
      "SET-ACTIVE-EXPIRE <0|1>",
      "    Stops or starts the removal of expired keys in the background.",
      "SLEEP <seconds>",
      "    Keeps the thread that serves this client busy; fractions are allowed.",
      "HELP",
      "    Prints this.",
  };
  call.reply.array(std::size(lines));
  for (const std::string_view line : lines) call.reply.simple(line);
  return Outcome::done;
}

// Behind a mistyped OBJECT there is a key as well.
Shown shown_in_debug(Args args, std::size_t index) {
  const Subcommand* const found = find_subcommand(args[1]);
  if (index < 2) return Shown::plain;
  if (found != nullptr && found->handler == populate && index == 3) return Shown::key;
  return found != nullptr ? found->shown : Shown::key;
}

Outcome debug(Call& call) {
  const Subcommand* const found = find_subcommand(call.args[1]);
  const std::size_t words = call.args.size() - 2;
  if (found != nullptr && words >= found->least && words <= found->most) return found->handler(call);
  return call.reply.error("ERR unknown subcommand or wrong number of arguments for '" + excerpt(call.args[1]) + "'. Try DEBUG HELP.");
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "debug", .handler = debug, .arity = -2,
     .flags = kAdmin | kNoScript | kLoading | kAllShards | kProtected | kBeyondNamed,
     .shown = shown_in_debug, .touches = Touches::everything,
     .group = "server", .since = "1.0.0",
     .complexity = "Depends on the subcommand.",
     .summary = "Does what only tests need: replies of all types and errors, keys by the number, sleeping, looking at an entry.",
     .syntax = "subcommand [arg [arg ...]]"},
};
// clang-format on

}  // namespace

std::span<const Row> debug_commands() { return kRows; }

}  // namespace pinfold::command
