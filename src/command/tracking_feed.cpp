#include "pinfold/command/tracking_feed.hpp"

#include <algorithm>
#include <bitset>
#include <cstdio>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "pinfold/command/engine.hpp"
#include "pinfold/command/session.hpp"

namespace pinfold::command {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr unsigned most_threads = 256;
// How many tickets and prefixes are looked at in one step.
constexpr unsigned most_looked_at = 4096;

constexpr std::string_view forget_push = ">2\r\n$10\r\ninvalidate\r\n_\r\n";
constexpr std::string_view forget_message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n";
constexpr std::string_view begin_push = ">2\r\n$10\r\ninvalidate\r\n";
constexpr std::string_view begin_message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";

void append_header(std::string& to, char type, std::size_t number) { to.append(1, type).append(std::to_string(number)).append("\r\n"); }

// A message with the names of these keys.
template <class Keys>
void append_message(std::string& to, std::string_view begin, const Keys& keys, std::size_t count) {
  to.append(begin);
  append_header(to, '*', count);
  for (const cache::TrackedKey* key : keys) {
    append_header(to, '$', key->name_size);
    to.append(key->name()).append("\r\n");
  }
}

}  // namespace

class TrackingNews final : public Announcement {
 public:
  /// Takes over the records of `list`, if it does not throw.
  TrackingNews(Engine& engine, cache::Invalidations& list, std::uint64_t gone)
      : engine_(engine), list_(std::exchange(list, {})), gone_(gone) {
    find_threads();
  }
  ~TrackingNews() override { engine_.cache.tracking.free(list_.first); }

  bool concerns(unsigned thread) const override { return threads_.test(thread); }
  bool hand_out(unsigned thread, unsigned most, const Push& push) const noexcept override {
    return engine_.tracking.feed_of(thread).hand_out(*this, most, push);
  }

  const cache::Invalidations& list() const { return list_; }
  /// A client that has gone, to which others may redirect; 0: none.
  std::uint64_t gone() const { return gone_; }

 private:
  void find_threads() {
    const cache::TrackingTable& table = engine_.cache.tracking;
    std::size_t tracking = 0;
    for (unsigned thread = 0; thread < engine_.stats.thread_count(); ++thread) {
      tracking += table.tracks(thread) ? 1 : 0;
      if (((list_.all || gone_ != 0) && table.tracks(thread)) || (list_.all_broadcast && table.broadcasts(thread))) threads_.set(thread);
    }
    bool broadcast = false;
    for (const cache::TrackedKey* key = list_.first; key != nullptr && threads_.count() < tracking; key = key->next) {
      if (key->broadcast && !std::exchange(broadcast, true)) {
        for (unsigned thread = 0; thread < engine_.stats.thread_count(); ++thread) {
          if (table.broadcasts(thread)) threads_.set(thread);
        }
      }
      for (const cache::Ticket ticket : std::span(key->tickets(), key->count)) {
        if (table.tickets.alive(ticket)) threads_.set(table.tickets.thread_of(ticket));
      }
    }
  }

  Engine& engine_;
  const cache::Invalidations list_;
  const std::uint64_t gone_;
  std::bitset<most_threads> threads_;
};

// --- the clients of a thread ---

void TrackingFeed::reserve() {
  const auto room_for_one_more = [](auto& list, std::size_t size) {
    if (list.capacity() <= size) list.reserve(std::max<std::size_t>(2 * size, 16));
  };
  room_for_one_more(clients_, clients_.size());
  room_for_one_more(touched_, clients_.size());
}

void TrackingFeed::add(Tracking& tracking) {
  tracking.place = clients_.size();
  clients_.push_back(&tracking);
}

void TrackingFeed::remove(Tracking& tracking) {
  if (tracking.touched != 0) {
    touched_[tracking.touched - 1] = touched_.back();
    touched_.back()->touched = tracking.touched;
    touched_.pop_back();
  }
  clients_[tracking.place] = clients_.back();
  clients_[tracking.place]->place = tracking.place;
  clients_.pop_back();
  everybody_ = std::min(everybody_, clients_.size());
}

void TrackingFeed::add_prefix(std::string_view prefix, Tracking& tracking) {
  const auto [at, fresh] = prefixes_.try_emplace(std::string(prefix));
  try {
    at->second.clients.push_back(&tracking);
    if (fresh) ++lengths_[prefix.size()];
  } catch (...) {
    if (fresh) {
      prefixes_.erase(at);
    } else if (!at->second.clients.empty() && at->second.clients.back() == &tracking) {
      at->second.clients.pop_back();
    }
    throw;
  }
}

