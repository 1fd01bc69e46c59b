#include "pinfold/net/tls_transport.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <utility>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>

#include "pinfold/base/clock.hpp"

namespace pinfold::net {

namespace {

// How much one call moves at most. Encryption takes time, and other connections wait meanwhile.
constexpr std::size_t most_read = 256 * 1024;
constexpr std::size_t most_written = 1024 * 1024;
// Answers to what a peer sends within TLS (updates of keys). A peer that does not read them gets no more.
constexpr std::size_t most_kept = 256 * 1024;
// Records without plain bytes, such as updates of keys, cost 18 us each, and OpenSSL works through all of them in one call. A connection
// may send so many, and one more for so many plain bytes.
constexpr unsigned most_empty_records = 32;
constexpr std::size_t bytes_for_one_more = 4096;
// A ClientHello. OpenSSL would take memory for as much as the first bytes announce, up to 128 KB.
constexpr std::size_t longest_hello = 16 * 1024;

// A record (RFC 8446, section 5): its header, the most plain bytes that fit into it, and the most that encryption adds to them.
constexpr std::size_t header_bytes = 5;
constexpr std::size_t most_plain = 16 * 1024;
constexpr std::size_t most_added = 320;     // by the ciphers of TLS 1.2 that OpenSSL has
constexpr std::size_t most_added_13 = 256;  // as TLS 1.3 allows
constexpr std::size_t usual_added = 17;     // by the ciphers of TLS 1.3
constexpr std::size_t longest_record = header_bytes + most_plain + most_added;
constexpr std::size_t longest_record_13 = header_bytes + most_plain + most_added_13;
constexpr std::size_t message_header_bytes = 4;  // of a message of a handshake: its type, and its length in three bytes
constexpr char major_version = 3;
static_assert(TlsBuffers::received_together > 2 * longest_record);

// A fatal alert "access denied", as a record. It can be sent in the clear before a handshake.
constexpr std::array<unsigned char, 7> denied = {21, 3, 1, 0, 2, 2, 49};

}  // namespace

// Where a read() puts its bytes.
class TlsTransport::Target {
 public:
  explicit Target(std::span<const iovec> buffers) : buffers_(buffers) { skip_full(); }

  std::size_t total() const { return total_; }
  bool full() const { return buffers_.empty() || total_ >= most_read; }
  char* here() const { return static_cast<char*>(buffers_[0].iov_base) + used_; }
  /// The room at here().
  std::size_t room() const { return buffers_[0].iov_len - used_; }
  std::size_t room_in_all() const {
    std::size_t sum = 0;
    for (const iovec& buffer : buffers_) sum += buffer.iov_len;
    return std::min(sum - used_, most_read - total_);
  }
  /// `count` bytes have been put to here().
  void add(std::size_t count) {
    used_ += count;
    total_ += count;
    skip_full();
  }
  /// Copies as much as there is room for, and returns how much.
  std::size_t copy(std::string_view bytes) {
    std::size_t copied = 0;
    while (copied < bytes.size() && !buffers_.empty()) {
      const std::size_t count = std::min(room(), bytes.size() - copied);
      std::memcpy(here(), bytes.data() + copied, count);
      copied += count;
      add(count);
    }
    return copied;
  }

 private:
  void skip_full() {
    while (!buffers_.empty() && room() == 0) {
      buffers_ = buffers_.subspan(1);
      used_ = 0;
    }
  }

  std::span<const iovec> buffers_;
  std::size_t used_ = 0;  // of the first buffer
  std::size_t total_ = 0;
};

// Goes through the bytes that a write() offers, in pieces that fit into one record.
class TlsTransport::Runs {
 public:
  static constexpr std::size_t most_parts = 64;

  explicit Runs(std::span<const iovec> runs) : runs_(runs) { skip_empty(); }

  bool empty() const { return runs_.empty(); }
  void skip(std::size_t bytes) {
    while (bytes > 0) {
      const std::size_t count = std::min(bytes, left());
      used_ += count;
      bytes -= count;
      skip_empty();
    }
  }
  // The parts of the next piece. Returns its size.
  std::size_t next(std::span<iovec, most_parts> parts, std::size_t& count) const {
    std::size_t size = 0;
    std::size_t used = used_;
    count = 0;
    for (const iovec& run : runs_) {
      if (count == most_parts || size == most_plain) break;
      const std::size_t bytes = std::min(run.iov_len - used, most_plain - size);
      parts[count++] = {static_cast<char*>(run.iov_base) + used, bytes};
      size += bytes;
      used = 0;
    }
    return size;
  }

