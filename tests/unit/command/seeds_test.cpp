// Every command is fuzzed from the day on which it is added: it has a seed.

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

#include "pinfold/command/command_table.hpp"

using namespace pinfold::command;

namespace {

// The rows whose requests are among the seeds of fuzz-commands. tests/fuzz/script.hpp has the form of the file.
std::set<const Row*> rows_with_seeds() {
  std::ifstream file(PINFOLD_SOURCE_DIR "/tests/fuzz/seeds/commands.txt");
  REQUIRE(file);
  std::set<const Row*> rows;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words_of(line);
    std::vector<std::string> words;
    for (std::string word; words_of >> word;) words.push_back(word);
    if (words.empty()) continue;
    rows.insert(find_command(std::vector<std::string_view>(words.begin(), words.end())));
  }
  return rows;
}

}  // namespace

TEST_CASE("every row of the command table has a seed for the fuzzer") {
  const std::set<const Row*> rows = rows_with_seeds();
  for (const Row* row : commands()) {
    INFO(row->name << " needs a request in tests/fuzz/seeds/commands.txt");
    CHECK(rows.contains(row));
  }
}
