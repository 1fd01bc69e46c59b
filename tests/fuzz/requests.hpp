#pragma once
// Makes random requests from the command table, so that a new command is fuzzed from the day on which it gets its row.

#include <cstdint>
#include <string>
#include <vector>

#include "pinfold/command/command_table.hpp"

namespace fuzz {

/// Random numbers for the mutator (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  /// Uniform in [0, bound).
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }

 private:
  std::uint64_t state_;
};

/// A request for a random row, or for `row`, in the words of a script. Its arguments are made from the row's syntax. Mostly they are right.
std::vector<std::string> random_request(Random& random);
std::vector<std::string> random_request(Random& random, const pinfold::command::Row& row);
/// A word that may stand for anything.
std::string random_word(Random& random);

}  // namespace fuzz
