#include "pinfold/command/waiting.hpp"

#include <memory>
#include <string>
#include <utility>

#include "rig.hpp"

#include <catch2/catch.hpp>

#include "pinfold/net/connection.hpp"

using namespace pinfold;
using namespace pinfold::net;
using command::Waiting;

namespace {

const std::string nothing = "$-1\r\n";

// What a blocking pop might be told.
class Popped final : public Delivery {
 public:
  Popped(std::uint64_t ticket, std::uint64_t client) : ticket_(ticket), client_(client) {}
  std::uint64_t visit(std::uint64_t from, const Visitor& visitor) const override {
    return from > ticket_ || visitor(ticket_, {client_, 0}) ? 0 : ticket_;
  }
  void not_taken() const override { ++put_back; }

  const std::string element = "element";
  mutable int put_back = 0;

 private:
  const std::uint64_t ticket_;
  const std::uint64_t client_;
};

struct Ends {
  int answered = 0;
  int timed_out = 0;
  int abandoned = 0;
  int destroyed = 0;
  bool operator==(const Ends&) const = default;
};

// Notes what becomes of it.
class Recorded final : public Waiting {
 public:
  explicit Recorded(Ends& ends) : ends_(ends) {}
  ~Recorded() override { ++ends_.destroyed; }
  void answer(const Delivery& answer, command::Session& session, resp::Reply& reply) override {
    CHECK_FALSE(session.waits());
    ++ends_.answered;
    reply.bulk(dynamic_cast<const Popped&>(answer).element);
  }
  void timeout(command::Engine& /*engine*/, command::Session& session, resp::Reply& reply) override {
    CHECK_FALSE(session.waits());
    ++ends_.timed_out;
    reply.null();
  }
  void abandon(command::Engine& /*engine*/) override { ++ends_.abandoned; }

 private:
  Ends& ends_;
};

// A client that waits for at most five seconds, with a Waiting of the test's in place of a command's: no command leaves one that says
// what becomes of it. Behind it waits a PING.
struct Blocked {
  explicit Blocked(Waiting::EndedBy ended_by = Waiting::EndedBy::end_of_input, bool unblocks = true) {
    other.ask("CACHE.GET", "k", "LEASE", "60000");
    REQUIRE(client.ask("CACHE.GET", "k", "WAIT", "5000").empty());
    command::Session& session = rig.thread.find(2)->session();
    auto recorded = std::make_unique<Recorded>(ends);
    recorded->ticket = ticket = session.waiting->ticket;
    recorded->until = session.waiting->until;
    recorded->ended_by = ended_by;
    recorded->unblocks = unblocks;
    if (!unblocks) session.shared.waiting = 0;
    session.waiting->abandon(rig.engine);
    session.waiting = std::move(recorded);
  }
  std::shared_ptr<Popped> pop(std::uint64_t with_ticket) {
    const auto popped = std::make_shared<Popped>(with_ticket, 2);
    rig.deliver(popped);
    rig.settle();
    return popped;
  }

  Ends ends;
  Rig rig;
  Peer other = rig.connect();
  Peer client = rig.connect();
  std::uint64_t ticket = 0;
};

}  // namespace

