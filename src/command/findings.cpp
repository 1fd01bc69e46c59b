// The findings: a function for each, which looks at the figures and says what is wrong, and the table of them.

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <optional>
#include <utility>

#include "pinfold/base/numbers.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/diagnosis.hpp"

namespace pinfold::command {

namespace {

// The thresholds are those of config/prometheus/rules/alerts.yml, where the reasons are. In percent, unless they say otherwise.
constexpr double few_reads = 10;       // per second: fewer say nothing about a hit ratio, and as few commands nothing about latency
constexpr double good_hit_ratio = 90;  // the service level
constexpr double low_hit_ratio = 70;
constexpr double bad_hit_ratio = 50;
constexpr double low_policy_hit_ratio = 50;
constexpr double many_stale = 5;
constexpr double many_negative = 20;
constexpr double many_expired_leases = 5;
constexpr double many_failed_loads = 50;
constexpr double many_fills_refused = 10;
constexpr double few_leases = 1;  // granted or ended per second: fewer say nothing about loads
constexpr double many_throttled = 5;
constexpr double many_errors = 1;
constexpr double errors_per_second = 10.0 / 60;
constexpr std::uint64_t high_p99_us = 10'000;
constexpr std::uint64_t bad_p99_us = 50'000;
constexpr std::uint64_t slow_p50_us = 2'000;
constexpr std::uint64_t long_script_us = 131'072;  // a bound of the histograms
constexpr double busy_thread = 80;
constexpr double long_waits = 5;                 // of the time that all I/O threads have
constexpr double many_evictions = 100;           // per second
constexpr double far_too_many_evictions = 1000;  // per second
constexpr double evictions_of_writes = 10;
constexpr double most_evictions_of_writes = 50;
constexpr double evictions_of_misses = 50;  // with fewer, most of what is missed was not evicted
constexpr double memory_high = 80;
constexpr double memory_critical = 95;
constexpr double resident_critical = 90;
constexpr double client_memory_high = 80;
constexpr double high_fragmentation = 1.5;  // times
constexpr std::uint64_t much_memory = 256 * 1024 * 1024;
constexpr double connections_high = 70;
constexpr double connections_critical = 90;
constexpr std::uint64_t herd = 100;  // waiting clients
constexpr std::uint64_t herd_of_lease = 10;
constexpr double near_limit = 80;
constexpr double negative_memory_high = 8;
constexpr double slow_commands_per_second = 1;
constexpr double busy_server = 1000;  // commands, or accesses to one key, per second: below it no key is hot
constexpr double hot_key = 5;
constexpr double hot_keys = 50;
constexpr double imbalanced = 2;  // times the mean
constexpr std::uint64_t much_data = 64 * 1024 * 1024;
constexpr double worth_more_memory = 5;  // percentage points
constexpr double long_lease_wait = 0.1;  // seconds
constexpr double few_lease_waits = 0.1;  // per second
constexpr double long_load = 1;          // seconds
constexpr std::uint64_t cold_seconds = 3600;
constexpr double auth_failures_per_second = 10.0 / 60;
constexpr double denials_per_second = 1;
constexpr double protocol_errors_per_second = 1;
constexpr double many_failed_handshakes = 10;
constexpr double few_handshakes = 0.1;  // per second
constexpr std::int64_t day = 24 * 60 * 60;
constexpr std::int64_t certificate_warning = 30 * day;
constexpr std::int64_t certificate_critical = 7 * day;
constexpr std::size_t most_policies_shown = 5;

// What a row says when it applies.
struct Said {
  std::string value;
  std::string text;
};
using Words = std::optional<Said>;

template <class... Arguments>
std::string format(const char* form, Arguments... arguments) {
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), form, arguments...);
  return {text.data(), std::min(static_cast<std::size_t>(std::max(size, 0)), text.size() - 1)};
}
std::string percent(double number) { return format("%.1f %%", number); }
// "12 clients", or "1 client".
std::string counted(std::uint64_t number, std::string_view what) {
  if (number == 1 && what.ends_with('s')) what.remove_suffix(1);
  return std::to_string(number).append(" ").append(what);
}
std::string duration(std::int64_t seconds) {
  if (seconds >= 2 * day) return std::to_string(seconds / day) + " days";
  if (seconds >= 2 * 3600) return std::to_string(seconds / 3600) + " hours";
  if (seconds >= 2 * 60) return std::to_string(seconds / 60) + " minutes";
  return std::to_string(seconds) + " s";
}

double share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

// By how much a counter has grown. CONFIG RESETSTAT sets counters back; what was counted since is all that is known then.
std::uint64_t grown(std::uint64_t now, std::uint64_t before) { return now >= before ? now - before : now; }
std::uint64_t grown(const Evidence& evidence, std::uint64_t StatsFigures::*counter) {
  return grown(evidence.now.stats.*counter, evidence.before.stats.*counter);
}
std::uint64_t grown(const Evidence& evidence, std::uint64_t CacheFigures::*counter) {
  return grown(evidence.now.cache.*counter, evidence.before.cache.*counter);
}
std::uint64_t grown(const Evidence& evidence, std::uint64_t TlsFigures::*counter) {
  return grown(evidence.now.tls.*counter, evidence.before.tls.*counter);
}
std::uint64_t grown(const Evidence& evidence, std::uint64_t ScriptFigures::*counter) {
  return grown(evidence.now.scripts.*counter, evidence.before.scripts.*counter);
}

double watched_seconds(const Evidence& evidence) { return std::max(evidence.seconds, 1.0); }
std::string lately(const Evidence& evidence) { return format(" in the last %.0f s", watched_seconds(evidence)); }
double per_second(const Evidence& evidence, std::uint64_t count) { return static_cast<double>(count) / watched_seconds(evidence); }
std::string rate(const Evidence& evidence, std::uint64_t count) { return format("%.1f per second", per_second(evidence, count)); }
// "2.94 ms", "1.02 s".
std::string duration(Span64 span) {
  const double seconds = span.seconds();
  return seconds < 0.9995 ? format("%.3g ms", seconds * 1e3) : format("%.3g s", seconds);
}

