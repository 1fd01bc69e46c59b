// LCS: what two strings have in common.
//
// Redis fills the table L[i][j], the length for the first i bytes of a and the first j of b, with 32-bit
// numbers. Here a row is one bit per column: whether L[i][j] is more than L[i][j-1], which it can be by one
// at most. A row follows from the one before with a few operations per 64 columns (Hyyrö, "Bit-parallel
// LCS-length computation revisited", 2004), and these bits are all that the way back needs: where the bytes
// differ, L[i][j] is the larger of the neighbours above and to the left, so the bit says which it is. That
// takes 1/32 of Redis' memory and about 1/100 of its time. Where that is still long, it is made in pieces, of copies of the values.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "pinfold/base/work.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/families.hpp"
#include "pinfold/command/kept_value.hpp"
#include "pinfold/command/lcs.hpp"
#include "pinfold/command/string_commands.hpp"
#include "pinfold/command/task.hpp"

namespace pinfold::command {

namespace {

using Word = std::uint64_t;
constexpr std::size_t kBits = 64;
static_assert(std::endian::native == std::endian::little, "rows are cut to bytes from their low end");

std::size_t words_for(std::size_t bits) { return (bits + kBits - 1) / kBits; }
std::uint8_t byte_at(std::string_view text, std::size_t i) { return static_cast<std::uint8_t>(text[i]); }

template <class T>
std::unique_ptr<T[]> allocate(std::size_t count) {
  return std::unique_ptr<T[]>(new (std::nothrow) T[count]());
}

// For each byte that `a` contains, the positions in `b` where it stands, as a bit set.
class Positions {
 public:
  // Sets for the bytes of `a`, empty as yet. False if memory is exhausted.
  bool prepare(std::string_view a, std::size_t b_size) {
    words_ = words_for(b_size);
    std::size_t distinct = 0;
    for (std::size_t i = 0; i < a.size() && distinct < index_.size(); ++i) {
      std::uint16_t& index = index_[byte_at(a, i)];
      if (index == 0) index = static_cast<std::uint16_t>(++distinct);
    }
    sets_ = allocate<Word>(distinct * words_);
    return sets_ != nullptr;
  }
  // Notes where the bytes of `b` from `first` to before `last` stand.
  void place(std::string_view b, std::size_t first, std::size_t last) {
    for (std::size_t j = first; j < last; ++j) {
      const std::size_t index = index_[byte_at(b, j)];
      if (index != 0) sets_[(index - 1) * words_ + j / kBits] |= Word{1} << (j % kBits);
    }
  }
  // Only for bytes of `a`.
  const Word* of(std::uint8_t byte) const { return &sets_[(index_[byte] - std::size_t{1}) * words_]; }

 private:
  std::array<std::uint16_t, 256> index_{};  // 1 + number of the byte's set; 0: not in a
  std::unique_ptr<Word[]> sets_;
  std::size_t words_ = 0;
};

// From one row to the next. A bit is clear where the length grows in that column.
void next_row(Word* row, const Word* matches, std::size_t words) {
  Word carry = 0;
  for (std::size_t w = 0; w < words; ++w) {
    const Word before = row[w];
    const Word hit = before & matches[w];
    Word sum = 0;
    const bool over = __builtin_add_overflow(before, hit, &sum);
    const bool over_again = __builtin_add_overflow(sum, carry, &sum);
    carry = over || over_again ? 1 : 0;
    row[w] = sum | (before & ~matches[w]);
  }
}

std::size_t count_clear(const Word* row, std::size_t bits) {
  std::size_t set = 0;
  for (std::size_t w = 0; w < bits / kBits; ++w) set += static_cast<std::size_t>(std::popcount(row[w]));
  if (bits % kBits != 0) {
    const Word mask = (Word{1} << (bits % kBits)) - 1;
    set += static_cast<std::size_t>(std::popcount(row[bits / kBits] & mask));
  }
  return bits - set;
}

// All rows, cut to whole bytes.
struct Rows {
  std::unique_ptr<std::uint8_t[]> bytes;
  std::size_t stride = 0;

