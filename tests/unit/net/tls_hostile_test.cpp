// What a hostile client may do with the records and messages of TLS, and what it costs.

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

// A record of a handshake, and the message in it.
std::string record(const std::string& content) {
  return "\x16\x03\x01"s + static_cast<char>(content.size() >> 8) + static_cast<char>(content.size() & 255) + content;
}
std::string message(std::size_t length) {
  return "\x01"s + static_cast<char>(length >> 16) + static_cast<char>(length >> 8 & 255) + static_cast<char>(length & 255);
}

}  // namespace

TEST_CASE("tls: updates of keys that come without data between them end the connection after a few") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  const bool asks = GENERATE(false, true);
  for (int i = 0; i < 20; ++i) tls.client.update_keys(asks);
  CHECK(tls.read().outcome == Outcome::blocked);
  tls.client.send("a");
  CHECK(tls.read().bytes == 1);
  for (int i = 0; i < 100; ++i) tls.client.update_keys(asks);
  tls.wire->reads = 0;
  CHECK(tls.read().outcome == Outcome::failed);
  CHECK(tls.wire->reads == 1);
  CHECK(tls.transport.failure() == "it sends record after record without a byte in it");
}

TEST_CASE("tls: updates of keys are not more than a few because there is a byte between them") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  int updates = 0;
  bool failed = false;
  while (updates < 1000 && !failed) {
    tls.client.update_keys(false);
    ++updates;
    if (updates % 8 == 0) tls.client.send("\n");
    failed = tls.read().outcome == Outcome::failed;
  }
  CHECK(failed);
  CHECK(updates == 34);  // whether the 33rd record has a byte in it is known after it was opened
}

TEST_CASE("tls: a connection that sends much may update its keys for ever") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  for (int i = 0; i < 200; ++i) {
    tls.client.update_keys(false);
    tls.client.send(std::string(4096, 'x'));
    std::size_t size = 0;
    for (Transport::Result result = tls.read(); result.outcome == Outcome::done; result = tls.read()) size += result.bytes;
    REQUIRE(size == 4096);
  }
}

TEST_CASE("tls: a hello of SSL 2 is refused by its first byte") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  tls.wire->deliver("\x80\x2e\x01\x03\x03\x00\x15\x00\x00\x00\x10"s + std::string(40, '\x2f'));
  CHECK(tls.read().outcome == Outcome::failed);
  CHECK(tls.transport.failure() == "its first message is one of SSL 2");
}

TEST_CASE("tls: one update of keys in each read is too many, too") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  int updates = 0;
  for (; updates < 1000; ++updates) {
    tls.client.update_keys(false);
    if (tls.read().outcome == Outcome::failed) break;
  }
  CHECK(updates == 33);
}

TEST_CASE("tls: a hello that announces more than 16 KB is refused by its first bytes, wherever they are") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  const std::string bytes = GENERATE(record(message(0x020144)), record(message(16 * 1024 + 1)), record("\x01"s) + record(message(9)),
                                     record(message(4) + "abcd" + message(0x020144)));
  tls.wire->per_read = GENERATE(1U, SIZE_MAX);
  tls.wire->deliver(bytes);
  Outcome outcome = Outcome::blocked;
  for (std::size_t i = 0; i < bytes.size() && outcome == Outcome::blocked; ++i) outcome = tls.read().outcome;
  CHECK(outcome == Outcome::failed);
  CHECK(tls.transport.failure().starts_with("its first message"));
}

TEST_CASE("tls: a second hello is held to the same length") {
  // The client's key is of a kind that nobody knows, so it is asked for one of the other kind.
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  tls.client.offer_groups("X25519:P-256");
  tls.client.shake_hands();
  std::string& hello = tls.wire->incoming;
  const auto change = [&hello](std::string_view from, std::string_view to) {
    const std::size_t at = hello.find(from);
    REQUIRE(at != std::string::npos);
    hello.replace(at, from.size(), to);
  };
  change("\x00\x04\x00\x1d\x00\x17"sv, "\x00\x04\x1a\x1a\x00\x17"sv);
  change("\x00\x1d\x00\x20"sv, "\x1a\x1a\x00\x20"sv);
  REQUIRE(tls.read().outcome == Outcome::blocked);
  REQUIRE(tls.wire->sent.find("\xcf\x21\xad\x74\xe5\x9a\x61\x11"sv) != std::string::npos);  // the request for it
  tls.wire->deliver("\x14\x03\x03\x00\x01\x01"s + record(message(0x020144)));
  CHECK(tls.read().outcome == Outcome::failed);
  CHECK(tls.transport.failure() == "its first message is too long");
}

TEST_CASE("tls: a hello of 16 KB in many records is taken") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  tls.client.shake_hands();
  const std::string hello(tls.wire->rest());
  tls.wire->taken = tls.wire->incoming.size();
  for (std::size_t at = 5; at < hello.size(); at += 7) tls.wire->deliver(record(hello.substr(at, 7)));
  CHECK(tls.read().outcome == Outcome::blocked);
  REQUIRE(tls.shake_hands());
  tls.client.send("a");
  CHECK(tls.read().bytes == 1);
}

