#pragma once
// What commands need of the server around them. One object, made by the server room, used by all I/O threads.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/clock.hpp"
#include "pinfold/base/event_log.hpp"
#include "pinfold/cache/cache.hpp"
#include "pinfold/command/clients.hpp"
#include "pinfold/command/rates.hpp"
#include "pinfold/command/stats.hpp"
#include "pinfold/config/settings.hpp"
#include "pinfold/store/keyspace.hpp"

namespace pinfold::command {

class Engine {
 public:
  Engine(config::Settings& server_settings, store::Keyspace& server_keyspace, unsigned threads);

  config::Settings& settings;
  store::Keyspace& keyspace;
  cache::Cache cache;
  Clients clients;
  Stats stats;
  Rates rates;
  EventLog events;

  const std::string run_id;  // 40 hexadecimal digits, random per process
  const std::int64_t started_us = monotonic_us();
  const UnixMs started_at = unix_ms();
  const std::uint64_t memory_at_start;  // used before there was any data

  /// What clients may take of memory together (maxmemory-clients); UINT64_MAX if there is no limit.
  std::uint64_t clients_share() const;
  /// True if clients may take `bytes` more together.
  bool clients_may_take(std::uint64_t bytes) const;

  /// At least what blobs take that only unread replies keep: they are neither stored nor still arriving.
  std::int64_t abandoned_blobs() const {
    const std::int64_t unread = clients.unread_blobs.load(std::memory_order_relaxed);
    return std::min(unread, keyspace.memory().heap().loose() - clients.arriving.load(std::memory_order_relaxed));
  }

  /// Set by the server: asks for an orderly shutdown; returns at once.
  std::function<void()> shut_down;
  /// Set by the server: has the main thread do what may take as long as a disk. Only those who connect wait for that.
  std::function<void(std::function<void()> work)> on_main_thread;
};

}  // namespace pinfold::command
