#pragma once
// A large argument that is being received. Its bytes go from the socket straight into the block in which the store will keep them.
//
// The block grows as bytes arrive, never because they were announced. It grows by as much as has arrived, but at least by 16 KB once
// bytes come from the socket, and at most by 1 MB at a time. From 1 MB on it grows without a copy (base/block_heap.hpp). The argument
// counts as data from its first byte, and room is made for it among the entries. If there is no room, it is refused, and its
// remaining bytes are only counted. Not thread-safe.

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
  /// Arguments of this size or more are received this way.
  static constexpr std::size_t least_size = 16 * 1024;

  /// `others`: bytes of the large arguments of the same request that have arrived before.
  Arrival(store::Keyspace& keyspace, std::size_t size, std::size_t others);

  std::size_t size() const { return size_; }
  std::size_t received() const { return received_; }
  std::size_t left() const { return size_ - received_; }
  bool complete() const { return received_ == size_; }
  bool refused() const { return refused_; }
  void refuse();

  /// Returns space for the next bytes, at most what one round may take. It is empty only if the argument is complete or is refused,
  /// perhaps in this call. To be called with no shard held.
  std::span<char> space(std::size_t expected = at_once);
  /// To be called when `count` bytes were put into the space, or skipped if the argument is refused.
  void add(std::size_t count) { received_ += count; }
  /// Takes bytes of the argument from the front of `bytes`: copies them, or skips them if it is refused. Returns how many.
  std::size_t add(std::string_view bytes);
  /// Returns the block; an empty one if the argument was refused. To be called only when complete().
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

/// The large arguments of the request that is being received, or of a complete request that waits to be executed.
struct LargeRequest {
  static constexpr std::size_t unfinished = static_cast<std::size_t>(-1);

  command::LargeArguments arguments;
  std::unique_ptr<Arrival> arrival;   // the argument that is being received
  std::size_t parsed = 0;             // how many of the arguments the parser has been given
  std::vector<std::size_t> in_input;  // for each argument, how many of its bytes still lie in the input too
  std::size_t start = unfinished;     // where the request starts in the input, once it is complete
};

}  // namespace pinfold::net