  bool grows(std::size_t i, std::size_t column) const { return (bytes[i * stride + column / 8] >> (column % 8) & 1) == 0; }
};

// The way back from the last row, which finds the matches.
struct WayBack {
  std::size_t i = 0;
  std::size_t j = 0;
  bool in_match = false;

  bool over() const { return i == 0 || j == 0; }
  void step(std::string_view a, std::string_view b, const Rows& rows, std::vector<LcsMatch>& matches) {
    if (a[i - 1] != b[j - 1]) {
      if (rows.grows(i - 1, j - 1)) {
        --i;
      } else {
        --j;
      }
      in_match = false;
      return;
    }
    --i;
    --j;
    if (in_match) {
      matches.back() = {i, j, matches.back().size + 1};
    } else {
      matches.push_back({i, j, 1});
      in_match = true;
    }
  }
};

}  // namespace

struct LcsSearch::State {
  std::string_view a;
  std::string_view b;
  bool with_matches = false;
  std::size_t words = 0;
  Positions positions;
  std::unique_ptr<Word[]> row;
  Rows rows;
  std::size_t placed = 0;  // bytes of b
  std::size_t done = 0;    // rows
  WayBack back;
  Lcs found;
};

LcsSearch::LcsSearch() = default;
LcsSearch::~LcsSearch() = default;

std::uint64_t LcsSearch::memory(std::size_t a, std::size_t b, bool with_matches) {
  constexpr std::uint64_t bytes = 256;
  const std::uint64_t words = words_for(b);
  const std::uint64_t sets = (1 + std::min<std::uint64_t>(a, bytes)) * words * sizeof(Word);
  // A match is followed by a byte that is none, in one of the strings.
  const std::uint64_t matches = std::min<std::uint64_t>(a, b) * sizeof(LcsMatch) * 2;
  return sizeof(State) + sets + (with_matches ? a * ((b + 7) / 8) + matches : 0);
}

bool LcsSearch::begin(std::string_view a, std::string_view b, bool with_matches) {
  state_ = std::make_unique<State>();
  State& state = *state_;
  state.a = a;
  state.b = b;
  state.with_matches = with_matches;
  if (a.empty() || b.empty()) return true;
  state.words = words_for(b.size());
  state.row = allocate<Word>(state.words);
  if (state.row == nullptr || !state.positions.prepare(a, b.size())) return false;
  if (with_matches) {
    state.rows.stride = (b.size() + 7) / 8;
    state.rows.bytes.reset(new (std::nothrow) std::uint8_t[a.size() * state.rows.stride]);
    if (state.rows.bytes == nullptr) return false;
  }
  std::memset(state.row.get(), 0xff, state.words * sizeof(Word));
  state.back = {a.size(), b.size()};
  return true;
}

bool LcsSearch::advance(std::size_t steps) {
  State& state = *state_;
  if (state.a.empty() || state.b.empty()) return true;
  std::size_t made = 0;
  while (state.placed < state.b.size()) {
    constexpr std::size_t piece = 32 * 1024;
    constexpr std::size_t bytes_of_a_step = 4;
    if (made >= steps) return false;
    const std::size_t first = std::exchange(state.placed, std::min(state.placed + piece, state.b.size()));
    state.positions.place(state.b, first, state.placed);
    made += (state.placed - first) / bytes_of_a_step;
  }
  for (; state.done < state.a.size(); ++state.done) {
    if (made >= steps) return false;
    next_row(state.row.get(), state.positions.of(byte_at(state.a, state.done)), state.words);
    if (state.with_matches) std::memcpy(&state.rows.bytes[state.done * state.rows.stride], state.row.get(), state.rows.stride);
    made += state.words;
    work::bytes(state.words * sizeof(Word));
  }
  for (; state.with_matches && !state.back.over(); ++made) {
    if (made >= steps) return false;
    state.back.step(state.a, state.b, state.rows, state.found.matches);
  }
  state.found.length = count_clear(state.row.get(), state.b.size());
  return true;
}

Lcs LcsSearch::result() { return std::move(state_->found); }

std::optional<Lcs> longest_common_subsequence(std::string_view a, std::string_view b, bool with_matches) {
  LcsSearch search;
  if (!search.begin(a, b, with_matches)) return std::nullopt;
  search.advance(SIZE_MAX);
  return search.result();
}

namespace {

struct LcsOptions {
  bool length = false;
  bool indexes = false;
  bool match_lengths = false;
  std::int64_t shortest_match = 0;
};

// Nothing after an error reply.
std::optional<LcsOptions> parse(Call& call) {
  LcsOptions options;
  for (Cursor cursor(call.args, 3); !cursor.done();) {
    if (cursor.take("IDX")) {
      options.indexes = true;
    } else if (cursor.take("LEN")) {
      options.length = true;
    } else if (cursor.take("WITHMATCHLEN")) {
      options.match_lengths = true;
    } else if (cursor.take_with_value("MINMATCHLEN")) {
      const auto shortest = cursor.take_integer();
      if (!shortest) {
        call.not_an_integer();
        return std::nullopt;
      }
      options.shortest_match = *shortest;
    } else {
      call.syntax_error();
      return std::nullopt;
    }
  }
  if (options.length && options.indexes) {
    call.reply.error("ERR If you want both the length and indexes, please just use IDX.");
    return std::nullopt;
  }
  return options;
}

// Redis refuses what its own table would not fit into proto-max-bulk-len, and so do we, although ours is
// smaller: the time that it takes is bounded by it as well.
bool refuse_sizes(Call& call, std::string_view a, std::string_view b) {
  constexpr std::uint64_t longest = UINT32_MAX - 1;
  if (a.size() >= longest || b.size() >= longest) {
    call.reply.error("ERR String too long for LCS");
    return true;
  }
  const std::uint64_t cells = (std::uint64_t{a.size()} + 1) * (std::uint64_t{b.size()} + 1);
  if (cells <= longest_string(call) / sizeof(std::uint32_t)) return false;
  call.reply.error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  return true;
}

void reply_range(resp::Reply& reply, std::size_t first, std::size_t size) {
  reply.array(2);
  reply.integer(static_cast<std::int64_t>(first));
  reply.integer(static_cast<std::int64_t>(first + size - 1));
}

resp::Written reply_indexes(resp::Reply& reply, Lcs& lcs, const LcsOptions& options) {
  std::erase_if(lcs.matches, [&](const LcsMatch& match) { return static_cast<std::int64_t>(match.size) < options.shortest_match; });
  reply.map(2);
  reply.bulk(std::string_view("matches"));
  reply.array(lcs.matches.size());
  for (const LcsMatch& match : lcs.matches) {
    reply.array(options.match_lengths ? 3 : 2);
    reply_range(reply, match.a, match.size);
    reply_range(reply, match.b, match.size);
    if (options.match_lengths) reply.integer(static_cast<std::int64_t>(match.size));
  }
  reply.bulk(std::string_view("len"));
  return reply.integer(static_cast<std::int64_t>(lcs.length));
}

std::string text_of(std::string_view a, const Lcs& lcs) {
  std::string text;
  text.reserve(lcs.length);
  for (auto match = lcs.matches.rbegin(); match != lcs.matches.rend(); ++match) {
    text += a.substr(match->a, match->size);
  }
  return text;
}

resp::Written reply_result(Call& call, std::string_view a, const LcsOptions& options, Lcs lcs) {
  if (options.indexes) return reply_indexes(call.reply, lcs, options);
  if (options.length) return call.reply.integer(static_cast<std::int64_t>(lcs.length));
  return call.reply.bulk(text_of(a, lcs));
}

constexpr std::string_view exhausted = "ERR Insufficient memory, failed allocating transient memory for LCS";

// The search in copies of two values, piece by piece.
class LcsTask : public Task {
 public:
  LcsTask(Call& call, const LcsOptions& options) : options_(options), memory_(call.engine, call.session.shared) {}

