#include "pinfold/resp/parser.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using pinfold::resp::Limits;
using pinfold::resp::Parser;

namespace {

constexpr Limits authenticated{1 << 20, 512 << 20, true};
constexpr Limits unauthenticated{10, 16384, false};
using Command = std::vector<std::string>;

struct Outcome {
  std::vector<Command> commands;
  std::string error;
};

// Feeds `input` in pieces of `piece` bytes, and drops consumed bytes as a connection does.
Outcome feed(const std::string& input, std::size_t piece, const Limits& limits = authenticated) {
  Parser parser;
  Outcome outcome;
  std::string buffer;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    buffer += input.substr(at, piece);
    for (;;) {
      const auto result = parser.next(buffer, limits);
      if (result == Parser::Result::error) {
        outcome.error = parser.error();
        return outcome;
      }
      if (result == Parser::Result::need_more) break;
      outcome.commands.emplace_back(parser.args().begin(), parser.args().end());
    }
    buffer.erase(0, parser.consumed());
    parser.drop_consumed();
  }
  return outcome;
}

std::string error_of(const std::string& input, const Limits& limits = authenticated) { return feed(input, input.size(), limits).error; }

}  // namespace

TEST_CASE("pipelined requests parse the same however the stream is split") {
  std::string long_value(1000, 'v');
  const std::string input =
      "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n" + long_value +
      "\r\n*0\r\n*-1\r\n\r\nPING\r\n  set \"a b\" 'it\\'s' \"\\x41\\n\"\n*1\r\n$0\r\n\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
  const std::vector<Command> wanted = {{"SET", "k", long_value}, {"PING"}, {"set", "a b", "it's", "A\n"}, {""}, {"GET", "k"}};
  for (std::size_t piece = 1; piece <= 40; ++piece) CHECK(feed(input, piece).commands == wanted);
  CHECK(feed(input, input.size()).commands == wanted);
}

TEST_CASE("hostile framing gets Redis' protocol errors") {
  CHECK(error_of("*abc\r\n") == "invalid multibulk length");
  CHECK(error_of("*2147483648\r\n") == "invalid multibulk length");
  CHECK(error_of("*9223372036854775808\r\n") == "invalid multibulk length");
  CHECK(error_of("*1\r\n:5\r\n") == "expected '$', got ':'");
  CHECK(error_of("*1\r\n$-1\r\n") == "invalid bulk length");
  CHECK(error_of("*1\r\n$abc\r\n") == "invalid bulk length");
  CHECK(error_of("*1\r\n$536870913\r\n") == "invalid bulk length");
  CHECK(error_of("*1\r\n$01\r\nx\r\n") == "invalid bulk length");
  CHECK(error_of("*11\r\n", unauthenticated) == "unauthenticated multibulk length");
  CHECK(error_of("*1\r\n$16385\r\n", unauthenticated) == "unauthenticated bulk length");
  CHECK(error_of("get \"a\n") == "unbalanced quotes in request");
  CHECK(error_of("get \"a\"b\n") == "unbalanced quotes in request");
  CHECK(error_of(std::string(70000, 'a')) == "too big inline request");
  CHECK(error_of(std::string(70000, 'a') + "\r\n") == "too big inline request");
  CHECK(error_of("a b c d e f g h i j k\r\n", unauthenticated) == "unauthenticated multibulk length");
  CHECK(error_of("*" + std::string(70000, '1')) == "too big mbulk count string");
  CHECK(error_of("*1\r\n$" + std::string(70000, '1')) == "too big bulk count string");
}

TEST_CASE("a command with more arguments than there is memory for is refused") {
  constexpr std::size_t most = 2000;
  constexpr std::size_t each = Parser::bytes_per_argument + Parser::bytes_when_executed;
  const Limits limits{.arguments = 1'000'000, .bulk = 1000, .authenticated = true, .memory = most * each};
  const auto command = [](std::size_t count) {
    std::string text = "*" + std::to_string(count) + "\r\n";
    for (std::size_t i = 0; i < count; ++i) text += "$0\r\n\r\n";
    return text;
  };
  const auto words = [](std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += "a ";
    return text + "\r\n";
  };
  for (const std::string& input : {command(most), words(most / 2)}) {
    Parser parser;
    CHECK(parser.next(input, limits) == Parser::Result::command);
    CHECK(parser.args().size() >= most / 2);
  }
  for (const std::string& input : {command(100 * most), words(10 * most)}) {
    Parser parser;
    CHECK(parser.next(input, limits) == Parser::Result::error);
    CHECK(parser.error() == "too many arguments for the memory that clients may have (maxmemory-clients)");
    CHECK(parser.memory() <= limits.memory);
  }
}

