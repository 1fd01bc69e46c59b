#include <memory>
#include <string>
#include <vector>

#include "rig.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold;
using namespace pinfold::net;

namespace {

std::string integer(std::size_t value) { return ":" + std::to_string(value) + "\r\n"; }

std::string confirmation(std::string_view word, std::string_view name, std::size_t count) {
  return "*3\r\n" + bulk(word) + bulk(name) + integer(count);
}
std::string message(std::string_view channel, std::string_view text, char type = '*') {
  return std::string(1, type) + "3\r\n" + bulk("message") + bulk(channel) + bulk(text);
}
std::string pmessage(std::string_view pattern, std::string_view channel, std::string_view text) {
  return "*4\r\n" + bulk("pmessage") + bulk(pattern) + bulk(channel) + bulk(text);
}

std::vector<Peer> subscribers(Rig& rig, int count, std::string_view channel) {
  std::vector<Peer> peers;
  for (int i = 0; i < count; ++i) {
    peers.push_back(rig.connect());
    peers.back().ask("SUBSCRIBE", channel);
  }
  return peers;
}

}  // namespace

TEST_CASE("pubsub: subscribers of the channel get a message before those of patterns, and one client in both forms") {
  Rig rig;
  Peer client = rig.connect();
  Peer publisher = rig.connect();
  CHECK(client.ask("PSUBSCRIBE", "n*") == confirmation("psubscribe", "n*", 1));
  CHECK(client.ask("SUBSCRIBE", "news") == confirmation("subscribe", "news", 2));
  CHECK(publisher.ask("PUBLISH", "news", "x") == integer(2));
  CHECK(client.take() == message("news", "x") + pmessage("n*", "news", "x"));
}

TEST_CASE("pubsub: a publisher gets its own message behind the reply, and what it sends then behind that") {
  Rig rig;
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  client.ask("SUBSCRIBE", "a");
  CHECK(client.ask("PUBLISH", "a", "x") == integer(1) + message("a", "x", '>'));
  client.send(request("PUBLISH", "a", "1") + request("UNSUBSCRIBE", "a") + request("PING"));
  CHECK(client.take() == integer(1) + message("a", "1", '>') + ">3\r\n" + bulk("unsubscribe") + bulk("a") + integer(0) + "+PONG\r\n");
}

TEST_CASE("pubsub: what is published to one client in a round is sent with one write") {
  Rig rig;
  std::vector<Peer> peers = subscribers(rig, 3, "a");
  Peer publisher = rig.connect();
  std::string requests;
  std::string expected;
  for (int i = 0; i < 30; ++i) {
    requests += request("PUBLISH", "a", std::to_string(i));
    expected += message("a", std::to_string(i));
  }
  publisher.ask("ECHO", std::string(2000, 'x'));  // so that its buffer has room for all of them
  command::ThreadStats& stats = rig.thread.dispatcher().stats();
  const std::uint64_t writes = stats.writes.get();
  publisher.send(requests);
  CHECK(stats.writes.get() - writes == 1 + 3);  // the replies to a batch of 30 requests, and the messages to three clients
  for (Peer& peer : peers) CHECK(peer.take() == expected);
}

TEST_CASE("pubsub: PUBLISH does the same work however many subscribers there are, and their thread goes through them in slices") {
  constexpr int count = 5000;
  Rig rig;
  std::vector<Peer> peers = subscribers(rig, count, "a");
  Peer publisher = rig.connect();
  publisher.wire().deliver(request("PUBLISH", "a", "x"));
  std::uint64_t most_told = 0;
  const auto& delivered = rig.thread.dispatcher().stats().messages_delivered;
  while (delivered.get() < count) {
    const std::uint64_t before = delivered.get();
    rig.thread.run_round(0);
    most_told = std::max(most_told, delivered.get() - before);
  }
  CHECK(most_told <= 4096);
  rig.settle();
  CHECK(publisher.take() == integer(count));
  for (Peer& peer : peers) CHECK(peer.take() == message("a", "x"));

  command::Publication publication(rig.engine.pubsub, command::TopicKind::channel, "a");
  work::Counting counting;
  CHECK(publication.match(1000));
  CHECK(publication.receivers() == count);
  publication.send("y");
  CHECK(counting.counts().entries == 0);
  CHECK(counting.counts().bytes < 100);
}

TEST_CASE("pubsub: who subscribes while a message is handed out does not get it, and who unsubscribes gets what was sent before") {
  Rig rig;
  Peer stays = rig.connect();
  stays.ask("SUBSCRIBE", "a");
  Peer leaves = rig.connect();
  leaves.ask("SUBSCRIBE", "a");
  Peer comes = rig.connect();
  command::Publication publication(rig.engine.pubsub, command::TopicKind::channel, "a");
  REQUIRE(publication.match(1));
  publication.send("x");  // lies in the mailbox
  comes.wire().deliver(request("SUBSCRIBE", "a"));
  leaves.wire().deliver(request("UNSUBSCRIBE", "a"));
  rig.settle();
  CHECK(stays.take() == message("a", "x"));
  CHECK(comes.take() == confirmation("subscribe", "a", 1));
  CHECK(leaves.take() == message("a", "x") + confirmation("unsubscribe", "a", 0));
}

