#include "pinfold/command/rights.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <mutex>
#include <optional>

#include "pinfold/command/audit.hpp"
#include "pinfold/command/client_list.hpp"

namespace pinfold::command {
namespace {

using Denied = RightsVerdict::Denied;

// What was denied, for ACL LOG.
Denial denial_of(const Row& row, const RightsVerdict& verdict) {
  switch (verdict.denied) {
    case Denied::key:
    case Denied::too_costly:
      return {.reason = DenialReason::key, .object = verdict.object};
    case Denied::all_keys:
      return {.reason = DenialReason::key, .object = verdict.object.empty() ? "*" : verdict.object};
    case Denied::channel:
      return {.reason = DenialReason::channel, .object = verdict.object};
    case Denied::database:
      return {.reason = DenialReason::database};
    case Denied::no:
    case Denied::command:
      break;
  }
  return {.reason = DenialReason::command, .object = row.name};
}

Counter& counter_of(ThreadStats& stats, DenialReason reason) {
  switch (reason) {
    case DenialReason::key:
      return stats.denied_key;
    case DenialReason::channel:
      return stats.denied_channel;
    case DenialReason::auth:
      return stats.denied_auth;
    case DenialReason::database:
      return stats.denied_database;
    case DenialReason::command:
      break;
  }
  return stats.denied_command;
}

// The databases in which a request works.
class DatabasesOf {
 public:
  explicit DatabasesOf(unsigned db) { add(db); }
  DatabasesOf(const Row& row, Args args, unsigned db) {
    const bool named = row.databases != nullptr;
    const bool in_selected = row.touches == Touches::count || row.touches == Touches::listing || row.touches == Touches::database;
    if (row.keys[0].kind != KeySpec::Kind::none || (in_selected && !named)) add(db);
    if (!named) return;
    for (const std::optional<unsigned>& one : row.databases(args)) {
      if (one) add(*one);
    }
  }

  std::span<const unsigned> get() const { return {databases_.data(), count_}; }

 private:
  void add(unsigned db) { databases_[count_++] = db; }

  std::array<unsigned, 3> databases_{};
  std::size_t count_ = 0;
};

// Adds the keys of all specs to the request, which refers to `positions`. Adds none if they cannot be extracted.
void add_keys(security::CheckedRequest& request, const Row& row, Args args, std::vector<std::uint32_t>& positions) {
  positions.clear();
  std::array<std::size_t, std::size(Row{}.keys)> ends{};
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (extract_keys(row.keys[i], args, positions) == Extraction::malformed) return;
    ends[i] = positions.size();
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    request.keys[i] = {std::span(positions).subspan(begin, ends[i] - begin), access_of(key_use(row.keys[i], args))};
    begin = ends[i];
  }
}

// The channels among the arguments, which fit the row's arity.
security::ChannelGroup channels_of(const Row& row, Args args) {
  const ChannelSpec& spec = row.channels;
  if (!names_channels(row)) return {};
  const auto size = static_cast<std::int64_t>(args.size());
  const std::int64_t last = spec.last < 0 ? size + spec.last : spec.last;
  const std::int64_t count = std::max<std::int64_t>(0, std::min(last, size - 1) - spec.first + 1);
  return {.first = static_cast<std::size_t>(spec.first), .count = static_cast<std::size_t>(count), .literal = spec.patterns};
}

// The last position up to `index` at which a request may have a key of this kind, if it goes on long enough.
std::optional<std::size_t> last_key_until(const KeySpec& spec, std::size_t index) {
  if (spec.kind == KeySpec::Kind::none) return std::nullopt;
  const std::size_t before_keys = spec.kind == KeySpec::Kind::range ? 0 : (spec.kind == KeySpec::Kind::option ? 2 : 1);
  const std::size_t first = static_cast<std::size_t>(spec.first) + before_keys;
  if (index < first) return std::nullopt;
  const bool open = spec.kind != KeySpec::Kind::range || spec.last < 0;
  const std::size_t last = open ? index : std::min(index, static_cast<std::size_t>(spec.last));
  const auto step = static_cast<std::size_t>(spec.step);
  return last - (last - first) % step;
}

}  // namespace