void TrackingFeed::remove_prefix(std::string_view prefix, Tracking& tracking) {
  const auto at = prefixes_.find(prefix);
  if (at == prefixes_.end()) return;
  std::vector<Tracking*>& clients = at->second.clients;
  const auto place = std::ranges::find(clients, &tracking);
  if (place != clients.end()) {
    *place = clients.back();
    clients.pop_back();
  }
  at->second.left = std::min(at->second.left, clients.size());
  if (!clients.empty()) return;
  if (at->second.touched) std::erase(touched_prefixes_, &at->second);
  if (const auto length = lengths_.find(prefix.size()); --length->second == 0) lengths_.erase(length);
  prefixes_.erase(at);
}

// --- what this thread has changed ---

void TrackingFeed::announce() { engine_.tracking.announce(outbox_.pending, 0); }

// --- what clients of this thread are told ---

void TrackingFeed::begin(const TrackingNews& news) {
  news_ = &news;
  key_ = news.list().first;
  ticket_ = 0;
  prefixes_done_ = false;
  texts_ = {};
  everybody_ = news.list().all || news.list().all_broadcast ? clients_.size() : 0;
  redirects_done_ = news.gone() == 0;
}

bool TrackingFeed::hand_out(const TrackingNews& news, unsigned most, const Announcement::Push& push) noexcept {
  if (news_ != &news) begin(news);
  if (!tell_touched(most, push)) return false;
  unsigned budget = most_looked_at;
  const bool all_keys = collect(budget);
  if (!tell_touched(most, push) || !all_keys) return false;
  if (!tell_prefixes(most, push) || !tell_everybody(most, push)) return false;
  if (!std::exchange(redirects_done_, true)) tell_redirecting(push);
  news_ = nullptr;
  return true;
}

// Goes through the keys, and notes what clients are to be told of them. Returns whether that was all.
bool TrackingFeed::collect(unsigned& budget) {
  while (key_ != nullptr) {
    collect_for_clients(*key_, budget);
    if (ticket_ < key_->count) return false;
    if (key_->broadcast && !std::exchange(prefixes_done_, true)) collect_for_prefixes(*key_, budget);
    key_ = key_->next;
    ticket_ = 0;
    prefixes_done_ = false;
    texts_.push.clear();
    texts_.message.clear();
    if (budget == 0) return key_ == nullptr;
  }
  return true;
}

void TrackingFeed::collect_for_clients(const cache::TrackedKey& key, unsigned& budget) {
  for (; ticket_ < key.count && budget > 0; ++ticket_, --budget) {
    const cache::Ticket ticket = key.tickets()[ticket_];
    auto* const tracking = static_cast<Tracking*>(engine_.cache.tracking.tickets.owner(ticket, thread_));
    if (tracking == nullptr || (tracking->noloop && key.writer == ticket)) continue;
    touch(*tracking);
    if (tracking->forget || tracking->audience == Audience::all) continue;
    try {
      if (!may_hear(*tracking, key.name())) {
        tracking->forget = true;
        continue;
      }
      const bool pushed = tracking->audience == Audience::invalidations;
      std::string& text = pushed ? texts_.push : texts_.message;
      const cache::TrackedKey* const one[] = {&key};
      if (text.empty()) append_message(text, pushed ? begin_push : begin_message, one, 1);
      tracking->pending += text;
    } catch (const std::bad_alloc&) {
      tracking->forget = true;
    }
  }
}

// Looks for the prefixes of the name, of each length that there is.
void TrackingFeed::collect_for_prefixes(const cache::TrackedKey& key, unsigned& budget) {
  for (const auto& [length, count] : lengths_) {
    if (length > key.name_size) break;
    budget -= budget > 0 ? 1 : 0;
    const auto at = prefixes_.find(key.name().substr(0, length));
    if (at == prefixes_.end()) continue;
    Prefix& prefix = at->second;
    try {
      if (!prefix.touched) {
        touched_prefixes_.push_back(&prefix);
        prefix.touched = true;
        prefix.left = prefix.clients.size();
      }
      prefix.keys.push_back(&key);
    } catch (const std::bad_alloc&) {
      if (prefix.touched) {
        prefix.forget = true;
      } else {
        everybody_ = clients_.size();
      }
    }
  }
}