 private:
  std::size_t left() const { return runs_[0].iov_len - used_; }
  void skip_empty() {
    while (!runs_.empty() && left() == 0) {
      runs_ = runs_.subspan(1);
      used_ = 0;
    }
  }

  std::span<const iovec> runs_;
  std::size_t used_ = 0;  // of the first run
};

// The BIO's functions. OpenSSL calls them, so no exception leaves them.
struct TlsBio {
  static TlsTransport& transport(BIO* bio) { return *static_cast<TlsTransport*>(BIO_get_data(bio)); }
  static int read(BIO* bio, char* to, int size) {
    BIO_clear_retry_flags(bio);
    const int result = transport(bio).receive(to, size);
    if (result < 0 && !transport(bio).below_failed_) BIO_set_retry_read(bio);
    return result;
  }
  static int write(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    return transport(bio).take(from, size);
  }
  static long control(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
    if (command == BIO_CTRL_EOF) return transport(bio).below_ended_ ? 1 : 0;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }
  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }
  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pinfold transport");
      if (method == nullptr) throw std::bad_alloc();
      BIO_meth_set_read(method, read);
      BIO_meth_set_write(method, write);
      BIO_meth_set_ctrl(method, control);
      BIO_meth_set_create(method, create);
      return method;
    }();
    return made;
  }
};

TlsTransport::TlsTransport(std::unique_ptr<Transport> below, std::shared_ptr<const TlsContext> context, TlsBuffers& buffers)
    : Transport(below->descriptor()), below_(std::move(below)), context_(std::move(context)), buffers_(buffers) {
  set_idle_memory(idle_bytes);
  tell({.read = EPOLLIN, .write = 0}, 0, Handshake::under_way);
}

// Makes what OpenSSL needs. Returns false if it has no memory for that.
bool TlsTransport::begin() {
  ssl_ = context_->make();
  BIO* const bio = ssl_ != nullptr ? BIO_new(TlsBio::method()) : nullptr;
  if (bio == nullptr) return false;
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_accept_state(ssl_.get());
  state_ = State::handshake;
  set_memory(handshake_bytes);
  return true;
}

Transport::Result TlsTransport::fail(std::string_view why) {
  if (failure_.empty()) failure_ = why;
  state_ = State::failed;
  return {0, Outcome::failed};
}

// What OpenSSL says is wrong. The last of its errors is the one of TLS; those before say what has led to it.
void TlsTransport::note_failure() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
  const int what = ERR_GET_REASON(code);
  const long verified = SSL_get_verify_result(ssl_.get());
  if (!refusal_.empty()) {
    failure_ = refusal_;
  } else if (reason == nullptr) {
    failure_.clear();
  } else if (verified != X509_V_OK) {
    failure_ = std::string("its certificate is not accepted: ") + X509_verify_cert_error_string(verified);
  } else if (what == SSL_R_WRONG_VERSION_NUMBER || what == SSL_R_HTTP_REQUEST) {
    failure_ = "it does not speak TLS";
  } else {
    failure_ = reason;
  }
  ERR_clear_error();
}

// Says what a call of OpenSSL that did not succeed is waiting for, or how it has failed.
Transport::Outcome TlsTransport::outcome_of(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Outcome::blocked;
    case SSL_ERROR_ZERO_RETURN:
      return Outcome::ended;
    default:
      note_failure();
      return Outcome::failed;
  }
}

Transport::Result TlsTransport::shake_hands() {
  buffers_.records.clear();  // a call that has thrown may have left some, of another connection
  if (!kept_.empty()) {
    const Outcome sent = send_kept();
    if (sent == Outcome::failed) return fail("the connection was closed");
    if (sent == Outcome::blocked) return {0, Outcome::blocked};
  }
  begin_input();
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  const Outcome outcome = result == 1 ? Outcome::done : outcome_of(result);
  end_input();
  const bool sent = send_records();  // an alert says what is wrong, so it is sent after a failure too
  if (!sent || outcome == Outcome::failed || outcome == Outcome::ended) return fail(has_received_ ? "the connection was closed" : "");
  if (outcome == Outcome::done && context_->requires_certificates() && certificate_has_expired()) {
    return fail("its certificate is not valid at this time");
  }
  if (outcome == Outcome::done) state_ = State::established;
  tell_state(outcome == Outcome::done && !held_.empty() ? 1 : 0);
  return {0, Outcome::blocked};
}