RightsVerdict check_rights(const security::User& user, const Row& row, Args args, unsigned db, security::MatchBudget& budget,
                           std::vector<std::uint32_t>& positions) {
  const DatabasesOf databases(row, args, db);
  security::CheckedRequest request;
  request.command = command_index(row);
  request.needs_no_rule = (row.flags & kNoAuth) != 0;
  if (args.size() > 1) request.first_argument = args[1];
  request.args = args;
  request.databases = databases.get();
  request.all_databases = row.touches == Touches::everything;
  request.all_keys = row.touches == Touches::database || row.touches == Touches::everything;
  if ((row.flags & kWrite) != 0) request.all_keys_access = security::Access::write;
  if (row.prefix != nullptr) request.all_keys_with = row.prefix(args);
  const auto only = static_cast<std::uint32_t>(only_key(row, args));
  if (only != 0) {
    request.keys[0] = {{&only, 1}, access_of(key_use(row.keys[0], args))};
  } else if (row.keys[0].kind != KeySpec::Kind::none) {
    add_keys(request, row, args, positions);
  }
  request.channels = channels_of(row, args);
  const security::Verdict verdict = user.check(request, budget);
  switch (verdict.denied) {
    case Denied::key:
    case Denied::channel:
    case Denied::too_costly:
      return {.denied = verdict.denied, .object = args[verdict.at]};
    case Denied::all_keys:
      return {.denied = verdict.denied, .object = request.all_keys_with};
    case Denied::database:
      return {.denied = verdict.denied, .database = verdict.at < request.databases.size() ? request.databases[verdict.at] : 0};
    default:
      return {.denied = verdict.denied};
  }
}

RightsVerdict check_rights(const security::User& user, const Row& row, Args args, unsigned db, security::MatchBudget& budget) {
  std::vector<std::uint32_t> positions;
  return check_rights(user, row, args, db, budget, positions);
}

Sight sight_of(const security::User& user, const Row& by, const Row& row, Args args, unsigned db, security::MatchBudget& budget,
               std::vector<std::uint32_t>& positions) {
  if (user.unlimited()) return Sight::everything;
  const bool is_valid = arity_fits(row, args.size());
  const DatabasesOf databases = is_valid ? DatabasesOf(row, args, db) : DatabasesOf(db);
  security::CheckedRequest request;
  request.command = command_index(by);
  request.args = args;
  request.databases = databases.get();
  request.all_databases = row.touches == Touches::everything;
  request.all_keys = true;
  request.all_keys_access = security::Access::read;
  if (user.check(request, budget).denied == Denied::no) return Sight::everything;
  request.all_keys = row.touches == Touches::listing || row.touches == Touches::database || row.touches == Touches::everything;
  positions.clear();
  if (is_valid) {
    if (row.prefix != nullptr) request.all_keys_with = row.prefix(args);
    add_keys(request, row, args, positions);
  }
  for (auto& keys : request.keys) keys.access = security::Access::read;
  if (user.check(request, budget).denied != Denied::no) return Sight::nothing;
  return positions.empty() && request.all_keys_with.empty() ? Sight::name : Sight::keys;
}

std::vector<std::string_view> seen_words(Sight sight, const RequestWords& words, const Row& row, Args args) {
  std::vector<std::string_view> seen;
  const std::size_t of_name = words_of_name(row);
  const bool name_only = sight == Sight::nothing || sight == Sight::name;
  // Beside its keys, only such a command has arguments that are taken for names of keys: tags.
  const bool has_tags = sight == Sight::keys && row.shown != nullptr && row.prefix == nullptr && row.keys[0].kind != KeySpec::Kind::none;
  std::vector<std::uint32_t> keys;
  if (has_tags) static_cast<void>(extract_keys(row, args, keys));  // none if they are malformed
  std::sort(keys.begin(), keys.end());
  seen.reserve(words.count());
  for (std::size_t i = 0; i < words.count(); ++i) {
    if (name_only && i >= of_name) {
      seen.push_back(redacted);
      break;
    }
    const bool is_tag = has_tags && i < args.size() && shown_argument(row, args, i) == Shown::key &&
                        !std::binary_search(keys.begin(), keys.end(), static_cast<std::uint32_t>(i));
    seen.push_back(is_tag ? redacted : words[i]);
  }
  return seen;
}

bool may_store_large(const security::User& user, std::size_t index, unsigned db,
                     const std::function<std::string_view(std::size_t)>& argument, security::MatchBudget& budget) {
  if (user.unlimited_channels()) return true;
  if (index == 0 || budget.spent()) return false;
  const std::array<std::string_view, 2> words = {argument(0), index > 1 ? argument(1) : std::string_view()};
  const Row* const row = find_command(std::span(words).first(std::min(index, words.size())));
  const bool publishes = row != nullptr && names_channels(*row) && row->channels.last > 0;  // a message stands behind its channel
  if (row == nullptr || is_container(*row) || ((row->flags & kWrite) == 0 && !publishes)) return false;
  // The request as if it had no more keys than the last one of each spec, and a channel in the place of the first.
  std::array<std::string_view, 2> keys;
  constexpr std::array<std::uint32_t, 2> positions = {0, 1};
  security::CheckedRequest request;
  bool has_key = publishes && index > static_cast<std::size_t>(row->channels.last);
  if (has_key) {
    keys[0] = argument(static_cast<std::size_t>(row->channels.first));
    request.channels = {.first = 0, .count = 1};
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::optional<std::size_t> at = last_key_until(row->keys[i], index);
    if (!at) continue;
    if (*at == index) return false;
    keys[i] = argument(*at);
    request.keys[i] = {std::span(positions).subspan(i, 1), access_of(row->keys[i].use)};
    has_key = true;
  }
  if (!has_key) return false;
  request.command = command_index(*row);
  request.first_argument = words[1];
  request.args = keys;
  request.databases = {&db, 1};
  return user.check(request, budget).denied == Denied::no;
}

