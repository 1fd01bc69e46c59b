#include "trace.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>

#include "failure.h"

namespace pinfold::load {
namespace {

constexpr std::size_t kLongestId = 200;                       // memcached takes keys of 250 bytes
constexpr std::uint32_t kLongestValue = 512U << 20U;          // what Redis takes
constexpr std::size_t kLongestTrace = std::size_t{4} << 30U;  // a mistyped file must not fill the machine

std::string read_all(std::istream& in) {
  std::string text;
  std::vector<char> chunk(1U << 20U);
  while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || in.gcount() > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > kLongestTrace) throw Failure("trace longer than 4 GiB");
  }
  return text;
}

}  // namespace

Trace::Trace(const std::string& path, std::uint64_t most, std::uint32_t default_bytes) {
  if (path == "-") {
    text_ = read_all(std::cin);
  } else {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Failure("cannot read " + path);
    text_ = read_all(file);
  }
  parse(most, default_bytes);
  if (lines_.empty()) throw Failure("no requests in the trace");
}

void Trace::parse(std::uint64_t most, std::uint32_t default_bytes) {
  std::uint64_t number = 0;
  for (std::size_t at = 0; at < text_.size();) {
    const std::size_t newline = std::min(text_.find('\n', at), text_.size());
    std::string_view line = std::string_view(text_).substr(at, newline - at);
    const std::uint64_t offset = at;
    at = newline + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;

    const std::size_t space = std::min(line.find_first_of(" \t"), line.size());
    Span span{offset, static_cast<std::uint32_t>(space), default_bytes};
    bool good = space > 0 && space <= kLongestId;
    if (space < line.size()) {
      const std::string_view size = line.substr(space + 1);
      const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), span.value_bytes);
      good = good && error == std::errc{} && end == size.data() + size.size() && span.value_bytes <= kLongestValue;
    }
    if (!good) throw Failure("trace line " + std::to_string(number) + " is not 'key-id [value-bytes]'");
    longest_ = std::max(longest_, span.value_bytes);
    lines_.push_back(span);
    if (lines_.size() == most) return;
  }
}

}  // namespace pinfold::load
