#include <cstddef>
#include <cstdint>
#include "pinfold/command/dispatch.hpp"
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t*, std::size_t) {
  pinfold::config::Settings s;
  pinfold::store::Keyspace k({});
  pinfold::command::Engine e(s, k, 1);
  pinfold::command::Dispatcher d(e, 0);
  return 0;
}
