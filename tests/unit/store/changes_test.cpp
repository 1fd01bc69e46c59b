// What observers of a shard are told. A random history compares every change that is told with a model of the store: each one once, with
// its cause, when the bytes are final; and whatever the store holds is what the changes add up to.

#include "pinfold/store/changes.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/purge_owner.hpp"
#include "support/seed.hpp"
#include "support/toy_type.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/tag_names.hpp"
#include "pinfold/store/walk.hpp"
#include "pinfold/store/wrong_type.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

constexpr std::uint64_t MB = 1 << 20;
constexpr unsigned databases = 2;
constexpr unsigned causes = static_cast<unsigned>(Cause::source_gone) + 1;

class ChangeHistory {
 public:
  ChangeHistory(std::uint64_t seed, unsigned shards)
      : random_(seed), keyspace_({.shards = shards, .max_memory = 4 * MB, .policy = eviction::Kind::allkeys_lfu}) {
    for (unsigned i = 0; i < shards; ++i) recorders_.push_back(std::make_unique<Recorder>(*this, keyspace_.changes(i)));
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      finish_action();
      if (below(40) == 0) now_ += static_cast<UnixMs>(below(300));
      if (below(30) == 0) keyspace_.background_step(now_, 200);
      if (below(400) == 0) compare_all();
      finish_action();
    }
    compare_all();
    // What is left of purges: afterwards nothing hides an entry.
    while (keyspace_.background_step(now_, 100'000)) {
    }
    finish_action();
    for (const auto& purge : purges_) REQUIRE(purge->unswept == 0);
    compare_all();
    const KeyspaceStats stats = keyspace_.stats();
    CHECK(told(Cause::expired) == stats.expired);
    CHECK(told(Cause::evicted) == stats.evicted);
    std::uint64_t purged = 0;
    for (const auto& purge : purges_) purged += purge->entries;
    CHECK(told(Cause::purged) + told(Cause::purged_soft) == purged);
    for (const Type type : {Type::string, toy::type}) CHECK(told_of_[static_cast<unsigned>(type)] > 0);
  }

  std::uint64_t told(Cause cause) const { return told_[static_cast<unsigned>(cause)]; }

 private:
  struct Item {
    std::string text;
    std::string tag;
    UnixMs expires_at = 0;
    UnixMs gone_at = 0;
    bool absent = false;
    ValueKind kind{};                                 // a list is told by its texts, one behind the other (support/toy_type.hpp)
    std::vector<std::shared_ptr<Purge>> purges = {};  // that are for it, and have not been told of

    bool live(UnixMs now) const { return !absent && (expires_at == 0 || expires_at > now); }
    bool over(UnixMs now) const { return gone_at != 0 && gone_at <= now; }
    bool purged(bool soft) const {
      return std::ranges::any_of(purges, [soft](const auto& purge) { return purge->soft == soft; });
    }
    bool hidden() const {
      return std::ranges::any_of(purges, [](const auto& purge) { return purge->unswept != 0; });
    }
  };
  using Model = std::map<std::string, Item>;

  // Whether a value is that of the model, of whatever type it is.
  static bool same(const Value& value, const Item& item) {
    const bool list_outside = !value.is_string() && value.handle();
    const std::string text = list_outside ? toy::text_of(value.handle()) : std::string(value.text);
    return value.kind.type() == item.kind.type() && value.kind.form() == item.kind.form() && text == item.text;
  }

  // A change that the command which runs is to tell, and what is there afterwards.
  struct Expected {
    Cause cause;
    unsigned db;
    std::string name;
    std::optional<Item> after;
  };

  struct Recorder final : Observer {
    Recorder(ChangeHistory& its_history, Changes& changes)
        : history(its_history), subscription(changes, *this, Causes::all() | Causes{Cause::source_gone}) {
      subscription.listen(true);
    }
    void changed(const Change& change) noexcept override { history.note(change); }
    ChangeHistory& history;
    Changes::Subscription subscription;
  };

  // --- what is told ---

