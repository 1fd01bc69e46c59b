#pragma once
// Keeps what clients would be told, for the test to look at.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pinfold/base/client_threads.hpp"

struct ToldClients final : pinfold::ClientThreads {
  /// Called with each answer, if it is set.
  std::function<void(const pinfold::Delivery& answer)> on_answer;
  std::vector<pinfold::ClientPlace> closed;
  int pauses_ended = 0;

  void close(const pinfold::ClientPlace& client) override { closed.push_back(client); }
  void end_wait(const pinfold::ClientPlace& /*client*/, std::uint64_t /*ticket*/, bool /*with_error*/) override {}
  void wake_task(const pinfold::ClientPlace& /*client*/) override {}
  void end_pause() override { ++pauses_ended; }
  void deliver(const std::shared_ptr<const pinfold::Delivery>& answer) override {
    if (on_answer) on_answer(*answer);
  }
  void push(std::vector<pinfold::ClientPlace> /*to*/, std::shared_ptr<const std::string> /*bytes*/,
            pinfold::Audience /*audience*/) override {}
  void send(unsigned /*thread*/, std::shared_ptr<const pinfold::Mail> /*mail*/) override {}
  std::uint64_t mail_number(unsigned /*thread*/) const override { return 0; }
};
