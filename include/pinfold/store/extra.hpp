#pragma once
// What an entry may carry in addition to its value: a stale window, a version, how long the value took to load, when the entry
// was written, its policy, and tags. The stale window is the time after the deadline during which the value may still be
// served. The Extra is written in front of the key. An entry that carries none of these fields has no Extra, and pays nothing
// for it.
//
//   bytes   content
//   2       size of the whole, these 2 bytes included
//   1       which of the following fields are present
//   0/4     stale window in milliseconds
//   0/8     version
//   0/4     load time in milliseconds
//   0/4     time of writing, in tenths of a second
//   0/1     slot of the policy: its number from 1 to 255
//   n       tags, one after the other: a byte with the length, then the tag

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "pinfold/base/clock.hpp"

namespace pinfold::store {

constexpr std::size_t most_tag_bytes = 255;
/// The most bytes that all tags of one entry take together, each with its length byte.
constexpr std::size_t most_tags_bytes = 4096;
constexpr std::size_t most_tags_of_entry = 1024;

/// The fields of an Extra. A plain value, except that `tags` is a view: the bytes from which it was read, or which the
/// caller gave, must outlive it. Allocates nothing. write() and read() are O(size); for_each_tag() and any_tag() are
/// O(tags).
struct Extra {
  std::uint32_t stale_ms = 0;
  std::uint64_t version = 0;  // 0: none
  std::uint32_t load_ms = 0;  // 0: not measured
  std::uint32_t written = 0;  // as tenths() returns it; 0: not kept
  std::uint8_t policy = 0;    // slot; 0: none
  std::string_view tags;      // encoded as above: a length byte, then the tag, one after the other

  /// Unix time in tenths of a second, modulo 2^32. The lowest bit is always set, because 0 stands for "not kept".
  static std::uint32_t tenths(UnixMs now) { return static_cast<std::uint32_t>(now / 100) | 1U; }
  /// Milliseconds since the time of writing, exact to a fifth of a second. 0 if the clock has been set back to before that
  /// time. Also 0 from 6.8 to 13.6 years after that time, because tenths() wraps around. Only if `written` is not 0.
  std::int64_t age_ms(UnixMs now) const {
    const auto age = static_cast<std::int32_t>(tenths(now) - written);
    return age > 0 ? std::int64_t{age} * 100 : 0;
  }

  /// Bytes that write() writes. 0 if no field is set; then there is nothing to write.
  std::size_t size() const {
    const std::size_t fields = (stale_ms != 0 ? 4 : 0) + (version != 0 ? 8 : 0) + (load_ms != 0 ? 4 : 0) + (written != 0 ? 4 : 0) +
                               (policy != 0 ? 1 : 0) + tags.size();
    return fields == 0 ? 0 : head + fields;
  }
  /// Writes size() bytes to `to`. Only if size() is not 0.
  void write(char* to) const;
  /// Reads what write() has written. The tags of the result are a view of the bytes at `from`.
  static Extra read(const char* from);
  /// The size in bytes of what write() has written at `from`.
  static std::size_t size_at(const char* from) {
    std::uint16_t size = 0;
    std::memcpy(&size, from, sizeof size);
    return size;
  }
  /// Reads only the stale window, in milliseconds: every lookup needs it.
  static std::uint32_t stale_at(const char* from) {
    std::uint32_t stale = 0;
    if ((static_cast<unsigned char>(from[2]) & kStale) != 0) std::memcpy(&stale, from + head, sizeof stale);
    return stale;
  }

  /// The time from which an entry is neither fresh nor stale: its deadline `expires_at` plus its stale window. 0:
  /// never, because the entry has no deadline (`expires_at` is 0). `from` is the entry's written Extra, or null if it
  /// has none.
  static UnixMs gone_at(UnixMs expires_at, const char* from) {
    return expires_at == 0 || from == nullptr ? expires_at : later(expires_at, stale_at(from));
  }

  /// Calls `visit(tag)` for each tag, in the order in which they were written.
  template <class Visit>
  void for_each_tag(Visit&& visit) const {
    for (std::size_t at = 0; at < tags.size();) {
      const std::size_t size = static_cast<unsigned char>(tags[at]);
      visit(tags.substr(at + 1, size));
      at += 1 + size;
    }
  }

  /// Whether `wanted(tag)` returns true for one of the tags. Stops at the first such tag.
  template <class Wanted>
  bool any_tag(Wanted&& wanted) const {
    for (std::size_t at = 0; at < tags.size();) {
      const std::size_t size = static_cast<unsigned char>(tags[at]);
      if (wanted(tags.substr(at + 1, size))) return true;
      at += 1 + size;
    }
    return false;
  }

 private:
  static constexpr std::size_t head = 3;
  enum : unsigned { kStale = 1, kVersion = 2, kLoad = 4, kWritten = 8, kPolicy = 16 };
};

/// A buffer that is large enough for write() of any Extra.
using ExtraBuffer = std::array<char, 32 + most_tags_bytes>;

}  // namespace pinfold::store