void TrackingFeed::touch(Tracking& tracking) {
  if (tracking.touched != 0) return;
  touched_.push_back(&tracking);  // there is room
  tracking.touched = touched_.size();
  choose_audience(tracking);
}

// What is redirected goes in the form that the other client wants.
void TrackingFeed::choose_audience(Tracking& tracking) {
  tracking.audience = Audience::all;
  if (!tracking.redirect) {
    tracking.audience = invalidations_for(tracking.session.shared);
    if (tracking.audience == Audience::invalidation_messages) tracking.audience = Audience::all;
    return;
  }
  bool found = false;
  engine_.clients.with(tracking.redirect->client, [&](const SharedClient& target) {
    found = !target.closing.load(relaxed);
    tracking.audience = invalidations_for(target);
  });
  if (!found) tracking.broken = true;
}

bool TrackingFeed::tell_touched(unsigned& most, const Announcement::Push& push) {
  while (!touched_.empty()) {
    if (most == 0) return false;
    Tracking* const tracking = touched_.back();
    touched_.pop_back();
    --most;
    tracking->touched = 0;
    const bool forget = std::exchange(tracking->forget, false);
    const std::string text = std::exchange(tracking->pending, {});
    if (tracking->broken) {
      break_redirect(*tracking, push);
    } else if (forget) {
      send_forget(*tracking, push);
    } else if (!text.empty()) {
      send(*tracking, text, push);
    }
  }
  return true;
}

bool TrackingFeed::tell_prefixes(unsigned& most, const Announcement::Push& push) {
  while (!touched_prefixes_.empty()) {
    Prefix& prefix = *touched_prefixes_.back();
    for (; prefix.left > 0; --prefix.left, --most) {
      if (most == 0) return false;
      tell_keys(prefix, *prefix.clients[prefix.left - 1], push);
    }
    touched_prefixes_.pop_back();
    prefix.touched = prefix.forget = false;
    std::vector<const cache::TrackedKey*>().swap(prefix.keys);
  }
  return true;
}

void TrackingFeed::tell_keys(const Prefix& prefix, Tracking& tracking, const Announcement::Push& push) {
  if (tracking.broken) return;
  choose_audience(tracking);
  if (tracking.broken) return break_redirect(tracking, push);
  if (tracking.audience == Audience::all) return;
  if (prefix.forget) return send_forget(tracking, push);
  try {
    std::vector<const cache::TrackedKey*> keys;
    keys.reserve(prefix.keys.size());
    for (const cache::TrackedKey* key : prefix.keys) {
      const bool own = tracking.noloop && key->writer == tracking.ticket;
      if (!own && may_hear(tracking, key->name())) keys.push_back(key);
    }
    if (keys.empty()) return;
    std::string text;
    append_message(text, tracking.audience == Audience::invalidations ? begin_push : begin_message, keys, keys.size());
    send(tracking, text, push);
  } catch (const std::bad_alloc&) {
    send_forget(tracking, push);
  }
}

bool TrackingFeed::tell_everybody(unsigned& most, const Announcement::Push& push) {
  for (; everybody_ > 0; --everybody_, --most) {
    if (most == 0) return false;
    Tracking& tracking = *clients_[everybody_ - 1];
    if (tracking.broken || (!news_->list().all && !tracking.bcast)) continue;
    choose_audience(tracking);
    if (tracking.broken) {
      break_redirect(tracking, push);
    } else {
      send_forget(tracking, push);
    }
  }
  return true;
}

void TrackingFeed::tell_redirecting(const Announcement::Push& push) {
  for (Tracking* const tracking : clients_) {
    if (!tracking->broken && tracking->redirect && tracking->redirect->client == news_->gone()) break_redirect(*tracking, push);
  }
}

void TrackingFeed::forget(Tracking& tracking) {
  const auto push = [this](std::uint64_t client, std::string_view bytes, Audience audience) {
    push_elsewhere({client, thread_}, bytes, audience);
  };
  choose_audience(tracking);
  if (!tracking.broken) send_forget(tracking, push);
}

void TrackingFeed::send_forget(Tracking& tracking, const Announcement::Push& push) noexcept {
  if (tracking.audience == Audience::all) return;
  send(tracking, tracking.audience == Audience::invalidations ? forget_push : forget_message, push);
}

