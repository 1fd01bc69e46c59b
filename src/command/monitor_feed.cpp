#include "pinfold/command/monitor_feed.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <new>
#include <utility>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/databases.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {
namespace {

constexpr std::size_t flushed_at = 64 * 1024;
constexpr std::size_t seconds_and_micros = 40;

// "+1339518083.107412"
std::string time_now() {
  constexpr std::int64_t us_per_s = 1'000'000;
  const std::int64_t now = unix_us();
  char time[seconds_and_micros];
  std::snprintf(time, sizeof time, "+%lld.%06lld", static_cast<long long>(now / us_per_s), static_cast<long long>(now % us_per_s));
  return time;
}

// "+1339518083.107412 [0 127.0.0.1:60866]"
std::string line_begin(const Session& session, unsigned db) {
  std::string line = time_now();
  if (session.group != nullptr && session.group->in_script) return line.append(" [").append(std::to_string(db)).append(" lua]");
  line.append(" [").append(std::to_string(db)).append(session.shared.unix_socket ? " unix:" : " ");
  std::string_view address = session.shared.address;
  constexpr std::string_view no_port = ":0";
  if (session.shared.unix_socket && address.ends_with(no_port)) address.remove_suffix(no_port.size());
  return line.append(address).append("]");
}

std::string line_of(Sight sight, const Session& session, const Row& row, Args args, unsigned db) {
  std::string line = line_begin(session, db);
  const RequestWords words(row, args, monitor_limits);
  for (const std::string_view word : seen_words(sight, words, row, args)) line.append(" ").append(quoted(word));
  return line += "\r\n";
}

const Row& monitor_row() {
  static const Row& row = *find_command_by_name("monitor");
  return row;
}

// Lines on their way. They are in the account of clients until all threads have taken them.
class Lines {
 public:
  Lines(Engine& engine, std::string text) : text_(std::move(text)), engine_(engine) { add(static_cast<std::int64_t>(text_.capacity())); }
  ~Lines() { add(-static_cast<std::int64_t>(text_.capacity())); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  const std::string& text() const { return text_; }

 private:
  void add(std::int64_t bytes) {
    engine_.keyspace.memory().add(store::Use::clients, bytes);
    engine_.monitors.pending.fetch_add(static_cast<std::size_t>(bytes), std::memory_order_relaxed);
  }

  const std::string text_;
  Engine& engine_;
};

// In the form of a request of nobody, because clients read the lines.
std::string told_left_out(std::uint64_t count) {
  return time_now() + " [0 0.0.0.0:0] \"... (" + std::to_string(count) + " requests are not shown: they came too fast)\"\r\n";
}

std::uint64_t lines_in(std::string_view text) { return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')); }

}  // namespace

void MonitorFeed::add(const Session& session, const Row& row, Args args, unsigned db, security::MatchBudget& budget) {
  if ((row.flags & kAdmin) != 0) return;
  std::array<std::string, 4> lines;  // by Sight
  for (Group& group : groups_) {
    const Sight sight = sight_of_group(group, row, args, db, budget);
    if (sight == Sight::nothing) continue;
    std::string& line = lines[static_cast<std::size_t>(sight)];
    if (line.empty()) line = line_of(sight, session, row, args, db);
    group.lines += line;
    bytes_ += line.size();
  }
}

void MonitorFeed::show(const Session& session, const Row& row, Args args, unsigned db) {
  try {
    follow_monitors();
    security::MatchBudget budget;
    add(session, row, args, db, budget);
  } catch (const std::bad_alloc&) {
  }
  if (bytes_ >= flushed_at) push_all();
}

void MonitorFeed::show_transaction(const Session& session, const Row& exec, Args args) {
  push_all();
  try {
    follow_monitors();
    unsigned db = session.db;
    security::MatchBudget budget;
    std::vector<std::string_view> of;
    std::size_t left = session.transaction->queue.size();
    for (const Queued& queued : session.transaction->queue) {
      if (bytes_ >= most_of_transaction) break;
      queued.arguments(of);
      add(session, queued.row(), of, db, budget);
      if (queued.row().name == "select") db = named_database(of[1]).value_or(db);
      --left;
    }
    const std::string more = "... (" + std::to_string(left) + " more commands)";
    const std::string_view words[] = {args[0], more};
    add(session, exec, left > 0 ? Args(words) : args, db, budget);
  } catch (const std::bad_alloc&) {
  }
}

void MonitorFeed::take_back_transaction(const Session& session, const Row& exec, Args args) {
  bytes_ = 0;
  for (Group& group : groups_) group.lines.clear();
  try {
    security::MatchBudget budget;
    add(session, exec, args, session.db, budget);
  } catch (const std::bad_alloc&) {
  }
}

MonitorFeed::Mark MonitorFeed::begin_script() {
  Mark mark;
  try {
    mark.sizes.reserve(groups_.size());
    for (const Group& group : groups_) mark.sizes.push_back(group.lines.size());
  } catch (const std::bad_alloc&) {
    mark.sizes.clear();
  }
  mark.bytes = bytes_;
  most_bytes_ = bytes_ + most_of_transaction;
  budget_ = security::MatchBudget();
  return mark;
}

void MonitorFeed::show_in_script(const Session& session, const Row& row, Args args, unsigned db) {
  if (bytes_ >= most_bytes_) return;
  try {
    add(session, row, args, db, budget_);
  } catch (const std::bad_alloc&) {
  }
}

void MonitorFeed::take_back_script(const Mark& mark) {
  if (mark.sizes.size() != groups_.size()) return;
  for (std::size_t i = 0; i < groups_.size(); ++i) groups_[i].lines.resize(std::min(groups_[i].lines.size(), mark.sizes[i]));
  bytes_ = mark.bytes;
  budget_ = security::MatchBudget();
}

// Rights of users may have changed as well.
void MonitorFeed::follow_monitors() {
  // Read before the list and the users: what changes in between is seen the next time.
  const std::uint64_t monitors_version = engine_.monitors.version();
  const std::uint64_t users_version = engine_.users.version();
  if (monitors_version == monitors_version_ && users_version == users_version_) return;
  push_all();
  groups_.clear();
  for (const Monitors::Monitor& monitor : engine_.monitors.list()) {
    auto group = std::ranges::find_if(groups_, [&](const Group& one) { return one.as_added == monitor.user; });
    if (group == groups_.end()) {
      groups_.push_back({monitor.user, engine_.users.present(*monitor.user), {}, {}, 0});
      group = groups_.end() - 1;
    }
    group->places.push_back(monitor.place);
  }
  monitors_version_ = monitors_version;
  users_version_ = users_version;
}

// A user that is off, or may no longer use MONITOR, is shown nothing until that changes again.
Sight MonitorFeed::sight_of_group(const Group& group, const Row& row, Args args, unsigned db, security::MatchBudget& budget) {
  if (group.user == nullptr || !group.user->enabled()) return Sight::nothing;
  return sight_of(*group.user, monitor_row(), row, args, db, budget, positions_);
}

void MonitorFeed::push_all() {
  if (bytes_ == 0) return;
  for (Group& group : groups_) push(group);
  bytes_ = 0;
}

void MonitorFeed::push(Group& group) {
  if (group.lines.empty()) return;
  std::string lines = std::exchange(group.lines, {});
  const std::uint64_t count = lines_in(lines);
  const std::size_t pending = engine_.monitors.pending.load(std::memory_order_relaxed);
  if (engine_.clients.threads == nullptr || pending + lines.size() > Monitors::most_pending) {
    group.left_out += count;
    return;
  }
  try {
    if (group.left_out > 0) lines.insert(0, told_left_out(group.left_out));
    const auto shared = std::make_shared<const Lines>(engine_, std::move(lines));
    engine_.clients.threads->push(group.places, {shared, &shared->text()}, Audience::monitors);
    group.left_out = 0;
  } catch (const std::bad_alloc&) {
    group.left_out += count;
  }
}

}  // namespace pinfold::command
