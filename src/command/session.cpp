#include "pinfold/command/session.hpp"

namespace pinfold::command {

void Session::set_user(std::shared_ptr<const security::User> user) {
  acting_at_ = unlimited_at_ = 0;
  removed_ = false;
  const std::lock_guard lock(shared.mutex);
  shared.user.swap(user);  // the former one is freed with nothing locked
}

const std::shared_ptr<const security::User>& Session::acting_user(const security::Users& users) {
  // Read before the user: what changes in between is seen at the next request.
  const std::uint64_t version = users.version();
  if (acting_at_ == version) return acting_;
  if (user() == nullptr) {
    acting_ = users.of_new_connection();
  } else {
    acting_ = users.present(*user());
    removed_ = acting_ == nullptr;
    if (!removed_ && acting_ != shared.user) set_user(acting_);
  }
  acting_at_ = version;
  unlimited_at_ = acting_ != nullptr && acting_->unlimited() ? version : 0;
  return acting_;
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
