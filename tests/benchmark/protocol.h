#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "options.h"

namespace pinfold::load {

enum class Request { kGet, kSet, kDelete };

struct Reply {
  enum class Kind {
    kIncomplete,  // read more and ask again
    kValue,       // text is the value
    kMissing,
    kStored,
    kDeleted,  // or it did not exist
    kRefused,  // a SET declined for memory or size; text is the server's reason
    kError,    // any other error, or a reply that does not answer the request; text quotes it
    kGarbage,  // the stream makes no sense from here on
  };
  Kind kind = Kind::kIncomplete;
  std::string_view text{};  // points into the bytes given to parse()
  std::size_t used = 0;     // bytes of the input that the reply took
};

// Writes requests and reads replies of one wire protocol. Stateless, so one serves any number of connections.
class Protocol {
 public:
  virtual ~Protocol() = default;

  virtual void get(std::string& out, std::string_view key) const = 0;
  virtual void set(std::string& out, std::string_view key, std::string_view value, Expiry expiry) const = 0;
  virtual void del(std::string& out, std::string_view key) const = 0;

  // Reads the reply at the start of `in`, which answers a request of the given kind for `key`.
  virtual Reply parse(std::string_view in, Request request, std::string_view key) const = 0;
};

std::unique_ptr<Protocol> make_protocol(const Options& options);
std::unique_ptr<Protocol> make_resp();
// RESP with Pinfold's CACHE.GET and CACHE.SET in place of GET and SET; entries get the tag, unless it is
// empty.
std::unique_ptr<Protocol> make_cache(std::string tag);
std::unique_ptr<Protocol> make_memcached();
std::unique_ptr<Protocol> make_meta();

// The first line of `in` without its CR LF; `complete` is false while the line end has not arrived.
struct Line {
  bool complete = false;
  std::string_view text{};
};
Line first_line(std::string_view in);

// Appends a RESP bulk string.
void append_bulk(std::string& out, std::string_view text);

// What CACHE.GET answers: a status, a value unless it is nil, a token. The views point into the bytes given.
struct CacheAnswer {
  enum class Kind { kIncomplete, kAnswer, kError, kGarbage };
  Kind kind = Kind::kIncomplete;
  std::string_view status{};  // or the text of the error
  std::string_view value{};
  bool has_value = false;
  std::uint64_t token = 0;
  std::size_t used = 0;  // bytes of the input that the answer took
};
CacheAnswer parse_cache_answer(std::string_view in);

}  // namespace pinfold::load
