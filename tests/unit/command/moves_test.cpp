// Commands that take an element from one key and add it to another, when there is no memory for one of the two changes or for both.

#include <string>
#include <vector>

#include "harness.hpp"

#include <catch2/catch.hpp>

#include "pinfold/base/refused_blocks.hpp"

namespace pinfold::command {
namespace {

struct Moving {
  std::string add;                // the command that adds one element
  std::string count;              // the one that counts them
  std::vector<std::string> move;  // the one that moves an element, and its words behind the two keys; "?" is an element of the first
};

class Moves {
 public:
  explicit Moves(Moving what) : what_(std::move(what)) {}

  void fill(std::string_view key, int count, int bytes) {
    for (int i = 0; i < count; ++i) client_.run(what_.add, key, element(key, i, bytes));
  }
  // Copies share the nodes of trees, so that a write needs blocks for its own.
  void copy() {
    client_.run("COPY", "from", "from2", "REPLACE");
    client_.run("COPY", "to", "to2", "REPLACE");
  }
  // Lets the heap refuse a block after so many, or all blocks. Returns whether the element was moved.
  bool move(int bytes, std::int64_t blocks, bool all_further) {
    std::vector<std::string> words{what_.move[0], "from", "to"};
    for (std::size_t i = 1; i < what_.move.size(); ++i) words.push_back(what_.move[i] == "?" ? element("from", 0, bytes) : what_.move[i]);
    blocks_until_refusal = blocks;
    refuses_all_further = all_further;
    const std::string reply = client_.run_all({words.begin(), words.end()});
    refused_ = blocks_until_refusal < 0 || (all_further && blocks_until_refusal == 0);
    blocks_until_refusal = -1;
    refuses_all_further = false;
    return reply[0] != '-';
  }
  // Whether a block was refused in the last move.
  bool refused() const { return refused_; }
  std::string counts() { return client_.run(what_.count, "from") + client_.run(what_.count, "to"); }

 private:
  static std::string element(std::string_view key, int number, int bytes) {
    return std::string(key) + std::to_string(number) + std::string(static_cast<std::size_t>(bytes), 'x');
  }

  const Moving what_;
  Server server_;
  Client client_{server_};
  bool refused_ = false;
};

std::string count(int from, int to) { return ":" + std::to_string(from) + "\r\n:" + std::to_string(to) + "\r\n"; }

}  // namespace

TEST_CASE("an element that cannot be moved for want of memory is neither lost nor doubled", "[moves]") {
  const std::vector<Moving> all = {{"RPUSH", "LLEN", {"LMOVE", "LEFT", "RIGHT"}},
                                   {"RPUSH", "LLEN", {"LMOVE", "LEFT", "LEFT"}},
                                   {"RPUSH", "LLEN", {"RPOPLPUSH"}},
                                   {"SADD", "SCARD", {"SMOVE", "?"}}};
  const Moving& moving = all[GENERATE(0U, 1U, 2U, 3U)];
  const int from = GENERATE(1, 2, 30, 32, 33, 129, 400);
  const int to = GENERATE(0, 30, 127, 128, 129, 400);
  const int bytes = GENERATE(0, 450, 2000);
  Moves moves(moving);
  moves.fill("from", from, bytes);
  moves.fill("to", to, bytes);
  REQUIRE(moves.counts() == count(from, to));
  for (std::int64_t blocks = 0;; ++blocks) {
    for (const bool all_further : {true, false}) {
      moves.copy();
      const bool moved = moves.move(bytes, blocks, all_further);
      CAPTURE(moving.move[0], from, to, bytes, blocks, all_further, moved);
      REQUIRE(moves.counts() == (moved ? count(from - 1, to + 1) : count(from, to)));
      if (moved) return;
      REQUIRE(moves.refused());
    }
  }
}

}  // namespace pinfold::command
