#pragma once

#include <cstdint>
#include <string_view>

#include "dataset.h"
#include "options.h"
#include "protocol.h"
#include "tally.h"

namespace pinfold::load {

// Which value belongs to which key of a run, and whether a reply about it is right.
class Entries {
 public:
  explicit Entries(const Options& options);

  // The value of the n-th key.
  std::string_view value(std::uint64_t n) const { return value(n, mix(n)); }
  // The same with a length that `random` chooses.
  std::string_view value(std::uint64_t n, std::uint64_t random) const;

  void count(const Reply& reply, std::uint64_t n, Tally& tally) const;

 private:
  bool right_length(std::uint64_t n, std::size_t length) const;

  Lengths lengths_;
  Values values_;
  bool any_length_;
};

}  // namespace pinfold::load
