#pragma once
// An I/O thread that a test drives round by round, and clients that are connected to it over fake transports.
//
//   Rig rig;
//   Peer client = rig.connect();
//   CHECK(client.ask("GET", "a") == "$-1\r\n");

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fake_transport.hpp"

#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

inline std::string request_of(const std::vector<std::string_view>& args) {
  std::string text = "*" + std::to_string(args.size()) + "\r\n";
  for (const std::string_view arg : args) text.append("$").append(std::to_string(arg.size())).append("\r\n").append(arg).append("\r\n");
  return text;
}
template <class... Words>
std::string request(const Words&... words) {
  return request_of({std::string_view(words)...});
}
inline std::string bulk(std::string_view text) { return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n"; }

class Peer;

struct Rig final : ClientThreads {
  Rig() : engine(settings, keyspace, 1) {
    hold_clock();
    engine.connect(this);
    if (thread.idle_ms() == 0) throw std::runtime_error("a thread without connections has something to do");
  }

  ~Rig() { thread.stop(); }

  void close(const ClientPlace& client) override { thread.close(client.client); }
  void end_wait(const ClientPlace& client, std::uint64_t ticket, bool with_error) override {
    thread.end_wait(client.client, ticket, with_error);
  }
  void wake_task(const ClientPlace& client) override { thread.wake_task(client.client); }
  void end_pause() override { thread.resume_paused(); }
  void deliver(const std::shared_ptr<const Delivery>& answer) override { thread.deliver(answer); }
  void push(std::vector<ClientPlace> to, std::shared_ptr<const std::string> bytes, Audience audience) override {
    thread.push(std::make_shared<const Push>(Push{std::move(to), std::move(bytes), audience}));
  }
  void send(unsigned /*thread*/, std::shared_ptr<const Mail> mail) override { thread.send(std::move(mail)); }
  std::uint64_t mail_number(unsigned /*thread*/) const override { return thread.mail_number(); }

  void set(config::Id id, std::string_view value) {
    const bool at_runtime = config::settings_table()[static_cast<std::size_t>(id)].runtime;  // then listeners are told
    if (const auto error = settings.set(id, value, at_runtime)) throw std::runtime_error(*error);
  }
  /// Runs rounds until nothing is ready and nothing is left to do. Throws if that takes so many that the thread must be going in
  /// circles.
  void settle(int most_rounds = 10'000) {
    for (int i = 0; i < most_rounds; ++i) {
      if (thread.run_round(0) == 0 && thread.idle_ms() > 0) return;
    }
    throw std::runtime_error("the thread does not come to rest");
  }
  /// Lets time pass, and settles.
  void pass(std::int64_t ms) {
    moment.mono = moment.mono + ms;
    moment.unix += ms;
    hold_clock();
    settle();
  }
  void hold_clock() { thread.dispatcher().clock().hold_for_test(moment); }
  Peer connect(std::shared_ptr<Wire> wire = std::make_shared<Wire>());
  std::uint64_t client_memory() const { return keyspace.memory().used(store::Use::clients); }

  Moment moment = pinfold::moment();
  config::Settings settings;
  store::Keyspace keyspace{store::KeyspaceOptions{}};
  command::Engine engine;
  IoThread thread{engine, 0};
};

/// The other end of a connection.
class Peer {
 public:
  Peer(Rig& rig, std::shared_ptr<Wire> wire) : rig_(rig), wire_(std::move(wire)) {}

  Wire& wire() { return *wire_; }
  bool closed() const { return wire_->shut_down; }
  void send(std::string_view bytes) {
    wire_->deliver(bytes);
    rig_.settle();
  }
  /// What has come since the last call.
  std::string take() { return wire_->take(); }
  /// What comes for one request.
  template <class... Words>
  std::string ask(const Words&... words) {
    send(request(words...));
    return take();
  }

 private:
  Rig& rig_;
  std::shared_ptr<Wire> wire_;
};

inline Peer Rig::connect(std::shared_ptr<Wire> wire) {
  thread.adopt(std::make_unique<FakeTransport>(wire));
  settle();
  return {*this, std::move(wire)};
}

}  // namespace pinfold::net
