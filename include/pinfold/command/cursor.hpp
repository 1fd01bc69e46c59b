#pragma once
// Reads a command's arguments from left to right, so that option parsing looks like the command's documentation.
//
//   Cursor options(call.args, 3);
//   while (!options.done()) {
//     if (options.take("NX")) nx = true;
//     else if (options.take("EX")) { auto seconds = options.take_integer(); ... }
//     else return call.syntax_error();
//   }

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/text.hpp"
#include "pinfold/command/call.hpp"

namespace pinfold::command {

class Cursor {
 public:
  Cursor(Args args, std::size_t at) : args_(args), at_(at) {}

  bool done() const { return at_ >= args_.size(); }
  std::size_t left() const { return done() ? 0 : args_.size() - at_; }
  std::size_t position() const { return at_; }

  /// Takes the next argument if it is `word`, in any case.
  bool take(std::string_view word) {
    if (done() || !iequals(args_[at_], word)) return false;
    ++at_;
    return true;
  }
  /// As take(word), but only if at least one more argument follows it.
  bool take_with_value(std::string_view word) { return left() >= 2 && take(word); }
  /// Takes the next argument. Requires !done().
  std::string_view take() { return args_[at_++]; }
  /// Takes the next argument as an integer. Returns nothing if there is no argument or if it is no integer; then too it is taken.
  std::optional<std::int64_t> take_integer() {
    if (done()) return std::nullopt;
    return parse_i64(take());
  }

 private:
  Args args_;
  std::size_t at_;
};

}  // namespace pinfold::command
