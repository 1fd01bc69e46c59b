// Commands that go through the keys of a database: KEYS, SCAN, RANDOMKEY. Names are copied in short holds of a shard's lock, and
// matched with nothing locked.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pinfold/base/random.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/gathered_list.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/pattern.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/task.hpp"
#include "pinfold/store/value_type.hpp"
#include "pinfold/store/walk.hpp"

namespace pinfold::command {
namespace {

// A database of no more entries is gone through at once, also inside EXEC, which holds all locks meanwhile.
constexpr std::uint64_t few_entries = 512;

// What names may still be compared with patterns is part of a transaction's budget. `name` counts once it is compared.
bool may_compare(const Call& call, const Pattern& pattern, const Listing& listing, std::string_view name) {
  if (!call.in_transaction) return true;
  return pattern.most_compared(name) + listing.most_compared(name) <= call.session.group->budget.bytes_left();
}

// What may be compared to find out whether a name is shown. Inside EXEC it is what is left of the transaction's budget.
security::MatchBudget match_budget(const Call& call) {
  return call.in_transaction ? security::MatchBudget(call.session.group->budget.bytes_left()) : security::MatchBudget();
}

// KEYS sees each key as it is when it comes by.
class KeysTask : public Task {
 public:
  KeysTask(const Call& call, std::unique_ptr<const Pattern> pattern)
      : found_(call), listing_(call), db_(call.session.db), pattern_(std::move(pattern)) {}

  Outcome step(Call& call) override {
    const unsigned shards = call.engine.keyspace.shard_count();
    const std::int64_t end = monotonic_us() + step_us;
    while (next_ < names_.size() || !walk_.done(shards)) {
      if (!visit(call, call.in_transaction ? INT64_MAX : end)) return Outcome::done;
      if (monotonic_us() >= end && !call.in_transaction) return Outcome::waits;
    }
    if (!std::exchange(replying, true)) call.reply.array(found_.count());
    for (std::size_t sent = 0; !found_.empty() && (sent < reply_piece || call.in_transaction);) {
      const std::size_t before = call.reply.output().size();
      found_.move_part(call.reply.output());
      sent += call.reply.output().size() - before;
    }
    return found_.empty() ? Outcome::done : Outcome::waits;
  }

 private:
  // Goes on with the names at hand, or gets further ones. False if there is no memory for what was found; then the error has been replied.
  bool visit(Call& call, std::int64_t end) {
    if (next_ == names_.size()) {
      call.read_clock();
      next_ = 0;
      call.engine.keyspace.collect(db_, walk_, call.now, call.held, names_);
    }
    while (next_ < names_.size()) {
      const std::size_t i = next_++;
      if (!may_compare(call, *pattern_, listing_, names_[i])) {
        found_.clear();
        refuse_beyond_budget(call);
        return false;
      }
      if (!pattern_->matches(names_[i])) continue;
      security::MatchBudget budget = match_budget(call);
      if (listing_.shows(names_[i], budget) && !found_.add(names_[i], names_.block(i))) {
        found_.clear();
        call.reply.error("ERR the reply would take more memory than clients may have (maxmemory-clients, maxmemory-user): use SCAN");
        return false;
      }
      // One name may take longer than a step to compare with the patterns of a user.
      if (!listing_.shows_all() && monotonic_us() >= end) return true;
    }
    return true;
  }

