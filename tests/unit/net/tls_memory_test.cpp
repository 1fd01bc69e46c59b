// The account of memory is as large as what TLS connections really take.

#include <memory>
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
  const std::size_t idle_bytes = TlsTransport::idle_bytes + (certified ? TlsTransport::certificate_bytes : 0);
  CHECK(idle13 <= idle_bytes);
  CHECK(idle13 > idle_bytes / 2);
  CHECK(idle12 <= idle_bytes);
  CHECK(idle12 > idle_bytes / 2);
  CHECK(begun13 <= TlsTransport::handshake_bytes);
  CHECK(begun12 <= TlsTransport::handshake_bytes);
}