// What OpenSSL keeps of the peer's certificates: the encoded bytes, and what they say.
std::size_t TlsTransport::chain_memory() const {
  const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return 0;
  const auto of = [](const X509* one) { return certificate_bytes + 2 * static_cast<std::size_t>(std::max(i2d_X509(one, nullptr), 0)); };
  std::size_t sum = of(certificate);
  const STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl_.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) sum += of(sk_X509_value(chain, i));
  return sum;
}

// A session that is resumed may be older than the end of its certificate, at which OpenSSL does not look again.
bool TlsTransport::certificate_has_expired() const {
  const X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  return certificate != nullptr && !is_valid_at(*certificate, static_cast<std::int64_t>(unix_seconds()));
}

Transport::Established TlsTransport::established() {
  Established result;
  result.resumed = SSL_session_reused(ssl_.get()) == 1;
  if (const X509* const certificate = SSL_get0_peer_certificate(ssl_.get()); certificate != nullptr) {
    const bool verified = SSL_get_verify_result(ssl_.get()) == X509_V_OK && context_->asks_certificates();
    result.certified = verified && !certificate_has_expired();
    TlsNames names = names_of(*certificate, context_->user_field(), static_cast<std::int64_t>(unix_seconds()));
    result.names = std::move(names.names);
    result.refusal = std::move(names.refusal);
  }
  set_idle_memory(idle_bytes + chain_memory());
  tell_state(pending());
  return result;
}

// --- What comes in ---

void TlsTransport::begin_input() {
  if (buffers_.input == nullptr) buffers_.input = std::make_unique_for_overwrite<char[]>(TlsBuffers::received_together);
  if (!held_.empty()) std::memcpy(buffers_.input.get(), held_.data(), held_.size());
  input_at_ = 0;
  input_end_ = held_.size();
  received_ = 0;
  drained_ = false;
}

void TlsTransport::end_input() {
  const char* const rest = buffers_.input.get() + input_at_;
  std::vector<char>(rest, rest + (input_end_ - input_at_)).swap(held_);
  // Outside of read() there is nothing for OpenSSL to receive: the thread's buffer is another connection's by then.
  input_at_ = 0;
  input_end_ = 0;
  drained_ = true;
}

// Receives up to `wanted_` plain bytes, and at least the rest of a record. Returns false if nothing has come, or enough for one call.
bool TlsTransport::fill() {
  if (drained_ || below_ended_ || below_failed_ || received_ >= most_read) return false;
  char* const input = buffers_.input.get();
  const std::size_t rest = input_end_ - input_at_;
  if (rest > 0 && input_at_ > 0) std::memmove(input, input + input_at_, rest);
  input_at_ = 0;
  input_end_ = rest;
  const std::size_t records = wanted_ / most_plain + 1;
  const std::size_t most = std::clamp(wanted_ + records * (header_bytes + usual_added), longest_record, TlsBuffers::received_together);
  const iovec room{input + rest, most - rest};
  const Result result = below_->read({&room, 1});
  // A read that leaves room has taken all there was. To ask again would cost a system call.
  drained_ = result.bytes < room.iov_len;
  below_ended_ = result.outcome == Outcome::ended;
  below_failed_ = result.outcome == Outcome::failed;
  input_end_ += result.bytes;
  received_ += result.bytes;
  has_received_ = has_received_ || result.bytes > 0;
  return result.bytes > 0;
}

