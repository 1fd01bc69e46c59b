#include "idle.h"

#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "json.h"
#include "protocol.h"
#include "stream.h"
#include <sys/socket.h>
#include <sys/time.h>

namespace pinfold::load {
namespace {

constexpr std::string_view kAbsentKey = "pinfold-load:idle";

constexpr std::string_view kParkedKey = "pinfold-load:parked";
constexpr std::string_view kLongWait = "600000";  // ms

bool send_all(Stream& stream, const std::string& out, Tally& tally) {
  if (stream.write(out.data(), out.size()) == static_cast<ssize_t>(out.size())) return true;
  tally.stop("the server closed a connection");
  return false;
}

// Whether the connection's next answer is of that kind.
bool expect(Stream& stream, const Protocol& protocol, std::string_view key, Reply::Kind kind, Tally& tally) {
  Inbox inbox;
  for (;;) {
    const Inbox::Status status = inbox.fill(stream);
    if (status != Inbox::Status::kRead) {
      tally.stop(status == Inbox::Status::kClosed ? "the server closed a connection" : "no answer");
      return false;
    }
    const Reply reply = protocol.parse(inbox.view(), Request::kGet, key);
    if (reply.kind == Reply::Kind::kIncomplete) continue;
    ++tally.requests;
    if (reply.kind == kind) return true;
    tally.error(reply.text);
    return false;
  }
}

bool ask_once(Stream& stream, const Protocol& protocol, Tally& tally) {
  std::string out;
  protocol.get(out, kAbsentKey);
  return send_all(stream, out, tally) && expect(stream, protocol, kAbsentKey, Reply::Kind::kMissing, tally);
}

// Has it wait for somebody else's load.
bool park(Stream& stream, Tally& tally) {
  std::string out = "*4\r\n$9\r\nCACHE.GET\r\n";
  append_bulk(out, kParkedKey);
  append_bulk(out, "WAIT");
  append_bulk(out, kLongWait);
  return send_all(stream, out, tally);
}

// A server that accepts and hangs up at once (over its connection limit) must not pass for one that holds
// them.
std::uint64_t count_open(std::vector<Stream>& streams, Tally& tally) {
  std::uint64_t open = 0;
  for (Stream& stream : streams) {
    switch (stream.look()) {
      case Inbox::Status::kNothing:
        ++open;
        break;
      case Inbox::Status::kClosed:
        tally.stop("the server closed a connection");
        break;
      case Inbox::Status::kRead:
        tally.stop("bytes that were not asked for");
    }
  }
  return open;
}

void report(const char* event, std::vector<Stream>& streams, Tally& tally) {
  const std::uint64_t open = count_open(streams, tally);
  JsonObject json;
  json.add("mode", "idle").add("event", event).add("connections", std::uint64_t{streams.size()});
  json.add("open", open).add("requests", tally.requests).add("valid", tally.right());
  json.add("problem", tally.problem());
  std::puts(json.line().c_str());
  std::fflush(stdout);
}

}  // namespace

bool hold_idle(const Options& options) {
  allow_descriptors(std::uint64_t{options.connections} + 64);
  const std::unique_ptr<Protocol> protocol = make_protocol(options);
  std::vector<Stream> streams;
  streams.reserve(options.connections);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  for (std::uint32_t n = 0; n < options.connections; ++n) {
    streams.emplace_back(options, n);
    ::setsockopt(streams.back().descriptor(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  Tally tally;
  report("open", streams, tally);
  std::string line;
  while (std::getline(std::cin, line)) {
    const bool parking = line == "park";
    const bool answered = line == "answered";
    for (Stream& stream : streams) {
      const bool good = parking    ? park(stream, tally)
                        : answered ? expect(stream, *protocol, kParkedKey, Reply::Kind::kValue, tally)
                                   : ask_once(stream, *protocol, tally);
      if (!good) break;
    }
    report(parking ? "parked" : answered ? "answered" : "asked", streams, tally);
  }
  return tally.right();
}

}  // namespace pinfold::load
