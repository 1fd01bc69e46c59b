#include "pinfold/command/stats.hpp"

#include "pinfold/base/thread_clock.hpp"

namespace pinfold::command {
namespace {

constexpr std::array counters_of_thread = {
    &ThreadStats::connections_received,
    &ThreadStats::net_input,
    &ThreadStats::net_output,
    &ThreadStats::reads,
    &ThreadStats::writes,
    &ThreadStats::cycles,
    &ThreadStats::protocol_errors,
    &ThreadStats::output_limit_disconnections,
    &ThreadStats::query_limit_disconnections,
    &ThreadStats::abandoned_disconnections,
    &ThreadStats::idle_disconnections,
    &ThreadStats::auth_failures,
    &ThreadStats::auth_limited,
    &ThreadStats::protected_connections,
    &ThreadStats::denied_command,
    &ThreadStats::denied_key,
    &ThreadStats::denied_channel,
    &ThreadStats::denied_auth,
    &ThreadStats::denied_database,
    &ThreadStats::rate_limited,
    &ThreadStats::tls_handshakes,
    &ThreadStats::tls_resumed,
    &ThreadStats::tls_failed,
    &ThreadStats::tls_timed_out,
    &ThreadStats::tls_users_refused,
    &ThreadStats::busy_ticks,
    &ThreadStats::slow_commands,
    &ThreadStats::large_requests,
    &ThreadStats::large_replies,
    &ThreadStats::admin_requests,
    &ThreadStats::admin_without_token,
    &ThreadStats::admin_protected,
    &ThreadStats::admin_wrong_host,
    &ThreadStats::admin_rejected,
    &ThreadStats::messages_delivered,
    &ThreadStats::scripts,
    &ThreadStats::scripts_locked_all,
    &ThreadStats::scripts_locked_declared,
    &ThreadStats::scripts_locked_more,
    &ThreadStats::scripts_run_again,
    &ThreadStats::scripts_refused_undeclared,
    &ThreadStats::scripts_killed,
    &ThreadStats::scripts_out_of_time,
};

constexpr std::array counters_of_command = {
    &CommandCounters::calls,    &CommandCounters::measured_ticks, &CommandCounters::unmeasured_ticks,
    &CommandCounters::rejected, &CommandCounters::failed,
};

}  // namespace

namespace {

// INFO shows each code in a line, and tools take them for names.
bool is_usual(std::string_view code) {
  constexpr std::size_t longest = 32;
  const auto usual = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !code.empty() && code.size() <= longest && std::all_of(code.begin(), code.end(), usual);
}

// Those with which the server itself answers. Alerts watch some of them, so nobody can crowd them out.
bool is_of_server(std::string_view code) {
  constexpr std::string_view codes[] = {"ERR",     "OOM",      "BUSY",      "DENIED",    "NOAUTH",     "NOPERM",    "NOPROTO",  "EXECABORT",
                                        "NOTBUSY", "NOSCRIPT", "THROTTLED", "UNBLOCKED", "UNKILLABLE", "WRONGPASS", "WRONGTYPE"};
  return std::ranges::find(codes, code) != std::end(codes);
}

}  // namespace

bool ErrorCodes::admits(std::string_view code) {
  if (is_of_server(code)) return true;
  if (!is_usual(code)) return false;
  const std::lock_guard lock(mutex_);
  if (invented_.contains(code)) return true;
  if (invented_.size() >= most_invented) return false;
  invented_.emplace(code);
  return true;
}

void ErrorCodes::clear() {
  const std::lock_guard lock(mutex_);
  invented_.clear();
}

void ErrorCounts::add(std::string_view code) {
  {
    const std::lock_guard lock(mutex_);
    if (add_known(code)) return;
  }
  if (!codes_.admits(code)) code = "OTHER";
  const std::lock_guard lock(mutex_);
  if (!add_known(code)) counts_.emplace_back(code, 1);
}

// Adds to a code that this thread has met before. The mutex must be locked.
bool ErrorCounts::add_known(std::string_view code) {
  const auto found = std::ranges::find(counts_, code, &std::pair<std::string, std::uint64_t>::first);
  if (found == counts_.end()) return false;
  ++found->second;
  return true;
}

void ErrorCounts::add_to(std::map<std::string, std::uint64_t>& sums) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [code, count] : counts_) sums[code] += count;
}

