#include "expiring.h"

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
#include "histogram.h"
#include "json.h"
#include "progress.h"
#include "protocol.h"
#include "tally.h"
#include <sys/epoll.h>

namespace pinfold::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kClockSlack{5};  // a server tells the time in milliseconds, now and then

struct Member {
  Member(const Options& options, std::uint32_t n, const Descriptor& poll) : channel(options, n, poll, this) {}

  Channel channel;
  Request asked = Request::kGet;
  Clock::time_point sent_at;
  bool first = false;  // it loads, and nobody did when it began
};

class Expiring {
 public:
  explicit Expiring(const Options& options)
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
    Progress progress(options_.label.empty() ? "expiring" : options_.label, options_.expiries, options_.quiet);
    const auto start = Clock::now();
    store(*members_.front());
    // The others begin when the key is there.
    while (!tally_.broken && expiries_ < options_.expiries) {
      const auto now = Clock::now();
      if (now > start + options_.max_time) return tally_.stop("out of time");
      while (!loads_.empty() && now >= loads_.front().due) {
        Member& member = *loads_.front().member;
        loads_.erase(loads_.begin());
        store(member);
      }
      receive();
      if (++turns_ % 1024 == 0 && progress.due()) progress.show(expiries_);
    }
  }

  bool print() const {
    const bool valid = tally_.right();
    const auto micros = [](std::chrono::nanoseconds time) { return std::chrono::duration<double, std::micro>(time).count(); };
    JsonObject latency;
    latency.add("p50", micros(tally_.latency.percentile(0.5))).add("p99.9", micros(tally_.latency.percentile(0.999)));
    latency.add("max", micros(tally_.latency.max()));
    JsonObject json;
    json.add("mode", name_of(options_.mode)).add("protocol", name_of(options_.wire));
    json.add("valid", valid).add("problem", tally_.problem());
    json.add("connections", std::uint64_t{options_.connections}).add("requests", tally_.requests);
    json.add("expiries", std::uint64_t{expiries_}).add("loads", tally_.misses);
    json.add("loads_beside_another", beside_another_).add("loads_too_early", too_early_);
    json.add("slow", slow_);
    json.add("hits", tally_.hits).add("misses", tally_.misses);
    json.add("errors", tally_.errors).add("wrong", tally_.wrong);
    json.add("refused", tally_.refused).add("refusal", tally_.refusal());
    json.add("latency_us", latency);
    std::puts(json.line().c_str());
    return valid;
  }

 private:
  struct Load {
    Clock::time_point due;
    Member* member;
  };

  void get(Member& member) {
    member.asked = Request::kGet;
    protocol_->get(member.channel.out(), key_.view());
    send(member);
  }

  void store(Member& member) {
    member.asked = Request::kSet;
    std::string& out = member.channel.out();
    out += "*5\r\n$3\r\nSET\r\n";
    append_bulk(out, key_.view());
    append_bulk(out, entries_.value(options_.first));
    append_bulk(out, "PX");
    append_bulk(out, std::to_string(options_.fresh.count()));
    stored_at_ = Clock::now();
    send(member);
  }

  void send(Member& member) {
    member.sent_at = Clock::now();
    flush(member);
  }

  void flush(Member& member) {
    if (!member.channel.flush()) tally_.stop("the server closed a connection");
  }

  void receive() {
    std::array<epoll_event, 128> events;
    const int count = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), 0);
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
    const auto now = Clock::now();
    Inbox& inbox = member.channel.inbox();
    const Reply reply = protocol_->parse(inbox.view(), member.asked, key_.view());
    if (reply.kind == Reply::Kind::kIncomplete) return;
    entries_.count(reply, options_.first, tally_);
    if (reply.kind == Reply::Kind::kGarbage) return tally_.stop("unreadable reply");
    inbox.drop(reply.used);
    if (member.asked == Request::kSet) return stored(member, reply);
    ++tally_.requests;
    tally_.latency.record(now - member.sent_at);
    if (now - member.sent_at >= options_.origin) ++slow_;
    if (reply.kind == Reply::Kind::kMissing) return load(member, now);
    get(member);
  }

  void stored(Member& member, const Reply& reply) {
    if (reply.kind != Reply::Kind::kStored) return tally_.stop("the key was not stored");
    if (!begun_) {
      begun_ = true;
      for (const auto& other : members_) get(*other);
      return;
    }
    --loading_;
    if (member.first) ++expiries_;
    member.first = false;
    get(member);
  }

  void load(Member& member, Clock::time_point now) {
    if (now < stored_at_ + options_.fresh - kClockSlack) ++too_early_;
    if (loading_ > 0) ++beside_another_;
    member.first = loading_ == 0;
    ++loading_;
    loads_.push_back({now + options_.origin, &member});
  }

  const Options& options_;
  std::unique_ptr<Protocol> protocol_;
  Entries entries_;
  KeyName key_;
  Descriptor poll_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<Load> loads_;  // in the order in which they are due
  Tally tally_;
  std::uint32_t expiries_ = 0;
  std::uint32_t loading_ = 0;
  std::uint64_t beside_another_ = 0;
  std::uint64_t too_early_ = 0;
  std::uint64_t slow_ = 0;  // GETs that took as long as a load
  std::uint64_t turns_ = 0;
  bool begun_ = false;
  Clock::time_point stored_at_;
};

}  // namespace

bool expiring(const Options& options) {
  Expiring run(options);
  run.run();
  return run.print();
}

}  // namespace pinfold::load
