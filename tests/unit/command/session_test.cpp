#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {

// All that can be asked of a session is done to this one.
void use(Client& client) {
  client.run("HELLO", "3", "SETNAME", "me");
  client.run("CLIENT", "SETINFO", "LIB-NAME", "lib");
  client.run("CLIENT", "SETINFO", "LIB-VER", "1.0");
  client.run("CLIENT", "NO-TOUCH", "ON");
  client.run("CLIENT", "NO-EVICT", "ON");
  client.run("SELECT", "4");
  client.run("MONITOR");
  client.run("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "p");
  client.run("SUBSCRIBE", "a", "b");
  client.run("PSUBSCRIBE", "a*");
  client.run("SSUBSCRIBE", "a");
  client.run("WATCH", "a", "b");
  client.run("MULTI");
  client.run("SET", "a", "1");
  client.run("CLIENT", "REPLY", "OFF");
  client.session.told_nil.add(7);
  client.session.trace = {.context = {}, .present = true, .once = true};
}

// What others see. Every field is named here: one that is added does not compile before it is compared, or said to stay.
void compare_shared(SharedClient& left, SharedClient& right) {
  auto& [id, address, local_address, fd, unix_socket, created, thread, last_active, last_command, db, protocol, queued, queued_bytes,
         watched, no_evict, no_touch, waiting, paused, monitors, subscriptions, subscribed_bytes, closing, watched_bytes, tracking_bytes,
         tracking, redirect, redirect_target, evicted, input_bytes, input_room, large_bytes, output_bytes, buffer_memory, task_bytes, usage,
         counted, transport_bytes, counted_requests, reads, counted_reads, net_input, net_output, commands, mutex, name, user, library_name,
         library_version] = left;
  CHECK(db == right.db);
  CHECK(protocol == right.protocol);
  CHECK(queued == right.queued);
  CHECK(queued_bytes == right.queued_bytes);
  CHECK(watched == right.watched);
  CHECK(watched_bytes == right.watched_bytes);
  CHECK(tracking_bytes == right.tracking_bytes);
  CHECK(tracking == right.tracking);
  CHECK(redirect == right.redirect);
  static_cast<void>(redirect_target);  // others may still redirect to it
  CHECK(no_evict == right.no_evict);
  CHECK(no_touch == right.no_touch);
  CHECK(waiting == right.waiting);
  CHECK(paused == right.paused);
  CHECK(monitors == right.monitors);
  for (std::size_t i = 0; i < subscriptions.size(); ++i) CHECK(subscriptions[i] == right.subscriptions[i]);
  CHECK(subscribed_bytes == right.subscribed_bytes);
  CHECK(closing == right.closing);
  CHECK(evicted == right.evicted);
  CHECK(large_bytes == right.large_bytes);
  CHECK(task_bytes == right.task_bytes);
  CHECK(usage == right.usage);
  CHECK(counted == right.counted);
  CHECK(name == right.name);
  CHECK(user == right.user);
  // The connection's own: who it is, what it did and what its buffers hold.
  CHECK((id != right.id && address != right.address && last_command.load() != nullptr && commands > 0));
  static_cast<void>(std::tie(local_address, fd, unix_socket, created, thread, last_active, mutex));
  CHECK(counted_requests == commands.load());
  static_cast<void>(std::tie(reads, counted_reads));
  static_cast<void>(std::tie(transport_bytes, input_bytes, input_room, output_bytes, buffer_memory, net_input, net_output));
  CHECK(library_name == "lib");
  CHECK(library_version == "1.0");
}

void compare(Session& left, Session& right) {
  auto& [shared, db, protocol, no_touch, login_noted, close_after_reply, more_to_come, reply_mode, transaction, group, watched,
         watched_bytes, receiver, subscriber, waiting, task, told_nil, tracking, trace, acting] = left;
  compare_shared(shared, right.shared);
  CHECK(db == right.db);
  CHECK(protocol == right.protocol);
  CHECK(no_touch == right.no_touch);
  static_cast<void>(login_noted);  // it is about the connection
  CHECK(close_after_reply == right.close_after_reply);
  CHECK(more_to_come == right.more_to_come);
  CHECK(reply_mode == right.reply_mode);
  CHECK(transaction == nullptr);
  CHECK(group == nullptr);
  CHECK(watched.empty());
  CHECK(watched_bytes == right.watched_bytes);
  CHECK(receiver == right.receiver);
  CHECK(subscriber == nullptr);
  CHECK(waiting == nullptr);
  CHECK(task == nullptr);
  CHECK(tracking == nullptr);
  CHECK((!trace.present && !trace.once));
  CHECK((acting.user == nullptr && acting.at == 0 && acting.unlimited_at == 0 && acting.request_limit == 0 &&
         !acting.removed));  // looked for at the next request
  CHECK(told_nil.has(7));    // so that it does not wait when it asks again, as docs/cache-commands.md promises
}

}  // namespace

