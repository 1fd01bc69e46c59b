#include "options.h"

#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <string_view>

#include "failure.h"

namespace pinfold::load {
namespace {

struct ModeName {
  const char* name;
  Mode mode;
};

constexpr std::array<ModeName, 9> kModes{{{"get", Mode::kGet},
                                          {"set", Mode::kSet},
                                          {"fill", Mode::kFill},
                                          {"idle", Mode::kIdle},
                                          {"replay", Mode::kReplay},
                                          {"paced", Mode::kPaced},
                                          {"herd", Mode::kHerd},
                                          {"expiring", Mode::kExpiring},
                                          {"handshakes", Mode::kHandshakes}}};

template <typename Number>
Number number(std::string_view option, std::string_view text, Number least, Number most) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
    throw Failure("bad value for " + std::string(option) + ": '" + std::string(text) + "'");
  }
  return value;
}

// The arguments after the mode, taken in pairs.
class Arguments {
 public:
  Arguments(int count, char** values) : count_(count), values_(values) {}

  bool next() {
    if (position_ >= count_) return false;
    option_ = values_[position_++];
    return true;
  }
  std::string_view option() const { return option_; }

  std::string text() {
    if (position_ >= count_) throw Failure("no value for " + std::string(option_));
    return values_[position_++];
  }
  template <typename Number>
  Number number_of(Number least, Number most = std::numeric_limits<Number>::max()) {
    return number<Number>(option_, text(), least, most);
  }

 private:
  int count_;
  char** values_;
  int position_ = 0;
  std::string_view option_;
};

Mode mode_of(std::string_view name) {
  for (const ModeName& mode : kModes) {
    if (name == mode.name) return mode.mode;
  }
  throw Failure("unknown mode '" + std::string(name) + "'");
}

Wire wire_of(const std::string& name) {
  if (name == "resp") return Wire::kResp;
  if (name == "memcached") return Wire::kMemcached;
  if (name == "memcached-meta") return Wire::kMeta;
  if (name == "resp-cache") return Wire::kCache;
  throw Failure("unknown protocol '" + name + "'");
}

Writes writes_of(const std::string& name) {
  if (name == "none") return Writes::kNone;
  if (name == "overwrite") return Writes::kOverwrite;
  if (name == "resize") return Writes::kResize;
  if (name == "insert") return Writes::kInsert;
  throw Failure("unknown writes '" + name + "'");
}

constexpr std::uint64_t kMostRequests = 10'000'000'000;
constexpr std::uint64_t kMostKeys = 999'999'999'999;  // twelve digits
constexpr std::uint32_t kLongestValue = 512U << 20U;

// Where the server is and how to speak to it, and how the run is shown.
bool take_server(Options& options, Arguments& arguments) {
  const std::string_view option = arguments.option();
  if (option == "--protocol") {
    options.wire = wire_of(arguments.text());
  } else if (option == "--host") {
    options.host = arguments.text();
  } else if (option == "--port") {
    options.port = arguments.number_of<std::uint16_t>(1);
  } else if (option == "--unix") {
    options.unix_socket = arguments.text();
  } else if (option == "--tls") {
    options.tls = true;
  } else if (option == "--tls-version") {
    options.tls_version = arguments.text();
  } else if (option == "--pid") {
    options.server = arguments.number_of<pid_t>(1);
  } else if (option == "--label") {
    options.label = arguments.text();
  } else if (option == "--quiet") {
    options.quiet = true;
  } else {
    return false;
  }
  return true;
}

