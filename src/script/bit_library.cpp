// The library `bit`: operations on integers of 32 bits, with the results of LuaBitOp.

#include <bit>
#include <cstdint>

#include "pinfold/script/state.hpp"

namespace pinfold::script {

namespace {

/// The argument modulo 2^32. Adding 2^52 + 2^51 leaves a number's integer part, rounded, in the lowest bits of the mantissa.
std::uint32_t check_bits(lua_State* L, int index) {
  const double shifted = luaL_checknumber(L, index) + 6755399441055744.0;
  return static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(shifted));
}

int push_bits(lua_State* L, std::uint32_t bits) {
  lua_pushnumber(L, static_cast<std::int32_t>(bits));
  return 1;
}

int bit_tobit(lua_State* L) { return push_bits(L, check_bits(L, 1)); }
int bit_bnot(lua_State* L) { return push_bits(L, ~check_bits(L, 1)); }
int bit_bswap(lua_State* L) { return push_bits(L, __builtin_bswap32(check_bits(L, 1))); }

template <typename Operation>
int combine(lua_State* L, Operation operation) {
  std::uint32_t bits = check_bits(L, 1);
  for (int i = lua_gettop(L); i > 1; --i) bits = operation(bits, check_bits(L, i));
  return push_bits(L, bits);
}

int bit_band(lua_State* L) {
  return combine(L, [](std::uint32_t a, std::uint32_t b) { return a & b; });
}
int bit_bor(lua_State* L) {
  return combine(L, [](std::uint32_t a, std::uint32_t b) { return a | b; });
}
int bit_bxor(lua_State* L) {
  return combine(L, [](std::uint32_t a, std::uint32_t b) { return a ^ b; });
}

template <typename Operation>
int shift(lua_State* L, Operation operation) {
  const std::uint32_t bits = check_bits(L, 1);
  return push_bits(L, operation(bits, static_cast<int>(check_bits(L, 2) & 31)));
}

int bit_lshift(lua_State* L) {
  return shift(L, [](std::uint32_t bits, int by) { return bits << by; });
}
int bit_rshift(lua_State* L) {
  return shift(L, [](std::uint32_t bits, int by) { return bits >> by; });
}
int bit_arshift(lua_State* L) {
  return shift(L, [](std::uint32_t bits, int by) { return static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> by); });
}
int bit_rol(lua_State* L) {
  return shift(L, [](std::uint32_t bits, int by) { return std::rotl(bits, by); });
}
int bit_ror(lua_State* L) {
  return shift(L, [](std::uint32_t bits, int by) { return std::rotr(bits, by); });
}

int bit_tohex(lua_State* L) {
  const std::uint32_t bits = check_bits(L, 1);
  const auto wanted = lua_isnone(L, 2) ? 8 : static_cast<std::int32_t>(check_bits(L, 2));
  const char* digits = wanted < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
  // In 64 bits: the negative of the smallest number of 32 bits does not fit into these (CVE-2024-31449).
  const std::int64_t magnitude = wanted < 0 ? -std::int64_t{wanted} : wanted;
  const int count = magnitude > 8 ? 8 : static_cast<int>(magnitude);
  char text[8];
  for (int i = 0; i < count; ++i) text[i] = digits[(bits >> (4 * (count - 1 - i))) & 15];
  lua_pushlstring(L, text, static_cast<std::size_t>(count));
  return 1;
}

}  // namespace

void add_bit_functions(lua_State* L) {
  static const luaL_Reg functions[] = {{"tobit", bit_tobit},   {"bnot", bit_bnot},       {"band", bit_band},   {"bor", bit_bor},
                                       {"bxor", bit_bxor},     {"lshift", bit_lshift},   {"rol", bit_rol},     {"ror", bit_ror},
                                       {"rshift", bit_rshift}, {"arshift", bit_arshift}, {"bswap", bit_bswap}, {"tohex", bit_tohex},
                                       {nullptr, nullptr}};
  add_functions(L, functions);
}

}  // namespace pinfold::script
