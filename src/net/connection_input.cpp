// What a client sends: the input buffer, large arguments, the end of it.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>

#include <sys/uio.h>

#include "pinfold/net/connection.hpp"
#include "pinfold/net/io_thread.hpp"

namespace pinfold::net {

namespace {
constexpr auto relaxed = std::memory_order_relaxed;
}  // namespace

void Connection::receive() {
  // What has been received is executed first: a client may send its requests and close.
  if (ending_ != Ending::open || has_more_input()) return;
  if (blocked()) [[unlikely]] {
    note_unserved();
    if (!make_room_while_blocked()) {
      intake_ = Intake::full;
      return update_events();
    }
  } else if (must_grow() && !make_room()) {
    return close();
  }
  thread_.dispatcher().stats().reads.add();
  Transport::Result result;
  if (large_ != nullptr && large_->arrival != nullptr) [[unlikely]] {
    result = receive_large();
  } else {
    const iovec rest{input_.get() + filled_, capacity_ - filled_};
    result = transport_->read({&rest, 1});
    filled_ += result.bytes;
  }
  if (result.outcome != Transport::Outcome::done) [[unlikely]] {
    if (result.outcome == Transport::Outcome::ended) end_input();
    if (result.outcome == Transport::Outcome::failed) close(transport_->failure());
    return;
  }
  received(result.bytes);
}

void Connection::received(std::size_t bytes) {
  session_.shared.input_bytes.store(filled_, relaxed);
  session_.shared.last_active.store(thread_.now(), relaxed);
  thread_.dispatcher().stats().net_input.add(bytes);
  add(session_.shared.net_input, bytes);
  if (waits_in_silence()) [[unlikely]]
    end_wait(false);
  // A read that fills the buffer has left something behind: this client sends more than one small request at a time.
  if (filled_ == capacity_ && capacity_ < busy_input && !unauthenticated() && !thread_.clients_are_tight()) resize_input(busy_input);
}

// Reads on with a large argument, and if its end may come, with what follows it.
Transport::Result Connection::receive_large() {
  Arrival& arrival = *large_->arrival;
  char skipped[busy_input];
  std::span<char> to = arrival.space();
  if (arrival.refused()) to = {skipped, std::min(sizeof skipped, arrival.left())};
  const iovec parts[] = {{to.data(), to.size()}, {input_.get() + filled_, capacity_ - filled_}};
  const Transport::Result result = transport_->read({parts, to.size() == arrival.left() ? 2U : 1U});
  const std::size_t count = std::min(result.bytes, to.size());
  arrival.add(count);
  if (!arrival.refused()) add(session_.shared.large_bytes, count);
  filled_ += result.bytes - count;
  return result;
}

// Whether the parser, which has met a large argument, must not go on with it yet: what the client may send depends on the requests before
// it, if they have not been executed.
bool Connection::must_wait_for_rights(bool any) const { return any && !session_.may_do_all(thread_.engine().users); }

// Whether the large argument may take memory of the data, as far as the words before it tell.
bool Connection::may_store_body() {
  const security::Users& users = thread_.engine().users;
  if (session_.may_do_all(users)) return true;
  const std::shared_ptr<const security::User>& user = session_.acting_user(users);
  if (user == nullptr) return false;
  const auto argument = [this](std::size_t index) { return parser_.argument(index, {input_.get(), filled_}); };
  const unsigned db = session_.transaction != nullptr ? session_.transaction->db : session_.db;
  return command::may_store_large(*user, parser_.body_index(), db, argument, arrival_matches_);
}

// The parser has met a large argument. True if all of it has come, or it is to come in the input, and the parser may go on.
//
// What cannot become data of this client must not drive out the data of others. It is memory of the client, as small arguments are. If it
// is too large for that, it is received and dropped, and the request is denied.
bool Connection::take_body() {
  constexpr std::size_t most_in_input = 512 * 1024;
  const std::size_t known = large_ != nullptr ? large_->arguments.count() : 0;
  const std::size_t parsed = large_ != nullptr ? large_->parsed : 0;
  // A request that is parsed once more has some of its large arguments in the input, and has others here.
  if (parsed < known && large_->arguments.index(parsed) != parser_.body_index()) return keep_body();
  if (parsed == known && (large_ == nullptr || large_->arrival == nullptr)) {
    const bool refused = known > 0 && large_->arguments.refused();
    const bool storable = !refused && may_store_body();
    if (!refused && !storable && parser_.body_size() <= most_in_input) return keep_body();
    if (large_ == nullptr) large_ = std::make_unique<LargeRequest>();
    large_->arrival = std::make_unique<Arrival>(thread_.engine().keyspace, parser_.body_size(), large_->arguments.bytes());
    if (!storable) {
      large_->arrival->refuse();
      large_->arguments.refuse(command::LargeArguments::Refusal::no_value);
    }
  }
  LargeRequest& large = *large_;
  command::LargeArguments& arguments = large.arguments;
  if (parsed == known) {
    std::unique_ptr<Arrival>& arrival = large.arrival;
    const std::size_t at = parser_.position();
    const std::size_t used = arrival->add({input_.get() + at, filled_ - at});
    if (!arrival->refused()) add(session_.shared.large_bytes, used);
    if (arrival->refused()) arguments.refuse(command::LargeArguments::Refusal::no_room);
    if (!arrival->complete()) {
      filled_ -= used;  // that was all of the input
      return false;
    }
    // What came with the requests before it stays there until they are dropped: much may lie behind it.
    large.in_input.push_back(used);
    arguments.add(parser_.body_index(), arrival->take());
    arrival.reset();
  }
  parser_.set_body(arguments.view(large.parsed), large.in_input[large.parsed]);
  ++large.parsed;
  return true;
}

bool Connection::keep_body() {
  parser_.keep_body();
  return true;
}

void Connection::forget_large() {
  large_.reset();
  session_.shared.large_bytes.store(0, relaxed);
}

// The client has closed its side, for sending at least. What it is still to get is sent.
void Connection::end_input() {
  thread_.send_deferred();  // so that unsent_ says whether all has been sent
  if (ending_ == Ending::closed) return;
  if (!blocked() && unsent_.empty()) return close();
  advance(Ending::input_ended);
  if (ends_wait_with_input()) return end_wait(false);
  if (!blocked()) advance(Ending::when_sent);  // what has come is an unfinished request
  update_events();
}

// No request comes behind those that were sent. If the client is gone altogether, it is not to be given a lease: a wait for a key
// ends as if its time were up, and what was sent behind it is executed.
void Connection::input_ends() {
  if (ends_wait_with_input()) end_wait(false);
}

void Connection::hung_up() {
  // The replies can go nowhere. Requests received before are still executed, but not those that are blocked.
  const bool is_blocked = blocked_by_.any() || (waits() && (!waits_in_silence() || ending_ != Ending::open));
  if (is_blocked || ending_ == Ending::when_sent) close();
}

// Before a read: room for more of the request at hand, within the query buffer limit.
bool Connection::make_room() {
  drop_consumed(true);
  if (large_ != nullptr && query_limit_reached()) return false;
  if (filled_ < capacity_) return true;
  const std::size_t wanted = parser_.wanted();
  const bool tight = thread_.clients_are_tight();
  std::size_t bigger = tight ? capacity_ + std::max(capacity_ / 4, idle_input) : std::max(capacity_ * 2, busy_input);
  // Grow towards an announced length only as its bytes arrive, and not past it.
  if (wanted > capacity_ && bigger > wanted) bigger = wanted;
  if (query_limit_reached() || input_over_limit(bigger)) return false;
  const auto most = static_cast<std::size_t>(thread_.engine().settings.integer(config::Id::client_query_buffer_limit));
  resize_input(std::min(bigger, most));
  return true;
}

// The same while nothing is executed: a client may send all of its requests before it reads a reply. As much as the query buffer
// limit and the clients' share allow; what is beyond stays in the socket.
bool Connection::make_room_while_blocked() {
  constexpr std::size_t most_at_once = 256 * 1024;
  if (filled_ < capacity_) return true;
  if (large_ != nullptr && large_->arrival != nullptr && !large_->arrival->complete()) return true;
  drop_consumed(true);
  if (filled_ < capacity_) return true;
  const auto most = static_cast<std::size_t>(thread_.engine().settings.integer(config::Id::client_query_buffer_limit));
  const std::size_t more = std::clamp(capacity_, busy_input, most_at_once);
  const std::uint64_t share = thread_.limits().clients;
  const std::uint64_t of_user = user_share();
  const std::uint64_t used = thread_.engine().keyspace.memory().used(store::Use::clients);
  const std::size_t bigger = capacity_ + more;
  if (unauthenticated() || bigger > most || bigger > share / 2 || used + more > share - share / 4) return false;
  if (bigger > of_user / 2 || !thread_.engine().user_may_take(session_.shared, more + of_user / 4)) return false;
  resize_input(bigger);
  return true;
}

void Connection::resize_input(std::size_t capacity) {
  if (capacity == capacity_) return;
  // The kernel moves the pages of a buffer that grows, nothing is copied. One that shrinks may leave them altogether.
  const bool shrinks = capacity < capacity_;
  void* const resized = shrinks ? std::malloc(capacity) : std::realloc(input_.get(), capacity);
  if (resized == nullptr && shrinks) return;
  if (resized == nullptr) throw std::bad_alloc();
  if (shrinks) {
    std::memcpy(resized, input_.get(), filled_);
    input_.reset();
  }
  static_cast<void>(input_.release());
  input_.reset(static_cast<char*>(resized));
  capacity_ = capacity;
  account();
}

// Much may lie behind the first requests of a long pipeline. It is moved only when that halves it, or room is needed.
void Connection::drop_consumed(bool now) {
  const std::size_t used = parser_.consumed();
  if (used == 0 || (!now && filled_ > busy_input && used < filled_ / 2)) return;
  filled_ -= used;
  if (filled_ > 0) std::memmove(input_.get(), input_.get() + used, filled_);
  parser_.drop_consumed();
  // A long request is over: give its room back.
  if (capacity_ > busy_input && filled_ <= capacity_ / 4) resize_input(std::max(filled_, busy_input));
}

}  // namespace pinfold::net
