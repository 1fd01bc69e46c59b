// Fuzzes script::Interpreter: scripts, libraries of functions, and the readers of the libraries.
//
// The last byte of the input says what the rest is, and the byte before it which allocation fails: a script, a library, or the argument of
// a function that reads bytes of a client (cjson, cmsgpack, struct, patterns, formats), whose first byte chooses the function. Limits are
// tiny. Invariants:
//   - a script ends soon after the host says stop, whatever it does, and calls nothing more
//   - its memory stays below the limit, and is free when the script has ended and its garbage is collected
//   - a result is one whole value of the protocol
//   - the next script finds the sandbox as it was, also after allocations have failed

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "support/allocations.hpp"
#include "support/require.hpp"
#include "support/tail.hpp"

#include "pinfold/script/interpreter.hpp"

using fuzz::require;
using namespace pinfold::script;

namespace {

constexpr std::size_t memory_limit = 1 << 20;
constexpr std::uint64_t most_polls = 200;

/// Replies to each command with what the script has sent, in the forms that the first letter of the command's name chooses.
class EchoHost final : public Host {
 public:
  Reply call(std::span<const std::string_view> arguments, int resp) override {
    require(polls <= most_polls, "a script that was stopped calls nothing");
    reply_.clear();
    const auto count = std::to_string(arguments.size());
    const char kind = arguments[0].empty() ? 'a' : arguments[0][0];
    if (kind == 'e') {
      reply_ = "-ERR refused\r\n";
    } else if (kind == 'n') {
      reply_ = resp == 3 ? "_\r\n" : "$-1\r\n";
    } else if (kind == 'm' && resp == 3) {
      reply_ = "%" + count + "\r\n";
      for (const std::string_view argument : arguments) add(argument), add(argument);
    } else if (kind == 's' && resp == 3) {
      reply_ = "~" + count + "\r\n";
      for (const std::string_view argument : arguments) add(argument);
    } else if (kind == 'd' && resp == 3) {
      reply_ = ",1.5\r\n";
    } else {
      reply_ = "*" + count + "\r\n";
      for (const std::string_view argument : arguments) add(argument);
    }
    const std::size_t middle = reply_.size() / 2;
    pieces_ = {std::string_view(reply_).substr(0, middle), std::string_view(reply_).substr(middle)};
    return {pieces_, kind == 'q'};
  }
  Permission may_call(std::span<const std::string_view>) override { return Permission::granted; }
  void log(LogLevel, std::string_view) override {}
  std::string_view stop() override { return ++polls > most_polls ? "ERR stopped" : ""; }

  std::uint64_t polls = 0;

 private:
  void add(std::string_view text) { reply_.append("$").append(std::to_string(text.size())).append("\r\n").append(text).append("\r\n"); }

  std::string reply_;
  std::vector<std::string_view> pieces_;
};

/// Counts the values that are still to come.
class CountingSink final : public Sink {
 public:
  bool takes(std::size_t bytes) override { return (bytes_ += bytes) < 1 << 20; }
  void null() override { value(); }
  void integer(std::int64_t number) override {
    last_integer = number;
    value();
  }
  void bulk(std::string_view) override { value(); }
  void status(std::string_view) override { value(); }
  void error(std::string_view, bool) override { value(); }
  void array(std::size_t size) override { values(size); }
  void map(std::size_t pairs) override { values(2 * pairs); }
  void set(std::size_t size) override { values(size); }
  void boolean(bool) override { value(); }
  void real(double) override { value(); }
  void big_number(std::string_view) override { value(); }
  void verbatim(std::string_view, std::string_view) override { value(); }

  bool whole() const { return open_ == 0; }

  std::int64_t last_integer = 0;

 private:
  void value() { values(0); }
  void values(std::size_t inner) {
    require(open_ > 0, "a value belongs to the result");
    open_ += inner;
    --open_;
  }

