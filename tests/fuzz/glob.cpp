// Fuzzes Glob against a matcher that is as simple as it can be, and slow.
//
// The input is a pattern and a text. Its last bytes say where the one ends and the other begins, and whether case is ignored. Invariants:
//   - both matchers say the same
//   - matching does no more work than most_compared() says, and allocates nothing
//   - the compiled pattern takes no more memory than most_memory() says

#include "pinfold/base/glob.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "support/allocations.hpp"
#include "support/require.hpp"
#include "support/tail.hpp"

#include "pinfold/base/work.hpp"

using fuzz::require;
using pinfold::Glob;

namespace {

using Byte = unsigned char;

Byte folded(char c, bool ignore_case) {
  const auto byte = static_cast<Byte>(c);
  return ignore_case && byte >= 'A' && byte <= 'Z' ? static_cast<Byte>(byte + 'a' - 'A') : byte;
}

// The class that begins at `at`, after its bracket: whether `c` is in it. `end` becomes the place after the class.
bool in_class(std::string_view pattern, std::size_t at, char c, bool ignore_case, std::size_t& end) {
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool found = false;
  for (; at < pattern.size() && pattern[at] != ']'; ++at) {
    const std::size_t left = pattern.size() - at;
    if (pattern[at] == '\\' && left >= 2) {
      ++at;
      found |= pattern[at] == c;  // whatever the case, as in Redis
    } else if (left >= 3 && pattern[at + 1] == '-') {
      Byte first = static_cast<Byte>(pattern[at]);
      Byte last = static_cast<Byte>(pattern[at + 2]);
      if (first > last) std::swap(first, last);
      const Byte byte = folded(c, ignore_case);
      found |= byte >= folded(static_cast<char>(first), ignore_case) && byte <= folded(static_cast<char>(last), ignore_case);
      at += 2;
    } else {
      found |= folded(pattern[at], ignore_case) == folded(c, ignore_case);
    }
  }
  end = std::min(at + 1, pattern.size());
  return found != negated;
}

// For each place of the text, whether the pattern so far matches what lies before that place.
bool matches_slowly(std::string_view pattern, std::string_view text, bool ignore_case) {
  std::vector<bool> reached(text.size() + 1);
  reached[0] = true;
  for (std::size_t at = 0; at < pattern.size();) {
    const char c = pattern[at];
    if (c == '*') {
      const auto first = std::find(reached.begin(), reached.end(), true);
      std::fill(first, reached.end(), true);
      ++at;
      continue;
    }
    std::size_t end = at + 1;
    std::vector<bool> next(text.size() + 1);
    if (c == '[') {
      static_cast<void>(in_class(pattern, at + 1, 'x', ignore_case, end));
    } else if (c == '\\' && at + 1 < pattern.size()) {
      end = at + 2;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (!reached[i]) continue;
      bool fits = c == '?';
      if (c == '[') {
        std::size_t ignored = 0;
        fits = in_class(pattern, at + 1, text[i], ignore_case, ignored);
      } else if (c != '?') {
        fits = folded(pattern[end - 1], ignore_case) == folded(text[i], ignore_case);
      }
      next[i + 1] = fits;
    }
    reached = next;
    at = end;
  }
  return reached[text.size()];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Tail tail(data, size);
  const bool ignore_case = (tail.byte() & 1) != 0;
  const std::size_t low = tail.byte();
  const std::size_t text_size = low + (std::size_t{tail.byte()} << 8);
  const std::string_view text = tail.bytes(text_size);
  const std::string_view pattern = tail.text();

  fuzz::Allocations::reset();
  Glob* compiled = nullptr;
  {
    const fuzz::Watched watched;
    compiled = new Glob(pattern, ignore_case);
  }
  const Glob& glob = *compiled;
  const auto taken = static_cast<std::size_t>(fuzz::Allocations::bytes());
  require(taken <= Glob::most_memory(pattern) + sizeof(Glob), "a compiled pattern takes more than most_memory()");
  require(taken <= glob.memory() + sizeof(Glob), "a compiled pattern takes more than memory() says");
  fuzz::Allocations::reset();
  pinfold::work::Counting counting;
  bool matches = false;
  {
    const fuzz::Watched watched;
    fuzz::Allocations::fail(1, 1000);
    matches = glob.matches(text);
  }
  require(fuzz::Allocations::failed() == 0, "matching allocates");
  fuzz::Allocations::spare();
  require(counting.counts().bytes <= glob.most_compared(text), "matching compares more than most_compared()");
  if (glob.refused() != nullptr) {
    require(!matches, "a refused pattern matches something");
  } else {
    require(matches == matches_slowly(pattern, text, ignore_case),
            "a pattern matches what it should not, or does not match what it should");
  }
  delete compiled;
  return 0;
}
