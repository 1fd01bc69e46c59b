#include "pinfold/net/network.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <new>
#include <string_view>
#include <utility>

#include "pinfold/config/listening.hpp"
#include "pinfold/net/io_thread.hpp"
#include "pinfold/net/listener.hpp"
#include "pinfold/net/tls_certificates.hpp"

namespace pinfold::net {

namespace {
constexpr std::string_view nothing_to_listen_on = "nothing to listen on: port and tls-port are 0 and no unixsocket is set";

// An error of the certificates, with the setting for which they are needed if that is not obvious.
std::optional<std::string> tls_error(const config::Settings& settings, std::optional<std::string> error) {
  if (error && !config::has_tls_port(settings)) error->insert(0, "admin-tls is on: ");
  return error;
}

}  // namespace

Network::Network(boost::asio::io_context& context, command::Engine& engine)
    : context_(context), engine_(engine), tls_(std::make_unique<TlsCertificates>(engine)), look_at_certificates_(context) {
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

void Network::push(std::vector<ClientPlace> to, std::shared_ptr<const std::string> bytes, Audience audience) {
  const auto push = std::make_shared<const Push>(Push{std::move(to), std::move(bytes), audience});
  for (unsigned thread = 0; thread < threads_.size(); ++thread) {
    const auto lives_here = [thread](const ClientPlace& client) { return client.thread == thread; };
    if (std::any_of(push->to.begin(), push->to.end(), lives_here)) threads_[thread]->push(push);
  }
}

void Network::send(unsigned thread, std::shared_ptr<const Mail> mail) { threads_[thread]->send(std::move(mail)); }

std::uint64_t Network::mail_number(unsigned thread) const { return threads_[thread]->mail_number(); }

std::optional<std::string> Network::check_addresses(const config::Settings& settings) {
  bool any = !settings.text(config::Id::unixsocket).empty();
  const std::int64_t port = settings.integer(config::Id::port);
  const std::int64_t tls_port = settings.integer(config::Id::tls_port);
  if (port != 0 || tls_port != 0) {
    for (const config::BindAddress& address : config::bind_addresses(settings.text(config::Id::bind))) {
      if (!Listener::is_address(address.text)) return "cannot listen on " + address.text + ": not an IP address";
      any = true;
    }
  }
  if (port != 0 && port == tls_port) return "port and tls-port are the same: " + std::to_string(port);
  if (!any) return std::string(nothing_to_listen_on);
  return std::nullopt;
}

std::optional<std::string> Network::check_tls(const config::Settings& settings, std::vector<std::string>& warnings) {
  if (!config::speaks_tls(settings)) return std::nullopt;
  std::shared_ptr<const TlsContext> context;
  if (auto error = TlsContext::load(TlsOptions(settings), context)) return tls_error(settings, std::move(error));
  for (const std::string& warning : context->warnings()) warnings.push_back("TLS: " + warning);
  return std::nullopt;
}

// Listens with TLS if `tls` is not null.
std::optional<std::string> Network::listen_tcp(unsigned port, const TlsCertificates* tls) {
  const auto backlog = static_cast<int>(engine_.settings.integer(config::Id::tcp_backlog));
  for (const config::BindAddress& address : config::bind_addresses(engine_.settings.text(config::Id::bind))) {
    auto listener = std::make_unique<Listener>(context_, engine_, threads_, tls);
    auto error = listener->listen_tcp(address.text, port, backlog);
    if (error && !address.may_miss) return error;
    if (!error) listeners_.push_back(std::move(listener));
  }
  return std::nullopt;
}

std::optional<std::string> Network::listen() {
  const config::Settings& settings = engine_.settings;
  if (const auto port = static_cast<unsigned>(settings.integer(config::Id::port)); port != 0) {
    if (auto error = listen_tcp(port, nullptr)) return error;
  }
  if (config::speaks_tls(settings)) {
    if (auto error = tls_->load()) return tls_error(settings, std::move(error));
    connect_tls_settings();
  }
  if (const auto port = static_cast<unsigned>(settings.integer(config::Id::tls_port)); port != 0) {
    if (auto error = listen_tcp(port, tls_.get())) return error;
  }
  if (const std::string path = settings.text(config::Id::unixsocket); !path.empty()) {
    listeners_.push_back(std::make_unique<Listener>(context_, engine_, threads_));
    const auto backlog = static_cast<int>(settings.integer(config::Id::tcp_backlog));
    const auto permissions = static_cast<unsigned>(settings.integer(config::Id::unixsocketperm));
    if (auto error = listeners_.back()->listen_unix(path, permissions, backlog)) return error;
  }
  if (listeners_.empty()) return std::string(nothing_to_listen_on);
  return std::nullopt;
}

// A change that cannot be followed is refused, so the settings always say what the present context was made of.
void Network::connect_tls_settings() {
  using config::Id;
  engine_.settings.on_change(
      {Id::tls_cert_file, Id::tls_key_file, Id::tls_key_file_pass, Id::tls_ca_cert_file, Id::tls_ca_cert_dir, Id::tls_auth_clients,
       Id::tls_auth_clients_user, Id::tls_protocols, Id::tls_ciphers, Id::tls_ciphersuites, Id::tls_prefer_server_ciphers,
       Id::tls_session_caching, Id::tls_session_cache_timeout},
      [this] { return tls_->load(); }, [this] { tls_->undo(); }, config::Settings::Takes::as_long_as_a_disk);
}

void Network::reload_certificates() {
  if (speaks_tls(engine_.settings)) tls_->load();
}

// Tickets are for clients that connect often. Without them a session cannot outlive its certificate.
TlsOwned<SSL> Network::make_tls() const {
  TlsOwned<SSL> made = tls_->latest()->make();
  if (made == nullptr) return nullptr;
  SSL_set_options(made.get(), SSL_OP_NO_TICKET);
  SSL_set_num_tickets(made.get(), 0);
  return made;
}

// Only new connections wait for what the main thread does.
void Network::watch_certificates() {
  look_at_certificates_.expires_after(std::chrono::seconds(2));
  look_at_certificates_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    watch_certificates();
    tls_->look();
  });
}

std::string Network::addresses() const {
  std::string all;
  for (const auto& listener : listeners_) all.append(all.empty() ? "" : " and ").append(listener->name());
  return all;
}

void Network::start() {
  if (speaks_tls(engine_.settings)) watch_certificates();
  for (const auto& listener : listeners_) listener->start();
  for (const auto& thread : threads_) thread->start();
}

void Network::accept_again() {
  for (const auto& listener : listeners_) listener->restart();
}

void Network::stop() {
  boost::system::error_code ignored;
  look_at_certificates_.cancel(ignored);
  listeners_.clear();
  engine_.scripting.stop();
  // All of them before the first is waited for: a thread that goes on may keep locked what another one needs for its last requests.
  for (const auto& thread : threads_) thread->ask_to_stop();
  for (const auto& thread : threads_) thread->stop();
}

}  // namespace pinfold::net
