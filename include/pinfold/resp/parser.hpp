#pragma once
// The request side of RESP: arrays of bulk strings, and inline commands.
//
// The parser is resumable: it can be given any prefix of the stream, keeps how far it came, and never looks at a
// byte twice but for an unfinished line. Arguments are views into the caller's buffer, which may move between calls
// (those of an inline command, which are unquoted, lie in the parser). A large argument does not go through that buffer:
// the parser says that it comes, the caller receives its bytes elsewhere, and the parser goes on behind it. Not
// thread-safe.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold::resp {

/// What a client may announce. Before authentication far less than after it (CVE-2021-32675).
struct Limits {
  std::int64_t arguments;
  std::int64_t bulk;
  bool authenticated;
  /// Bytes that the places of a command's arguments may take, together with what is made of them where it is executed.
  std::size_t memory = std::numeric_limits<std::size_t>::max();
  /// An argument of this many bytes or more is a body. At most `bulk`; beyond it, there are none.
  std::int64_t body = std::numeric_limits<std::int64_t>::max();
};

class Parser {
 public:
  /// What an argument takes here beside its bytes, at most, and what a word of an inline command takes.
  static constexpr std::size_t bytes_per_argument = 24;
  static constexpr std::size_t bytes_per_word = 48;
  /// The same where the command is executed: a key, and its position.
  static constexpr std::size_t bytes_when_executed = 28;
  /// Whatever the limits say, a command may have so many arguments.
  static constexpr std::size_t few_arguments = 1024;

  enum class Result {
    command,    // args() holds one; it ends at position()
    need_more,  // everything was used, or lies unfinished from consumed() on
    body,       // the next body_size() bytes of the stream, from position() on, are the caller's: see set_body()
    error,      // error() says what; the stream cannot be resynchronized
  };

  /// Continues at position() in `input`, which starts at the first byte not yet consumed().
  Result next(std::string_view input, const Limits& limits);

  /// The arguments of the command found. The vector is valid until next() is called; the bytes as long as `input`.
  const std::vector<std::string_view>& args() const { return args_; }
  /// Whether the arguments lie in the parser (an inline command) and not in the input: then they last only until the
  /// next call of next().
  bool args_are_copies() const { return !unquoted_.empty(); }
  /// Where in the input parsing goes on.
  std::size_t position() const { return position_; }
  /// Of the body that is to come (Result::body): its size, and the argument that it is.
  std::size_t body_size() const { return static_cast<std::size_t>(bulk_length_); }
  std::size_t body_index() const { return spans_.size(); }
  /// The body has come, and lies at `bytes` until the command is finished. Parsing goes on with what follows it in the stream:
  /// `in_input` bytes behind position(), as many of the body's as are in the input (still).
  void set_body(std::string_view bytes, std::size_t in_input = 0);
  /// How far input has been used by whole commands.
  std::size_t consumed() const { return start_; }
  /// Goes back to where a command started, to have it parsed again. Its bodies will be asked for again.
  void rewind(std::size_t consumed_before);
  /// Tells the parser that the caller has dropped the consumed bytes from the front of its buffer.
  void drop_consumed();
  /// What the arguments' places take beside the input itself.
  std::size_t memory() const {
    return spans_.capacity() * sizeof(Span) + args_.capacity() * sizeof(std::string_view) + bodies_.capacity() * sizeof(Body) +
           unquoted_.capacity() * sizeof(std::string);
  }
  /// Gives that back. Only between requests.
  void release_memory();
  /// Bytes of input that the command in progress needs at least, counted from consumed(); 0 if unknown.
  std::size_t wanted() const;
  const std::string& error() const { return error_; }

 private:
  struct Span {
    std::uint32_t offset;
    std::uint32_t size;
  };
  struct Body {
    std::size_t index;  // of the argument
    std::string_view bytes;
  };
  Result multibulk(std::string_view input, const Limits& limits);
  Result inline_command(std::string_view input, const Limits& limits);
  Result fail(std::string message);
  Result finish(std::string_view input);
  void make_room(std::size_t most);
  void begin_next(std::size_t at);

  std::size_t start_ = 0;          // where the command in progress starts
  std::size_t position_ = 0;       // where parsing goes on
  std::int64_t remaining_ = 0;     // bulk strings still to come
  std::int64_t bulk_length_ = -1;  // of the one in progress, -1 before its header
  bool in_multibulk_ = false;
  bool awaits_body_ = false;
  std::vector<Span> spans_;
  std::vector<Body> bodies_;
  std::vector<std::string_view> args_;
  std::vector<std::string> unquoted_;  // storage for inline arguments
  std::string error_;
};

}  // namespace pinfold::resp