// "Connections were refused in the last 60 s: 12.", for what should not happen at all. Its value is "12 in 60 s".
Words happened(const Evidence& evidence, std::uint64_t count, std::string_view what, std::string_view advice) {
  if (count == 0) return std::nullopt;
  return Said{std::to_string(count) + format(" in %.0f s", watched_seconds(evidence)),
              std::string(what).append(lately(evidence)).append(": ").append(std::to_string(count)).append(". ").append(advice)};
}
// The same, if it happens more often than that in a second.
Words happens(const Evidence& evidence, std::uint64_t count, double most, std::string_view what, std::string_view advice) {
  return per_second(evidence, count) <= most ? std::nullopt : happened(evidence, count, what, advice);
}
// What is used of a limit, if it is more than `least` and at most `most` percent.
Words used(std::uint64_t part, std::uint64_t limit, double least, double most, std::string_view what, std::string_view advice) {
  const double percentage = share(part, limit);
  if (limit == 0 || percentage <= least || percentage > most) return std::nullopt;
  return Said{percent(percentage), std::string(what)
                                       .append(": ")
                                       .append(std::to_string(part))
                                       .append(" of ")
                                       .append(std::to_string(limit))
                                       .append(" (")
                                       .append(percent(percentage))
                                       .append("). ")
                                       .append(advice)};
}
constexpr double any = 1e9;  // percent

std::uint64_t reads(const Evidence& evidence) { return grown(evidence, &StatsFigures::hits) + grown(evidence, &StatsFigures::misses); }
// Reads that were answered: hits, and of the others those that got a stale value or were told that there is none.
std::uint64_t answered(const Evidence& evidence) {
  const std::uint64_t count =
      grown(evidence, &StatsFigures::hits) + grown(evidence, &CacheFigures::stale_hits) + grown(evidence, &CacheFigures::negative_hits);
  return std::min(count, reads(evidence));
}
double hit_ratio(const Evidence& evidence) { return share(answered(evidence), reads(evidence)); }
bool is_read(const Evidence& evidence) { return per_second(evidence, reads(evidence)) > few_reads; }

// --- memory ---

std::string of_limit(const MemoryFigures& memory) {
  if (memory.limit == 0) return binary_size(memory.data);
  return binary_size(memory.data) + " of the " + binary_size(memory.data_limit) + " that data may take (maxmemory is " +
         binary_size(memory.limit) + ")";
}

// A full cache that evicts is as it should be, also while nobody writes.
Words filling_up(const Evidence& evidence, double least, double most, std::string_view advice) {
  const MemoryFigures& memory = evidence.now.memory;
  const double full = share(memory.data, memory.data_limit);
  if (full <= least || full > most || grown(evidence, &StatsFigures::evicted_keys) != 0) return std::nullopt;
  if (memory.evicts != 0 && full > memory_critical) return std::nullopt;
  return Said{percent(full), of_limit(memory) + " are used (" + percent(full) + "), and nothing is evicted. " + std::string(advice)};
}
Words memory_is_high(const Evidence& evidence) { return filling_up(evidence, memory_high, memory_critical, "It will be full."); }
Words memory_is_full(const Evidence& evidence) {
  return filling_up(
      evidence, memory_critical, any,
      "maxmemory-policy is " + evidence.now.memory.policy + ", which may evict nothing here: the next writes are refused with OOM.");
}
Words writes_refused(const Evidence& evidence) {
  const auto count = [](const Figures& figures) {
    const auto found = std::ranges::find(figures.errors, "OOM", &ErrorFigures::code);
    return found != figures.errors.end() ? found->count : 0;
  };
  const MemoryFigures& memory = evidence.now.memory;
  return happened(evidence, grown(count(evidence.now), count(evidence.before)), "Requests were refused for want of memory (OOM)",
                  of_limit(memory) + " are used. maxmemory-policy is " + memory.policy +
                      (memory.evicts == 0                       ? ": nothing is evicted."
                       : memory.policy.starts_with("volatile-") ? ": keys without a TTL are not evicted."
                                                                : "."));
}
Words memory_unlimited(const Evidence& evidence) {
  if (evidence.now.memory.limit != 0) return std::nullopt;
  const std::string now = binary_size(evidence.now.memory.used);
  return Said{now, "There is no maxmemory: the server grows until the kernel ends it. " + now + " are used."};
}
Words process_is_large(const Evidence& evidence) {
  const MemoryFigures& memory = evidence.now.memory;
  const double part = share(memory.resident, memory.available);
  if (part <= resident_critical) return std::nullopt;
  return Said{percent(part), "The process takes " + binary_size(memory.resident) + " of the " + binary_size(memory.available) +
                                 " of the machine or container. The kernel may end it."};
}
Words client_memory(const Evidence& evidence) {
  const MemoryFigures& memory = evidence.now.memory;
  if (share(memory.clients, memory.clients_share) <= client_memory_high) return std::nullopt;
  return Said{binary_size(memory.clients),
              "Clients take " + binary_size(memory.clients) + " of the " + binary_size(memory.clients_share) +
                  " of maxmemory-clients, in requests and in replies that they do not read. Beyond that the largest "
                  "are closed; CLIENT LIST shows them (tot-mem)."};
}
Words negative_memory(const Evidence& evidence) {
  const std::uint64_t taken = evidence.now.cache.negative_bytes;
  const double part = share(taken, evidence.now.memory.limit);
  if (part <= negative_memory_high) return std::nullopt;
  return Said{percent(part), binary_size(taken) + " (" + percent(part) + " of maxmemory) say that something does not exist."};
}
Words more_memory_would_help(const Evidence& evidence) {
  const WorkingSetFigures& set = evidence.now.working_set;
  const double more = set.twice - set.present;
  if (set.state != "known" || more <= worth_more_memory) return std::nullopt;
  return Said{format("%.1f points", more), "With twice the memory " + percent(set.twice) + " of the reads would hit, in place of " +
                                               percent(set.present) + ". PINFOLD.ADVISE says more."};
}
Words fragmentation(const Evidence& evidence) {
  const MemoryFigures& memory = evidence.now.memory;
  if (memory.fragmentation < high_fragmentation || memory.resident < much_memory) return std::nullopt;
  return Said{format("%.2f times", memory.fragmentation), "The process takes " + binary_size(memory.resident) + ", which is " +
                                                              format("%.2f times", memory.fragmentation) +
                                                              " what it accounts for. MEMORY PURGE gives back what it can."};
}

