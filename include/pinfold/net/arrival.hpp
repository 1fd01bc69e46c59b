#pragma once
// A large argument that is being received. Its bytes go from the socket straight into the block in which the store will keep
// them.
//
// The block grows as bytes arrive, never because they were announced. It grows by as much as has arrived, but at least by 16 KB
// once bytes come from the socket, and at most by 1 MB at a time. From 1 MB on it grows without a copy (base/block_heap.hpp).
// The argument counts as data from its first byte, so entries are evicted to make room for it. If there is no room, the
// argument is refused: its remaining bytes are received and dropped.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "pinfold/command/large_arguments.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::net {

/// Not thread-safe: used by the connection's I/O thread. Owns the block until take(). Sizes are in bytes. The keyspace must
/// outlive it.
class Arrival {
 public:
  /// Arguments of this size or more are received as an Arrival.
  static constexpr std::size_t least_size = 16 * 1024;

  /// `others`: how many bytes the earlier large arguments of the same request have.
  Arrival(store::Keyspace& keyspace, std::size_t size, std::size_t others);

  std::size_t size() const { return size_; }
  std::size_t received() const { return received_; }
  std::size_t left() const { return size_ - received_; }
  bool complete() const { return received_ == size_; }
  bool refused() const { return refused_; }
  void refuse();

  /// Returns space for the next bytes, at most as much as one round may receive. The space is empty only if the argument is
  /// complete or refused, perhaps by this call. Called with no shard locked.
  std::span<char> space(std::size_t expected = at_once);
  /// Counts `count` bytes that the caller has put into the space. If the argument is refused, the caller has dropped them.
  void add(std::size_t count) { received_ += count; }
  /// Takes the bytes of the argument from the front of `bytes`, and copies them, or drops them if the argument is refused.
  /// Returns how many it has taken.
  std::size_t add(std::string_view bytes);
  /// Hands the block over to the caller; it is empty if the argument was refused. Only if complete().
  Blob take();

 private:
  static constexpr std::size_t at_once = 16 * 1024;
  static constexpr std::size_t most_per_round = 256 * 1024;

  bool grow(std::size_t expected);

  store::Keyspace& keyspace_;
  const std::size_t size_;
  std::size_t received_ = 0;
  std::size_t room_ = 0;  // the capacity of block_
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
