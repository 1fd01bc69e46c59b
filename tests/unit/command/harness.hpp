#pragma once
// Drives commands as a connection does, without a network: a server of one thread and any number of clients.
//
//   Server server;
//   Client client(server);
//   CHECK(client.run("SET", "a", "1") == "+OK\r\n");

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/command/dispatch.hpp"

namespace pinfold::command {

struct Server {
  explicit Server(const store::KeyspaceOptions& options = {}) : keyspace(options), engine(settings, keyspace, 1) {}

  void set(config::Id id, std::string_view value) {
    const bool at_runtime = config::settings_table()[static_cast<std::size_t>(id)].runtime;  // then who listens is told
    if (const auto error = settings.set(id, value, at_runtime)) throw std::runtime_error(*error);
  }
  CommandCounters& counters(std::string_view command) {
    return engine.stats.of_thread(0).commands[command_index(*find_command_by_name(command))];
  }

  config::Settings settings;
  store::Keyspace keyspace;
  Engine engine;
  Dispatcher dispatcher{engine, 0};
  Moment moment() const { return {now, started.mono + (now - started.unix)}; }
  const Moment started = pinfold::moment();
  UnixMs now = started.unix;  // tests let time pass by adding to it
};

/// What waits in `output`.
inline std::string text_of(const resp::Output& output) {
  std::vector<iovec> runs(64);
  std::string text;
  std::size_t count = 0;
  while ((count = output.gather(runs.data(), runs.size())) == runs.size()) runs.resize(2 * runs.size());
  for (std::size_t i = 0; i < count; ++i) text.append(static_cast<const char*>(runs[i].iov_base), runs[i].iov_len);
  return text;
}

class Client {
 public:
  explicit Client(Server& server) : server_(server) {
    session.shared.id = server.engine.clients.next_id();
    session.shared.address = "127.0.0.1:" + std::to_string(10'000 + session.shared.id);
    session.shared.local_address = "127.0.0.1:6379";
    session.shared.created = server.moment().mono;
    session.set_user(server.engine.users.of_new_connection());
    server.engine.clients.add(session.shared);
    server.engine.enforce_user_share(session);
  }
  ~Client() {
    server_.dispatcher.end_session(session);
    server_.engine.clients.remove(session.shared);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::string run_all(const std::vector<std::string_view>& args) {
    resp::Output output;
    resp::Reply reply(output, session.protocol);
    server_.dispatcher.clock().hold_for_test(server_.moment());
    server_.dispatcher.execute(session, args, reply);
    for (steps = 0; session.task != nullptr; ++steps) server_.dispatcher.step(session, reply);
    return text_of(output);
  }
  /// The bytes of the reply to one command.
  template <class... Words>
  std::string run(const Words&... words) {
    return run_all({std::string_view(words)...});
  }
  /// Whether the command would have to wait for the end of a pause.
  template <class... Words>
  bool waits(const Words&... words) {
    const std::vector<std::string_view> args{std::string_view(words)...};
    server_.dispatcher.clock().hold_for_test(server_.moment());
    return server_.dispatcher.must_wait(session, args, server_.dispatcher.prepare(args));
  }

  Session session;
  unsigned steps = 0;  // that the last command took, as a task, beyond the first

 private:
  Server& server_;
};

inline std::string bulk(std::string_view text) { return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n"; }

}  // namespace pinfold::command
