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

// Transports of as many connections, each of which `bring` has brought to where it is to be measured.
struct Many {
  template <class Bring>
  Many(const TlsFiles& files, std::size_t count, const Bring& bring) {
    for (std::size_t i = 0; i < count; ++i) {
      wires.push_back(std::make_shared<Wire>());
      transports.push_back(std::make_unique<TlsTransport>(std::make_unique<FakeTransport>(wires.back()), files.context, buffers));
      bring(*transports.back(), wires.back());
    }
  }
  // What each of them takes: the difference that it makes to end them.
  std::size_t each() {
    const std::size_t count = transports.size();
    const std::size_t before = in_use();
    transports.clear();
    return (before - in_use()) / count;
  }

  TlsBuffers buffers;
  std::vector<std::shared_ptr<Wire>> wires;
  std::vector<std::unique_ptr<TlsTransport>> transports;
};

Transport::Outcome read_byte(TlsTransport& transport) {
  char byte = 0;
  const iovec room{&byte, 1};
  return transport.read({&room, 1}).outcome;
}

// What each of many connections takes whose handshakes are done, or have only begun.
std::size_t with_client(const TlsFiles& files, int protocol, bool done, const Certified& certificate) {
  Many many(files, 200, [&](TlsTransport& transport, const std::shared_ptr<Wire>& wire) {
    TlsClient client(wire, protocol, &certificate);
    if (done) {
      REQUIRE(finish_handshake(transport, client));
      transport.established();
    } else {
      client.shake_hands();
      REQUIRE(read_byte(transport) == Transport::Outcome::blocked);
    }
  });
  for (const auto& transport : many.transports) CHECK(transport->memory() == many.transports[0]->memory());
  return many.each();
}

// What each of many handshakes takes that has come as far as these bytes.
std::size_t begun_with(const TlsFiles& files, const std::string& bytes) {
  return Many(files, 100,
              [&](TlsTransport& transport, const std::shared_ptr<Wire>& wire) {
                wire->deliver(bytes);
                REQUIRE(read_byte(transport) == Transport::Outcome::blocked);
                CHECK(transport.memory() == TlsTransport::handshake_bytes);
              })
      .each();
}

}  // namespace

TEST_CASE("tls: an idle connection takes what the account says, and a handshake no more") {
  if (in_use() == 0) return;  // the sanitizers' allocators do not say
  TlsFiles files;
  const Certified certificate = certify({.common_names = {"alice"}}, &files.authority);
  const bool certified = GENERATE(false, true);
  if (!certified) files.set(Id::tls_auth_clients, "no");
  files.load();
  const std::size_t idle13 = with_client(files, TLS1_3_VERSION, true, certificate);
  const std::size_t idle12 = with_client(files, TLS1_2_VERSION, true, certificate);
  const std::size_t begun13 = with_client(files, TLS1_3_VERSION, false, certificate);
  const std::size_t begun12 = with_client(files, TLS1_2_VERSION, false, certificate);
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
  Transport::Outcome outcome = Transport::Outcome::blocked;
  Many many(files, 100, [&](TlsTransport& transport, const std::shared_ptr<Wire>& wire) {
    TlsClient(wire, TLS1_2_VERSION).shake_hands();
    REQUIRE(read_byte(transport) == Transport::Outcome::blocked);
    const std::string certificates = "\x0b\x00"s + static_cast<char>(announced >> 8) + static_cast<char>(announced & 255);
    wire->deliver("\x16\x03\x03\x40\x00"s + certificates + std::string(16 * 1024 - 4, 'x') + "\x16\x03\x03\x40\x00"s);
    outcome = read_byte(transport);
  });
  CHECK(outcome == (announced > 32 * 1024 ? Transport::Outcome::failed : Transport::Outcome::blocked));
  const std::size_t each = many.each();
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
  bool accepted = false;
  Many many(files, 50, [&](TlsTransport& transport, const std::shared_ptr<Wire>& wire) {
    TlsClient client(wire, protocol, &alice);
    for (const Certified& one : chain) client.show_beside(*one.certificate);
    accepted = finish_handshake(transport, client);
    if (accepted) transport.established();
  });
  const std::size_t counted = many.transports.back()->memory();
  const std::size_t each = many.each();
  CAPTURE(protocol, others, each, counted);
  CHECK(accepted == (others <= 9));
  if (accepted) {
    CHECK(each <= counted);
    CHECK(each > counted / 2);
  }
}
