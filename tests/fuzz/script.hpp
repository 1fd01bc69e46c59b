#pragma once
// The inputs of fuzz-commands: scripts, which people can read and the fuzzer can change line by line.
//
// A line is a request: words with spaces between them. A line that begins with one of these characters is something else:
//   @N       the requests that follow are those of client N
//   +N       N milliseconds pass; waits whose time is up end, and the background worker does its work
//   ~N       the wall clock is set forward by N milliseconds, or back
//   !N [M]   the Nth allocation from now on fails, and the next M - 1 as well
//   ^        the background worker does its work
//   $        everything is recounted
//   %        the client's connection is closed, and a new one takes its place
//   #        a comment
//
// In a word, a backslash begins one of these:
//   \xHH  a byte      \\  a backslash      \_  a space       \e  nothing, for an empty word
//   \*N;  the byte before it, N times in all
//   \t    the last lease token that a reply had       \c  the last cursor that SCAN replied

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

struct Line {
  char kind = ' ';                 // ' ' for a request, or one of the characters above
  std::vector<std::string> words;  // of a request; or the numbers of another line. As they are written.
};

using Script = std::vector<Line>;

/// What is no line of a script is a request. Lines without words are left out.
Script parse_script(std::string_view text);
std::string write_script(const Script& script);

/// What stands for \t and \c.
struct Remembered {
  std::string token = "0";
  std::string cursor = "0";
};

/// The bytes of a word. Repetitions are cut where the result would be larger than `most`.
std::string expand_word(std::string_view word, const Remembered& remembered, std::size_t most);
/// Writes bytes as a word.
std::string quote_word(std::string_view bytes);
/// A number of a line that is no request, between `least` and `most`; 0 if there is none.
std::int64_t number_of(const Line& line, std::size_t index, std::int64_t least, std::int64_t most);

}  // namespace fuzz
