#include "pinfold/server/server.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <malloc.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <spdlog/spdlog.h>

#include "pinfold/admin/admin_server.hpp"
#include "pinfold/base/numbers.hpp"
#include "pinfold/base/version.hpp"
#include "pinfold/command/engine.hpp"
#include "pinfold/command/user_files.hpp"
#include "pinfold/config/machine.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/net/network.hpp"
#include "pinfold/server/background.hpp"
#include "pinfold/server/checks.hpp"
#include "pinfold/server/log_file.hpp"
#include "pinfold/server/log_format.hpp"
#include "pinfold/server/log_writer.hpp"
#include "pinfold/server/operator_log.hpp"
#include "pinfold/server/trace_exporter.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::server {

namespace {

using config::Id;

int fail(const std::string& what) {
  std::fprintf(stderr, "pinfold-server: %s\n", what.c_str());
  return 1;
}

// The level from which on lines are written; nothing if none are. The setting's choices are the levels in their order, and `nothing`.
std::optional<EventLog::Level> least_level(const config::Settings& settings) {
  const std::int64_t choice = settings.integer(Id::loglevel);
  if (choice > static_cast<std::int64_t>(EventLog::Level::warning)) return std::nullopt;
  return static_cast<EventLog::Level>(choice);
}

void set_log_level(const config::Settings& settings) {
  const std::optional<EventLog::Level> least = least_level(settings);
  spdlog::set_level(least ? spdlog_level(*least) : spdlog::level::off);
}

// Lines that are not written are not made either.
void follow_log_level(config::Settings& settings, EventLog& events) {
  const auto apply = [&settings, &events]() -> std::optional<std::string> {
    set_log_level(settings);
    if (const std::optional<EventLog::Level> least = least_level(settings)) {
      events.set_least(*least);
    } else {
      events.set_none();
    }
    return std::nullopt;
  };
  settings.on_change(Id::loglevel, apply);
  apply();
}

// Makes spdlog's lines go to `log`.
void set_up_log(config::Settings& settings, const std::shared_ptr<OperatorLog>& log) {
  auto logger = std::make_shared<spdlog::logger>("pinfold", log);
  logger->set_error_handler([log](const std::string&) { log->lose(); });  // spdlog's own writes to the terminal
  spdlog::set_default_logger(std::move(logger));
  set_log_level(settings);
  const auto choose_format = [&settings, log]() -> std::optional<std::string> {
    log->set_json(settings.integer(Id::log_format) != 0);
    return std::nullopt;
  };
  settings.on_change(Id::log_format, choose_format);
  choose_format();
}

// Says on standard error what the log cannot say. Does not wait if nobody reads there either.
void say_beside_the_log(const std::string& what) {
  pollfd room{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return;
  const std::string line = "pinfold-server: " + what + "\n";
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
}

// What the writer of the log tells of it.
LogWriter::Events log_events() {
  return {.opened_anew =
              [](const std::optional<std::string>& error) {
                if (error) {
                  spdlog::warn("SIGHUP: {}; the log goes on in the old file", *error);
                } else {
                  spdlog::info("SIGHUP: the log was opened anew");
                }
              },
          .fails =
              [](const std::string& error) {
                say_beside_the_log("the log cannot be written: " + error + "; lines wait, and those that find no room are counted");
              },
          .works_again = [] { spdlog::info("the log can be written again"); }};
}

LogWriter::Events audit_events(AuditLog& log) {
  return {.opened_anew =
              [&log](const std::optional<std::string>& error) {
                if (error) {
                  spdlog::warn("SIGHUP: audit log: {}; it goes on in the old file", *error);
                  return;
                }
                spdlog::info("SIGHUP: the audit log was opened anew");
                log.note(AuditLog::Kind::server, [](AuditLine& line) { line.add("action", "opened anew"); });
              },
          .fails =
              [](const std::string& error) {
                spdlog::warn("the audit log cannot be written: {}; lines wait, and those that find no room are counted", error);
              },
          .works_again = [] { spdlog::info("the audit log can be written again"); }};
}

// Makes the writer of the audit log, and opens its file; none if there is to be no audit log.
std::optional<std::string> make_audit_writer(const config::Settings& settings, AuditLog& log, std::unique_ptr<LogWriter>& writer) {
  const std::string path = settings.text(Id::audit_log_file);
  if (path.empty()) return std::nullopt;
  constexpr mode_t owner_and_group = 0640;
  auto file = std::make_shared<LogFile>("audit-log-file", path == "stdout" ? "" : path, owner_and_group);
  if (auto error = file->open()) return error;
  writer = std::make_unique<LogWriter>(log, std::move(file), std::chrono::seconds(10), audit_events(log));
  return std::nullopt;
}

// Asks the system for file descriptors for `clients` clients and for `own` of the server itself. Returns for how many clients there are
// descriptors.
rlim_t raise_descriptor_limit(rlim_t clients, rlim_t own) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= clients + own) return clients;
  const rlim_t wanted = clients + own;
  limit.rlim_max = std::max(limit.rlim_max, wanted);
  limit.rlim_cur = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return clients;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted) return clients;
  return limit.rlim_cur > own ? limit.rlim_cur - own : 0;
}

