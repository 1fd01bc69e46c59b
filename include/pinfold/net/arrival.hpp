#pragma once
// A large argument while it comes in: its bytes go from the socket to where the store will keep them.
//
// Its block grows as bytes come, never because they were announced: by as much as has come, 16 KB at least once something
// has, and 1 MB at most.
// From 1 MB on it grows without a copy (base/block_heap.hpp). The argument is data from its first byte:
// room is made for it among the entries. If there is none, or can never be, it is refused, and its remaining bytes are
// only counted.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/command/large_arguments.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::net {

class Arrival {
 public:
  /// Arguments from this size on come this way.
  static constexpr std::size_t least_size = 16 * 1024;

  /// `others`: bytes of large arguments of the same request that have come.
  Arrival(store::Keyspace& keyspace, std::size_t size, std::size_t others);

  std::size_t size() const { return size_; }
  std::size_t received() const { return received_; }
  std::size_t left() const { return size_ - received_; }
  bool complete() const { return received_ == size_; }
  bool refused() const { return refused_; }
  void refuse();

  /// Where the next bytes are to be put: never empty before the last unless the argument is (now) refused. At most
  /// what one round may take. Call with no shard held.
  std::span<char> space(std::size_t expected = at_once);
  /// `count` bytes have been put there, or skipped if the argument is refused.
  void add(std::size_t count) { received_ += count; }
  /// Copies or skips from the front of `bytes`, as many as are wanted; returns their number.
  std::size_t add(std::string_view bytes);
  /// The block. Only when complete; empty if the argument was refused.
  Blob take();

 private:
  static constexpr std::size_t at_once = 16 * 1024;
  static constexpr std::size_t most_per_round = 256 * 1024;

  bool grow(std::size_t expected);

  store::Keyspace& keyspace_;
  const std::size_t size_;
  std::size_t received_ = 0;
  std::size_t room_ = 0;  // of block_
  bool refused_ = false;
  Blob block_;
};

/// The large arguments of the request in progress, or of one that is complete and waits for its turn.
struct LargeRequest {
  static constexpr std::size_t unfinished = static_cast<std::size_t>(-1);

  command::LargeArguments arguments;
  std::unique_ptr<Arrival> arrival;   // of the next one
  std::size_t parsed = 0;             // of the arguments, those that the parser has been given
  std::vector<std::size_t> in_input;  // of each argument, the bytes that still lie in the input as well
  std::size_t start = unfinished;     // where in the input the request starts, once it is complete
};

}  // namespace pinfold::net