// --- eviction ---

std::uint64_t evicted(const Evidence& evidence) { return grown(evidence, &StatsFigures::evicted_for_memory); }
// Commands that store a value; one MSET is one, whatever it stores.
std::uint64_t written(const Evidence& evidence) {
  const auto sum = [](const Figures& figures) {
    std::uint64_t all = 0;
    for (const CommandFigures& one : figures.commands) {
      const Row* const row = find_command_by_name(one.name);
      if (row != nullptr && (row->flags & kDenyOom) != 0) all += one.calls;
    }
    return all;
  };
  return grown(sum(evidence.now), sum(evidence.before));
}
// How much of what is written pushes something out, if these are more than `least` keys a second and more than `least_share` of the writes,
// and less than `good_ratio` of the reads are answered.
Words evictions(const Evidence& evidence, double least, double least_share, double good_ratio) {
  const std::uint64_t count = evicted(evidence);
  const double ratio = hit_ratio(evidence);
  if (per_second(evidence, count) <= least || !is_read(evidence) || ratio >= good_ratio) return std::nullopt;
  const double per_write = share(count, std::max<std::uint64_t>(written(evidence), 1));
  if (per_write <= least_share) return std::nullopt;
  return Said{rate(evidence, count), "Keys were evicted for want of memory" + lately(evidence) + ": " + std::to_string(count) + " (" +
                                         rate(evidence, count) + "): " + percent(std::min(per_write, 100.0)) +
                                         " of the writes push something out, and only " + percent(ratio) + " of the reads are answered."};
}
Words eviction_flood(const Evidence& evidence) {
  return evictions(evidence, far_too_many_evictions, most_evictions_of_writes, low_hit_ratio);
}
Words eviction_spike(const Evidence& evidence) {
  return eviction_flood(evidence) ? std::nullopt : evictions(evidence, many_evictions, evictions_of_writes, good_hit_ratio);
}
Words evicts(const Evidence& evidence) {
  const std::uint64_t count = evicted(evidence);
  if (count == 0 || eviction_flood(evidence) || eviction_spike(evidence)) return std::nullopt;
  return Said{rate(evidence, count), "Keys were evicted" + lately(evidence) + ": " + std::to_string(count) + ". " +
                                         of_limit(evidence.now.memory) +
                                         " are used. That is how a cache works, as long as the hit ratio is good."};
}
// How long threads have waited, beside the time that all I/O threads have. The waits of other threads are among them.
Words waits(const Evidence& evidence, std::uint64_t us, std::string_view what) {
  const double threads = static_cast<double>(std::max<std::size_t>(evidence.now.threads.size(), 1));
  const double part = 100 * static_cast<double>(us) / 1e6 / watched_seconds(evidence) / threads;
  if (part <= long_waits) return std::nullopt;
  return Said{percent(part),
              std::string(what) + " has taken " + percent(part) + " of the time that the I/O threads had" + lately(evidence) + "."};
}
Words waits_for_room(const Evidence& evidence) {
  return waits(evidence, grown(evidence, &StatsFigures::room_wait_us), "Evicting before values could be stored");
}

// --- latency ---

bool called_enough(const Evidence& evidence, const RecentCalls& calls) { return per_second(evidence, calls.durations.total) > few_reads; }

