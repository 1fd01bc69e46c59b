#pragma once
// The memory of the replies that an I/O thread is making, until they are sent or moved to a connection.

#include <cstddef>
#include <cstdint>

#include "pinfold/command/engine.hpp"
#include "pinfold/resp/output.hpp"
#include "pinfold/store/memory.hpp"

namespace pinfold::net {

/// Counts this memory as memory of clients, and refuses a reply that would take clients, or those of the client's user, beyond their
/// share. Sizes are in bytes. Not thread-safe: each I/O thread has one. The engine must outlive it.
class ReplyMemory final : public resp::Output::Account {
 public:
  /// Bytes that a thread keeps for replies while it is busy. They are not counted.
  static constexpr std::size_t kept = 512 * 1024;

  explicit ReplyMemory(command::Engine& engine) : engine_(engine), memory_(engine.keyspace.memory()) {}
  ~ReplyMemory() { settle(0); }
  ReplyMemory(const ReplyMemory&) = delete;
  ReplyMemory& operator=(const ReplyMemory&) = delete;

  /// `share` is the share of all clients together. A reply of up to `small` bytes is allowed even if the share is used up:
  /// clients that take much memory are then closed instead.
  void set_limits(std::uint64_t share, std::uint64_t small) {
    share_ = share;
    small_ = small;
  }
  /// Sets the client that the next replies are for. It must live until another is set, or nothing more is replied. The replies of an exempt
  /// client are never refused (CLIENT NO-EVICT).
  void set_client(const command::SharedClient& client) { client_ = &client; }

  /// Whether the output may take `bytes`. If so, counts them.
  bool allows(std::size_t bytes) override;
  /// Counts the memory again. Called when the output has become smaller and takes `bytes` now.
  void settle(std::size_t bytes) {
    if (counted_ > 0) [[unlikely]]
      recount(bytes);
  }

 private:
  void recount(std::size_t bytes);
  bool beyond_share(std::size_t wanted) const;

  command::Engine& engine_;
  store::Memory& memory_;
  std::uint64_t share_ = UINT64_MAX;
  std::uint64_t small_ = UINT64_MAX;
  const command::SharedClient* client_ = nullptr;
  std::size_t counted_ = 0;
};

}  // namespace pinfold::net
