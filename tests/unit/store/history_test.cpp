// Random histories of a keyspace at its limit, with strings and values of another type, against plain maps. Whatever
// happens to the log (overwrites, evictions, changes of the policy, compactions, shared blocks), what is present equals
// the map's value, what is missing was evicted or has expired and was counted, and a recount of everything equals the
// account of memory.

#include <algorithm>
#include <array>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "support/seed.hpp"
#include "support/toy_type.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/entry.hpp"
#include "pinfold/store/keyspace.hpp"
#ifdef PINFOLD_FAULTS
#include "faults.hpp"
#endif

using namespace pinfold;
using namespace pinfold::store;
using eviction::Kind;

namespace {

// The chance that an allocation fails while the store is at work; the test's own do not.
class Failures {
 public:
  explicit Failures(double chance, std::uint64_t seed) : chance_(chance) {
#ifdef PINFOLD_FAULTS
    schedule_.kinds = faults::heap | faults::mapping;
    schedule_.seed = seed;
    faults::follow(&schedule_);
#else
    static_cast<void>(seed);
#endif
  }
#ifdef PINFOLD_FAULTS
  ~Failures() { faults::follow(nullptr); }
  void on() { schedule_.chance = static_cast<std::uint32_t>(chance_ * 4294967295.0); }
  void off() { schedule_.chance = 0; }
  std::uint64_t count() const { return schedule_.failed; }
#else
  void on() {}
  void off() {}
  std::uint64_t count() const { return 0; }
#endif
  bool possible() const { return chance_ > 0; }
  /// What `work` returns, or `otherwise` if memory could not be had.
  template <class Work>
  auto during(Work&& work, decltype(work()) otherwise) {
    on();
    try {
      auto result = work();
      off();
      return result;
    } catch (const std::bad_alloc&) {
      off();
      return otherwise;
    }
  }

 private:
  double chance_;
#ifdef PINFOLD_FAULTS
  faults::Schedule schedule_{};
#endif
};

constexpr std::uint64_t MB = 1 << 20;
constexpr unsigned databases = 2;

class History {
 public:
  History(std::uint64_t seed, Kind kind, unsigned shards, std::uint64_t limit, double failures = 0)
      : failures_(failures, seed),
        random_(seed),
        keyspace_({.shards = shards, .max_memory = limit, .policy = kind}),
        bytes_(3 * MB, '\0'),
        allowed_(limit) {
    for (std::size_t i = 0; i + sizeof(std::uint64_t) <= bytes_.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t word = random_();
      std::memcpy(bytes_.data() + i, &word, sizeof word);
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      check_limit();
      if (below(64) == 0) now_ += static_cast<UnixMs>(below(300));
      if (below(256) == 0) background();
      if (below(2500) == 0) change_settings();
      if (below(5000) == 0) audit();
    }
    finish();
  }
  std::uint64_t failures() const { return failures_.count(); }

 private:
  struct Expected {
    std::string text;
    UnixMs expires_at;
    bool typed = false;  // a list of pieces of the text (support/toy_type.hpp)
  };
  using Model = std::unordered_map<std::string, Expected>;

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  // Catch's own assertions take longer than the steps.
  static void require(bool holds, const char* what) {
    if (!holds) FAIL(what);
  }

