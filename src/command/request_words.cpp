#include "pinfold/command/request_words.hpp"

#include <algorithm>

#include <strings.h>

namespace pinfold::command {
namespace {

std::size_t digits_of(std::size_t number) {
  std::size_t digits = 1;
  for (; number >= 10; number /= 10) ++digits;
  return digits;
}

}  // namespace

RequestWords::RequestWords(const Row& row, Args args, const WordLimits& limits) {
  const std::size_t most = args.size() > limits.words ? limits.words - 1 : args.size();
  ends_.reserve(std::min(args.size(), limits.words));
  std::size_t size = 0;
  for (const std::string_view arg : args.first(most)) size += std::min(arg.size(), limits.bytes_of_word);
  text_.reserve(std::min(size, limits.bytes));
  std::size_t i = 0;
  for (; i < most && text_.size() < limits.bytes; ++i) {
    if (shown_argument(row, args, i) == Shown::secret) {
      text_ += redacted;
    } else if (const std::string_view arg = args[i]; arg.size() > limits.bytes_of_word) {
      text_.append(arg.substr(0, limits.bytes_of_word)).append("... (").append(std::to_string(arg.size() - limits.bytes_of_word));
      text_ += " more bytes)";
    } else {
      text_ += arg;
    }
    end_word();
  }
  all_ = i == args.size();
  if (all_) return;
  text_.append("... (").append(std::to_string(args.size() - i)).append(" more arguments)");
  end_word();
}

RequestWords::~RequestWords() { ::explicit_bzero(text_.data(), text_.size()); }

std::uint64_t request_bytes(Args args) {
  constexpr std::uint64_t type_and_ends = 5;  // "$" and two line ends
  std::uint64_t bytes = 3 + digits_of(args.size());
  for (const std::string_view arg : args) bytes += type_and_ends + digits_of(arg.size()) + arg.size();
  return bytes;
}

}  // namespace pinfold::command