// Once the connection is established, OpenSSL gets a record when all of it is there: it keeps a buffer of 16 KB for one of which it has a
// part, which nobody would count.
int TlsTransport::receive(char* to, int size) {
  if (state_ == State::established && record_left_ == 0) {
    while (!has_record()) {
      if (!fill()) return below_ended_ ? 0 : -1;
    }
    record_left_ = std::min(record_size(), input_end_ - input_at_);
    if (empty_records_ + ++new_records_ > most_empty_records + 1) return refuse("it sends record after record without a byte in it");
  } else if (state_ == State::handshake && record_left_ == 0) {
    while (input_end_ - input_at_ < header_bytes || (begins_hello() && input_end_ - input_at_ < header_bytes + message_header_bytes)) {
      if (!fill()) return below_ended_ ? 0 : -1;
    }
    if (const std::string_view fault = look_at_hello(); !fault.empty()) return refuse(fault);
    record_left_ = record_size();
  }
  if (input_at_ == input_end_ && !fill()) return below_ended_ ? 0 : -1;
  const std::size_t count = std::min(static_cast<std::size_t>(size), input_end_ - input_at_);
  std::memcpy(to, buffers_.input.get() + input_at_, count);
  input_at_ += count;
  record_left_ -= std::min(record_left_, count);
  return static_cast<int>(count);
}

// Ends the connection for the given reason, a constant.
int TlsTransport::refuse(std::string_view why) {
  refusal_ = why;
  below_failed_ = true;
  return -1;
}

// Whether the input begins with a record of a ClientHello. There may be a second one in TLS 1.3, which has no other message that is not
// encrypted. The record's header must be there.
bool TlsTransport::holds_hello() const {
  constexpr char handshake_type = 22;
  const char* const record = buffers_.input.get() + input_at_;
  return record[0] == handshake_type && record[1] == major_version && (!has_hello_ || SSL_version(ssl_.get()) == TLS1_3_VERSION);
}

// The same for the first record of one. It is to have the header of the message in it, see look_at_hello().
bool TlsTransport::begins_hello() const {
  return holds_hello() && hello_left_ == 0 && record_size() >= header_bytes + message_header_bytes;
}

// Follows the length that a ClientHello announces. Returns why it is refused, if it is.
std::string_view TlsTransport::look_at_hello() {
  // OpenSSL would take a hello of SSL 2 as well, whose header says nothing about the records behind it.
  if (!has_hello_ && (buffers_.input[input_at_] & '\x80') != 0) return "its first message is one of SSL 2";
  if (!holds_hello()) return {};
  const std::size_t size = record_size() - header_bytes;
  if (hello_left_ == 0) {
    if (size < message_header_bytes) return "its first message is in pieces";
    const auto* const message = reinterpret_cast<const unsigned char*>(buffers_.input.get() + input_at_ + header_bytes);
    const std::size_t length = message[1] * 65536U + message[2] * 256U + message[3];
    if (length > longest_hello) return "its first message is too long";
    hello_left_ = message_header_bytes + length;
    has_hello_ = true;
  }
  if (size > hello_left_) return "its first message has another one behind it";
  hello_left_ -= size;
  return {};
}

// The size of the record that the input begins with. At least its header must be there.
std::size_t TlsTransport::record_size() const {
  const auto* const header = reinterpret_cast<const unsigned char*>(buffers_.input.get() + input_at_);
  return header_bytes + header[3] * 256U + header[4];
}

// Whether the input begins with a whole record, or with something that is none: OpenSSL refuses it without its rest.
bool TlsTransport::has_record() const {
  const std::size_t rest = input_end_ - input_at_;
  if (rest < header_bytes) return false;
  const std::size_t size = record_size();
  const bool too_long = size > longest_record || (size > longest_record_13 && SSL_version(ssl_.get()) == TLS1_3_VERSION);
  return too_long || buffers_.input[input_at_ + 1] != major_version || rest >= size;
}

Transport::Result TlsTransport::read(std::span<const iovec> buffers) {
  try {
    return read_records(buffers);
  } catch (const std::bad_alloc&) {
    state_ = State::failed;  // a record may have been sent in part, behind which shutdown() must send nothing
    throw;
  }
}

Transport::Result TlsTransport::read_records(std::span<const iovec> buffers) {
  buffers_.records.clear();
  if (state_ == State::new_connection && !begin()) return fail("there is no memory for it");
  if (state_ == State::handshake) return shake_hands();
  if (state_ == State::ended) return {0, Outcome::ended};
  if (state_ != State::established) return {0, Outcome::failed};
  if (!kept_.empty() && kept_plain_ == 0 && send_kept() == Outcome::failed) return fail({});
  Target target(buffers);
  begin_input();
  wanted_ = target.room_in_all();
  Outcome outcome = open_records(target);
  if (!buffers_.records.empty() && !send_records()) outcome = Outcome::failed;
  // A part of a message: OpenSSL would go on with it in SSL_write().
  if (outcome != Outcome::failed && SSL_in_init(ssl_.get()) != 0) {
    failure_ = "it sends a message in pieces";
    outcome = Outcome::failed;
  }
  if (outcome == Outcome::ended) state_ = State::ended;
  if (outcome == Outcome::failed) state_ = State::failed;
  // The event loop reports neither what lies here, nor an end that has been seen.
  const bool has_more = has_record() || SSL_pending(ssl_.get()) > 0;
  end_input();
  tell_state(target.total() > 0 && (has_more || state_ != State::established) ? 1 : 0);
  if (target.total() > 0) return {target.total(), Outcome::done};
  return {0, outcome == Outcome::done ? Outcome::blocked : outcome};
}

