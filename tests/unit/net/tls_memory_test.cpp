// The account of memory is as large as what TLS connections really take.

#include <memory>
#include <string>
#include <vector>

#include "tls_rig.hpp"
#include <malloc.h>

#include <catch2/catch.hpp>

using namespace pinfold::net;
using pinfold::config::Id;

namespace {

std::size_t in_use() { return mallinfo2().uordblks; }

// Transports whose handshakes are done, or have only begun.
struct Many {
  static constexpr std::size_t count = 200;

  Many(TlsFiles& files, int protocol, bool done, const Certified* certificate = nullptr) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto wire = std::make_shared<Wire>();
      wires.push_back(wire);
      transports.push_back(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wire), files.context, buffers));
      TlsTransport& transport = *transports.back();
      TlsClient client(wire, protocol, certificate);
      char byte = 0;
      const iovec room{&byte, 1};
      do {
        client.shake_hands();
        REQUIRE(transport.read({&room, 1}).outcome == Transport::Outcome::blocked);
      } while (done && transport.handshake() == Transport::Handshake::under_way);
      if (done) transport.established();
    }
  }
  // What each of them takes: the difference that it makes to end them.
  std::size_t each() {
    const std::size_t counted = transports[0]->memory();
    for (const auto& transport : transports) CHECK(transport->memory() == counted);
    const std::size_t before = in_use();
    transports.clear();
    return (before - in_use()) / count;
  }

  TlsBuffers buffers;
  std::vector<std::shared_ptr<Wire>> wires;
  std::vector<std::unique_ptr<TlsTransport>> transports;
};

}  // namespace

TEST_CASE("tls: an idle connection takes what the account says, and a handshake no more") {
  if (in_use() == 0) return;  // the sanitizers' allocators do not say
  TlsFiles files;
  const Certified certificate = certify({.common_names = {"alice"}}, &files.authority);
  const bool certified = GENERATE(false, true);
  if (!certified) files.set(Id::tls_auth_clients, "no");
  files.load();
  const std::size_t idle13 = Many(files, TLS1_3_VERSION, true, &certificate).each();
  const std::size_t idle12 = Many(files, TLS1_2_VERSION, true, &certificate).each();
  const std::size_t begun13 = Many(files, TLS1_3_VERSION, false, &certificate).each();
  const std::size_t begun12 = Many(files, TLS1_2_VERSION, false, &certificate).each();
  CAPTURE(certified, idle13, idle12, begun13, begun12);
  const std::size_t size = 2 * static_cast<std::size_t>(i2d_X509(certificate.certificate.get(), nullptr));
  const std::size_t idle_bytes = TlsTransport::idle_bytes + (certified ? TlsTransport::certificate_bytes + size : 0);
  CHECK(idle13 <= idle_bytes);
  CHECK(idle13 > idle_bytes / 2);
  CHECK(idle12 <= idle_bytes);
  CHECK(idle12 > idle_bytes / 2);
  CHECK(begun13 <= TlsTransport::handshake_bytes);
  CHECK(begun12 <= TlsTransport::handshake_bytes);
}

namespace {

// What each of many handshakes takes that has come as far as these bytes.
std::size_t begun_with(TlsFiles& files, const std::string& bytes) {
  constexpr std::size_t count = 100;
  TlsBuffers buffers;
  std::vector<std::shared_ptr<Wire>> wires;
  std::vector<std::unique_ptr<TlsTransport>> transports;
  char byte = 0;
  const iovec room{&byte, 1};
  for (std::size_t i = 0; i < count; ++i) {
    wires.push_back(std::make_shared<Wire>());
    transports.push_back(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wires.back()), files.context, buffers));
    wires.back()->deliver(bytes);
    REQUIRE(transports.back()->read({&room, 1}).outcome == Transport::Outcome::blocked);
    CHECK(transports.back()->memory() == TlsTransport::handshake_bytes);
  }
  const std::size_t before = in_use();
  transports.clear();
  return (before - in_use()) / count;
}

}  // namespace