Words latency(const Evidence& evidence, std::uint64_t least_us, std::uint64_t less_us) {
  std::vector<RecentCalls> recent = recent_calls(evidence.now, evidence.before);
  if (recent.empty() || !called_enough(evidence, recent.back())) return std::nullopt;
  const Span64 p99 = recent.back().durations.percentile(99);
  if (p99.units <= Span64::us(least_us).units || p99.units > Span64::us(less_us).units) return std::nullopt;
  recent.pop_back();
  const auto slowest = std::ranges::max_element(recent, {}, [](const RecentCalls& one) { return one.durations.percentile(99).units; });
  return Said{duration(p99), "One command in a hundred took " + duration(p99) + " or more" + lately(evidence) + ". The slowest is " +
                                 std::string(slowest->command) + " (" + duration(slowest->durations.percentile(99)) + "; SLOWLOG GET)."};
}
Words latency_is_high(const Evidence& evidence) { return latency(evidence, high_p99_us, bad_p99_us); }
Words latency_is_bad(const Evidence& evidence) { return latency(evidence, bad_p99_us, UINT32_MAX); }
Words all_is_slow(const Evidence& evidence) {
  const std::vector<RecentCalls> recent = recent_calls(evidence.now, evidence.before);
  if (recent.empty() || !called_enough(evidence, recent.back())) return std::nullopt;
  const Span64 p50 = recent.back().durations.percentile(50);
  if (p50.units <= Span64::us(slow_p50_us).units) return std::nullopt;
  return Said{duration(p50), "Half of all commands took " + duration(p50) + " or more" + lately(evidence) + ": the whole server is slow."};
}
Words commands_are_slow(const Evidence& evidence) {
  return happens(evidence, grown(evidence, &StatsFigures::slow_commands), slow_commands_per_second,
                 "Commands were slower than slowlog-log-slower-than", "SLOWLOG GET shows them.");
}
Words thread_is_busy(const Evidence& evidence) {
  double most = 0;
  unsigned number = 0;
  for (const ThreadFigures& thread : evidence.now.threads) {
    const auto before = std::ranges::find(evidence.before.threads, thread.number, &ThreadFigures::number);
    const double busy = thread.busy - (before != evidence.before.threads.end() && before->busy <= thread.busy ? before->busy : 0);
    if (busy > most) {
      most = busy;
      number = thread.number;
    }
  }
  const double part = 100 * most / watched_seconds(evidence);
  if (part <= busy_thread) return std::nullopt;
  return Said{percent(part), "I/O thread " + std::to_string(number) + " was busy " + percent(part) + " of the time" + lately(evidence) +
                                 ": it is saturated."};
}
Words lock_waits(const Evidence& evidence) {
  return waits(evidence, grown(evidence, &StatsFigures::lock_wait_us), "Waiting for the locks of shards");
}
// Runs of scripts and functions lately, whichever command has begun them. None are known while the setting metrics is off.
histogram::Counts script_runs(const Evidence& evidence) {
  constexpr std::string_view commands[] = {"eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"};
  histogram::Counts all;
  for (const RecentCalls& one : recent_calls(evidence.now, evidence.before)) {
    if (std::ranges::find(commands, one.command) != std::end(commands)) all += one.durations;
  }
  return all;
}
Words scripts_hold_keys(const Evidence& evidence) {
  const std::uint64_t stopped = grown(evidence, &ScriptFigures::out_of_time);
  const histogram::Counts runs = script_runs(evidence);
  const std::uint64_t slow = runs.total - runs.below(Span64::us(long_script_us));
  if (stopped == 0 && slow == 0) return std::nullopt;
  std::string text = "Scripts have kept keys locked for long" + lately(evidence) + ": ";
  if (slow > 0) {
    text += std::to_string(slow) + " took " + duration(Span64::us(long_script_us)) + " or more, the longest about " +
            duration(runs.percentile(100));
  }
  if (stopped > 0) text += (slow > 0 ? ", and " : "") + std::string("script-time-limit has stopped ") + std::to_string(stopped);
  const std::uint64_t with_all = grown(evidence, &ScriptFigures::locked_all);
  text += ". All keys were locked for " + std::to_string(with_all) + " of " +
          counted(with_all + grown(evidence, &ScriptFigures::locked_declared), "runs") +
          ". SLOWLOG GET shows them, and FUNCTION STATS one that is running; docs/scripts.md says how to lock less.";
  return Said{std::to_string(std::max(slow, stopped)) + format(" in %.0f s", watched_seconds(evidence)), text};
}
Words errors(const Evidence& evidence) {
  const std::uint64_t count = grown(evidence, &StatsFigures::error_replies);
  const double part = share(count, std::max(grown(evidence, &StatsFigures::commands), count));
  if (per_second(evidence, count) <= errors_per_second || part <= many_errors) return std::nullopt;
  return Said{percent(part), "Replies were errors" + lately(evidence) + ": " + std::to_string(count) + ", " + percent(part) +
                                 " of all. INFO errorstats counts them by their codes."};
}

// --- hits ---

// Why reads have missed where evictions do not explain it, because there were so few.
std::string not_evicted(std::uint64_t count, std::string_view of_expiry = "") {
  const std::string evictions =
      count == 0 ? "No key was evicted" : "Too few keys were evicted (" + std::to_string(count) + ") to explain that";
  return (evictions + ": most of what was missed was not loaded yet, has expired")
      .append(of_expiry)
      .append(", was removed, or does not exist.");
}
std::string why_missed(const Evidence& evidence) {
  if (evidence.now.cache.bypass != 0) return "bypass is on.";
  const std::uint64_t missed = reads(evidence) - answered(evidence);
  const std::uint64_t for_memory = evicted(evidence);
  if (share(for_memory, missed) >= evictions_of_misses)
    return "What is read does not fit into memory: " + counted(for_memory, "keys") + " evicted.";
  const std::uint64_t all = grown(evidence, &StatsFigures::evicted_keys);
  if (share(all, missed) >= evictions_of_misses)
    return "Policies give too little memory to what is read (max-memory, first-out): " + counted(all, "keys") + " evicted.";
  return not_evicted(all);
}
Words hits(const Evidence& evidence, double least, double less) {
  const double ratio = hit_ratio(evidence);
  if (!is_read(evidence) || ratio < least || ratio >= less) return std::nullopt;
  return Said{percent(ratio), "Only " + percent(ratio) + " of " + counted(reads(evidence), "reads were answered") + lately(evidence) +
                                  ". " + why_missed(evidence)};
}
Words hits_are_low(const Evidence& evidence) { return hits(evidence, bad_hit_ratio, low_hit_ratio); }
Words hits_are_bad(const Evidence& evidence) { return hits(evidence, 0, bad_hit_ratio); }
Words is_cold(const Evidence& evidence) {
  if (!is_read(evidence) || hit_ratio(evidence) >= low_hit_ratio || evidence.up_seconds >= cold_seconds) return std::nullopt;
  return Said{duration(static_cast<std::int64_t>(evidence.up_seconds)),
              "The server has started " + duration(static_cast<std::int64_t>(evidence.up_seconds)) +
                  " ago and is cold: " + percent(hit_ratio(evidence)) + " of the reads are answered."};
}
// The part of the reads that got an answer of one kind.
Words answers(const Evidence& evidence, std::uint64_t CacheFigures::*counter, double many, std::string_view what) {
  const double part = share(grown(evidence, counter), reads(evidence));
  if (!is_read(evidence) || part <= many) return std::nullopt;
  return Said{percent(part), percent(part) + " of the reads" + lately(evidence) + " " + std::string(what)};
}
Words stale(const Evidence& evidence) {
  return answers(evidence, &CacheFigures::stale_hits, many_stale, "got a stale value: refreshes do not keep up.");
}
Words negative(const Evidence& evidence) {
  return answers(evidence, &CacheFigures::negative_hits, many_negative,
                 "were for keys that are known not to exist: somebody probes, or a link is dead.");
}

// --- leases ---