TEST_CASE("pubsub: messages are in the account while they wait, and subscriptions until they end") {
  Rig rig;
  Peer client = rig.connect();
  Peer publisher = rig.connect();
  const std::uint64_t idle = rig.client_memory();
  client.ask("SUBSCRIBE", "a");
  client.ask("PSUBSCRIBE", "a*[bc]*d");
  client.ask("SSUBSCRIBE", "a");
  CHECK(rig.client_memory() > idle + 500);
  const std::uint64_t subscribed = rig.client_memory();
  {
    command::Publication publication(rig.engine.pubsub, command::TopicKind::channel, "a");
    REQUIRE(publication.match(1000));
    publication.send(std::string(10'000, 'x'));
    CHECK(rig.engine.pubsub.pending() > 10'000);
    CHECK(rig.client_memory() > subscribed + 10'000);
  }
  rig.settle();
  CHECK(rig.engine.pubsub.pending() == 0);
  client.take();
  client.ask("RESET");
  CHECK(rig.engine.pubsub.clients() == 0);
  CHECK(rig.client_memory() <= idle + 512);  // what the connection keeps for further pushes
}

TEST_CASE("pubsub: a publisher waits while too much is on its way, and goes on when that is handed out") {
  Rig rig;
  constexpr std::uint64_t more_than_a_round = 8 * 1024 * 1024;
  rig.set(config::Id::maxmemory_clients, "67108864");
  Peer client = rig.connect();
  client.ask("SUBSCRIBE", "a");
  Peer publisher = rig.connect();
  while (rig.engine.pubsub.pending() <= rig.engine.pubsub.most_pending() + more_than_a_round) {
    command::Publication publication(rig.engine.pubsub, command::TopicKind::channel, "a");
    REQUIRE(publication.match(1));
    publication.send(std::string(15'000, 'x'));
  }
  publisher.wire().deliver(request("PUBLISH", "a", "last") + request("PING"));
  rig.thread.run_round(0);
  CHECK(publisher.take().empty());
  rig.settle(100'000);
  CHECK(publisher.take() == integer(1) + "+PONG\r\n");
  CHECK(client.take().ends_with(message("a", "last")));
}

TEST_CASE("pubsub: a message never comes inside a reply that is sent in pieces") {
  Rig rig;
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  std::vector<std::string> names;
  std::vector<std::string_view> words = {"SUBSCRIBE"};
  names.reserve(3000);
  for (int i = 0; i < 3000; ++i) words.push_back(names.emplace_back("channel-with-a-long-name-" + std::to_string(i)));
  client.send(request_of(words));
  client.take();
  client.wire().block_writes();
  client.send(request("PUBSUB", "CHANNELS") + request("PUBSUB", "CHANNELS") + request("PUBSUB", "CHANNELS"));
  Peer publisher = rig.connect();
  CHECK(publisher.ask("PUBLISH", names[7], "x") == integer(1));
  client.wire().let_write();
  rig.settle(100'000);
  const std::string all = client.take();
  const std::string pushed = message(names[7], "x", '>');
  const std::size_t at = all.find(pushed);
  REQUIRE(at != std::string::npos);
  CHECK((at + pushed.size() == all.size() || all.substr(at + pushed.size()).starts_with("*3000\r\n")));
}

TEST_CASE("pubsub: a message comes behind the end of a reply that is sent in pieces, however short the last piece is") {
  constexpr int more = 64;  // channels with names of 204 bytes: less than what may be deferred
  Rig rig;
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  Peer publisher = rig.connect();
  client.ask("SUBSCRIBE", "a");
  const std::string pushed = message("a", "x", '>');
  const std::string end(200, 'c');
  for (int count = 0; count < 40 * more;) {
    std::vector<std::string> names;
    for (int i = 0; i < more; ++i, ++count) names.push_back(std::to_string(count) + end);
    std::vector<std::string_view> words = {"SUBSCRIBE"};
    words.insert(words.end(), names.begin(), names.end());
    client.send(request_of(words));
    client.take();
    client.wire().block_writes();
    client.send(request("PUBSUB", "CHANNELS"));
    publisher.ask("PUBLISH", "a", "x");
    client.wire().let_write();
    rig.settle(100'000);
    const std::string all = client.take();
    REQUIRE(all.ends_with(pushed));
    REQUIRE(all.find(pushed) + pushed.size() == all.size());
  }
}

TEST_CASE("pubsub: rights are looked at of a client that has authenticated and sent nothing since") {
  Rig rig;
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  client.ask("SUBSCRIBE", "a");
  REQUIRE(client.ask("AUTH", "default", "x") == "+OK\r\n");
  rig.engine.pubsub.look_at_rights();
  rig.settle();
  CHECK(client.ask("PING") == "+PONG\r\n");
}

TEST_CASE("pubsub: UNSUBSCRIBE from very many channels is the last that is heard of each") {
  Rig rig;
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  std::vector<std::string> names;
  std::vector<std::string_view> words = {"SUBSCRIBE"};
  const std::string end(200, 'c');
  names.reserve(3000);
  for (int i = 0; i < 3000; ++i) words.push_back(names.emplace_back(std::to_string(i) + end));
  client.send(request_of(words));
  client.take();
  client.wire().block_writes();
  client.send(request("UNSUBSCRIBE"));
  Peer publisher = rig.connect();
  std::size_t heard = 0;
  for (std::size_t i = 0; i < names.size(); i += 50) heard += publisher.ask("PUBLISH", names[i], "x") == integer(1) ? 1 : 0;
  REQUIRE(heard > 0);  // the others wait until the client reads
  client.wire().let_write();
  rig.settle(100'000);
  const std::string all = client.take();
  for (std::size_t i = 0; i < names.size(); i += 50) {
    const std::size_t told = all.find(message(names[i], "x", '>'));
    const std::size_t ended = all.find(bulk("unsubscribe") + bulk(names[i]));
    REQUIRE(ended != std::string::npos);
    if (told == std::string::npos) continue;
    CHECK(told < ended);
    --heard;
  }
  CHECK(heard == 0);
}

TEST_CASE("pubsub: nothing is heard while RESET ends very many subscriptions") {
  Rig rig;
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  client.ask("PSUBSCRIBE", "*");  // channels are ended first
  std::vector<std::string> names;
  std::vector<std::string_view> words = {"SUBSCRIBE"};
  names.reserve(20'000);
  for (int i = 0; i < 20'000; ++i) words.push_back(names.emplace_back(std::to_string(i)));
  client.send(request_of(words));
  client.take();
  command::Publication publication(rig.engine.pubsub, command::TopicKind::channel, "a");
  REQUIRE(publication.match(1000));
  publication.send("x");
  CHECK(client.ask("RESET") == "+RESET\r\n");
  CHECK(client.ask("SUBSCRIBE", "a") == confirmation("subscribe", "a", 1));
  Peer publisher = rig.connect();
  publisher.ask("PUBLISH", "a", "x");
  CHECK(client.take() == message("a", "x"));
}

TEST_CASE("pubsub: a right that is taken away while SUBSCRIBE goes through its names does not last") {
  Rig rig;
  Peer admin = rig.connect();
  REQUIRE(admin.ask("ACL", "SETUSER", "u", "on", "nopass", "+@all", "&a*", "&b") == "+OK\r\n");
  Peer client = rig.connect();
  client.ask("HELLO", "3");
  REQUIRE(client.ask("AUTH", "u", "x") == "+OK\r\n");
  std::vector<std::string> names;
  std::vector<std::string_view> words = {"SUBSCRIBE"};
  const std::string end(200, 'c');
  names.reserve(2000);
  for (int i = 0; i < 2000; ++i) words.push_back(names.emplace_back("a" + std::to_string(i) + end));
  words.push_back("b");
  client.wire().block_writes();
  client.send(request_of(words));
  REQUIRE(admin.ask("PUBSUB", "NUMSUB", "b") == "*2\r\n" + bulk("b") + integer(0));
  REQUIRE(admin.ask("ACL", "SETUSER", "u", "resetchannels", "&a*") == "+OK\r\n");
  client.wire().let_write();
  rig.settle(100'000);
  admin.ask("PUBLISH", "b", "x");
  CHECK(client.take().find(message("b", "x", '>')) == std::string::npos);
  CHECK(client.closed());
}

TEST_CASE("pubsub: a subscriber that does not read is closed by the limit of its class") {
  Rig rig;
  rig.set(config::Id::client_output_buffer_limit, "normal 1024 0 0 pubsub 65536 0 0");
  Peer client = rig.connect();
  client.ask("SUBSCRIBE", "a");
  client.wire().block_writes();
  Peer publisher = rig.connect();
  const std::string text(8000, 'x');
  for (int i = 0; i < 7; ++i) publisher.ask("PUBLISH", "a", text);
  CHECK_FALSE(client.closed());
  for (int i = 0; i < 3; ++i) publisher.ask("PUBLISH", "a", text);
  CHECK(client.closed());
  CHECK(publisher.ask("PUBLISH", "a", text) == integer(0));
}
