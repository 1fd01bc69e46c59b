#pragma once
// How clients that track are told of invalidations.
//
// What a thread changes collects in the Outbox of its feed. Once in each round of its loop it announces that: one message for each I/O
// thread on which clients are concerned, whatever the number of keys and clients. Each of these threads then goes through the keys, writes
// what is to be told into its own clients, and sends each of them all of it together.
//
// A client is told names of keys that its user may read. Whether it may is asked when it is told. A client that is not allowed to hear the
// name of a key that it has read is told to forget everything. A client that tracks prefixes is not told such names.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/cache/tracking_table.hpp"
#include "pinfold/command/tracking.hpp"

namespace pinfold::command {

/// The channel on which clients with RESP2 are told.
inline constexpr std::string_view invalidation_channel = "__redis__:invalidate";

/// What one announcement is about. Constant while it is shared.
class TrackingNews;

/// The clients of one I/O thread that track, and what this thread has to announce. Not thread-safe: used by that thread only.
class TrackingFeed {
 public:
  TrackingFeed(Engine& engine, unsigned thread) : engine_(engine), thread_(thread) {}

  /// Where this thread's changes go.
  cache::Outbox& outbox() { return outbox_; }
  bool has_news() const { return !outbox_.pending.empty(); }
  /// Announces what is in the outbox. What cannot be announced for want of memory stays there.
  void announce();

  /// Room for one client more in all lists, so that add() takes no memory. Throws std::bad_alloc.
  void reserve();
  void add(Tracking& tracking);
  void remove(Tracking& tracking);
  /// Throws std::bad_alloc, with nothing changed.
  void add_prefix(std::string_view prefix, Tracking& tracking);
  void remove_prefix(std::string_view prefix, Tracking& tracking);

  /// Has a client of this thread told to forget everything, behind the reply that it has got.
  void forget(Tracking& tracking);

  /// See Announcement::hand_out().
  bool hand_out(const TrackingNews& news, unsigned most, const Announcement::Push& push) noexcept;

 private:
  // The clients that track one prefix, and the changed keys that begin with it.
  struct Prefix {
    std::vector<Tracking*> clients;
    std::vector<const cache::TrackedKey*> keys;
    bool forget = false;  // there was no memory for `keys`
    bool touched = false;
    std::size_t left = 0;  // clients that are still to be told
  };
  using Prefixes = std::map<std::string, Prefix, std::less<>>;
  // Messages with one key, in each form. Made when they are needed.
  struct Texts {
    std::string push;
    std::string message;
  };

  void begin(const TrackingNews& news);
  bool collect(unsigned& budget);
  void collect_for_clients(const cache::TrackedKey& key, unsigned& budget);
  void collect_for_prefixes(const cache::TrackedKey& key, unsigned& budget);
  bool tell_touched(unsigned& most, const Announcement::Push& push);
  bool tell_prefixes(unsigned& most, const Announcement::Push& push);
  bool tell_everybody(unsigned& most, const Announcement::Push& push);
  void tell_redirecting(const Announcement::Push& push);
  void tell_keys(const Prefix& prefix, Tracking& tracking, const Announcement::Push& push);
  void touch(Tracking& tracking);
  void push_elsewhere(const ClientPlace& to, std::string_view bytes, Audience audience) noexcept;
  void send(Tracking& tracking, std::string_view bytes, const Announcement::Push& push) noexcept;
  void send_forget(Tracking& tracking, const Announcement::Push& push) noexcept;
  void choose_audience(Tracking& tracking);
  void break_redirect(Tracking& tracking, const Announcement::Push& push) noexcept;
  bool may_hear(const Tracking& tracking, std::string_view name) const;

  Engine& engine_;
  const unsigned thread_;
  cache::Outbox outbox_;
  std::vector<Tracking*> clients_;
  Prefixes prefixes_;
  std::map<std::size_t, std::size_t> lengths_;  // of the prefixes, with how many have each

  // How far the present announcement has been passed on.
  const TrackingNews* news_ = nullptr;  // null: none; only compared
  const cache::TrackedKey* key_ = nullptr;
  std::uint32_t ticket_ = 0;      // the index in the tickets of `key_`
  bool prefixes_done_ = false;    // of `key_`
  std::size_t everybody_ = 0;     // how many of clients_ are still to be told to forget everything
  bool redirects_done_ = false;
  std::vector<Tracking*> touched_;  // with room for all clients_
  std::vector<Prefix*> touched_prefixes_;
  Texts texts_;  // of key_
};

/// The feeds of all threads, and the counts of what clients have asked for. Thread-safe, but for feed_of().
class TrackingService {
 public:
  TrackingService(Engine& engine, unsigned threads);
  ~TrackingService();
  TrackingService(const TrackingService&) = delete;
  TrackingService& operator=(const TrackingService&) = delete;

  TrackingFeed& feed_of(unsigned thread) { return *feeds_[thread]; }
  /// Announces what threads without a feed have changed. Called by the background worker.
  void announce_orphans();
  /// Called when a client to which others redirect has gone: those are told.
  void target_gone(std::uint64_t client);
  /// Announces these records, which it takes over. Without memory they stay, and it returns false.
  bool announce(cache::Invalidations& list, std::uint64_t gone);

  /// Different prefixes of all clients.
  std::uint64_t prefixes() const { return prefix_count_.load(std::memory_order_relaxed); }
  void count_prefix(std::string_view prefix);
  void uncount_prefix(std::string_view prefix);
  /// Messages that were passed to connections.
  std::atomic<std::uint64_t> messages{0};

 private:
  Engine& engine_;
  std::vector<std::unique_ptr<TrackingFeed>> feeds_;  // by thread
  std::mutex mutex_;
  std::map<std::string, std::size_t, std::less<>> counted_;
  std::atomic<std::uint64_t> prefix_count_{0};
};

}  // namespace pinfold::command