Words stampede(const Evidence& evidence) {
  const CacheFigures& cache = evidence.now.cache;
  if (cache.waiters <= herd || cache.waiters <= herd_of_lease * cache.leases) return std::nullopt;
  return Said{counted(cache.waiters, "clients"),
              counted(cache.waiters, "clients wait for ") + counted(cache.leases, "loads") + ": a herd."};
}
Words waiters_near_limit(const Evidence& evidence) {
  return used(evidence.now.cache.waiters, evidence.most_waiters, near_limit, any, "Waiting clients, of max-lease-waiters",
              "Beyond it clients are told to come back.");
}
Words leases_near_limit(const Evidence& evidence) {
  return used(evidence.now.cache.leases, evidence.now.cache.max_leases, near_limit, any, "Leases, of max-leases",
              "Beyond it misses get none, and readers ask the origin together.");
}
Words leases_refused(const Evidence& evidence) {
  // With max-leases 0 every lease is refused, and some were in the last minute if it was 0 then.
  if (evidence.now.cache.max_leases == 0 || evidence.before.cache.max_leases == 0) return std::nullopt;
  const std::uint64_t count = grown(evidence, &CacheFigures::refused_max_leases) + grown(evidence, &CacheFigures::refused_for_memory) +
                              grown(evidence, &CacheFigures::waits_refused_max_waiters) +
                              grown(evidence, &CacheFigures::waits_refused_for_memory);
  return happened(
      evidence, count, "Leases and waits were refused",
      "The limits are max-leases, max-lease-waiters, and memory. These readers get no lease; those that load all the same go to the "
      "origin together.");
}
std::uint64_t ended(const Evidence& evidence) {
  return grown(evidence, &CacheFigures::filled) + grown(evidence, &CacheFigures::voided) + grown(evidence, &CacheFigures::expired) +
         grown(evidence, &CacheFigures::released);
}
Words leases_expire(const Evidence& evidence) {
  const std::uint64_t count = grown(evidence, &CacheFigures::expired);
  const double part = share(count, ended(evidence));
  if (per_second(evidence, ended(evidence)) <= few_leases || part <= many_expired_leases) return std::nullopt;
  return Said{percent(part), "Leases ran out before they were filled" + lately(evidence) + ": " + std::to_string(count) + " (" +
                                 percent(part) +
                                 " of those that ended). Their holders have died, or the origin takes longer than lease-duration."};
}
Words origin_fails(const Evidence& evidence) {
  const std::uint64_t count = grown(evidence, &CacheFigures::expired) + grown(evidence, &CacheFigures::released);
  const double part = share(count, ended(evidence));
  if (per_second(evidence, ended(evidence)) <= few_leases || part <= many_failed_loads) return std::nullopt;
  return Said{percent(part), percent(part) + " of the loads" + lately(evidence) + " ended without a value: the origin fails."};
}
Words fills_refused(const Evidence& evidence) {
  const std::uint64_t count = grown(evidence, &CacheFigures::fills_refused);
  const std::uint64_t granted = grown(evidence, &CacheFigures::granted);
  const double part = share(count, std::max(granted, count));
  if (per_second(evidence, granted) <= few_leases || part <= many_fills_refused) return std::nullopt;
  return Said{percent(part), "Fills were refused" + lately(evidence) + ": " + std::to_string(count) + ", " + percent(part) +
                                 " of the loads. Their keys were changed meanwhile, or their leases ran out."};
}
Words purges_pending(const Evidence& evidence) {
  const std::uint64_t pending = evidence.now.cache.purges_pending;
  if (pending == 0 || evidence.before.cache.purges_pending == 0) return std::nullopt;
  return Said{counted(pending, "purges"),
              "Purges in force that are not swept yet: " + std::to_string(pending) + ". Their entries still take memory."};
}

// What happened since then of what a histogram counts.
histogram::Counts recent(const DurationFigures& now, const DurationFigures& before) {
  histogram::Counts counts = now.counts;
  if (before.counts.total <= counts.total) counts -= before.counts;
  return counts;
}
Span64 recent_load(const Evidence& evidence) {
  return recent(evidence.now.distributions.loads, evidence.before.distributions.loads).percentile(99);
}
Words lease_waits_are_long(const Evidence& evidence) {
  const histogram::Counts all = recent(evidence.now.distributions.waits, evidence.before.distributions.waits);
  const Span64 wait = all.percentile(99);
  const Span64 load = recent_load(evidence);
  if (per_second(evidence, all.total) <= few_lease_waits || load.units == 0) return std::nullopt;
  if (wait.seconds() <= long_lease_wait || wait.seconds() <= 1.5 * load.seconds()) return std::nullopt;
  return Said{duration(wait), "One wait in a hundred for a load took " + duration(wait) + " or more" + lately(evidence) + ", and loads " +
                                  duration(load) + ": loads fail and are begun again."};
}
Words cascading_failure(const Evidence& evidence) {
  const Span64 load = recent_load(evidence);
  if (load.seconds() <= long_load || evidence.now.cache.waiters <= herd || !is_read(evidence) || hit_ratio(evidence) >= low_hit_ratio)
    return std::nullopt;
  return Said{duration(load), "Loads take " + duration(load) + ", " + counted(evidence.now.cache.waiters, "clients wait for them") +
                                  ", and only " + percent(hit_ratio(evidence)) +
                                  " of the reads are answered: server, clients and origin pull each other down."};
}

// --- keys ---