// Those of the server itself: an event loop and its wake for each thread, the same of the main thread, listening sockets, files.
rlim_t own_descriptors(const config::Settings& settings) {
  constexpr rlim_t of_main_thread = 28;
  return of_main_thread + 2 * static_cast<rlim_t>(settings.integer(Id::threads)) + admin::AdminServer::descriptors(settings);
}

// Makes sure that there are descriptors for maxclients. If there are too few, maxclients is lowered at start, and a change at run time is
// refused. Returns an error if there are too few for any use.
std::optional<std::string> allow_clients(config::Settings& settings) {
  constexpr rlim_t least_clients = 4;
  const rlim_t own = own_descriptors(settings);
  const auto wanted = [&settings] { return static_cast<rlim_t>(settings.integer(Id::maxclients)); };
  if (const rlim_t possible = raise_descriptor_limit(wanted(), own); possible < wanted()) {
    if (possible < least_clients) {
      return "the system allows too few open files (ulimit -n): " + std::to_string(own + wanted()) + " are needed for maxclients " +
             std::to_string(wanted()) + ", and " + std::to_string(own + std::min(wanted(), least_clients)) + " at least";
    }
    spdlog::warn("the system allows too few open files (ulimit -n): maxclients is {} instead of {}", possible, wanted());
    settings.set(Id::maxclients, std::to_string(possible), false);
  }
  settings.on_change(Id::maxclients, [wanted, own]() -> std::optional<std::string> {
    const rlim_t possible = raise_descriptor_limit(wanted(), own);
    if (possible >= wanted()) return std::nullopt;
    return "The operating system is not able to handle the specified number of clients, try with " + std::to_string(possible);
  });
  return std::nullopt;
}

// The bytes that one collection may take. As with limits of clients, one so low that nobody could do anything is not meant.
std::uint64_t most_of_collection(const config::Settings& settings) {
  constexpr std::uint64_t least = 1024 * 1024;
  constexpr std::uint64_t least_as_percentage = 4 * 1024 * 1024;
  const std::int64_t share = settings.integer(Id::max_collection_memory);
  const auto memory = static_cast<std::uint64_t>(settings.integer(Id::maxmemory));
  if (share > 0) return std::max(static_cast<std::uint64_t>(share), least);
  if (share == 0 || memory == 0) return 0;
  return std::max(memory / 100 * static_cast<std::uint64_t>(-share), least_as_percentage);
}

void connect_settings(config::Settings& settings, store::Keyspace& keyspace, EventLog& events) {
  settings.on_change(Id::maxmemory, [&]() -> std::optional<std::string> {
    keyspace.set_max_memory(static_cast<std::uint64_t>(settings.integer(Id::maxmemory)));
    if (const auto warning = memory_warning(settings)) {
      events.note(EventLog::Kind::settings, [&] { return *warning; });
    }
    return std::nullopt;
  });
  const auto limit_collections = [&]() -> std::optional<std::string> {
    keyspace.limit_collections(most_of_collection(settings));
    return std::nullopt;
  };
  settings.on_change({Id::maxmemory, Id::max_collection_memory}, limit_collections);
  limit_collections();
  const auto watch_locks = [&]() -> std::optional<std::string> {
    keyspace.lock_watch().set_timing(settings.flag(Id::lock_timing));
    keyspace.lock_watch().set_accounting(settings.flag(Id::lock_accounting));
    return std::nullopt;
  };
  settings.on_change({Id::lock_timing, Id::lock_accounting}, watch_locks);
  watch_locks();
  settings.on_change(Id::maxmemory_policy, [&]() -> std::optional<std::string> {
    keyspace.set_policy(static_cast<eviction::Kind>(settings.integer(Id::maxmemory_policy)));
    return std::nullopt;
  });
  const auto set_decay = [&]() -> std::optional<std::string> {
    keyspace.set_lfu_decay(static_cast<std::uint32_t>(settings.integer(Id::lfu_decay_time)));
    return std::nullopt;
  };
  settings.on_change(Id::lfu_decay_time, set_decay);
  set_decay();
}

