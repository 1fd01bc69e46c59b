#include "pinfold/net/tls_transport.hpp"

#include <string>
#include <vector>

#include "rig.hpp"
#include "support/users.hpp"
#include "tls_rig.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::net;
using Outcome = Transport::Outcome;
using pinfold::config::Id;

namespace {

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  return text;
}

}  // namespace

TEST_CASE("tls: bytes arrive whole in both directions, however few move at a time") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  const std::string suite =
      GENERATE("", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256");
  const std::size_t at_a_time = GENERATE(1U, 7U, 1000U, 20'000U, SIZE_MAX);
  files.set(Id::tls_ciphersuites, suite);
  CAPTURE(suite, at_a_time);
  Tls tls(files, suite.empty() ? TLS1_2_VERSION : TLS1_3_VERSION);
  tls.wire->per_read = at_a_time;
  tls.wire->per_write = at_a_time;
  const bool shaken = tls.shake_hands();
  CAPTURE(tls.transport.failure());
  REQUIRE(shaken);
  CHECK(tls.transport.usual());
  const std::size_t size = at_a_time == 1 ? 40'000 : 1'000'000;
  const std::string text = pattern(size);
  for (std::size_t sent = 0; sent < size; sent += 20'000) tls.client.send(text.substr(sent, 20'000));
  CHECK(tls.read_all() == text);
  REQUIRE(tls.write_all({"$", text.substr(0, 10), text.substr(10), "\r\n"}));
  CHECK(tls.client.take() == "$" + text + "\r\n");
}

TEST_CASE("tls: the client's bytes that come with the end of the handshake are not lost") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  tls.client.shake_hands();
  CHECK(tls.read().outcome == Outcome::blocked);
  REQUIRE(tls.client.shake_hands());
  tls.client.send("PING\r\n");
  CHECK(tls.read().outcome == Outcome::blocked);
  CHECK(tls.transport.handshake() == Transport::Handshake::done);
  CHECK(tls.transport.pending() > 0);
  tls.transport.established();
  CHECK(tls.transport.pending() > 0);
  const Transport::Result result = tls.read();
  CHECK(std::string_view(tls.spare.data(), result.bytes) == "PING\r\n");
}

TEST_CASE("tls: a socket that takes a part is written to again, and nothing is said to be taken before it is") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  tls.wire->per_write = 5000;
  tls.wire->blocks_after_write = true;
  const std::string text = pattern(100'000);
  const iovec all = run(text);
  Transport::Result result = tls.transport.write({&all, 1});
  CHECK(result.outcome == Outcome::blocked);
  CHECK(result.bytes == 0);
  CHECK(tls.transport.memory() > TlsTransport::idle_bytes + 50'000);  // the records that are kept
  std::size_t taken = 0;
  for (int i = 0; i < 1000 && taken < text.size(); ++i) {
    tls.wire->let_write();
    const iovec rest = run(std::string_view(text).substr(taken));
    result = tls.transport.write({&rest, 1});
    REQUIRE(result.outcome != Outcome::failed);
    taken += result.bytes;
  }
  CHECK(tls.client.take() == text);
  CHECK(tls.transport.memory() == TlsTransport::idle_bytes);
}

TEST_CASE("tls: many short replies are one record and one write, and a large value few writes") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  const std::string reply = "$3\r\nabc\r\n";
  const std::vector<iovec> runs(16, run(reply));
  tls.wire->calls = 0;
  tls.wire->take();
  CHECK(tls.transport.write(runs).outcome == Outcome::done);
  CHECK(tls.wire->calls == 1);
  CHECK(tls.wire->sent.size() == 16 * reply.size() + 5 + 1 + 16);  // one header, type and tag
  CHECK(tls.client.take().size() == 16 * reply.size());
  const std::string text = pattern(1'000'000);
  const iovec large = run(text);
  tls.wire->calls = 0;
  CHECK(tls.transport.write({&large, 1}).outcome == Outcome::done);
  CHECK(tls.wire->calls <= 1'000'000 / (64 * 1024) + 1);
  CHECK(tls.client.take() == text);
}

