#include <memory>
#include <vector>

#include "rig.hpp"
#include <sys/eventfd.h>

#include <catch2/catch.hpp>

using namespace pinfold;
using namespace pinfold::net;

namespace {

// Something in the loop that is no client.
class Noticing final : public EventHandler {
 public:
  explicit Noticing(IoThread& thread) : thread_(thread), fd_(eventfd(0, EFD_NONBLOCK)) {
    if (!thread_.loop().add(fd_, EPOLLIN, *this)) throw std::runtime_error("cannot watch an eventfd");
  }
  ~Noticing() {
    thread_.loop().remove(fd_, *this);
    ::close(fd_);
  }
  void ready(std::uint32_t events) override {
    CHECK((events & EPOLLIN) != 0);
    ++called;
    if (to_drop != nullptr) to_drop->reset();
    eventfd_t ignored = 0;
    eventfd_read(fd_, &ignored);
  }
  void poke() const { eventfd_write(fd_, 1); }

  int called = 0;
  std::unique_ptr<Noticing>* to_drop = nullptr;  // destroyed at the next call

 private:
  IoThread& thread_;
  const int fd_;
};

}  // namespace

TEST_CASE("net: what is no client is told of its events between those of clients") {
  Rig rig;
  Noticing noticing(rig.thread);
  Peer client = rig.connect();
  rig.settle();
  CHECK(noticing.called == 0);
  noticing.poke();
  CHECK(client.ask("PING") == "+PONG\r\n");
  CHECK(noticing.called == 1);
  noticing.poke();
  rig.settle();
  CHECK(noticing.called == 2);
}

TEST_CASE("net: a handler that another one removes is not called any more, although it was ready as well") {
  Rig rig;
  auto first = std::make_unique<Noticing>(rig.thread);
  auto second = std::make_unique<Noticing>(rig.thread);
  first->to_drop = &second;
  second->to_drop = &first;
  first->poke();
  second->poke();
  CHECK(rig.thread.run_round(0) == 2);
  CHECK((first == nullptr) != (second == nullptr));
  CHECK((first != nullptr ? first : second)->called == 1);
  rig.settle();
}

TEST_CASE("net: a handler can change what it waits for") {
  Rig rig;
  Noticing noticing(rig.thread);
  Wire wire;
  CHECK(rig.thread.loop().add(wire.ours, 0, noticing));
  wire.announce();
  rig.settle();
  CHECK(noticing.called == 0);
  rig.thread.loop().change(wire.ours, EPOLLIN, noticing);
  CHECK(rig.thread.run_round(0) == 1);
  CHECK(noticing.called == 1);
  rig.thread.loop().remove(wire.ours, noticing);
  rig.settle();
  CHECK(noticing.called == 1);
}
