#include "pinfold/net/io_thread.hpp"

#include <boost/asio/post.hpp>

#include "pinfold/net/connection.hpp"

namespace pinfold::net {

IoThread::IoThread(command::Engine& engine, unsigned index)
    : engine_(engine), index_(index), context_(1), dispatcher_(engine, index), ticker_(context_), pause_timer_(context_) {}

IoThread::~IoThread() { stop(); }

void IoThread::start() {
  schedule_tick();
  thread_ = std::thread([this] { context_.run(); });
}

void IoThread::stop() {
  if (!thread_.joinable()) return;
  asio::post(context_, [this] {
    stopping_ = true;
    ticker_.cancel();
    pause_timer_.cancel();
    // close() may destroy, so walk a copy of the ids.
    std::vector<std::uint64_t> ids;
    for (const auto& [id, connection] : connections_) ids.push_back(id);
    for (const std::uint64_t id : ids) close(id);
    context_.stop();
  });
  thread_.join();
  connections_.clear();
}

void IoThread::adopt(Socket socket, bool unix_socket) {
  const std::uint64_t id = engine_.clients.next_id();
  auto connection = std::make_unique<Connection>(*this, std::move(socket), unix_socket, id);
  Connection& started = *connection;
  connections_.emplace(id, std::move(connection));
  started.start();
}

void IoThread::close(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found != connections_.end()) found->second->close();
}

void IoThread::destroy(Connection& connection) {
  connections_.erase(connection.id());
  load_.fetch_sub(1, std::memory_order_relaxed);
}

void IoThread::schedule_tick() {
  ticker_.expires_after(std::chrono::seconds(1));
  ticker_.async_wait([this](const boost::system::error_code& error) {
    if (error || stopping_) return;
    tick();
    schedule_tick();
  });
}

void IoThread::tick() {
  const UnixMs now = unix_ms();
  for (auto it = connections_.begin(); it != connections_.end();) {
    Connection& connection = *it->second;
    ++it;  // the tick may destroy this one
    connection.tick(now);
  }
}

void IoThread::wait_for_pause_end() {
  const UnixMs left = engine_.clients.paused_until() - unix_ms();
  pause_timer_.expires_after(std::chrono::milliseconds(std::max<UnixMs>(left, 0) + 1));
  pause_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) resume_paused();
  });
}

void IoThread::resume_paused() {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, connection] : connections_) ids.push_back(id);
  for (const std::uint64_t id : ids) {
    const auto found = connections_.find(id);
    if (found != connections_.end()) found->second->resume();
  }
}

}  // namespace pinfold::net
