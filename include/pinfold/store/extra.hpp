#pragma once
// What an entry may carry beside its value: a stale window, a version, how long it took to load, when it was written, the
// policy that it fell under, tags. It stands in front of the key, and only where there is any of it: an entry without
// costs nothing.
//
//   bytes   content
//   2       size of all of it
//   1       which fields there are
//   0/4     stale window in milliseconds
//   0/8     version
//   0/4     load time in milliseconds
//   0/4     when it was written, in tenths of a second
//   0/1     slot of the policy
//   n       tags: a byte with the length, then the tag, one after the other

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "pinfold/base/clock.hpp"

namespace pinfold::store {

constexpr std::size_t most_tag_bytes = 255;
/// Of all tags of an entry, with a length byte each.
constexpr std::size_t most_tags_bytes = 4096;
constexpr std::size_t most_tags_of_entry = 1024;

/// Views: the tags lie where they were read from or given.
struct Extra {
  std::uint32_t stale_ms = 0;
  std::uint64_t version = 0;  // 0: none
  std::uint32_t load_ms = 0;  // 0: not measured
  std::uint32_t written = 0;  // as tenths(); 0: not kept
  std::uint8_t policy = 0;    // 0: none
  std::string_view tags;

  static std::uint32_t tenths(UnixMs now) { return static_cast<std::uint32_t>(now / 100) | 1U; }
  /// Milliseconds since it was written, to a fifth of a second; 0 if the clock was set back to before that.
  std::int64_t age_ms(UnixMs now) const {
    const auto age = static_cast<std::int32_t>(tenths(now) - written);
    return age > 0 ? std::int64_t{age} * 100 : 0;
  }

  /// Bytes that write() takes; 0 if there is nothing to keep.
  std::size_t size() const {
    const std::size_t fields = (stale_ms != 0 ? 4 : 0) + (version != 0 ? 8 : 0) + (load_ms != 0 ? 4 : 0) + (written != 0 ? 4 : 0) +
                               (policy != 0 ? 1 : 0) + tags.size();
    return fields == 0 ? 0 : head + fields;
  }
  void write(char* to) const;
  /// From what write() has written.
  static Extra read(const char* from);
  /// The size of what lies there.
  static std::size_t size_at(const char* from) {
    std::uint16_t size = 0;
    std::memcpy(&size, from, sizeof size);
    return size;
  }
  /// The stale window alone, which every look-up needs.
  static std::uint32_t stale_at(const char* from) {
    std::uint32_t stale = 0;
    if ((static_cast<unsigned char>(from[2]) & kStale) != 0) std::memcpy(&stale, from + head, sizeof stale);
    return stale;
  }

  /// When an entry with that deadline (0: none) may be seen no more: after its stale window, if what lies at `from` has one.
  /// `from` may be null.
  static UnixMs gone_at(UnixMs expires_at, const char* from) {
    return expires_at == 0 || from == nullptr ? expires_at : later(expires_at, stale_at(from));
  }

  template <class Visit>
  void for_each_tag(Visit&& visit) const {
    for (std::size_t at = 0; at < tags.size();) {
      const std::size_t size = static_cast<unsigned char>(tags[at]);
      visit(tags.substr(at + 1, size));
      at += 1 + size;
    }
  }

  /// Whether `wanted` is true for one of them; those behind it are not asked for.
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

/// Room for the written form of any Extra.
using ExtraBuffer = std::array<char, 32 + most_tags_bytes>;

}  // namespace pinfold::store