  /// False: there is no memory for it.
  bool keep(const std::optional<store::Value>& a, const std::optional<store::Value>& b) {
    if (!memory_.ask((a ? KeptValue::cost(*a) : 0) + (b ? KeptValue::cost(*b) : 0))) return false;
    if (a) a_ = KeptValue(*a);
    if (b) b_ = KeptValue(*b);
    return true;
  }

  Outcome step(Call& call) override {
    constexpr std::size_t steps = 16 * 1024;
    const std::int64_t end = monotonic_us() + step_us;
    if (!std::exchange(begun_, true)) {
      const std::uint64_t bytes = LcsSearch::memory(a_.text().size(), b_.text().size(), !options_.length);
      if (!memory_.ask(bytes) || !search_.begin(a_.text(), b_.text(), !options_.length)) return call.reply.error(exhausted);
    }
    while (!search_.advance(steps)) {
      if (monotonic_us() >= end) return Outcome::waits;
    }
    // The reply is made in one piece: at most this for a match, or the text itself.
    constexpr std::uint64_t reply_of_match = 96;
    Lcs lcs = search_.result();
    if (!memory_.ask(options_.indexes ? lcs.matches.size() * reply_of_match : 2 * lcs.length)) return call.reply.error(exhausted);
    return reply_result(call, a_.text(), options_, std::move(lcs));
  }

