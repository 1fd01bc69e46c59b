#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "options.h"

namespace pinfold::load {

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  int get() const { return fd_; }

 private:
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  int fd_ = -1;
};

// A blocking connection to the server the options name, with Nagle off. The n-th connection leaves from
// 127.0.0.(1 + n / 10 000) when the server is on 127.0.0.1, so that ephemeral ports never run out.
// Throws Failure.
Descriptor connect_to(const Options& options, std::uint32_t n);

void make_nonblocking(const Descriptor& socket);

// Lets the process open that many descriptors; throws Failure when the system does not allow it.
void allow_descriptors(std::uint64_t count);

// Bytes received and not yet parsed, in one run.
class Inbox {
 public:
  enum class Status { kRead, kNothing, kClosed };

  // One read(2); kNothing when a non-blocking socket has nothing or a blocking one ran into its time-out.
  Status fill(const Descriptor& socket);
  std::string_view view() const { return {bytes_.data() + begin_, end_ - begin_}; }
  void drop(std::size_t count) {
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }

 private:
  static constexpr std::size_t kRoom = 16 * 1024;
  std::vector<char> bytes_ = std::vector<char>(kRoom);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace pinfold::load