Transport::Outcome TlsTransport::open_records(Target& target) {
  ERR_clear_error();
  while (!target.full()) {
    const int result = SSL_read(ssl_.get(), target.here(), static_cast<int>(std::min(target.room(), most_read)));
    if (result <= 0) return outcome_of(result);
    target.add(static_cast<std::size_t>(result));
    count_records(static_cast<std::size_t>(result));
    if (drained_ && !has_record() && SSL_pending(ssl_.get()) == 0) break;
  }
  return Outcome::done;
}

// OpenSSL has brought plain bytes: at least one of the records that it took for them is not empty.
void TlsTransport::count_records(std::size_t bytes) {
  if (new_records_ > 0) empty_records_ += std::exchange(new_records_, 0) - 1;
  plain_bytes_ += bytes;
  empty_records_ -= static_cast<unsigned>(std::min<std::size_t>(empty_records_, plain_bytes_ / bytes_for_one_more));
  plain_bytes_ %= bytes_for_one_more;
}

// --- What goes out ---

int TlsTransport::take(const char* from, int size) {
  try {
    buffers_.records.insert(buffers_.records.end(), from, from + size);
  } catch (const std::bad_alloc&) {
    below_failed_ = true;
    return -1;
  }
  return size;
}

// Sends the bytes from `sent` on until `below_` takes no more, and adds to `sent`. Returns false if the connection is broken.
bool TlsTransport::send(char* bytes, std::size_t size, std::size_t& sent) {
  Outcome outcome = Outcome::done;
  while (sent < size && outcome == Outcome::done) {
    const iovec run{bytes + sent, size - sent};
    const Result result = below_->write({&run, 1});
    sent += result.bytes;
    outcome = result.outcome;
  }
  return outcome != Outcome::failed;
}

// Sends the records of the present call, behind those that are kept. What is not taken is kept. Returns false if the connection is
// broken, or if too much is kept.
bool TlsTransport::send_records() {
  std::vector<char>& records = buffers_.records;
  std::size_t sent = 0;
  if (kept_.empty() && !send(records.data(), records.size(), sent)) {
    records.clear();
    return false;
  }
  if (sent < records.size()) kept_.insert(kept_.end(), records.data() + sent, records.data() + records.size());
  records.clear();
  if (records.capacity() > 4 * TlsBuffers::sent_together) std::vector<char>().swap(records);
  return kept_.size() <= most_kept;
}

// Goes on with the records that are kept: `done` when all have been sent.
Transport::Outcome TlsTransport::send_kept() {
  if (!send(kept_.data(), kept_.size(), kept_sent_)) return Outcome::failed;
  if (kept_sent_ < kept_.size()) return Outcome::blocked;
  kept_sent_ = 0;
  std::vector<char>().swap(kept_);
  return Outcome::done;
}

bool TlsTransport::seal(Runs& rest, std::size_t& plain) {
  std::array<iovec, Runs::most_parts> parts;
  parts[0] = {};
  std::size_t count = 0;
  std::size_t size = rest.next(parts, count);
  const char* piece = static_cast<const char*>(parts[0].iov_base);
  if (count > 1 && parts[0].iov_len >= most_plain / 2) {
    size = parts[0].iov_len;  // long enough to be encrypted from where it lies
  } else if (count > 1) {
    buffers_.gathered.resize(most_plain);
    char* to = buffers_.gathered.data();
    for (const iovec& part : std::span(parts.data(), count)) to = std::copy_n(static_cast<const char*>(part.iov_base), part.iov_len, to);
    piece = buffers_.gathered.data();
  }
  ERR_clear_error();
  const int written = SSL_write(ssl_.get(), piece, static_cast<int>(size));
  if (written <= 0) {
    note_failure();
    return false;
  }
  rest.skip(static_cast<std::size_t>(written));
  plain += static_cast<std::size_t>(written);
  return true;
}

