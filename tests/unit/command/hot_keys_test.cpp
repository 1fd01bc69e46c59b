// The sampling of accesses, the search for hot keys and the estimate of how concentrated the traffic is, against exact counts. Time is
// simulated.

#include "pinfold/command/hot_keys.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <unordered_map>

#include "../support/seed.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/siphash.hpp"
#include "pinfold/command/access_sampler.hpp"

using namespace pinfold;
using namespace pinfold::command;

namespace {

constexpr pinfold::HashKey hash_key{0x1234'5678'9abc'def0U, 0x0fed'cba9'8765'4321U};

// Draws numbers below `count`; number i with a probability in proportion to 1 / (i + 1)^skew.
class Zipf {
 public:
  Zipf(std::size_t count, double skew) : sums_(count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sums_[i] = sum += std::pow(static_cast<double>(i + 1), -skew);
  }
  std::size_t operator()(std::mt19937_64& random) const {
    const double at = std::uniform_real_distribution<double>(0, sums_.back())(random);
    return static_cast<std::size_t>(std::upper_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
  }

 private:
  std::vector<double> sums_;
};

// Some I/O threads, and what they are asked for, in simulated time. Remembers all accesses of the last seconds exactly.
class Traffic {
 public:
  explicit Traffic(std::uint64_t seed, unsigned threads = 2)
      : random(seed), threads_(threads), accesses(settings, memory, threads, {1'000'250}) {}

  const store::Key& key(std::size_t number) {
    if (number >= keys_.size()) {
      for (std::size_t i = keys_.size(); i <= number; ++i) {
        names_.push_back("key:" + std::to_string(i));
        keys_.push_back({names_.back(), siphash13(hash_key, names_.back())});
      }
    }
    return keys_[number];
  }

  void access(unsigned thread, std::size_t number) {
    clock_.hold_for_test({0, now});
    accesses.of_thread(thread).note(0, key(number), clock_);
    const std::int64_t pane = now.ms / HotKeys::pane_ms;
    if (pane != pane_number_) {
      panes_.erase(pane - HotKeys::panes);
      pane_ = &panes_[pane];
      pane_number_ = pane;
    }
    ++(*pane_)[number];
    if (total_.size() <= number) total_.resize(number + 1);
    ++total_[number];
  }

  // `per_second` accesses in each thread, to the keys whose numbers `next` returns.
  template <class Next>
  void run(double seconds, std::size_t per_second, Next&& next) {
    for (std::int64_t ms = 0; ms < static_cast<std::int64_t>(seconds * 1000); ++ms) {
      due_ += per_second;
      for (; due_ >= 1000; due_ -= 1000) {
        for (unsigned thread = 0; thread < threads_; ++thread) access(thread, next());
      }
      now = now + 1;
    }
  }

  // The exact counts of the window that the report is about.
  std::unordered_map<std::size_t, std::uint64_t> exact(std::uint64_t& all) const {
    std::unordered_map<std::size_t, std::uint64_t> sums;
    all = 0;
    for (const auto& [number, pane] : panes_) {
      if (number + HotKeys::panes <= now.ms / HotKeys::pane_ms) continue;
      for (const auto& [key, count] : pane) {
        sums[key] += count;
        all += count;
      }
    }
    return sums;
  }
  const std::vector<std::uint64_t>& total() const { return total_; }

  std::optional<CountedKey> find(const Accesses::Report& report, std::size_t number) {
    const auto found = std::ranges::find(report.keys, key(number).text, &CountedKey::name);
    return found == report.keys.end() ? std::nullopt : std::optional(*found);
  }

  // Every key above 1 % of the traffic is there, and its rate is right within 10 %, or within what chance can make of the number of its
  // accesses that were sampled. Returns how many there are.
  std::size_t check_all_hot() {
    std::uint64_t all = 0;
    const auto counts = exact(all);
    const Accesses::Report report = accesses.report(now);
    std::size_t hot = 0;
    for (const auto& [number, count] : counts) {
      if (count * 100 <= all) continue;
      ++hot;
      const auto found = find(report, number);
      INFO("key " << number << " with " << count << " of " << all << " accesses");
      REQUIRE(found);
      CHECK(found->db == 0);
      CHECK(!found->cut);
      const double period = accesses.of_thread(0).period();
      const double deviation = std::sqrt((1 - 1 / period) / (static_cast<double>(count) / period));
      CHECK(deviation <= 0.033);
      const double allowed = std::max(0.1, 4.5 * deviation);
      const double rate = static_cast<double>(count) / report.seconds;
      CHECK(std::abs(report.rate(*found) - rate) <= allowed * rate);
      const double share = static_cast<double>(count) / static_cast<double>(all);
      CHECK(std::abs(report.share(*found) - share) <= allowed * share);
    }
    return hot;
  }

