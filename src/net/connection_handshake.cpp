// The handshake of a transport such as TLS, before the first request: when it goes on, what comes of it, and as which user the client
// is authenticated by its certificate.

#include <utility>

#include "pinfold/command/login.hpp"
#include "pinfold/net/connection.hpp"
#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

// The descriptor is ready, so the handshake can go on. It is not watched (EPOLLONESHOT) until the turn has come.
void Connection::wait_for_handshake() {
  events_ = 0;
  if (ending_ == Ending::closed) return;
  if (!handshake_begun_ && handshake_place.queue == nullptr) handshake_since_ = thread_.now();
  thread_.guarded(*this, [this] { thread_.serve_handshake(*this); });
}

void Connection::shake_hands() {
  if (ending_ == Ending::closed) return;
  handshake_step_ = thread_.now();
  if (!handshake_begun_) {
    thread_.begin_handshake(*this);
    handshake_begun_ = true;
    handshake_since_ = thread_.now();
  }
  thread_.dispatcher().stats().reads.add();
  const iovec rest{input_.get() + filled_, capacity_ - filled_};
  const Transport::Result result = transport_->read({&rest, 1});
  if (result.outcome == Transport::Outcome::failed || result.outcome == Transport::Outcome::ended) return handshake_failed();
  if (shakes_hands()) {
    account();
    return update_events();
  }
  handshake_done();
  update_events();
}

void Connection::handshake_done() {
  end_handshake();
  command::Engine& engine = thread_.engine();
  command::ThreadStats& stats = thread_.dispatcher().stats();
  const Transport::Established established = transport_->established();
  engine.clients.set_transport_bytes(session_.shared, transport_->idle_memory());
  stats.tls_handshakes.add();
  if (established.resumed) stats.tls_resumed.add();
  engine.events.note(EventLog::Kind::handshakes_done, [&] {
    return "client " + std::to_string(session_.shared.id) + " (" + session_.shared.address + ") has done its TLS handshake" +
           (established.resumed ? ", with a ticket" : "");
  });
  established_ = true;
  engine.tls.clients.fetch_add(1, relaxed);
  command::authenticate_certificate(engine, session_, established.names, established.refusal);
  account();
  if (!established.certified && is_protected_from()) [[unlikely]]
    refuse();
}

// A client that goes without a word, such as one that looks whether the port is open, has not failed.
void Connection::handshake_failed() {
  if (ending_ == Ending::closed) return;
  if (const std::string_view why = transport_->failure(); !why.empty()) {
    thread_.dispatcher().stats().tls_failed.add();
    log_handshake(why);
  }
  close();
}

// Whether the handshake takes too long. A client that is silent keeps its place until the deadline only if nobody else needs it.
bool Connection::handshake_over_limit() {
  const MonoMs now = thread_.now();
  const bool waits_for_turn = handshake_place.queue != nullptr;
  const bool late = now - handshake_since_ >= thread_.engine().settings.integer(config::Id::tls_handshake_timeout);
  const bool stalls = now - handshake_step_ >= IoThread::stalled_handshake_ms || now - handshake_since_ >= IoThread::slow_handshake_ms;
  const bool must_go = handshake_begun_ && !waits_for_turn && stalls && thread_.makes_room(*this);
  if (!late && !must_go) return false;
  thread_.dispatcher().stats().tls_timed_out.add();
  if (waits_for_turn && !handshake_begun_) {
    log_handshake("there were too many others before it");
  } else {
    log_handshake(late ? "it took too long" : "it did not go on, and others waited for its place");
  }
  transport_->decline();
  return true;
}

void Connection::end_handshake() {
  if (std::exchange(handshake_begun_, false)) thread_.end_handshake(*this);
}

void Connection::log_handshake(std::string_view reason) {
  thread_.engine().events.note(EventLog::Kind::handshakes, [&] {
    return "the TLS handshake of client " + std::to_string(session_.shared.id) + " (" + session_.shared.address +
           ") has failed: " + std::string(reason);
  });
  audit_closing("its TLS handshake has failed: " + std::string(reason));
}

}  // namespace pinfold::net