// Which keys and values there are.
bool take_data(Options& options, Arguments& arguments) {
  const std::string_view option = arguments.option();
  if (option == "--keys") {
    options.keys = arguments.number_of<std::uint64_t>(1, kMostKeys);
  } else if (option == "--first") {
    options.first = arguments.number_of<std::uint64_t>(0, kMostKeys);
  } else if (option == "--value") {
    options.value_bytes = arguments.number_of<std::uint32_t>(0, kLongestValue);
  } else if (option == "--value-most") {
    options.value_most = arguments.number_of<std::uint32_t>(1, kLongestValue);
  } else if (option == "--seed") {
    options.seed = arguments.number_of<std::uint64_t>(0);
  } else if (option == "--ttl") {
    // memcached reads more than 30 days as a date.
    options.expiry = {arguments.number_of<std::int64_t>(0, 2'592'000), false};
  } else if (option == "--expire-at") {
    options.expiry = {arguments.number_of<std::int64_t>(2'592'001), true};
  } else if (option == "--tag") {
    options.tag = arguments.text();
  } else if (option == "--trace") {
    options.trace = arguments.text();
  } else {
    return false;
  }
  return true;
}

// How much is asked, how fast, and what may go wrong.
bool take_work(Options& options, Arguments& arguments) {
  const std::string_view option = arguments.option();
  if (option == "--requests") {
    options.requests = arguments.number_of<std::uint64_t>(1, kMostRequests);
  } else if (option == "--warmup") {
    options.warmup = arguments.number_of<std::uint64_t>(0, kMostRequests);
  } else if (option == "--connections") {
    options.connections = arguments.number_of<std::uint32_t>(1, 1'000'000);
  } else if (option == "--pipeline") {
    options.pipeline = arguments.number_of<std::uint32_t>(1, 100'000);
  } else if (option == "--rate") {
    options.rate = arguments.number_of<double>(1, 1e8);
  } else if (option == "--duration-ms") {
    options.duration = std::chrono::milliseconds{arguments.number_of<std::int64_t>(1, 86'400'000)};
  } else if (option == "--writes") {
    options.writes = writes_of(arguments.text());
  } else if (option == "--write-rate") {
    options.write_rate = arguments.number_of<double>(1, 1e8);
  } else if (option == "--first-write") {
    options.first_write = arguments.number_of<std::uint64_t>(0, kMostKeys);
  } else if (option == "--sleep") {
    options.sleep = true;
  } else if (option == "--resume") {
    options.resume = true;
  } else if (option == "--any-length") {
    options.any_length = true;
  } else if (option == "--may-miss") {
    options.may_miss = true;
  } else if (option == "--may-refuse") {
    options.may_refuse = true;
  } else if (option == "--max-seconds") {
    options.max_time = std::chrono::seconds{arguments.number_of<std::int64_t>(1, 86'400)};
  } else {
    return false;
  }
  return true;
}

// What a herd meets: how long loads and entries last.
bool take_herd(Options& options, Arguments& arguments) {
  constexpr std::int64_t kLongestMs = 3'600'000;
  const std::string_view option = arguments.option();
  if (option == "--origin-ms") {
    options.origin = std::chrono::milliseconds{arguments.number_of<std::int64_t>(0, kLongestMs)};
  } else if (option == "--wait-ms") {
    options.wait = std::chrono::milliseconds{arguments.number_of<std::int64_t>(1, kLongestMs)};
  } else if (option == "--fresh-ms") {
    options.fresh = std::chrono::milliseconds{arguments.number_of<std::int64_t>(1, kLongestMs)};
  } else if (option == "--expiries") {
    options.expiries = arguments.number_of<std::uint32_t>(1, 1'000'000);
  } else {
    return false;
  }
  return true;
}

void check(const Options& options) {
  if (options.value_most > 0 && (options.value_bytes == 0 || options.value_bytes > options.value_most)) {
    throw Failure("--value must be from 1 to --value-most");
  }
  if (!options.tls_version.empty() && options.tls_version != "1.2" && options.tls_version != "1.3") {
    throw Failure("--tls-version is 1.2 or 1.3");
  }
  if (options.mode == Mode::kHandshakes && (!options.tls || options.wire != Wire::kResp)) {
    throw Failure("handshakes needs --tls, and speaks resp only");
  }
  if (options.mode == Mode::kPaced && options.rate == 0) throw Failure("paced needs --rate");
  if (options.writes != Writes::kNone && options.write_rate == 0) throw Failure("--writes needs --write-rate");
  const bool resp = options.wire == Wire::kResp;
  if (options.mode == Mode::kExpiring && !resp) throw Failure("expiring speaks resp only");
  if (options.mode == Mode::kHerd && !resp && options.wire != Wire::kCache) {
    throw Failure("herd speaks resp and resp-cache only");
  }
}

}  // namespace

const char* name_of(Mode mode) {
  for (const ModeName& entry : kModes) {
    if (entry.mode == mode) return entry.name;
  }
  return "?";
}

const char* name_of(Wire wire) {
  switch (wire) {
    case Wire::kResp:
      return "resp";
    case Wire::kMemcached:
      return "memcached";
    case Wire::kMeta:
      return "memcached-meta";
    case Wire::kCache:
      return "resp-cache";
  }
  return "?";
}

Options parse_options(int argc, char** argv) {
  if (argc < 2) throw Failure("no mode given; --help lists them");
  Options options;
  options.mode = mode_of(argv[1]);
  Arguments arguments(argc - 2, argv + 2);
  while (arguments.next()) {
    if (!take_server(options, arguments) && !take_data(options, arguments) && !take_work(options, arguments) &&
        !take_herd(options, arguments)) {
      throw Failure("unknown option " + std::string(arguments.option()));
    }
  }
  check(options);
  return options;
}

const char* usage() {
  return R"(pinfold-load MODE [options]: loads a cache server and prints one line of JSON about what it measured.

Modes
  get      GETs of uniformly random keys; every key must be there
  set      SETs of uniformly random keys
  fill     SETs every key once
  idle     opens connections and holds them until standard input ends; a line on standard input makes each send
           one GET, "park" has each wait for a missing key (resp-cache), "answered" has each receive its value;
           a line of JSON says when the connections are open and when each line is done
  replay   reads a trace (lines of "key-id [value-bytes]"), GETs each key, and on a miss SETs it; with --pipeline,
           consecutive different keys are asked for at once, and then all that missed are SET at once
  paced    GETs of uniformly random keys at a fixed rate, sent when they are due whether or not earlier ones were
           answered; latency counts from the moment they were due. Writes may be sent beside them
  herd     every connection asks for the same missing key at once; who is told to load stores it a while later
  expiring every connection GETs the same key as fast as it can; it expires again and again, and who is answered
           nil loads for a while and stores it
  handshakes opens connections over TLS, each of which asks for one PING and is closed; so many are open at once

Options
  --protocol resp|memcached|memcached-meta|resp-cache
                     the last is RESP with CACHE.GET and CACHE.SET, and for herd CACHE.GET WAIT
  --host ADDRESS     --port N            --unix PATH
  --tls              --tls-version 1.2|1.3   over TLS, without a look at the server's certificate
  --resume           take up the sessions of earlier connections (handshakes)
  --requests N       requests measured (get, set); most lines replayed of a trace (replay)
  --warmup N         requests sent before the measurement starts (get, set)
  --connections N    --pipeline N    --seed N
  --keys N           --first N           how many keys, and the number of the first
  --value BYTES      --value-most BYTES  length of the values; with the second, it varies by key between the two
  --ttl SECONDS      --expire-at UNIX-SECONDS
  --tag TEXT         of what CACHE.SET stores
  --rate N           --duration-ms N     GETs per second, and for how long (paced)
  --sleep            sleep until the next is due: later than without, but others can use the core (paced)
  --writes none|overwrite|resize|insert  SET random keys; SET to another length or DEL; SET new keys (paced)
  --write-rate N     --first-write N     writes per second, in batches of --pipeline; the first key inserted
  --may-miss         --may-refuse        misses, or SETs declined for memory, do not invalidate the run
  --origin-ms N      --wait-ms N         how long a load takes; how long a CACHE.GET waits for another's (herd)
  --fresh-ms N       --expiries N        what the key lives after each load, and after how many it ends (expiring)
  --any-length       a value may have any length between the two, as after --writes resize
  --trace FILE|-     --label TEXT        --quiet
  --pid N            measure the CPU time of this process
  --max-seconds N    give up after this time

Exit status: 0 when every reply was right, 2 when the run is invalid, 1 when it could not be made.
)";
}

}  // namespace pinfold::load
