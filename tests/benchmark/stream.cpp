#include "stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "failure.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pinfold::load {
namespace {

SSL_CTX& shared_context(const Options& options) {
  static const TlsContext context = make_tls_context(options);
  return *context;
}

int clamped(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, std::numeric_limits<int>::max())); }

}  // namespace

Stream::Stream(const Options& options, std::uint32_t n) : socket_(connect_to(options, n)) {
  if (!options.tls) return;
  tls_ = make_tls(shared_context(options), socket_.get());
  if (SSL_connect(tls_.get()) != 1) throw Failure("handshake: " + tls_error());
}

void Stream::make_nonblocking() { set_blocking(false); }

void Stream::set_blocking(bool blocking) {
  const int flags = ::fcntl(socket_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket_.get(), F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) != 0) fail_system("fcntl");
}

Received Stream::look() {
  char byte = 0;
  ssize_t got = 0;
  if (tls_) {
    // What the socket has to be read may be a ticket only.
    set_blocking(false);
    got = result(SSL_peek(tls_.get(), &byte, 1));
    const int error = errno;
    set_blocking(true);
    errno = error;
  } else {
    got = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  }
  if (got > 0) return Received::kRead;
  return got < 0 && errno == EAGAIN ? Received::kNothing : Received::kClosed;
}

ssize_t Stream::result(int outcome) {
  if (outcome > 0) return outcome;
  switch (SSL_get_error(tls_.get(), outcome)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      errno = ECONNRESET;
      return -1;
  }
}

ssize_t Stream::read(char* data, std::size_t size) {
  return tls_ ? result(SSL_read(tls_.get(), data, clamped(size))) : ::read(socket_.get(), data, size);
}

ssize_t Stream::write(const char* data, std::size_t size) {
  return tls_ ? result(SSL_write(tls_.get(), data, clamped(size))) : ::send(socket_.get(), data, size, MSG_NOSIGNAL);
}

Inbox::Status Inbox::fill(Stream& stream) {
  Status status = Status::kNothing;
  do {
    make_room();
    const ssize_t got = stream.read(bytes_.data() + end_, bytes_.size() - end_);
    if (got > 0) {
      end_ += static_cast<std::size_t>(got);
      status = Status::kRead;
    } else if (got == 0) {
      return Status::kClosed;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return status;
    } else if (errno != EINTR) {
      return Status::kClosed;
    }
  } while (status != Status::kRead || stream.has_pending());
  return status;
}

void Inbox::make_room() {
  if (bytes_.size() - end_ >= kRoom / 2) return;
  // Moving the rest to the front first keeps the buffer at the size of the longest reply.
  std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (bytes_.size() - end_ < kRoom / 2) bytes_.resize(bytes_.size() * 2);
}

}  // namespace pinfold::load