void connect_cache_settings(config::Settings& settings, store::Keyspace& keyspace, cache::Cache& cache) {
  const auto follow = [&settings](Id id, auto apply) {
    const auto listener = [&settings, id, apply]() -> std::optional<std::string> {
      apply(settings.integer(id));
      return std::nullopt;
    };
    settings.on_change(id, listener);
    listener();
  };
  follow(Id::lease_duration, [&cache](std::int64_t ms) { cache.lease_ms.store(ms); });
  follow(Id::max_leases, [&cache](std::int64_t n) { cache.max_leases.store(static_cast<std::uint64_t>(n)); });
  follow(Id::max_lease_waiters, [&cache](std::int64_t n) { cache.max_waiters.store(static_cast<std::uint64_t>(n)); });
  follow(Id::tracking_table_max_keys, [&cache](std::int64_t n) { cache.tracking.max_keys.store(static_cast<std::uint64_t>(n)); });
  follow(Id::negative_memory, [&cache](std::int64_t percent) { cache.negative_percent.store(static_cast<unsigned>(percent)); });
  follow(Id::serve_stale, [&keyspace](std::int64_t on) { keyspace.set_serve_stale(on != 0); });
  const auto set_switches = [&settings, &cache]() -> std::optional<std::string> {
    const std::lock_guard lock(cache.policies_mutex());
    cache.set_switches({static_cast<unsigned>(settings.integer(Id::admit)), settings.flag(Id::bypass)});
    return std::nullopt;
  };
  settings.on_change({Id::admit, Id::bypass}, set_switches);
  set_switches();
}

// Publishes the users of the ACL file or the settings file, and lets CONFIG REWRITE write them.
std::optional<std::string> load_users(config::Settings& settings, command::Engine& engine) {
  std::vector<security::Users::Pointer> users;
  if (auto error = command::read_users(settings, users)) return error;
  if (!users.empty()) {
    const auto refused = engine.users.replace_all(std::move(users));
    if (refused != security::Users::Refused::no) return security::refusal_text(refused);
  }
  settings.on_rewrite_users([&settings, &engine](const std::vector<config::UserText>& in_file) {
    return command::changed_users(settings, engine.users, in_file);
  });
  settings.on_change(Id::acllog_max_len, [&settings, &engine]() -> std::optional<std::string> {
    engine.acl_log.trim(static_cast<std::size_t>(settings.integer(Id::acllog_max_len)));
    return std::nullopt;
  });
  return std::nullopt;
}

// Opens the log files anew and reads the certificates again at each SIGHUP. The signal comes from a program that rotates logs or
// certificates, or from a terminal that is closed. It is waited for again first, so that the next one is handled even if there is no memory
// for this one.
void reopen_on(boost::asio::signal_set& hangups, LogWriter* log, LogWriter* audit, const std::unique_ptr<net::Network>& network) {
  hangups.async_wait([&hangups, log, audit, &network](const boost::system::error_code& error, int) {
    if (error) return;
    reopen_on(hangups, log, audit, network);
    if (audit != nullptr) audit->reopen();
    if (log != nullptr) log->reopen();
    if (network != nullptr) network->reload_certificates();
  });
}

