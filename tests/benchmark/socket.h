#pragma once

#include <cstdint>

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
// The same without blocking: the connection may still be on its way. TCP only.
Descriptor begin_connecting(const Options& options, std::uint32_t n);

// Lets the process open that many descriptors; throws Failure when the system does not allow it.
void allow_descriptors(std::uint64_t count);

}  // namespace pinfold::load