bool is_busy(const Evidence& evidence) { return per_second(evidence, grown(evidence, &StatsFigures::commands)) > busy_server; }
Words key_is_hot(const Evidence& evidence) {
  const KeyFigures& keys = evidence.now.keys;
  if (keys.hottest <= hot_key || keys.hottest / 100 * keys.accesses_per_second <= busy_server) return std::nullopt;
  return Said{percent(keys.hottest), "One key has " + percent(keys.hottest) + " of all accesses, " +
                                         format("%.0f per second", keys.hottest / 100 * keys.accesses_per_second) + ". HOTKEYS names it."};
}
Words keys_are_hot(const Evidence& evidence) {
  const KeyFigures& keys = evidence.now.keys;
  if (!is_busy(evidence) || keys.top_1 <= hot_keys) return std::nullopt;
  return Said{percent(keys.top_1), "1 % of the keys have " + percent(keys.top_1) + " of all accesses. HOTKEYS names the first of them."};
}
Words values_are_large(const Evidence& evidence) {
  const KeyFigures& keys = evidence.now.keys;
  const std::uint64_t count = keys.of_16mb + keys.larger;
  if (count == 0) return std::nullopt;
  return Said{counted(count, "values"), "Values of more than 1 MiB: " + std::to_string(count) +
                                            ", of more than 16 MiB: " + std::to_string(keys.larger) +
                                            ". Each takes its client's thread for as long as it is received and sent."};
}
Words shards_are_uneven(const Evidence& evidence) {
  const double ratio = evidence.now.stats.shard_imbalance;
  if (ratio <= imbalanced || evidence.now.memory.data <= much_data) return std::nullopt;
  return Said{format("%.1f times", ratio), "The fullest shard has " + format("%.1f times", ratio) +
                                               " the memory of the mean: large values, or keys that were made to collide."};
}

// --- clients ---

Words monitored(const Evidence& evidence) {
  if (evidence.monitors == 0) return std::nullopt;
  return Said{counted(evidence.monitors, "clients"),
              "Clients that are sent every command (MONITOR): " + std::to_string(evidence.monitors) + ". That slows the server."};
}

constexpr std::string_view connections_words = "Connections, of maxclients";
constexpr std::string_view connections_advice = "Beyond it new ones are refused.";
Words connections_are_high(const Evidence& evidence) {
  return used(evidence.clients, evidence.most_clients, connections_high, connections_critical, connections_words, connections_advice);
}
Words connections_are_critical(const Evidence& evidence) {
  return used(evidence.clients, evidence.most_clients, connections_critical, any, connections_words, connections_advice);
}
Words connections_refused(const Evidence& evidence) {
  return happened(evidence, grown(evidence, &StatsFigures::rejected_connections), "Connections were refused",
                  "There were maxclients of them.");
}
Words clients_closed(const Evidence& evidence) {
  const std::uint64_t count = grown(evidence, &StatsFigures::evicted_clients) + grown(evidence, &StatsFigures::clients_closed_for_users) +
                              grown(evidence, &StatsFigures::output_limit_disconnections) +
                              grown(evidence, &StatsFigures::query_limit_disconnections) +
                              grown(evidence, &StatsFigures::abandoned_disconnections);
  return happened(evidence, count, "Clients were closed because of what they take in memory",
                  "The log says which, and which limit it was.");
}

// --- security ---

Words auth_failures(const Evidence& evidence) {
  return happens(evidence, grown(evidence, &StatsFigures::auth_failures), auth_failures_per_second, "Attempts to authenticate failed",
                 "ACL LOG and the audit log say from where.");
}
Words auth_limited(const Evidence& evidence) {
  return happened(evidence, grown(evidence, &StatsFigures::auth_limited), "Attempts to authenticate were refused unseen",
                  "Too many from one address had failed: somebody guesses passwords, or has an old one.");
}
// By the reason that there is most of. Wrong passwords are auth_failures.
Words denials(const Evidence& evidence) {
  constexpr std::pair<std::string_view, std::uint64_t StatsFigures::*> reasons[] = {{"the command", &StatsFigures::denied_command},
                                                                                    {"a key", &StatsFigures::denied_key},
                                                                                    {"the database", &StatsFigures::denied_database},
                                                                                    {"a channel", &StatsFigures::denied_channel}};
  const auto most = std::ranges::max_element(reasons, {}, [&](const auto& one) { return grown(evidence, one.second); });
  return happens(evidence, grown(evidence, most->second), denials_per_second,
                 std::string("Requests were denied to their users because of ").append(most->first), "ACL LOG says whose, and what.");
}
// The user of whose requests the largest part was refused. Users that were made meanwhile have no figures before.
Words throttled(const Evidence& evidence) {
  std::vector<std::pair<std::string_view, const UserFigures*>> former;
  for (const UserFigures& user : evidence.before.users) former.emplace_back(user.name, &user);
  std::ranges::sort(former);
  const UserFigures none;
  double most = 0;
  const UserFigures* whose = nullptr;
  std::uint64_t refused = 0;
  for (const UserFigures& now : evidence.now.users) {
    const auto found = std::ranges::lower_bound(former, std::string_view(now.name), {}, [](const auto& one) { return one.first; });
    const UserFigures& before = found != former.end() && found->first == now.name ? *found->second : none;
    const std::uint64_t count = grown(now.refused, before.refused);
    const double part = share(count, std::max(grown(now.requests, before.requests), count));
    if (part > most) {
      most = part;
      whose = &now;
      refused = count;
    }
  }
  if (whose == nullptr || most <= many_throttled) return std::nullopt;
  return Said{percent(most), "Requests of user " + whose->name + " were refused because of its request rate" + lately(evidence) + ": " +
                                 std::to_string(refused) + ", " + percent(most) + " of its requests. INFO users counts those of others."};
}
Words strangers(const Evidence& evidence) {
  return happened(evidence, grown(evidence, &StatsFigures::protected_connections), "Connections from other machines were refused",
                  "protected-mode is on, and no password is asked for.");
}
Words protocol_errors(const Evidence& evidence) {
  return happens(evidence, grown(evidence, &StatsFigures::protocol_errors), protocol_errors_per_second, "Requests were not in the protocol",
                 "A scan, or a client for another port.");
}
Words audit_fails(const Evidence& evidence) {
  if (evidence.now.stats.audit_failing == 0) return std::nullopt;
  return Said{"failing", "The audit log cannot be written. The log says why."};
}
Words audit_lost(const Evidence& evidence) {
  return happened(evidence, grown(evidence, &StatsFigures::audit_lost), "Lines of the audit log were lost",
                  "They came faster than they could be written.");
}