  std::size_t open_ = 1;
  std::size_t bytes_ = 0;
};

/// What reads the bytes of a client; ARGV[1] are the bytes.
constexpr const char* readers[] = {
    "return cjson.decode(ARGV[1])",
    "return {cmsgpack.unpack(ARGV[1])}",
    "return {cmsgpack.unpack_limit(ARGV[1], 3, 1)}",
    "local at = ARGV[1]:find('|', 1, true) or 1 return {struct.unpack(ARGV[1]:sub(1, at - 1), ARGV[1]:sub(at + 1))}",
    "return {struct.pack(ARGV[1], 1, 2.5, 'text', -3, 'more', 1e300)}",
    "return struct.size(ARGV[1])",
    "local at = ARGV[1]:find('|', 1, true) or 1 return {ARGV[1]:sub(at + 1):find(ARGV[1]:sub(1, at - 1))}",
    "local at = ARGV[1]:find('|', 1, true) or 1 return {ARGV[1]:sub(at + 1):gsub(ARGV[1]:sub(1, at - 1), '%0%1')}",
    "local n = 0 for a in ARGV[1]:gmatch(ARGV[1]) do n = n + #tostring(a) end return n",
    "return string.format(ARGV[1], 1, 2.5, 'text', -3, 'more', 1e300)",
    "return cjson.encode({ARGV[1], {[ARGV[1]] = 1}})",
    "local ok, value = pcall(cjson.decode, ARGV[1]) if ok then return cjson.encode(value) end",
    "local values = {cmsgpack.unpack(ARGV[1])} return cmsgpack.pack(values)",
    "return {loadstring(ARGV[1], ARGV[1])}",
    "return redis.sha1hex(ARGV[1]) .. tostring(tonumber(ARGV[1])) .. bit.tohex(#ARGV[1])",
};

void run(Interpreter& interpreter, Handle handle, bool is_function, std::string_view argument) {
  EchoHost host;
  CountingSink sink;
  const std::string_view keys[] = {"key", "other"};
  const std::string_view arguments[] = {argument, "2"};
  const Outcome outcome = is_function ? interpreter.run_function(handle, "name", keys, arguments, host, sink)
                                      : interpreter.run(handle, "name", keys, arguments, host, sink);
  if (outcome.ended == Ended::returned || outcome.ended == Ended::failed) require(sink.whole(), "a result is one whole value");
  // The one error that ends the run may be raised again in each of the nested calls.
  require(host.polls <= most_polls + 1, "after a reason to stop the host is not asked again");
  require(outcome.ended == Ended::stopped || host.polls <= most_polls, "a script that was stopped has ended so");
}

/// Does what the input says. Throws std::bad_alloc when there is no memory for what is not Lua's.
void execute(Interpreter& interpreter, std::uint8_t kind, std::string_view text) {
  EchoHost host;
  if (kind % 4 == 0) {
    const Library library = interpreter.load_library(text, host);
    require(library.functions.empty() != library.error.empty(), "a library has functions or an error");
    for (const Registered& registered : library.functions) {
      try {
        run(interpreter, registered.function, true, text);
      } catch (const std::bad_alloc&) {
      }
      interpreter.forget(registered.function);
    }
    return;
  }
  std::string_view body = text;
  if (kind % 4 == 1 && !text.empty()) {
    body = readers[static_cast<std::uint8_t>(text[0]) % std::size(readers)];
    text.remove_prefix(1);
  }
  const Compiled compiled = interpreter.compile(body, &host);
  require((compiled.script == Handle::none) != compiled.error.empty(), "a script compiles or there is an error");
  if (compiled.script == Handle::none) return;
  try {
    run(interpreter, compiled.script, false, text);
  } catch (const std::bad_alloc&) {
  }
  interpreter.forget(compiled.script);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Interpreter interpreter(nullptr, {.memory = memory_limit});
  static const std::size_t idle = interpreter.memory();
  fuzz::Tail tail(data, size);
  const std::uint8_t kind = tail.byte();
  const std::uint32_t fails_at = tail.byte();
  {
    fuzz::Allocations::reset();
    fuzz::Allocations::fail(fails_at, 3);
    const fuzz::Watched watched;
    try {
      execute(interpreter, kind, tail.text());
    } catch (const std::bad_alloc&) {
    }
  }
  fuzz::Allocations::spare();
  require(interpreter.memory() <= idle + memory_limit + memory_limit / 4, "memory stays below the limit");

  // The sandbox is as it was.
  const Compiled check = interpreter.compile(
      "return #('x'):rep(3) == 3 and type(redis.call) == 'function' and getmetatable('').__index == string and not rawget(_G, 'x') and "
      "rawget(string, 'rep') and cjson.encode({1}) == '[1]'");
  require(check.script != Handle::none, "a script compiles", check.error);
  CountingSink sink;
  EchoHost fresh;
  interpreter.run(check.script, "check", {}, {}, fresh, sink);
  require(sink.last_integer == 1, "the sandbox is as it was");
  interpreter.forget(check.script);
  while (interpreter.collect()) {
  }
  require(interpreter.memory() <= idle + memory_limit / 2, "what a script has taken is free after it");
  return 0;
}
