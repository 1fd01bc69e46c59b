#include "pinfold/resp/parser.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"

namespace pinfold::resp {

namespace {

constexpr std::size_t longest_line = 64 * 1024;
constexpr std::size_t kept_memory = 16 * 1024;
constexpr const char* too_many = "too many arguments for the memory that clients may have (maxmemory-clients)";

std::size_t most_arguments(const Limits& limits, std::size_t bytes_each) {
  return std::max(limits.memory / (bytes_each + Parser::bytes_when_executed), Parser::few_arguments);
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char l = lower(c);
  return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

char escaped(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return c;
  }
}

// Splits a line into words. "..." takes C escapes and \xHH, '...' takes \'. Returns false if a quote is not closed or if
// something follows a closing quote directly. Stops once there are more than `most` words.
bool split_words(std::string_view line, std::size_t most, std::vector<std::string>& words) {
  std::size_t i = 0;
  for (;;) {
    while (i < line.size() && is_space(line[i])) ++i;
    if (i == line.size() || words.size() > most) return true;
    std::string word;
    char quote = 0;
    for (;; ++i) {
      if (i == line.size()) {
        if (quote != 0) return false;
        break;
      }
      const char c = line[i];
      if (quote == 0) {
        if (is_space(c) || c == '\0') break;
        if (c == '"' || c == '\'') {
          quote = c;
        } else {
          word += c;
        }
      } else if (c == quote) {
        if (i + 1 < line.size() && !is_space(line[i + 1])) return false;
        ++i;
        break;
      } else if (quote == '\'' && c == '\\' && i + 1 < line.size() && line[i + 1] == '\'') {
        word += '\'';
        ++i;
      } else if (quote == '"' && c == '\\' && i + 1 < line.size()) {
        const bool hex = line[i + 1] == 'x' && i + 3 < line.size() && hex_digit(line[i + 2]) >= 0 && hex_digit(line[i + 3]) >= 0;
        if (hex) {
          word += static_cast<char>(hex_digit(line[i + 2]) * 16 + hex_digit(line[i + 3]));
          i += 3;
        } else {
          word += escaped(line[i + 1]);
          ++i;
        }
      } else {
        word += c;
      }
    }
    words.push_back(std::move(word));
    if (i < line.size() && line[i] == '\0') return true;  // a line ends at a NUL, as it does in C
  }
}

// What read_header() has found: a line such as "*3\r\n" or "$5\r\n".
struct Header {
  bool complete;
  bool valid;
  std::int64_t value;
  std::size_t end;  // the place after the line
};

// Reads a header of any length at `at`, strictly.
[[gnu::noinline]] Header read_long_header(std::string_view input, std::size_t at) {
  const std::size_t end = input.find('\r', at);
  if (end == std::string_view::npos || end + 1 >= input.size()) return {false, false, 0, 0};
  const auto number = end == at ? std::nullopt : parse_i64(input.substr(at + 1, end - at - 1));
  return {true, number.has_value(), number.value_or(0), end + 2};
}

// Reads the header at `at`. Fast for one to three digits, which nearly all headers have.
inline Header read_header(std::string_view input, std::size_t at) {
  constexpr std::size_t longest_short = 6;  // "$100\r\n"
  if (input.size() - at < longest_short) return read_long_header(input, at);
  const char* const digits = input.data() + at + 1;
  const auto digit = [digits](std::size_t i) { return static_cast<unsigned>(digits[i]) - '0'; };
  unsigned value = digit(0);
  std::size_t count = 1;
  for (; count <= 3 && digits[count] != '\r'; ++count) {
    if (value == 0 || digit(count) > 9) return read_long_header(input, at);
    value = value * 10 + digit(count);
  }
  if (digit(0) > 9 || count > 3) return read_long_header(input, at);
  return {true, true, value, at + 1 + count + 2};
}

}  // namespace

void Parser::begin_next(std::size_t at) {
  start_ = position_ = at;
  remaining_ = 0;
  bulk_length_ = -1;
  in_multibulk_ = false;
  spans_.clear();
}

void Parser::rewind(std::size_t consumed_before) {
  begin_next(consumed_before);
  awaits_body_ = false;
  bodies_.clear();
}

void Parser::set_body(std::string_view bytes, std::size_t in_input) {
  // An argument that was dropped is empty, but lies somewhere: functions of C take no null pointer, whatever the size.
  bodies_.push_back({body_index(), bytes.data() != nullptr ? bytes : std::string_view("")});
  position_ += in_input;
  awaits_body_ = false;
  bulk_length_ = 0;  // only the line end of the argument is still to come in the input
}

void Parser::drop_consumed() {
  for (Span& span : spans_) span.offset -= static_cast<std::uint32_t>(start_);
  position_ -= start_;
  start_ = 0;
  // A connection that has once sent a huge MGET must not keep the memory for its arguments.
  if (memory() > kept_memory && spans_.empty()) release_memory();
}

void Parser::release_memory() {
  std::vector<Span>().swap(spans_);
  std::vector<Body>().swap(bodies_);
  std::vector<std::string_view>().swap(args_);
  std::vector<std::string>().swap(unquoted_);
}

std::size_t Parser::wanted() const {
  return bulk_length_ < 0 || awaits_body_ ? 0 : position_ - start_ + static_cast<std::size_t>(bulk_length_) + 2;
}

Parser::Result Parser::fail(std::string message) {
  error_ = std::move(message);
  return Result::error;
}

Parser::Result Parser::next(std::string_view input, const Limits& limits) {
  for (;;) {
    if (!in_multibulk_) {
      if (position_ == input.size()) return Result::need_more;
      if (input[start_] != '*') {
        const Result result = inline_command(input, limits);
        if (result == Result::command && args_.empty()) continue;  // an empty line is no command
        return result;
      }
    } else if (awaits_body_) {
      return Result::body;
    }
    const Result result = multibulk(input, limits);
    if (result == Result::command && args_.empty()) continue;  // "*0" and "*-1" are no commands
    return result;
  }
}

Parser::Result Parser::multibulk(std::string_view input, const Limits& limits) {
  if (!in_multibulk_) {
    const Header header = read_header(input, position_);
    if (!header.complete) {
      return input.size() - position_ > longest_line ? fail("too big mbulk count string") : Result::need_more;
    }
    if (!header.valid || header.value > std::numeric_limits<int>::max()) return fail("invalid multibulk length");
    if (header.value > limits.arguments) {
      return fail(limits.authenticated ? "invalid multibulk length" : "unauthenticated multibulk length");
    }
    position_ = header.end;
    if (header.value <= 0) {
      begin_next(position_);
      args_.clear();
      return Result::command;
    }
    in_multibulk_ = true;
    remaining_ = header.value;
  }

  if (input.size() > std::numeric_limits<std::uint32_t>::max()) return fail("too big request");
  while (remaining_ > 0) {
    if (bulk_length_ < 0) {
      if (position_ >= input.size()) return Result::need_more;
      const Header header = read_header(input, position_);
      if (!header.complete) {
        return input.size() - position_ > longest_line ? fail("too big bulk count string") : Result::need_more;
      }
      if (input[position_] != '$') return fail(std::string("expected '$', got '").append({input[position_], '\''}));
      if (!header.valid || header.value < 0) return fail("invalid bulk length");
      if (header.value > limits.bulk) {
        return fail(limits.authenticated ? "invalid bulk length" : "unauthenticated bulk length");
      }
      position_ = header.end;
      bulk_length_ = header.value;
      if (header.value >= limits.body) {
        awaits_body_ = true;
        return Result::body;
      }
    }
    const auto length = static_cast<std::size_t>(bulk_length_);
    if (input.size() < position_ || input.size() - position_ < length + 2) return Result::need_more;
    if (spans_.size() == spans_.capacity()) [[unlikely]] {
      const std::size_t most = most_arguments(limits, bytes_per_argument);
      if (spans_.size() >= most) return fail(too_many);
      make_room(most);
    }
    spans_.push_back({static_cast<std::uint32_t>(position_), static_cast<std::uint32_t>(length)});
    position_ += length + 2;
    bulk_length_ = -1;
    --remaining_;
  }
  return finish(input);
}

// Makes room for more spans, at most `most` in all. The room doubles, up to the number of arguments that were announced: a client that
// announces many gets no more memory than for as many again as it has sent.
void Parser::make_room(std::size_t most) {
  constexpr std::size_t least = 16;
  spans_.reserve(spans_.size() + std::min({std::max(spans_.size(), least), static_cast<std::size_t>(remaining_), most - spans_.size()}));
}

Parser::Result Parser::finish(std::string_view input) {
  if (!unquoted_.empty()) [[unlikely]]
    unquoted_.clear();
  if (args_.capacity() < spans_.size()) {  // reserve() makes exactly this room, resize() might make more
    args_.clear();
    args_.reserve(spans_.size());
  }
  args_.resize(spans_.size());
  std::transform(spans_.begin(), spans_.end(), args_.begin(),
                 [&](Span span) { return std::string_view(input.data() + span.offset, span.size); });
  if (!bodies_.empty()) [[unlikely]] {
    for (const Body& body : bodies_) args_[body.index] = body.bytes;
    bodies_.clear();
  }
  begin_next(position_);
  // A command of many arguments needs memory where it is executed, so the spans are freed at once.
  if (spans_.capacity() * sizeof(Span) > kept_memory) [[unlikely]]
    std::vector<Span>().swap(spans_);
  return Result::command;
}

Parser::Result Parser::inline_command(std::string_view input, const Limits& limits) {
  const std::size_t end = input.find('\n', position_);
  // A longer line is refused even if it is complete in the input, as it may be when other requests came before it.
  if (std::min(end, input.size()) - start_ > longest_line) return fail("too big inline request");
  if (end == std::string_view::npos) return Result::need_more;
  std::string_view line = input.substr(start_, end - start_);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  unquoted_.clear();
  args_.clear();
  const std::size_t most = std::min(most_arguments(limits, bytes_per_word), static_cast<std::size_t>(limits.arguments));
  if (!split_words(line, most, unquoted_)) return fail("unbalanced quotes in request");
  if (unquoted_.size() > most) return fail(limits.authenticated ? too_many : "unauthenticated multibulk length");
  args_.assign(unquoted_.begin(), unquoted_.end());
  begin_next(end + 1);
  return Result::command;
}

}  // namespace pinfold::resp
