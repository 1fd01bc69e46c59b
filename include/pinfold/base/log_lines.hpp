#pragma once
// Lines that wait for a file. Whoever makes them never writes: a thread of its own (server/log_writer) takes them, writes them, and
// reports what has become of them.

#include <cstdint>
#include <string>
#include <vector>

namespace pinfold {

/// Both functions are called by the thread that writes, and by no other.
class LogLines {
 public:
  virtual ~LogLines() = default;

  /// Takes the lines that wait, oldest first, each with its line break. `last`: the server stops.
  virtual std::vector<std::string> take(bool last) = 0;
  /// Tells whether the file could be written, and how many lines were.
  virtual void report(bool written, std::uint64_t lines) = 0;
};

}  // namespace pinfold
