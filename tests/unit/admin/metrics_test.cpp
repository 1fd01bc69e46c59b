// Metrics: every figure of INFO has one, and what they are called follows Prometheus' conventions.

#include "pinfold/admin/metrics.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

#include "pinfold/command/figures.hpp"

using namespace pinfold;
using admin::MetricDoc;

TEST_CASE("metrics: names, units and help texts follow the conventions of Prometheus") {
  std::set<std::string> names;
  for (const MetricDoc& doc : admin::metric_docs()) {
    CAPTURE(doc.name);
    CHECK(names.insert(doc.name).second);
    CHECK(doc.name.starts_with("pinfold_"));
    CHECK(doc.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == std::string::npos);
    CHECK((doc.type == "counter") == doc.name.ends_with("_total"));
    CHECK(doc.help.ends_with('.'));
    for (const std::string_view unit : {"_us", "_ms", "_milliseconds", "_microseconds", "_kb", "_mb", "_percent_total"}) {
      CHECK_FALSE(doc.name.ends_with(unit));
    }
    for (const std::string& label : doc.labels) {
      CHECK(std::set<std::string>{"command", "code", "db", "reason", "cause", "request", "part", "policy", "user", "thread", "mode", "by",
                                  "result", "version", "top", "up_to", "factor", "kind", "locked"}
                .contains(label));
    }
  }
}

TEST_CASE("metrics: a text that a policy or user may be named is escaped") {
  command::Figures figures;
  figures.users.emplace_back();
  figures.users.back().name = "a\"b\\c";
  figures.users.emplace_back();
  figures.users.back().name = "a\nb";
  figures.users.back().name_hash = 0xabc;
  const std::string text = admin::metrics_text(figures);
  CHECK(text.find("pinfold_user_clients{user=\"a\\\"b\\\\c\"} 0\n") != std::string::npos);
  CHECK(text.find("pinfold_user_clients{user=\"a\\\\u{a}b~00000abc\"} 0\n") != std::string::npos);
}

TEST_CASE("metrics: a histogram has its counts up to each bound, and its sum") {
  command::Figures figures;
  histogram::Counts counts;
  for (const std::uint64_t us : {0, 1, 3, 5000, 5200, 100'000'000}) {
    ++counts.of[histogram::bucket_of(Span64::us(us))];
    ++counts.total;
  }
  figures.commands.push_back(
      {.name = "get", .calls = 9, .durations = std::make_shared<const histogram::Counts>(counts), .measured_seconds = 6});
  const std::string text = admin::metrics_text(figures);
  const auto has = [&text](std::string_view line) { return text.find(std::string(line) + "\n") != std::string::npos; };
  const std::string bucket = "pinfold_command_duration_seconds_bucket{command=\"get\",le=\"";
  CHECK(has(bucket + "1e-06\"} 1"));
  CHECK(has(bucket + "2e-06\"} 2"));
  CHECK(has(bucket + "4e-06\"} 3"));
  CHECK(has(bucket + "0.00512\"} 4"));
  CHECK(has(bucket + "0.008192\"} 5"));
  CHECK(has(bucket + "+Inf\"} 6"));
  CHECK(has("pinfold_command_duration_seconds_count{command=\"get\"} 6"));
  CHECK(has("pinfold_command_duration_seconds_sum{command=\"get\"} 6"));
  CHECK(has(bucket + "1.048576\"} 5"));
}
