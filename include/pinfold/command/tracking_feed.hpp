#pragma once
// How clients that track are told of invalidations.
//
// What a thread changes collects in the Outbox of its feed. Once in each round of its loop it sends that: one piece of mail (base/mail.hpp)
// for each I/O thread on which clients are concerned, whatever the number of keys and clients. Each of these threads goes through the keys,
// and pushes messages to its own clients. What one client gets in a round is sent together.
//
// A client is told names of keys that its user may read. Whether it may is asked when it is told. A client that is not allowed to hear the
// name of a key that it has read is told to forget everything. A client that tracks prefixes is not told such names, nor those of keys that
// have changed only in databases that its user may not use. (A client that has read a key of that name is told whatever the database.)

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/base/mail.hpp"
#include "pinfold/cache/tracking_table.hpp"
#include "pinfold/command/tracking.hpp"

namespace pinfold::command {

/// What one piece of mail is about. Constant while it is shared.
class TrackingNews;

/// The clients of one I/O thread that track, and what this thread has to tell others. Not thread-safe: used by that thread only.
class TrackingFeed {
 public:
  TrackingFeed(Engine& engine, unsigned thread) : engine_(engine), thread_(thread) {}

  /// Where this thread's changes go.
  cache::Outbox& outbox() { return outbox_; }
  bool has_news() const { return outbox_.any; }
  /// Sends what is in the outbox. What cannot be sent for want of memory stays there.
  void announce();

  /// Room for one client more, so that add() takes no memory. Throws std::bad_alloc.
  void reserve();
  void add(Tracking& tracking);
  void remove(Tracking& tracking);
  /// Throws std::bad_alloc, with nothing changed.
  void add_prefix(std::string_view prefix, Tracking& tracking);
  void remove_prefix(std::string_view prefix, Tracking& tracking);
  /// Has a client of this thread told to forget everything, behind the reply that it is getting.
  void forget(Tracking& tracking);

  /// See Mail::hand_out(). A piece of mail is finished before the next one begins.
  bool hand_out(const TrackingNews& news, unsigned& left) noexcept;

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

  void begin(const TrackingNews& news);
  bool tell_keys(unsigned& left);
  void tell_key(const cache::TrackedKey& key, Tracking& tracking);
  void collect_for_prefixes(const cache::TrackedKey& key, unsigned& left);
  bool tell_prefixes(unsigned& left);
  void tell_prefix(const Prefix& prefix, Tracking& tracking);
  bool tell_everybody(unsigned& left);
  bool tell_redirecting(unsigned& left);
  bool choose_audience(Tracking& tracking);
  void tell(Tracking& tracking, std::string_view bytes);
  void tell_to_forget(Tracking& tracking);
  void send_redirected();
  void push_to(const ClientPlace& to, std::string_view bytes, Audience audience) noexcept;
  void break_redirect(Tracking& tracking);
  bool may_hear(const Tracking& tracking, std::string_view name, unsigned databases) const;

  Engine& engine_;
  const unsigned thread_;
  cache::Outbox outbox_;
  std::vector<Tracking*> clients_;
  Prefixes prefixes_;
  std::map<std::size_t, std::size_t> lengths_;  // of the prefixes, with how many have each
  // Clients whose redirected messages of this step are still to be sent. With room for all clients_.
  std::vector<Tracking*> redirected_;

  // How far the present piece of mail has been told.
  const TrackingNews* news_ = nullptr;  // null: none
  const cache::TrackedKey* key_ = nullptr;
  std::uint32_t ticket_ = 0;     // the index in the tickets of `key_`
  std::string text_;             // the message about `key_` as a push; made when it is needed
  std::string message_text_;     // the same as a message
  std::size_t everybody_ = 0;    // how many of clients_ are still to be told to forget everything
  std::size_t redirecting_ = 0;  // how many of clients_ are still to be asked whether they redirect to a client that has gone
  std::vector<Prefix*> touched_;
  // Keys that were collected since the prefixes were last told: what one client is told at once is one step.
  static constexpr std::size_t most_collected = 1024;
  std::size_t collected_ = 0;
};

/// The feeds of all threads, and what is counted of all. Thread-safe, but for feed_of().
class TrackingService {
 public:
  TrackingService(Engine& engine, unsigned threads);
  ~TrackingService();
  TrackingService(const TrackingService&) = delete;
  TrackingService& operator=(const TrackingService&) = delete;

  TrackingFeed& feed_of(unsigned thread) { return *feeds_[thread]; }
  /// Sends what threads without a feed have changed. Called by the background worker.
  void announce_orphans();
  /// Called when a client to which others redirect has gone: those are told.
  void target_gone(std::uint64_t client);
  /// Sends these records, which it takes over. Without memory they stay.
  void announce(cache::Invalidations& list, std::uint64_t gone);

  /// Different prefixes of all clients.
  std::uint64_t prefixes() const { return prefix_count_.load(std::memory_order_relaxed); }
  void count_prefix(std::string_view prefix);
  void uncount_prefix(std::string_view prefix);
  /// Messages to clients.
  std::atomic<std::uint64_t> messages{0};

 private:
  Engine& engine_;
  std::vector<std::unique_ptr<TrackingFeed>> feeds_;  // by thread
  std::mutex mutex_;
  std::map<std::string, std::size_t, std::less<>> counted_;
  std::atomic<std::uint64_t> prefix_count_{0};
};

}  // namespace pinfold::command
