#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <sys/types.h>

namespace pinfold::load {

enum class Mode { kGet, kSet, kFill, kIdle, kReplay, kPaced, kHerd, kExpiring, kHandshakes };
// kMeta is memcached with its meta commands: memcached writes a reply to every pipelined `get` at once, but
// collects the replies to pipelined `mg`s, so a client that pipelines uses those. kCache is RESP with
// CACHE.GET and CACHE.SET in place of GET and SET.
enum class Wire { kResp, kMemcached, kMeta, kCache };

// What the writes of a paced run do: nothing; SET random keys to the length they have; SET random keys to a
// random length, one in four DELeted instead; SET new keys one after the other.
enum class Writes { kNone, kOverwrite, kResize, kInsert };

// When an entry ends: so many seconds from now, or at a Unix time. Zero: never.
struct Expiry {
  std::int64_t seconds = 0;
  bool absolute = false;
};

// Everything the command line can say. `pinfold-load --help` prints the same list.
struct Options {
  Mode mode = Mode::kGet;
  Wire wire = Wire::kResp;
  std::string host = "127.0.0.1";
  std::uint16_t port = 6379;
  std::string unix_socket;  // used instead of host and port when set
  bool tls = false;         // the server's certificate is not looked at
  std::string tls_version;  // "1.2" or "1.3"; empty: the newest that the server speaks
  bool resume = false;      // handshakes: take up sessions of earlier connections

  std::uint64_t requests = 0;  // 0: 100 000, or the whole trace
  std::uint64_t warmup = 0;    // requests sent before the measurement starts
  std::uint32_t connections = 50;
  std::uint32_t pipeline = 1;
  std::uint64_t keys = 1'000'000;
  std::uint64_t first = 0;  // number of the first key
  std::uint32_t value_bytes = 100;
  std::uint32_t value_most = 0;  // 0: all values have value_bytes; else lengths vary by key, up to this
  std::uint64_t seed = 1;
  Expiry expiry;
  std::chrono::seconds max_time{300};
  bool any_length = false;  // a value may have any length between the two bounds
  bool may_miss = false;    // a miss does not invalidate the run
  bool may_refuse = false;  // nor does a SET that the server declines

  double rate = 0;  // paced: GETs per second, for so long:
  std::chrono::milliseconds duration{1000};
  bool sleep = false;  // between what is due, so that others can use the core; otherwise it is the generator's alone
  Writes writes = Writes::kNone;
  double write_rate = 0;          // writes per second, sent in batches of `pipeline`
  std::uint64_t first_write = 0;  // insert: number of the first key written

  std::string tag;  // of what CACHE.SET stores; empty: none

  std::chrono::milliseconds origin{200};   // herd, expiring: how long a load takes
  std::chrono::milliseconds wait{30'000};  // herd: how long a CACHE.GET may wait for somebody else's load
  std::chrono::milliseconds fresh{200};    // expiring: what the key lives after each load
  std::uint32_t expiries = 20;             // expiring: loads after which the run ends

  pid_t server = 0;         // whose CPU time is measured; 0: nobody's
  std::string trace = "-";  // replay: a file, or - for standard input
  std::string label;        // what the progress bar calls the run
  bool quiet = false;       // no progress
};

const char* name_of(Mode mode);
const char* name_of(Wire wire);

// Throws Failure with a one-line reason.
Options parse_options(int argc, char** argv);

const char* usage();

}  // namespace pinfold::load
