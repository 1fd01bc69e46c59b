#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold::command;
using pinfold::config::Id;

namespace {

std::uint64_t client_memory(Server& server) { return server.keyspace.memory().used(pinfold::store::Use::clients); }

std::vector<std::string> names_of(int count, const std::string& prefix = "c") {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(prefix + std::to_string(i));
  return names;
}

std::string run(Client& client, std::string_view command, const std::vector<std::string>& names) {
  std::vector<std::string_view> words = {command};
  words.insert(words.end(), names.begin(), names.end());
  return client.run_all(words);
}

std::uint64_t receivers(Server& server, TopicKind kind, std::string_view channel) {
  Publication publication(server.engine.pubsub, kind, channel);
  while (!publication.match(1)) {
  }
  return publication.receivers();
}

}  // namespace

TEST_CASE("pubsub: a topic is there while it has subscribers") {
  Server server;
  Client one(server);
  {
    Client two(server);
    for (Client* client : {&one, &two}) {
      client->run("SUBSCRIBE", "a");
      client->run("PSUBSCRIBE", "a*");
      client->run("SSUBSCRIBE", "a");
    }
    CHECK(receivers(server, TopicKind::channel, "a") == 4);
    CHECK(receivers(server, TopicKind::channel, "ab") == 2);
    CHECK(receivers(server, TopicKind::shard_channel, "a") == 2);
    CHECK(server.engine.pubsub.clients() == 2);
  }
  CHECK(receivers(server, TopicKind::channel, "a") == 2);
  one.run("UNSUBSCRIBE");
  one.run("PUNSUBSCRIBE", "a*");
  one.run("SUNSUBSCRIBE");
  CHECK(receivers(server, TopicKind::channel, "a") == 0);
  for (const TopicKind kind : {TopicKind::channel, TopicKind::pattern, TopicKind::shard_channel})
    CHECK(server.engine.pubsub.topics(kind) == 0);
  CHECK(server.engine.pubsub.clients() == 0);
  CHECK(client_memory(server) == 0);
}

TEST_CASE("pubsub: many patterns come and go, and each is matched as long as it is there") {
  Server server;
  Client client(server);
  client.session.set_protocol(3);
  run(client, "PSUBSCRIBE", names_of(200, "p*"));
  CHECK(receivers(server, TopicKind::channel, "px7") == 1);
  run(client, "PUNSUBSCRIBE", names_of(150, "p*"));
  CHECK(receivers(server, TopicKind::channel, "px7") == 0);
  CHECK(receivers(server, TopicKind::channel, "px199") == 1);
  run(client, "PSUBSCRIBE", names_of(300, "p*"));
  CHECK(receivers(server, TopicKind::channel, "px7") == 1);
  CHECK(server.engine.pubsub.topics(TopicKind::pattern) == 300);
}

TEST_CASE("pubsub: a client is counted for its subscriptions, and those that do not fit are refused as a whole") {
  Server server;
  server.set(Id::maxmemory_clients, "1048576");
  Client client(server);
  client.session.set_protocol(3);
  run(client, "SUBSCRIBE", names_of(100));
  const std::uint64_t before = client_memory(server);
  CHECK(before > 20'000);
  CHECK(client.session.shared.memory() == before);
  CHECK(run(client, "SUBSCRIBE", names_of(10'000, "other")).starts_with("-ERR the command would take more memory"));
  CHECK(client_memory(server) == before);
  CHECK(server.engine.pubsub.topics(TopicKind::channel) == 100);
  CHECK(client.run("PSUBSCRIBE", "*" + std::string(60'000, '?') + "a*").starts_with("-ERR "));
  CHECK(client_memory(server) == before);
}

TEST_CASE("pubsub: subscribing to many channels and unsubscribing from them is done in steps") {
  Server server;
  Client client(server);
  client.session.set_protocol(3);
  run(client, "SUBSCRIBE", names_of(256));
  CHECK(client.steps == 0);
  run(client, "SUBSCRIBE", names_of(50'000));
  CHECK(client.steps > 0);
  CHECK(client.session.subscriber->count() == 50'000);
  client.run("PUBSUB", "CHANNELS");
  CHECK(client.steps > 0);
  client.run("UNSUBSCRIBE");
  CHECK(client.steps > 0);
  CHECK(client.session.subscriber == nullptr);
  run(client, "SUBSCRIBE", names_of(20'000));
  CHECK(client.run("RESET") == "+RESET\r\n");
  CHECK(client.session.subscriber == nullptr);
  CHECK(client_memory(server) == 0);
}

TEST_CASE("pubsub: a client that has gone gives up at most 512 subscriptions at a time") {
  Server server;
  Client client(server);
  run(client, "SUBSCRIBE", names_of(1200));
  CHECK_FALSE(server.dispatcher.forget_some(client.session));
  CHECK(client.session.subscriber->count() == 1200 - 512);
  CHECK_FALSE(server.dispatcher.forget_some(client.session));
  CHECK(server.dispatcher.forget_some(client.session));
}

TEST_CASE("pubsub: a channel is compared with many patterns in pieces") {
  Server server;
  Client client(server);
  client.session.set_protocol(3);
  run(client, "PSUBSCRIBE", names_of(1000, "p*[ab]*"));
  Publication publication(server.engine.pubsub, TopicKind::channel, "pabc7");
  int pieces = 1;
  while (!publication.match(1000)) ++pieces;
  CHECK(pieces > 10);
  CHECK(publication.receivers() == 1);
  CHECK(client.run("PUBLISH", std::string(1000, 'p'), "x") == ":0\r\n");
  CHECK(client.steps > 0);
}

TEST_CASE("pubsub: a client with RESP2 that has subscribed does not wait for the end of a pause with what it may not send") {
  Server server;
  Client client(server);
  Client other(server);
  client.run("SUBSCRIBE", "a");
  other.run("CLIENT", "PAUSE", "1000", "ALL");
  CHECK_FALSE(client.waits("GET", "a"));
  CHECK(client.waits("SUBSCRIBE", "b"));
  CHECK(other.waits("PUBLISH", "a", "x"));
}

TEST_CASE("pubsub: inside EXEC comparing with patterns is part of the budget of the transaction") {
  Server server;
  Client listener(server);
  listener.session.set_protocol(3);
  run(listener, "PSUBSCRIBE", names_of(4000, "p*[ab]*"));
  Client client(server);
  client.run("MULTI");
  client.run("PUBLISH", std::string(1000, 'p'), "x");
  CHECK(client.run("EXEC").find("was not executed") != std::string::npos);
}
