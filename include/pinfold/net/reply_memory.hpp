#pragma once
// The memory of the replies that an I/O thread is making, before they are sent or left to a connection. Not thread-safe.

#include <cstddef>
#include <cstdint>

#include "pinfold/resp/output.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::net {

/// Counts it as memory of clients, and says no to a reply that would take them beyond their share.
class ReplyMemory final : public resp::Output::Account {
 public:
  /// What a thread keeps for replies while it is busy. It is not counted.
  static constexpr std::size_t kept = 512 * 1024;

  explicit ReplyMemory(store::Memory& memory) : memory_(memory) {}
  ~ReplyMemory() { settle(0); }
  ReplyMemory(const ReplyMemory&) = delete;
  ReplyMemory& operator=(const ReplyMemory&) = delete;

  /// `share`: of all clients. A reply that takes no more than `small` may be made also if others have used that up: it is for them to
  /// go.
  void set_limits(std::uint64_t share, std::uint64_t small) {
    share_ = share;
    small_ = small;
  }
  /// Whether the client at hand is to have its reply whatever it takes.
  void spare(bool spared) { spared_ = spared; }

  bool allows(std::size_t bytes) override;
  /// The output occupies no more than `bytes` now.
  void settle(std::size_t bytes) {
    if (counted_ > 0) [[unlikely]]
      recount(bytes);
  }

 private:
  void recount(std::size_t bytes);

  store::Memory& memory_;
  std::uint64_t share_ = UINT64_MAX;
  std::uint64_t small_ = UINT64_MAX;
  bool spared_ = false;
  std::size_t counted_ = 0;
};

}  // namespace pinfold::net
