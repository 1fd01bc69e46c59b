#pragma once
// TLS, over another transport that carries its records.
//
// OpenSSL does all of it: handshakes, and the records of an established connection. It receives and sends through a BIO that belongs to
// the transport. Short runs of bytes go into one record of up to 16 KB, long ones are encrypted from where they lie, and several records go
// out with one system call. What comes in is received with one, and not first the 5 bytes of a record's header. Between two calls nothing
// is kept for a connection but OpenSSL's SSL object, and records that have come or gone in part; the buffers for the rest belong to the
// thread.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/net/tls_context.hpp"
#include "pinfold/net/transport.hpp"

namespace pinfold::net {

/// The buffers that the TLS connections of a thread share, because none of them is in use between two calls. They take no memory before
/// the first use, and about 160 KB afterwards.
class TlsBuffers {
 public:
  /// Records that are sent together: four full ones.
  static constexpr std::size_t sent_together = 64 * 1024;
  /// Records that are received together.
  static constexpr std::size_t received_together = 80 * 1024;

 private:
  friend class TlsTransport;
  std::unique_ptr<char[]> input;  // of received_together
  std::vector<char> records;      // what the present call has to send
  std::vector<char> gathered;     // plain bytes for SSL_write()
};

/// Its functions do what those of Transport promise. The handshake begins with the first read(). Not thread-safe, and calls for
/// connections with the same buffers must not overlap either.
class TlsTransport final : public Transport {
 public:
  /// What a handshake takes, and what an idle connection takes, in bytes as the C library counts them. Measured:
  /// tests/unit/net/tls_memory_test.cpp.
  static constexpr std::size_t handshake_bytes = 88 * 1024;
  static constexpr std::size_t idle_bytes = 14 * 1024;
  static constexpr std::size_t certificate_bytes = 3 * 1024 + 256;  // of each certificate of the client's chain, beside twice its size

  /// `below` carries the records. `buffers` must outlive the transport. Takes little memory before the first read().
  TlsTransport(std::unique_ptr<Transport> below, std::shared_ptr<const TlsContext> context, TlsBuffers& buffers);
  ~TlsTransport() override { shutdown(); }

  Result read(std::span<const iovec> buffers) override;
  Result write(std::span<const iovec> runs) override;
  void shutdown() override;
  Addresses addresses() const override { return below_->addresses(); }
  Established established() override;
  void decline() override;
  std::string_view failure() const override { return failure_; }

  /// Tells the peer of a socket, whose handshake has not begun, that it is not served.
  static void decline(int fd);

 private:
  enum class State : std::uint8_t { new_connection, handshake, established, ended, failed, closed };
  class Target;
  class Runs;

  // The handshake.
  bool begin();
  Result shake_hands();
  Outcome outcome_of(int result);
  bool certificate_has_expired() const;
  std::size_t chain_memory() const;
  void note_failure();

  // What comes in: the thread's buffer has what was held, and what was received in this call.
  void begin_input();
  void end_input();
  bool fill();
  std::size_t record_size() const;
  bool has_record() const;
  bool holds_hello() const;
  bool begins_hello() const;
  std::string_view look_at_hello();
  int refuse(std::string_view why);
  Outcome open_records(Target& target);
  Result read_records(std::span<const iovec> buffers);

  // What goes out.
  Result write_records(std::span<const iovec> runs);
  bool seal(Runs& rest, std::size_t& plain);
  bool send(char* bytes, std::size_t size, std::size_t& sent);
  bool send_records();
  Outcome send_kept();

  Result fail(std::string_view why);
  void tell_state(std::size_t pending);

  // The functions of the BIO through which OpenSSL receives and sends.
  friend struct TlsBio;
  int receive(char* to, int size);
  void count_records(std::size_t bytes);
  int take(const char* from, int size);

  const std::unique_ptr<Transport> below_;
  const std::shared_ptr<const TlsContext> context_;
  TlsBuffers& buffers_;
  TlsOwned<SSL> ssl_;
  State state_ = State::new_connection;
  bool has_received_ = false;    // the peer has sent something
  bool drained_ = false;         // `below_` has no more to read in this call
  bool below_ended_ = false;     // its input has ended
  bool below_failed_ = false;    // it is broken, or there was no memory
  std::size_t wanted_ = 0;       // plain bytes that the present call has room for
  std::size_t received_ = 0;     // bytes that came in the present call
  std::size_t record_left_ = 0;  // what OpenSSL has not taken yet of the record that it is taking
  unsigned new_records_ = 0;     // records that OpenSSL has taken since it has last brought plain bytes
  unsigned empty_records_ = 0;   // those before them without plain bytes, less one for each `bytes_for_one_more`
  std::size_t plain_bytes_ = 0;  // which have come since that was counted last
  bool has_hello_ = false;       // a ClientHello has begun
  std::size_t hello_left_ = 0;   // what has not come yet of the records' content of one
  std::string_view refusal_;     // why OpenSSL gets no more
  std::size_t input_at_ = 0;     // where in the thread's buffer lies what OpenSSL has not taken
  std::size_t input_end_ = 0;
  std::vector<char> held_;      // the same between two calls
  std::vector<char> kept_;      // records that `below_` did not take
  std::size_t kept_sent_ = 0;   // how much of them it has taken since
  std::size_t kept_plain_ = 0;  // the plain bytes in them, which write() has not reported yet
  std::string failure_;
};

}  // namespace pinfold::net
