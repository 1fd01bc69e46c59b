#include "pinfold/command/client_list.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "pinfold/base/words.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/gathered_text.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {
namespace {

// So many clients are described in one step: the registry is locked meanwhile, and whoever connects waits for it.
constexpr std::size_t clients_a_step = 64;

std::string flags_of(const SharedClient& client) {
  std::string flags;
  constexpr auto relaxed = std::memory_order_relaxed;
  if (client.monitors.load(relaxed)) flags += 'O';
  if (is_subscriber(client)) flags += 'P';
  if (client.waiting.load(relaxed) != 0 || client.paused.load(relaxed)) flags += 'b';
  if (client.queued.load(std::memory_order_relaxed) >= 0) flags += 'x';
  const unsigned tracking = client.tracking.load(relaxed);
  if ((tracking & kTracks) != 0) flags += 't';
  if ((tracking & kRedirectBroken) != 0) flags += 'R';
  if ((tracking & kTracksPrefixes) != 0) flags += 'B';
  if (client.closing.load(std::memory_order_relaxed)) flags += 'A';
  if (client.unix_socket) flags += 'U';
  if (client.no_evict.load(std::memory_order_relaxed)) flags += 'e';
  if (client.no_touch.load(std::memory_order_relaxed)) flags += 'T';
  return flags.empty() ? "N" : flags;
}

// One line of CLIENT LIST. Fields of what this server does not have (replication) say so. The caller holds the
// client's mutex, or is its thread.
void append_line(std::string& to, const SharedClient& client, MonoMs now) {
  const auto field = [&to](std::string_view name, auto value) {
    to.append(" ").append(name).append("=");
    if constexpr (std::is_arithmetic_v<decltype(value)>) {
      to.append(std::to_string(value));
    } else {
      to.append(value);
    }
  };
  const auto get = [](const auto& atomic) { return atomic.load(std::memory_order_relaxed); };
  const auto seconds_since = [now](MonoMs then) { return std::max<std::int64_t>(0, now - then) / 1000; };
  const Row* const last = get(client.last_command);
  to.append("id=").append(std::to_string(client.id));
  field("addr", client.address);
  field("laddr", client.local_address);
  field("fd", client.fd);
  field("name", client.name);
  field("age", seconds_since(client.created));
  field("idle", seconds_since(get(client.last_active)));
  field("flags", flags_of(client));
  field("db", get(client.db));
  constexpr std::array<std::string_view, topic_kinds> kinds = {"sub", "psub", "ssub"};
  for (std::size_t i = 0; i < kinds.size(); ++i) field(kinds[i], get(client.subscriptions[i]));
  field("multi", get(client.queued));
  const std::uint64_t unread = get(client.input_bytes);
  field("qbuf", unread);
  field("qbuf-free", std::max(get(client.input_room), unread) - unread);
  field("argv-mem", get(client.large_bytes));
  field("multi-mem", get(client.queued_bytes));
  field("rbs", get(client.output_bytes));
  field("rbp", get(client.output_bytes));
  field("obl", get(client.output_bytes));
  to.append(" oll=0");
  field("omem", get(client.output_bytes));
  field("tot-mem", client.memory());
  field("events", "r");
  field("cmd", last != nullptr ? last->name : "NULL");
  field("user", user_name(client));
  field("redir", get(client.tracking) != 0 ? static_cast<std::int64_t>(get(client.redirect)) : -1);
  field("resp", get(client.protocol));
  field("lib-name", client.library_name);
  field("lib-ver", client.library_version);
  to.append("\n");
}

// One that was killed is as good as gone.
void add_line(std::string& to, SharedClient& client, MonoMs now) {
  if (client.closing.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock(client.mutex);
  append_line(to, client, now);
}

// Each client is described as it is when it comes by.
class ListTask : public Task {
 public:
  explicit ListTask(const Call& call) : text_(call) {}

  Outcome step(Call& call) override {
    if (!replying) {
      std::string lines;
      const bool more = describe_some(call, lines);
      if (!keep(call, lines)) return Outcome::done;
      if (more) return Outcome::waits;
      replying = true;
    }
    return text_.send(call.reply) ? Outcome::done : Outcome::waits;
  }

 private:
  /// Adds the lines of the next clients; returns whether there are more.
  virtual bool describe_some(Call& call, std::string& lines) = 0;

  // False if the text may not become so long; then the error has been replied.
  bool keep(Call& call, const std::string& lines) {
    if (text_.add(lines)) return true;
    call.reply.error(
        "ERR the reply would take more memory than clients may have (maxmemory-clients, maxmemory-user): ask for some clients by ID");
    text_.clear();
    return false;
  }

  GatheredText text_;
};

// All clients, or those of a type, in the order of their ids.
class ListAllTask : public ListTask {
 public:
  ListAllTask(const Call& call, std::optional<ClientType> type) : ListTask(call), type_(type) {}

 private:
  bool describe_some(Call& call, std::string& lines) override {
    next_ = call.engine.clients.for_some(next_, clients_a_step, [&](SharedClient& client) {
      if (!type_ || type_of(client) == *type_) add_line(lines, client, call.mono);
    });
    return next_ != 0;
  }

  const std::optional<ClientType> type_;
  std::uint64_t next_ = 1;
};

// The clients named, in the order in which they are named, and as often.
class ListNamedTask : public ListTask {
 public:
  explicit ListNamedTask(const Call& call) : ListTask(call), memory_(call.engine, call.session.shared) {}

  /// False if there is no memory for so many.
  bool reserve(std::size_t count) {
    if (!memory_.ask(count * sizeof(std::uint64_t))) return false;
    ids_.reserve(count);
    return true;
  }
  void add(std::int64_t id) { ids_.push_back(static_cast<std::uint64_t>(id)); }

 private:
  bool describe_some(Call& call, std::string& lines) override {
    const std::size_t end = std::min(ids_.size(), next_ + clients_a_step);
    for (; next_ < end; ++next_) {
      call.engine.clients.with(ids_[next_], [&](SharedClient& client) { add_line(lines, client, call.mono); });
    }
    return next_ < ids_.size();
  }

  ClientMemory memory_;
  std::vector<std::uint64_t> ids_;
  std::size_t next_ = 0;
};

// A short list is made at once.
Outcome make_list(Call& call, std::unique_ptr<ListTask> task, std::size_t count) {
  if (count <= clients_a_step) return call.run_whole(*task);
  return call.park(std::move(task));
}

Outcome list_by_id(Call& call, Cursor& ids) {
  const std::size_t count = ids.left();
  auto task = std::make_unique<ListNamedTask>(call);
  if (!task->reserve(count)) {
    return call.reply.error("ERR so many ids would take more memory than clients may have (maxmemory-clients, maxmemory-user)");
  }
  while (!ids.done()) {
    const std::optional<std::int64_t> id = ids.take_integer();
    if (!id) return call.reply.error("ERR Invalid client ID");
    task->add(*id);
  }
  return make_list(call, std::move(task), count);
}

}  // namespace

std::string describe_own(const SharedClient& client, MonoMs now) {
  std::string line;
  append_line(line, client, now);
  line.pop_back();
  return line;
}

Outcome client_info(Call& call) {
  std::string line;
  append_line(line, call.session.shared, call.mono);
  return call.reply.verbatim(line);
}

std::optional<ClientType> parse_client_type(Call& call, std::string_view name) {
  if (iequals(name, "normal")) return ClientType::normal;
  if (iequals(name, "pubsub")) return ClientType::pubsub;
  for (const std::string_view other : {"master", "replica", "slave"}) {
    if (iequals(name, other)) return ClientType::other;
  }
  call.reply.error("ERR Unknown client type '" + excerpt(name) + "'");
  return std::nullopt;
}

Outcome client_list(Call& call) {
  Cursor options(call.args, 2);
  if (options.take_with_value("ID")) return list_by_id(call, options);
  std::optional<ClientType> type;
  if (options.left() == 2 && options.take("TYPE")) {
    type = parse_client_type(call, options.take());
    if (!type) return Outcome::done;
    if (*type == ClientType::other) return call.reply.verbatim("");
  }
  if (!options.done()) return call.syntax_error();
  return make_list(call, std::make_unique<ListAllTask>(call, type), call.engine.clients.count());
}

}  // namespace pinfold::command