void ErrorCounts::clear() {
  const std::lock_guard lock(mutex_);
  counts_.clear();
}

Stats::Stats(unsigned threads) {
  const std::size_t rows = command::commands().size();
  for (unsigned i = 0; i < threads + 1; ++i) {
    threads_.push_back(std::make_unique<ThreadStats>(rows, error_codes_));
    threads_.back()->span_scale = ThreadClock::span_scale();
    before_reset_.push_back(std::make_unique<ThreadStats>(rows, error_codes_));
  }
}

std::uint64_t Stats::total(Counter ThreadStats::*counter) const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    sum += ((*threads_[i]).*counter).get() - ((*before_reset_[i]).*counter).get();
  }
  return sum;
}

std::uint64_t Stats::calls() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    for (const CommandCounters& command : threads_[i]->commands) sum += command.calls.get();
    for (const CommandCounters& command : before_reset_[i]->commands) sum -= command.calls.get();
  }
  return sum;
}

Stats::CommandTotal Stats::command(std::size_t index) const {
  const std::lock_guard lock(mutex_);
  const auto since_reset = [&](Counter CommandCounters::*counter) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < threads_.size(); ++i) {
      sum += (threads_[i]->commands[index].*counter).get() - (before_reset_[i]->commands[index].*counter).get();
    }
    return sum;
  };
  CommandTotal total;
  total.calls = since_reset(&CommandCounters::calls);
  total.rejected = since_reset(&CommandCounters::rejected);
  total.failed = since_reset(&CommandCounters::failed);
  const std::uint64_t measured = since_reset(&CommandCounters::measured_ticks);
  total.measured_seconds = static_cast<double>(ThreadClock::ns_of(measured)) / 1e9;
  const std::uint64_t ns = ThreadClock::ns_of(measured + since_reset(&CommandCounters::unmeasured_ticks));
  total.usec = ns / 1000;
  if (total.calls > 0) total.usec_per_call = static_cast<double>(ns) / 1000.0 / static_cast<double>(total.calls);
  return total;
}

histogram::Counts Stats::durations(std::size_t index) const {
  const std::lock_guard lock(mutex_);
  histogram::Counts sum;
  histogram::Counts before;
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    if (threads_[i]->commands[index].calls.get() == 0) continue;
    threads_[i]->durations.add_to(index, sum);
    before_reset_[i]->durations.add_to(index, before);
  }
  return sum -= before;
}

histogram::Counts Stats::rounds(unsigned thread) const {
  const std::lock_guard lock(mutex_);
  histogram::Counts sum;
  histogram::Counts before;
  threads_[thread]->rounds.add_to(0, sum);
  before_reset_[thread]->rounds.add_to(0, before);
  return sum -= before;
}

std::uint64_t Stats::busy_ns(unsigned thread) const {
  const std::lock_guard lock(mutex_);
  return ThreadClock::ns_of(threads_[thread]->busy_ticks.get() - before_reset_[thread]->busy_ticks.get());
}

std::map<std::string, std::uint64_t> Stats::errors() const {
  std::map<std::string, std::uint64_t> sums;
  for (const auto& thread : threads_) thread->errors.add_to(sums);
  return sums;
}

std::uint64_t Stats::error_total() const {
  std::uint64_t sum = 0;
  for (const auto& [code, count] : errors()) sum += count;
  return sum;
}

// The counters belong to their threads and cannot be set back from here: what they say now is remembered instead.
void Stats::reset() {
  const std::lock_guard lock(mutex_);
  error_codes_.clear();  // first: what a thread counts meanwhile is known to them
  for (const auto& thread : threads_) thread->errors.clear();
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    const ThreadStats& now = *threads_[i];
    ThreadStats& base = *before_reset_[i];
    for (const auto counter : counters_of_thread) (base.*counter).set((now.*counter).get());
    base.durations.copy(now.durations);
    base.rounds.copy(now.rounds);
    for (std::size_t row = 0; row < now.commands.size(); ++row) {
      for (const auto counter : counters_of_command) {
        (base.commands[row].*counter).set((now.commands[row].*counter).get());
      }
    }
  }
}

}  // namespace pinfold::command
