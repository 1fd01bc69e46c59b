#include "pinfold/command/tracking_feed.hpp"

#include <algorithm>
#include <bit>
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
constexpr unsigned any_database = ~0U;

constexpr std::string_view begin_push = ">2\r\n$10\r\ninvalidate\r\n";
constexpr std::string_view begin_message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";

void append_header(std::string& to, char type, std::size_t number) { to.append(1, type).append(std::to_string(number)).append("\r\n"); }

// A message with the names of these keys, in the form for this audience.
void append_message(std::string& to, Audience audience, std::span<const cache::TrackedKey* const> keys) {
  to.append(audience == Audience::invalidations ? begin_push : begin_message);
  append_header(to, '*', keys.size());
  for (const cache::TrackedKey* key : keys) {
    append_header(to, '$', key->name_size);
    to.append(key->name()).append("\r\n");
  }
}

// The selectors that allow one of these databases, which are bits; a bit for each by its index.
std::uint64_t selectors_for(const security::User& user, unsigned databases) {
  std::uint64_t found = 0;
  const std::size_t count = std::min<std::size_t>(user.selectors().size(), 64);
  for (std::size_t i = 0; i < count; ++i) {
    bool allowed = databases == any_database;
    for (unsigned left = databases; !allowed && left != 0; left &= left - 1) {
      allowed = user.selectors()[i].allows_database(static_cast<unsigned>(std::countr_zero(left)));
    }
    if (allowed) found |= std::uint64_t{1} << i;
  }
  return found;
}

void take(unsigned& left, std::size_t cost) { left -= static_cast<unsigned>(std::min<std::size_t>(left, cost)); }

}  // namespace

class TrackingNews final : public Mail {
 public:
  /// Takes over the records of `list`, if it does not throw.
  TrackingNews(Engine& engine, cache::Invalidations& list, std::uint64_t gone)
      : engine_(engine), list_(std::exchange(list, {})), gone_(gone) {
    find_threads();
  }
  ~TrackingNews() override { engine_.cache.tracking.free(list_.first); }

  const std::bitset<most_threads>& threads() const { return threads_; }
  bool hand_out(unsigned thread, Progress& /*progress*/, unsigned& left) const override {
    return engine_.tracking.feed_of(thread).hand_out(*this, left);
  }

  const cache::Invalidations& list() const { return list_; }
  /// A client that has gone, to which others may redirect; 0: none.
  std::uint64_t gone() const { return gone_; }