// Runs the main thread's loop to its end. If there is no memory to accept a connection, the server goes on, and accepts again as soon as
// there is memory.
void run_to_the_end(boost::asio::io_context& context, net::Network& network) {
  bool interrupted = false;
  while (!context.stopped()) {
    try {
      if (interrupted) network.accept_again();
      interrupted = false;
      context.run();
    } catch (const std::bad_alloc&) {
      interrupted = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

}  // namespace

int run(int argc, char** argv, char** environment) {
  config::Settings settings;
  const config::Start start = settings.load_command_line(argc, argv, environment);
  if (start.outcome == config::Start::Outcome::refused) return fail(start.text);
  if (start.outcome == config::Start::Outcome::print) {
    std::fputs(start.text.c_str(), stdout);
    return 0;
  }
  if (start.outcome == config::Start::Outcome::check) return check(settings);
  std::vector<cache::Policy> policies;
  if (const auto error = read_policies(settings, policies)) return fail(*error);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);   // until it is listened to
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow (ulimit -f) is an error of the write, like a full disk
  const auto log_file = std::make_shared<LogFile>("logfile", settings.text(Id::logfile));
  if (const auto error = log_file->open()) return fail(*error);
  const auto log = std::make_shared<OperatorLog>(log_file);
  set_up_log(settings, log);
  if (const auto error = allow_clients(settings)) return fail(*error);

  // Buffers of clients come and go in all sizes. The C library is told to give large ones pages of their own. So they leave no holes in
  // its heap, and freed buffers go back to the system at once: RSS then follows the account.
  constexpr int own_pages_from = 64 * 1024;
  mallopt(M_MMAP_THRESHOLD, own_pages_from);  // NOLINT(concurrency-mt-unsafe): there is one thread yet
  const auto max_memory = static_cast<std::uint64_t>(settings.integer(Id::maxmemory));
  store::Keyspace keyspace({.shards = store::shards_for(static_cast<unsigned>(settings.integer(Id::threads)), max_memory),
                            .max_memory = max_memory,
                            .policy = static_cast<eviction::Kind>(settings.integer(Id::maxmemory_policy))});
  command::Engine engine(settings, keyspace, static_cast<unsigned>(settings.integer(Id::threads)));
  connect_settings(settings, keyspace, engine.events);
  follow_log_level(settings, engine.events);
  connect_cache_settings(settings, keyspace, engine.cache);
  if (const auto error = load_users(settings, engine)) return fail(*error);
  LogWriter log_writer(*log, log_file, std::chrono::seconds(1), log_events());
  std::unique_ptr<LogWriter> audit_writer;
  if (const auto error = make_audit_writer(settings, engine.audit, audit_writer)) return fail(*error);
  TraceExporter exporter(engine);
  const std::size_t policy_count = policies.size();
  for (const std::string& warning : warnings_about(settings, policies, engine.users.ask_password())) spdlog::warn("{}", warning);
  engine.cache.set_policies(std::move(policies));
  const pid_t self = getpid();

  // The main thread's loop accepts connections and handles signals. The I/O threads serve requests.
  boost::asio::io_context context(1);
  boost::asio::signal_set signals(context, SIGTERM, SIGINT);
  boost::asio::signal_set hangups(context, SIGHUP);
  engine.on_main_thread = [&context](std::function<void()> work) { boost::asio::post(context, std::move(work)); };
  engine.shut_down = [&context] { context.stop(); };
  std::unique_ptr<net::Network> made;
  reopen_on(hangups, log_file->is_standard_output() ? nullptr : &log_writer, audit_writer.get(), made);
  try {
    made = std::make_unique<net::Network>(context, engine);
  } catch (const std::system_error& error) {
    return fail(error.what());
  }
  net::Network& network = *made;
  if (const auto error = network.listen()) return fail(*error);
  admin::AdminServer admin(engine, [&network] { return network.make_tls().release(); });
  if (const auto error = admin.listen()) return fail(*error);
  // No other thread than the writers' writes to a log from here on.
  log->start(log_writer, engine.log_counts);
  log_writer.start();
  if (audit_writer != nullptr) {
    engine.audit.start(*audit_writer);
    audit_writer->start();
  }
  engine.audit.note(AuditLog::Kind::server, [&network](AuditLine& line) {
    line.add("action", "started").add("version", version).add("addresses", network.addresses());
  });
  Background background(engine);
  background.start();  // first: other threads wake it
  admin.start();
  exporter.start();
  network.start();
  admin.set_state(admin::AdminServer::State::serving);
  if (const std::string at = admin.addresses(); !at.empty()) spdlog::info("Metrics, probes and pages on {}", at);
  spdlog::info("Ready to accept connections: Pinfold {}, process {}, on {}, {} threads, maxmemory {}, {}, {} cache policies", version, self,
               network.addresses(), settings.integer(Id::threads), max_memory == 0 ? "unlimited" : human_size(max_memory),
               settings.show(Id::maxmemory_policy), policy_count);

  signals.async_wait([&](const boost::system::error_code& error, int number) {
    if (error) return;
    spdlog::info("Signal {} received, shutting down", number);
    context.stop();
  });
  run_to_the_end(context, network);
  // A second signal ends the process at once, even if something still waits.
  signals.clear();
  for (const int number : {SIGTERM, SIGINT}) {
    std::signal(number, [](int) { _exit(1); });
  }
  admin.set_state(admin::AdminServer::State::stopping);
  network.stop();
  const bool exported = exporter.stop();
  background.stop();
  engine.audit.note(AuditLog::Kind::server, [](AuditLine& line) { line.add("action", "stopped"); });
  const bool audited = audit_writer == nullptr || audit_writer->stop();
  admin.stop();  // last: /ready tells how long the others take
  if (!audited) spdlog::warn("the audit log's last lines are lost: a write to it does not return");
  spdlog::info("Bye");
  if (!log_writer.stop() || !audited || !exported) _exit(0);  // a thread still uses what would be destroyed now
  spdlog::shutdown();
  return 0;
}

}  // namespace pinfold::server
