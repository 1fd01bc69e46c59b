#pragma once
// Writes replies in RESP2 or RESP3 (the Redis serialization protocol, versions 2 and 3). Not thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/resp/output.hpp"

namespace pinfold::resp {

/// What a function returns that has written something: so a command's last statement can be what it replies.
struct Written {};

class Reply {
 public:
  explicit Reply(Output& out, int protocol = 2) : out_(&out), protocol_(protocol) {}

  int protocol() const { return protocol_; }
  void set_protocol(int version) { protocol_ = version; }

  Written ok() {
    out_->append("+OK\r\n");
    return {};
  }
  /// Writes a status line. `text` must be the server's own and hold no line break.
  Written simple(std::string_view text);
  /// The same for a text that may hold anything: line breaks are replaced by spaces.
  Written status(std::string_view text);
  /// Writes an error. `text` begins with its code and without a '-': "ERR syntax error". Line breaks are replaced by spaces, so
  /// that text of a client cannot smuggle in another reply (CVE-2025-67733). Line breaks at the end are dropped. The text is cut
  /// after 1 KB.
  Written error(std::string_view text);
  Written integer(std::int64_t value) { return number(':', value); }
  Written bulk(std::string_view bytes);
  /// Writes a bulk string that is sent from the blob itself, without a copy.
  Written bulk(Blob blob);
  /// As before, of a part of the blob.
  Written bulk(Blob blob, std::size_t skip, std::size_t length);
  Written bulk_integer(std::int64_t value);
  /// Null: "$-1" in RESP2, "_" in RESP3.
  Written null() {
    out_->append(protocol_ >= 3 ? "_\r\n" : "$-1\r\n");
    return {};
  }
  /// Null in place of an array: "*-1" in RESP2, "_" in RESP3.
  Written null_array() {
    out_->append(protocol_ >= 3 ? "_\r\n" : "*-1\r\n");
    return {};
  }
  /// The header of an array. `size` elements are to follow.
  Written array(std::size_t size) { return number('*', static_cast<std::int64_t>(size)); }
  /// The header of a map, or in RESP2 of a flat array. `pairs` keys and values are to follow.
  Written map(std::size_t pairs);
  /// The header of a set, or in RESP2 of an array. `size` elements are to follow.
  Written set(std::size_t size) { return number(protocol_ >= 3 ? '~' : '*', static_cast<std::int64_t>(size)); }
  /// The header of a push message, or in RESP2 of an array. `size` elements are to follow.
  Written push(std::size_t size) { return number(protocol_ >= 3 ? '>' : '*', static_cast<std::int64_t>(size)); }
  /// The header of an attribute, which belongs to the reply behind it. `pairs` keys and values are to follow. RESP2 has no attributes.
  Written attribute(std::size_t pairs) { return number('|', static_cast<std::int64_t>(pairs)); }
  Written boolean(bool value);
  /// A double, or in RESP2 a bulk string with its shortest text.
  Written real(double value);
  /// Text for people: a verbatim string in RESP3, a bulk string in RESP2.
  Written verbatim(std::string_view text);
  /// The same with another format than "txt": three characters, to which it is cut or filled up with spaces.
  Written verbatim(std::string_view format, std::string_view text);
  /// A number of any size, or in RESP2 a bulk string. Line breaks are replaced by spaces.
  Written big_number(std::string_view digits);
  /// Begins such a text that comes in pieces. The caller appends `size` bytes to the output and then calls end_text().
  Written begin_text(std::size_t size);
  Written end_text() {
    out_->append("\r\n");
    return {};
  }

  Output& output() { return *out_; }

  /// How many errors have been written. Callers compare the number before and after a command.
  std::uint64_t errors() const { return errors_; }
  /// The code of the last error ("ERR", "WRONGTYPE", ...).
  const std::string& last_error_code() const { return last_error_code_; }

 private:
  Written number(char type, std::int64_t value);
  Written line(char type, std::string_view text);

  Output* out_;
  int protocol_;
  std::uint64_t errors_ = 0;
  std::string last_error_code_;
};

}  // namespace pinfold::resp
