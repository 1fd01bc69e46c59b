#include "pinfold/command/lcs.hpp"

#include <algorithm>
#include <random>
#include <string>

#include "harness.hpp"

#include <catch2/catch.hpp>

using namespace pinfold::command;

namespace {

// The plain table of numbers, and the way back through it that Redis takes.
Lcs by_table(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> length(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      length[i][j] = a[i - 1] == b[j - 1] ? length[i - 1][j - 1] + 1 : std::max(length[i - 1][j], length[i][j - 1]);
    }
  }
  Lcs lcs{length[a.size()][b.size()], {}};
  bool in_match = false;
  for (std::size_t i = a.size(), j = b.size(); i > 0 && j > 0;) {
    const bool match = a[i - 1] == b[j - 1];
    if (match) {
      --i;
      --j;
      if (!in_match) lcs.matches.push_back({i, j, 0});
      lcs.matches.back() = {i, j, lcs.matches.back().size + 1};
    } else {
      if (length[i - 1][j] > length[i][j - 1]) {
        --i;
      } else {
        --j;
      }
    }
    in_match = match;
  }
  return lcs;
}

std::string random_text(std::mt19937& random, std::size_t longest, unsigned letters) {
  std::string text(random() % (longest + 1), ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % letters);
  return text;
}

}  // namespace

TEST_CASE("lcs: the bits find what the table of numbers finds, match by match") {
  std::mt19937 random(1);
  for (int round = 0; round < 600; ++round) {
    const unsigned letters = 1 + random() % 20;
    const std::string a = random_text(random, 200, letters);
    const std::string b = random_text(random, 200, letters);
    const Lcs expected = by_table(a, b);
    const auto found = longest_common_subsequence(a, b, true);
    INFO("'" << a << "' '" << b << "'");
    REQUIRE(found);
    CHECK(found->length == expected.length);
    const auto same = [](const LcsMatch& x, const LcsMatch& y) { return x.a == y.a && x.b == y.b && x.size == y.size; };
    CHECK(std::equal(found->matches.begin(), found->matches.end(), expected.matches.begin(), expected.matches.end(), same));
    const auto only_length = longest_common_subsequence(a, b, false);
    REQUIRE(only_length);
    CHECK(only_length->length == expected.length);
    CHECK(only_length->matches.empty());
  }
}

TEST_CASE("lcs: replies as Redis gives them") {
  Server server;
  Client client(server);
  client.run("MSET", "a", "ohmytext", "b", "mynewtext");
  CHECK(client.run("LCS", "a", "b") == bulk("mytext"));
  CHECK(client.run("LCS", "a", "b", "LEN") == ":6\r\n");
  CHECK(client.run("LCS", "a", "b", "IDX", "MINMATCHLEN", "4", "WITHMATCHLEN") ==
        "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$3\r\nlen\r\n:6\r\n");
  CHECK(client.run("LCS", "a", "missing") == bulk(""));
  CHECK(client.run("LCS", "a", "b", "LEN", "IDX") == "-ERR If you want both the length and indexes, please just use IDX.\r\n");
  CHECK(client.run("LCS", "a", "b", "MINMATCHLEN") == "-ERR syntax error\r\n");
}

TEST_CASE("lcs: refuses what Redis' table would not fit into proto-max-bulk-len") {
  Server server;
  Client client(server);
  server.set(pinfold::config::Id::proto_max_bulk_len, "1048576");
  client.run("MSET", "fits", std::string(511, 'a'), "large", std::string(512, 'a'));
  CHECK(client.run("LCS", "fits", "fits", "LEN") == ":511\r\n");
  CHECK(client.run("LCS", "large", "large", "LEN") == "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
}

TEST_CASE("lcs: a long string and a short one are compared without a lock") {
  Server server;
  Client client(server);
  client.run("MSET", "long", std::string(70'000, 'w') + "x", "short", "x");
  server.keyspace.lock_watch().set_accounting(true);
  CHECK(client.run_all({"LCS", "long", "short", "LEN"}) == ":1\r\n");
  const auto causes = server.keyspace.lock_watch().account.causes();
  const auto found = std::find_if(causes.begin(), causes.end(), [](const auto& one) { return one.first == "lcs"; });
  REQUIRE(found != causes.end());
  CHECK(found->second.over == 0);
  CHECK(found->second.most.bytes < 1000);
}
