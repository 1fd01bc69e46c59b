#include "pinfold/command/bits.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/work.hpp"

namespace pinfold::command {

namespace {

using Word = std::uint64_t;
constexpr std::size_t kWordSize = sizeof(Word);

Word load(const char* at) {
  Word word;
  std::memcpy(&word, at, kWordSize);
  return word;
}

std::uint8_t byte_at(std::string_view bytes, std::uint64_t i) { return static_cast<std::uint8_t>(bytes[i]); }

// Inlined into both versions below. Four sums, so that the additions do not wait for each other.
[[gnu::always_inline]] inline std::uint64_t count_words(const char* at, std::size_t words) {
  std::uint64_t sums[4] = {};
  std::size_t w = 0;
  for (; w + 4 <= words; w += 4, at += 4 * kWordSize) {
    for (std::size_t k = 0; k < 4; ++k) {
      sums[k] += static_cast<std::uint64_t>(__builtin_popcountll(load(at + k * kWordSize)));
    }
  }
  for (; w < words; ++w, at += kWordSize) {
    sums[0] += static_cast<std::uint64_t>(__builtin_popcountll(load(at)));
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

#if defined(__x86_64__)
// The instruction is in every processor since 2008, but not in the baseline that packages are built for.
[[gnu::target("popcnt")]] std::uint64_t count_words_popcnt(const char* at, std::size_t words) { return count_words(at, words); }

std::uint64_t count_words_best(const char* at, std::size_t words) {
  static const bool has_popcnt = __builtin_cpu_supports("popcnt") != 0;
  return has_popcnt ? count_words_popcnt(at, words) : count_words(at, words);
}
#else
std::uint64_t count_words_best(const char* at, std::size_t words) { return count_words(at, words); }
#endif

std::uint64_t count_byte(unsigned byte) { return static_cast<std::uint64_t>(std::popcount(byte)); }

// Applies `operation` to a pair of words, then of bytes, at a time.
template <class Operation>
void apply(char* target, const char* source, std::size_t size, Operation operation) {
  std::size_t i = 0;
  for (; i + kWordSize <= size; i += kWordSize) {
    const Word word = operation(load(target + i), load(source + i));
    std::memcpy(target + i, &word, kWordSize);
  }
  for (; i < size; ++i) {
    target[i] = static_cast<char>(operation(static_cast<Word>(target[i]), static_cast<Word>(source[i])));
  }
}

}  // namespace

std::uint64_t count_bits(std::string_view bytes) {
  work::bytes(bytes.size());
  const std::size_t words = bytes.size() / kWordSize;
  std::uint64_t count = count_words_best(bytes.data(), words);
  for (std::uint64_t i = words * kWordSize; i < bytes.size(); ++i) count += count_byte(byte_at(bytes, i));
  return count;
}

std::uint64_t count_bits(std::string_view bytes, Range bits) {
  const std::uint64_t first = bits.first / 8;
  const std::uint64_t last = bits.last / 8;
  const unsigned before = byte_at(bytes, first) & (0xff00U >> (bits.first % 8) & 0xffU);
  const unsigned after = byte_at(bytes, last) & (0x7fU >> (bits.last % 8));
  return count_bits(bytes.substr(first, last - first + 1)) - count_byte(before) - count_byte(after);
}

std::optional<std::uint64_t> find_bit(std::string_view bytes, bool bit, Range bits) {
  const Word flip = bit ? 0 : ~Word{0};  // turns the search for a clear bit into one for a set bit
  const std::uint64_t end = bits.last / 8 + 1;
  std::uint64_t i = bits.first / 8;
  work::bytes(end - i);  // at most: it may be found sooner
  unsigned byte = (byte_at(bytes, i) ^ (flip & 0xff)) & (0xffU >> (bits.first % 8));
  while (byte == 0 && ++i < end) {
    while (i + kWordSize <= end && load(bytes.data() + i) == flip) i += kWordSize;
    if (i == end) return std::nullopt;
    byte = static_cast<unsigned>(byte_at(bytes, i) ^ (flip & 0xff));
  }
  if (byte == 0) return std::nullopt;
  const auto in_byte = static_cast<unsigned>(std::countl_zero(static_cast<std::uint8_t>(byte)));
  const std::uint64_t found = i * 8 + in_byte;
  return found <= bits.last ? std::optional(found) : std::nullopt;
}

bool test_bit(std::string_view bytes, std::uint64_t offset) {
  const std::uint64_t i = offset / 8;
  return i < bytes.size() && (byte_at(bytes, i) >> (7 - offset % 8) & 1) != 0;
}

void combine(BitOperation operation, char* target, std::size_t size, std::string_view source) {
  const char* from = source.data();
  work::bytes(operation == BitOperation::both ? size : source.size());
  switch (operation) {
    case BitOperation::both:
      apply(target, from, source.size(), [](Word a, Word b) { return a & b; });
      if (source.size() < size) std::memset(target + source.size(), 0, size - source.size());
      break;
    case BitOperation::either:
      apply(target, from, source.size(), [](Word a, Word b) { return a | b; });
      break;
    case BitOperation::one:
      apply(target, from, source.size(), [](Word a, Word b) { return a ^ b; });
      break;
  }
}

void invert(char* target, std::size_t size) {
  work::bytes(size);
  apply(target, target, size, [](Word a, Word) { return ~a; });
}

std::optional<FieldType> parse_field_type(std::string_view text) {
  if (text.empty() || (text[0] != 'i' && text[0] != 'u')) return std::nullopt;
  const bool is_signed = text[0] == 'i';
  const auto bits = parse_i64(text.substr(1));
  if (!bits || *bits < 1 || *bits > (is_signed ? 64 : 63)) return std::nullopt;
  return FieldType{is_signed, static_cast<unsigned>(*bits)};
}

std::int64_t read_field(std::string_view bytes, std::uint64_t offset, FieldType type) {
  std::uint64_t value = 0;
  for (unsigned left = type.bits; left > 0;) {
    const auto in_byte = 8 - static_cast<unsigned>(offset % 8);
    const unsigned take = std::min(in_byte, left);
    const unsigned byte = offset / 8 < bytes.size() ? byte_at(bytes, offset / 8) : 0;
    value = value << take | (byte >> (in_byte - take) & ((1U << take) - 1));
    offset += take;
    left -= take;
  }
  const bool negative = type.is_signed && (value >> (type.bits - 1) & 1) != 0;
  if (negative && type.bits < 64) value |= ~std::uint64_t{0} << type.bits;
  return static_cast<std::int64_t>(value);
}

void write_field(char* bytes, std::uint64_t offset, FieldType type, std::int64_t value) {
  for (unsigned left = type.bits; left > 0;) {
    const auto in_byte = 8 - static_cast<unsigned>(offset % 8);
    const unsigned take = std::min(in_byte, left);
    const unsigned shift = in_byte - take;
    const unsigned mask = ((1U << take) - 1) << shift;
    const auto part = static_cast<unsigned>(static_cast<std::uint64_t>(value) >> (left - take)) << shift & mask;
    char& byte = bytes[offset / 8];
    byte = static_cast<char>((static_cast<std::uint8_t>(byte) & ~mask) | part);
    offset += take;
    left -= take;
  }
}

namespace {

// Wide enough for the sum of any two operands.
__extension__ using Wide = __int128;

std::optional<std::int64_t> fit(Wide value, FieldType type, Overflow overflow) {
  const Wide top = Wide{1} << (type.is_signed ? type.bits - 1 : type.bits);
  const Wide lowest = type.is_signed ? -top : 0;
  const Wide highest = top - 1;
  if (value >= lowest && value <= highest) return static_cast<std::int64_t>(value);
  switch (overflow) {
    case Overflow::fail:
      return std::nullopt;
    case Overflow::saturate:
      return static_cast<std::int64_t>(value < lowest ? lowest : highest);
    case Overflow::wrap:
      break;
  }
  const Wide span = highest - lowest + 1;
  const Wide rest = (value - lowest) % span;
  return static_cast<std::int64_t>((rest < 0 ? rest + span : rest) + lowest);
}

}  // namespace

std::optional<std::int64_t> fit_field(std::int64_t value, FieldType type, Overflow overflow) {
  return fit(type.is_signed ? Wide{value} : Wide{static_cast<std::uint64_t>(value)}, type, overflow);
}

std::optional<std::int64_t> add_field(std::int64_t value, std::int64_t increment, FieldType type, Overflow overflow) {
  return fit(Wide{value} + increment, type, overflow);
}

}  // namespace pinfold::command