  std::mt19937_64 random;
  MonoMs now{1'000'250};

 private:
  const unsigned threads_;
  std::deque<std::string> names_;
  std::deque<store::Key> keys_;
  std::map<std::int64_t, std::unordered_map<std::size_t, std::uint64_t>> panes_;
  std::unordered_map<std::size_t, std::uint64_t>* pane_ = nullptr;  // the last of panes_
  std::int64_t pane_number_ = 0;
  std::vector<std::uint64_t> total_;  // by key
  std::size_t due_ = 0;
  ThreadClock clock_;

 public:
  config::Settings settings;
  store::Memory memory{0};
  Accesses accesses;
};

}  // namespace

TEST_CASE("hot keys: every key above 1 % of the traffic is found within five seconds, with its rate") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  const auto per_second = GENERATE(std::size_t{500}, std::size_t{5'000}, std::size_t{20'000}, std::size_t{33'000}, std::size_t{200'000});
  CAPTURE(per_second);
  Traffic traffic(seed);
  const Zipf zipf(20'000, 1.0);
  traffic.run(5, per_second, [&] { return zipf(traffic.random); });
  CHECK(traffic.check_all_hot() >= 6);
}

TEST_CASE("hot keys: keys that come once each do not hide them") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  const auto per_second = GENERATE(std::size_t{2'000}, std::size_t{100'000});
  CAPTURE(per_second);
  Traffic traffic(seed);
  std::size_t fresh = 100;
  traffic.run(5, per_second, [&]() -> std::size_t {
    const auto roll = traffic.random() % 1000;
    return roll < 120 ? roll % 8 : fresh++;  // eight keys with 1.5 % each
  });
  CHECK(traffic.check_all_hot() == 8);
}

