#pragma once
// Writes replies in RESP2 or RESP3 (the Redis serialization protocol, versions 2 and 3). Not thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/resp/output.hpp"

namespace pinfold::resp {

class Reply {
 public:
  explicit Reply(Output& out, int protocol = 2) : out_(&out), protocol_(protocol) {}

  int protocol() const { return protocol_; }
  void set_protocol(int version) { protocol_ = version; }

  void ok() { out_->append("+OK\r\n"); }
  /// A status line; `text` is the server's own and holds no line break.
  void simple(std::string_view text);
  /// An error with its code in front and no '-': "ERR syntax error". Line breaks in what a client sent are replaced
  /// by spaces, so that it cannot smuggle in a reply of its own (CVE-2025-67733); those at the end are dropped. Cut off
  /// after 1 KB.
  void error(std::string_view text);
  void integer(std::int64_t value) { number(':', value); }
  void bulk(std::string_view bytes);
  /// A bulk string that is sent from the blob itself.
  void bulk(Blob blob);
  /// A part of the blob.
  void bulk(Blob blob, std::size_t skip, std::size_t length);
  void bulk_integer(std::int64_t value);
  /// Nothing: "$-1" in RESP2, "_" in RESP3.
  void null() { out_->append(protocol_ >= 3 ? "_\r\n" : "$-1\r\n"); }
  /// Nothing where an array was to be: "*-1" in RESP2.
  void null_array() { out_->append(protocol_ >= 3 ? "_\r\n" : "*-1\r\n"); }
  /// `size` elements follow.
  void array(std::size_t size) { number('*', static_cast<std::int64_t>(size)); }
  /// `pairs` keys and values follow; a flat array in RESP2.
  void map(std::size_t pairs);
  /// `size` elements follow; an array in RESP2.
  void set(std::size_t size) { number(protocol_ >= 3 ? '~' : '*', static_cast<std::int64_t>(size)); }
  void push(std::size_t size) { number(protocol_ >= 3 ? '>' : '*', static_cast<std::int64_t>(size)); }
  void boolean(bool value);
  /// A double; its shortest text as a bulk string in RESP2.
  void real(double value);
  /// Text for people, marked as such in RESP3.
  void verbatim(std::string_view text);
  /// The same for a text that comes in pieces: append `size` bytes to the output behind it, then end_text().
  void begin_text(std::size_t size);
  void end_text() { out_->append("\r\n"); }

  Output& output() { return *out_; }

  /// How many errors have been written; the caller compares before and after a command.
  std::uint64_t errors() const { return errors_; }
  /// The code of the last error ("ERR", "WRONGTYPE", ...).
  const std::string& last_error_code() const { return last_error_code_; }

 private:
  void number(char type, std::int64_t value);

  Output* out_;
  int protocol_;
  std::uint64_t errors_ = 0;
  std::string last_error_code_;
};

}  // namespace pinfold::resp
