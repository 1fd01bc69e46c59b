#include "idle.h"

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "json.h"
#include "protocol.h"
#include "socket.h"
#include <sys/socket.h>
#include <sys/time.h>

namespace pinfold::load {
namespace {

constexpr std::string_view kAbsentKey = "pinfold-load:idle";

// Whether a connection got its answer: the key does not exist, so anything but "missing" is wrong.
bool ask_once(const Descriptor& socket, const Protocol& protocol, Tally& tally) {
  std::string out;
  protocol.get(out, kAbsentKey);
  if (::send(socket.get(), out.data(), out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out.size())) {
    tally.stop("the server closed a connection");
    return false;
  }
  Inbox inbox;
  for (;;) {
    const Inbox::Status status = inbox.fill(socket);
    if (status != Inbox::Status::kRead) {
      tally.stop(status == Inbox::Status::kClosed ? "the server closed a connection" : "no answer");
      return false;
    }
    const Reply reply = protocol.parse(inbox.view(), Request::kGet, kAbsentKey);
    if (reply.kind == Reply::Kind::kIncomplete) continue;
    ++tally.requests;
    if (reply.kind == Reply::Kind::kMissing) return true;
    tally.error(reply.text);
    return false;
  }
}

// A server that accepts and hangs up at once (over its connection limit) must not pass for one that holds
// them.
std::uint64_t count_open(const std::vector<Descriptor>& sockets, Tally& tally) {
  std::uint64_t open = 0;
  for (const Descriptor& socket : sockets) {
    char byte;
    const ssize_t got = ::recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0) {
      ++open;  // nothing to read: alive
    } else {
      tally.stop(got == 0 ? "the server closed a connection" : "bytes that were not asked for");
    }
  }
  return open;
}

void report(const char* event, const std::vector<Descriptor>& sockets, Tally& tally) {
  const std::uint64_t open = count_open(sockets, tally);
  JsonObject json;
  json.add("mode", "idle").add("event", event).add("connections", std::uint64_t{sockets.size()});
  json.add("open", open).add("requests", tally.requests).add("valid", tally.right());
  json.add("problem", tally.problem());
  std::puts(json.line().c_str());
  std::fflush(stdout);
}

}  // namespace

bool hold_idle(const Options& options) {
  allow_descriptors(std::uint64_t{options.connections} + 64);
  const std::unique_ptr<Protocol> protocol = make_protocol(options);
  std::vector<Descriptor> sockets;
  sockets.reserve(options.connections);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  for (std::uint32_t n = 0; n < options.connections; ++n) {
    sockets.push_back(connect_to(options, n));
    ::setsockopt(sockets.back().get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  Tally tally;
  report("open", sockets, tally);
  std::string line;
  while (std::getline(std::cin, line)) {
    for (const Descriptor& socket : sockets) {
      if (!ask_once(socket, *protocol, tally)) break;
    }
    report("asked", sockets, tally);
  }
  return tally.right();
}

}  // namespace pinfold::load
