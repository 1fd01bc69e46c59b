// Fuzzes resp::Parser: any bytes, at any split.
//
// The input is a stream of requests. Its last bytes choose the limits, the sizes of the pieces in which the stream arrives, and which
// allocation fails. The stream is parsed as a whole, byte by byte, and in these pieces. Invariants:
//   - the requests and the error are the same, whatever the pieces are
//   - no request goes beyond the limits
//   - the memory that the parser takes follows from what has arrived, not from what was announced
//   - a request that is parsed again after rewind() is the same
//   - a failed allocation is a std::bad_alloc, after which the parser can be destroyed

#include "pinfold/resp/parser.hpp"

#include <algorithm>
#include <deque>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "support/allocations.hpp"
#include "support/require.hpp"
#include "support/tail.hpp"

using fuzz::require;
using pinfold::resp::Limits;
using pinfold::resp::Parser;
using Request = std::vector<std::string>;

namespace {

struct Parsed {
  std::vector<Request> requests;
  std::string error;

  bool operator==(const Parsed&) const = default;
};

constexpr Limits kinds_of_limits[] = {
    {.arguments = 10, .bulk = 16 * 1024, .authenticated = false},
    {.arguments = INT32_MAX, .bulk = 512 << 20, .authenticated = true},
    {.arguments = INT32_MAX, .bulk = 512 << 20, .authenticated = true, .memory = 64 * 1024, .body = 64},
    {.arguments = INT32_MAX, .bulk = 1000, .authenticated = true, .memory = 128 * 1024, .body = 16},
};

struct Feeding {
  const Limits& limits;
  std::string_view pieces;     // the size of each piece; when they are used up, they begin anew
  bool bodies_in_input;        // whether the bytes of a body that are in the input stay there
  bool rewinds = false;        // whether each request is parsed twice
  std::uint32_t fails_at = 0;  // the allocation that fails; 0: none
};

// What the parser may take for `arrived` bytes of an unfinished request. A word of an inline command takes two bytes at least, an
// argument five, and a list that grows is there twice for a moment.
std::int64_t most_memory(std::size_t arrived) {
  constexpr std::int64_t constant = 64 * 1024;
  constexpr std::int64_t each = 3 * Parser::bytes_per_word;
  return constant + each * static_cast<std::int64_t>(arrived);
}

// A connection as the parser sees it.
class Stream {
 public:
  explicit Stream(const Feeding& feeding) : feeding_(feeding) {}

  Parsed feed(std::string_view stream) {
    std::size_t piece = 0;
    for (std::size_t at = 0; at < stream.size() && parsed_.error.empty();) {
      const std::size_t wanted =
          feeding_.pieces.empty() ? stream.size() : static_cast<unsigned char>(feeding_.pieces[piece++ % feeding_.pieces.size()]) + 1U;
      const std::string_view arrived = stream.substr(at, wanted);
      at += arrived.size();
      input_ += arrived;
      parse();
      drop_consumed();
    }
    return std::move(parsed_);
  }

 private:
  Parser::Result next() {
    const fuzz::Watched watched;
    return parser_.next(input_, feeding_.limits);
  }

  void parse() {
    for (;;) {
      const std::size_t start = parser_.consumed();
      const std::size_t least = parser_.wanted();
      const Parser::Result result = next();
      // Within this call an inline command may be as long as all of the input.
      require(fuzz::Allocations::peak() <= most_memory(input_.size() + taken_out_), "the parser takes memory for what has not arrived");
      require(parser_.position() <= input_.size() && parser_.consumed() <= parser_.position(), "the parser is beyond the input");
      switch (result) {
        case Parser::Result::need_more:
          return;
        case Parser::Result::error:
          parsed_.error = parser_.error();
          require(!parsed_.error.empty(), "an error says what is wrong");
          return;
        case Parser::Result::body:
          if (!take_body()) return;
          break;
        case Parser::Result::command:
          require(least == 0 || parser_.consumed() - start >= least, "a request is complete before the bytes that were wanted");
          take_command(start);
      }
    }
  }

