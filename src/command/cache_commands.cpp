// CACHE.*: reading with a lease, filling, giving back, invalidating. docs/cache-commands.md is the contract.

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/sleeper.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/base/words.hpp"
#include "pinfold/command/cache_family.hpp"
#include "pinfold/command/cache_reads.hpp"
#include "pinfold/command/expiry.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/rights.hpp"
#include "pinfold/command/string_commands.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/tag_names.hpp"

namespace pinfold::command {

std::optional<std::string> take_tag(Call& call, Cursor& options) {
  const std::string_view tag = options.take();
  std::string name = store::name_of_tag(tag);
  if (!name.empty()) return name;
  const bool plain = tag.empty() || tag.front() != '\0';
  call.reply.error(plain ? "ERR a tag must have 1 to 255 bytes" : "ERR a tag that begins with a zero byte must have 1 to 253 bytes");
  return std::nullopt;
}

bool TagsOption::take(Call& call, Cursor& options) {
  const auto count = take_number(call, options, {"TAGS", "the number of tags", 1, store::most_tags_of_entry});
  if (!count) return false;
  if (options.left() < static_cast<std::size_t>(*count)) {
    call.reply.error("ERR TAGS " + std::to_string(*count) + " must be followed by as many tags, not " + std::to_string(options.left()));
    return false;
  }
  encoded_.clear();
  for (std::int64_t i = 0; i < *count; ++i) {
    const auto tag = take_tag(call, options);
    if (!tag) return false;
    encoded_.push_back(static_cast<char>(tag->size()));
    encoded_.append(*tag);
  }
  if (encoded_.size() <= store::most_tags_bytes) return true;
  call.reply.error("ERR the tags of an entry must not have more than 4096 bytes in all");
  return false;
}

namespace {

// Reads the options as fill_options() does, up to DEPENDS. A word that is no option ends it: fill_options() answers with an error there.
std::size_t depends_in(Args args, std::size_t first_option) {
  constexpr std::string_view with_value[] = {"TOKEN", "EX", "PX", "EXAT", "PXAT", "STALE", "VERSION"};
  for (std::size_t at = first_option; at + 1 < args.size();) {
    const std::string_view word = args[at];
    if (iequals(word, "DEPENDS")) return at;
    if (iequals(word, "TAGS")) {
      const auto count = parse_i64(args[at + 1]);
      if (!count || *count < 1 || *count > static_cast<std::int64_t>(store::most_tags_of_entry)) return 0;
      at += 2 + static_cast<std::size_t>(*count);
    } else if (std::any_of(std::begin(with_value), std::end(with_value), [&](std::string_view name) { return iequals(word, name); })) {
      at += 2;
    } else if (iequals(word, "KEEPTTL")) {
      ++at;
    } else {
      return 0;
    }
  }
  return 0;
}

}  // namespace

std::size_t depends_in_cache_set(Args args) { return depends_in(args, 3); }
std::size_t depends_in_cache_absent(Args args) { return depends_in(args, 2); }

namespace {

// A token as CACHE.GET gave it, or a number that is none.
std::optional<std::int64_t> take_token(Call& call, std::string_view text) {
  const auto token = parse_i64(text);
  if (!token) call.reply.error("ERR a token is a number, as CACHE.GET answers it, not '" + excerpt(text) + "'");
  return token;
}

// --- reading ---

// LEASE, WAIT and BETA. False: an error was replied.
bool read_options(Call& call, Cursor options, bool may_wait, CacheReadOptions& read) {
  while (!options.done()) {
    if (options.take_with_value("LEASE")) {
      const auto ms = take_number(call, options, {"LEASE", "milliseconds", 0, longest_lease_ms});
      if (!ms) return false;
      read.lease_ms = *ms;
    } else if (may_wait && options.take_with_value("WAIT")) {
      const auto ms = take_number(call, options, {"WAIT", "milliseconds", 0, longest_wait_ms});
      if (!ms) return false;
      read.wait_ms = *ms;
    } else if (options.take_with_value("BETA")) {
      const std::string_view text = options.take();
      const auto beta = parse_real(text);
      if (!beta || *beta < 0 || *beta > 1000) {
        call.reply.error("ERR BETA takes a number, 0 to 1000, not '" + excerpt(text) + "'");
        return false;
      }
      read.beta = static_cast<double>(*beta);
    } else {
      wrong_option(call, options);
      return false;
    }
  }
  return true;
}

Outcome cache_get(Call& call) {
  CacheReadOptions options;
  if (call.args.size() > 2 && !read_options(call, Cursor(call.args, 2), true, options)) return Outcome::done;
  store::Database db = call.db();
  return cache_read(call, db, call.key(), options) ? Outcome::done : Outcome::waits;
}

// Of a number of keys that is none, or more than the keys that follow.
std::string wrong_key_count(const Row& row, Args args) {
  const auto count = parse_i64(args[1]);
  if (!count) {
    return "ERR " + shown_command(row.name) + " takes the number of keys, 1 or more, and then the keys, not '" + excerpt(args[1]) + "'";
  }
  return *count <= 0 ? "ERR numkeys should be greater than 0" : "ERR Number of keys can't be greater than number of args";
}

// Of DEPENDS, which the command table has found.
std::string wrong_dependency_count(const Row& row, Args args) {
  const std::size_t word = row.keys[1].find(args);
  const std::string_view text = args[word + 1];
  const auto count = parse_i64(text);
  if (!count || *count < 1) return "ERR DEPENDS takes the number of keys, 1 or more, and then the keys, not '" + excerpt(text) + "'";
  return "ERR DEPENDS " + std::to_string(*count) + " must be followed by as many keys, not " + std::to_string(args.size() - word - 2);
}

Outcome cache_mget(Call& call) {
  CacheReadOptions options;
  if (!read_options(call, Cursor(call.args, 2 + call.keys.size()), false, options)) return Outcome::done;
  if (options.lease_ms != 0) {
    make_room_for_leases(call, memory_of_leases(call.keys));
  }
  options.makes_room = false;
  options.one_of_several = true;
  store::Database db = call.db();
  call.reply.array(call.keys.size());
  for (const store::Key& key : call.keys) cache_read(call, db, key, options);
  return Outcome::done;
}

// --- filling ---

struct FillOptions {
  bool has_token = false;
  std::uint64_t token = 0;
  ExpiryOption expiry{ExpiryOption::Besides::keepttl};
  std::int64_t stale_ms = 0;
  std::uint64_t version = 0;
  TagsOption tags;
  std::size_t dependencies = 0;  // how many keys DEPENDS names: those of the call behind the first
};

// The words after DEPENDS. The command table has found the keys.
bool take_dependencies(Call& call, Cursor& options, FillOptions& fill) {
  if (fill.dependencies != 0) {
    call.reply.error("ERR DEPENDS can be named only once");
    return false;
  }
  options.take();
  fill.dependencies = call.keys.size() - 1;
  for (std::size_t i = 0; i < fill.dependencies; ++i) {
    if (options.take().size() <= store::most_dependency_bytes) continue;
    call.reply.error("ERR a key that an entry depends on must have at most 253 bytes");
    return false;
  }
  if (fill.dependencies <= store::most_tags_of_entry) return true;
  call.reply.error("ERR an entry can depend on at most 1024 keys");
  return false;
}

// `full`: also what only CACHE.SET knows. False: an error was replied.
bool fill_options(Call& call, Cursor options, bool full, FillOptions& fill) {
  while (!options.done()) {
    if (options.take_with_value("TOKEN")) {
      const auto token = take_token(call, options.take());
      if (!token) return false;
      fill.has_token = true;
      fill.token = *token > 0 ? static_cast<std::uint64_t>(*token) : 0;
    } else if (options.take_with_value("TAGS")) {
      if (!fill.tags.take(call, options)) return false;
    } else if (options.take_with_value("DEPENDS")) {
      if (!take_dependencies(call, options, fill)) return false;
    } else if (full && options.take_with_value("STALE")) {
      const auto ms = take_number(call, options, {"STALE", "milliseconds", 0, UINT32_MAX});
      if (!ms) return false;
      fill.stale_ms = *ms;
    } else if (full && options.take_with_value("VERSION")) {
      const auto version = take_number(call, options, {"VERSION", "a number", 1, most_exact});
      if (!version) return false;
      fill.version = static_cast<std::uint64_t>(*version);
    } else if (!fill.expiry.take(options)) {
      wrong_option(call, options);
      return false;
    }
  }
  return true;
}

// What a fill stores beside its value: the tags, with the dependencies before them.
struct Ties {
  std::string tags;        // as store::Extra keeps them
  bool is_stale = false;   // whether an entry that it depends on is stale
  std::size_t of_own = 0;  // bytes of the dependencies in `tags`