// A client that would miss a message is closed.
void TrackingFeed::push_elsewhere(const ClientPlace& to, std::string_view bytes, Audience audience) noexcept {
  if (engine_.clients.threads == nullptr) return;
  try {
    engine_.clients.threads->push({to}, std::make_shared<const std::string>(bytes), audience);
  } catch (const std::bad_alloc&) {
    engine_.clients.with(to.client, [this](SharedClient& client) { engine_.clients.kill(client); });
  }
}

void TrackingFeed::send(Tracking& tracking, std::string_view bytes, const Announcement::Push& push) noexcept {
  engine_.tracking.messages.fetch_add(1, relaxed);
  const ClientPlace to = tracking.redirect.value_or(tracking.session.shared.place());
  if (to.thread == thread_) return push(to.client, bytes, tracking.audience);
  push_elsewhere(to, bytes, tracking.audience);
}

// The client cannot be told of what it has read until now, nor of what it reads from now on, so nothing of that is kept.
void TrackingFeed::break_redirect(Tracking& tracking, const Announcement::Push& push) noexcept {
  tracking.broken = true;
  SharedClient& shared = tracking.session.shared;
  shared.tracking.fetch_or(kRedirectBroken, relaxed);
  if (tracking.ticket != 0) {
    engine_.cache.tracking.tickets.retire(std::exchange(tracking.ticket, 0));
    engine_.cache.tracking.note_dead();
  }
  if (tracking.session.protocol < 3) return;
  char text[64];
  const int size = std::snprintf(text, sizeof text, ">2\r\n$21\r\ntracking-redir-broken\r\n:%llu\r\n",
                                 static_cast<unsigned long long>(tracking.redirect->client));
  push(shared.id, {text, static_cast<std::size_t>(size)}, Audience::invalidations);
}

bool TrackingFeed::may_hear(const Tracking& tracking, std::string_view name) const {
  Session& session = tracking.session;
  if (session.may_do_all(engine_.users)) return true;
  const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
  if (user == nullptr) return false;
  if (user->unlimited()) return true;
  security::MatchBudget budget;
  const std::size_t selectors = user->selectors().size();
  const std::uint64_t all = selectors < 64 ? (std::uint64_t{1} << selectors) - 1 : ~std::uint64_t{0};
  return user->may_list(all, name, budget);
}

// --- all threads ---

TrackingService::TrackingService(Engine& engine, unsigned threads) : engine_(engine) {
  for (unsigned i = 0; i < threads; ++i) feeds_.push_back(std::make_unique<TrackingFeed>(engine, i));
}

TrackingService::~TrackingService() {
  for (const auto& feed : feeds_) engine_.cache.tracking.free(feed->outbox().pending.first);
}

bool TrackingService::announce(cache::Invalidations& list, std::uint64_t gone) {
  try {
    const auto news = std::make_shared<const TrackingNews>(engine_, list, gone);
    if (engine_.clients.threads != nullptr) engine_.clients.threads->announce(news);
    return true;
  } catch (const std::bad_alloc&) {
    // Those that have not got it would miss it, if it was made.
    if (list.empty() && gone == 0) list.all = true;
    return false;
  }
}

void TrackingService::announce_orphans() {
  if (!engine_.cache.tracking.has_orphans()) return;
  cache::Invalidations list = engine_.cache.tracking.take_orphans();
  if (!list.empty() && !announce(list, 0)) engine_.cache.tracking.give_back(list);
}

void TrackingService::target_gone(std::uint64_t client) {
  cache::Invalidations none;
  announce(none, client);  // without memory, they learn it from what they would be told next
}

void TrackingService::count_prefix(std::string_view prefix) {
  const std::lock_guard lock(mutex_);
  const auto at = counted_.find(prefix);
  if (at == counted_.end()) {
    counted_.emplace(prefix, 1);
  } else {
    ++at->second;
  }
  prefix_count_.store(counted_.size(), relaxed);
}

void TrackingService::uncount_prefix(std::string_view prefix) {
  const std::lock_guard lock(mutex_);
  const auto at = counted_.find(prefix);
  if (at == counted_.end()) return;
  if (--at->second == 0) counted_.erase(at);
  prefix_count_.store(counted_.size(), relaxed);
}

}  // namespace pinfold::command
