#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"

using namespace pinfold;
using namespace pinfold::command;

namespace {

// Hands mail out to a client that has subscribed.
struct Postman final : ClientThreads, PushReceiver {
  explicit Postman(Server& server) : server_(server) { server.engine.connect(this); }
  ~Postman() { server_.engine.connect(nullptr); }

  void close(const ClientPlace& /*client*/) override {}
  void end_wait(const ClientPlace& /*client*/, std::uint64_t /*ticket*/, bool /*with_error*/) override {}
  void wake_task(const ClientPlace& /*client*/) override {}
  void end_pause() override {}
  void deliver(const std::shared_ptr<const Delivery>& /*answer*/) override {}
  void push(std::vector<ClientPlace> /*to*/, std::shared_ptr<const std::string> /*bytes*/, Audience /*audience*/) override {}
  void send(unsigned thread, std::shared_ptr<const Mail> mail) override {
    for (unsigned shard = 0; shard < server_.keyspace.shard_count(); ++shard) {
      server_.keyspace.with_locked(shard, [] {});  // would wait for ever if a lock were held
    }
    Mail::Progress progress{.number = ++number_};
    unsigned left = 1000;
    CHECK(mail->hand_out(thread, progress, left));
  }
  std::uint64_t mail_number(unsigned /*thread*/) const override { return number_ + 1; }
  void push(const PushText& text) noexcept override {
    // "$<n>\r\n__keyevent@0__:set\r\n$<n>\r\nkey\r\n"
    const std::string all(text.text);
    const std::size_t name = all.find("__:") + 3;
    const std::size_t name_end = all.find("\r\n", name);
    const std::size_t key = all.find("\r\n", name_end + 2) + 2;
    told += (told.empty() ? "" : " ") + all.substr(name, name_end - name) + ":" + all.substr(key, all.size() - key - 2);
  }
  std::string take() { return std::exchange(told, {}); }

  std::string told;

 private:
  Server& server_;
  std::uint64_t number_ = 0;
};

struct Told {
  explicit Told(std::string_view classes, const store::KeyspaceOptions& options = {}) : server(options) {
    server.set(config::Id::notify_keyspace_events, classes);
    listener.session.receiver = &postman;
    listener.run("PSUBSCRIBE", "__keyevent@*");
  }

  Server server{};
  Postman postman{server};
  Client listener{server};
  Client client{server};
};

}  // namespace

TEST_CASE("keyspace events: a buffer keeps events in order, is bounded and gives its memory back") {
  EventBuffer buffer;
  const std::string key(1000, 'k');
  std::size_t count = 0;
  while (buffer.add({count, Event::set, 3, key})) ++count;
  CHECK(buffer.capacity() <= EventBuffer::most_bytes);
  CHECK(count > EventBuffer::most_bytes / 1100);
  for (std::size_t i = 0; i < count; ++i) {
    CHECK(buffer.front().order == i);
    CHECK(buffer.front().key == key);
    buffer.drop_front();
    if (i == count / 2) CHECK(buffer.add({count, Event::set, 3, key}));  // what is gone makes room
  }
  CHECK_FALSE(buffer.empty());
  buffer.drop_front();
  CHECK(buffer.empty());
  CHECK(buffer.capacity() == 0);
  CHECK_FALSE(buffer.add({0, Event::set, 0, std::string(EventBuffer::most_bytes, 'k')}));
}

TEST_CASE("keyspace events: they are published with nothing locked, in the order of Redis") {
  Told told("EAn", {.shards = 64});
  told.client.run("SET", "a", "1", "EX", "100");
  CHECK(told.postman.take() == "new:a set:a expire:a");
  told.client.run("RENAME", "a", "b");
  CHECK(told.postman.take() == "new:b rename_from:a rename_to:b");
  told.client.run("MSET", "x", "1", "y", "2", "z", "3");
  CHECK(told.postman.take() == "new:x set:x new:y set:y new:z set:z");
  told.client.run("MULTI");
  told.client.run("SET", "q", "1");
  told.client.run("RENAME", "q", "r");
  told.client.run("DEL", "r");
  CHECK(told.postman.take().empty());
  told.client.run("EXEC");
  CHECK(told.postman.take() == "new:q set:q new:r rename_from:q rename_to:r del:r");
}