TEST_CASE("hot keys: a key that becomes hot all at once is found, although others have filled the table") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  // The table is full of keys that are asked for almost as often as they can be while there is one key with 1.2 %.
  const auto others = GENERATE(std::size_t{60}, std::size_t{140}, std::size_t{256}, std::size_t{3'000});
  CAPTURE(others);
  Traffic traffic(seed);
  const auto other = [&] { return 1 + traffic.random() % others; };
  traffic.run(8, 100'000, other);
  CHECK(!traffic.find(traffic.accesses.report(traffic.now), 0));
  traffic.run(5, 100'000, [&] { return traffic.random() % 1000 < 12 ? 0 : other(); });
  traffic.check_all_hot();
  CHECK(traffic.find(traffic.accesses.report(traffic.now), 0));
}

TEST_CASE("hot keys: a key that is not asked for any more is forgotten after five seconds") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  Traffic traffic(seed);
  traffic.run(5, 50'000, [] { return std::size_t{1}; });
  REQUIRE(traffic.find(traffic.accesses.report(traffic.now), 1));
  SECTION("with other traffic") {
    traffic.run(5.5, 50'000, [] { return std::size_t{2}; });
    const auto report = traffic.accesses.report(traffic.now);
    CHECK(!traffic.find(report, 1));
    CHECK(traffic.find(report, 2));
    CHECK(report.share(*traffic.find(report, 2)) == 1);
  }
  SECTION("without") {
    traffic.now = traffic.now + 5'500;
    CHECK(traffic.accesses.report(traffic.now).keys.empty());
  }
  SECTION("after a day") {
    traffic.now = traffic.now + 86'400'000;
    traffic.run(1, 1'000, [] { return std::size_t{2}; });
    const auto report = traffic.accesses.report(traffic.now);
    CHECK(!traffic.find(report, 1));
    CHECK(report.keys.size() == 1);
  }
}

TEST_CASE("hot keys: at a low rate all accesses are counted") {
  Traffic traffic(1);
  std::size_t turn = 0;
  traffic.run(4, 1'000, [&] { return turn++ % 50; });
  const auto report = traffic.accesses.report(traffic.now);
  CHECK(report.all == 8'000);
  REQUIRE(report.keys.size() == 50);
  for (const CountedKey& key : report.keys) CHECK(key.count == 160);
  CHECK(report.seconds == 4);
  CHECK(traffic.accesses.sampled() == 8'000);
}

TEST_CASE("hot keys: requests that come in a pattern do not hide keys") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  const auto period = GENERATE(std::size_t{2}, std::size_t{8}, std::size_t{16}, std::size_t{60});
  CAPTURE(period);
  Traffic traffic(seed, 1);
  std::size_t turn = 0;
  traffic.run(5, 262'144, [&] { return turn++ % period; });  // one in 22 is sampled
  CHECK(traffic.check_all_hot() == period);
}

TEST_CASE("hot keys: a busy thread samples at most about 12 288 accesses a second") {
  Traffic traffic(test_seed(), 1);
  const auto per_second = GENERATE(std::size_t{10'000}, std::size_t{50'000}, std::size_t{400'000});
  traffic.run(1, per_second, [&] { return traffic.random() % 1000; });  // finds its period
  const std::uint64_t before = traffic.accesses.sampled();
  traffic.run(5, per_second, [&] { return traffic.random() % 1000; });
  const double sampled = static_cast<double>(traffic.accesses.sampled() - before) / 5;
  CHECK(sampled <= 12'288 * 1.05);
  CHECK(sampled >= std::min(static_cast<double>(per_second), 6'144 * 0.95));
}

TEST_CASE("hot keys: a burst after a pause is counted in full, wherever in a tick it begins") {
  const auto begins = GENERATE(0, 1, 50, 95, 99);
  Traffic traffic(1, 1);
  traffic.now = MonoMs{2'000'000 + begins};
  traffic.run(0.025, 40'000, [] { return std::size_t{1}; });
  CHECK(traffic.accesses.sampled() == 1'000);
  CHECK(traffic.accesses.report(traffic.now).all == 1'000);
}

TEST_CASE("hot keys: a sudden burst at a high rate is sampled less and less, and counted") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  Traffic traffic(seed, 1);
  traffic.now = MonoMs{2'000'000};
  std::size_t turn = 0;
  // Every other tick is quiet, so each burst comes as a surprise.
  for (int burst = 0; burst < 5; ++burst) {
    const std::uint64_t before = traffic.accesses.sampled();
    traffic.run(0.1, 1'000'000, [&] { return turn++ % 10; });
    const std::uint64_t sampled = traffic.accesses.sampled() - before;
    CHECK(sampled >= 1'229);
    CHECK(sampled <= 1'536 + 768 * 7);  // while the period rises to 128
    traffic.now = traffic.now + 300;
  }
  const auto report = traffic.accesses.report(traffic.now);
  CHECK(static_cast<double>(report.all) == Approx(500'000).epsilon(0.1));
  REQUIRE(report.keys.size() == 10);
  for (const CountedKey& key : report.keys) CHECK(report.share(key) == Approx(0.1).epsilon(0.2));
}

TEST_CASE("hot keys: keys of different databases are different keys") {
  Traffic traffic(1, 1);
  ThreadClock clock;
  clock.hold_for_test({0, traffic.now});
  for (unsigned db = 0; db < 16; ++db) {
    for (unsigned i = 0; i <= db; ++i) traffic.accesses.of_thread(0).note(db, traffic.key(7), clock);
  }
  const auto report = traffic.accesses.report(traffic.now);
  REQUIRE(report.keys.size() == 16);
  for (std::size_t i = 0; i < 16; ++i) {
    CHECK(report.keys[i].db == 15 - i);
    CHECK(report.keys[i].count == 16 - i);
    CHECK(report.keys[i].name == "key:7");
  }
}

TEST_CASE("hot keys: of a long key the beginning is kept") {
  Traffic traffic(1, 1);
  ThreadClock clock;
  clock.hold_for_test({0, traffic.now});
  for (const std::size_t size : {HotKeys::longest_name - 1, HotKeys::longest_name, HotKeys::longest_name + 1, std::size_t{500'000}}) {
    const std::string name(size, static_cast<char>('a' + size % 26));
    for (std::size_t i = 0; i < size % 26 + 2; ++i) {
      traffic.accesses.of_thread(0).note(0, store::Key{name, siphash13(hash_key, name)}, clock);
    }
    const auto report = traffic.accesses.report(traffic.now);
    const auto found = std::ranges::find_if(report.keys, [&](const CountedKey& key) { return key.name[0] == name[0]; });
    REQUIRE(found != report.keys.end());
    CHECK(found->name == name.substr(0, HotKeys::longest_name));
    CHECK(found->cut == (size > HotKeys::longest_name));
  }
}

TEST_CASE("hot keys: nothing is sampled and no memory is kept while metrics is no") {
  constexpr std::size_t most_memory = 2 * 120 * 1024;
  Traffic traffic(1);
  const auto memory = [&] { return traffic.memory.used(store::Use::sampling); };
  CHECK(memory() > 0);
  CHECK(memory() <= most_memory);
  const std::uint64_t on = memory();
  traffic.run(6, 20'000, [&] { return traffic.random() % 100'000; });
  CHECK(memory() == on);
  REQUIRE(!traffic.settings.set(config::Id::metrics, "no", false));
  const auto report = traffic.accesses.report(traffic.now);
  CHECK(report.keys.empty());
  CHECK(memory() == 0);
  const std::uint64_t before = traffic.accesses.sampled();
  traffic.run(2, 20'000, [] { return std::size_t{1}; });
  CHECK(traffic.accesses.sampled() == before);
  CHECK(memory() == 0);
  REQUIRE(!traffic.settings.set(config::Id::metrics, "yes", false));
  traffic.run(2, 20'000, [] { return std::size_t{1}; });
  CHECK(memory() == on);
  CHECK(traffic.find(traffic.accesses.report(traffic.now), 1));
}

TEST_CASE("hot keys: a thread frees the memory by itself when metrics becomes no") {
  Traffic traffic(1);
  REQUIRE(!traffic.settings.set(config::Id::metrics, "no", false));
  traffic.run(1, 20'000, [] { return std::size_t{1}; });
  CHECK(traffic.memory.used(store::Use::sampling) == 0);
}

TEST_CASE("key concentration: the part of the traffic that goes to the hottest keys is estimated") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  const auto skew = GENERATE(0.8, 1.0, 1.2);
  const auto count = GENERATE(std::size_t{500}, std::size_t{100'000});
  CAPTURE(skew, count);
  Traffic traffic(seed);
  const Zipf zipf(count, skew);
  traffic.run(40, 20'000, [&] { return zipf(traffic.random); });
  std::vector<std::uint64_t> counts = traffic.total();
  std::ranges::sort(counts, std::greater<>());
  const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
  const Accesses::Report report = traffic.accesses.report(traffic.now);
  for (const double part : {0.01, 0.05, 0.1}) {
    const auto top = static_cast<std::size_t>(part * static_cast<double>(count));
    const double exact =
        std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(std::min(top, counts.size())), 0.0) / all;
    const double estimate = report.concentration.share_of_top(part * static_cast<double>(count));
    CAPTURE(part, exact, estimate);
    CHECK(std::abs(estimate - exact) <= 0.05);
  }
}

TEST_CASE("key concentration: keys that are all alike have no hot part") {
  const std::uint64_t seed = test_seed();
  INFO(seed_note(seed));
  Traffic traffic(seed);
  traffic.run(40, 10'000, [&] { return traffic.random() % 10'000; });
  const Accesses::Report report = traffic.accesses.report(traffic.now);
  CHECK(std::abs(report.concentration.share_of_top(1'000) - 0.1) <= 0.05);
  CHECK(report.concentration.share_of_top(10'000) >= 0.9);
}

TEST_CASE("key concentration: the share of the top keys of known ones is exact") {
  ConcentrationReport report;
  report.add({{1, 400}, {2, 200}}, {}, UINT64_MAX / 2, 600);
  // Of the tail, whose keys have 300 accesses, half of the keys were looked at. Key 2 is one of those that are known.
  report.add({{2, 100}}, {{10, 80}, {11, 50}, {2, 100}, {12, 20}, {UINT64_MAX, 7}}, UINT64_MAX, 400);
  report.settle();
  CHECK(report.share_of_top(0) == 0);
  CHECK(report.share_of_top(0.5) == Approx(0.2));
  CHECK(report.share_of_top(1) == Approx(0.4));
  CHECK(report.share_of_top(2) == Approx(0.7));
  // One key of the sample stands for two.
  CHECK(report.share_of_top(4) == Approx(0.7 + 0.16));
  CHECK(report.share_of_top(7) == Approx(0.7 + 0.16 + 0.1 + 0.02));
  CHECK(report.share_of_top(100) == Approx(1));
  CHECK(ConcentrationReport().share_of_top(100) == 0);
}

TEST_CASE("key concentration: few keys at a low rate are counted exactly") {
  Traffic traffic(test_seed());
  std::size_t turn = 0;
  // Of 1 000 keys, two get 200 of 1 198 accesses together, again and again.
  traffic.run(25, 1'198, [&] {
    const std::size_t at = turn++ % 1'198;
    return at < 998 ? at + 2 : at % 2;
  });
  const ConcentrationReport report = traffic.accesses.report(traffic.now).concentration;
  const double both = 200.0 / 1'198;
  CHECK(report.share_of_top(1) == Approx(both / 2).epsilon(0.02));
  CHECK(report.share_of_top(2) == Approx(both).epsilon(0.02));
  CHECK(report.share_of_top(10) == Approx(both + 8.0 / 1'198).epsilon(0.02));
  CHECK(report.share_of_top(1'000) == Approx(1));
}