  void note(const Change& change) {
    ++told_[static_cast<unsigned>(change.cause)];
    switch (change.cause) {
      case Cause::flushed:
      case Cause::exchanged:
        return note_database(change);
      case Cause::expired:
      case Cause::evicted:
      case Cause::purged:
      case Cause::purged_soft:
        return note_own_account(change);
      case Cause::source_gone:
        return note_source(change);
      default:
        return note_command(change);
    }
  }

  void note_database(const Change& change) {
    require(change.key.text.empty(), "a change of a database names a key");
    ++whole_[change.db];
  }

  // Removals that no command has asked for: whether there was reason to.
  void note_own_account(const Change& change) {
    const std::string name(change.key.text);
    const auto found = model_[change.db].find(name);
    require(found != model_[change.db].end(), "told that a key has gone which is not there");
    require(change.key.hash == keyspace_.key(name).hash, "another hash");
    if (found == model_[change.db].end()) return;
    Item& item = found->second;
    const std::optional<Value> now_there = keyspace_.glance(change.db, change.key);
    if (change.cause == Cause::purged_soft) {
      require(item.purged(true) && !item.purged(false) && item.live(change.now), "made stale without a purge");
      require(now_there && same(*now_there, item) && !now_there->fresh(now_), "a purged entry is not stale, or another one");
      if (!now_there) return;
      item.purges.clear();
      item.expires_at = now_there->expires_at;
      item.gone_at = now_there->gone_at();
      return;
    }
    require(!now_there, "told that an entry has gone which is found");
    compare_before(change, item);
    if (change.cause == Cause::expired) require(item.over(now_), "expired before its time");
    if (change.cause == Cause::evicted) require(!item.purged(false), "evicted what had been purged");
    if (change.cause == Cause::purged) require(item.purged(false) || (item.absent && item.purged(true)), "purged without a purge");
    model_[change.db].erase(found);
  }

  // Told behind a removal that calls for it, or before a write.
  void note_source(const Change& change) {
    require(change.before != nullptr && change.before->has_extra(), "a source that was none");
    if (change.before == nullptr || !change.before->has_extra()) return;
    const bool replaced = std::exchange(owed_, "") != change.key.text;
    if (replaced) require(there(change.db, std::string(change.key.text)) != nullptr, "told that a source goes which is not there");
    const Extra extra = Extra::read(change.before->extra());
    require(has_dependencies(extra.tags) || (extra.stale_ms != 0 && !change.before->live(now_)), "a source that was none");
  }

  void compare_before(const Change& change, const Item& item) {
    if (change.before != nullptr && change.before->has_extra()) {
      const Extra extra = Extra::read(change.before->extra());
      const bool source = has_dependencies(extra.tags) || (extra.stale_ms != 0 && !change.before->live(change.now));
      if (source) owed_ = change.key.text;
    }
    require(change.before != nullptr, "a removal without what was removed");
    if (change.before == nullptr) return;
    require(change.before->key() == change.key.text && same(change.before->value(), item), "removed another value");
    ++told_of_[static_cast<unsigned>(item.kind.type())];
    require(change.before->expires_at() == item.expires_at && change.before->absent() == item.absent, "removed another entry");
  }

  void note_command(const Change& change) {
    if (expected_.empty()) return require(false, "told of a change that was none, or twice");
    const Expected expected = std::move(expected_.front());
    expected_.pop_front();
    require(change.cause == expected.cause, "another cause");
    require(change.db == expected.db && change.key.text == expected.name, "another key");
    require(change.now == now_, "another time");
    Model& model = model_[expected.db];
    const auto old = model.find(expected.name);
    const std::optional<Value> value = keyspace_.glance(change.db, change.key);
    require(value.has_value() == expected.after.has_value(), "there is an entry, or there is none");
    const bool removes = change.cause == Cause::deleted || change.before != nullptr;
    if (removes && old != model.end()) compare_before(change, old->second);
    if (!value || !expected.after) {
      if (old != model.end()) model.erase(old);
      return;
    }
    Item after = *expected.after;
    require(same(*value, after), "told before the bytes were there");
    require(value->absent == after.absent, "another kind of entry");
    if (change.cause == Cause::staled) {
      require(!value->fresh(now_), "made stale, and is not");
      after.expires_at = value->expires_at;
    }
    require(value->expires_at == after.expires_at, "another deadline");
    after.gone_at = value->gone_at();
    model[expected.name] = std::move(after);
  }

