// The library `struct`: values as C lays them out in memory, with the formats, results and error texts of Roberto Ierusalimschy's struct
// 0.2.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

#include "pinfold/base/text.hpp"
#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

constexpr std::size_t largest_integer = 32;
constexpr std::size_t native_alignment = 8;

/// A format as it is read from its beginning to its end.
class Format {
 public:
  Format(lua_State* L, std::string_view text) : L_(L), rest_(up_to_nul(text)) {}

  /// Reads the next option and its size; the size is 0 for what has none. Returns false at the end.
  bool next() {
    if (rest_.empty()) return false;
    option = rest_.front();
    rest_.remove_prefix(1);
    size = size_of_option();
    return true;
  }
  /// Bytes to leave out before the option, where `position` bytes come before it.
  std::size_t padding(std::size_t position) const {
    if (size == 0 || option == 'c') return 0;
    const std::size_t mask = std::min(size, alignment_) - 1;
    return (mask + 1 - (position & mask)) & mask;
  }
  /// Takes an option that is no value: the order of bytes or the alignment.
  void control() {
    switch (option) {
      case ' ':
        return;
      case '>':
        little_endian = false;
        return;
      case '<':
        little_endian = true;
        return;
      case '!': {
        const std::size_t alignment = number(native_alignment);
        if (!std::has_single_bit(alignment)) fail_here(L_, "alignment %d is not a power of 2", static_cast<int>(alignment));
        alignment_ = alignment;
        return;
      }
      default:
        luaL_argerror(L_, 1, lua_pushfstring(L_, "invalid format option '%c'", option));
    }
  }

  char option = 0;
  std::size_t size = 0;
  bool little_endian = true;

 private:
  /// A number that follows the option, at most the largest int, or `otherwise` if none follows.
  std::size_t number(std::size_t otherwise) {
    if (rest_.empty() || !is_digit(rest_.front())) return otherwise;
    std::size_t value = 0;
    for (; !rest_.empty() && is_digit(rest_.front()); rest_.remove_prefix(1)) {
      value = value * 10 + static_cast<std::size_t>(rest_.front() - '0');
      if (value > static_cast<std::size_t>(std::numeric_limits<int>::max())) fail_here(L_, "integral size overflow");
    }
    return value;
  }
  std::size_t size_of_option() {
    switch (option) {
      case 'B':
      case 'b':
      case 'x':
        return 1;
      case 'H':
      case 'h':
        return sizeof(short);
      case 'L':
      case 'l':
        return sizeof(long);
      case 'T':
        return sizeof(std::size_t);
      case 'f':
        return sizeof(float);
      case 'd':
        return sizeof(double);
      case 'c':
        return number(1);
      case 'I':
      case 'i': {
        const std::size_t found = number(sizeof(int));
        if (found > largest_integer) {
          fail_here(L_, "integral size %d is larger than limit of %d", static_cast<int>(found), static_cast<int>(largest_integer));
        }
        return found;
      }
      default:
        return 0;
    }
  }

  lua_State* L_;
  std::string_view rest_;
  std::size_t alignment_ = 1;
};

std::uint64_t bits_of(double value) {
  if (value >= 9223372036854775808.0) return value < 18446744073709551616.0 ? static_cast<std::uint64_t>(value) : 0;
  if (value >= -9223372036854775808.0) return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  return std::uint64_t{1} << 63;
}

void add_integer(Buffer& buffer, std::uint64_t bits, std::size_t size, bool little_endian) {
  char* to = buffer.extend(size);
  for (std::size_t i = 0; i < size; ++i) {
    to[little_endian ? i : size - 1 - i] = static_cast<char>(bits);
    bits >>= 8;
  }
}

double integer_of(std::string_view bytes, bool little_endian, bool is_signed) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bits = bits << 8 | static_cast<unsigned char>(bytes[little_endian ? bytes.size() - 1 - i : i]);
  }
  if (!is_signed) return static_cast<double>(bits);
  if (!bytes.empty() && bytes.size() < 8) {
    const std::uint64_t sign_and_above = ~std::uint64_t{0} << (bytes.size() * 8 - 1);
    if ((bits & sign_and_above) != 0) bits |= sign_and_above;
  }
  return static_cast<double>(static_cast<std::int64_t>(bits));
}