  void take_command(std::size_t start) {
    const Limits& limits = feeding_.limits;
    const auto& args = parser_.args();
    require(!args.empty() && args.size() <= static_cast<std::size_t>(limits.arguments), "a request has too many arguments");
    const std::size_t most = std::max(limits.memory / Parser::bytes_when_executed, Parser::few_arguments);
    require(args.size() <= most, "a request has more arguments than there is memory for");
    Request request(args.begin(), args.end());
    for (const std::string& arg : request) {
      const bool fits = arg.size() <= static_cast<std::size_t>(limits.bulk);
      require(fits || parser_.args_are_copies(), "an argument is larger than allowed");
    }
    if (feeding_.rewinds && !rewound_) {
      rewound_ = true;
      again_ = std::move(request);
      parser_.rewind(start);
      given_again_ = 0;
      return;
    }
    if (rewound_) require(request == again_, "a request that is parsed again is another one");
    rewound_ = false;
    parsed_.requests.push_back(std::move(request));
    bodies_.clear();
    in_input_.clear();
    taken_out_ = 0;
  }

  // True if all of the body has come, and the parser may go on.
  bool take_body() {
    if (rewound_) {  // it has come before
      require(given_again_ < bodies_.size(), "a request that is parsed again has another body");
      give_body(given_again_);
      ++given_again_;
      return true;
    }
    const std::size_t size = parser_.body_size();
    require(size >= static_cast<std::size_t>(feeding_.limits.body) && size <= static_cast<std::size_t>(feeding_.limits.bulk),
            "a body has a size that is not allowed");
    const std::size_t at = parser_.position();
    const std::size_t here = std::min(size - arriving_.size(), input_.size() - at);
    arriving_.append(input_, at, here);
    const bool complete = arriving_.size() == size;
    // What stays in the input must be all that has come of it.
    const bool stays = feeding_.bodies_in_input && complete;
    if (!stays) {
      input_.erase(at, here);
      taken_out_ += here;
    }
    if (!complete) return false;
    bodies_.push_back(std::move(arriving_));
    arriving_.clear();
    in_input_.push_back(stays ? here : 0);
    give_body(bodies_.size() - 1);
    return true;
  }

  void give_body(std::size_t number) {
    const fuzz::Watched watched;
    parser_.set_body(bodies_[number], in_input_[number]);
  }

  void drop_consumed() {
    if (!parsed_.error.empty()) return;
    input_.erase(0, parser_.consumed());
    const fuzz::Watched watched;
    parser_.drop_consumed();
  }

  const Feeding& feeding_;
  Parser parser_;
  Parsed parsed_;
  std::string input_;
  std::string arriving_;
  std::deque<std::string> bodies_;  // of the unfinished request
  std::vector<std::size_t> in_input_;
  std::size_t taken_out_ = 0;  // bytes of these bodies that are not in the input
  bool rewound_ = false;
  std::size_t given_again_ = 0;
  Request again_;
};

Parsed feed(std::string_view stream, const Feeding& feeding) {
  fuzz::Allocations::reset();
  fuzz::Allocations::fail(feeding.fails_at);
  Stream connection(feeding);
  return connection.feed(stream);
}

// Errors about a line that is too long are found sooner or later, depending on where the line is cut.
bool is_long(std::string_view stream) {
  constexpr std::size_t longest_line = 64 * 1024;
  return stream.size() > longest_line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Tail tail(data, size);
  const std::uint8_t choices = tail.byte();
  const Limits& limits = kinds_of_limits[choices & 3];
  const bool bodies_in_input = (choices & 4) != 0;
  const std::uint32_t fails_at = tail.byte();
  const std::string_view pieces = tail.bytes(tail.byte() % 16U);
  const std::string_view stream = tail.text();

  const Parsed whole = feed(stream, {limits, {}, false});
  const auto check = [&](const Feeding& feeding) {
    const Parsed other = feed(stream, feeding);
    require(other.requests == whole.requests, "the requests depend on the pieces in which they arrive");
    require(is_long(stream) || other.error == whole.error, "the error depends on the pieces", whole.error + " / " + other.error);
  };
  using namespace std::string_view_literals;
  check({limits, "\0"sv, bodies_in_input});
  check({limits, pieces, bodies_in_input});
  check({limits, pieces, !bodies_in_input, true});
  if (fails_at == 0) return 0;
  try {
    feed(stream, {limits, pieces, bodies_in_input, false, fails_at});
  } catch (const std::bad_alloc&) {  // the connection is closed
  }
  fuzz::Allocations::spare();
  return 0;
}
