#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pinfold::load {

// A request trace: lines of "key-id [value-bytes]". Read whole before the replay starts, so that unpacking
// and parsing are not in the times. Costs the text plus 16 bytes a line.
class Trace {
 public:
  struct Line {
    std::string_view id;
    std::uint32_t value_bytes;
  };

  // `path` may be - for standard input; stops after `most` lines (0: no bound). A line without a size gets
  // `default_bytes`. Throws Failure naming the line that is no request.
  Trace(const std::string& path, std::uint64_t most, std::uint32_t default_bytes);

  std::size_t size() const { return lines_.size(); }
  Line operator[](std::size_t n) const {
    const Span& span = lines_[n];
    return {std::string_view(text_).substr(span.offset, span.length), span.value_bytes};
  }
  std::uint32_t longest_value() const { return longest_; }

 private:
  struct Span {
    std::uint64_t offset;
    std::uint32_t length;
    std::uint32_t value_bytes;
  };

  void parse(std::uint64_t most, std::uint32_t default_bytes);

  std::string text_;
  std::vector<Span> lines_;
  std::uint32_t longest_ = 0;
};

}  // namespace pinfold::load
