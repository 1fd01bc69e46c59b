#include "pinfold/command/engine.hpp"

#include "pinfold/base/random.hpp"

namespace pinfold::command {
namespace {

std::string random_run_id() {
  constexpr std::string_view digits = "0123456789abcdef";
  constexpr std::size_t length = 40;
  std::string id;
  while (id.size() < length) id.push_back(digits[random_below(digits.size())]);
  return id;
}

}  // namespace

Engine::Engine(config::Settings& server_settings, store::Keyspace& server_keyspace, unsigned threads)
    : settings(server_settings),
      keyspace(server_keyspace),
      stats(threads),
      run_id(random_run_id()),
      memory_at_start(server_keyspace.memory().used()) {}

}  // namespace pinfold::command