Transport::Result TlsTransport::write(std::span<const iovec> runs) {
  try {
    return write_records(runs);
  } catch (const std::bad_alloc&) {
    state_ = State::failed;  // as in read()
    throw;
  }
}

Transport::Result TlsTransport::write_records(std::span<const iovec> runs) {
  buffers_.records.clear();
  if (state_ == State::new_connection || state_ == State::handshake) return {0, Outcome::blocked};
  if (state_ == State::failed || state_ == State::closed) return {0, Outcome::failed};
  Runs rest(runs);
  std::size_t taken = 0;
  if (!kept_.empty()) {
    const Outcome sent = send_kept();
    if (sent == Outcome::failed) return fail({});
    if (sent == Outcome::blocked) return {0, Outcome::blocked};
    taken = std::exchange(kept_plain_, 0);
    rest.skip(taken);
    tell_state(pending());
  }
  while (!rest.empty() && taken < most_written) {
    std::size_t plain = 0;
    while (!rest.empty() && buffers_.records.size() + most_plain <= TlsBuffers::sent_together + 4 * (header_bytes + usual_added)) {
      if (seal(rest, plain)) continue;
      buffers_.records.clear();
      ERR_clear_error();
      return fail({});
    }
    if (!send_records()) return fail({});
    if (!kept_.empty()) {
      kept_plain_ = plain;
      tell_state(pending());
      return {taken, Outcome::blocked};
    }
    taken += plain;
  }
  return {taken, rest.empty() ? Outcome::done : Outcome::blocked};
}

void TlsTransport::tell_state(std::size_t pending) {
  const bool must_send = !kept_.empty();
  // What comes in waits until the answer to what came before has been sent.
  if (state_ == State::handshake) {
    set_memory(handshake_bytes + chain_memory());
    return tell({.read = must_send ? EPOLLOUT : EPOLLIN, .write = 0}, 0, Handshake::under_way);
  }
  // Records with plain bytes in them are sent by write(), for which the connection waits. Nobody waits for others.
  const bool alone = must_send && kept_plain_ == 0;
  tell({.read = alone ? EPOLLIN | EPOLLOUT : static_cast<std::uint32_t>(EPOLLIN), .write = EPOLLOUT}, pending, Handshake::done);
  const std::size_t opened = SSL_pending(ssl_.get()) > 0 ? longest_record : 0;  // the record whose bytes OpenSSL still has
  set_memory(idle_memory() + kept_.capacity() + held_.capacity() + opened);
}

// --- The end ---

void TlsTransport::decline(int fd) {
  // Closing a socket with unread bytes in it takes back what was sent.
  constexpr int most_at_once = 1 << 20;
  constexpr int most_times = 4;  // whoever goes on sending does not find out why it is not served
  // With MSG_TRUNC the bytes go nowhere. The thread sanitizer does not know that of recv(): for it, two threads that drop bytes write to
  // one place.
  const auto drop = [fd] { return ::syscall(SYS_recvfrom, fd, nullptr, most_at_once, MSG_TRUNC | MSG_DONTWAIT, nullptr, nullptr); };
  for (int i = 0; i < most_times && drop() > 0; ++i) continue;
  [[maybe_unused]] const ssize_t sent = ::send(fd, denied.data(), denied.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(fd, SHUT_WR);
}

void TlsTransport::decline() {
  if (state_ == State::new_connection) decline(descriptor_);
}

void TlsTransport::shutdown() {
  if (state_ == State::closed) return;
  const bool may_say_so = (state_ == State::established || state_ == State::ended) && kept_.empty();
  state_ = State::closed;
  if (ssl_ != nullptr) {  // else this may be another thread than the one of the buffers
    buffers_.records.clear();
    if (may_say_so) {
      SSL_shutdown(ssl_.get());
      const iovec run{buffers_.records.data(), buffers_.records.size()};
      if (run.iov_len > 0) below_->write({&run, 1});
    }
    buffers_.records.clear();
    ERR_clear_error();
    ssl_.reset();
  }
  below_->shutdown();
}

}  // namespace pinfold::net
