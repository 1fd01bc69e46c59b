#pragma once
// Lua's patterns ("Programming in Lua", 20.2), as string.find and its like match them. Beside Lua's own matcher, this one asks the host in
// between, because a pattern such as ".-.-.-b" takes a time that is exponential in its length, and bounds how deep its calls are nested.
// For this room only. Not thread-safe.

#include <string_view>

#include <lua.hpp>

namespace pinfold::script {

class State;

class PatternMatch {
 public:
  static constexpr int most_captures = LUA_MAXCAPTURES;
  /// Calls of match() in each other: one for each item of the pattern that may be repeated, and for each capture.
  static constexpr int deepest = 500;

  /// Both texts must stay as they are. A pattern ends at its first zero byte, as in Lua 5.1.
  PatternMatch(lua_State* L, std::string_view subject, std::string_view pattern);

  /// Where the match that begins at `from` ends, null if there is none. Raises an error for a malformed pattern.
  const char* match_at(const char* from);
  /// How many values push_captures() pushes: at least the match as a whole, if it is given.
  int captures(bool whole) const { return level_ == 0 && whole ? 1 : level_; }
  /// Pushes a capture, or the match between `from` and `to` if the pattern has none and `index` is 0.
  void push_capture(int index, const char* from, const char* to);
  /// Pushes all captures. If there are none, the match, unless `from` is null. Returns their number.
  int push_captures(const char* from, const char* to);

 private:
  static constexpr std::ptrdiff_t unfinished = -1;
  static constexpr std::ptrdiff_t position = -2;
  struct Capture {
    const char* begin;
    std::ptrdiff_t size;
  };

  const char* match(const char* s, const char* p);
  const char* item_end(const char* p);
  bool single(const char* s, const char* p, const char* end);
  bool in_set(unsigned char c, const char* p, const char* end);
  const char* most(const char* s, const char* p, const char* end);
  const char* least(const char* s, const char* p, const char* end);
  const char* balanced(const char* s, const char* p);
  const char* begin_capture(const char* s, const char* p, std::ptrdiff_t kind);
  const char* end_capture(const char* s, const char* p);
  const char* again(const char* s, char digit);
  /// The index of the innermost capture that is open.
  int open_capture();

  lua_State* L_;
  State& state_;
  const char* begin_;
  const char* end_;
  const char* pattern_;
  const char* pattern_end_;
  int depth_ = 0;
  int level_ = 0;
  Capture captures_[most_captures];
};

/// Whether a character belongs to the class of the letter `%letter`.
bool in_class(unsigned char c, unsigned char letter);

}  // namespace pinfold::script