  // Catch's assertions throw, which an observer must not.
  void require(bool holds, const char* what) {
    if (!holds && failure_ == nullptr) failure_ = what;
  }
  void finish_action() {
    if (failure_ != nullptr) FAIL(failure_);
    if (!owed_.empty()) FAIL("a source has gone, and nobody was told");
    if (!expected_.empty()) FAIL("a change was not told");
  }

  // --- what the store holds ---

  void compare_all() {
    finish_action();
    for (unsigned db = 0; db < databases; ++db) {
      for (const auto& [name, item] : model_[db]) compare(db, name, item);
    }
    Keyspace::Locks none(keyspace_);
    for (unsigned db = 0; db < databases; ++db) {
      if (keyspace_.entries(db, none) != model_[db].size()) FAIL("the store has entries that nobody was told of");
    }
  }
  void compare(unsigned db, const std::string& name, const Item& item) {
    const Key key = keyspace_.key(name);
    Keyspace::Locks locks(keyspace_);
    locks.acquire(key);
    const auto value = keyspace_.glance(db, key);
    if (item.hidden()) return;
    if (!value) FAIL("an entry has gone, and nobody was told");
    if (!same(*value, item) || value->expires_at != item.expires_at || value->gone_at() != item.gone_at) {
      FAIL("an entry has changed, and nobody was told");
    }
  }

  // --- what is done ---

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  std::string some_name() {
    const std::uint64_t n = below(3000);
    std::string name = std::string(1, static_cast<char>('a' + n % 4)) + ":" + std::to_string(n);
    if (n % 499 == 0) return name.append(max_inline_key + 100, 'l');
    if (n % 89 == 0) return name.append(254 - name.size() + n % 4, 'm');
    return name;
  }
  std::size_t some_size() {
    if (below(40) == 0) return 17'000 + below(40'000);
    return below(10) == 0 ? 1000 + below(15'500) : below(300);
  }
  std::string some_text() { return std::string(some_size(), static_cast<char>('a' + below(26))); }
  std::string some_tag() {
    const std::string tag = "t" + std::to_string(below(20));
    return below(2) == 0 ? (below(2) == 0 ? name_of_dependency(tag) : tag) : std::string();
  }
  UnixMs some_deadline() { return below(3) == 0 ? now_ + 1 + static_cast<UnixMs>(below(3000)) : 0; }

  // Runs `action` with both keys locked. With `looks`, everything is settled that a look-up of them may find, so that the model has what
  // is there.
  template <class Action>
  void with(unsigned db, const std::string& name, const std::string& other, Action&& action, bool looks = true) {
    keyspace_.make_room(64 * 1024 + name.size() + other.size());
    const std::array<Key, 2> keys = {keyspace_.key(name), keyspace_.key(other)};
    Keyspace::Locks locks(keyspace_);
    locks.acquire(keys);
    for (unsigned each = 0; each < databases && looks; ++each) {
      for (const Key& key : keys) Database(keyspace_, each, now_).find_any(key, Access::none());
    }
    Database database(keyspace_, db, now_);
    action(database, keys);
  }
  const Item* there(unsigned db, const std::string& name) const {
    const auto found = model_[db].find(name);
    return found != model_[db].end() ? &found->second : nullptr;
  }
  const Item* live(unsigned db, const std::string& name) const {
    const Item* const item = there(db, name);
    return item != nullptr && item->live(now_) ? item : nullptr;
  }
  void expect(Cause cause, unsigned db, const std::string& name, std::optional<Item> after) {
    if (after) after->purges.clear();
    expected_.push_back({cause, db, name, std::move(after)});
  }
  // What remove() is to tell.
  void expect_removal(unsigned db, const std::string& name) {
    expect(there(db, name) != nullptr ? Cause::deleted : Cause::invalidated, db, name, {});
  }