TEST_CASE("the parser asks for the bytes of an argument only when it knows its length") {
  Parser parser;
  CHECK(parser.next("*2\r\n$3\r\nGET\r\n", authenticated) == Parser::Result::need_more);
  CHECK(parser.wanted() == 0);
  const std::string head = "*2\r\n$3\r\nGET\r\n$1000\r\nabc";
  CHECK(parser.next(head, authenticated) == Parser::Result::need_more);
  CHECK(parser.wanted() == head.size() - 3 + 1000 + 2);
}

TEST_CASE("a rewound command is parsed again") {
  Parser parser;
  const std::string input = "PING\r\nECHO x\r\n";
  REQUIRE(parser.next(input, authenticated) == Parser::Result::command);
  const std::size_t before = parser.consumed();
  REQUIRE(parser.next(input, authenticated) == Parser::Result::command);
  parser.rewind(before);
  REQUIRE(parser.next(input, authenticated) == Parser::Result::command);
  CHECK(parser.args()[0] == "ECHO");
}

namespace {

constexpr Limits with_bodies{.arguments = 1 << 20, .bulk = 512 << 20, .authenticated = true, .body = 100};

// As feed(), but takes bodies out of the stream as a connection does.
std::vector<Command> feed_with_bodies(const std::string& input, std::size_t piece) {
  Parser parser;
  std::vector<Command> commands;
  std::string buffer;
  std::vector<std::string> bodies;
  bodies.reserve(100);
  std::string arriving;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    buffer += input.substr(at, piece);
    for (;;) {
      const auto result = parser.next(buffer, with_bodies);
      if (result == Parser::Result::body) {
        CHECK(parser.next(buffer, with_bodies) == Parser::Result::body);
        const std::size_t count = std::min(parser.body_size() - arriving.size(), buffer.size() - parser.position());
        arriving += buffer.substr(parser.position(), count);
        buffer.erase(parser.position(), count);
        if (arriving.size() < parser.body_size()) break;
        bodies.push_back(std::move(arriving));
        arriving.clear();
        parser.set_body(bodies.back());
        continue;
      }
      if (result != Parser::Result::command) break;
      commands.emplace_back(parser.args().begin(), parser.args().end());
    }
    buffer.erase(0, parser.consumed());
    parser.drop_consumed();
  }
  return commands;
}

}  // namespace

TEST_CASE("bodies are handed to the caller however the stream is split") {
  const std::string a(100, 'a'), b(99, 'b'), c = "*1\r\n$4\r\nPING\r\n" + std::string(250, 'c');
  const auto bulk = [](const std::string& text) { return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n"; };
  const std::string input = "PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n" + bulk(a) + "*5\r\n$4\r\nMSET\r\n" + bulk(c) + bulk(b) + bulk(a) +
                            bulk(c) + "*1\r\n" + bulk(a) + "*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n";
  const std::vector<Command> wanted = {{"PING"}, {"SET", "k", a}, {"MSET", c, b, a, c}, {a}, {"GET", "k"}, {"PING"}};
  for (std::size_t piece = 1; piece <= 300; ++piece) CHECK(feed_with_bodies(input, piece) == wanted);
  CHECK(feed_with_bodies(input, input.size()) == wanted);
}

TEST_CASE("a rewound command asks for its bodies again") {
  Parser parser;
  const std::string body(100, 'x');
  const std::string input = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\n\r\nPING\r\n";  // the body is left out
  for (int i = 0; i < 3; ++i) {
    REQUIRE(parser.next(input, with_bodies) == Parser::Result::body);
    CHECK(parser.body_size() == 100);
    CHECK(parser.body_index() == 2);
    CHECK(parser.wanted() == 0);
    if (i == 1) {
      parser.rewind(0);
      continue;
    }
    parser.set_body(body);
    REQUIRE(parser.next(input, with_bodies) == Parser::Result::command);
    CHECK(parser.args() == std::vector<std::string_view>{"SET", "k", body});
    if (i == 0) parser.rewind(0);
  }
  REQUIRE(parser.next(input, with_bodies) == Parser::Result::command);
  CHECK(parser.args() == std::vector<std::string_view>{"PING"});
}

TEST_CASE("an argument that is larger than allowed is no body") {
  Parser parser;
  CHECK(parser.next("*1\r\n$536870913\r\n", with_bodies) == Parser::Result::error);
  CHECK(parser.error() == "invalid bulk length");
}
