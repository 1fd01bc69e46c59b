#pragma once
// All I/O threads and the listeners that feed them.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pinfold/command/engine.hpp"

namespace pinfold::net {

class IoThread;
class Listener;

class Network {
 public:
  explicit Network(command::Engine& engine);
  ~Network();

  /// Binds every address and socket of the settings; returns what went wrong, or nothing.
  std::optional<std::string> listen();
  void start();
  /// Stops listening, closes every connection, ends the threads.
  void stop();

 private:
  command::Engine& engine_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace pinfold::net