  // Also over what has expired or was purged, and nobody has met it.
  void put(unsigned db, const std::string& name) {
    const bool looks = below(2) == 0;
    const auto store = [&](Database& database, const auto& keys) {
      Item item{.text = some_text(), .tag = some_tag(), .expires_at = some_deadline()};
      item.absent = below(10) == 0;
      if (item.absent) item.text.clear();
      if (!item.absent && below(4) == 0) item.kind = item.text.size() > 500 || below(2) == 0 ? toy::chained : toy::packed;
      PutOptions how{.expires_at = item.expires_at, .keep_expiry = looks && below(4) == 0, .absent = item.absent};
      if (const Item* const old = live(db, name); how.keep_expiry && old != nullptr) {
        item.expires_at = old->expires_at;
        item.tag = old->tag;  // it keeps what it carries
      } else {
        how.keep_expiry = false;
      }
      const std::string tags = static_cast<char>(item.tag.size()) + item.tag;
      Extra extra;
      extra.tags = tags;
      if (below(3) == 0) extra.stale_ms = static_cast<std::uint32_t>(below(1500));
      if (!item.tag.empty() && !how.keep_expiry) how.extra = &extra;
      expect(Cause::written, db, name, item);
      if (item.kind.type() == toy::type) {
        REQUIRE(database.put(keys[0], list_of(item), how));
      } else if (item.text.size() < 16'000 || below(2) == 0) {
        REQUIRE(database.put(keys[0], item.text, how));
      } else {
        REQUIRE(database.put(keys[0], Blob::copy_of(keyspace_.memory().heap(), item.text), how));
      }
    };
    with(db, name, name, store, looks);
  }

  // The value that a list in the model is stored as.
  TypedValue list_of(const Item& item) {
    const bool outside = item.kind.form() == toy::chained.form();
    if (!outside) return {item.kind, item.text, {}};
    const std::size_t half = item.text.size() / 2;
    return {item.kind, {}, toy::make(keyspace_.memory().heap(), {item.text.substr(0, half), item.text.substr(half)})};
  }

  // A command on lists changes them where they are.
  void add_to_list(unsigned db, const std::string& name) {
    with(db, name, name, [&](Database& database, const auto& keys) {
      const Item* const old = live(db, name);
      if (old == nullptr || old->kind.type() != toy::type) return;
      const bool outside = old->kind.form() == toy::chained.form();
      Item item = *old;
      item.text += "more";
      if (outside) expect(Cause::written, db, name, item);
      const auto add = [&](OwnedHandle& handle) {
        toy::Chain& chain = toy::chain_of(handle.get().raw());
        if (chain.references > 1) {  // a copy shares it
          handle = toy::make(keyspace_.memory().heap(), {item.text});
        } else {
          REQUIRE(toy::add(chain, "more"));
        }
        return true;
      };
      REQUIRE(database.change(keys[0], toy::type, add) == outside);
    });
  }

  // APPEND, SETRANGE, SETBIT and BITFIELD: what they write comes after the value has its size.
  void write_into(unsigned db, const std::string& name) {
    with(db, name, name, [&](Database& database, const auto& keys) {
      Item item;
      if (const Item* const old = live(db, name)) item = *old;
      if (item.kind.type() == toy::type) {  // nothing is told then
        REQUIRE_THROWS_AS(database.resize(keys[0], 100), WrongType);
        return;
      }
      const std::size_t before = item.text.size();
      const std::size_t size = below(4) == 0 ? std::max<std::size_t>(before, 1) : before + 1 + some_size();
      item.text.resize(size, '\0');
      const std::uint64_t kind = below(8);
      const bool changes = kind > 1;
      Writing writing = database.resize(keys[0], size, changes);
      REQUIRE(writing);
      if (std::string_view(writing.data(), size) != item.text) FAIL("a resized value lost bytes, or is not filled up with zeros");
      if (kind == 0 && size > before) {  // all operations of a BITFIELD were refused
        expect(Cause::grown, db, name, item);
        writing.set_cause(Cause::grown);
        return;
      }
      if (kind == 0 || (kind == 1 && size == before)) return;  // a bit that is set to what it is
      const std::size_t at = below(size);
      const std::size_t bytes = std::min<std::size_t>(size - at, 100);
      std::memset(writing.data() + at, 'w', bytes);
      std::memset(item.text.data() + at, 'w', bytes);
      expect(Cause::written, db, name, item);
      if (!changes) writing.set_cause(Cause::written);
    });
  }

