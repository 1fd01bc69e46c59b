#pragma once

#include <cstddef>
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

std::unique_ptr<Protocol> make_protocol(Wire wire);
std::unique_ptr<Protocol> make_resp();
std::unique_ptr<Protocol> make_memcached();
std::unique_ptr<Protocol> make_meta();

// The first line of `in` without its CR LF; `complete` is false while the line end has not arrived.
struct Line {
  bool complete = false;
  std::string_view text{};
};
Line first_line(std::string_view in);

}  // namespace pinfold::load