TEST_CASE("tls: the record that OpenSSL still has is counted until its last byte is read") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files, GENERATE(TLS1_2_VERSION, TLS1_3_VERSION));
  REQUIRE(tls.shake_hands());
  CHECK(tls.transport.memory() == TlsTransport::idle_bytes);
  tls.client.send(std::string(10'000, 'x'));
  CHECK(tls.read().bytes == 4096);
  CHECK(tls.transport.memory() > TlsTransport::idle_bytes + 16 * 1024);
  CHECK(tls.read().bytes == 4096);
  CHECK(tls.read().bytes == 10'000 - 2 * 4096);
  CHECK(tls.transport.memory() == TlsTransport::idle_bytes);
}

TEST_CASE("tls: a full record of every kind of cipher of TLS 1.2 is taken") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files, TLS1_2_VERSION);
  tls.client.offer_ciphers(GENERATE("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"));
  REQUIRE(tls.shake_hands());
  tls.client.send(std::string(16 * 1024, 'x'));
  std::size_t size = 0;
  for (Transport::Result result = tls.read(); result.outcome == Outcome::done; result = tls.read()) size += result.bytes;
  CHECK(size == 16 * 1024);
  // The longest that OpenSSL takes is waited for; one byte more is not.
  tls.wire->deliver("\x17\x03\x03\x41\x40"s);
  CHECK(tls.read().outcome == Outcome::blocked);
  tls.wire->taken = tls.wire->incoming.size();
}

TEST_CASE("tls: what a connection had to send when memory was refused never goes to another one") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  files.load();
  TlsBuffers buffers;  // they share them
  const auto first_wire = std::make_shared<Wire>();
  const auto second_wire = std::make_shared<Wire>();
  TlsTransport first(std::make_unique<FakeTransport>(first_wire), files.context, buffers);
  TlsTransport second(std::make_unique<FakeTransport>(second_wire), files.context, buffers);
  TlsClient first_client(first_wire);
  TlsClient second_client(second_wire);
  char byte = 0;
  const iovec room{&byte, 1};
  for (auto [transport, client] : {std::pair{&first, &first_client}, std::pair{&second, &second_client}}) {
    REQUIRE(finish_handshake(*transport, *client));
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
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  constexpr std::size_t part = 10;
  tls.wire->per_write = part;
  tls.wire->throwing_call = tls.wire->calls + 1;
  const iovec text = run("never read");
  CHECK_THROWS_AS(tls.transport.write({&text, 1}), std::bad_alloc);
  CHECK(tls.wire->sent.size() == part);
  tls.wire->per_write = SIZE_MAX;
  tls.transport.shutdown();
  CHECK(tls.wire->sent.size() == part);
}

namespace {

// A connection with a certificate that ends a few seconds later.
struct Ending {
  Ending(int of_protocol, bool is_required) : protocol(of_protocol), required(is_required) {
    files.set(Id::tls_auth_clients, required ? "yes" : "optional");
    alice = certify({.common_names = {"alice"}, .until = 3}, &files.authority);
    first.emplace(files, protocol, &alice);
    REQUIRE(first->shake_hands());
    CHECK(first->established.certified);
    REQUIRE(first->client.session() != nullptr);
  }

  int protocol;
  bool required;
  TlsFiles files;
  Certified alice;
  std::optional<Tls> first;
};

}  // namespace

TEST_CASE("tls: nobody comes back with a session whose certificate has ended meanwhile") {
  // All of them begin before one is waited for.
  std::vector<std::unique_ptr<Ending>> all;
  for (const int protocol : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    for (const bool required : {true, false}) all.push_back(std::make_unique<Ending>(protocol, required));
  }
  for (const auto& one : all) {
    CAPTURE(one->protocol, one->required);
    while (X509_cmp_current_time(X509_get0_notAfter(one->alice.certificate.get())) > 0) usleep(10'000);
    Tls second(one->files, one->protocol, &one->alice, one->first->client.session());
    CHECK(second.shake_hands() == !one->required);
    if (one->required) {
      CHECK(second.transport.failure() == "its certificate is not valid at this time");
    } else {
      CHECK(second.established.resumed);
      CHECK_FALSE(second.established.certified);
    }
  }
}

TEST_CASE("tls: an answer of the handshake that is not taken is waited for, and nothing else") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  tls.client.shake_hands();
  tls.wire->per_write = 10;
  tls.wire->blocks_after_write = true;
  CHECK(tls.read().outcome == Outcome::blocked);
  CHECK(tls.transport.wants().read == EPOLLOUT);
  tls.wire->deliver("more");
  tls.wire->reads = 0;
  CHECK(tls.read().outcome == Outcome::blocked);
  CHECK(tls.transport.wants().read == EPOLLOUT);
  CHECK(tls.wire->reads == 0);
}