  void remove(unsigned db, const std::string& name) {
    with(db, name, name, [&](Database& database, const auto& keys) {
      const bool was_live = live(db, name) != nullptr;
      switch (below(4)) {
        case 0:
          expect(was_live ? Cause::deleted : Cause::written, db, name, {});
          REQUIRE(database.write_expired(keys[0]) == was_live);
          return;
        case 1:
          expect(Cause::invalidated, db, name, there(db, name) != nullptr ? std::optional(*there(db, name)) : std::nullopt);
          return database.void_lease(keys[0]);
        default:
          expect_removal(db, name);
          REQUIRE(database.remove(keys[0]) == was_live);
      }
    });
  }

  void set_deadline(unsigned db, const std::string& name) {
    with(db, name, name, [&](Database& database, const auto& keys) {
      if (live(db, name) == nullptr) return;
      Item item = *live(db, name);
      item.expires_at = some_deadline();
      expect(Cause::deadline, db, name, item);
      REQUIRE(database.set_expiry(keys[0], item.expires_at));
    });
  }

  void make_stale(unsigned db, const std::string& name) {
    with(db, name, name, [&](Database& database, const auto& keys) {
      const Item* const item = there(db, name);
      const bool was_live = live(db, name) != nullptr;
      const bool fits = keyspace_.has_room(64 * 1024);
      if (was_live && !fits) return;  // it may go then
      expect(was_live ? Cause::staled : Cause::invalidated, db, name, item != nullptr ? std::optional(*item) : std::nullopt);
      REQUIRE(database.make_stale(keys[0], 1000) == was_live);
    });
  }

  // COPY, MOVE and RENAME.
  void copy(unsigned from, const std::string& name, unsigned to, const std::string& other) {
    if (from == to && name == other) return;
    with(from, name, other, [&](Database& database, const auto& keys) {
      if (live(from, name) == nullptr) return;
      Item item = *live(from, name);
      item.expires_at = below(2) == 0 ? item.expires_at : some_deadline();
      expect(Cause::written, to, other, item);
      Database target(keyspace_, to, now_);
      REQUIRE(target.put(keys[1], *database.find(keys[0], Access::none()), {.expires_at = item.expires_at}));
      if (below(2) == 0) return;
      expect(Cause::deleted, from, name, {});
      REQUIRE(database.remove(keys[0]));
    });
  }

  void purge(unsigned db) {
    auto purge = std::make_shared<Purge>();
    purge->by_prefix = below(2) == 0;
    purge->soft = below(2) == 0;
    purge->at = now_;
    purge->owner = purge_owner<700>();
    purge->names.push_back(purge->by_prefix ? some_name().substr(0, 3 + below(2)) : some_tag());
    if (purge->names[0].empty()) return;
    purge->unswept = 1;
    {
      Keyspace::Locks locks(keyspace_);
      if (!keyspace_.purge(db, purge, locks)) return;
    }
    Purge::swept(purge);
    purges_.push_back(purge);
    for (auto& [name, item] : model_[db]) {
      const bool meant = purge->by_prefix ? name.starts_with(purge->names[0]) : item.tag == purge->names[0];
      if (meant) item.purges.push_back(purge);
    }
  }

  void flush(unsigned db) {
    whole_ = {};
    Keyspace::Locks locks(keyspace_);
    keyspace_.flush(db, locks);
    REQUIRE(whole_[db] == keyspace_.shard_count());
    REQUIRE(whole_[1 - db] == 0);
    model_[db].clear();
  }

  void swap() {
    whole_ = {};
    Keyspace::Locks locks(keyspace_);
    locks.acquire_all();
    keyspace_.swap(0, 1, now_, locks);
    REQUIRE(whole_[0] == keyspace_.shard_count());
    REQUIRE(whole_[1] == keyspace_.shard_count());
    std::swap(model_[0], model_[1]);
  }

  void scan(unsigned db) {
    Keyspace::Locks none(keyspace_);
    Names names;
    std::uint64_t left = 500;
    keyspace_.scan(db, 0, left, now_, none, names);
  }

