#include "pinfold/command/session.hpp"

namespace pinfold::command {

void Session::set_user(std::shared_ptr<const security::User> user) {
  acting = Acting();
  const std::lock_guard lock(shared.mutex);
  shared.user.swap(user);  // the former one is freed with nothing locked
}

const std::shared_ptr<const security::User>& Session::acting_user(const security::Users& users) {
  // Read before the user: what changes in between is seen at the next request.
  const std::uint64_t version = users.version();
  if (acting.at == version) return acting.user;
  Acting found{.user = user() == nullptr ? users.of_new_connection() : users.present(*user()), .at = version};
  found.removed = user() != nullptr && found.user == nullptr;
  found.request_limit = found.user != nullptr ? users.request_limit(*found.user) : 0;
  found.unlimited_at = found.user != nullptr && found.user->unlimited() && found.request_limit == 0 && !only_subscribes() ? version : 0;
  if (user() != nullptr && found.user != nullptr && found.user != shared.user) set_user(found.user);
  acting = std::move(found);
  return acting.user;
}

std::shared_ptr<security::UserUsage> Session::usage() const {
  if (user() != nullptr) return user()->usage();
  return acting.user != nullptr ? acting.user->usage() : nullptr;
}

void Session::select(unsigned number) {
  db = number;
  shared.db.store(number, std::memory_order_relaxed);
}

void Session::set_protocol(int version) {
  protocol = version;
  shared.protocol.store(version, std::memory_order_relaxed);
  if (subscriber != nullptr) look_for_rights_again();
}

void Session::set_name(std::string_view name) {
  const std::lock_guard lock(shared.mutex);
  shared.name = name;
}

void Session::set_no_touch(bool on) {
  no_touch = on;
  shared.no_touch.store(on, std::memory_order_relaxed);
}

void Session::reset(std::shared_ptr<const security::User> user) {
  set_user(std::move(user));
  select(0);
  set_protocol(2);
  set_name("");
  set_no_touch(false);
  shared.no_evict.store(false, std::memory_order_relaxed);
  trace = SessionTrace();
  if (reply_mode != ReplyMode::skip_this) reply_mode = ReplyMode::on;
}

}  // namespace pinfold::command