TEST_CASE("tls: silent clients lose the places of their handshakes when others wait, and only then") {
  Handshakes handshakes("2");
  Rig& rig = handshakes.rig;
  const auto timed_out = [&] { return rig.engine.stats.total(&pinfold::command::ThreadStats::tls_timed_out); };
  const auto silent = handshakes.begin();
  const auto other = handshakes.begin();
  CHECK(rig.engine.tls.under_way == 2);
  for (int i = 0; i < 5; ++i) rig.pass(1000);
  CHECK(timed_out() == 0);  // nobody needs their places
  const auto third = handshakes.begin();
  const auto fourth = handshakes.begin();
  const auto honest = handshakes.begin();
  CHECK(rig.engine.tls.waiting == 3);
  rig.pass(1000);
  CHECK(timed_out() == 2);
  CHECK(silent.wire->shut_down);
  CHECK(other.wire->shut_down);
  CHECK(rig.engine.tls.under_way == 2);
  CHECK(rig.engine.tls.waiting == 1);
  rig.pass(1000);
  rig.pass(1000);
  CHECK(timed_out() == 3);  // one place is all that is needed
  CHECK(rig.engine.tls.waiting == 0);
  for (int i = 0; i < 5; ++i) {
    honest.client->shake_hands();
    rig.settle();
  }
  CHECK(rig.engine.tls.clients == 1);
}

TEST_CASE("tls: whoever has many handshakes that do not go on waits behind itself, and nobody else does") {
  Handshakes handshakes("2");
  Rig& rig = handshakes.rig;
  std::vector<Handshakes::Begun> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(handshakes.begin("198.51.100.1:" + std::to_string(1000 + i)));
  for (const char* const peer : {"192.0.2.1:1", "[2001:db8::1]:1", "[2001:db8::2]:1"}) {  // the last two are one origin
    clients.push_back(handshakes.begin(peer));
  }
  CHECK(rig.engine.tls.under_way == 2);
  CHECK(rig.engine.tls.waiting == 51);
  // The two places are free after a second, and each origin has a turn before any has its second.
  for (int i = 0; i < 40; ++i) {
    for (std::size_t honest = 50; honest < 53; ++honest) {
      if (!clients[honest].wire->shut_down) clients[honest].client->shake_hands();
      rig.settle();
    }
    rig.pass(100);
    if (i == 25) CHECK(rig.engine.tls.clients >= 2);
  }
  CHECK(rig.engine.tls.clients == 3);
  CHECK(rig.engine.tls.waiting >= 30);
  // Any that waits may go.
  for (std::size_t i = 10; i < 50; i += 2) clients[i].wire->hang_up();
  for (int i = 0; i < 100; ++i) rig.pass(1000);
  CHECK(rig.engine.tls.waiting == 0);
  CHECK(rig.engine.tls.under_way == 0);
}

TEST_CASE("tls: whoever gives up places to take others in their stead keeps nobody else out") {
  Handshakes handshakes("4");
  Rig& rig = handshakes.rig;
  struct Honest {
    Handshakes::Begun begun;
    int came;
  };
  std::vector<Handshakes::Begun> silent;
  for (int i = 0; i < 60; ++i) silent.push_back(handshakes.begin("198.51.100.1:" + std::to_string(1000 + i)));
  std::vector<Honest> honest;
  int slowest = 0;
  std::uint64_t arrived = 0;
  for (int now = 0; now < 30'000; now += 100) {
    if (now % 700 == 0) {
      silent.front().wire->hang_up();
      silent.erase(silent.begin());
      silent.push_back(handshakes.begin("198.51.100.1:1"));
    }
    if (now % 500 == 0 && now < 25'000) {
      honest.push_back({handshakes.begin("192.0.2.1:1"), now});
      ++arrived;
    }
    rig.pass(100);
    for (const Honest& one : honest) {
      one.begun.client->shake_hands();
      rig.settle();
    }
    std::erase_if(honest, [&](const Honest& one) {
      if (!one.begun.client->established()) return false;
      slowest = std::max(slowest, now - one.came);
      return true;
    });
  }
  CHECK(rig.engine.tls.clients == arrived);
  CHECK(honest.empty());
  CHECK(slowest <= 3000);
}

TEST_CASE("tls: clients that are slow because they are many lose no handshake, wherever they come from") {
  Handshakes handshakes("4");
  Rig& rig = handshakes.rig;
  struct Slow {
    Handshakes::Begun begun;
    int answers_at = -1;
  };
  const std::string peers[] = {"198.51.100.1:1", "192.0.2.1:1"};
  std::vector<Slow> clients;
  constexpr std::size_t count = 20;
  for (int now = 0; now < 12'000; now += 100) {
    if (now % 300 == 0 && clients.size() < count) clients.push_back({handshakes.begin(peers[clients.size() % 2])});
    rig.pass(100);
    for (Slow& client : clients) {
      if (client.answers_at < 0 && !client.begun.wire->sent.empty()) client.answers_at = now + 1400;
      if (client.answers_at == now) client.begun.client->shake_hands();
    }
    rig.settle();
  }
  CHECK(rig.engine.stats.total(&pinfold::command::ThreadStats::tls_timed_out) == 0);
  CHECK(rig.engine.tls.clients == count);
}

TEST_CASE("tls: a handshake's time counts from its turn, and the wait for the turn has its own") {
  Handshakes handshakes("1");
  Rig& rig = handshakes.rig;
  const auto wire = adopt(rig, handshakes.files);
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