TEST_CASE("keyspace events: a change costs no look-up and no memory while nothing of its class is wanted") {
  Server server;
  Client client(server);
  client.run("SET", "a", "1");
  for (const char* classes : {"", "KE", "A"}) {
    server.set(config::Id::notify_keyspace_events, classes);
    for (unsigned shard = 0; shard < server.keyspace.shard_count(); ++shard) {
      for (const auto cause : {store::Cause::created, store::Cause::missed}) CHECK_FALSE(server.keyspace.changes(shard).wants(cause));
    }
    client.run("SET", "a", "2");
    client.run("GET", "nosuch");
    CHECK(server.engine.keyspace_events.told() == 0);
  }
}

TEST_CASE("keyspace events: what waits is in the account, and is given back") {
  Told told("EA");
  const std::uint64_t before = told.server.keyspace.memory().used(store::Use::clients);
  std::vector<std::string> words = {"MSET"};
  for (int i = 0; i < 200; ++i) words.insert(words.end(), {"key-" + std::to_string(i), "1"});
  std::vector<std::string_view> args(words.begin(), words.end());
  told.client.run_all(args);
  CHECK(told.server.engine.keyspace_events.told() == 200);
  CHECK(told.server.engine.keyspace_events.dropped() == 0);
  // A short buffer stays with each shard.
  CHECK(told.server.keyspace.memory().used(store::Use::clients) <= before + told.server.keyspace.shard_count() * 4096);
  told.server.set(config::Id::notify_keyspace_events, "");
  told.client.run("SET", "a", "1");
  CHECK(told.server.engine.keyspace_events.told() == 200);
}

TEST_CASE("keyspace events: with very many patterns a command publishes some, and the background worker the rest, in their order") {
  Told told("EAn", {.shards = 4});
  for (int i = 0; i < 3000; ++i) told.listener.run("PSUBSCRIBE", "*never*" + std::to_string(i) + "*");
  std::vector<std::string> words = {"MSET"};
  for (int i = 0; i < 100; ++i) words.insert(words.end(), {"k" + std::to_string(i), "1"});
  told.client.run_all(std::vector<std::string_view>(words.begin(), words.end()));
  KeyspaceEvents& events = told.server.engine.keyspace_events;
  CHECK(events.told() < 10);
  told.client.run("SET", "k99", "2");  // waits for those before it
  CHECK(events.told() < 10);
  std::uint64_t steps = 0;
  for (bool more = true; more; ++steps) {
    const std::uint64_t before = events.told();
    more = events.publish_left();
    CHECK(events.told() - before < 10);
  }
  CHECK(steps > 10);
  CHECK(events.told() == 201);  // `new` and `set` of each, and the last one
  const std::string all = told.postman.take() + " ";
  for (int i = 0; i < 100; ++i) {
    const std::string key = "k" + std::to_string(i) + " ";
    const std::size_t created = all.find("new:" + key);
    const std::size_t set = all.find("set:" + key);
    REQUIRE(created != std::string::npos);
    REQUIRE(set != std::string::npos);
    CHECK(created < set);
  }
  CHECK(all.find("set:k99 ") != all.rfind("set:k99 "));
}

TEST_CASE("keyspace events: a miss is told of reads, and not of OBJECT") {
  Told told("Em");
  told.client.run("GET", "a");
  told.client.run("EXISTS", "a");
  told.client.run("OBJECT", "ENCODING", "a");
  told.client.run("SET", "a", "1");
  CHECK(told.postman.take() == "keymiss:a keymiss:a");
}