// Of the certificate that ends first.
Words certificate(const TlsFigures& tls, std::int64_t least_left, std::int64_t less_left) {
  if (tls.server_expires == 0 && tls.ca_expires == 0) return std::nullopt;
  const bool authority = tls.ca_expires != 0 && (tls.server_expires == 0 || tls.ca_left < tls.server_left);
  const std::int64_t left = authority ? tls.ca_left : tls.server_left;
  if (left < least_left || left >= less_left) return std::nullopt;
  const std::string which = authority ? "The authority's certificate (tls-ca-cert-file)" : "The server's certificate (tls-cert-file)";
  if (left <= 0) return Said{"expired", which + " has expired: clients that check it do not connect."};
  return Said{duration(left), which + " expires in " + duration(left) + "."};
}
Words certificate_expires(const Evidence& evidence) { return certificate(evidence.now.tls, certificate_critical, certificate_warning); }
Words certificate_expires_now(const Evidence& evidence) { return certificate(evidence.now.tls, INT64_MIN, certificate_critical); }
Words handshakes_fail(const Evidence& evidence) {
  const std::uint64_t count = grown(evidence, &TlsFigures::failed) + grown(evidence, &TlsFigures::timed_out);
  const std::uint64_t all = count + grown(evidence, &TlsFigures::handshakes);
  const double part = share(count, all);
  if (per_second(evidence, all) <= few_handshakes || part <= many_failed_handshakes) return std::nullopt;
  return Said{percent(part), "TLS handshakes failed or timed out" + lately(evidence) + ": " + std::to_string(count) + ", " + percent(part) +
                                 " of all. The log says why."};
}
Words certificate_load(const Evidence& evidence) {
  return happened(evidence, grown(evidence, &TlsFigures::failed_loads), "Loads of certificates failed",
                  "The former ones stay. INFO tls says why.");
}

// --- switches ---

// A switch that is on for all keys, or for those of some policies.
Words switched(bool on, std::string_view value, std::uint64_t policies, std::string_view name, std::string_view effect) {
  if (on) return Said{std::string(value), std::string(name).append(" is ").append(value).append(": ").append(effect)};
  if (policies == 0) return std::nullopt;
  const std::string where = policies == 1 ? "1 policy" : counted(policies, "policies");
  return Said{where, where + " with " + std::string(name).append(": ").append(effect)};
}
Words serves_stale(const Evidence& evidence) {
  const CacheFigures& cache = evidence.now.cache;
  return switched(cache.serves_stale != 0, "on", cache.policies_serving_stale, "serve-stale",
                  "every reader gets stale values, however old. Turn it off when the origin is back.");
}
Words bypassed(const Evidence& evidence) {
  const CacheFigures& cache = evidence.now.cache;
  return switched(cache.bypass != 0, "on", cache.policies_bypassed, "bypass", "reads miss, and nothing is stored.");
}
Words admits_few(const Evidence& evidence) {
  const CacheFigures& cache = evidence.now.cache;
  return switched(cache.admit_percent < 100, std::to_string(cache.admit_percent) + " %", cache.policies_admitting_part, "admit",
                  "of the keys that are not stored yet, only a part is.");
}
Words no_leases(const Evidence& evidence) {
  const CacheFigures& cache = evidence.now.cache;
  return switched(cache.max_leases == 0, "0", cache.policies_without_leases, "max-leases",
                  "no miss gets a lease, and nothing holds a herd back.");
}

// What may be found. Rows of one severity stand in the order in which they are shown.
struct Look {
  std::string_view name;
  Severity severity;
  std::string_view runbook;
  Words (*look)(const Evidence&);
};

