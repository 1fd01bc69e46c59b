#include "pinfold/admin/admin_server.hpp"

#include <chrono>
#include <exception>
#include <list>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>

#include "pinfold/admin/http_session.hpp"
#include "pinfold/config/listening.hpp"

namespace pinfold::admin {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using config::Id;

namespace {

// A word of admin-bind.
struct Address : config::BindAddress {
  error_code error;
  asio::ip::address parsed;
};

std::vector<Address> addresses_of(const config::Settings& settings) {
  std::vector<Address> all;
  for (config::BindAddress& word : config::bind_addresses(settings.text(Id::admin_bind))) {
    Address& one = all.emplace_back(Address{std::move(word), {}, {}});
    const std::string plain = one.text == "*" ? "0.0.0.0" : one.text == "::*" ? "::" : one.text;
    one.parsed = asio::ip::make_address(plain, one.error);
  }
  return all;
}

std::string cannot_listen(const Address& address, std::int64_t port, const std::string& why) {
  return "cannot listen on " + address.text + " port " + std::to_string(port) + " (admin-port): " + why;
}

}  // namespace

class AdminServer::Implementation {
 public:
  Implementation(command::Engine& engine, MakeTls make_tls)
      : engine_(engine), make_tls_(std::move(make_tls)), speaks_tls_(engine.settings.flag(Id::admin_tls)), shared_(engine) {}
  ~Implementation() { stop(); }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

  std::optional<std::string> listen() {
    const std::int64_t port = engine_.settings.integer(Id::admin_port);
    if (port == 0) return std::nullopt;
    if (auto error = check(engine_.settings)) return error;
    for (const Address& address : addresses_of(engine_.settings)) {
      const error_code error = listen_on({address.parsed, static_cast<std::uint16_t>(port)});
      if (error && !address.may_miss) return cannot_listen(address, port, error.message());
    }
    if (doors_.empty()) return "admin-port is set, and admin-bind names no address of this machine";
    return std::nullopt;
  }

  void start() {
    if (doors_.empty()) return;
    thread_ = std::thread([this] { run(); });
  }

  void set_state(State state) { shared_.state = state; }

  void stop() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  std::string addresses() const {
    std::ostringstream all;
    for (const Door& door : doors_) {
      if (&door != &doors_.front()) all << " and ";
      all << (speaks_tls_ ? "https://" : "http://") << door.acceptor.local_endpoint();
    }
    return all.str();
  }

 private:
  // Where it listens.
  struct Door {
    Door(tcp::acceptor made, asio::steady_timer timer) : acceptor(std::move(made)), retry(std::move(timer)) {}

    tcp::acceptor acceptor;
    asio::steady_timer retry;
    bool waits = false;  // for a connection, or to try again
  };

  error_code listen_on(const tcp::endpoint& endpoint) {
    error_code error;
    tcp::acceptor acceptor(context_);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(most_connections, error);
    if (!error) doors_.emplace_back(std::move(acceptor), asio::steady_timer(context_));
    return error;
  }

  void accept(Door& door) {
    door.acceptor.async_accept([this, &door](const error_code& error, tcp::socket socket) {
      door.waits = false;
      if (error) return accept_later(door);  // there are no descriptors, for instance
      accept(door);
      serve(std::move(socket));
    });
    door.waits = true;
  }

  void accept_later(Door& door) {
    door.retry.expires_after(std::chrono::milliseconds(100));
    door.retry.async_wait([this, &door](const error_code& /*error*/) {
      door.waits = false;
      accept(door);
    });
    door.waits = true;
  }

  void serve(tcp::socket socket) {
    if (shared_.connections >= most_connections) {
      if (shared_.idle.empty()) return refuse(socket);
      shared_.idle.front()->close();
    }
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    PlainStream stream(std::move(socket));
    if (!speaks_tls_) return std::make_shared<HttpSession<PlainStream>>(std::move(stream), shared_)->start();
    SSL* const tls = make_tls_();
    if (tls == nullptr) return;
    std::make_shared<HttpSession<TlsStream>>(TlsStream(std::move(stream), tls), shared_)->start();
  }

  // The socket is closed by the caller.
  void refuse(const tcp::socket& socket) {
    engine_.stats.of_admin().admin_rejected.add();
    error_code error;
    std::ostringstream address;
    address << socket.remote_endpoint(error);
    engine_.audit.note(AuditLog::Kind::connection_refused, {.address = address.view()},
                       [&](AuditLine& line) { line.add("reason", "too many connections to admin-port").add("address", address.view()); });
  }

  // If there is no memory for a connection, it is closed, and the others are served.
  void run() {
    while (!context_.stopped()) {
      try {
        for (Door& door : doors_) {
          if (!door.waits) accept(door);
        }
        context_.run();
      } catch (const std::exception&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    }
  }

  command::Engine& engine_;
  const MakeTls make_tls_;
  const bool speaks_tls_;
  Shared shared_;
  asio::io_context context_{1};
  std::list<Door> doors_;
  std::thread thread_;
};

std::size_t AdminServer::descriptors(const config::Settings& settings) {
  if (settings.integer(Id::admin_port) == 0) return 0;
  constexpr std::size_t own = 4;  // of its event loop, and one that has been accepted to be refused
  return most_connections + addresses_of(settings).size() + own;
}

std::optional<std::string> AdminServer::check(const config::Settings& settings) {
  const std::int64_t port = settings.integer(Id::admin_port);
  if (port == 0) return std::nullopt;
  const std::vector<Address> addresses = addresses_of(settings);
  if (addresses.empty()) return "admin-port is set, and admin-bind names no address";
  for (const Address& address : addresses) {
    if (address.error) return cannot_listen(address, port, "not an IP address");
  }
  for (const auto& [id, name] : {std::pair{Id::port, "port"}, std::pair{Id::tls_port, "tls-port"}}) {
    if (settings.integer(id) == port) return "admin-port and " + std::string(name) + " are the same: " + std::to_string(port);
  }
  return std::nullopt;
}

AdminServer::AdminServer(command::Engine& engine, MakeTls make_tls)
    : implementation_(std::make_unique<Implementation>(engine, std::move(make_tls))) {}
AdminServer::~AdminServer() = default;
std::optional<std::string> AdminServer::listen() { return implementation_->listen(); }
void AdminServer::start() { implementation_->start(); }
void AdminServer::set_state(State state) { implementation_->set_state(state); }
void AdminServer::stop() { implementation_->stop(); }
std::string AdminServer::addresses() const { return implementation_->addresses(); }

}  // namespace pinfold::admin
