// CACHE.PURGE: all entries with a tag, or whose keys have a prefix, at once.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "pinfold/command/audit.hpp"
#include "pinfold/command/cache_family.hpp"
#include "pinfold/command/cache_reads.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/request_log.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/tag_names.hpp"

namespace pinfold::command {
namespace {

struct PurgeRequest {
  bool by_prefix = false;
  std::vector<std::string> names;  // the prefix; or the names of the tags (store/tag_names.hpp)
  bool soft = false;
  bool sync = false;
};

// Nothing: an error was replied.
std::optional<PurgeRequest> read_request(Call& call) {
  PurgeRequest request;
  Cursor options(call.args, 1);
  if (options.take_with_value("TAGS")) {
    const auto count = take_number(call, options, {"TAGS", "the number of tags", 1, store::TagMarks::most_tags});
    if (!count) return std::nullopt;
    if (options.left() < static_cast<std::size_t>(*count)) {
      call.reply.error("ERR TAGS " + std::to_string(*count) + " must be followed by as many tags, not " + std::to_string(options.left()));
      return std::nullopt;
    }
    while (request.names.size() < static_cast<std::size_t>(*count)) {
      const auto tag = take_tag(call, options);
      if (!tag) return std::nullopt;
      request.names.push_back(*tag);
    }
  } else if (options.take_with_value("PREFIX")) {
    constexpr std::size_t longest = 4096;
    const std::string_view prefix = options.take();
    if (prefix.empty() || prefix.size() > longest) {
      call.reply.error("ERR a prefix must have 1 to 4096 bytes");
      return std::nullopt;
    }
    request.by_prefix = true;
    request.names.emplace_back(prefix);
  } else {
    wrong_option(call, options);
    return std::nullopt;
  }
  while (!options.done()) {
    if (options.take("SOFT")) {
      request.soft = true;
    } else if (options.take("SYNC")) {
      request.sync = true;
    } else {
      wrong_option(call, options);
      return std::nullopt;
    }
  }
  return request;
}

// Tags and prefixes tell as much as names of keys do.
Shown shown_in_purge(Args args, std::size_t index) {
  const bool named = index > 2 || (index == 2 && !iequals(args[1], "TAGS"));
  return named ? Shown::key : Shown::plain;
}

// A tag can be on any key.
std::string_view prefix_in_purge(Args args) { return iequals(args[1], "PREFIX") ? args[2] : std::string_view(); }

std::string who(Call& call) {
  constexpr std::size_t longest = 128;
  const SharedClient& client = call.session.shared;
  const std::string name = client.name.empty() ? "" : ", name " + quoted(std::string_view(client.name).substr(0, longest));
  return "client " + std::to_string(client.id) + " (" + client.address + ", user " + std::string(user_name(client)) + name + ")";
}

std::string what(const config::Settings& settings, const PurgeRequest& request) {
  std::string text = request.by_prefix ? "PREFIX" : "TAGS";
  constexpr std::size_t most_named = 5;
  const std::size_t named = std::min(request.names.size(), most_named);
  for (std::size_t i = 0; i < named; ++i)
    text += " " + shown_key(settings, request.by_prefix ? request.names[i] : store::tag_of(request.names[i]));
  if (named < request.names.size()) text += " and " + std::to_string(request.names.size() - named) + " more";
  if (request.soft) text += " SOFT";
  // Whoever takes a prefix for a pattern purges nothing, and looks here for the reason.
  if (request.by_prefix && request.names[0].ends_with('*')) text += " (a prefix, not a pattern: the '*' is part of it)";
  return text;
}

// What a purge has freed, for the one who waits for its end.
class PurgeDone final : public Delivery {
 public:
  PurgeDone(std::uint64_t ticket, const ClientPlace& waiter, std::int64_t freed) : bytes(freed), ticket_(ticket), waiter_(waiter) {}
  std::uint64_t visit(std::uint64_t from, const Visitor& visitor) const override {
    return from > ticket_ || visitor(ticket_, waiter_) ? 0 : ticket_;
  }

  const std::int64_t bytes;

 private:
  const std::uint64_t ticket_;
  const ClientPlace waiter_;
};

// What has been asked for is done, whatever becomes of the client; CLIENT UNBLOCK must not answer that its bytes are gone.
class PurgeWaiting final : public Waiting {
 public:
  explicit PurgeWaiting(std::uint64_t of) {
    ticket = of;
    ended_by = EndedBy::nothing;
    unblocks = false;
  }
  void answer(const Delivery& answer, Session& /*session*/, resp::Reply& reply) override {
    reply.integer(dynamic_cast<const PurgeDone&>(answer).bytes);
  }
  void timeout(Engine& /*engine*/, Session& /*session*/, resp::Reply& reply) override { reply.integer(0); }
  void abandon(Engine& /*engine*/) override {}
};

Outcome cache_purge(Call& call) {
  const auto request = read_request(call);
  if (!request) return Outcome::done;
  if (request->sync && !may_wait(call)) return call.reply.error("ERR SYNC is not possible in a transaction or a script");
  Engine& engine = call.engine;
  const std::uint64_t ticket = request->sync ? engine.cache.next_ticket() : 0;
  const auto done = [&engine, audited = remember_for_audit(call), line = who(call) + " purged " + what(engine.settings, *request), ticket,
                     client = call.session.shared.place()](const store::Purge& purge) {
    const auto bytes = static_cast<std::int64_t>(purge.bytes.load());
    engine.events.note(EventLog::Kind::purges, [&] {
      return line + ": " + std::to_string(purge.entries.load()) + " entries, " + std::to_string(bytes) + " bytes";
    });
    engine.audit.note(AuditLog::Kind::purge, [&](AuditLine& to) {
      if (audited) add_request(to, *audited);
      to.add("result", "done").add("entries", purge.entries.load()).add("bytes", purge.bytes.load());
    });
    if (ticket == 0) return;
    engine.command_log.forget();  // it may have parts of the values
    if (engine.clients.threads == nullptr) return;
    engine.clients.threads->deliver(std::make_shared<PurgeDone>(ticket, client, bytes));
  };
  if (request->sync) call.session.waiting = std::make_unique<PurgeWaiting>(ticket);
  // Without it the purge goes on all the same: entries that are gone are worth more than what it takes.
  if (!call.in_transaction) engine.keyspace.make_room(engine.cache.most_memory_of_purge(request->names));
  if (!engine.cache.purge(call.session.db, request->by_prefix, request->names, request->soft, request->sync, done, call.held)) {
    call.session.waiting.reset();
    return call.reply.error("ERR too many purges are waiting to be swept, try again in a moment");
  }
  audit_request(call, RequestResult::begun);
  return request->sync ? Outcome::waits : call.reply.ok();
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "cache.purge", .handler = cache_purge, .arity = -3,
     .flags = kWrite | kAllShards | kAudited, .categories = kKeyspace | kDangerous, .shown = shown_in_purge,
     .touches = Touches::database, .prefix = prefix_in_purge,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N tags, however many entries and leases there are; the entries' memory comes back in the background.",
     .summary = "Removes all entries with a tag or with a prefix, or makes them stale, at once.",
     .syntax = "<TAGS numtags tag [tag ...] | PREFIX prefix> [SOFT] [SYNC]"},
};
// clang-format on

}  // namespace

std::span<const Row> cache_purge_commands() { return kRows; }

}  // namespace pinfold::command