constexpr Look kLooks[] = {
    {"PinfoldCascadingFailure", Severity::critical, "cascading-failure.md", cascading_failure},
    {"PinfoldSlowCache", Severity::critical, "slow-cache.md", all_is_slow},
    {"PinfoldLatencyCritical", Severity::critical, "high-latency.md", latency_is_bad},
    {"PinfoldHitRatioCritical", Severity::critical, "low-hit-ratio.md", hits_are_bad},
    {"PinfoldOriginFailing", Severity::critical, "cascading-failure.md", origin_fails},
    {"PinfoldLeasesRefused", Severity::critical, "stampede.md", leases_refused},
    {"PinfoldWritesRefused", Severity::critical, "memory.md", writes_refused},
    {"PinfoldMemoryCritical", Severity::critical, "memory.md", memory_is_full},
    {"PinfoldProcessMemoryHigh", Severity::critical, "memory.md", process_is_large},
    {"PinfoldEvictionSpikeCritical", Severity::critical, "eviction-spike.md", eviction_flood},
    {"PinfoldWaitsForRoom", Severity::critical, "eviction-spike.md", waits_for_room},
    {"PinfoldConnectionsRefused", Severity::critical, "connections.md", connections_refused},
    {"PinfoldConnectionsCritical", Severity::critical, "connections.md", connections_are_critical},
    {"PinfoldCertificateExpiresNow", Severity::critical, "certificate.md", certificate_expires_now},
    {"PinfoldAuditLogFailing", Severity::critical, "audit-log.md", audit_fails},
    {"PinfoldAuditLinesLost", Severity::critical, "audit-log.md", audit_lost},
    {"PinfoldBypassOn", Severity::warning, "switches.md", bypassed},
    {"PinfoldServeStaleOn", Severity::warning, "switches.md", serves_stale},
    {"PinfoldAdmissionLimited", Severity::warning, "switches.md", admits_few},
    {"PinfoldLeasesOff", Severity::warning, "switches.md", no_leases},
    {"PinfoldMonitorOn", Severity::warning, "switches.md", monitored},
    {"PinfoldScriptsHoldKeys", Severity::warning, "high-latency.md", scripts_hold_keys},
    {"PinfoldLatencyHigh", Severity::warning, "high-latency.md", latency_is_high},
    {"PinfoldEventLoopBusy", Severity::warning, "high-latency.md", thread_is_busy},
    {"PinfoldLockWaits", Severity::warning, "high-latency.md", lock_waits},
    {"PinfoldSlowCommands", Severity::warning, "high-latency.md", commands_are_slow},
    {"PinfoldErrorsHigh", Severity::warning, "errors.md", errors},
    {"PinfoldHitRatioLow", Severity::warning, "low-hit-ratio.md", hits_are_low},
    {"PinfoldColdStart", Severity::warning, "cold-start.md", is_cold},
    {"PinfoldEvictionSpike", Severity::warning, "eviction-spike.md", eviction_spike},
    {"PinfoldStampede", Severity::warning, "stampede.md", stampede},
    {"PinfoldWaitersNearLimit", Severity::warning, "stampede.md", waiters_near_limit},
    {"PinfoldLeasesNearLimit", Severity::warning, "stampede.md", leases_near_limit},
    {"PinfoldLeasesExpire", Severity::warning, "stampede.md", leases_expire},
    {"PinfoldLeaseWaitsLong", Severity::warning, "stampede.md", lease_waits_are_long},
    {"PinfoldHotKey", Severity::warning, "hot-key.md", key_is_hot},
    {"PinfoldStaleServed", Severity::warning, "stale-data.md", stale},
    {"PinfoldFillsRefused", Severity::warning, "stale-data.md", fills_refused},
    {"PinfoldNegativeStorm", Severity::warning, "penetration.md", negative},
    {"PinfoldNegativeMemory", Severity::warning, "penetration.md", negative_memory},
    {"PinfoldMemoryHigh", Severity::warning, "memory.md", memory_is_high},
    {"PinfoldNoMemoryLimit", Severity::warning, "memory.md", memory_unlimited},
    {"PinfoldClientMemoryHigh", Severity::warning, "memory.md", client_memory},
    {"PinfoldFragmentation", Severity::warning, "memory.md", fragmentation},
    {"PinfoldConnectionsHigh", Severity::warning, "connections.md", connections_are_high},
    {"PinfoldClientsClosedForMemory", Severity::warning, "connections.md", clients_closed},
    {"PinfoldCertificateExpires", Severity::warning, "certificate.md", certificate_expires},
    {"PinfoldCertificateLoadFailed", Severity::warning, "certificate.md", certificate_load},
    {"PinfoldTlsHandshakesFail", Severity::warning, "certificate.md", handshakes_fail},
    {"PinfoldAuthLimited", Severity::warning, "security.md", auth_limited},
    {"PinfoldAuthFailures", Severity::warning, "security.md", auth_failures},
    {"PinfoldDenials", Severity::warning, "security.md", denials},
    {"PinfoldThrottled", Severity::warning, "security.md", throttled},
    {"PinfoldProtectedMode", Severity::warning, "security.md", strangers},
    {"PinfoldProtocolErrors", Severity::warning, "security.md", protocol_errors},
    {"PinfoldHotKeys", Severity::info, "hot-key.md", keys_are_hot},
    {"PinfoldLargeValues", Severity::info, "hot-key.md", values_are_large},
    {"PinfoldShardImbalance", Severity::info, "hot-key.md", shards_are_uneven},
    {"PinfoldMoreMemoryWouldHelp", Severity::info, "memory.md", more_memory_would_help},
    {"PinfoldEvicts", Severity::info, "eviction-spike.md", evicts},
    {"PinfoldPurgesPending", Severity::info, "stale-data.md", purges_pending},
};

// --- policies that miss ---

// A policy with what was read of its keys lately.
struct Missing {
  const PolicyFigures* policy;
  std::uint64_t reads;
  std::uint64_t misses;
  std::uint64_t evicted;
};

// Why the keys of a policy miss, as far as figures can tell.
std::string why(const Evidence& evidence, const Missing& one) {
  if (evidence.now.cache.bypass != 0) return "bypass is on.";
  if (one.policy->bytes == 0) return "Nothing is stored that its pattern matches.";
  if (share(one.evicted, one.misses) >= evictions_of_misses)
    return "Its keys were evicted (" + std::to_string(one.evicted) + "): its max-memory or its priority is too low, or memory too small.";
  return not_evicted(one.evicted, " (its ttl may be short)");
}

void add_policies(const Evidence& evidence, std::vector<Finding>& to) {
  std::vector<std::pair<std::string_view, const PolicyFigures*>> former;
  for (const PolicyFigures& policy : evidence.before.policies) former.emplace_back(policy.name, &policy);
  std::ranges::sort(former);
  const PolicyFigures none;
  std::vector<Missing> all;
  for (const PolicyFigures& now : evidence.now.policies) {
    const auto found = std::ranges::lower_bound(former, std::string_view(now.name), {}, [](const auto& one) { return one.first; });
    const PolicyFigures& before = found != former.end() && found->first == now.name ? *found->second : none;
    const std::uint64_t misses = grown(now.misses, before.misses);
    const std::uint64_t answered =
        grown(now.hits, before.hits) + grown(now.stale_hits, before.stale_hits) + grown(now.negative_hits, before.negative_hits);
    const Missing one{&now, answered + misses, misses, grown(now.evicted, before.evicted)};
    if (per_second(evidence, one.reads) > few_reads && share(answered, one.reads) < low_policy_hit_ratio) all.push_back(one);
  }
  std::ranges::stable_sort(all, std::greater(), &Missing::misses);
  if (all.size() > most_policies_shown) all.resize(most_policies_shown);
  for (const Missing& one : all) {
    const std::string ratio = percent(share(one.reads - one.misses, one.reads));
    to.push_back({"PinfoldPolicyHitRatioLow", Severity::info, ratio,
                  "Policy " + one.policy->name + ": only " + ratio + " of " + counted(one.reads, "reads were answered") + lately(evidence) +
                      ". " + why(evidence, one),
                  "low-hit-ratio.md"});
  }
}

}  // namespace

std::vector<Finding> findings(const Evidence& evidence) {
  std::vector<Finding> all;
  for (const Look& one : kLooks) {
    Words words = one.look(evidence);
    if (words) all.push_back({one.name, one.severity, std::move(words->value), std::move(words->text), one.runbook});
  }
  add_policies(evidence, all);
  std::ranges::stable_sort(all, {}, &Finding::severity);
  return all;
}

}  // namespace pinfold::command