std::string denial_text(const Row& row, const RightsVerdict& verdict) {
  switch (verdict.denied) {
    case Denied::key:
      return "this user has no permissions to access one of the keys used as arguments";
    case Denied::all_keys:
      return "this user has no permissions to access all keys that the '" + std::string(row.name) + "' command works on";
    case Denied::channel:
      return "this user has no permissions to access one of the channels used as arguments";
    case Denied::database:
      return "No permissions to access database";
    case Denied::too_costly:
      return "the keys used as arguments are too many or too long to be compared with the patterns of this user";
    case Denied::no:
    case Denied::command:
      break;
  }
  return "this user has no permissions to run the '" + std::string(row.name) + "' command";
}

void count_denial(Engine& engine, const Session& session, DenialReason reason) {
  counter_of(engine.stats.of_thread(session.shared.thread), reason).add();
}

void note_denial(Engine& engine, const Session& session, const Denial& denial) {
  count_denial(engine, session, denial.reason);
  const auto most = static_cast<std::size_t>(engine.settings.integer(config::Id::acllog_max_len));
  if (most == 0) return;
  const Moment now = moment();
  const auto shown = [](std::string_view text) { return std::string(text.substr(0, security::AclLog::longest_object)); };
  engine.acl_log.note({.reason = denial.reason,
                       .context = denial.context,
                       .object = shown(denial.object),
                       .username = shown(denial.user),
                       .client = describe_own(session.shared, now.mono)},
                      most, now);
}

void note_denial(Engine& engine, const Session& session, const Row& row, const RightsVerdict& verdict) {
  const std::string database = std::to_string(verdict.database);
  Denial denial = denial_of(row, verdict);
  if (denial.reason == DenialReason::database) denial.object = database;
  denial.context = session.transaction != nullptr ? DenialContext::multi : DenialContext::toplevel;
  if (session.group != nullptr && session.group->in_script) denial.context = DenialContext::script;
  denial.user = user_name(session.shared);
  note_denial(engine, session, denial);
  audit_denial(engine, session, row, "NOPERM " + denial_text(row, verdict));
}

void note_denial_in_group(Engine& engine, const Session& session, const Row& row, const RightsVerdict& verdict) {
  if (may_note(engine, session, AuditLog::Kind::denied)) {
    note_denial(engine, session, row, verdict);
  } else {
    count_denial(engine, session, denial_of(row, verdict).reason);
  }
}

bool refused_in_exec(Call& call) {
  Session& session = call.session;
  if (session.may_do_all(call.engine.users) && !names_channels(call.row)) return false;
  const std::shared_ptr<const security::User>& user = session.acting_user(call.engine.users);
  if (user == nullptr) {
    // What came before it in the transaction has logged the client out, or its user was removed meanwhile.
    if ((call.row.flags & kNoAuth) != 0) return false;
    constexpr std::string_view error = "NOAUTH Authentication required.";
    if (may_note(call, AuditLog::Kind::denied)) audit_denial(call.engine, session, call.row, error);
    call.reply.error(error);
    return true;
  }
  if (may_do_all_of(*user, call.row)) return false;
  const RightsVerdict verdict = check_rights(*user, call.row, call.args, session.db, session.group->matches);
  if (verdict.allowed()) return false;
  note_denial_in_group(call.engine, session, call.row, verdict);
  std::string_view reason = "no permission to execute the command or subcommand";
  if (verdict.denied == Denied::channel) reason = "no permission to access one of the channels";
  if (verdict.denied == Denied::key || verdict.denied == Denied::all_keys) reason = "no permission to touch the specified keys";
  if (verdict.denied == Denied::database) reason = "no permission to access the database";
  if (verdict.denied == Denied::too_costly) reason = "its keys are too many or too long to be compared with the patterns of the user";
  call.reply.error(
      "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed "
      "for the following reason: " +
      std::string(reason));
  return true;
}