TEST_CASE("tls: a request costs one read of the socket, and what a small buffer leaves is pending") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  tls.client.send("PING\r\n");
  tls.wire->reads = 0;
  CHECK(tls.read().bytes == 6);
  CHECK(tls.wire->reads == 1);
  CHECK(tls.transport.usual());
  tls.client.send(pattern(10'000));
  tls.client.send("end");
  CHECK(tls.read().bytes == 4096);
  CHECK(tls.transport.pending() > 0);
  CHECK_FALSE(tls.transport.usual());
  CHECK(tls.read_all().size() == 10'003 - 4096);
  CHECK(tls.transport.usual());
}

TEST_CASE("tls: the end of the client's bytes is told after the last of them, with a goodbye or without") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  tls.client.send("last");
  const bool politely = GENERATE(true, false);
  if (politely) tls.client.say_goodbye();
  if (!politely) tls.wire->end();
  CHECK(tls.read_all() == "last");
  CHECK(tls.last == Outcome::ended);
  CHECK(tls.write_all({"still there"}));
  tls.transport.shutdown();
  if (!politely) {
    CHECK(tls.client.take() == "still there");
    CHECK(tls.client.was_told_goodbye());
  }
}

TEST_CASE("tls: wherever the carrier fails, the transport has failed and goes on failing") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  std::size_t failing = 0;
  for (;; ++failing) {
    Tls tls(files);
    tls.wire->per_read = 20;
    tls.wire->failing_call = failing;
    bool ok = tls.shake_hands();
    if (ok) {
      tls.client.send("hello");
      tls.read_all();
      ok = tls.last != Outcome::failed && tls.write_all({pattern(50'000)});
    }
    if (tls.wire->calls <= failing) break;  // it was not reached
    CHECK_FALSE(ok);
    CHECK(tls.read().outcome == Outcome::failed);
    const iovec more = run("x");
    CHECK(tls.transport.write({&more, 1}).outcome != Outcome::done);
    tls.transport.shutdown();
    CHECK(tls.wire->shut_down);
  }
  CHECK(failing > 10);
}

TEST_CASE("tls: who does not speak TLS is refused, and told so in the log") {
  TlsFiles files;
  for (const std::string_view bytes : {"*1\r\n$4\r\nPING\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PING\r\n"}) {
    Tls tls(files);
    tls.wire->deliver(bytes);
    CHECK(tls.read().outcome == Outcome::failed);
    CHECK(tls.transport.failure() == "it does not speak TLS");
  }
  Tls random(files);
  random.wire->deliver(std::string(20'000, '\x16'));
  CHECK(random.read().outcome == Outcome::failed);
}

TEST_CASE("tls: a record that was changed on its way ends the connection") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  const int protocol = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  Tls tls(files, protocol);
  REQUIRE(tls.shake_hands());
  tls.client.send("SET a 1\r\n");
  tls.wire->incoming.back() = static_cast<char>(tls.wire->incoming.back() ^ 1);
  CHECK(tls.read_all().empty());
  CHECK(tls.last == Outcome::failed);
  CHECK_FALSE(tls.transport.failure().empty());
}

TEST_CASE("tls: what is no record is refused at once, without its rest") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  using namespace std::string_literals;
  const std::string bytes = GENERATE("*1\r\n$4\r\nPING\r\n"s, "\x17\x03\x03\x41\x01"s, "\x17\x03\x03\0\x10................"s);
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  tls.wire->deliver(bytes);
  CHECK(tls.read_all().empty());
  CHECK(tls.last == Outcome::failed);
  CHECK_FALSE(tls.wire->sent.empty());  // an alert
}

TEST_CASE("tls: a part of a record is kept by the transport, and counted") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  const int protocol = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  Tls tls(files, protocol);
  REQUIRE(tls.shake_hands());
  tls.client.send(std::string(10'000, 'x'));
  const char last = tls.wire->incoming.back();
  tls.wire->incoming.pop_back();
  CHECK(tls.read_all().empty());
  CHECK(tls.last == Outcome::blocked);
  CHECK(tls.transport.memory() > TlsTransport::idle_bytes + 10'000);
  tls.wire->deliver(std::string(1, last));
  CHECK(tls.read_all() == std::string(10'000, 'x'));
  CHECK(tls.transport.memory() == TlsTransport::idle_bytes);
}

TEST_CASE("tls: a client asks for new keys as it likes, but not without reading the answers") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  Tls tls(files);
  REQUIRE(tls.shake_hands());
  for (int i = 0; i < 10; ++i) {
    tls.client.update_keys();
    tls.client.send("a");
    CHECK(tls.read_all() == "a");
    CHECK(tls.write_all({"b"}));
    CHECK(tls.client.take() == "b");
  }
  tls.wire->per_write = 0;
  tls.wire->blocks_after_write = true;
  bool failed = false;
  for (int i = 0; i < 100'000 && !failed; ++i) {
    tls.client.update_keys();
    tls.client.send("a");
    tls.read_all();
    failed = tls.last == Outcome::failed;
    CHECK(tls.transport.memory() < TlsTransport::idle_bytes + 600'000);
  }
  CHECK(failed);
}

TEST_CASE("tls: sessions are resumed, but not under new certificates") {
  TlsFiles files;
  const Certified alice = certify({.common_names = {"alice"}}, &files.authority);
  files.set(Id::tls_auth_clients_user, "CN");
  const int protocol = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  Tls first(files, protocol, &alice);
  REQUIRE(first.shake_hands());
  CHECK_FALSE(first.client.resumed());
  const Transport::Established established = first.established;
  CHECK(established.certified);
  CHECK(established.names == std::vector<std::string>{"alice"});
  REQUIRE(first.client.session() != nullptr);
  Tls second(files, protocol, &alice, first.client.session());
  REQUIRE(second.shake_hands());
  CHECK(second.client.resumed());
  const Transport::Established resumed = second.established;
  CHECK(resumed.resumed);
  CHECK(resumed.certified);
  CHECK(resumed.names == std::vector<std::string>{"alice"});
  SECTION("nobody of an authority that is no longer accepted comes back") {
    files.directory.write("ca.crt", pem_of(*certify({.common_names = {"other"}, .is_authority = true}).certificate));
    files.load();
    Tls third(files, protocol, &alice, first.client.session());
    CHECK_FALSE(third.shake_hands());
  }
  SECTION("the same files are new keys for tickets") {
    files.load();
    Tls third(files, protocol, &alice, first.client.session());
    REQUIRE(third.shake_hands());
    CHECK_FALSE(third.client.resumed());
  }
  SECTION("and not if there are no tickets") {
    files.set(Id::tls_session_caching, "no");
    files.load();
    Tls third(files, protocol, &alice);
    REQUIRE(third.shake_hands());
    CHECK((third.client.session() == nullptr || SSL_SESSION_is_resumable(third.client.session()) == 0 ||
           SSL_SESSION_has_ticket(third.client.session()) == 0));
  }
}

TEST_CASE("tls: a client must show a certificate of an accepted authority, or may show none") {
  TlsFiles files;
  const Certified stranger = certify({.common_names = {"alice"}});
  files.set(Id::tls_auth_clients_user, "CN");
  {
    Tls none(files);
    CHECK_FALSE(none.shake_hands());
    CHECK(none.transport.failure() == "peer did not return a certificate");
    Tls wrong(files, TLS1_3_VERSION, &stranger);
    CHECK_FALSE(wrong.shake_hands());
    CHECK(wrong.transport.failure() == "its certificate is not accepted: self-signed certificate");
  }
  files.set(Id::tls_auth_clients, "optional");
  files.load();
  Tls none(files);
  REQUIRE(none.shake_hands());
  const Transport::Established established = none.established;
  CHECK_FALSE(established.certified);
  CHECK(established.names.empty());
  CHECK(established.refusal.empty());
  Tls wrong(files, TLS1_3_VERSION, &stranger);
  CHECK_FALSE(wrong.shake_hands());
}

TEST_CASE("tls: replies and requests of a connection go over it") {
  TlsFiles files;
  files.set(Id::tls_auth_clients_user, "CN");
  files.load();
  Rig rig;
  set_user(rig.engine, "alice", {"on", "~*", "+@all"});
  set_user(rig.engine, "eve", {"off", "~*", "+@all"});
  rig.set(Id::requirepass, "secret");
  const auto connect = [&](const std::string& name) {
    const Certified certificate = certify({.common_names = {name}}, &files.authority);
    auto client = std::make_unique<TlsClient>(adopt(rig, files), TLS1_3_VERSION, &certificate);
    for (int i = 0; i < 10 && !client->shake_hands(); ++i) rig.settle();
    rig.settle();
    client->take();
    return client;
  };
  const auto ask = [&rig](TlsClient& client, const std::string& request) {
    client.send(request);
    rig.settle();
    return client.take();
  };
  const auto alice = connect("alice");
  CHECK(ask(*alice, request("SET", "a", "1")) == "+OK\r\n");
  CHECK(ask(*alice, request("GET", "a") + request("GET", "b")) == "$1\r\n1\r\n$-1\r\n");
  const auto bob = connect("bob");
  CHECK(ask(*bob, request("PING")) == "-NOAUTH Authentication required.\r\n");
  const auto eve = connect("eve");
  CHECK(ask(*eve, request("PING")) == "-NOAUTH Authentication required.\r\n");
  CHECK(rig.engine.stats.total(&pinfold::command::ThreadStats::tls_users_refused) == 2);
  CHECK(rig.engine.stats.total(&pinfold::command::ThreadStats::tls_handshakes) == 3);
  CHECK(rig.engine.tls.clients == 3);
  CHECK(rig.engine.tls.under_way == 0);
  // What a connection takes is in the account, and an idle one does not use up the clients' share.
  CHECK(rig.client_memory() > 2 * TlsTransport::idle_bytes);
  CHECK(rig.engine.clients.idle_bytes() > 2 * TlsTransport::idle_bytes);
  CHECK(ask(*alice, request("QUIT")) == "+OK\r\n");
  CHECK(alice->was_told_goodbye());
  CHECK(rig.engine.tls.clients == 2);
}

TEST_CASE("tls: handshakes begin only as many as may, and those that have begun go first") {
  Handshakes handshakes("2");
  Rig& rig = handshakes.rig;
  std::vector<std::unique_ptr<TlsClient>> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(std::make_unique<TlsClient>(adopt(rig, handshakes.files)));
  CHECK(rig.engine.tls.under_way == 0);  // nobody has said anything yet
  for (const auto& client : clients) client->shake_hands();
  rig.settle();
  CHECK(rig.engine.tls.under_way == 2);
  CHECK(rig.engine.tls.waiting == 3);
  CHECK(rig.client_memory() > 2 * TlsTransport::handshake_bytes);
  for (int i = 0; i < 10; ++i) {
    for (const auto& client : clients) client->shake_hands();
    rig.settle();
  }
  CHECK(rig.engine.tls.under_way == 0);
  CHECK(rig.engine.tls.waiting == 0);
  CHECK(rig.engine.tls.clients == 5);
  for (const auto& client : clients) {
    client->take();
    client->send(request("PING"));
    rig.settle();
    CHECK(client->take() == "+PONG\r\n");
  }
}

TEST_CASE("tls: a handshake that does not go on is ended, and its place given to those that wait") {
  TlsFiles files;
  files.set(Id::tls_auth_clients, "no");
  files.load();
  Rig rig;
  rig.set(Id::tls_max_handshakes, "1");
  const auto silent = adopt(rig, files);
  TlsClient first(silent);
  first.shake_hands();
  rig.settle();
  CHECK(rig.engine.tls.under_way == 1);
  SECTION("when its client goes") {
    TlsClient second(adopt(rig, files));
    second.shake_hands();
    rig.settle();
    CHECK(rig.engine.tls.waiting == 1);
    silent->hang_up();
    rig.settle();
    CHECK(silent->shut_down);
    CHECK(rig.engine.tls.waiting == 0);
    for (int i = 0; i < 5; ++i) {
      second.shake_hands();
      rig.settle();
    }
    CHECK(rig.engine.tls.clients == 1);
  }
  SECTION("when its time is up") {
    rig.pass(8000);
    CHECK_FALSE(silent->shut_down);
    rig.pass(4000);
    CHECK(silent->shut_down);
    CHECK(rig.engine.stats.total(&pinfold::command::ThreadStats::tls_timed_out) == 1);
    CHECK(rig.engine.tls.under_way == 0);
    CHECK(rig.engine.clients.transport_bytes() == 0);
  }
}
