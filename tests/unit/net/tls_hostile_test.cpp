// What a hostile client may do with the records and messages of TLS, and what it costs.

#include <array>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "rig.hpp"
#include "tls_rig.hpp"
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace pinfold::net;
using Outcome = Transport::Outcome;
using pinfold::config::Id;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

struct Hostile {
  explicit Hostile(int protocol = TLS1_3_VERSION) {
    files.set(Id::tls_auth_clients, "no");
    transport = std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wire), files.load(), buffers);
    client = std::make_unique<TlsClient>(wire, protocol);
  }
  Transport::Result read() { return transport->read({&room, 1}); }
  void shake_hands() {
    while (transport->handshake() == Transport::Handshake::under_way) {
      client->shake_hands();
      REQUIRE(read().outcome == Outcome::blocked);
    }
    transport->established();
    client->take();
  }

  TlsFiles files;
  std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  TlsBuffers buffers;
  std::unique_ptr<TlsTransport> transport;
  std::unique_ptr<TlsClient> client;
  std::array<char, 4096> spare{};
  iovec room{spare.data(), spare.size()};
};

// A record of a handshake, and the message in it.
std::string record(const std::string& content) {
  return "\x16\x03\x01"s + static_cast<char>(content.size() >> 8) + static_cast<char>(content.size() & 255) + content;
}
std::string message(std::size_t length) {
  return "\x01"s + static_cast<char>(length >> 16) + static_cast<char>(length >> 8 & 255) + static_cast<char>(length & 255);
}

}  // namespace

TEST_CASE("tls: updates of keys that come without data between them end the connection after a few") {
  Hostile hostile;
  hostile.shake_hands();
  const bool asks = GENERATE(false, true);
  for (int i = 0; i < 20; ++i) hostile.client->update_keys(asks);
  CHECK(hostile.read().outcome == Outcome::blocked);
  hostile.client->send("a");
  CHECK(hostile.read().bytes == 1);
  for (int i = 0; i < 100; ++i) hostile.client->update_keys(asks);
  hostile.wire->reads = 0;
  CHECK(hostile.read().outcome == Outcome::failed);
  CHECK(hostile.wire->reads == 1);
  CHECK(hostile.transport->failure() == "it sends record after record without a byte in it");
}

TEST_CASE("tls: one update of keys in each read is too many, too") {
  Hostile hostile;
  hostile.shake_hands();
  int updates = 0;
  for (; updates < 1000; ++updates) {
    hostile.client->update_keys(false);
    if (hostile.read().outcome == Outcome::failed) break;
  }
  CHECK(updates == 32);
}

TEST_CASE("tls: a hello that announces more than 16 KB is refused by its first bytes, wherever they are") {
  Hostile hostile;
  const std::string bytes = GENERATE(record(message(0x020144)), record(message(16 * 1024 + 1)), record("\x01"s) + record(message(9)),
                                     record(message(4) + "abcd" + message(0x020144)));
  hostile.wire->per_read = GENERATE(1U, SIZE_MAX);
  hostile.wire->deliver(bytes);
  Outcome outcome = Outcome::blocked;
  for (std::size_t i = 0; i < bytes.size() && outcome == Outcome::blocked; ++i) outcome = hostile.read().outcome;
  CHECK(outcome == Outcome::failed);
  CHECK(hostile.transport->failure().starts_with("its first message"));
}

TEST_CASE("tls: a second hello is held to the same length") {
  // The client's key is of a kind that nobody knows, so it is asked for one of the other kind.
  Hostile hostile;
  hostile.client->offer_groups("X25519:P-256");
  hostile.client->shake_hands();
  std::string& hello = hostile.wire->incoming;
  const auto change = [&hello](std::string_view from, std::string_view to) {
    const std::size_t at = hello.find(from);
    REQUIRE(at != std::string::npos);
    hello.replace(at, from.size(), to);
  };
  change("\x00\x04\x00\x1d\x00\x17"sv, "\x00\x04\x1a\x1a\x00\x17"sv);
  change("\x00\x1d\x00\x20"sv, "\x1a\x1a\x00\x20"sv);
  REQUIRE(hostile.read().outcome == Outcome::blocked);
  REQUIRE(hostile.wire->sent.find("\xcf\x21\xad\x74\xe5\x9a\x61\x11"sv) != std::string::npos);  // the request for it
  hostile.wire->deliver("\x14\x03\x03\x00\x01\x01"s + record(message(0x020144)));
  CHECK(hostile.read().outcome == Outcome::failed);
  CHECK(hostile.transport->failure() == "its first message is too long");
}