bool may_read_all_keys(const Call& call) {
  const std::shared_ptr<const security::User>& user = call.session.checked_user();
  if (user == nullptr) return false;
  if (user->unlimited()) return true;
  security::CheckedRequest request;
  request.command = command_index(call.row);
  if (call.args.size() > 1) request.first_argument = call.args[1];
  request.all_keys = true;
  request.all_keys_access = security::Access::read;
  request.databases = {&call.session.db, 1};
  security::MatchBudget budget;
  return user->check(request, budget).allowed();
}

namespace {

// Denies what a client has waited for.
void deny_late(Engine& engine, Session& session, const Row& row, const RightsVerdict& verdict, resp::Reply& reply) {
  session.close_after_reply = session.close_after_reply || session.removed();
  note_denial(engine, session, row, verdict);
  reply.error("NOPERM " + denial_text(row, verdict));
}

}  // namespace

bool may_still_read(Engine& engine, Session& session, const Row& row, unsigned db, std::string_view key, resp::Reply& reply) {
  if (session.may_do_all(engine.users)) return true;
  const std::shared_ptr<const security::User>& user = session.acting_user(engine.users);
  if (user != nullptr && user->unlimited()) return true;
  RightsVerdict verdict{.denied = Denied::command};
  if (user != nullptr) {
    constexpr std::uint32_t position = 0;
    security::CheckedRequest request;
    request.command = command_index(row);
    request.first_argument = key;
    request.args = {&key, 1};
    request.keys[0] = {{&position, 1}, security::Access::read};
    request.databases = {&db, 1};
    security::MatchBudget budget;
    verdict = {.denied = user->check(request, budget).denied, .object = key, .database = db};
    if (verdict.allowed()) return true;
  }
  deny_late(engine, session, row, verdict, reply);
  return false;
}

bool may_still_make(Engine& engine, Session& session, const Row& row, Args args, unsigned db, resp::Reply& reply) {
  if (session.may_do_all(engine.users)) return true;
  const std::shared_ptr<const security::User>& user = session.acting_user(engine.users);
  if (user != nullptr && may_do_all_of(*user, row)) return true;
  RightsVerdict verdict{.denied = Denied::command};
  if (user != nullptr) {
    security::MatchBudget budget;
    verdict = check_rights(*user, row, args, db, budget);
    if (verdict.allowed()) return true;
  }
  deny_late(engine, session, row, verdict, reply);
  return false;
}

Listing::Listing(const Call& call) {
  const std::shared_ptr<const security::User>& user = call.session.checked_user();
  if (user == nullptr) return;
  all_ = user->unlimited();
  if (all_) return;
  user_ = user;
  const std::string_view first_argument = call.args.size() > 1 ? call.args[1] : std::string_view();
  selectors_ = user->selectors_for(command_index(call.row), first_argument, call.session.db);
}

SeenRequests::SeenRequests(const Call& call)
    : by_(call.row), user_(call.session.checked_user()), budget_(call.in_transaction ? call.session.group->matches : own_) {}

std::vector<std::string_view> SeenRequests::seen(const RequestWords& words, const Row& row, unsigned db) {
  args_.clear();
  for (std::size_t i = 0; i < words.count(); ++i) args_.push_back(words[i]);
  return seen_words(sight(words, row, db), words, row, args_);
}

Sight SeenRequests::sight(const RequestWords& words, const Row& row, unsigned db) {
  if (user_ == nullptr) return Sight::nothing;
  const Sight sight = sight_of(*user_, by_, row, args_, db, budget_, positions_);
  return sight == Sight::keys && !has_whole_keys(words, row) ? Sight::nothing : sight;
}

// Whether the names that sight_of() has looked at are those of the request: one that was cut is longer than what is kept.
bool SeenRequests::has_whole_keys(const RequestWords& words, const Row& row) const {
  constexpr std::size_t longest = WordLimits().bytes_of_word;
  const auto is_whole = [](std::string_view word) { return word.size() <= longest; };
  const auto is_whole_key = [&](std::uint32_t at) { return is_whole(args_[at]); };
  return words.are_all() && std::ranges::all_of(positions_, is_whole_key) &&
         (row.prefix == nullptr || std::ranges::all_of(args_, is_whole));
}

void close_clients_of_removed_users(Engine& engine, std::uint64_t spared) {
  engine.clients.for_each([&](SharedClient& client) {
    if (client.id == spared || client.closing.load(std::memory_order_relaxed)) return;
    security::Users::Pointer user;
    {
      const std::lock_guard lock(client.mutex);
      user = client.user;
    }
    if (user != nullptr && engine.users.present(*user) == nullptr) engine.clients.kill(client);
  });
}

void close_if_removed(Session& session, const security::Users& users) {
  const security::User* const own = session.user();
  if (own != nullptr && users.present(*own) == nullptr) session.close_after_reply = true;
}

}  // namespace pinfold::command