  void step() {
    const auto db = static_cast<unsigned>(below(databases));
    const std::string name = some_name();
    switch (below(16)) {
      case 0:
        return remove(db, name);
      case 1:
        return set_deadline(db, name);
      case 2:
      case 3:
        return write_into(db, name);
      case 4:
        return copy(db, name, static_cast<unsigned>(below(databases)), some_name());
      case 5:
        return below(3) == 0 ? add_to_list(db, name) : make_stale(db, name);
      case 6:
      case 7:
        return with(db, name, name, [](Database&, const auto&) {});
      case 8:
        if (below(20) == 0) return purge(db);
        if (below(20) == 0) return scan(db);
        if (below(100) == 0) return flush(db);
        if (below(30) == 0) return swap();
        return;
      default:
        return put(db, name);
    }
  }

  std::mt19937_64 random_;
  const toy::Registered registered_;
  Keyspace keyspace_;
  std::vector<std::unique_ptr<Recorder>> recorders_;
  std::array<Model, databases> model_;
  std::deque<Expected> expected_;
  std::array<std::uint64_t, causes> told_{};
  std::array<std::uint64_t, most_types> told_of_{};  // removals, by the type of what was removed
  std::array<unsigned, databases> whole_{};
  std::vector<std::shared_ptr<Purge>> purges_;
  const char* failure_ = nullptr;
  std::string owed_;  // the key whose removal calls for Cause::source_gone
  // Ahead of the clock: what making room takes, it takes as evicted.
  UnixMs now_ = unix_ms() + 1'000'000'000;
};

// Notes who was told, and can look something up when it settles.
struct Listener final : Observer {
  Listener(std::string its_name, std::vector<std::string>& its_log, Changes& changes, Causes wanted)
      : name(std::move(its_name)), log(its_log), subscription(changes, *this, wanted) {}
  void changed(const Change& change) noexcept override {
    log.push_back(name + " " + std::string(change.key.text));
    if (settles) subscription.want_settle();
  }
  void settle() override { log.push_back(name + " settles"); }

  std::string name;
  std::vector<std::string>& log;
  bool settles = false;
  Changes::Subscription subscription;
};

}  // namespace

TEST_CASE("a random history: each change is told once, with its cause, when its bytes are final, and nothing else is told",
          "[one-thread]") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  std::array<std::uint64_t, causes> told{};
  for (unsigned i = 0; i < 3; ++i) {
    ChangeHistory history(seed + i, 1U << i);
    history.run(20'000);
    for (unsigned cause = 0; cause < causes; ++cause) told[cause] += history.told(static_cast<Cause>(cause));
  }
  for (unsigned cause = 0; cause < causes; ++cause) {
    INFO("cause " << cause);
    CHECK(told[cause] > 0);
  }
}

TEST_CASE("observers are told in the order in which they came, of the causes that they want, while they listen") {
  std::vector<std::string> log;
  Keyspace keyspace({.shards = 1});
  Changes& changes = keyspace.changes(0);
  Listener first("first", log, changes, {Cause::written});
  Listener second("second", log, changes, {Cause::written, Cause::deleted});
  const auto write = [&](const std::string& name) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database db(keyspace, 0, unix_ms());
    REQUIRE(db.put(key, "v"));
    REQUIRE(db.remove(key));
  };
  write("nobody");
  CHECK(log.empty());
  CHECK_FALSE(changes.wants(Cause::written));
  second.subscription.listen(true);
  first.subscription.listen(true);
  write("a");
  CHECK(log == std::vector<std::string>{"first a", "second a", "second a"});
  CHECK_FALSE(changes.wants(Cause::expired));
  second.subscription.listen(false);
  log.clear();
  write("b");
  CHECK(log == std::vector<std::string>{"first b"});
  CHECK_FALSE(changes.wants(Cause::deleted));
  {
    Listener third("third", log, changes, {Cause::deleted});
    third.subscription.listen(true);
    log.clear();
    write("c");
    CHECK(log == std::vector<std::string>{"first c", "third c"});
  }
  CHECK_FALSE(changes.wants(Cause::deleted));
}

