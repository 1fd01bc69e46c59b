#pragma once
// Bits of a byte string, numbered as Redis numbers them: bit 0 is the highest of byte 0. Nothing here knows
// of keys. Data need not be aligned.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "pinfold/command/range.hpp"

namespace pinfold::command {

/// How many bits are set. O(size), a few bytes per cycle.
std::uint64_t count_bits(std::string_view bytes);
/// The same for a range of bits that lies in `bytes`.
std::uint64_t count_bits(std::string_view bytes, Range bits);

/// The first bit equal to `bit` in a range that lies in `bytes`. O(size), eight bytes at a time.
std::optional<std::uint64_t> find_bit(std::string_view bytes, bool bit, Range bits);

/// The bit at `offset`; clear if it lies past the end.
bool test_bit(std::string_view bytes, std::uint64_t offset);

enum class BitOperation : std::uint8_t { both, either, one };  // AND, OR, XOR

/// target = target op source; what `source` lacks counts as zeros. `source` is not longer than `size`.
void combine(BitOperation operation, char* target, std::size_t size, std::string_view source);
void invert(char* target, std::size_t size);

/// An integer of BITFIELD: i1 to i64, u1 to u63.
struct FieldType {
  bool is_signed;
  unsigned bits;
};

/// "u8", "i16" ...; nothing for anything else.
std::optional<FieldType> parse_field_type(std::string_view text);

/// The integer at bit `offset`; bits past the end count as zeros.
std::int64_t read_field(std::string_view bytes, std::uint64_t offset, FieldType type);
/// Writes the low bits of `value`. The field must lie within `bytes`.
void write_field(char* bytes, std::uint64_t offset, FieldType type, std::int64_t value);

enum class Overflow : std::uint8_t { wrap, saturate, fail };

/// `value` as an integer of `type`: itself if it fits, else what `overflow` says; nothing if that is to fail.
/// For unsigned types the value is taken as 64 bits without sign, as BITFIELD SET does.
std::optional<std::int64_t> fit_field(std::int64_t value, FieldType type, Overflow overflow);
/// The sum of a field's value and an increment, likewise.
std::optional<std::int64_t> add_field(std::int64_t value, std::int64_t increment, FieldType type, Overflow overflow);

}  // namespace pinfold::command
