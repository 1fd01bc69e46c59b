#pragma once
// The request side of RESP: arrays of bulk strings, and inline commands.
//
// The parser is resumable: it takes any prefix of the stream, remembers how far it has come, and reads no byte twice except in
// an unfinished line. Arguments are views into the caller's buffer, which may move between calls. (The arguments of an inline
// command are unquoted, so they lie in the parser.) A large argument does not go through that buffer: the parser announces it,
// the caller receives its bytes elsewhere, and the parser goes on after it. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold::resp {

/// The largest requests that a client may announce. An unauthenticated client may announce far less (CVE-2021-32675).
struct Limits {
  std::int64_t arguments;
  std::int64_t bulk;
  bool authenticated;
  /// Bytes of bookkeeping that a command's arguments may take, in the parser and where the command is executed.
  std::size_t memory = std::numeric_limits<std::size_t>::max();
  /// An argument of this many bytes or more is a body (Result::body). If this is more than `bulk`, there are no bodies.
  std::int64_t body = std::numeric_limits<std::int64_t>::max();
};

class Parser {
 public:
  /// The most bytes of bookkeeping that the parser needs for an argument, and for a word of an inline command.
  static constexpr std::size_t bytes_per_argument = 24;
  static constexpr std::size_t bytes_per_word = 48;
  /// The same where the command is executed: for a key and its position.
  static constexpr std::size_t bytes_when_executed = 28;
  /// A command may always have this many arguments, whatever Limits::memory says.
  static constexpr std::size_t few_arguments = 1024;

  enum class Result {
    command,    // args() holds a command, which ends at position()
    need_more,  // all input is used, or an unfinished command begins at consumed()
    body,       // the caller receives the next body_size() bytes of the stream, from position() on, and calls set_body(), or keep_body()
    error,      // error() says what is wrong; the rest of the stream cannot be parsed
  };

  /// Goes on at position() in `input`. `input` starts with the first byte that the caller has not dropped yet (drop_consumed()).
  Result next(std::string_view input, const Limits& limits);

  /// The arguments of the command. The vector is valid until the next call of next(), the bytes as long as `input`.
  const std::vector<std::string_view>& args() const { return args_; }
  /// Whether the arguments lie in the parser (an inline command) and not in the input. Then the bytes too are valid only until
  /// the next call of next().
  bool args_are_copies() const { return !unquoted_.empty(); }
  /// The place in the input at which parsing goes on.
  std::size_t position() const { return position_; }
  /// After Result::body: the size of the body, and the index of the argument that it is.
  std::size_t body_size() const { return static_cast<std::size_t>(bulk_length_); }
  std::size_t body_index() const { return spans_.size(); }
  /// The argument at `index` of the unfinished command, which must be before body_index() and no body itself.
  std::string_view argument(std::size_t index, std::string_view input) const {
    return input.substr(spans_[index].offset, spans_[index].size);
  }
  /// Tells the parser that the body has arrived. `bytes` must stay valid until the command is finished. `in_input` is how many
  /// bytes of the body lie in the input: parsing goes on that far after position().
  void set_body(std::string_view bytes, std::size_t in_input = 0);
  /// Tells the parser that the body is to come in the input, as small arguments do.
  void keep_body() { awaits_body_ = false; }
  /// How far the input has been used by complete commands.
  std::size_t consumed() const { return start_; }
  /// Goes back to where a command started, so that it is parsed again. Its bodies are announced again.
  void rewind(std::size_t consumed_before);
  /// Tells the parser that the caller has removed the consumed bytes from the front of its buffer.
  void drop_consumed();
  /// Bytes of bookkeeping, beside the input itself.
  std::size_t memory() const {
    return spans_.capacity() * sizeof(Span) + args_.capacity() * sizeof(std::string_view) + bodies_.capacity() * sizeof(Body) +
           unquoted_.capacity() * sizeof(std::string);
  }
  /// Gives the memory back. To be called only between commands.
  void release_memory();
  /// The least bytes of input that the unfinished command needs, counted from consumed(); 0 if that is not known.
  std::size_t wanted() const;
  const std::string& error() const { return error_; }

 private:
  struct Span {
    std::uint32_t offset;
    std::uint32_t size;
  };
  struct Body {
    std::size_t index;  // of its argument
    std::string_view bytes;
  };
  Result multibulk(std::string_view input, const Limits& limits);
  Result inline_command(std::string_view input, const Limits& limits);
  Result fail(std::string message);
  Result finish(std::string_view input);
  void make_room(std::size_t most);
  void begin_next(std::size_t at);

  std::size_t start_ = 0;          // where the unfinished command starts
  std::size_t position_ = 0;       // where parsing goes on
  std::int64_t remaining_ = 0;     // bulk strings still to come
  std::int64_t bulk_length_ = -1;  // of the present bulk string, -1 before its header
  bool in_multibulk_ = false;
  bool awaits_body_ = false;
  std::vector<Span> spans_;
  std::vector<Body> bodies_;
  std::vector<std::string_view> args_;
  std::vector<std::string> unquoted_;  // storage for inline arguments
  std::string error_;
};

}  // namespace pinfold::resp