  // Around every border: of what is overwritten in place, of inline entries, of pages, of mappings.
  std::size_t some_size() {
    switch (below(64)) {
      case 0:
        return below(40) == 0 ? BlockHeap::own_mapping - 100 + below(MB / 2) : 100'000 + below(100'000);
      case 1:
      case 2:
        return 17'000 + below(40'000);
      case 3:
      case 4:
      case 5:
      case 6:
        return max_inline_entry - 60 + below(120);
      case 7:
      case 8:
        return 1000 + below(15'000);
      default:
        return below(300);
    }
  }
  std::string some_text(std::size_t size) { return bytes_.substr(below(bytes_.size() - size), size); }
  std::string some_name() {
    const std::uint64_t n = below(failures_.possible() && below(2) == 0 ? 50'000 : 4000);  // an index that grows asks for memory
    std::string name = std::to_string(n);
    if (n % 499 == 0) return name.append(70'000, 'l');
    if (n % 97 == 0) return name.append(max_inline_key - name.size() - 2 + n % 5, 'k');
    if (n % 89 == 0) return name.append(254 - name.size() + n % 4, 'm');
    return name;
  }
  UnixMs some_deadline() { return below(3) == 0 ? now_ + 1 + static_cast<UnixMs>(below(below(8) == 0 ? 1'000'000 : 4000)) : 0; }

  bool make_room(std::uint64_t bytes, Room* room = nullptr) {
    return failures_.during([&] { return keyspace_.make_room(bytes, room); }, false);
  }

  // Runs `action` with the shards of the names locked, as dispatch does.
  template <class Action>
  auto with(unsigned db, std::initializer_list<const std::string*> names, Action&& action) {
    std::vector<Key> keys;
    for (const std::string* name : names) keys.push_back(keyspace_.key(*name));
    Keyspace::Locks locks(keyspace_);
    locks.acquire(keys);
    Database database(keyspace_, db, now_, true, {.bounded = true});
    return action(database, keys);
  }

  // Looks the key up and sees to it that map and store agree about it; whether it is there.
  bool meet(unsigned db, const std::string& name) {
    const auto found = model_[db].find(name);
    const bool present = with(db, {&name}, [&](Database& database, const auto& keys) {
      const auto value = database.find(keys[0], below(2) == 0 ? Access::read().of_any_type() : Access::none());
      if (!value) return false;
      require(found != model_[db].end(), "a key that was never written");
      require(value->is_string() != found->second.typed, "another type than the one written last");
      const bool chained = found->second.typed && value->handle();
      require((chained ? toy::text_of(value->handle()) : value->text) == found->second.text, "another value than the one written last");
      require(value->expires_at == found->second.expires_at, "another deadline than the one set last");
      require(value->expires_at == 0 || value->expires_at > now_, "an entry beyond its deadline");
      return true;
    });
    if (!present && found != model_[db].end()) {
      const bool expired = found->second.expires_at != 0 && found->second.expires_at <= now_;
      ++(expired ? gone_in_time_ : gone_early_);
      model_[db].erase(found);
    }
    return present;
  }
  void meet_all() {
    for (unsigned db = 0; db < databases; ++db) {
      std::vector<std::string> names;
      for (const auto& [name, value] : model_[db]) names.push_back(name);
      for (const std::string& name : names) meet(db, name);
    }
  }

  // As dispatch: what was refused for want of room is tried once more when that has been made.
  void attempt(const std::function<Stored()>& action) {
    const Stored stored = action();
    if (stored) return;
    require(stored.needs_room() || failures_.possible(), "no memory from the system");
    Room room;
    if (stored.needs_room() && make_room(stored.bytes(), &room)) std::ignore = action();
  }

  void write(unsigned db, const std::string& name) {
    const std::string text = some_text(some_size());
    if (!make_room(name.size() + text.size() + 200)) return;
    const bool present = meet(db, name);  // making room may have taken it
    const PutOptions options{.expires_at = some_deadline(), .keep_expiry = below(4) == 0};
    const bool as_block = text.size() >= 16'000 && below(2) == 0;
    if (below(4) == 0) return write_typed(db, name, text, options, present);
    const Stored done = with(db, {&name}, [&](Database& database, const auto& keys) {
      Blob block;
      if (as_block) block = Blob::copy_of(keyspace_.memory().heap(), text);
      return failures_.during(
          [&] { return block ? database.put(keys[0], std::move(block), options) : database.put(keys[0], text, options); },
          Stored::no_memory);
    });
    require(static_cast<bool>(done) || failures_.possible(), "no memory from the system");
    if (!done) return;
    Expected& expected = model_[db][name];
    if (!present || !options.keep_expiry) expected.expires_at = options.expires_at;
    expected.text = text;
    expected.typed = false;
  }

  void write_typed(unsigned db, const std::string& name, const std::string& text, const PutOptions& options, bool present) {
    std::vector<std::string> pieces;
    const std::size_t piece = text.size() > 20'000 ? 100'000 : 1000;
    for (std::size_t at = 0; at < text.size(); at += piece) pieces.push_back(text.substr(at, piece));
    const bool packed = text.size() <= TypedValue::most_packed && below(2) == 0;
    const bool done = with(db, {&name}, [&](Database& database, const auto& keys) {
      return failures_.during(
          [&] {
            TypedValue value{toy::packed, text, {}};
            if (!packed) value = {toy::chained, {}, toy::make(keyspace_.memory().heap(), pieces)};
            return (packed || value.outside) && static_cast<bool>(database.put(keys[0], std::move(value), options));
          },
          false);
    });
    require(done || failures_.possible(), "no memory from the system");
    if (!done) return;
    Expected& expected = model_[db][name];
    if (!present || !options.keep_expiry) expected.expires_at = options.expires_at;
    expected.text = text;
    expected.typed = true;
  }

  void remove(unsigned db, const std::string& name) {
    const bool present = meet(db, name);
    const bool removed =
        with(db, {&name}, [&](Database& d, const auto& k) { return failures_.during([&] { return d.remove(k[0]); }, !present); });
    require(removed == present, "removed what was not there, or not what was");
    model_[db].erase(name);
  }

  void set_deadline(unsigned db, const std::string& name) {
    if (!meet(db, name)) return;
    const UnixMs at = some_deadline();
    const Stored done = with(db, {&name}, [&](Database& d, const auto& k) {
      return failures_.during([&] { return d.set_expiry(k[0], at); }, Stored::no_memory);
    });
    require(static_cast<bool>(done) || failures_.possible(), "no memory from the system");
    if (done) model_[db][name].expires_at = at;
  }

  // Grows a value as SETRANGE and APPEND do, or cuts it.
  void resize(unsigned db, const std::string& name) {
    if (!make_room(name.size() + 200)) return;
    const bool cut = below(4) == 0;
    const std::size_t more = below(8) * some_size() / 4;
    attempt([&] {
      Expected now{.text = {}, .expires_at = 0};
      if (meet(db, name)) now = model_[db][name];
      if (now.typed) return Stored::done;
      const std::size_t size = cut ? now.text.size() / 3 : std::min(now.text.size() + more, 2 * MB);
      return with(db, {&name}, [&](Database& database, const auto& keys) {
        const Writing writing = failures_.during([&] { return database.resize(keys[0], size); }, Writing(Stored::no_memory));
        if (!writing) return writing.stored();
        char* const bytes = writing.data();
        now.text.resize(size, '\0');
        require(std::string_view(bytes, size) == now.text, "a resized value lost bytes, or is not filled up with zeros");
        if (size > 0) bytes[size - 1] = now.text[size - 1] = 'r';
        model_[db][name] = now;
        return Stored::done;
      });
    });
  }

  // Blocks are shared by the copies until one of them is changed.
  void copy(unsigned from, const std::string& name, unsigned to, const std::string& other) {
    if ((from == to && name == other) || !make_room(name.size() + other.size() + 200)) return;
    const PutOptions options{.expires_at = some_deadline()};
    attempt([&] {
      meet(to, other);
      if (!meet(from, name)) return Stored::done;
      return with(from, {&name, &other}, [&](Database& database, const auto& keys) {
        const auto value = database.find(keys[0], Access::none());
        const Expected same{model_[from][name].text, options.expires_at, model_[from][name].typed};
        Database target(keyspace_, to, now_, true, {.bounded = true});
        const Stored stored = failures_.during([&] { return target.put(keys[1], *value, options); }, Stored::no_memory);
        if (stored) model_[to][other] = same;
        return stored;
      });
    });
  }

  // COPY onto what is a copy already, and RENAME, which copies and then removes. The blocks on both sides may be the same.
  void copy_again(unsigned from, const std::string& name, unsigned to, const std::string& other) {
    copy(from, name, to, other);
    if (from == to && name == other) return;
    copy(from, name, to, other);
    if (below(2) == 0) copy(to, other, from, name);
    if (below(2) == 0) remove(from, name);
  }

  // A reader that holds a value while it is overwritten or evicted.
  void hold(unsigned db, const std::string& name) {
    if (!meet(db, name)) return;
    with(db, {&name}, [&](Database& database, const auto& keys) {
      const auto value = database.find(keys[0], Access::read().of_any_type());
      if (value->is_block()) held_.push_back({value->share(), std::string(value->text)});
    });
    if (held_.size() > 3) release_held();
  }
  void release_held() {
    for (const auto& [blob, text] : held_) require(blob.view() == text, "a value changed under its reader");
    held_.clear();
  }

  void step() {
    const auto db = static_cast<unsigned>(below(databases));
    const std::string name = some_name();
    switch (below(16)) {
      case 0:
      case 1:
        return remove(db, name);
      case 2:
      case 3:
        return set_deadline(db, name);
      case 4:
      case 5:
        return resize(db, name);
      case 6:
        return copy_again(db, name, static_cast<unsigned>(below(databases)), some_name());
      case 7:
        return hold(db, name);
      case 8:
      case 9:
      case 10:
        return void(meet(db, name));
      default:
        return write(db, name);
    }
  }

  void change_settings() {
    meet_all();
    Keyspace::Locks locks(keyspace_);
    switch (below(8)) {
      case 0: {
        const auto db = static_cast<unsigned>(below(databases));
        keyspace_.flush(db, locks);
        model_[db].clear();
        return;
      }
      case 1:
        locks.acquire_all();
        keyspace_.swap(0, 1, now_, locks);
        std::swap(model_[0], model_[1]);
        return;
      case 2:
      case 3:
        keyspace_.set_max_memory(2 * MB + below(12) * MB);
        allowed_ = std::max(keyspace_.memory().limit(), keyspace_.memory().data());
        return;
      default:
        keyspace_.set_policy(static_cast<Kind>(below(eviction::kind_names.size())));
    }
  }

  // A limit that was lowered is in force for what is there at once, and for everything as far as it has been reached.
  void background() {
    if (below(16) == 0) erasure_ = keyspace_.erase();
    failures_.during([&] { return keyspace_.background_step(now_, 2000); }, false);
    allowed_ = std::max(keyspace_.memory().limit(), std::min(allowed_, keyspace_.memory().data()));
  }
  void check_limit() {
    // What needs no room may still move an entry to a new segment: one of each queue, in each shard and database.
    const std::uint64_t slack = segment_slack_ * keyspace_.shard_count() * databases;
    if (keyspace_.memory().data() <= allowed_ + slack) return;
    FAIL(keyspace_.memory().data() << " bytes where " << allowed_ << " are allowed");
  }

  void audit() {
    release_held();
    // What was freed is in the account until it is given back, for which the background may not have had the time yet.
    while (keyspace_.memory().heap().give_back(SIZE_MAX)) {
    }
    const Memory& memory = keyspace_.memory();
    const KeyspaceAudit recount = keyspace_.audit();
    CHECK(recount.consistent);
    CHECK(recount.readers == 0);
    CHECK(recount.segments == memory.used(Use::segments));
    CHECK(recount.index == memory.used(Use::index));
    CHECK(recount.blobs == memory.used(Use::blobs));
    CHECK(recount.ghosts == memory.used(Use::ghosts));
    REQUIRE(recount.segments + recount.index + recount.blobs + recount.ghosts == memory.used());
  }

  void finish() {
    meet_all();
    audit();
    const KeyspaceStats stats = keyspace_.stats();
    CHECK(stats.evicted + stats.expired == gone_early_ + gone_in_time_);
    CHECK(stats.evicted >= gone_early_);
    Keyspace::Locks none(keyspace_);
    for (unsigned db = 0; db < databases; ++db) CHECK(keyspace_.size(db, none) == model_[db].size());
    for (unsigned db = 0; db < databases; ++db) keyspace_.flush(db, none);
    while (keyspace_.background_step(now_, 100'000)) {
    }
    CHECK(keyspace_.memory().used() == 0);
    CHECK(toy::figures.blocks == 0);
    CHECK(keyspace_.erased(erasure_));
  }

  static constexpr std::uint64_t segment_slack_ = 3 * 64 * 1024;

  const toy::Registered registered_;
  Failures failures_;
  std::uint64_t erasure_ = 0;  // that was asked for last
  std::mt19937_64 random_;
  Keyspace keyspace_;
  std::string bytes_;  // what values are cut from
  std::array<Model, databases> model_;
  std::vector<std::pair<Blob, std::string>> held_;
  std::uint64_t gone_early_ = 0;
  std::uint64_t gone_in_time_ = 0;
  std::uint64_t allowed_;
  // Ahead of the clock: what making room takes, it takes as evicted.
  UnixMs now_ = unix_ms() + 1'000'000'000;
};

}  // namespace

#ifdef PINFOLD_FAULTS
TEST_CASE("a random history while memory is refused now and then: what fails changes nothing, and the accounts add up") {
  const std::uint64_t seed = test_seed();
  std::uint64_t failures = 0;
  for (const double chance : {0.05, 0.3, 0.9}) {
    for (const Kind kind : {Kind::allkeys_lfu, Kind::volatile_ttl, Kind::noeviction}) {
      INFO(seed_note(seed) << ", begun under " << eviction::name_of(kind) << ", failures " << chance);
      History history(seed + failures, kind, 8, 4 * MB, chance);
      history.run(8000);
      failures += history.failures();
    }
  }
  CHECK(failures > 100);
}
#endif

TEST_CASE("a random history at the limit equals plain maps under every policy, and a recount equals the account", "[one-thread]") {
  const std::uint64_t seed = test_seed();
  for (unsigned kind = 0; kind < eviction::kind_names.size(); ++kind) {
    INFO(seed_note(seed) << ", begun under " << eviction::kind_names[kind]);
    History(seed + kind, static_cast<Kind>(kind), 1U << (seed + kind) % 3, 4 * MB).run(12'000);
  }
}