  GatheredList found_;
  const Listing listing_;
  const unsigned db_;
  const std::unique_ptr<const Pattern> pattern_;
  store::Walk walk_;
  store::Names names_;
  std::size_t next_ = 0;  // of names_
};

Outcome keys(Call& call) {
  std::unique_ptr<const Pattern> pattern = compile_pattern(call, call.args[1]);
  if (pattern == nullptr) return Outcome::done;
  auto task = std::make_unique<KeysTask>(call, std::move(pattern));
  // The time of a script is bounded, so it may go through more of them.
  constexpr std::uint64_t most_in_script = 131'072;
  const bool in_script = call.in_transaction && call.session.group->in_script;
  const std::uint64_t most = in_script ? std::clamp(call.session.group->budget.entries_left(), few_entries, most_in_script) : few_entries;
  if (call.engine.keyspace.entries(call.session.db, call.held) <= most) {
    return call.in_transaction ? call.run_whole(*task) : call.begin(std::move(task));
  }
  if (call.in_transaction) {
    const std::string goes = " goes through " + std::to_string(most) + " keys at most: use SCAN";
    return call.reply.error(("ERR KEYS" + std::string(shown_place(call))).append(goes));
  }
  return call.park(std::move(task));
}

struct ScanOptions {
  std::uint64_t count = 10;
  std::string_view pattern = "*";
  std::optional<store::Type> type;
  bool unknown_type = false;  // which no key has
};

// Nothing if the options are wrong; then the error has been replied.
std::optional<ScanOptions> take_scan_options(Call& call, Cursor& cursor) {
  ScanOptions options;
  while (!cursor.done()) {
    if (cursor.take_with_value("COUNT")) {
      const std::optional<std::int64_t> count = cursor.take_integer();
      if (!count) {
        call.not_an_integer();
        return std::nullopt;
      }
      if (*count < 1) {
        call.syntax_error();
        return std::nullopt;
      }
      options.count = static_cast<std::uint64_t>(*count);
    } else if (cursor.take_with_value("MATCH")) {
      options.pattern = cursor.take();
    } else if (cursor.take_with_value("TYPE")) {
      options.type = store::find_value_type(cursor.take());
      options.unknown_type = !options.type;
    } else {
      call.syntax_error();
      return std::nullopt;
    }
  }
  return options;
}

struct ScanRequest {
  std::uint64_t cursor;
  std::uint64_t count;
  std::optional<store::Type> type;
  bool unknown_type;
  std::unique_ptr<const Pattern> pattern;
  Listing listing;
};

// What one call of SCAN may still compare with the patterns of its user, and how many names it takes next.
//
// A cursor cannot stand between the names of a group that was taken together. So a call begins with few names, takes at most twice as many
// each time, and no more than are left at the price of the costliest so far. If they turn out to cost more, the call ends as if it had not
// taken them. Only the first group has to be gone through, or the scan would not go on: a name or a few with equal tags.
class ScanBudget {
 public:
  explicit ScanBudget(const Listing& listing) : names_(listing.shows_all() ? most_names : 1) {}

  bool in_first_group() const { return first_; }
  bool spent() const { return left_ == 0; }
  /// How many names to take next.
  std::uint64_t next_group() const { return std::min(names_, std::max<std::uint64_t>(1, left_ / costliest_)); }
  /// Whether the listing shows the name; nothing if it is not known, because no more may be compared.
  std::optional<bool> shows(const Listing& listing, std::string_view name) {
    const std::uint64_t most = std::min(left_, most_in_all);
    security::MatchBudget budget(most);
    const bool shown = listing.shows(name, budget);
    if (budget.spent() && most < most_in_all) return std::nullopt;
    const std::uint64_t cost = most - budget.left();
    costliest_ = std::max(costliest_, cost);
    left_ -= cost;
    return shown;
  }
  void end_group() {
    if (std::exchange(first_, false)) left_ -= std::min(left_, most_in_first_group - most_in_all);
    names_ = std::min(2 * names_, most_names);
  }

 private:
  static constexpr std::uint64_t most_in_all = security::MatchBudget::most;
  static constexpr std::uint64_t most_in_first_group = 16 * most_in_all;
  static constexpr std::uint64_t most_names = 10'000;

