// Findings: what they are made of, and that they say so. The words themselves are for people.

#include "pinfold/command/diagnosis.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/command/figure_history.hpp"

using namespace pinfold;
using namespace pinfold::command;

namespace {

constexpr std::uint64_t gigabyte = 1 << 30;

// A healthy server that was watched for a minute, with what a test changes.
struct Watched {
  Watched() {
    now.memory.limit = gigabyte;
    now.memory.data_limit = gigabyte;
    now.memory.data = gigabyte / 2;
    now.memory.used = gigabyte / 2;
    now.memory.available = 16 * gigabyte;
    now.memory.resident = gigabyte;
    now.memory.fragmentation = 1.1;
    now.memory.clients_share = gigabyte;
    now.stats.commands = 100'000;
    now.cache.admit_percent = 100;
    now.cache.max_leases = before.cache.max_leases = 1000;
    now.stats.hits = 95'000;
    now.stats.misses = 5'000;
    now.threads = {{.number = 0, .busy = 10}};
  }
  void call(std::string_view command, Span64 took, std::size_t times) {
    auto counts = std::make_shared<histogram::Counts>();
    counts->of[histogram::bucket_of(took)] = times;
    counts->total = times;
    now.commands.push_back({.name = command, .calls = times, .durations = std::move(counts)});
  }
  void loads(Span64 took, std::uint64_t times) { count(now.distributions.loads.counts, took, times); }
  void wait(Span64 took, std::uint64_t times) { count(now.distributions.waits.counts, took, times); }
  static void count(histogram::Counts& counts, Span64 took, std::uint64_t times) {
    counts.of[histogram::bucket_of(took)] = times;
    counts.total = times;
  }
  // Of 100'000 in a minute.
  void answer(std::uint64_t reads) {
    now.stats.hits = reads;
    now.stats.misses = 100'000 - reads;
  }
  std::vector<Finding> found() const {
    return findings({.now = now,
                     .before = before,
                     .seconds = 60,
                     .clients = clients,
                     .most_clients = 10'000,
                     .most_waiters = 1000,
                     .monitors = monitors,
                     .up_seconds = up_seconds});
  }