  std::string_view dependencies() const { return std::string_view(tags).substr(0, of_own); }
};

// Ends the lease of a fill that comes to nothing, so that others do not wait for it.
void give_up_lease(Call& call, const FillOptions& fill) {
  if (fill.has_token) call.engine.cache.leases(call.key()).release(call.session.db, call.key(), fill.token, 0, call.mono);
}

// Collects the keys that DEPENDS names, and what the entries under these depend on. What is not there, or was invalidated, adds its own
// name only. Nothing: an error was replied.
std::optional<Ties> collect_ties(Call& call, store::Database& db, const FillOptions& fill) {
  Ties ties;
  if (fill.dependencies == 0) {
    ties.tags = fill.tags.encoded();
    return ties;
  }
  store::Dependencies all;
  std::vector<std::string> texts;  // that `all` refers to: copies, because a look-up may move what an earlier one has found
  texts.reserve(2 * fill.dependencies);
  bool fits = true;
  store::Keyspace& keyspace = call.engine.keyspace;
  for (const store::Key& key : call.keys.subspan(1)) {
    texts.push_back(store::name_of_dependency(key.text));
    fits = fits && all.add_name(texts.back());
    auto found = db.find_any(key, store::Access::none());
    if (found && !found->absent && !found->fresh(call.now)) ties.is_stale = true;
    // An entry that is bypassed now may have been read before.
    if (!found && keyspace.key_switches() != nullptr) found = keyspace.glance(db.number(), key);
    if (!found) continue;
    if (found->extra == nullptr || !fits) continue;
    texts.emplace_back(store::dependencies_in(store::Extra::read(found->extra).tags));
    fits = all.add(texts.back());
  }
  if (fits) ties.tags = all.encode();
  ties.of_own = ties.tags.size();
  ties.tags.append(fill.tags.encoded());
  std::size_t count = 0;
  store::Extra extra;
  extra.tags = ties.tags;
  extra.for_each_tag([&](std::string_view) { ++count; });
  if (fits && ties.tags.size() <= store::most_tags_bytes && count <= store::most_tags_of_entry) {
    // What is inherited does not come with the request, so no room was made for it.
    const store::Stored room = db.has_room(ties.of_own);
    if (room) return ties;
    static_cast<void>(call.refused(room));
    return std::nullopt;
  }
  give_up_lease(call, fill);
  call.reply.error(
      fits
          ? "ERR too many dependencies: an entry has at most 1024 tags and dependencies, of 4096 bytes in all, counted with those that the "
            "keys named by DEPENDS depend on"
          : "ERR too many dependencies: the keys named by DEPENDS may depend on at most 2048 keys, of 32 KB in all, repeated ones counted "
            "each time");
  return std::nullopt;
}

// Whether a value may have been built from something that was invalidated since its lease was granted.
bool depends_on_outdated(Call& call, store::Database& db, const FillOptions& fill, const Ties& ties) {
  cache::Cache& cache = call.engine.cache;
  if (ties.is_stale || cache.leases(call.key()).outdated(db.number(), call.key().text, ties.dependencies())) return true;
  const std::int64_t age = cache.leases(call.key()).age_ms(db.number(), call.key().text, fill.token, call.mono);
  const MonoMs granted = call.mono + -age;
  const auto keys = call.keys.subspan(1);
  return std::any_of(keys.begin(), keys.end(),
                     [&](const store::Key& key) { return cache.gone_sources(key).since(db.number(), key, fill.token, granted); });
}

// Whether a fill may go on. If not it was refused, and its lease, which would keep others waiting for nothing, has ended.
bool admits_fill(Call& call, store::Database& db, const FillOptions& fill, const Ties& ties) {
  cache::Leases& leases = call.engine.cache.leases(call.key());
  const store::Key& key = call.key();
  const auto refusal = [&]() -> std::optional<unsigned> {
    using cache::FillRefusal;
    if (fill.has_token && !leases.is_valid(db.number(), key.text, fill.token, call.mono)) return FillRefusal::token;
    if (fill.has_token && leases.outdated(db.number(), key.text, fill.tags.encoded())) return FillRefusal::tag;
    if (fill.has_token && fill.dependencies != 0 && depends_on_outdated(call, db, fill, ties)) return FillRefusal::dependency;
    if (fill.version == 0) return std::nullopt;
    const auto old = db.find_any(key, store::Access::none());
    const std::uint64_t there = old && old->extra != nullptr ? store::Extra::read(old->extra).version : 0;
    const bool is_newer = fill.version > std::max(there, leases.refused_version(db.number(), key.text, call.mono));
    return is_newer ? std::nullopt : std::optional<unsigned>(FillRefusal::version);
  }();
  if (!refusal) return true;
  call.engine.cache.counters.no_fill[*refusal].fetch_add(1, std::memory_order_relaxed);
  if (*refusal != cache::FillRefusal::token) give_up_lease(call, fill);
  return false;
}

// Stores what was admitted: as its lease holder's own write, or as anybody's.
template <class Store>
store::Stored store_fill(Call& call, store::Database& db, const FillOptions& fill, Store&& store) {
  if (!fill.has_token) return store();
  const cache::Leases::Filling filling(call.engine.cache.leases(call.key()), db.number(), call.key().text);
  return store();
}

store::Extra extra_of(Call& call, store::Database& db, const FillOptions& fill, const Ties& ties, UnixMs expires_at) {
  store::Extra extra;
  extra.stale_ms = static_cast<std::uint32_t>(fill.stale_ms);
  extra.version = fill.version;
  extra.tags = ties.tags;
  extra.written = store::Extra::tenths(call.now);
  // Without a deadline nobody will refresh early. The policy may give one.
  const bool may_expire = expires_at != 0 || fill.expiry.keeps() || call.engine.cache.policy_of(call.key().text) != nullptr;
  if (fill.has_token && may_expire) {
    const std::int64_t ms = call.engine.cache.leases(call.key()).age_ms(db.number(), call.key().text, fill.token, call.mono);
    extra.load_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(ms, 1, UINT32_MAX));
  }
  return extra;
}

Outcome cache_set(Call& call) {
  FillOptions fill;
  if (!fill_options(call, Cursor(call.args, 3), true, fill)) return Outcome::done;
  auto how = fill.expiry.put_options(call);
  if (!how) return Outcome::done;
  store::Database db = call.db();
  const auto ties = collect_ties(call, db, fill);
  if (!ties) return Outcome::done;
  if (!admits_fill(call, db, fill, *ties)) return call.reply.null();
  const store::Extra extra = extra_of(call, db, fill, *ties, how->expires_at);
  how->extra = &extra;
  const store::Stored stored = store_fill(call, db, fill, [&] {
    if (how->expires_at == 0 || how->expires_at > call.now) return call.put_argument(db, call.key(), 2, *how);
    db.remove(call.key());  // its time is over before it began
    return store::Stored::done;
  });
  if (stored == store::Stored::too_large) give_up_lease(call, fill);  // the next one's value may be smaller
  return stored ? call.reply.ok() : call.refused(stored);
}

Outcome cache_absent(Call& call) {
  FillOptions fill;
  if (!fill_options(call, Cursor(call.args, 2), false, fill)) return Outcome::done;
  if (fill.expiry.keeps()) return call.reply.error("ERR KEEPTTL is not possible: a negative entry has a deadline of its own");
  const cache::Policy* const policy = call.engine.cache.policy_of(call.key().text);
  const std::int64_t most = call.engine.settings.integer(config::Id::negative_ttl_max);
  const std::int64_t usual = policy != nullptr && policy->negative_ttl_ms > 0 ? policy->negative_ttl_ms : most;
  store::PutOptions how;
  how.expires_at = call.now + std::min(usual, most);
  if (fill.expiry.has_time()) {
    const auto at = fill.expiry.deadline(call);
    if (!at) return Outcome::done;
    how.expires_at = std::min(*at, call.now + most);
  }
  if (policy != nullptr && how.expires_at > call.now) how.expires_at = call.now + cache::shortened(*policy, how.expires_at - call.now);
  how.absent = true;
  store::Database db = call.db().without_rules();  // they are about values
  const auto ties = collect_ties(call, db, fill);
  if (!ties) return Outcome::done;
  if (!admits_fill(call, db, fill, *ties)) return call.reply.null();
  const store::Extra extra = extra_of(call, db, fill, *ties, how.expires_at);
  how.extra = &extra;
  const store::Stored stored = store_fill(call, db, fill, [&] {
    if (how.expires_at > call.now) return db.put(call.key(), std::string_view(), how);
    db.remove(call.key());
    return store::Stored::done;
  });
  return stored ? call.reply.ok() : call.refused(stored);
}

// --- giving back ---

Outcome cache_release(Call& call) {
  const auto token = take_token(call, call.args[2]);
  if (!token) return Outcome::done;
  std::int64_t retry_ms = 0;
  Cursor options(call.args, 3);
  while (!options.done()) {
    if (!options.take_with_value("RETRY")) return wrong_option(call, options);
    const auto ms = take_number(call, options, {"RETRY", "milliseconds", 0, longest_lease_ms});
    if (!ms) return Outcome::done;
    retry_ms = *ms;
  }
  cache::Leases& leases = call.engine.cache.leases(call.key());
  const bool held = *token > 0 && leases.release(call.session.db, call.key(), static_cast<std::uint64_t>(*token), retry_ms, call.mono);
  return call.reply.integer(held ? 1 : 0);
}

Outcome cache_renew(Call& call) {
  const auto token = take_token(call, call.args[2]);
  if (!token) return Outcome::done;
  Cursor options(call.args, 3);
  const auto ms = take_number(call, options, {"CACHE.RENEW", "milliseconds", 1, longest_lease_ms});
  if (!ms) return Outcome::done;
  cache::Leases& leases = call.engine.cache.leases(call.key());
  const bool held = *token > 0 && leases.renew(call.session.db, call.key().text, static_cast<std::uint64_t>(*token), *ms, call.mono);
  return call.reply.integer(held ? 1 : 0);
}

// --- invalidating ---

struct Invalidation {
  bool soft = false;
  bool cascade = false;
  std::uint64_t version = 0;
};

// True if there was an entry that was not newer.
bool invalidate(Call& call, store::Database& db, const store::Key& key, const Invalidation& what) {
  const auto old = db.find_any(key, store::Access::none());
  const std::uint64_t there = old && old->extra != nullptr ? store::Extra::read(old->extra).version : 0;
  if (what.version != 0 && there > what.version) {
    db.void_lease(key);
    return false;
  }
  if (!what.soft || (old && old->absent)) {
    db.remove(key);
    return old.has_value();
  }
  db.make_stale(key, call.engine.cache.soft_stale_ms(key.text));
  return old.has_value();
}

// What entries under these keys may take when they are written anew.
std::uint64_t memory_to_rewrite(store::Database db, std::span<const store::Key> keys) {
  constexpr std::size_t overhead = 64;
  std::uint64_t bytes = 0;
  for (const store::Key& key : keys) {
    const auto value = db.find(key, store::Access::none());
    if (value) bytes += key.text.size() + (value->handle() ? 0 : value->text.size()) + overhead;
  }
  return bytes;
}

void lock_anew(Call& call, std::span<const store::Key> keys) {
  call.held.release();
  call.held.acquire(keys);
  call.read_clock();
}

// SOFT, some keys at a time: the room that one part takes comes back for the next. It is made with nothing locked, which EXEC
// cannot do: there, and if nothing can be evicted, entries for which there is no room go. Once the locks have been given back, only
// the keys of a part are locked for it: to lock all of them for each part would be quadratic.
std::int64_t invalidate_softly(Call& call, const Invalidation& what) {
  constexpr std::size_t at_once = 64;
  std::int64_t hit = 0;
  bool all_held = true;
  for (std::size_t first = 0; first < call.keys.size(); first += at_once) {
    const auto keys = call.keys.subspan(first, std::min(at_once, call.keys.size() - first));
    if (!all_held) lock_anew(call, keys);
    const std::uint64_t bytes = memory_to_rewrite(call.db(), keys);
    if (!call.in_transaction && !call.engine.keyspace.has_room(bytes)) {
      call.held.release();
      call.engine.keyspace.make_room(bytes);
      lock_anew(call, keys);
      all_held = false;
    }
    store::Database db = call.db();  // by now there may be other policies
    for (const store::Key& key : keys) hit += invalidate(call, db, key, what) ? 1 : 0;
  }
  return hit;
}

// The names of the keys as dependencies, for a purge. A longer key has none: nothing can depend on it.
std::vector<std::string> names_of_dependencies(std::span<const store::Key> keys) {
  std::vector<std::string> names;
  names.reserve(keys.size());
  for (const store::Key& key : keys) {
    if (std::string name = store::name_of_dependency(key.text); !name.empty()) names.push_back(std::move(name));
  }
  return names;
}

// CASCADE: invalidates what depends on the keys as well, by a purge of the dependencies. Without SOFT all of it happens with all shards
// locked. With SOFT the keys come first, as their entries are written anew and room is made for that. A fill in between with what was
// read before is refused, because it depends on them, and what was stored in between goes with the purge.
Outcome invalidate_cascade(Call& call, const Invalidation& what) {
  const WakeLater later;
  std::int64_t hit = what.soft ? invalidate_softly(call, what) : 0;
  std::vector<std::string> names = names_of_dependencies(call.keys);
  cache::Cache& cache = call.engine.cache;
  if (!call.in_transaction) {
    call.held.release();
    call.engine.keyspace.make_room(cache.most_memory_of_purge(names));
    call.held.acquire_all();
    call.read_clock();
  }
  const auto count = [&engine = call.engine, client = call.session.shared.id, keys = call.keys.size()](const store::Purge& purge) {
    const std::uint64_t entries = purge.entries.load();
    engine.cache.counters.cascade_entries.fetch_add(entries, std::memory_order_relaxed);
    if (entries == 0) return;
    engine.events.note(EventLog::Kind::purges, [&] {
      return "client " + std::to_string(client) + " invalidated what depends on " + std::to_string(keys) +
             " keys: " + std::to_string(entries) + " entries, " + std::to_string(purge.bytes.load()) + " bytes";
    });
  };
  // Before the purge is in force, which would hide keys that depend on each other.
  const auto invalidate_keys = [&] {
    store::Database db = call.db();
    for (const store::Key& key : call.keys) hit += invalidate(call, db, key, what) ? 1 : 0;
  };
  bool done = true;
  if (!names.empty()) {
    const auto accepted = what.soft ? std::function<void()>() : invalidate_keys;
    done = cache.purge(call.session.db, false, std::move(names), what.soft, false, count, call.held, accepted) != nullptr;
  } else if (!what.soft) {
    invalidate_keys();
  }
  if (!call.in_transaction) call.held.release();  // before anybody is woken
  return done ? call.reply.integer(hit) : call.reply.error("ERR too many purges are waiting to be swept, try again in a moment");
}

// Whether CASCADE is among the options, so that all shards are to be locked.
bool is_cascade(Args args) {
  const auto count = parse_i64(args[1]);
  if (!count || *count < 1 || static_cast<std::uint64_t>(*count) > args.size()) return false;
  for (Cursor options(args, 2 + static_cast<std::size_t>(*count)); !options.done(); options.take()) {
    if (options.take("CASCADE")) return true;
    if (options.take_with_value("VERSION")) continue;
  }
  return false;
}

Outcome cache_invalidate(Call& call) {
  Invalidation what;
  Cursor options(call.args, 2 + call.keys.size());
  while (!options.done()) {
    if (options.take("SOFT")) {
      what.soft = true;
    } else if (options.take("CASCADE")) {
      what.cascade = true;
    } else if (options.take_with_value("VERSION")) {
      const auto version = take_number(call, options, {"VERSION", "a number", 1, most_exact});
      if (!version) return Outcome::done;
      what.version = static_cast<std::uint64_t>(*version);
    } else {
      return wrong_option(call, options);
    }
  }
  if (what.cascade && call.keys.size() > store::TagMarks::most_tags) return call.reply.error("ERR CASCADE takes at most 16384 keys");
  if (what.version != 0) {
    // Before anything else: it is refused as a whole where it could not be remembered.
    const MonoMs until = call.mono + call.engine.settings.integer(config::Id::invalidation_memory);
    std::size_t bytes = 0;
    for (const store::Key& key : call.keys) bytes += cache::Leases::memory_of_refused(key.text);
    if (!call.engine.cache.has_room(bytes)) return call.out_of_memory();
    if (const store::Stored room = call.db().has_room(bytes); !room) return call.refused(room);
    for (const store::Key& key : call.keys) {
      call.engine.cache.leases(key).refuse_versions(call.session.db, key.text, what.version, until, call.mono);
    }
  }
  if (what.cascade) return invalidate_cascade(call, what);
  if (what.soft) return call.reply.integer(invalidate_softly(call, what));
  store::Database db = call.db();
  std::int64_t hit = 0;
  for (const store::Key& key : call.keys) hit += invalidate(call, db, key, what) ? 1 : 0;
  return call.reply.integer(hit);
}

// --- looking ---

// A string's length; of another type, what it occupies.
std::size_t bytes_of(const store::Value& value) {
  return value.is_string() || !value.handle() ? value.text.size() : value.handle().memory();
}

// The keys that an entry depends on, as far as the client's user may read them: what is inherited may be any key.
std::vector<std::string_view> seen_dependencies(const Call& call, const store::Extra& extra) {
  std::vector<std::string_view> seen;
  const Listing listing(call);
  security::MatchBudget own;
  security::MatchBudget& budget = call.session.group != nullptr ? call.session.group->matches : own;
  extra.for_each_tag([&](std::string_view name) {
    const auto depended = store::dependency_of(name);
    if (depended && listing.shows(*depended, budget)) seen.push_back(*depended);
  });
  return seen;
}

Outcome cache_inspect(Call& call) {
  store::Database db = call.db();
  const store::Key& key = call.key();
  const auto value = db.find_any(key, store::Access::none());
  const store::Extra extra = value && value->extra != nullptr ? store::Extra::read(value->extra) : store::Extra{};
  const bool fresh = value && value->fresh(call.now);
  const cache::Policy* const policy = call.engine.cache.policy_of(key.text);
  const cache::Leases::Look lease = call.engine.cache.leases(key).look(db.number(), key.text, call.mono);
  // 0 of what is not there, -1 of what never ends.
  const auto remaining = [&](UnixMs until) -> std::int64_t {
    if (!value || until == 0) return value ? -1 : 0;
    return std::clamp<std::int64_t>(until - call.now, 0, most_exact);
  };
  std::string_view status = "miss";
  if (value) status = value->absent ? (fresh ? "absent" : "miss") : (fresh ? "hit" : "stale");
  std::size_t tags = 0;
  extra.for_each_tag([&](std::string_view name) { tags += store::dependency_of(name) ? 0 : 1; });
  const std::vector<std::string_view> dependencies = seen_dependencies(call, extra);
  resp::Reply& reply = call.reply;
  const auto number = [&reply](std::string_view name, std::int64_t n) {
    reply.bulk(name);
    reply.integer(n);
  };
  reply.map(14);
  reply.bulk("status");
  reply.bulk(status);
  reply.bulk("type");
  reply.bulk(value && !value->absent ? store::value_type(value->kind.type()).name : "none");
  number("bytes", value ? static_cast<std::int64_t>(bytes_of(*value)) : 0);
  number("version", static_cast<std::int64_t>(extra.version));
  number("age-ms", extra.written != 0 ? extra.age_ms(call.now) : -1);
  number("fresh-ms", remaining(value ? value->expires_at : 0));
  number("stale-ms", remaining(value ? value->gone_at() : 0));
  number("frequency", value ? value->frequency : 0);
  number("load-ms", extra.load_ms);
  reply.bulk("tags");
  reply.array(tags);
  extra.for_each_tag([&](std::string_view name) {
    if (!store::dependency_of(name)) reply.bulk(store::tag_of(name));
  });
  reply.bulk("depends");
  reply.array(dependencies.size());
  for (const std::string_view name : dependencies) reply.bulk(name);
  reply.bulk("policy");
  if (policy != nullptr) {
    reply.bulk(policy->name);
  } else {
    reply.null();
  }
  number("lease-ms", lease.lease_ms);
  number("waiters", static_cast<std::int64_t>(lease.waiters));
  return Outcome::done;
}

// Tags and dependencies are shown as names of keys. They stand behind TAGS and DEPENDS, which come early in a valid request; what comes
// later, or behind a value that is such a word as well, is taken for names too.
Shown shown_in_fill(Args args, std::size_t index, std::size_t first_option) {
  constexpr std::size_t most_before_names = 16;
  if (index == 1) return Shown::key;
  for (std::size_t i = first_option; i < index; ++i) {
    if (i == first_option + most_before_names) return Shown::key;
    if (iequals(args[i], "TAGS") || iequals(args[i], "DEPENDS"))
      return i + 1 == index && parse_i64(args[index]) ? Shown::plain : Shown::key;
  }
  return Shown::plain;
}
Shown shown_in_cache_set(Args args, std::size_t index) { return shown_in_fill(args, index, 3); }
Shown shown_in_cache_absent(Args args, std::size_t index) { return shown_in_fill(args, index, 2); }

// clang-format off
constexpr Row kRows[] = {
    {.name = "cache.absent", .handler = cache_absent, .arity = -2,
     .flags = kWrite | kDenyOom | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::write), KeySpec::option(KeyUse::read, "DEPENDS", 2, depends_in_cache_absent, wrong_dependency_count)},
     .shown = shown_in_cache_absent,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(1). With DEPENDS O(N log N) for N dependencies, inherited ones included.",
     .summary = "Remembers that a key is known not to exist, for a while.",
     .syntax = "key [TOKEN token] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds] [TAGS numtags "
               "tag [tag ...]] [DEPENDS numkeys key [key ...]]"},
    {.name = "cache.get", .handler = cache_get, .arity = -2,
     .flags = kReadOnly | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::read)},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(1)",
     .summary = "Reads a key; on a miss one caller gets the lease to load it, others can wait.",
     .syntax = "key [LEASE milliseconds] [WAIT milliseconds] [BETA beta]"},
    {.name = "cache.inspect", .handler = cache_inspect, .arity = 2,
     .flags = kReadOnly, .categories = kString,
     .keys = {KeySpec::one(KeyUse::peek)},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(1)",
     .summary = "Shows what is known about an entry and its lease.",
     .syntax = "key"},
    {.name = "cache.invalidate", .handler = cache_invalidate, .arity = -3,
     .flags = kWrite, .categories = kString,
     .keys = {KeySpec::counted(KeyUse::remove, 1, wrong_key_count)}, .whole = is_cascade,
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N keys, however many entries depend on them.",
     .summary = "Removes keys, or makes them stale, and voids their leases; with CASCADE also all that was built from them.",
     .syntax = "numkeys key [key ...] [SOFT] [CASCADE] [VERSION version]"},
    {.name = "cache.mget", .handler = cache_mget, .arity = -3,
     .flags = kReadOnly | kFast, .categories = kString,
     .keys = {KeySpec::counted(KeyUse::read, 1, wrong_key_count)},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(N) for N keys.",
     .summary = "Reads several keys as CACHE.GET does; never waits.",
     .syntax = "numkeys key [key ...] [LEASE milliseconds] [BETA beta]"},
    {.name = "cache.release", .handler = cache_release, .arity = -3,
     .flags = kWrite | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::lease)},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(log N) for N leases.",
     .summary = "Gives a lease back because the load failed.",
     .syntax = "key token [RETRY milliseconds]"},
    {.name = "cache.renew", .handler = cache_renew, .arity = 4,
     .flags = kWrite | kFast, .categories = kString,
     .keys = {KeySpec::one(KeyUse::lease)},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(log N) for N leases.",
     .summary = "Lets a lease last for so long from now on.",
     .syntax = "key token milliseconds"},
    {.name = "cache.set", .handler = cache_set, .arity = -3,
     .flags = kWrite | kDenyOom, .categories = kString,
     .keys = {KeySpec::one(KeyUse::write), KeySpec::option(KeyUse::read, "DEPENDS", 3, depends_in_cache_set, wrong_dependency_count)},
     .shown = shown_in_cache_set,
     .events = {.deadline = true},
     .group = "cache", .since = "0.1.0",
     .complexity = "O(1). With DEPENDS O(N log N) for N dependencies, inherited ones included.",
     .summary = "Fills a key, as holder of its lease or without one.",
     .syntax = "key value [TOKEN token] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] "
               "[STALE milliseconds] [VERSION version] [TAGS numtags tag [tag ...]] [DEPENDS numkeys key [key ...]]"},
};
// clang-format on

}  // namespace

std::span<const Row> cache_commands() { return kRows; }

}  // namespace pinfold::command
