#pragma once
// Operations on the bits of a byte string. Bits are numbered as in Redis: bit 0 is the highest bit of byte 0. Keys are not known here.
// The data need not be aligned.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/command/range.hpp"

namespace pinfold::command {

/// Returns how many bits are set. O(size), a few bytes per cycle.
std::uint64_t count_bits(std::string_view bytes);
/// Returns how many bits are set in a range of bits, which must lie in `bytes`.
std::uint64_t count_bits(std::string_view bytes, Range bits);

/// Returns the first bit equal to `bit` in a range, which must lie in `bytes`. O(size), eight bytes at a time.
std::optional<std::uint64_t> find_bit(std::string_view bytes, bool bit, Range bits);

/// Returns the bit at `offset`. A bit past the end is clear.
bool test_bit(std::string_view bytes, std::uint64_t offset);

enum class BitOperation : std::uint8_t { both, either, one };  // AND, OR, XOR

/// Sets target = target op source. `source` must not be longer than `size`; if it is shorter, the rest counts as zeros.
void combine(BitOperation operation, char* target, std::size_t size, std::string_view source);
void invert(char* target, std::size_t size);

/// An integer of BITFIELD: i1 to i64, u1 to u63.
struct FieldType {
  bool is_signed;
  unsigned bits;
};

/// Parses "u8", "i16" and so on. Returns nothing for any other text.
std::optional<FieldType> parse_field_type(std::string_view text);

/// Returns the integer at bit `offset`. Bits past the end count as zeros.
std::int64_t read_field(std::string_view bytes, std::uint64_t offset, FieldType type);
/// Writes the low bits of `value`. The field must lie within `bytes`.
void write_field(char* bytes, std::uint64_t offset, FieldType type, std::int64_t value);

enum class Overflow : std::uint8_t { wrap, saturate, fail };

/// Fits `value` into an integer of `type`. If it does not fit, `overflow` decides, and `fail` returns nothing. For unsigned types
/// the value is taken as 64 bits without sign, as BITFIELD SET does.
std::optional<std::int64_t> fit_field(std::int64_t value, FieldType type, Overflow overflow);
/// Adds an increment to the value of a field, and fits the sum in the same way.
std::optional<std::int64_t> add_field(std::int64_t value, std::int64_t increment, FieldType type, Overflow overflow);

}  // namespace pinfold::command