TEST_CASE("session: RESET makes every field but what the client was told of leases what a new session has") {
  Server server;
  Client fresh(server);
  Client client(server);
  use(client);
  REQUIRE(client.run("RESET") == "+RESET\r\n");
  compare(client.session, fresh.session);
  CHECK(server.keyspace.memory().used(pinfold::store::Use::clients) == 0);
}

TEST_CASE("session: RESET logs out where a password is asked for, as if the client had just come") {
  Server server;
  server.set(pinfold::config::Id::requirepass, "secret");
  Client fresh(server);
  Client client(server);
  REQUIRE(client.run("AUTH", "secret") == "+OK\r\n");
  CHECK(client.session.user() == server.engine.users.find("default").get());
  use(client);
  REQUIRE(client.run("RESET") == "+RESET\r\n");
  CHECK(client.session.user() == nullptr);
  compare(client.session, fresh.session);
}

TEST_CASE("session: RESET under CLIENT REPLY SKIP is silent, and what follows is not") {
  Server server;
  Client client(server);
  client.run("CLIENT", "REPLY", "SKIP");
  CHECK(client.run("RESET").empty());
  CHECK(client.session.reply_mode == ReplyMode::on);
  CHECK(client.run("PING") == "+PONG\r\n");
}

TEST_CASE("session: a change of the password logs nobody out and lets nobody in") {
  Server server;
  Client before(server);
  server.set(pinfold::config::Id::requirepass, "first");
  Client unauthenticated(server);
  Client authenticated(server);
  REQUIRE(authenticated.run("AUTH", "first") == "+OK\r\n");
  REQUIRE(authenticated.run("CONFIG", "SET", "requirepass", "second") == "+OK\r\n");
  CHECK(before.run("PING") == "+PONG\r\n");
  CHECK(authenticated.run("PING") == "+PONG\r\n");
  CHECK(unauthenticated.run("PING") == "-NOAUTH Authentication required.\r\n");
  CHECK(unauthenticated.run("AUTH", "first").starts_with("-WRONGPASS"));
  CHECK(authenticated.run("AUTH", "wrong").starts_with("-WRONGPASS"));
  CHECK(authenticated.run("PING") == "+PONG\r\n");  // still who it was
  REQUIRE(authenticated.run("CONFIG", "SET", "requirepass", "") == "+OK\r\n");
  CHECK(unauthenticated.run("PING") == "+PONG\r\n");
  REQUIRE(authenticated.run("CONFIG", "SET", "requirepass", "third") == "+OK\r\n");
  CHECK(unauthenticated.run("PING") == "-NOAUTH Authentication required.\r\n");
  CHECK(unauthenticated.run("AUTH", "third") == "+OK\r\n");
}

TEST_CASE("session: clients are listed under the default user, authenticated or not") {
  Server server;
  server.set(pinfold::config::Id::requirepass, "secret");
  Client unauthenticated(server);
  Client client(server);
  REQUIRE(client.run("AUTH", "secret") == "+OK\r\n");
  const std::string list = client.run("CLIENT", "LIST");
  const std::string user = " user=default ";
  const std::size_t first = list.find(user);
  REQUIRE(first != std::string::npos);
  CHECK(list.find(user, first + 1) != std::string::npos);
  CHECK(client.run("CLIENT", "KILL", "USER", "nobody") == "-ERR No such user 'nobody'\r\n");
  CHECK(client.run("CLIENT", "KILL", "USER", "default") == ":1\r\n");
}
