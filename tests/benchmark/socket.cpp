#include "socket.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "failure.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace pinfold::load {
namespace {

constexpr std::uint32_t kConnectionsPerAddress = 10'000;

Descriptor open_socket(int family, int flags = 0) {
  Descriptor socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (socket.get() < 0) fail_system("socket");
  return socket;
}

Descriptor connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw Failure("path too long: " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor socket = open_socket(AF_UNIX);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fail_system("connect " + path);
  }
  return socket;
}

// The port is chosen at connect, when the whole four-tuple is known to be free, not at bind.
void leave_from(const Descriptor& socket, std::uint32_t address) {
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr = htonl(address);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) fail_system("bind");
}

Descriptor connect_tcp(const Options& options, std::uint32_t n, int flags) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (::inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1) {
    throw Failure("not an IPv4 address: " + options.host);
  }
  Descriptor socket = open_socket(AF_INET, flags);
  if (address.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && n >= kConnectionsPerAddress) {
    leave_from(socket, INADDR_LOOPBACK + n / kConnectionsPerAddress);
  }
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
    fail_system("connect " + options.host + ":" + std::to_string(options.port));
  }
  return socket;
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor connect_to(const Options& options, std::uint32_t n) {
  return options.unix_socket.empty() ? connect_tcp(options, n, 0) : connect_unix(options.unix_socket);
}

Descriptor begin_connecting(const Options& options, std::uint32_t n) { return connect_tcp(options, n, SOCK_NONBLOCK); }

void allow_descriptors(std::uint64_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) fail_system("getrlimit");
  if (limit.rlim_cur >= count) return;
  limit.rlim_cur = count;
  if (limit.rlim_max < count) limit.rlim_max = count;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) fail_system("cannot open " + std::to_string(count) + " descriptors");
}

}  // namespace pinfold::load