  bool first_ = true;
  std::uint64_t left_ = most_in_first_group;
  std::uint64_t names_;
  std::uint64_t costliest_ = 1;
};

// One call of SCAN, which visits 10 000 entries at most: COUNT is a hint, and nobody waits longer for others because it is large.
resp::Written scan_some(Call& call, const ScanRequest& request) {
  constexpr std::uint64_t most_visited = 10'000;
  constexpr std::size_t most_bytes = 1024 * 1024;
  std::uint64_t left = std::min(request.count, call.in_transaction ? few_entries : most_visited);
  // A call over an almost empty keyspace is bounded too. A few keys in as many shards as there are take one call.
  std::uint64_t holds_left = std::max<std::uint64_t>(std::min<std::uint64_t>(left * 10, 1000), 2 * call.engine.keyspace.shard_count());
  resp::Output found;
  resp::Reply list(found, call.reply.protocol());
  std::size_t size = 0;
  store::Names names;
  std::uint64_t cursor = request.cursor;
  std::size_t bytes = 0;
  ScanBudget budget(request.listing);
  bool cut = false;
  do {
    call.read_clock();
    const std::uint64_t some = std::min(left, budget.next_group());
    std::uint64_t some_left = some;
    const std::uint64_t group = cursor;
    const std::size_t group_mark = found.mark();
    const std::size_t size_before = size;
    cursor = call.engine.keyspace.scan(call.session.db, cursor, some_left, call.now, call.held, names, request.type);
    left -= some - some_left;
    bytes += names.bytes();
    for (std::size_t i = 0; i < names.size() && !request.unknown_type && !cut; ++i) {
      if (!may_compare(call, *request.pattern, request.listing, names[i])) return refuse_beyond_budget(call);
      if (!request.pattern->matches(names[i])) continue;
      const std::optional<bool> shown = budget.shows(request.listing, names[i]);
      if (!shown && budget.in_first_group()) {
        return call.reply.error(
            "ERR the keys here are too many and too long to be compared with the patterns of this user: pass over them with MATCH");
      }
      cut = !shown;
      if (!shown.value_or(false)) continue;
      if (names.block(i)) {
        list.bulk(names.block(i));
      } else {
        list.bulk(names[i]);
      }
      ++size;
    }
    budget.end_group();
    if (cut) {
      found.truncate(group_mark);
      size = size_before;
      cursor = group;
    }
    if (call.in_transaction && call.session.group->budget.spent(true)) break;
  } while (cursor != 0 && left > 0 && --holds_left > 0 && bytes < most_bytes && !cut && !budget.spent());

  call.reply.array(2);
  call.reply.bulk_integer(static_cast<std::int64_t>(cursor));
  call.reply.array(size);
  call.reply.output().move_from(found);
  return {};
}

// All in one step: what it has found would be in no account between two. The reply is put into it as a short command's is. It may take a
// millisecond, and hundreds of clients may ask for one at the same time, so it comes behind what is short.
class ScanTask : public Task {
 public:
  explicit ScanTask(ScanRequest request) : request_(std::move(request)) { accounted = false; }

  Outcome step(Call& call) override { return scan_some(call, request_); }

 private:
  const ScanRequest request_;
};

Outcome scan(Call& call) {
  const std::optional<std::uint64_t> start = parse_cursor(call.args[1]);
  if (!start) return call.reply.error("ERR invalid cursor");
  Cursor arguments(call.args, 2);
  const std::optional<ScanOptions> options = take_scan_options(call, arguments);
  if (!options) return Outcome::done;
  std::unique_ptr<const Pattern> pattern = compile_pattern(call, options->pattern);
  if (pattern == nullptr) return Outcome::done;
  ScanRequest request{*start, options->count, options->type, options->unknown_type, std::move(pattern), Listing(call)};
  if (options->count <= few_entries || call.in_transaction) return scan_some(call, request);
  return call.park(std::make_unique<ScanTask>(std::move(request)));
}

resp::Written reply_name(Call& call, const store::Names& names, std::size_t i) {
  return names.block(i) ? call.reply.bulk(names.block(i)) : call.reply.bulk(names[i]);
}

// Few live keys among many whose time is up, very few at all, or few that the client may see: takes the first that a scan meets, which
// begins anywhere and goes around once. Keys behind many others that it passes over are answered more often than others.
class FirstKeyTask : public Task {
 public:
  explicit FirstKeyTask(const Call& call)
      : listing_(call), db_(call.session.db), start_(call.engine.keyspace.random_cursor()), cursor_(start_) {}

