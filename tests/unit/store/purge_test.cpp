// Entries with tags, stale windows and negative ones under random writes, purges, sweeps, evictions and compactions,
// against a plain map that does what a purge means: everything at once.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "support/purge_owner.hpp"
#include "support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/store/keyspace.hpp"
#include "pinfold/store/purges.hpp"
#include "pinfold/store/walk.hpp"

using namespace pinfold;
using namespace pinfold::store;

namespace {

std::string encoded(const std::set<std::string>& tags) {
  std::string text;
  for (const std::string& tag : tags) text += static_cast<char>(tag.size()) + tag;
  return text;
}

class PurgeHistory {
 public:
  explicit PurgeHistory(std::uint64_t seed, unsigned shards) : random_(seed), keyspace_({.shards = shards}) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      if (below(40) == 0) now_ += static_cast<UnixMs>(below(200));
      if (below(50) == 0) keyspace_.background_step(now_, 200);
      if (below(1000) == 0) keyspace_.erase();
      if (below(1500) == 0) check_all();
    }
    check_all();
    while (keyspace_.background_step(now_, 100000)) {
    }
    for (const auto& purge : purges_) REQUIRE(purge->unswept == 0);
    REQUIRE(keyspace_.memory().used(Use::coalescing) == 0);
    check_all();
    const KeyspaceAudit recount = keyspace_.audit();
    REQUIRE(recount.consistent);
    REQUIRE(recount.segments + recount.index + recount.blobs + recount.ghosts == keyspace_.memory().used());
  }

 private:
  struct Expected {
    std::string text;
    std::set<std::string> tags;
    UnixMs expires_at = 0;
    std::uint32_t stale_ms = 0;
    bool absent = false;
    UnixMs gone_at() const { return expires_at == 0 ? 0 : expires_at + stale_ms; }
  };

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  std::string some_key() { return std::string(1, static_cast<char>('a' + below(4))) + ":" + std::to_string(below(300)); }
  std::set<std::string> some_tags() {
    std::set<std::string> tags;
    for (std::uint64_t n = below(4); n > 0; --n) tags.insert("t" + std::to_string(below(20)));
    return tags;
  }

  template <class Action>
  auto with(const std::string& name, Action&& action) {
    const Key key = keyspace_.key(name);
    Keyspace::Locks locks(keyspace_);
    locks.acquire(key);
    Database db(keyspace_, 0, now_);
    return action(db, key);
  }

  void forget_gone(const std::string& name) {
    const auto found = model_.find(name);
    if (found != model_.end() && found->second.gone_at() != 0 && found->second.gone_at() <= now_) model_.erase(found);
  }

  void put() {
    const std::string name = some_key();
    Expected value{std::string(below(12) == 0 ? 17'000 + below(9000) : below(300), static_cast<char>('a' + below(26))), some_tags()};
    if (below(3) == 0) value.expires_at = now_ + 1 + static_cast<UnixMs>(below(2000));
    if (below(3) == 0) value.stale_ms = static_cast<std::uint32_t>(below(1500));
    if (below(8) == 0) {
      value.absent = true;
      value.text.clear();
    }
    const std::string tags = encoded(value.tags);
    Extra extra;
    extra.tags = tags;
    extra.stale_ms = value.stale_ms;
    PutOptions how{.expires_at = value.expires_at, .absent = value.absent, .extra = &extra};
    if (below(4) == 0 && !value.absent) {  // as a plain SET
      how.extra = nullptr;
      value.tags.clear();
      value.stale_ms = 0;
    }
    REQUIRE(with(name, [&](Database& db, const Key& key) { return db.put(key, value.text, how); }));
    model_[name] = value;
  }

  void purge() {
    auto purge = std::make_shared<Purge>();
    purge->by_prefix = below(2) == 0;
    purge->soft = below(3) == 0;
    purge->wipe = below(4) == 0;
    purge->at = now_;
    purge->owner = purge_owner<700>();
    if (purge->by_prefix) {
      purge->names.push_back(some_key().substr(0, 2 + below(3)));
    } else {
      for (const std::string& tag : some_tags()) purge->names.push_back(tag);
      if (purge->names.empty()) purge->names.emplace_back("t0");
    }
    std::sort(purge->names.begin(), purge->names.end());
    {
      // As cache::Cache does: a purge that meets no entry is over all the same.
      purge->unswept = 1;
      Keyspace::Locks locks(keyspace_);
      if (!keyspace_.purge(0, purge, locks)) return;
    }
    Purge::swept(purge);
    purges_.push_back(purge);
    for (auto at = model_.begin(); at != model_.end();) {
      forget_gone_at(at);
      if (at == model_.end()) break;
      Expected& value = at->second;
      bool meant = false;
      for (const std::string& name : purge->names) {
        meant |= purge->by_prefix ? at->first.starts_with(name) : value.tags.count(name) > 0;
      }
      const bool live = !value.absent && (value.expires_at == 0 || value.expires_at > now_);
      if (!meant) {
        ++at;
      } else if (!purge->soft || value.absent) {
        at = model_.erase(at);
      } else {
        if (live) {
          value.stale_ms = value.expires_at == 0 ? 700 : static_cast<std::uint32_t>(value.gone_at() - now_);
          value.expires_at = now_;
        }
        ++at;
      }
    }
  }

  void forget_gone_at(std::map<std::string, Expected>::iterator& at) {
    while (at != model_.end() && at->second.gone_at() != 0 && at->second.gone_at() <= now_) at = model_.erase(at);
  }

  void remove() {
    const std::string name = some_key();
    forget_gone(name);
    const auto found = model_.find(name);
    const bool live = found != model_.end() && !found->second.absent && (found->second.expires_at == 0 || found->second.expires_at > now_);
    REQUIRE(with(name, [&](Database& db, const Key& key) { return db.remove(key); }) == live);
    if (found != model_.end()) model_.erase(found);
  }

  void append() {
    const std::string name = some_key();
    forget_gone(name);
    auto found = model_.find(name);
    const bool live = found != model_.end() && !found->second.absent && (found->second.expires_at == 0 || found->second.expires_at > now_);
    const std::size_t before = live ? found->second.text.size() : 0;
    with(name, [&](Database& db, const Key& key) {
      const Writing writing = db.resize(key, before + 3);
      REQUIRE(writing);
      std::memcpy(writing.data() + before, "end", 3);
      return 0;
    });
    if (!live) {
      model_[name] = {"end", {}};
    } else {
      found->second.text += "end";
    }
  }

  void check(const std::string& name) {
    forget_gone(name);
    const auto found = model_.find(name);
    with(name, [&](Database& db, const Key& key) {
      const auto any = db.find_any(key, Access::read());
      REQUIRE(any.has_value() == (found != model_.end()));
      const auto plain = db.find(key, Access::look());
      if (!any) {
        REQUIRE_FALSE(plain);
        return 0;
      }
      const Expected& value = found->second;
      const bool live = !value.absent && (value.expires_at == 0 || value.expires_at > now_);
      REQUIRE(plain.has_value() == live);
      REQUIRE(any->text == value.text);
      REQUIRE(any->absent == value.absent);
      REQUIRE(any->gone_at() == value.gone_at());
      const Extra extra = any->extra != nullptr ? Extra::read(any->extra) : Extra{};
      // Since when one is stale that a purge made so is the store's to say.
      if (value.expires_at == 0 || value.expires_at > now_) {
        REQUIRE(any->expires_at == value.expires_at);
        REQUIRE(extra.stale_ms == value.stale_ms);
      }
      REQUIRE(extra.tags == encoded(value.tags));
      return 0;
    });
  }

  void check_all() {
    std::set<std::string> names;
    for (const auto& [name, value] : model_) names.insert(name);
    for (int i = 0; i < 100; ++i) names.insert(some_key());
    for (const std::string& name : names) check(name);
    std::set<std::string> seen;
    Keyspace::Locks none(keyspace_);
    std::uint64_t cursor = 0;
    Names found;
    do {
      std::uint64_t left = 50;
      cursor = keyspace_.scan(0, cursor, left, now_, none, found);
      for (std::size_t i = 0; i < found.size(); ++i) seen.emplace(found[i]);
    } while (cursor != 0);
    std::set<std::string> live;
    for (const auto& [name, value] : model_) {
      if (!value.absent && (value.expires_at == 0 || value.expires_at > now_)) live.insert(name);
    }
    REQUIRE(seen == live);
  }

  void step() {
    switch (below(16)) {
      case 0:
        return remove();
      case 1:
        return append();
      case 2:
        return below(6) == 0 ? purge() : check(some_key());
      case 3:
      case 4:
      case 5:
        return check(some_key());
      default:
        return put();
    }
  }

  std::mt19937_64 random_;
  Keyspace keyspace_;
  UnixMs now_ = 1'000'000;
  std::map<std::string, Expected> model_;
  std::vector<std::shared_ptr<Purge>> purges_;
};

}  // namespace

