#include "pinfold/command/rates.hpp"

#include <numeric>

namespace pinfold::command {

void Rates::sample(const Stats& stats, std::int64_t now_us) {
  const std::array<std::uint64_t, kMetrics> now = {stats.calls(), stats.total(&ThreadStats::net_input),
                                                   stats.total(&ThreadStats::net_output), stats.total(&ThreadStats::messages_delivered)};
  const bool first = last_us_ == 0;
  const std::int64_t elapsed = now_us - last_us_;
  if (!first && elapsed <= 0) return;
  if (!first) {
    elapsed_us_[next_] = elapsed;
    const std::int64_t over_us = std::reduce(elapsed_us_.begin(), elapsed_us_.end());
    for (std::size_t metric = 0; metric < kMetrics; ++metric) {
      // CONFIG RESETSTAT sets totals back; what was counted since is all that is known then.
      auto& grown = grown_[metric];
      grown[next_] = now[metric] >= last_[metric] ? now[metric] - last_[metric] : now[metric];
      const auto sum = static_cast<double>(std::reduce(grown.begin(), grown.end()));
      const double rate = sum * 1e6 / static_cast<double>(over_us);
      rates_[metric].store(static_cast<std::uint64_t>(rate + 0.5), std::memory_order_relaxed);
    }
    next_ = (next_ + 1) % samples;
  }
  last_us_ = now_us;
  last_ = now;
}

}  // namespace pinfold::command