 private:
  const LcsOptions options_;
  ClientMemory memory_;
  KeptValue a_;
  KeptValue b_;
  LcsSearch search_;
  bool begun_ = false;
};

Outcome lcs_command(Call& call) {
  store::Database db = call.db();
  const auto access = store::Access::read().of_any_type();  // the error is one of its own
  const auto first = db.find(call.key(0), access);
  const auto second = db.find(call.key(1), access);
  if ((first && !first->is_string()) || (second && !second->is_string())) {
    return call.reply.error("ERR The specified keys must contain string values");
  }
  const auto options = parse(call);
  if (!options) return Outcome::done;
  const std::string_view a = first ? first->text : std::string_view();
  const std::string_view b = second ? second->text : std::string_view();
  if (refuse_sizes(call, a, b)) return Outcome::done;
  // A row of few columns is made as a whole word.
  const std::uint64_t rows = a.size() * words_for(b.size()) * sizeof(Word);
  const std::uint64_t work = std::max(LcsSearch::memory(a.size(), b.size(), true), rows);
  if (work > most_locked_bytes_of(call)) {
    if (refuse_long_inside_exec(call, work)) return Outcome::done;
    auto task = std::make_unique<LcsTask>(call, *options);
    return task->keep(first, second) ? call.begin(std::move(task)) : call.reply.error(exhausted);
  }
  auto lcs = longest_common_subsequence(a, b, !options->length);
  if (!lcs) return call.reply.error(exhausted);
  return reply_result(call, a, *options, std::move(*lcs));
}

// clang-format off
constexpr Row kRows[] = {
    {.name = "lcs", .handler = lcs_command, .arity = -3,
     .flags = kReadOnly | kBeyondNamed, .categories = kString,
     .keys = {KeySpec::range(KeyUse::read, 1, 2)},
     .group = "string", .since = "7.0.0",
     .complexity = "O(N*M) for values of N and M bytes.",
     .summary = "Finds the longest subsequence that two values have in common.",
     .syntax = "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]"},
};
// clang-format on

}  // namespace

std::span<const Row> lcs_commands() { return kRows; }

}  // namespace pinfold::command