TEST_CASE("whatever is written, purged and swept, every reader sees what a purge that takes everything at once would leave") {
  for (const unsigned shards : {1U, 4U}) {
    const std::uint64_t seed = test_seed();
    INFO("seed " << seed << ", shards " << shards);
    PurgeHistory(seed, shards).run(30'000);
  }
}

TEST_CASE("what an entry carries beside its value is read as it was written") {
  std::mt19937_64 random(1);
  for (int i = 0; i < 64; ++i) {
    Extra extra;
    if (i & 1) extra.stale_ms = static_cast<std::uint32_t>(random());
    if (i & 2) extra.version = random();
    if (i & 4) extra.load_ms = static_cast<std::uint32_t>(random());
    if (i & 8) extra.written = static_cast<std::uint32_t>(random());
    if (i & 16) extra.policy = 200;
    const std::string tags = i & 32 ? encoded({"a", std::string(255, 'b'), "c"}) : "";
    extra.tags = tags;
    if (i == 0) {
      CHECK(extra.size() == 0);
      continue;
    }
    ExtraBuffer bytes;
    extra.write(bytes.data());
    REQUIRE(Extra::size_at(bytes.data()) == extra.size());
    const Extra read = Extra::read(bytes.data());
    CHECK(read.stale_ms == extra.stale_ms);
    CHECK(Extra::stale_at(bytes.data()) == extra.stale_ms);
    CHECK(read.version == extra.version);
    CHECK(read.load_ms == extra.load_ms);
    CHECK(read.written == extra.written);
    CHECK(read.policy == extra.policy);
    CHECK(read.tags == tags);
  }
}