TEST_CASE("tls: a hello of 16 KB in many records is taken") {
  Hostile hostile;
  hostile.client->shake_hands();
  const std::string hello(hostile.wire->rest());
  hostile.wire->taken = hostile.wire->incoming.size();
  for (std::size_t at = 5; at < hello.size(); at += 7) hostile.wire->deliver(record(hello.substr(at, 7)));
  CHECK(hostile.read().outcome == Outcome::blocked);
  hostile.shake_hands();
  hostile.client->send("a");
  CHECK(hostile.read().bytes == 1);
}

TEST_CASE("tls: the record that OpenSSL still has is counted until its last byte is read") {
  Hostile hostile(GENERATE(TLS1_2_VERSION, TLS1_3_VERSION));
  hostile.shake_hands();
  CHECK(hostile.transport->memory() == TlsTransport::idle_bytes);
  hostile.client->send(std::string(10'000, 'x'));
  CHECK(hostile.read().bytes == 4096);
  CHECK(hostile.transport->memory() > TlsTransport::idle_bytes + 16 * 1024);
  CHECK(hostile.read().bytes == 4096);
  CHECK(hostile.read().bytes == 10'000 - 2 * 4096);
  CHECK(hostile.transport->memory() == TlsTransport::idle_bytes);
}

TEST_CASE("tls: a full record of every kind of cipher of TLS 1.2 is taken") {
  Hostile hostile(TLS1_2_VERSION);
  hostile.client->offer_ciphers(GENERATE("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"));
  hostile.shake_hands();
  hostile.client->send(std::string(16 * 1024, 'x'));
  std::size_t size = 0;
  for (Transport::Result result = hostile.read(); result.outcome == Outcome::done; result = hostile.read()) size += result.bytes;
  CHECK(size == 16 * 1024);
  // The longest that OpenSSL takes is waited for; one byte more is not.
  hostile.wire->deliver("\x17\x03\x03\x41\x40"s);
  CHECK(hostile.read().outcome == Outcome::blocked);
  hostile.wire->taken = hostile.wire->incoming.size();
}

TEST_CASE("tls: what a connection had to send when memory was refused never goes to another one") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  files.load();
  TlsBuffers buffers;
  const auto first_wire = std::make_shared<Wire>();
  const auto second_wire = std::make_shared<Wire>();
  TlsTransport first(std::make_unique<FakeTransport>(first_wire), files.context, buffers);
  TlsTransport second(std::make_unique<FakeTransport>(second_wire), files.context, buffers);
  TlsClient first_client(first_wire);
  TlsClient second_client(second_wire);
  char byte = 0;
  const iovec room{&byte, 1};
  for (auto [transport, client] : {std::pair{&first, &first_client}, std::pair{&second, &second_client}}) {
    while (transport->handshake() == Transport::Handshake::under_way) {
      client->shake_hands();
      REQUIRE(transport->read({&room, 1}).outcome == Outcome::blocked);
    }
    transport->established();
    client->take();
  }
  const std::string secret = "secret";
  const iovec run{const_cast<char*>(secret.data()), secret.size()};
  first_wire->throwing_call = first_wire->calls;
  CHECK_THROWS_AS(first.write({&run, 1}), std::bad_alloc);
  SECTION("in a write") {
    const std::string text = "other";
    const iovec other{const_cast<char*>(text.data()), text.size()};
    CHECK(second.write({&other, 1}).outcome == Outcome::done);
    CHECK(second_client.take() == "other");
  }
  SECTION("in a read") {
    CHECK(second.read({&room, 1}).outcome == Outcome::blocked);
    CHECK(second_wire->sent.empty());
  }
  SECTION("in a handshake") {
    const auto third_wire = std::make_shared<Wire>();
    TlsTransport third(std::make_unique<FakeTransport>(third_wire), files.context, buffers);
    CHECK(third.read({&room, 1}).outcome == Outcome::blocked);
    CHECK(third_wire->sent.empty());
  }
}

TEST_CASE("tls: when memory was refused in the middle of a record, nothing is sent behind it") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  files.load();
  TlsBuffers buffers;
  const auto wire = std::make_shared<Wire>();
  TlsTransport transport(std::make_unique<FakeTransport>(wire), files.context, buffers);
  TlsClient client(wire);
  char byte = 0;
  const iovec room{&byte, 1};
  while (transport.handshake() == Transport::Handshake::under_way) {
    client.shake_hands();
    REQUIRE(transport.read({&room, 1}).outcome == Outcome::blocked);
  }
  transport.established();
  client.take();
  constexpr std::size_t part = 10;
  wire->per_write = part;
  wire->throwing_call = wire->calls + 1;
  std::string text = "never read";
  const iovec run{text.data(), text.size()};
  CHECK_THROWS_AS(transport.write({&run, 1}), std::bad_alloc);
  CHECK(wire->sent.size() == part);
  wire->per_write = SIZE_MAX;
  transport.shutdown();
  CHECK(wire->sent.size() == part);
}

TEST_CASE("tls: nobody comes back with a session whose certificate has ended meanwhile") {
  TlsFiles files;
  const int protocol = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const bool required = GENERATE(true, false);
  files.set(Id::tls_auth_clients, required ? "yes" : "optional");
  files.load();
  const Certified alice = certify({.common_names = {"alice"}, .until = 3}, &files.authority);
  TlsBuffers buffers;
  const auto connect = [&](TlsClient& client, TlsTransport& transport) {
    char byte = 0;
    const iovec room{&byte, 1};
    while (transport.handshake() == Transport::Handshake::under_way) {
      client.shake_hands();
      if (transport.read({&room, 1}).outcome == Outcome::failed) return false;
    }
    return true;
  };
  const auto wire = std::make_shared<Wire>();
  TlsTransport first(std::make_unique<FakeTransport>(wire), files.context, buffers);
  TlsClient first_client(wire, protocol, &alice);
  REQUIRE(connect(first_client, first));
  CHECK(first.established().certified);
  first_client.shake_hands();
  first_client.take();
  REQUIRE(first_client.session() != nullptr);
  while (X509_cmp_current_time(X509_get0_notAfter(alice.certificate.get())) > 0) usleep(10'000);
  const auto again = std::make_shared<Wire>();
  TlsTransport second(std::make_unique<FakeTransport>(again), files.context, buffers);
  TlsClient second_client(again, protocol, &alice, first_client.session());
  CHECK(connect(second_client, second) == !required);
  if (required) CHECK(second.failure() == "its certificate is not valid at this time");
  if (!required) {
    const Transport::Established established = second.established();
    CHECK(established.resumed);
    CHECK_FALSE(established.certified);
  }
}

TEST_CASE("tls: an answer of the handshake that is not taken is waited for, and nothing else") {
  Hostile hostile;
  hostile.client->shake_hands();
  hostile.wire->per_write = 10;
  hostile.wire->blocks_after_write = true;
  CHECK(hostile.read().outcome == Outcome::blocked);
  CHECK(hostile.transport->wants().read == EPOLLOUT);
  hostile.wire->deliver("more");
  hostile.wire->reads = 0;
  CHECK(hostile.read().outcome == Outcome::blocked);
  CHECK(hostile.transport->wants().read == EPOLLOUT);
  CHECK(hostile.wire->reads == 0);
}

TEST_CASE("tls: silent clients lose the places of their handshakes when others wait, and only then") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  files.load();
  Rig rig;
  rig.set(Id::tls_max_handshakes, "2");
  const auto begin = [&] {
    const auto wire = std::make_shared<Wire>();
    rig.thread.adopt(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wire), files.context, rig.thread.tls_buffers()));
    rig.settle();
    auto client = std::make_unique<TlsClient>(wire);
    client->shake_hands();
    rig.settle();
    return std::pair(wire, std::move(client));
  };
  const auto timed_out = [&] { return rig.engine.stats.total(&pinfold::command::ThreadStats::tls_timed_out); };
  const auto silent = begin();
  const auto other = begin();
  CHECK(rig.engine.tls.under_way == 2);
  for (int i = 0; i < 5; ++i) rig.pass(1000);
  CHECK(timed_out() == 0);  // nobody needs their places
  const auto third = begin();
  const auto fourth = begin();
  const auto honest = begin();
  CHECK(rig.engine.tls.waiting == 3);
  rig.pass(1000);
  CHECK(timed_out() == 2);
  CHECK(silent.first->shut_down);
  CHECK(other.first->shut_down);
  CHECK(rig.engine.tls.under_way == 2);
  CHECK(rig.engine.tls.waiting == 1);
  rig.pass(1000);
  rig.pass(1000);
  CHECK(timed_out() == 3);  // one place is all that is needed
  CHECK(rig.engine.tls.waiting == 0);
  for (int i = 0; i < 5; ++i) {
    honest.second->shake_hands();
    rig.settle();
  }
  CHECK(rig.engine.tls.clients == 1);
}

TEST_CASE("tls: a handshake's time counts from its turn, and the wait for the turn has its own") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  files.load();
  Rig rig;
  rig.set(Id::tls_max_handshakes, "1");
  const auto wire = std::make_shared<Wire>();
  rig.thread.adopt(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wire), files.context, rig.thread.tls_buffers()));
  rig.settle();
  rig.pass(8000);
  TlsClient client(wire);
  client.shake_hands();
  rig.settle();
  CHECK(rig.engine.tls.under_way == 1);
  rig.pass(8000);
  CHECK_FALSE(wire->shut_down);
  rig.pass(4000);
  CHECK(wire->shut_down);
}
