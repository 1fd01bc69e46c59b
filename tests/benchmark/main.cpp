#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "expiring.h"
#include "failure.h"
#include "handshakes.h"
#include "herd.h"
#include "idle.h"
#include "json.h"
#include "options.h"
#include "paced.h"
#include "replay.h"
#include "tally.h"
#include "throughput.h"

namespace pinfold::load {
namespace {

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

double micros(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::micro>(time).count(); }

// A GET benchmark must find every key and a SET benchmark must store every value unless told otherwise; a
// replay may miss, and may have single values refused, which it reports.
bool valid(const Options& options, const Tally& tally) {
  if (!tally.right()) return false;
  if (options.mode == Mode::kReplay) return true;
  return (options.may_miss || tally.misses == 0) && (options.may_refuse || tally.refused == 0);
}

JsonObject percentiles(const Histogram& times) {
  JsonObject json;
  json.add("p50", micros(times.percentile(0.5))).add("p99", micros(times.percentile(0.99)));
  json.add("p99.9", micros(times.percentile(0.999))).add("max", micros(times.max()));
  return json;
}

Tally measure(const Options& options) {
  switch (options.mode) {
    case Mode::kReplay:
      return replay(options);
    case Mode::kPaced:
      return paced(options);
    default:
      return throughput(options);
  }
}

void print(const Options& options, const Tally& tally) {
  const double elapsed = seconds(tally.elapsed);
  const auto requests = static_cast<double>(tally.requests);
  JsonObject json;
  json.add("mode", name_of(options.mode)).add("protocol", name_of(options.wire));
  json.add("valid", valid(options, tally)).add("problem", tally.problem());
  json.add("requests", tally.requests).add("seconds", elapsed);
  json.add("requests_per_second", elapsed > 0 ? requests / elapsed : 0.0);
  json.add("hits", tally.hits).add("misses", tally.misses).add("stored", tally.stored);
  json.add("deleted", tally.deleted);
  json.add("refused", tally.refused).add("refusal", tally.refusal());
  json.add("errors", tally.errors).add("wrong", tally.wrong);
  json.add("bytes_hit", tally.bytes_hit).add("bytes_miss", tally.bytes_miss);
  if (tally.hits + tally.misses > 0) {
    json.add("hit_ratio", static_cast<double>(tally.hits) / static_cast<double>(tally.hits + tally.misses));
  }
  if (options.mode != Mode::kReplay) {
    json.add("connections", std::uint64_t{options.connections});
    json.add("pipeline", std::uint64_t{options.pipeline});
  }
  if (tally.server_cpu_seconds >= 0) {
    json.add("server_cpu_seconds", tally.server_cpu_seconds).add("cpu_clock", tally.cpu_clock);
    if (tally.requests > 0) json.add("server_cpu_us_per_request", tally.server_cpu_seconds * 1e6 / requests);
  }
  json.add("latency_us", percentiles(tally.latency));
  if (options.mode == Mode::kPaced) json.add("late_us", percentiles(tally.lateness));
  std::puts(json.line().c_str());
}

int run(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--help") {
    std::fputs(usage(), stdout);
    return 0;
  }
  const Options options = parse_options(argc, argv);
  if (options.mode == Mode::kIdle) return hold_idle(options) ? 0 : 2;
  if (options.mode == Mode::kHerd) return herd(options) ? 0 : 2;
  if (options.mode == Mode::kHandshakes) return handshakes(options) ? 0 : 2;
  if (options.mode == Mode::kExpiring) return expiring(options) ? 0 : 2;
  const Tally tally = measure(options);
  print(options, tally);
  if (valid(options, tally)) return 0;
  std::fprintf(stderr, "pinfold-load: INVALID run: %llu errors, %llu wrong, %llu misses, %llu refused; %s\n",
               static_cast<unsigned long long>(tally.errors), static_cast<unsigned long long>(tally.wrong),
               static_cast<unsigned long long>(tally.misses), static_cast<unsigned long long>(tally.refused),
               tally.problem().empty() ? tally.refusal().c_str() : tally.problem().c_str());
  return 2;
}

}  // namespace
}  // namespace pinfold::load

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return pinfold::load::run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "pinfold-load: %s\n", failure.what());
    return 1;
  }
}