 private:
  void find_threads() {
    const cache::TrackingTable& table = engine_.cache.tracking;
    std::size_t tracking = 0;
    bool broadcast = list_.all_broadcast;
    const auto set_broadcasting = [&] {
      for (unsigned thread = 0; thread < engine_.stats.thread_count(); ++thread) {
        if (table.broadcasts(thread)) threads_.set(thread);
      }
    };
    for (unsigned thread = 0; thread < engine_.stats.thread_count(); ++thread) {
      tracking += table.tracks(thread) ? 1 : 0;
      if ((list_.all || gone_ != 0) && table.tracks(thread)) threads_.set(thread);
    }
    if (broadcast) set_broadcasting();
    for (const cache::TrackedKey* key = list_.first; key != nullptr && threads_.count() < tracking; key = key->next) {
      if (key->broadcast && !std::exchange(broadcast, true)) set_broadcasting();
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
  const std::size_t size = clients_.size();
  for (auto* list : {&clients_, &redirected_}) {
    if (list->capacity() <= size) list->reserve(std::max<std::size_t>(2 * size, 16));
  }
}

void TrackingFeed::add(Tracking& tracking) {
  tracking.place = clients_.size();
  clients_.push_back(&tracking);
}

// redirected_ is empty between two steps. Those who are still to be told come first in clients_, so that the one that moves has been told.
void TrackingFeed::remove(Tracking& tracking) {
  clients_[tracking.place] = clients_.back();
  clients_[tracking.place]->place = tracking.place;
  clients_.pop_back();
  everybody_ = std::min(everybody_, clients_.size());
  redirecting_ = std::min(redirecting_, clients_.size());
}

void TrackingFeed::add_prefix(std::string_view prefix, Tracking& tracking) {
  const auto [at, fresh] = prefixes_.try_emplace(std::string(prefix));
  try {
    at->second.clients.push_back(&tracking);
    if (fresh) ++lengths_[prefix.size()];
  } catch (...) {
    std::erase(at->second.clients, &tracking);
    if (fresh) prefixes_.erase(at);
    throw;
  }
}

void TrackingFeed::remove_prefix(std::string_view prefix, Tracking& tracking) {
  const auto at = prefixes_.find(prefix);
  if (at == prefixes_.end()) return;
  std::vector<Tracking*>& clients = at->second.clients;
  if (const auto place = std::ranges::find(clients, &tracking); place != clients.end()) {
    *place = clients.back();
    clients.pop_back();
  }
  at->second.left = std::min(at->second.left, clients.size());
  if (!clients.empty()) return;
  if (at->second.touched) std::erase(touched_, &at->second);
  if (const auto length = lengths_.find(prefix.size()); --length->second == 0) lengths_.erase(length);
  prefixes_.erase(at);
}

void TrackingFeed::announce() {
  engine_.tracking.announce(outbox_.pending, 0);
  outbox_.any = !outbox_.pending.empty();
}

// --- what clients of this thread are told ---

void TrackingFeed::begin(const TrackingNews& news) {
  news_ = &news;
  key_ = news.list().first;
  ticket_ = 0;
  text_.clear();
  message_text_.clear();
  everybody_ = news.list().all || news.list().all_broadcast ? clients_.size() : 0;
  redirecting_ = news.gone() != 0 ? clients_.size() : 0;
}

bool TrackingFeed::hand_out(const TrackingNews& news, unsigned& left) noexcept {
  if (news_ != &news) begin(news);
  const bool done = tell_keys(left) && tell_prefixes(left) && tell_everybody(left) && tell_redirecting(left);
  send_redirected();
  if (done) news_ = nullptr;
  return done;
}

bool TrackingFeed::tell_keys(unsigned& left) {
  for (; key_ != nullptr; key_ = key_->next) {
    for (; ticket_ < key_->count; ++ticket_) {
      if (left == 0) return false;
      take(left, 1 + key_->name_size / 1024);
      const cache::Ticket ticket = key_->tickets()[ticket_];
      auto* const tracking = static_cast<Tracking*>(engine_.cache.tracking.tickets.owner(ticket, thread_));
      if (tracking != nullptr && !(tracking->noloop && key_->writer == ticket)) tell_key(*key_, *tracking);
    }
    if (key_->broadcast) {
      if (collected_ >= most_collected && !tell_prefixes(left)) return false;
      if (left == 0) return false;
      collect_for_prefixes(*key_, left);
    }
    ticket_ = 0;
    text_.clear();
    message_text_.clear();
  }
  return true;
}

void TrackingFeed::tell_key(const cache::TrackedKey& key, Tracking& tracking) {
  if (!choose_audience(tracking)) return;
  if (!may_hear(tracking, key.name(), any_database)) return tell_to_forget(tracking);
  std::string& text = tracking.audience == Audience::invalidations ? text_ : message_text_;
  try {
    const cache::TrackedKey* const one[] = {&key};
    if (text.empty()) append_message(text, tracking.audience, one);
  } catch (const std::bad_alloc&) {
    text.clear();
    return tell_to_forget(tracking);
  }
  tell(tracking, text);
}

// Looks for the prefixes of the name, of each length that there is.
void TrackingFeed::collect_for_prefixes(const cache::TrackedKey& key, unsigned& left) {
  ++collected_;
  take(left, 1);
  for (const auto& [length, count] : lengths_) {
    if (length > key.name_size) break;
    take(left, 1);
    const auto at = prefixes_.find(key.name().substr(0, length));
    if (at == prefixes_.end()) continue;
    Prefix& prefix = at->second;
    try {
      if (!prefix.touched) touched_.push_back(&prefix);
      if (!std::exchange(prefix.touched, true)) prefix.left = prefix.clients.size();
      prefix.keys.push_back(&key);
    } catch (const std::bad_alloc&) {
      prefix.forget = true;
      if (!prefix.touched) everybody_ = clients_.size();
    }
  }
}

bool TrackingFeed::tell_prefixes(unsigned& left) {
  while (!touched_.empty()) {
    Prefix& prefix = *touched_.back();
    for (; prefix.left > 0; --prefix.left) {
      if (left == 0) return false;
      take(left, prefix.keys.size());
      tell_prefix(prefix, *prefix.clients[prefix.left - 1]);
    }
    touched_.pop_back();
    prefix.touched = prefix.forget = false;
    std::vector<const cache::TrackedKey*>().swap(prefix.keys);
  }
  collected_ = 0;
  return true;
}

void TrackingFeed::tell_prefix(const Prefix& prefix, Tracking& tracking) {
  if (!choose_audience(tracking)) return;
  if (prefix.forget) return tell_to_forget(tracking);
  std::string text;
  try {
    std::vector<const cache::TrackedKey*> keys;
    keys.reserve(prefix.keys.size());
    for (const cache::TrackedKey* key : prefix.keys) {
      const bool own = tracking.noloop && key->writer == tracking.ticket;
      if (!own && may_hear(tracking, key->name(), key->databases)) keys.push_back(key);
    }
    if (keys.empty()) return;
    append_message(text, tracking.audience, keys);
  } catch (const std::bad_alloc&) {
    return tell_to_forget(tracking);
  }
  tell(tracking, text);
}

bool TrackingFeed::tell_everybody(unsigned& left) {
  for (; everybody_ > 0; --everybody_) {
    if (left == 0) return false;
    take(left, 1);
    Tracking& tracking = *clients_[everybody_ - 1];
    if ((news_->list().all || tracking.bcast) && choose_audience(tracking)) tell_to_forget(tracking);
  }
  return true;
}

bool TrackingFeed::tell_redirecting(unsigned& left) {
  for (; redirecting_ > 0; --redirecting_) {
    if (left == 0) return false;
    take(left, 1);
    Tracking& tracking = *clients_[redirecting_ - 1];
    if (!tracking.broken && tracking.redirect && tracking.redirect->client == news_->gone()) break_redirect(tracking);
  }
  return true;
}

// Finds out how the client can be told at present. Returns false if it cannot. What is redirected goes in the form that the other client
// wants, which is asked once in each step.
bool TrackingFeed::choose_audience(Tracking& tracking) {
  if (tracking.broken) return false;
  if (!tracking.redirect) {
    tracking.audience = tracking.session.protocol >= 3 ? Audience::invalidations : Audience::all;
    return tracking.audience != Audience::all;
  }
  if (tracking.redirects) return tracking.audience != Audience::all;
  bool found = false;
  engine_.clients.with(tracking.redirect->client, [&](const SharedClient& target) {
    found = !target.closing.load(relaxed);
    tracking.audience = invalidations_for(target);
  });
  if (!found) {
    break_redirect(tracking);
    return false;
  }
  tracking.redirects = true;
  redirected_.push_back(&tracking);  // there is room
  return tracking.audience != Audience::all;
}

void TrackingFeed::tell(Tracking& tracking, std::string_view bytes) {
  engine_.tracking.messages.fetch_add(1, relaxed);
  if (!tracking.redirect) {
    if (PushReceiver* const receiver = tracking.session.receiver; receiver != nullptr) receiver->push({.text = bytes});
    return;
  }
  if (tracking.forget) return;
  try {
    tracking.pending += bytes;
  } catch (const std::bad_alloc&) {
    tracking.forget = true;
  }
}

void TrackingFeed::tell_to_forget(Tracking& tracking) {
  if (tracking.redirect) {
    tracking.forget = true;
  } else {
    tell(tracking, forget_push);
  }
}

// At the end of a step.
void TrackingFeed::send_redirected() {
  while (!redirected_.empty()) {
    Tracking& tracking = *redirected_.back();
    redirected_.pop_back();
    tracking.redirects = false;
    const std::string pending = std::exchange(tracking.pending, {});
    const bool forget = std::exchange(tracking.forget, false);
    if (tracking.broken || tracking.audience == Audience::all || (pending.empty() && !forget)) continue;
    const std::string_view to_forget = tracking.audience == Audience::invalidations ? forget_push : forget_message;
    push_to(*tracking.redirect, forget ? to_forget : pending, tracking.audience);
  }
}

// A client that would miss a message is closed.
void TrackingFeed::push_to(const ClientPlace& to, std::string_view bytes, Audience audience) noexcept {
  if (engine_.clients.threads == nullptr) return;
  try {
    engine_.clients.threads->push({to}, std::make_shared<const std::string>(bytes), audience);
  } catch (const std::bad_alloc&) {
    engine_.clients.with(to.client, [this](SharedClient& client) { engine_.clients.kill(client); });
  }
}

void TrackingFeed::forget(Tracking& tracking) {
  if (!choose_audience(tracking)) return;
  if (tracking.redirect) {
    tell_to_forget(tracking);
    return send_redirected();
  }
  push_to(tracking.session.shared.place(), forget_push, tracking.audience);
}

// The client cannot be told of what it has read until now, nor of what it reads from now on, so nothing of that is kept.
void TrackingFeed::break_redirect(Tracking& tracking) {
  tracking.broken = true;
  Session& session = tracking.session;
  session.shared.tracking.fetch_or(kRedirectBroken, relaxed);
  if (tracking.ticket != 0) {
    engine_.cache.tracking.tickets.retire(std::exchange(tracking.ticket, 0));
    engine_.cache.tracking.note_dead();
  }
  if (session.protocol < 3) return;
  char text[64];
  const int size = std::snprintf(text, sizeof text, ">2\r\n$21\r\ntracking-redir-broken\r\n:%llu\r\n",
                                 static_cast<unsigned long long>(tracking.redirect->client));
  // Behind the reply that is being written, if it is that of a command whose reads are told late.
  push_to(session.shared.place(), {text, static_cast<std::size_t>(size)}, Audience::invalidations);
}

// Whether the user may read a key of this name in one of the databases, which are bits.
bool TrackingFeed::may_hear(const Tracking& tracking, std::string_view name, unsigned databases) const {
  Session& session = tracking.session;
  if (session.may_do_all(engine_.users)) return true;
  const std::shared_ptr<const security::User>& user = session.acting_user(engine_.users);
  if (user == nullptr) return false;
  if (user->unlimited()) return true;
  security::MatchBudget budget;
  return user->may_list(selectors_for(*user, databases), name, budget);
}

// --- all threads ---

TrackingService::TrackingService(Engine& engine, unsigned threads) : engine_(engine) {
  for (unsigned i = 0; i < threads; ++i) feeds_.push_back(std::make_unique<TrackingFeed>(engine, i));
}

TrackingService::~TrackingService() {
  for (const auto& feed : feeds_) engine_.cache.tracking.free(feed->outbox().pending.first);
}

void TrackingService::announce(cache::Invalidations& list, std::uint64_t gone) {
  bool made = false;
  try {
    const auto news = std::make_shared<const TrackingNews>(engine_, list, gone);
    made = true;
    for (unsigned thread = 0; thread < feeds_.size() && engine_.clients.threads != nullptr; ++thread) {
      if (news->threads().test(thread)) engine_.clients.threads->send(thread, news);
    }
  } catch (const std::bad_alloc&) {
    if (made) list.all = true;  // some threads may not have got it
  }
}

void TrackingService::announce_orphans() {
  if (!engine_.cache.tracking.has_orphans()) return;
  cache::Invalidations list = engine_.cache.tracking.take_orphans();
  announce(list, 0);
  if (!list.empty()) engine_.cache.tracking.give_back(list);
}

// Without memory, they learn it from what they would be told next.
void TrackingService::target_gone(std::uint64_t client) {
  cache::Invalidations none;
  announce(none, client);
}

void TrackingService::count_prefix(std::string_view prefix) {
  const std::lock_guard lock(mutex_);
  ++counted_.try_emplace(std::string(prefix)).first->second;
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
