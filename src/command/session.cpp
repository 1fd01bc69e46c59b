#include "pinfold/command/session.hpp"

namespace pinfold::command {

void Session::set_user(std::shared_ptr<const security::User> user) {
  const std::lock_guard lock(shared.mutex);
  shared.user = std::move(user);
}

void Session::select(unsigned number) {
  db = number;
  shared.db.store(number, std::memory_order_relaxed);
}

void Session::set_protocol(int version) {
  protocol = version;
  shared.protocol.store(version, std::memory_order_relaxed);
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
  if (reply_mode != ReplyMode::skip_this) reply_mode = ReplyMode::on;
}

}  // namespace pinfold::command
