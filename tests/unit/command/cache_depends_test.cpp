#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/work.hpp"
#include "pinfold/store/tag_names.hpp"

using namespace pinfold::command;

namespace {

using Words = std::vector<std::string>;

std::string run(Client& client, const Words& words) { return client.run_all({words.begin(), words.end()}); }

Words set(const std::string& key, const Words& dependencies) {
  Words words = {"CACHE.SET", key, "v", "DEPENDS", std::to_string(dependencies.size())};
  words.insert(words.end(), dependencies.begin(), dependencies.end());
  return words;
}

}  // namespace

TEST_CASE("dependencies: CASCADE does the same work however many entries depend on a key, and however deep") {
  const auto work_for = [](unsigned count) {
    Server server({.shards = 4});
    Client client(server);
    client.run("SET", "0", "v");
    for (unsigned i = 1; i < count; ++i) {
      const unsigned above = i % 100 == 0 ? 0 : i - 1;  // chains of 100
      REQUIRE(run(client, set(std::to_string(i), {std::to_string(above)})) == "+OK\r\n");
    }
    const pinfold::work::Counting counting;
    REQUIRE(client.run("CACHE.INVALIDATE", "1", "0", "CASCADE") == ":1\r\n");
    const pinfold::work::Counts counts = counting.counts();
    for (unsigned i = 0; i < count; i += 37) REQUIRE(client.run("EXISTS", std::to_string(i)) == ":0\r\n");
    return counts;
  };
  const auto few = work_for(10);
  const auto many = work_for(5000);
  CHECK(many.entries <= few.entries + 4);
  CHECK(many.nodes <= few.nodes + 4);
  CHECK(many.bytes <= few.bytes + 1024);
}

TEST_CASE("dependencies: what a fill inherits is bounded, and so is the work of it") {
  Server server({.shards = 4});
  Client client(server);
  Words parents;
  // As much as there may be: 15 names of 250 bytes each, in all that may be looked at.
  constexpr std::size_t each = 15 * 253;
  for (std::size_t bytes = 0; bytes + each <= pinfold::store::Dependencies::most_bytes; bytes += each) {
    Words names;
    for (int i = 0; i < 15; ++i) names.push_back(std::to_string(parents.size() % 2) + ":" + std::string(240, 'x') + std::to_string(i));
    parents.push_back("parent" + std::to_string(parents.size()));
    REQUIRE(run(client, set(parents.back(), names)) == "+OK\r\n");
  }
  const pinfold::work::Counting counting;
  const std::string reply = run(client, set("child", parents));
  CHECK(reply.starts_with("-ERR too many dependencies"));  // together they are twice as many bytes as an entry may have
  CHECK(counting.counts().bytes < 128 * 1024);
  CHECK(run(client, set("child", {parents[0], parents[2], parents[4]})) == "+OK\r\n");  // these have the same ones
  CHECK(client.run("EXISTS", "child") == ":1\r\n");
}

TEST_CASE("dependencies: a write without any takes a plain way, and a plain overwrite tells nobody") {
  Server server({.shards = 4});
  Client client(server);
  // The commonest requests are prepared with their one key.
  CHECK(server.dispatcher.prepare(std::vector<std::string_view>{"CACHE.SET", "k", "v", "EX", "5"}).one_key);
  CHECK_FALSE(server.dispatcher.prepare(std::vector<std::string_view>{"CACHE.SET", "k", "v", "DEPENDS", "1", "p"}).one_key);
  client.run("SET", "k", "v");
  const std::string token = client.run("CACHE.GET", "c", "LEASE", "10000");
  client.run("SET", "k", "w");
  client.run("DEL", "k");
  const std::size_t at = token.find(":") + 1;
  CHECK(client.run("CACHE.SET", "c", "v", "TOKEN", token.substr(at, token.find("\r", at) - at), "DEPENDS", "1", "k") == "+OK\r\n");
}
