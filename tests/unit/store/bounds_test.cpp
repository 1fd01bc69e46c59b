// What the background and whoever makes room do in one hold of a shard's lock, counted, over data of every kind: never more than
// the budget, however the entries lie.

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/purge_owner.hpp"
#include "support/seed.hpp"
#include "support/toy_type.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

constexpr std::uint64_t MB = 1 << 20;

class Rig {
 public:
  Rig(std::uint64_t seed, eviction::Kind kind, std::uint64_t limit)
      : random_(seed), keyspace_({.shards = 2, .max_memory = limit, .policy = kind}) {
    keyspace_.lock_watch().set_accounting(true);
  }

  /// Entries of `most_value` bytes at most, some under large names, with tags, deadlines and stale windows. Ends early where nothing
  /// can go any more.
  void fill(std::size_t count, std::size_t most_value) {
    refused_ = 0;
    for (std::size_t i = 0; i < count && refused_ < 100; ++i) put(some_name(below(count)), std::string(below(most_value), 'v'));
  }
  void put(const std::string& name, const std::string& value) {
    const std::string tags[] = {"even", "odd"};
    const std::string_view tag = tags[name.size() % 2];
    Extra extra;
    extra.stale_ms = below(4) == 0 ? 1000 : 0;
    std::string written;
    if (below(3) == 0) extra.tags = written_tag(tag, written);
    const PutOptions options{
        .expires_at = below(3) == 0 ? now_ + 1 + static_cast<UnixMs>(below(100'000)) : 0, .keep_expiry = false, .extra = &extra};
    refused_ = keyspace_.make_room(name.size() + value.size() + 200) ? 0 : refused_ + 1;
    const HoldCause cause("request");
    const Key key = keyspace_.key(name);
    Keyspace::Locks locks(keyspace_);
    locks.acquire(key);
    Database db(keyspace_, below(8) == 0 ? 1 : 0, now_);
    if (below(3) == 0) {
      REQUIRE(db.put(key, some_list(value), options));
    } else {
      REQUIRE(db.put(key, value, options));
    }
  }
  void remove_some(std::size_t count, std::size_t of) {
    const HoldCause cause("request");
    for (std::size_t i = 0; i < count; ++i) {
      const std::string name = some_name(below(of));
      const Key key = keyspace_.key(name);
      Keyspace::Locks locks(keyspace_);
      locks.acquire(key);
      Database(keyspace_, 0, now_).remove(key);
    }
  }
  void purge(bool by_prefix, bool soft) {
    const HoldCause cause("request");
    auto purge = std::make_shared<Purge>();
    purge->by_prefix = by_prefix;
    purge->names = {by_prefix ? "1" : "even"};
    purge->soft = soft;
    purge->owner = purge_owner<1000>();
    purge->at = now_;
    Keyspace::Locks none(keyspace_);
    keyspace_.purge(0, purge, none);
  }
  void pass(UnixMs ms) { now_ += ms; }
  void settle() {
    for (int i = 0; keyspace_.background_step(now_, 100'000); ++i) REQUIRE(i < 100'000);
  }
  Keyspace& keyspace() { return keyspace_; }

  /// No hold but those of requests was beyond the budget; `cause` was there.
  void expect_bounded(std::string_view cause) {
    bool met = false;
    for (const auto& [name, account] : keyspace_.lock_watch().account.causes()) {
      if (name == "request" || name == "other") continue;
      INFO(name << ": " << account.most.entries << " entries, " << account.most.bytes << " bytes, " << account.most.system_calls
                << " system calls, " << account.over << " of " << account.holds << " holds over");
      met |= name == cause;
      CHECK(account.most.entries <= 512);
      CHECK(account.most.bytes <= 256 * 1024);
      CHECK(account.most.nodes <= 512);
      CHECK(account.most.system_calls == 0);
    }
    CHECK(met);
    CHECK(keyspace_.audit().consistent);
  }
  /// How many entries were visited at most in a hold for `cause`: none means that nobody counted.
  std::uint64_t most_entries(std::string_view cause) {
    for (const auto& [name, account] : keyspace_.lock_watch().account.causes()) {
      if (name == cause) return account.most.entries;
    }
    return 0;
  }

 private:
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : random_() % n; }
  static std::string some_name(std::uint64_t n) {
    std::string name = std::to_string(n);
    if (n % 401 == 0) return name.append(70'000, 'l');
    if (n % 53 == 0) return name.append(1900, 'k');
    return name;
  }
  // A list of the bytes of `value`, in the log or as a chain of up to 40 elements.
  TypedValue some_list(const std::string& value) {
    if (below(4) == 0 && value.size() <= TypedValue::most_packed) return {toy::packed, value, {}};
    std::vector<std::string> texts(below(40) + 1, "element");
    texts.back() = value;
    return {toy::chained, {}, toy::make(keyspace_.memory().heap(), texts)};
  }
  static std::string_view written_tag(std::string_view tag, std::string& to) {
    to.assign(1, static_cast<char>(tag.size()));
    return to.append(tag);
  }

  std::mt19937_64 random_;
  const toy::Registered registered_;
  Keyspace keyspace_;
  UnixMs now_ = unix_ms() + 1'000'000'000;
  unsigned refused_ = 0;  // one after the other
};

}  // namespace

TEST_CASE("a hold that makes room stays within the budget, with tiny entries and large values", "[one-thread]") {
  const std::uint64_t seed = test_seed();
  for (unsigned kind = 0; kind < eviction::kind_names.size(); ++kind) {
    INFO(seed_note(seed) << ", " << eviction::kind_names[kind]);
    Rig rig(seed, static_cast<eviction::Kind>(kind), 4 * MB);
    rig.fill(60'000, 8);
    rig.fill(2'000, 30'000);
    rig.fill(20'000, 40);
    if (static_cast<eviction::Kind>(kind) == eviction::Kind::noeviction) continue;
    rig.expect_bounded("evict");
    CHECK(rig.most_entries("evict") > 100);
  }
}

TEST_CASE("each job of the background stays within the budget", "[one-thread]") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  Rig rig(seed, eviction::Kind::allkeys_lfu, 0);
  SECTION("expiry") {
    rig.fill(50'000, 60);
    rig.fill(1'000, 40'000);
    rig.pass(200'000);
    rig.settle();
    rig.expect_bounded("expire");
    CHECK(rig.most_entries("expire") > 100);
  }
  SECTION("compaction") {
    rig.fill(50'000, 60);
    rig.remove_some(60'000, 50'000);
    rig.settle();
    rig.expect_bounded("compact");
    CHECK(rig.most_entries("compact") > 100);
  }
  SECTION("purges") {
    rig.fill(50'000, 60);
    rig.fill(1'000, 40'000);
    rig.purge(true, false);
    rig.settle();
    rig.purge(false, true);
    rig.settle();
    rig.purge(false, false);
    rig.settle();
    rig.expect_bounded("sweep-purges");
    CHECK(rig.most_entries("sweep-purges") > 100);
  }
  SECTION("erasure") {
    rig.fill(50'000, 60);
    rig.fill(1'000, 40'000);
    rig.remove_some(20'000, 50'000);
    const std::uint64_t erasure = rig.keyspace().erase();
    rig.settle();
    CHECK(rig.keyspace().erased(erasure));
    rig.expect_bounded("erase");
    CHECK(rig.most_entries("erase") > 100);
  }
  SECTION("a lowered limit") {
    rig.fill(100'000, 60);
    rig.fill(1'000, 40'000);
    rig.keyspace().set_max_memory(rig.keyspace().memory().data() / 2);
    rig.settle();
    rig.expect_bounded("lower-memory");
    CHECK_FALSE(rig.keyspace().memory().over_limit());
  }
}