TEST_CASE("net: a wait is answered once, with its ticket, and what came behind it is executed then") {
  Blocked blocked;
  blocked.client.send(request("PING"));
  CHECK(blocked.pop(blocked.ticket + 1)->put_back == 1);
  CHECK(blocked.client.take().empty());
  CHECK(blocked.pop(blocked.ticket)->put_back == 0);
  CHECK(blocked.client.take() == "$7\r\nelement\r\n+PONG\r\n");
  CHECK(blocked.ends == Ends{.answered = 1, .destroyed = 1});
  CHECK(blocked.pop(blocked.ticket)->put_back == 1);
  blocked.rig.pass(10'000);
  CHECK(blocked.client.take().empty());
  CHECK(blocked.ends == Ends{.answered = 1, .destroyed = 1});
}

TEST_CASE("net: a wait whose time is up replies for itself, and a later answer is given back") {
  Blocked blocked;
  blocked.rig.pass(4999);
  CHECK(blocked.client.take().empty());
  blocked.rig.pass(1);
  CHECK(blocked.client.take() == nothing);
  CHECK(blocked.ends == Ends{.timed_out = 1, .destroyed = 1});
  CHECK(blocked.pop(blocked.ticket)->put_back == 1);
  CHECK(blocked.client.take().empty());
}

TEST_CASE("net: the wait of a client that is gone is abandoned, and its answer given back") {
  Blocked blocked;
  SECTION("killed") { CHECK(blocked.other.ask("CLIENT", "KILL", "ID", "2") == ":1\r\n"); }
  SECTION("hung up") {
    blocked.client.wire().hang_up();
    blocked.rig.settle();
  }
  CHECK(blocked.client.closed());
  CHECK(blocked.ends == Ends{.abandoned = 1, .destroyed = 1});
  CHECK(blocked.pop(blocked.ticket)->put_back == 1);
}

TEST_CASE("net: what of its client ends a wait is said by the wait") {
  using By = Waiting::EndedBy;
  SECTION("anything that the client sends") {
    Blocked blocked(By::any_input);
    CHECK(blocked.client.ask("PING") == nothing + "+PONG\r\n");
    CHECK(blocked.ends == Ends{.timed_out = 1, .destroyed = 1});
  }
  SECTION("the end of its input only") {
    Blocked blocked(By::end_of_input);
    CHECK(blocked.client.ask("PING").empty());
    blocked.client.wire().end();
    blocked.rig.settle();
    CHECK(blocked.client.take() == nothing + "+PONG\r\n");
    CHECK(blocked.client.closed());
    CHECK(blocked.ends == Ends{.timed_out = 1, .destroyed = 1});
  }
  SECTION("nothing") {
    Blocked blocked(By::nothing);
    CHECK(blocked.client.ask("PING").empty());
    blocked.client.wire().end();
    blocked.rig.settle();
    CHECK(blocked.client.take().empty());
    CHECK(blocked.pop(blocked.ticket)->put_back == 0);
    CHECK(blocked.client.take() == "$7\r\nelement\r\n+PONG\r\n");
    CHECK(blocked.client.closed());
  }
}

TEST_CASE("net: CLIENT UNBLOCK ends a wait as its time would, or with an error, unless the wait forbids it") {
  SECTION("as its time would") {
    Blocked blocked;
    CHECK(blocked.other.ask("CLIENT", "UNBLOCK", "2") == ":1\r\n");
    CHECK(blocked.client.take() == nothing);
    CHECK(blocked.ends == Ends{.timed_out = 1, .destroyed = 1});
  }
  SECTION("with an error") {
    Blocked blocked;
    CHECK(blocked.other.ask("CLIENT", "UNBLOCK", "2", "ERROR") == ":1\r\n");
    CHECK(blocked.client.take() == "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    CHECK(blocked.ends == Ends{.abandoned = 1, .destroyed = 1});
  }
  SECTION("not at all") {
    Blocked blocked(Waiting::EndedBy::nothing, false);
    CHECK(blocked.other.ask("CLIENT", "UNBLOCK", "2") == ":0\r\n");
    CHECK(blocked.client.take().empty());
    CHECK(blocked.ends == Ends{});
  }
}

TEST_CASE("net: a purge answers who waits for its end, whatever that client sends meanwhile and whoever unblocks it") {
  Rig rig;
  Peer client = rig.connect();
  CHECK(client.ask("CACHE.SET", "k", "value", "TAGS", "1", "t") == "+OK\r\n");
  CHECK(client.ask("CACHE.PURGE", "TAGS", "1", "t", "SYNC").empty());
  CHECK(client.ask("GET", "k").empty());
  CHECK(rig.connect().ask("CLIENT", "UNBLOCK", "1") == ":0\r\n");
  // What the background worker does.
  for (int i = 0; i < 1000 && client.wire().sent.empty(); ++i) {
    rig.keyspace.background_step(rig.moment.unix, 1000);
    rig.engine.cache.tell_finished();
    rig.settle();
  }
  const std::string replies = client.take();
  CHECK(replies.starts_with(":"));
  CHECK(replies.ends_with(nothing));
}
