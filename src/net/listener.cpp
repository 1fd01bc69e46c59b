#include "pinfold/net/listener.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pinfold/net/socket_transport.hpp"
#include "pinfold/net/tls_transport.hpp"

namespace pinfold::net {

namespace {

// Empty if there is no memory for it: the refusal itself needs none.
std::string peer_for_log(int fd) {
  try {
    return SocketTransport::peer_of(fd);
  } catch (const std::bad_alloc&) {
    return {};
  }
}

}  // namespace

Listener::Listener(asio::io_context& context, command::Engine& engine, std::vector<std::unique_ptr<IoThread>>& threads,
                   const TlsCertificates* tls)
    : context_(context), engine_(engine), threads_(threads), tls_(tls), acceptor_(context), retry_(context) {}

Listener::~Listener() { close(); }

void Listener::close() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  if (!unix_path_.empty()) unlink(unix_path_.c_str());
  unix_path_.clear();
}

std::optional<std::string> Listener::bind(int family, const void* address, std::size_t size, const std::string& name, int backlog) {
  const auto failed = [&name](const char* what) {
    return "cannot " + std::string(what) + " " + name + ": " + std::generic_category().message(errno);
  };
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failed("create a socket for");
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Each family has its own listener, so that "::" and "0.0.0.0" can stand side by side.
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd, static_cast<const sockaddr*>(address), static_cast<socklen_t>(size)) != 0 || listen(fd, backlog) != 0) {
    auto error = failed("listen on");
    ::close(fd);
    return error;
  }
  boost::system::error_code error;
  acceptor_.assign(asio::generic::stream_protocol(family, 0), fd, error);
  if (error) return "cannot listen on " + name + ": " + error.message();
  name_ = (tls_ != nullptr ? "tls://" : "") + name;
  return std::nullopt;
}

std::optional<std::string> Listener::listen_tcp(const std::string& address, unsigned port, int backlog) {
  const bool v6_address = address.find(':') != std::string::npos;
  const std::string name = (v6_address ? "[" + address + "]" : address) + ":" + std::to_string(port);
  sockaddr_in v4{};
  if (address == "*" || inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<std::uint16_t>(port));
    return bind(AF_INET, &v4, sizeof v4, name, backlog);
  }
  sockaddr_in6 v6{};
  if (address == "::*" || inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<std::uint16_t>(port));
    return bind(AF_INET6, &v6, sizeof v6, name, backlog);
  }
  return "cannot listen on " + name + ": not an IP address";
}

bool Listener::is_address(const std::string& address) {
  in6_addr bytes;
  return address == "*" || address == "::*" || inet_pton(AF_INET, address.c_str(), &bytes) == 1 ||
         inet_pton(AF_INET6, address.c_str(), &bytes) == 1;
}

std::optional<std::string> Listener::listen_unix(const std::string& path, unsigned permissions, int backlog) {
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return "cannot listen on " + path + ": the path is too long";
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return "cannot listen on " + path + ": a file that is no socket is in the way";
    unlink(path.c_str());
  }
  // bind() creates the file with these permissions. A chmod() afterwards would leave a moment with others (CVE-2023-45145), and would
  // follow a link that somebody has put in the file's place. Called before there are threads that might create files meanwhile.
  constexpr mode_t all = 0777;
  const mode_t before = umask(all & ~static_cast<mode_t>(permissions));
  auto error = bind(AF_UNIX, &address, sizeof address, path, backlog);
  umask(before);
  if (error) return error;
  unix_path_ = path;
  return std::nullopt;
}

void Listener::start() { accept(); }

void Listener::restart() {
  boost::system::error_code ignored;
  acceptor_.cancel(ignored);
  accept();
}

IoThread& Listener::least_loaded() {
  const auto by_load = [](const auto& a, const auto& b) { return a->load() < b->load(); };
  return **std::min_element(threads_.begin(), threads_.end(), by_load);
}

void Listener::accept() {
  acceptor_.async_accept(context_, [this](const boost::system::error_code& error, asio::generic::stream_protocol::socket socket) {
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (error) {
      // Out of descriptors, or the peer is gone already: neither may stop us from accepting (CVE-2025-48367).
      const bool peer_gone = error == asio::error::connection_aborted || error == asio::error::interrupted;
      if (peer_gone) return accept();
      engine_.events.note(EventLog::Kind::not_accepted, [&] { return "cannot accept a connection: " + error.message(); });
      engine_.audit.note(AuditLog::Kind::connection_refused, [&](AuditLine& line) { line.add("reason", error.message()); });
      return retry_later();
    }
    boost::system::error_code failed;
    socket.native_non_blocking(true, failed);
    if (!failed) hand_over(socket.release(failed));
    accept();
  });
}

void Listener::retry_later() {
  retry_.expires_after(std::chrono::milliseconds(100));
  retry_.async_wait([this](const boost::system::error_code& error) {
    if (!error) accept();
  });
}

void Listener::adopt(int fd) {
  std::unique_ptr<Transport> transport;
  try {
    transport = std::make_unique<SocketTransport>(fd, engine_.settings.integer(config::Id::tcp_keepalive));
  } catch (const std::bad_alloc&) {
    ::close(fd);
    return;
  }
  IoThread& thread = least_loaded();
  if (tls_ != nullptr) {
    try {
      transport = std::make_unique<TlsTransport>(std::move(transport), tls_->context(), thread.tls_buffers());
    } catch (const std::bad_alloc&) {
      return;
    }
  }
  thread.adopt(std::move(transport));
}

void Listener::hand_over(int fd) {
  std::size_t connected = 0;
  for (const auto& thread : threads_) connected += thread->load();
  if (connected < static_cast<std::size_t>(engine_.settings.integer(config::Id::maxclients))) {
    return adopt(fd);
  }
  engine_.clients.count_rejected();
  engine_.events.note(EventLog::Kind::max_clients, [this] {
    return "refused a connection: maxclients (" + engine_.settings.show(config::Id::maxclients) + ") are connected";
  });
  const std::string peer = engine_.audit.on() ? peer_for_log(fd) : std::string();
  engine_.audit.note(AuditLog::Kind::connection_refused, {.address = peer},
                     [&peer](AuditLine& line) { line.add("address", peer).add("reason", "maxclients"); });
  if (tls_ != nullptr) {
    TlsTransport::decline(fd);  // a handshake would cost more than to serve the client
  } else {
    constexpr std::string_view refusal = "-ERR max number of clients reached\r\n";
    [[maybe_unused]] const ssize_t sent = ::send(fd, refusal.data(), refusal.size(), MSG_NOSIGNAL);
  }
  ::close(fd);
}

}  // namespace pinfold::net
