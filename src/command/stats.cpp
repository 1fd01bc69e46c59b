#include "pinfold/command/stats.hpp"

#include <cmath>

namespace pinfold::command {
namespace {

constexpr std::array counters_of_thread = {
    &ThreadStats::commands_processed,
    &ThreadStats::connections_received,
    &ThreadStats::net_input,
    &ThreadStats::net_output,
    &ThreadStats::reads,
    &ThreadStats::writes,
    &ThreadStats::cycles,
    &ThreadStats::protocol_errors,
    &ThreadStats::output_limit_disconnections,
    &ThreadStats::query_limit_disconnections,
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
};

constexpr std::array counters_of_command = {
    &CommandCounters::calls,    &CommandCounters::timed_calls, &CommandCounters::timed_ns,
    &CommandCounters::rejected, &CommandCounters::failed,
};

}  // namespace

void ErrorCounts::add(std::string_view code) {
  const std::lock_guard lock(mutex_);
  for (auto& [known, count] : counts_) {
    if (known == code) return void(++count);
  }
  counts_.emplace_back(code, 1);
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
  for (unsigned i = 0; i < threads; ++i) {
    threads_.push_back(std::make_unique<ThreadStats>(rows));
    before_reset_.push_back(std::make_unique<ThreadStats>(rows));
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
  if (const std::uint64_t timed = since_reset(&CommandCounters::timed_calls); timed > 0) {
    const auto ns = static_cast<double>(since_reset(&CommandCounters::timed_ns));
    total.usec_per_call = ns / 1000.0 / static_cast<double>(timed);
    total.usec = static_cast<std::uint64_t>(std::llround(total.usec_per_call * static_cast<double>(total.calls)));
  }
  return total;
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
  for (const auto& thread : threads_) thread->errors.clear();
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    const ThreadStats& now = *threads_[i];
    ThreadStats& base = *before_reset_[i];
    for (const auto counter : counters_of_thread) (base.*counter).set((now.*counter).get());
    for (std::size_t row = 0; row < now.commands.size(); ++row) {
      for (const auto counter : counters_of_command) {
        (base.commands[row].*counter).set((now.commands[row].*counter).get());
      }
    }
  }
}

}  // namespace pinfold::command
