#pragma once
// A large argument while it comes in: its bytes go from the socket to where the store will keep them.
//
// The block of the final size is not allocated because it was announced. What comes first is gathered in pieces, each
// as large as what is there already but for the limits below; once half has come, the rest is received into the block
// itself, and the pieces move over little by little, as fast as further bytes come, so that no round takes long. So
// memory is never taken for more than twice what has come (64 KB at least), and each byte is copied once at most.
//
// The argument is data from its first byte: room is made for it among the entries, and it is counted as a block (the
// pieces until the block is there: from then on they stand for pages of it that nobody has touched yet). If
// there is no room, or can never be, the argument is refused, and its remaining bytes are only counted.

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

  Arrival(store::Keyspace& keyspace, std::size_t size);
  ~Arrival() { drop_pieces(); }
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  std::size_t size() const { return size_; }
  std::size_t received() const { return received_; }
  std::size_t left() const { return size_ - received_; }
  bool complete() const { return received_ == size_; }
  bool refused() const { return refused_; }
  void refuse();

  /// Where the next bytes are to be put: never empty before the last unless the argument is (now) refused. At most
  /// what one round may take. Call with no shard held.
  std::span<char> space();
  /// `count` bytes have been put there, or skipped if the argument is refused.
  void add(std::size_t count);
  /// Copies or skips from the front of `bytes`, as many as are wanted; returns their number.
  std::size_t add(std::string_view bytes);
  /// The block. Only when complete, and not refused.
  command::ReceivedBlob take();

 private:
  static constexpr std::size_t at_once = 64 * 1024;       // blocks up to this size are allocated whole
  static constexpr std::size_t largest_piece = 1 << 20;
  static constexpr std::size_t most_per_round = 256 * 1024;

  struct Piece {
    std::unique_ptr<char[]> bytes;
    std::size_t size;
  };
  bool grow();
  void move_pieces(std::size_t most);
  void drop_pieces();
  void count_pieces(std::size_t bytes);

  store::Keyspace& keyspace_;
  const std::size_t size_;
  std::size_t received_ = 0;
  bool refused_ = false;
  command::ReceivedBlob block_;
  std::vector<Piece> pieces_;   // the front of the argument, in order
  std::size_t gathered_ = 0;    // room in all pieces there were
  std::size_t counted_ = 0;     // bytes of pieces in the account
  std::size_t moved_ = 0;       // bytes that have moved from pieces to the block
  std::size_t piece_moved_ = 0; // of them, from the first piece that is left
};

/// The large arguments of the request in progress, or of one that is complete and waits for its turn.
struct LargeRequest {
  static constexpr std::size_t unfinished = static_cast<std::size_t>(-1);

  command::LargeArguments arguments;
  std::unique_ptr<Arrival> arrival;  // of the next one
  std::size_t parsed = 0;            // of the arguments, those that the parser has been given
  std::size_t start = unfinished;    // where in the input the request starts, once it is complete
};

}  // namespace pinfold::net