  Figures now;
  Figures before;
  std::uint64_t clients = 10;
  std::uint64_t monitors = 0;
  std::uint64_t up_seconds = 100'000;
};

std::set<std::string> names(const std::vector<Finding>& found) {
  std::set<std::string> all;
  for (const Finding& one : found) all.emplace(one.name);
  return all;
}

struct Case {
  std::string name;
  std::string says;  // a part of the text
  std::function<void(Watched&)> make;
  std::string beside = {};  // what is found as well
};

const Case kCases[] = {
    {"PinfoldSlowCache", "2.94 ms", [](Watched& w) { w.call("get", Span64::us(3'000), 1000); }},
    {"PinfoldLatencyHigh", "get",
     [](Watched& w) {
       w.call("get", Span64::us(20'000), 100);
       w.call("set", Span64::us(20), 9'000);
     }},
    {"PinfoldLatencyCritical", "keys",
     [](Watched& w) {
       w.call("keys", Span64::us(90'000), 100);
       w.call("set", Span64::us(20), 9'000);
     }},
    {"PinfoldHitRatioCritical", "40.0 %",
     [](Watched& w) {
       w.now.stats.hits = 40'000;
       w.now.stats.misses = 60'000;
     }},
    {"PinfoldHitRatioLow", "60.0 %",
     [](Watched& w) {
       w.now.stats.hits = 60'000;
       w.now.stats.misses = 40'000;
     }},
    {"PinfoldOriginFailing", "60.0 %",
     [](Watched& w) {
       w.now.cache.filled = 40;
       w.now.cache.released = 60;
     }},
    {"PinfoldLeasesRefused", ": 5. The limits are max-leases, max-lease-waiters, and memory. These readers get no lease",
     [](Watched& w) {
       w.now.cache.waits_refused_max_waiters = 3;
       w.now.cache.refused_for_memory = 2;
       w.now.cache.refused_by_policy = 9;  // as it was told to
     }},
    {"PinfoldWritesRefused",
     "(OOM) in the last 60 s: 7. 512.00 MiB of the 1.00 GiB that data may take (maxmemory is 1.00 GiB) are used. "
     "maxmemory-policy is volatile-lru: keys without a TTL are not evicted.",
     [](Watched& w) {
       w.now.errors = {{"OOM", 7}};
       w.now.memory.policy = "volatile-lru";
     }},
    {"PinfoldMemoryHigh", "85.0 %", [](Watched& w) { w.now.memory.data = gigabyte / 100 * 85; }},
    {"PinfoldMemoryCritical", "refused with OOM",
     [](Watched& w) {
       w.now.memory.data_limit = gigabyte / 16 * 15;
       w.now.memory.data = gigabyte / 100 * 92;  // which is 98 % of that
       w.now.memory.evicts = 0;
     }},
    {"PinfoldProcessMemoryHigh", "15.00 GiB", [](Watched& w) { w.now.memory.resident = 15 * gigabyte; }},
    {"PinfoldEvictionSpike", "20.0 % of the writes push something out, and only 85.0 % of the reads are answered",
     [](Watched& w) {
       w.answer(85'000);
       w.now.stats.evicted_for_memory = 12'000;
       w.now.commands = {{.name = "mset", .calls = 60'000, .durations = {}}, {.name = "get", .calls = 60'000, .durations = {}}};
     }},
    {"PinfoldEvictionSpikeCritical", "60.0 % of the writes push something out, and only 65.0 %",
     [](Watched& w) {
       w.answer(65'000);
       w.now.stats.evicted_for_memory = 90'000;
       w.now.commands = {{.name = "set", .calls = 150'000, .durations = {}}};
     },
     "PinfoldHitRatioLow"},
    {"PinfoldEvicts", ": 600. ", [](Watched& w) { w.now.stats.evicted_for_memory = 600; }},
    {"PinfoldWaitsForRoom", "10.0 %", [](Watched& w) { w.now.stats.room_wait_us = 6'000'000; }},
    {"PinfoldLockWaits", "10.0 %", [](Watched& w) { w.now.stats.lock_wait_us = 6'000'000; }},
    {"PinfoldScriptsHoldKeys",
     "for long in the last 60 s: 3 took 131 ms or more, the longest about 3.01 s, and script-time-limit has stopped 2. All keys were "
     "locked for 12 of 14 runs.",
     [](Watched& w) {
       w.call("eval", Span64::ms(3000), 2);
       w.call("evalsha", Span64::ms(1), 10);
       w.call("fcall_ro", Span64::ms(200), 1);
       w.now.scripts.out_of_time = 2;
       w.now.scripts.locked_all = 12;
       w.now.scripts.locked_declared = 2;
     }},
    {"PinfoldEventLoopBusy", "I/O thread 3", [](Watched& w) { w.now.threads = {{.number = 3, .busy = 57}}; }},
    {"PinfoldErrorsHigh", ": 2000, ", [](Watched& w) { w.now.stats.error_replies = 2'000; }},
    {"PinfoldConnectionsRefused", ": 1. There were", [](Watched& w) { w.now.stats.rejected_connections = 1; }},
    {"PinfoldConnectionsHigh", "7500 of 10000", [](Watched& w) { w.clients = 7'500; }},
    {"PinfoldConnectionsCritical", "9500 of 10000", [](Watched& w) { w.clients = 9'500; }},
    {"PinfoldCertificateExpires", "20 days",
     [](Watched& w) {
       w.now.tls.server_expires = 1;
       w.now.tls.server_left = 20 * 86400 + 5;
     }},
    {"PinfoldCertificateExpiresNow", "authority",
     [](Watched& w) {
       w.now.tls.server_expires = w.now.tls.ca_expires = 1;
       w.now.tls.server_left = 90 * 86400;
       w.now.tls.ca_left = 7000;
     }},
    {"PinfoldCertificateLoadFailed", "failed in the last 60 s: 1.", [](Watched& w) { w.now.tls.failed_loads = 1; }},
    {"PinfoldTlsHandshakesFail", "timed out in the last 60 s: 20, 20.0 % of all",
     [](Watched& w) {
       w.now.tls.handshakes = 80;
       w.now.tls.failed = 15;
       w.now.tls.timed_out = 5;
     }},
    {"PinfoldAuditLogFailing", "audit log", [](Watched& w) { w.now.stats.audit_failing = 1; }},
    {"PinfoldAuditLinesLost", "lost in the last 60 s: 9.", [](Watched& w) { w.now.stats.audit_lost = 9; }},
    {"PinfoldBypassOn", "bypass", [](Watched& w) { w.now.cache.bypass = 1; }},
    {"PinfoldServeStaleOn", "serve-stale", [](Watched& w) { w.now.cache.serves_stale = 1; }},
    {"PinfoldAdmissionLimited", "30 %", [](Watched& w) { w.now.cache.admit_percent = 30; }},
    {"PinfoldLeasesOff", "max-leases is 0", [](Watched& w) { w.now.cache.max_leases = 0; }},
    {"PinfoldStampede", "101 clients",
     [](Watched& w) {
       w.now.cache.waiters = 101;
       w.now.cache.leases = 10;
     }},
    {"PinfoldWaitersNearLimit", "900 of 1000",
     [](Watched& w) {
       w.now.cache.waiters = 900;
       w.now.cache.leases = 500;
     }},
    {"PinfoldLeasesNearLimit", "850 of 1000", [](Watched& w) { w.now.cache.leases = 850; }},
    {"PinfoldLeasesExpire", "in the last 60 s: 10 (",
     [](Watched& w) {
       w.now.cache.expired = 10;
       w.now.cache.filled = 90;
     }},
    {"PinfoldStaleServed", "10.0 %", [](Watched& w) { w.now.cache.stale_hits = 10'000; }},
    {"PinfoldFillsRefused", "20.0 %",
     [](Watched& w) {
       w.now.cache.fills_refused = 20;
       w.now.cache.granted = 100;
     }},
    {"PinfoldNegativeStorm", "25.0 %", [](Watched& w) { w.now.cache.negative_hits = 25'000; }},
    {"PinfoldNoMemoryLimit", "no maxmemory", [](Watched& w) { w.now.memory.limit = 0; }},
    {"PinfoldClientMemoryHigh", "900.00 MiB", [](Watched& w) { w.now.memory.clients = 900 << 20; }},
    {"PinfoldFragmentation", "2.00 times", [](Watched& w) { w.now.memory.fragmentation = 2; }},
    {"PinfoldClientsClosedForMemory", "in the last 60 s: 4.",
     [](Watched& w) {
       w.now.stats.evicted_clients = w.now.stats.clients_closed_for_users = 1;
       w.now.stats.output_limit_disconnections = w.now.stats.query_limit_disconnections = 1;
     }},
    {"PinfoldAuthLimited", ": 1. Too many", [](Watched& w) { w.now.stats.auth_limited = 1; }},
    {"PinfoldAuthFailures", ": 11. ACL LOG", [](Watched& w) { w.now.stats.auth_failures = 11; }},
    {"PinfoldDenials", "because of a key in the last 60 s: 61. ACL LOG",
     [](Watched& w) {
       w.now.stats.denied_key = 61;
       w.now.stats.denied_command = 40;
     }},
    {"PinfoldThrottled", "user shop were refused because of its request rate in the last 60 s: 6, 6.0 %",
     [](Watched& w) {
       w.now.users = {{.name = "feed", .requests = 10'000, .refused = 500}, {.name = "shop", .requests = 100, .refused = 6}};
     }},
    {"PinfoldProtectedMode", ": 1. protected-mode", [](Watched& w) { w.now.stats.protected_connections = 1; }},
    {"PinfoldProtocolErrors", ": 61. A scan", [](Watched& w) { w.now.stats.protocol_errors = 61; }},
    {"PinfoldCascadingFailure", "101 clients",
     [](Watched& w) {
       w.now.stats.hits = 60'000;
       w.now.stats.misses = 40'000;
       w.now.cache.waiters = 101;
       w.now.cache.leases = 50;
       w.loads(Span64::ms(3000), 10);
     },
     "PinfoldHitRatioLow"},
    {"PinfoldColdStart", "30 minutes",
     [](Watched& w) {
       w.now.stats.hits = 60'000;
       w.now.stats.misses = 40'000;
       w.up_seconds = 1800;
     },
     "PinfoldHitRatioLow"},
    {"PinfoldMonitorOn", ": 2. That slows", [](Watched& w) { w.monitors = 2; }},
    {"PinfoldSlowCommands", ": 90. SLOWLOG", [](Watched& w) { w.now.stats.slow_commands = 90; }},
    {"PinfoldLeaseWaitsLong", "took 1.02 s or more in the last 60 s, and loads 19.5 ms",
     [](Watched& w) {
       w.wait(Span64::ms(1000), 10);
       w.loads(Span64::ms(20), 10);
     }},
    // Of few commands, with many keys each.
    {"PinfoldHotKey", "6000 per second",
     [](Watched& w) {
       w.now.keys.hottest = 12;
       w.now.keys.accesses_per_second = 50'000;
       w.now.stats.commands = 600;
     }},
    {"PinfoldHotKeys", "60.0 %", [](Watched& w) { w.now.keys.top_1 = 60; }},
    {"PinfoldLargeValues", ": 5, of more",
     [](Watched& w) {
       w.now.keys.of_16mb = 3;
       w.now.keys.larger = 2;
     }},
    {"PinfoldShardImbalance", "3.0 times", [](Watched& w) { w.now.stats.shard_imbalance = 3; }},
    {"PinfoldMoreMemoryWouldHelp", "92.0 %",
     [](Watched& w) {
       w.now.working_set.state = "known";
       w.now.working_set.present = 85;
       w.now.working_set.twice = 92;
     }},
    {"PinfoldNegativeMemory", "9.8 %", [](Watched& w) { w.now.cache.negative_bytes = 100 << 20; }},
    {"PinfoldPurgesPending", ": 3. Their entries",
     [](Watched& w) {
       w.before.cache.purges_pending = 2;
       w.now.cache.purges_pending = 3;
     }},
};

// As much as may be, or one of two conditions. In tests/alerts.yml of Prometheus these are the servers that are near.
const Case kNear[] = {
    {"as few leases end as say nothing", "",
     [](Watched& w) {
       w.now.cache.expired = 50;
       w.now.cache.filled = 10;
     }},
    {"a part of the leases expires", "",
     [](Watched& w) {
       w.now.cache.expired = 5;
       w.now.cache.filled = 95;
     }},
    {"a part of a user's requests is refused", "",
     [](Watched& w) {
       w.now.stats.rate_limited = 5000;
       w.now.users = {{.name = "shop", .requests = 100'000, .refused = 5000}, {.name = "feed", .requests = 10, .refused = 0}};
     }},
    {"requests are denied for several reasons, and passwords are wrong", "",
     [](Watched& w) {
       w.now.stats.denied_command = w.now.stats.denied_key = w.now.stats.denied_database = w.now.stats.denied_channel = 60;
       w.now.stats.denied_auth = 10'000;
     }},
    {"a key has much of few accesses", "",
     [](Watched& w) {
       w.now.keys.hottest = 50;
       w.now.keys.accesses_per_second = 2000;
       w.now.stats.commands = 6'000'000;
     }},
    {"a key has little of many accesses", "",
     [](Watched& w) {
       w.now.keys.hottest = 5;
       w.now.keys.accesses_per_second = 1e6;
     }},
    {"scripts are short, and another command is long", "",
     [](Watched& w) {
       w.call("eval", Span64::ms(131), 100);
       w.call("keys", Span64::ms(3000), 1);
       w.now.scripts.locked_all = 100;
     }},
    {"scripts were stopped before that", "", [](Watched& w) { w.now.scripts.out_of_time = w.before.scripts.out_of_time = 5; }},
    {"as few handshakes as say nothing", "", [](Watched& w) { w.now.tls.timed_out = 6; }},
    {"a part of the handshakes fails", "",
     [](Watched& w) {
       w.now.tls.handshakes = 90;
       w.now.tls.failed = 10;
     }},
    {"as few waits as say nothing", "",
     [](Watched& w) {
       w.wait(Span64::ms(1000), 6);
       w.loads(Span64::ms(20), 10);
     }},
    {"it is not known how long loads take", "", [](Watched& w) { w.wait(Span64::ms(1000), 10); }},
    {"an evicting cache is full, and nobody writes", "", [](Watched& w) { w.now.memory.data = gigabyte; }},
    {"max-leases was 0", "",
     [](Watched& w) {
       w.before.cache.max_leases = 0;
       w.now.cache.refused_max_leases = 1000;
     }},
    {"as few errors as say nothing", "",
     [](Watched& w) {
       w.now.stats.error_replies = 10;
       w.now.stats.commands = 10;
     }},
    {"a limit is used to its threshold", "",
     [](Watched& w) {
       w.clients = 7'000;
       w.now.memory.clients = w.now.memory.clients_share / 10 * 8;
       w.now.stats.protocol_errors = w.now.stats.slow_commands = 60;
       w.now.stats.auth_failures = 10;
     }},
};

const Finding& one_named(const std::vector<Finding>& found, std::string_view name) {
  const auto at = std::ranges::find(found, name, &Finding::name);
  REQUIRE(at != found.end());
  return *at;
}

}  // namespace

TEST_CASE("diagnosis: a healthy server has no finding") { CHECK(names(Watched().found()).empty()); }

TEST_CASE("diagnosis: each cause is found by its name, and nothing else is, with its number in the text") {
  for (const Case& one : kCases) {
    INFO(one.name);
    Watched watched;
    one.make(watched);
    const std::vector<Finding> found = watched.found();
    std::set<std::string> expected = {one.name};
    if (!one.beside.empty()) expected.insert(one.beside);
    CHECK(names(found) == expected);
    const Finding& finding = one_named(found, one.name);
    INFO(finding.text);
    CHECK(finding.text.find(one.says) != std::string::npos);
    CHECK_FALSE(finding.value.empty());
    CHECK(finding.runbook.ends_with(".md"));
  }
}

TEST_CASE("diagnosis: what is just not enough is no finding") {
  for (const Case& one : kNear) {
    INFO(one.name);
    Watched watched;
    one.make(watched);
    CHECK(names(watched.found()).empty());
  }
}

TEST_CASE("diagnosis: a script that was stopped is known of without the durations of commands, and a long one without a stop") {
  Watched watched;
  watched.now.scripts.out_of_time = 1;
  const Finding stopped = one_named(watched.found(), "PinfoldScriptsHoldKeys");
  CHECK(stopped.value == "1 in 60 s");
  CHECK(stopped.text.find("for long in the last 60 s: script-time-limit has stopped 1. All keys were locked for 0 of 0 runs.") !=
        std::string::npos);
  watched.now.scripts = {.locked_declared = 1};
  watched.call("fcall", Span64::ms(200), 1);
  const Finding slow = one_named(watched.found(), "PinfoldScriptsHoldKeys");
  CHECK(slow.value == "1 in 60 s");
  CHECK(slow.text.find(": 1 took 131 ms or more, the longest about ") != std::string::npos);
  CHECK(slow.text.find("for 0 of 1 run. SLOWLOG GET") != std::string::npos);
}

TEST_CASE("diagnosis: all replies are errors if no request is executed") {
  Watched watched;
  watched.now.stats.commands = 0;
  watched.now.stats.error_replies = 6000;
  CHECK(one_named(watched.found(), "PinfoldErrorsHigh").value == "100.0 %");
}

TEST_CASE("diagnosis: evictions of a full cache are news only as far as reads miss") {
  Watched watched;
  watched.now.stats.evicted_for_memory = 90'000;
  watched.now.commands = {{.name = "set", .calls = 90'000, .durations = {}}};
  const auto found_at = [&](std::uint64_t answered) {
    watched.answer(answered);
    return names(watched.found());
  };
  using Names = std::set<std::string>;
  CHECK(found_at(90'000) == Names{"PinfoldEvicts"});
  CHECK(found_at(89'999) == Names{"PinfoldEvictionSpike"});
  CHECK(found_at(70'000) == Names{"PinfoldEvictionSpike"});
  CHECK(found_at(69'999) == Names{"PinfoldEvictionSpikeCritical", "PinfoldHitRatioLow"});
  watched.now.stats.hits = 0;
  watched.now.stats.misses = 600;  // too few to say anything
  CHECK(names(watched.found()) == Names{"PinfoldEvicts"});
}

TEST_CASE("diagnosis: reads miss because of evictions only if there were half as many of these") {
  Watched watched;
  watched.answer(60'000);
  const auto text = [&](std::uint64_t for_memory, std::uint64_t for_quota = 0) {
    watched.now.stats.evicted_for_memory = for_memory;
    watched.now.stats.evicted_keys = for_memory + for_quota;
    return one_named(watched.found(), "PinfoldHitRatioLow").text;
  };
  CHECK(text(20'000).ends_with("What is read does not fit into memory: 20000 keys evicted."));
  CHECK(
      text(19'999).ends_with("Too few keys were evicted (19999) to explain that: most of what was missed was not loaded yet, has expired, "
                             "was removed, or does not exist."));
  CHECK(text(1, 19'999).ends_with("Policies give too little memory to what is read (max-memory, first-out): 20000 keys evicted."));
  CHECK(text(0).ends_with("No key was evicted: most of what was missed was not loaded yet, has expired, was removed, or does not exist."));
  watched.now.cache.bypass = 1;
  CHECK(text(0).ends_with("bypass is on."));
}

TEST_CASE("diagnosis: values have units") {
  Watched watched;
  watched.now.errors = {{"OOM", 7}};
  watched.now.cache.purges_pending = watched.before.cache.purges_pending = 1;
  watched.wait(Span64::ms(1000), 10);
  watched.loads(Span64::ms(20), 10);
  const std::vector<Finding> found = watched.found();
  CHECK(one_named(found, "PinfoldWritesRefused").value == "7 in 60 s");
  CHECK(one_named(found, "PinfoldPurgesPending").value == "1 purge");
  CHECK(one_named(found, "PinfoldLeaseWaitsLong").value == "1.02 s");
}

TEST_CASE("diagnosis: of a user that was there before, what has grown counts") {
  Watched watched;
  watched.before.users = {{.name = "feed", .requests = 50, .refused = 0}, {.name = "shop", .requests = 10'000, .refused = 9000}};
  watched.now.users = {{.name = "shop", .requests = 11'000, .refused = 9050}, {.name = "feed", .requests = 60, .refused = 1}};
  CHECK(one_named(watched.found(), "PinfoldThrottled").text.starts_with("Requests of user feed"));
  watched.now.users[1].refused = 0;
  CHECK(watched.found().empty());
}

TEST_CASE("diagnosis: what was counted before the last minute is no finding") {
  for (const Case& one : kCases) {
    if (one.name == "PinfoldPurgesPending") continue;
    INFO(one.name);
    Watched watched;
    one.make(watched);
    Watched after = watched;
    after.before = watched.now;
    for (const std::string& name : names(after.found())) {
      // These are about what is now.
      const std::set<std::string> of_now = {"PinfoldMemoryHigh",
                                            "PinfoldMemoryCritical",
                                            "PinfoldProcessMemoryHigh",
                                            "PinfoldConnectionsHigh",
                                            "PinfoldConnectionsCritical",
                                            "PinfoldCertificateExpires",
                                            "PinfoldCertificateExpiresNow",
                                            "PinfoldAuditLogFailing",
                                            "PinfoldBypassOn",
                                            "PinfoldServeStaleOn",
                                            "PinfoldAdmissionLimited",
                                            "PinfoldLeasesOff",
                                            "PinfoldStampede",
                                            "PinfoldWaitersNearLimit",
                                            "PinfoldLeasesNearLimit",
                                            "PinfoldNoMemoryLimit",
                                            "PinfoldClientMemoryHigh",
                                            "PinfoldFragmentation",
                                            "PinfoldMonitorOn",
                                            "PinfoldHotKey",
                                            "PinfoldLargeValues",
                                            "PinfoldShardImbalance",
                                            "PinfoldMoreMemoryWouldHelp",
                                            "PinfoldNegativeMemory"};
      CHECK((name == one.name && of_now.contains(name)));
    }
  }
}

TEST_CASE("diagnosis: counters that were set back count from 0") {
  Watched watched;
  watched.before.stats.rejected_connections = 1000;
  watched.now.stats.rejected_connections = 3;
  CHECK(one_named(watched.found(), "PinfoldConnectionsRefused").value == "3 in 60 s");
}

TEST_CASE("diagnosis: a switch that is on for policies only is found, with how many there are") {
  Watched watched;
  watched.now.cache.policies_bypassed = 1;
  watched.now.cache.policies_serving_stale = 2;
  watched.now.cache.policies_admitting_part = 3;
  watched.now.cache.policies_without_leases = 4;
  const std::vector<Finding> found = watched.found();
  CHECK(names(found) == std::set<std::string>{"PinfoldBypassOn", "PinfoldServeStaleOn", "PinfoldAdmissionLimited", "PinfoldLeasesOff"});
  CHECK(one_named(found, "PinfoldBypassOn").value == "1 policy");
  CHECK(one_named(found, "PinfoldLeasesOff").value == "4 policies");
}

TEST_CASE("diagnosis: the severest come first") {
  Watched watched;
  watched.now.stats.evicted_for_memory = 600;
  watched.now.stats.auth_limited = 1;
  watched.now.stats.rejected_connections = 1;
  const std::vector<Finding> found = watched.found();
  REQUIRE(found.size() == 3);
  CHECK(severity_name(found[0].severity) == "critical");
  CHECK(severity_name(found[1].severity) == "warning");
  CHECK(severity_name(found[2].severity) == "info");
}

TEST_CASE("diagnosis: the policies that miss most are named, with why") {
  Watched watched;
  for (int i = 0; i < 250; ++i) {
    PolicyFigures policy;
    policy.name = "p" + std::to_string(i);
    policy.bytes = i % 2 == 0 ? 100 : 0;
    policy.misses = 1000 + static_cast<std::uint64_t>(i);
    policy.evicted = i == 248 ? 700 : i == 246 ? 5 : 0;
    watched.now.policies.push_back(policy);
  }
  const std::vector<Finding> found = watched.found();
  REQUIRE(found.size() == 5);
  CHECK(found[0].text.find("Policy p249:") == 0);
  CHECK(found[0].text.find("Nothing is stored") != std::string::npos);
  CHECK(found[1].text.find("Its keys were evicted (700)") != std::string::npos);
  CHECK(found[2].text.find("p247") != std::string::npos);
  CHECK(found[3].text.find("Too few keys were evicted (5) to explain that: most of what was missed was not loaded yet, has expired (its "
                           "ttl may be short)") != std::string::npos);
  watched.before.policies = watched.now.policies;
  std::ranges::reverse(watched.before.policies);
  CHECK(watched.found().empty());
  watched.now.policies[7].hits += 10'000;
  watched.now.policies[7].misses += 900;
  CHECK(watched.found().empty());
  watched.now.policies[8].stale_hits += 900;
  watched.now.policies[8].misses += 1000;
  CHECK(one_named(watched.found(), "PinfoldPolicyHitRatioLow").value == "47.4 %");
}

TEST_CASE("diagnosis: recent calls are those since then, of the commands that were called") {
  Watched watched;
  watched.call("get", Span64::us(10), 5);
  watched.call("set", Span64::us(10), 50);
  watched.call("strlen", Span64::us(10), 1);
  watched.before.commands = watched.now.commands;
  CHECK(recent_calls(watched.now, watched.before).empty());
  watched.before.commands.erase(watched.before.commands.begin() + 1);
  const std::vector<RecentCalls> only_set = recent_calls(watched.now, watched.before);
  REQUIRE(only_set.size() == 2);
  CHECK(only_set[0].command == "set");
  CHECK(only_set[1].command == "all");
  CHECK(only_set[1].durations.total == 50);
  CHECK(recent_calls(watched.now, {}).size() == 4);
  CHECK(recent_calls(watched.now, {}).back().durations.total == 56);
}

TEST_CASE("diagnosis: the history keeps the oldest of four points") {
  FigureHistory history;
  CHECK(history.oldest().figures == nullptr);
  CHECK(history.is_due(1));
  const auto at = [](std::int64_t second) { return second * 1'000'000; };
  for (std::int64_t second = 10; second <= 100; second += 15) {
    CHECK(history.is_due(at(second)));
    history.add(at(second), std::make_shared<Figures>());
    CHECK_FALSE(history.is_due(at(second + 14)));
    CHECK(history.oldest().at_us == at(std::max<std::int64_t>(10, second - 45)));
  }
}

TEST_CASE("PINFOLD.DIAGNOSE: answers findings as maps, for administrators") {
  Server server;
  server.keyspace.memory().set_limit(0);
  Client client(server);
  // There may be another finding: after other tests, and under a sanitizer, the process has much memory that is no data.
  const auto has = [](const std::string& reply, const std::string& text) { return reply.find(text) != std::string::npos; };
  const std::string begin = "$4\r\nname\r\n$20\r\nPinfoldNoMemoryLimit\r\n$8\r\nseverity\r\n$7\r\nwarning\r\n$5\r\nvalue\r\n";
  const std::string reply = client.run("PINFOLD.DIAGNOSE");
  CHECK(reply.starts_with("*"));
  REQUIRE(has(reply, "\r\n*10\r\n" + begin));
  const std::string runbook = "$7\r\nrunbook\r\n";  // of this finding, so the first one behind its name
  const std::size_t at = reply.find(runbook, reply.find(begin));
  REQUIRE(at != std::string::npos);
  CHECK(reply.substr(at).starts_with(runbook + "$9\r\nmemory.md\r\n"));
  client.run("HELLO", "3");
  CHECK(has(client.run("PINFOLD.DIAGNOSE"), "\r\n%5\r\n" + begin));
  CHECK(client.run("PINFOLD.DIAGNOSE", "x").starts_with("-ERR wrong number of arguments"));
  client.run("MULTI");
  CHECK(client.run("PINFOLD.DIAGNOSE").starts_with("-ERR"));
}
