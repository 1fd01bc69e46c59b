#include "pinfold/net/network.hpp"

#include <algorithm>
#include <functional>
#include <new>
#include <sstream>
#include <utility>

#include "pinfold/net/io_thread.hpp"
#include "pinfold/net/listener.hpp"

namespace pinfold::net {

Network::Network(boost::asio::io_context& context, command::Engine& engine) : context_(context), engine_(engine) {
  const auto count = static_cast<unsigned>(engine.settings.integer(config::Id::threads));
  for (unsigned i = 0; i < count; ++i) threads_.push_back(std::make_unique<IoThread>(engine, i));
  engine.connect(this);
}

Network::~Network() {
  stop();
  engine_.connect(nullptr);
}

void Network::close(const ClientPlace& client) { threads_[client.thread]->close(client.client); }

void Network::end_wait(const ClientPlace& client, std::uint64_t ticket, bool with_error) {
  threads_[client.thread]->end_wait(client.client, ticket, with_error);
}

void Network::wake_task(const ClientPlace& client) { threads_[client.thread]->wake_task(client.client); }

void Network::end_pause() {
  for (const auto& thread : threads_) thread->resume_paused();
}

void Network::deliver(const std::shared_ptr<const Delivery>& answer) {
  // One waiter is the common case: only its thread is told.
  std::optional<ClientPlace> first;
  const auto note_first = [&first](std::uint64_t /*ticket*/, const ClientPlace& waiter) {
    if (first) return false;
    first = waiter;
    return true;
  };
  const bool several = answer->visit(0, std::ref(note_first)) != 0;
  if (!first) return;
  if (!several) return threads_[first->thread]->deliver(answer);
  bool shared = false;
  for (const auto& thread : threads_) {
    try {
      thread->deliver(answer);
      shared = true;
    } catch (const std::bad_alloc&) {
      // Once a thread reads them they can no longer be taken back: clients of this one are answered when their time is up.
      if (!shared) throw;
    }
  }
}

void Network::push(std::vector<ClientPlace> to, std::shared_ptr<const std::string> bytes) {
  const auto push = std::make_shared<const Push>(Push{std::move(to), std::move(bytes)});
  for (unsigned thread = 0; thread < threads_.size(); ++thread) {
    const auto lives_here = [thread](const ClientPlace& client) { return client.thread == thread; };
    if (std::any_of(push->to.begin(), push->to.end(), lives_here)) threads_[thread]->push(push);
  }
}

std::optional<std::string> Network::check_addresses(const config::Settings& settings) {
  bool any = !settings.text(config::Id::unixsocket).empty();
  if (settings.integer(config::Id::port) != 0) {
    std::istringstream addresses(settings.text(config::Id::bind));
    for (std::string address; addresses >> address; any = true) {
      if (address.front() == '-') address.erase(0, 1);
      if (!Listener::is_address(address)) return "cannot listen on " + address + ": not an IP address";
    }
  }
  if (!any) return "nothing to listen on: port is 0 and no unixsocket is set";
  return std::nullopt;
}

std::optional<std::string> Network::listen() {
  const config::Settings& settings = engine_.settings;
  const auto backlog = static_cast<int>(settings.integer(config::Id::tcp_backlog));
  if (const auto port = static_cast<unsigned>(settings.integer(config::Id::port)); port != 0) {
    std::istringstream addresses(settings.text(config::Id::bind));
    for (std::string address; addresses >> address;) {
      // "-::1": listen there if this machine has the address.
      const bool optional = address.front() == '-';
      if (optional) address.erase(0, 1);
      auto listener = std::make_unique<Listener>(context_, engine_, threads_);
      auto error = listener->listen_tcp(address, port, backlog);
      if (error && !optional) return error;
      if (!error) listeners_.push_back(std::move(listener));
    }
  }
  if (const std::string path = settings.text(config::Id::unixsocket); !path.empty()) {
    listeners_.push_back(std::make_unique<Listener>(context_, engine_, threads_));
    const auto permissions = static_cast<unsigned>(settings.integer(config::Id::unixsocketperm));
    if (auto error = listeners_.back()->listen_unix(path, permissions, backlog)) return error;
  }
  if (listeners_.empty()) return "nothing to listen on: port is 0 and no unixsocket is set";
  return std::nullopt;
}

std::string Network::addresses() const {
  std::string all;
  for (const auto& listener : listeners_) all.append(all.empty() ? "" : " and ").append(listener->name());
  return all;
}

void Network::start() {
  for (const auto& listener : listeners_) listener->start();
  for (const auto& thread : threads_) thread->start();
}

void Network::accept_again() {
  for (const auto& listener : listeners_) listener->restart();
}

void Network::stop() {
  listeners_.clear();
  for (const auto& thread : threads_) thread->stop();
}

}  // namespace pinfold::net