  Outcome step(Call& call) override {
    const std::int64_t end = monotonic_us() + step_us;
    do {
      if (next_ < names_.size()) {
        security::MatchBudget budget = match_budget(call);
        const std::size_t i = (first_ + next_++) % names_.size();
        if (listing_.shows(names_[i], budget)) return reply_name(call, names_, i);
        if (budget.spent() && call.in_transaction) return refuse_beyond_budget(call);
      } else if (done_) {
        return call.reply.null();
      } else {
        take_names(call);
      }
    } while (monotonic_us() < end);
    return Outcome::waits;
  }

 private:
  void take_names(Call& call) {
    std::uint64_t many = few_entries;  // as many as one hold of a lock allows
    cursor_ = call.engine.keyspace.scan(db_, cursor_, many, call.now, call.held, names_);
    next_ = 0;
    first_ = names_.size() > 1 ? random_below(names_.size()) : 0;
    done_ = around_ && (cursor_ == 0 || cursor_ >= start_);
    around_ = around_ || cursor_ == 0;
  }

  const Listing listing_;
  const unsigned db_;
  const std::uint64_t start_;
  std::uint64_t cursor_;
  bool around_ = false;  // it has come to the end, and has gone on from the beginning
  bool done_ = false;    // there are no more names than these
  store::Names names_;
  std::size_t first_ = 0;  // of names_
  std::size_t next_ = 0;   // counted from first_
};

Outcome randomkey(Call& call) {
  store::Keyspace& keyspace = call.engine.keyspace;
  const Listing listing(call);
  // Of keys that the client may not see, a few are passed over. If it may see few, a scan finds one sooner.
  constexpr int tries = 16;
  security::MatchBudget budget = match_budget(call);
  for (int i = 0; i < tries && !budget.spent(); ++i) {
    store::Names found;
    if (!keyspace.random_key(call.session.db, call.now, call.held, found)) break;
    if (listing.shows(found[0], budget)) return reply_name(call, found, 0);
  }
  auto task = std::make_unique<FirstKeyTask>(call);
  if (keyspace.entries(call.session.db, call.held) <= few_entries) {
    return call.in_transaction ? call.run_whole(*task) : call.begin(std::move(task));
  }
  if (call.in_transaction) {
    return call.reply.error(("ERR RANDOMKEY" + std::string(shown_place(call)))
                                .append(" found only keys whose time is up, or that it may not show: ask outside of it"));
  }
  return call.park(std::move(task));
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "keys", .handler = keys, .arity = 2,
     .flags = kReadOnly | kAllShards | kBeyondNamed, .categories = kKeyspace | kDangerous, .touches = Touches::listing,
     .group = "generic", .since = "1.0.0",
     .complexity = "O(N) for N keys in the database; other clients are served meanwhile.",
     .summary = "Lists the keys that match a glob pattern.",
     .syntax = "pattern"},
    {.name = "randomkey", .handler = randomkey, .arity = 1,
     .flags = kReadOnly | kAllShards | kBeyondNamed, .categories = kKeyspace, .touches = Touches::listing,
     .group = "generic", .since = "1.0.0",
     .complexity = "O(1); O(N) for N keys of which the user may read few or none, or whose time is up; other clients are served meanwhile.",
     .summary = "Names a key of the selected database, picked at random."},
    {.name = "scan", .handler = scan, .arity = -2,
     .flags = kReadOnly | kAllShards | kBeyondNamed, .categories = kKeyspace, .touches = Touches::listing,
     .group = "generic", .since = "2.8.0",
     .complexity = "O(COUNT) per call, of 10 000 keys and 1 MB of names at most; O(N) to go through N keys.",
     .summary = "Goes through the keys of the selected database, some at each call.",
     .syntax = "cursor [MATCH pattern] [COUNT count] [TYPE type]"},
};
// clang-format on

}  // namespace

std::span<const Row> scan_commands() { return kRows; }

}  // namespace pinfold::command
