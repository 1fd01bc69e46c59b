#pragma once
// Figures of the last minute. What has happened lately is the present figures less those of a minute ago, and nobody who asks has to
// wait for that minute.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace pinfold::command {

struct Figures;

/// The background worker adds to it, every 15 seconds; any thread may read it. It keeps four points: 10 KB each, and another
/// 300 bytes for each policy and 2 KB for each command that was called. That is 250 KB with 20 commands, and never more than 3 MB.
class FigureHistory {
 public:
  struct Point {
    std::int64_t at_us = 0;  // monotonic
    std::shared_ptr<const Figures> figures;
  };

  bool is_due(std::int64_t now_us) const;
  void add(std::int64_t now_us, std::shared_ptr<const Figures> figures);

  /// The oldest point, which is 45 to 60 seconds old if the server has run for so long. Its figures are null before the first one.
  Point oldest() const;

  static constexpr std::int64_t apart_us = 15'000'000;

 private:
  mutable std::mutex mutex_;  // guards what follows
  std::array<Point, 4> points_;
  std::size_t next_ = 0;  // where the next one goes, in the place of the oldest
  std::int64_t last_us_ = 0;
};

}  // namespace pinfold::command
