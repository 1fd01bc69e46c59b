#include "progress.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <unistd.h>

namespace pinfold::load {

Progress::Progress(std::string label, std::uint64_t total, bool quiet)
    : label_(std::move(label)), total_(std::max<std::uint64_t>(total, 1)), quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  // The bar is temporary: what is left on the screen are the results.
  if (drawn_ && terminal_) std::fputs("\r\x1b[K", stderr);
}

bool Progress::due() const {
  using namespace std::chrono_literals;
  return !quiet_ && Clock::now() - last_ >= (terminal_ ? Clock::duration(200ms) : Clock::duration(10s));
}

void Progress::show(std::uint64_t done, const std::string& note) {
  if (quiet_) return;
  last_ = Clock::now();
  drawn_ = true;
  const double share = static_cast<double>(std::min(done, total_)) / static_cast<double>(total_);
  constexpr int kWidth = 30;
  std::string bar(kWidth, '.');
  std::fill_n(bar.begin(), static_cast<int>(share * kWidth), '#');
  std::fprintf(stderr, "%s%s [%s] %5.1f %% %s%s", terminal_ ? "\r\x1b[K" : "", label_.c_str(), bar.c_str(), share * 100, note.c_str(),
               terminal_ ? "" : "\n");
  std::fflush(stderr);
}

}  // namespace pinfold::load
