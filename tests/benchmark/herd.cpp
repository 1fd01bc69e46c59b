#include "herd.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "channel.h"
#include "dataset.h"
#include "entries.h"
#include "failure.h"
#include "json.h"
#include "protocol.h"
#include "tally.h"
#include <sys/epoll.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

struct Member {
  Member(const Options& options, std::uint32_t n, const Descriptor& poll) : channel(options, n, poll, this) {}

  Channel channel;
  Request asked = Request::kGet;
};

class Herd {
 public:
  explicit Herd(const Options& options)
      : options_(options),
        protocol_(make_protocol(options)),
        entries_(options),
        key_(options.first),
        poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (poll_.get() < 0) fail_system("epoll_create1");
    allow_descriptors(options.connections + 64);
    for (std::uint32_t n = 0; n < options.connections; ++n) {
      members_.push_back(std::make_unique<Member>(options, n, poll_));
    }
  }

  void run() {
    const auto start = Clock::now();
    for (const auto& member : members_) ask(*member);
    all_asked_ = Clock::now() - start;
    while (!tally_.broken && answered_ < members_.size()) {
      const auto now = Clock::now();
      if (now > start + options_.max_time) return tally_.stop("out of time");
      if (loader_ != nullptr && !filled_ && now >= told_ + options_.origin) fill(now);
      receive();
    }
  }

  bool print() const {
    const bool valid = tally_.right();
    JsonObject json;
    json.add("mode", name_of(options_.mode)).add("protocol", name_of(options_.wire));
    json.add("valid", valid).add("problem", tally_.problem());
    json.add("connections", std::uint64_t{options_.connections});
    json.add("loads", loads_).add("loads_before_fill", loads_before_fill_);
    json.add("hits", tally_.hits).add("misses", tally_.misses);
    json.add("errors", tally_.errors).add("wrong", tally_.wrong);
    json.add("refused", tally_.refused).add("refusal", tally_.refusal());
    json.add("all_asked_ms", milliseconds(all_asked_));
    if (valid) json.add("fill_to_last_ms", milliseconds(last_ - filled_at_));
    std::puts(json.line().c_str());
    return valid;
  }

 private:
  bool leased() const { return options_.wire == Wire::kCache; }

  void ask(Member& member) {
    std::string& out = member.channel.out();
    member.asked = Request::kGet;
    if (leased()) {
      out += "*4\r\n$9\r\nCACHE.GET\r\n";
      append_bulk(out, key_.view());
      append_bulk(out, "WAIT");
      append_bulk(out, std::to_string(options_.wait.count()));
    } else {
      protocol_->get(out, key_.view());
    }
    flush(member);
  }

  void fill(Clock::time_point now) {
    std::string& out = loader_->channel.out();
    loader_->asked = Request::kSet;
    filled_ = true;
    filled_at_ = now;
    if (leased()) {
      out += "*5\r\n$9\r\nCACHE.SET\r\n";
      append_bulk(out, key_.view());
      append_bulk(out, entries_.value(options_.first));
      append_bulk(out, "TOKEN");
      append_bulk(out, std::to_string(token_));
    } else {
      protocol_->set(out, key_.view(), entries_.value(options_.first), {});
    }
    flush(*loader_);
  }

  void flush(Member& member) {
    if (!member.channel.flush()) tally_.stop("the server closed a connection");
  }

  void receive() {
    std::array<epoll_event, 256> events;
    // The generator does not sleep while a load is due, nor while answers come in.
    const int wait = loader_ == nullptr || filled_ ? 1 : 0;
    const int count = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), wait);
    for (int i = 0; i < count && !tally_.broken; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      auto& member = *static_cast<Member*>(event.data.ptr);
      if ((event.events & EPOLLOUT) != 0) flush(member);
      if ((event.events & ~std::uint32_t{EPOLLOUT}) != 0) read(member);
    }
  }

  void read(Member& member) {
    switch (member.channel.fill()) {
      case Inbox::Status::kNothing:
        return;
      case Inbox::Status::kClosed:
        return tally_.stop("the server closed a connection");
      case Inbox::Status::kRead:
        break;
    }
    Inbox& inbox = member.channel.inbox();
    const Reply reply = protocol_->parse(inbox.view(), member.asked, key_.view());
    if (reply.kind == Reply::Kind::kIncomplete) return;
    if (reply.kind == Reply::Kind::kGarbage) return tally_.stop("unreadable reply");
    const std::uint64_t token = reply.kind == Reply::Kind::kMissing && leased() ? parse_cache_answer(inbox.view()).token : 0;
    entries_.count(reply, options_.first, tally_);
    inbox.drop(reply.used);
    if (member.asked == Request::kSet) {
      if (reply.kind != Reply::Kind::kStored) return tally_.stop("the fill was not stored");
      return ask(member);
    }
    last_ = Clock::now();
    if (reply.kind == Reply::Kind::kMissing && (token != 0 || !leased())) return told_to_load(member, token);
    ++answered_;
  }

  void told_to_load(Member& member, std::uint64_t token) {
    ++loads_;
    if (!filled_) ++loads_before_fill_;
    if (loader_ != nullptr) {
      ++answered_;  // what it would load is on its way already
      return;
    }
    loader_ = &member;
    token_ = token;
    told_ = Clock::now();
  }

  const Options& options_;
  std::unique_ptr<Protocol> protocol_;
  Entries entries_;
  KeyName key_;
  Descriptor poll_;
  std::vector<std::unique_ptr<Member>> members_;
  Tally tally_;
  std::size_t answered_ = 0;
  std::uint64_t loads_ = 0;
  std::uint64_t loads_before_fill_ = 0;
  Member* loader_ = nullptr;
  std::uint64_t token_ = 0;
  bool filled_ = false;
  Clock::duration all_asked_{};
  Clock::time_point told_;
  Clock::time_point filled_at_;
  Clock::time_point last_;
};

}  // namespace

bool herd(const Options& options) {
  Herd run(options);
  run.run();
  return run.print();
}

}  // namespace pinfold::load