TEST_CASE("an observer that asks for it settles once before the lock is released, whoever held the lock") {
  std::vector<std::string> log;
  Keyspace keyspace({.shards = 1, .max_memory = 4 * MB});
  Listener listener("it", log, keyspace.changes(0), {Cause::written, Cause::expired, Cause::evicted, Cause::flushed});
  listener.subscription.listen(true);
  listener.settles = true;
  const auto settled = [&] { return std::count(log.begin(), log.end(), "it settles"); };
  const UnixMs now = unix_ms();
  const auto write = [&](const std::string& name, std::size_t size, UnixMs expires_at) {
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    Database db(keyspace, 0, now);
    REQUIRE(db.put(key, std::string(size, 'v'), {.expires_at = expires_at}));
    REQUIRE(db.put(key, std::string(size, 'w'), {.expires_at = expires_at}));
    CHECK_FALSE(settled() != 0);
  };
  write("key", 10, now + 1);
  CHECK(settled() == 1);
  log.clear();
  while (keyspace.background_step(now + 10'000, 10'000)) {
  }
  CHECK(log == std::vector<std::string>{"it key", "it settles"});
  log.clear();
  {
    Keyspace::Locks locks(keyspace);
    locks.acquire_all();
    keyspace.flush(0, locks);
    CHECK(settled() == 0);
  }
  CHECK(settled() == 1);
  for (int i = 0; i < 100; ++i) {
    log.clear();
    write(std::to_string(i), 60'000, 0);
  }
  log.clear();
  REQUIRE(keyspace.make_room(2 * MB));
  CHECK(std::count(log.begin(), log.end(), "it settles") > 0);
  CHECK(log.back() == "it settles");
}

TEST_CASE("observers are told the time of an eviction, also while expiry is suspended") {
  struct Timed final : Observer {
    explicit Timed(Changes& changes) : subscription(changes, *this, {Cause::evicted}) { subscription.listen(true); }
    void changed(const Change& change) noexcept override { times.insert(change.now); }
    std::set<UnixMs> times;
    Changes::Subscription subscription;
  };
  Keyspace keyspace({.shards = 1, .max_memory = 8 * MB});
  Timed observer(keyspace.changes(0));
  keyspace.keep_expired(monotonic_ms() + 1'000'000);
  REQUIRE(keyspace.keeps_expired());
  const UnixMs before = unix_ms();
  for (int i = 0; i < 200; ++i) {
    REQUIRE(keyspace.make_room(60'000));
    const std::string name = std::to_string(i);
    const Key key = keyspace.key(name);
    Keyspace::Locks locks(keyspace);
    locks.acquire(key);
    REQUIRE(Database(keyspace, 0, before).put(key, std::string(60'000, 'v')));
  }
  REQUIRE_FALSE(observer.times.empty());
  CHECK(*observer.times.begin() >= before);
  CHECK(*observer.times.rbegin() <= unix_ms());
  observer.times.clear();
  keyspace.set_max_memory(4 * MB);
  const UnixMs now = before + 1'000'000;
  while (keyspace.background_step(now, 100'000)) {
  }
  CHECK(observer.times == std::set<UnixMs>{now});
}

TEST_CASE("what is written is told when the bytes are there, also by a handle that was passed on") {
  std::vector<std::string> log;
  Keyspace keyspace({.shards = 1});
  Listener listener("it", log, keyspace.changes(0), {Cause::written, Cause::grown});
  listener.subscription.listen(true);
  const Key key = keyspace.key("key");
  Keyspace::Locks locks(keyspace);
  locks.acquire(key);
  Database db(keyspace, 0, unix_ms());
  {
    Writing writing = db.resize(key, 4);
    Writing other = std::move(writing);
    CHECK(log.empty());
    Writing third;
    third = std::move(other);
    CHECK(log.empty());
  }
  CHECK(log == std::vector<std::string>{"it key"});
  {
    Writing writing = db.resize(key, 5, false);
    CHECK(writing);
  }
  CHECK(log.size() == 1);
  {
    Writing writing = db.resize(key, 6, false);
    writing.set_cause(Cause::grown);
    CHECK(log.size() == 1);
  }
  CHECK(log.size() == 2);
}