TEST_CASE("tls: a hello takes no more than a handshake may, however much it announces and brings") {
  if (in_use() == 0) return;
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  files.load();
  using namespace std::string_literals;
  const std::string head = "\x16\x03\x01\x3f\xff\x01\x00\x40\x00"s;
  const std::size_t announced = begun_with(files, head);
  const std::size_t nearly = begun_with(files, head + std::string(16 * 1024 - 6, 'x'));
  const std::size_t second_record = begun_with(files, head + std::string(16 * 1024 - 5, 'x') + "\x16\x03\x01\x00\x05"s);
  CAPTURE(announced, nearly, second_record);
  CHECK(announced <= TlsTransport::handshake_bytes);
  CHECK(nearly <= TlsTransport::handshake_bytes);
  CHECK(second_record <= TlsTransport::handshake_bytes);
  CHECK(second_record > 16 * 1024);
}

TEST_CASE("tls: certificates that are announced take no more than a handshake may") {
  if (in_use() == 0) return;
  TlsFiles files;
  files.load();
  using namespace std::string_literals;
  const std::size_t announced = GENERATE(32U * 1024, 32U * 1024 + 1);
  constexpr std::size_t count = 100;
  TlsBuffers buffers;
  std::vector<std::shared_ptr<Wire>> wires;
  std::vector<std::unique_ptr<TlsTransport>> transports;
  char byte = 0;
  const iovec room{&byte, 1};
  Transport::Outcome outcome = Transport::Outcome::blocked;
  for (std::size_t i = 0; i < count; ++i) {
    wires.push_back(std::make_shared<Wire>());
    transports.push_back(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wires.back()), files.context, buffers));
    TlsClient(wires.back(), TLS1_2_VERSION).shake_hands();
    REQUIRE(transports.back()->read({&room, 1}).outcome == Transport::Outcome::blocked);
    const std::string certificates = "\x0b\x00"s + static_cast<char>(announced >> 8) + static_cast<char>(announced & 255);
    wires.back()->deliver("\x16\x03\x03\x40\x00"s + certificates + std::string(16 * 1024 - 4, 'x') + "\x16\x03\x03\x40\x00"s);
    outcome = transports.back()->read({&room, 1}).outcome;
  }
  CHECK(outcome == (announced > 32 * 1024 ? Transport::Outcome::failed : Transport::Outcome::blocked));
  const std::size_t before = in_use();
  transports.clear();
  const std::size_t each = (before - in_use()) / count;
  CAPTURE(announced, each);
  CHECK(each <= TlsTransport::handshake_bytes);
}

TEST_CASE("tls: a chain of certificates takes no more than the account says, during the handshake and after it") {
  if (in_use() == 0) return;
  TlsFiles files;
  files.load();
  const Certified alice = certify({.common_names = {"alice"}}, &files.authority);
  const int protocol = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  // Others that have nothing to do with it, small ones for there to be many.
  const std::size_t others = GENERATE(0U, 1U, 9U, 10U, 60U);
  std::vector<Certified> chain;
  for (std::size_t i = 0; i < others; ++i) chain.push_back(certify({.common_names = {}}));
  constexpr std::size_t count = 50;
  TlsBuffers buffers;
  std::vector<std::shared_ptr<Wire>> wires;
  std::vector<std::unique_ptr<TlsTransport>> transports;
  std::size_t counted = 0;
  char byte = 0;
  const iovec room{&byte, 1};
  for (std::size_t i = 0; i < count; ++i) {
    wires.push_back(std::make_shared<Wire>());
    transports.push_back(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wires.back()), files.context, buffers));
    TlsClient client(wires.back(), protocol, &alice);
    for (const Certified& one : chain) client.show_beside(*one.certificate);
    while (transports.back()->handshake() == Transport::Handshake::under_way) {
      client.shake_hands();
      if (transports.back()->read({&room, 1}).outcome == Transport::Outcome::failed) break;
    }
    if (transports.back()->handshake() == Transport::Handshake::done) transports.back()->established();
    counted = transports.back()->memory();
  }
  const bool accepted = transports.back()->handshake() == Transport::Handshake::done;
  const std::size_t before = in_use();
  transports.clear();
  const std::size_t each = (before - in_use()) / count;
  CAPTURE(protocol, others, each, counted);
  CHECK(accepted == (others <= 9));
  if (accepted) {
    CHECK(each <= counted);
    CHECK(each > counted / 2);
  }
}