int struct_pack(lua_State* L) {
  Format format(L, check_text(L, 1));
  State& state = State::of(L);
  // An argument that is missing is nil in error messages.
  lua_pushnil(L);
  Buffer buffer(L);
  int argument = 2;
  while (format.next()) {
    state.charge(L, 1);
    for (std::size_t i = format.padding(buffer.size()); i > 0; --i) buffer.add('\0');
    switch (format.option) {
      case 'b':
      case 'B':
      case 'h':
      case 'H':
      case 'l':
      case 'L':
      case 'T':
      case 'i':
      case 'I':
        add_integer(buffer, bits_of(luaL_checknumber(L, argument++)), format.size, format.little_endian);
        break;
      case 'x':
        buffer.add('\0');
        break;
      case 'f':
        add_integer(buffer, std::bit_cast<std::uint32_t>(static_cast<float>(luaL_checknumber(L, argument++))), 4, format.little_endian);
        break;
      case 'd':
        add_integer(buffer, std::bit_cast<std::uint64_t>(luaL_checknumber(L, argument++)), 8, format.little_endian);
        break;
      case 'c':
      case 's': {
        const std::string_view text = check_text(L, argument++);
        const std::size_t size = format.size == 0 ? text.size() : format.size;
        luaL_argcheck(L, text.size() >= size, argument, "string too short");
        state.charge_bytes(L, size);
        buffer.add(text.substr(0, size));
        if (format.option == 's') buffer.add('\0');
        break;
      }
      default:
        format.control();
    }
  }
  buffer.push();
  return 1;
}

int struct_unpack(lua_State* L) {
  Format format(L, check_text(L, 1));
  const std::string_view data = check_text(L, 2);
  // Numbers without sign. Each item compares the position before it reads; without items the position may be anything, as in Redis.
  std::size_t position = static_cast<std::size_t>(luaL_optinteger(L, 3, 1));
  luaL_argcheck(L, position > 0, 3, "offset must be 1 or greater");
  --position;
  State& state = State::of(L);
  int count = 0;
  while (format.next()) {
    state.charge(L, 1);
    position += format.padding(position);
    std::size_t size = format.size;
    luaL_argcheck(L, size <= data.size() && position <= data.size() - size, 2, "data string too short");
    luaL_checkstack(L, 2, "too many results");
    const std::string_view bytes = data.substr(position, size);
    switch (format.option) {
      case 'b':
      case 'B':
      case 'h':
      case 'H':
      case 'l':
      case 'L':
      case 'T':
      case 'i':
      case 'I':
        lua_pushnumber(L, integer_of(bytes, format.little_endian, format.option >= 'a'));
        ++count;
        break;
      case 'x':
        break;
      case 'f':
        lua_pushnumber(L, std::bit_cast<float>(static_cast<std::uint32_t>(integer_of(bytes, format.little_endian, false))));
        ++count;
        break;
      case 'd': {
        std::uint64_t bits = 0;
        std::memcpy(&bits, bytes.data(), sizeof bits);
        lua_pushnumber(L, std::bit_cast<double>(format.little_endian ? bits : __builtin_bswap64(bits)));
        ++count;
        break;
      }
      case 'c':
        if (size == 0) {
          if (count == 0 || lua_isnumber(L, -1) == 0) fail_here(L, "format 'c0' needs a previous size");
          const double wanted = lua_tonumber(L, -1);
          luaL_argcheck(L, wanted >= 0 && wanted <= static_cast<double>(data.size() - position), 2, "data string too short");
          size = static_cast<std::size_t>(wanted);
          lua_pop(L, 1);
          --count;
        }
        state.charge_bytes(L, size);
        push_text(L, data.substr(position, size));
        ++count;
        break;
      case 's': {
        std::size_t end = position;
        for (const void* found = nullptr; found == nullptr;) {
          if (end == data.size()) fail_here(L, "unfinished string in data");
          const std::size_t looked_at = std::min<std::size_t>(data.size() - end, 64 * 1024);
          state.charge_bytes(L, looked_at);
          found = std::memchr(data.data() + end, 0, looked_at);
          end = found == nullptr ? end + looked_at : static_cast<std::size_t>(static_cast<const char*>(found) - data.data());
        }
        size = end - position + 1;
        state.charge_bytes(L, size);
        push_text(L, data.substr(position, size - 1));
        ++count;
        break;
      }
      default:
        format.control();
    }
    position += size;
  }
  lua_pushinteger(L, static_cast<lua_Integer>(position + 1));
  return count + 1;
}

int struct_size(lua_State* L) {
  Format format(L, check_text(L, 1));
  std::size_t total = 0;
  while (format.next()) {
    State::of(L).charge(L, 1);
    total += format.padding(total);
    if (format.option == 's') luaL_argerror(L, 1, "option 's' has no fixed size");
    if (format.option == 'c' && format.size == 0) luaL_argerror(L, 1, "option 'c0' has no fixed size");
    const char letter = lower(format.option);
    if (!(letter >= 'a' && letter <= 'z') && !is_digit(letter)) format.control();
    total += format.size;
  }
  lua_pushnumber(L, static_cast<lua_Number>(total));
  return 1;
}

}  // namespace

void add_struct_functions(lua_State* L) {
  static const luaL_Reg functions[] = {{"pack", struct_pack}, {"unpack", struct_unpack}, {"size", struct_size}, {nullptr, nullptr}};
  add_functions(L, functions);
}

}  // namespace pinfold::script
