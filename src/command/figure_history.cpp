#include "pinfold/command/figure_history.hpp"

#include <utility>

#include "pinfold/command/figures.hpp"

namespace pinfold::command {

bool FigureHistory::is_due(std::int64_t now_us) const {
  const std::lock_guard lock(mutex_);
  return last_us_ == 0 || now_us - last_us_ >= apart_us;
}

void FigureHistory::add(std::int64_t now_us, std::shared_ptr<const Figures> figures) {
  Point former{now_us, std::move(figures)};  // freed with nothing locked
  const std::lock_guard lock(mutex_);
  std::swap(points_[next_], former);
  next_ = (next_ + 1) % points_.size();
  last_us_ = now_us;
}

FigureHistory::Point FigureHistory::oldest() const {
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < points_.size(); ++i) {
    const Point& point = points_[(next_ + i) % points_.size()];
    if (point.figures) return point;
  }
  return {};
}

}  // namespace pinfold::command
