#pragma once
// How one entry lies in the log (log.hpp): header, deadline, key and value as one run of bytes. Its length, the extent, is a
// multiple of 2 bytes.
//
//   bytes   content
//   2       extent in 2-byte words (14 bits), frequency (2 bits)
//   2       size of an inline value (14 bits), encoding (2 bits)
//   1       size of an inline key; 255 if it has 255 bytes or more: its size then stands before it
//   1       flags
//   0/6/8   deadline in Unix milliseconds (8 bytes only for years after 10889)
//   0/4     last access in Unix seconds, if the entry was written under an eviction policy with OBJECT IDLETIME (not LFU)
//   0/n     the entry's Extra (extra.hpp)
//   0/10    hash (8) and size (2) of an inline key of 255 bytes or more
//   n       key; or a pointer to the key's Blob, and the key's hash
//   0/1     type and form of the value (ValueKind), if the encoding is `typed`
//   n       value; or a pointer to a value outside of the log (a handle), which for a plain string is its Blob
//
// An entry without a deadline costs 6 bytes on top of key and value, and one with a deadline 12. Rounding up costs half a byte
// on average. An entry needs no pointers to other entries and no time of writing, because the log is written in order: the
// position of an entry says which others are older.

#include <cstdint>
#include <cstring>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/value.hpp"
#include "pinfold/store/value_type.hpp"

namespace pinfold::store {

constexpr std::size_t word = 2;
constexpr std::size_t entry_header = 6;
/// The largest extent in bytes. An entry that would be larger keeps its value in a Blob. The bound has two reasons. The size of
/// an inline value has 14 bits. And a segment has to hold several entries, because an entry that does not fit into the rest of
/// a segment leaves that rest unused.
constexpr std::size_t max_inline_entry = 16 * 1024 - 2;
/// The longest key in bytes that lies in the entry. A longer one lies in a Blob.
constexpr std::size_t max_inline_key = 2 * 1024;

/// What Entry::write() makes an entry of. `key_blob` and `outside` own references, and write() moves these into the entry.
/// Another entry may have references to the same blocks. The views are only read. Their owner must keep them valid until
/// write() has returned.
struct EntryParts {
  std::string_view key;    // the inline key, unless key_blob is set
  std::string_view value;  // the inline value, unless `outside` is set
  Blob key_blob;
  OwnedHandle outside;
  std::uint64_t hash = 0;  // the key's hash
  UnixMs expires_at = 0;
  std::uint32_t accessed = 0;  // last access in Unix seconds; 0: not kept
  std::string_view extra;      // the bytes that Extra::write() has written; empty: no Extra
  Encoding encoding = Encoding::natural;
  std::uint8_t frequency = 0;
  bool absent = false;  // a negative entry: the origin has no value for the key
  ValueKind kind{};     // used only if the encoding is `typed`; `outside`, if it is set, must then be of the same type

  /// The time from which the entry counts as expired: its deadline plus its stale window (Extra::gone_at()). The stale window
  /// is the time after the deadline in which a stale value may still be served. 0: never.
  UnixMs gone_at() const { return Extra::gone_at(expires_at, extra.empty() ? nullptr : extra.data()); }
};

/// A view of an entry's bytes: a pointer that owns nothing, so a copy shows the same entry. Not thread-safe: the shard's lock
/// guards the bytes. The view is valid until the next write to the shard, which may move or overwrite the entry. Every function
/// is O(1), or O(bytes) if it copies or wipes bytes, and none of them fails.
class Entry {
 public:
  explicit Entry(char* at) : at_(at) {}

  /// Bytes that a deadline takes in an entry.
  static std::size_t deadline_size(UnixMs at) { return at == 0 ? 0 : (at > 0 && at < (1LL << 48) ? 6 : 8); }
  /// The extent in bytes that an entry of these parts needs.
  static std::size_t size_of(const EntryParts& parts) {
    const std::size_t key = parts.key_blob ? key_blob_size : parts.key.size();
    const std::size_t long_key = !parts.key_blob && parts.key.size() >= long_key_mark ? long_key_head : 0;
    const std::size_t value =
        (parts.outside ? sizeof(void*) : parts.value.size()) + (parts.encoding == Encoding::typed ? sizeof(ValueKind) : 0);
    const std::size_t accessed = parts.accessed != 0 ? sizeof parts.accessed : 0;
    const std::size_t size = entry_header + deadline_size(parts.expires_at) + accessed + parts.extra.size() + long_key + key + value;
    return (size + word - 1) & ~(word - 1);
  }
  /// Writes an entry of `extent` bytes, which must be a multiple of `word` and at least size_of(parts). The entry then owns the
  /// references of the parts. The bytes of the parts must not lie where the entry is written.
  void write(EntryParts&& parts, std::size_t extent);

  /// Bytes that the entry takes in its segment, the unused ones at its end included.
  std::size_t extent() const { return (load<std::uint16_t>(0) & 0x3fffU) * word; }
  std::uint8_t frequency() const { return static_cast<std::uint8_t>(load<std::uint16_t>(0) >> 14); }
  void set_frequency(unsigned f) { store<std::uint16_t>(0, (load<std::uint16_t>(0) & 0x3fff) | f << 14); }
  /// Counts one more access in the frequency. It stays at 3, because it has two bits.
  void touch() {
    const unsigned f = frequency();
    if (f < 3) set_frequency(f + 1);
  }
  /// The last access in Unix seconds; 0 if this entry does not keep it.
  std::uint32_t accessed() const { return (flags() & kAccessed) != 0 ? load<std::uint32_t>(access_offset()) : 0; }
  /// Only for an entry whose accessed() is not 0.
  void set_accessed(std::uint32_t seconds) { store<std::uint32_t>(access_offset(), seconds); }
  Encoding encoding() const { return static_cast<Encoding>(load<std::uint16_t>(2) >> 14); }
  /// Whether the value is of another type than a plain string.
  bool typed() const { return encoding() == Encoding::typed; }
  ValueKind kind() const { return typed() ? load<ValueKind>(value_offset()) : ValueKind{}; }
  void set_encoding(Encoding e) { store<std::uint16_t>(2, (load<std::uint16_t>(2) & 0x3fffU) | static_cast<unsigned>(e) << 14); }

  /// Only for an inline plain string. `size` is in bytes, and the entry must still fit into its extent.
  void set_value_size(std::size_t size) { store<std::uint16_t>(2, (load<std::uint16_t>(2) & 0xc000U) | size); }

  bool dead() const { return (flags() & kDead) != 0; }
  /// Sets only the flag. Log::mark_dead() also counts the bytes as dead, and calls this.
  void mark_dead() { at_[5] = static_cast<char>(flags() | kDead); }
  /// The deadline: Unix milliseconds; 0 if there is none.
  UnixMs expires_at() const {
    if ((flags() & kDeadline) == 0) return 0;
    if ((flags() & kWideDeadline) != 0) return load<std::int64_t>(entry_header);
    return static_cast<UnixMs>(load<std::uint32_t>(entry_header) | std::uint64_t{load<std::uint16_t>(entry_header + 4)} << 32);
  }
  /// The time from which the entry counts as expired: its deadline plus its stale window (Extra::gone_at()). 0: never.
  UnixMs gone_at() const { return Extra::gone_at(expires_at(), extra()); }
  bool expired(UnixMs now) const {
    const UnixMs at = gone_at();
    return at != 0 && at <= now;
  }
  /// Whether plain commands find the entry: its deadline has not passed, and it is no negative entry.
  bool live(UnixMs now) const {
    const UnixMs at = expires_at();
    return (at == 0 || at > now) && !absent();
  }
  /// Whether it is a negative entry: the origin has no value for the key.
  bool absent() const { return (flags() & kAbsent) != 0; }
  bool has_extra() const { return (flags() & kExtra) != 0; }
  /// The start of the written Extra; null if the entry has none.
  const char* extra() const { return has_extra() ? at_ + extra_offset() : nullptr; }
  /// The written Extra as bytes, for EntryParts::extra; empty if the entry has none.
  std::string_view extra_bytes() const { return has_extra() ? std::string_view(extra(), Extra::size_at(extra())) : std::string_view(); }
  /// Changes the deadline (0: none) if it takes as many bytes as the old one. Otherwise changes nothing and returns false: the
  /// entry has to be written anew.
  bool set_deadline_in_place(UnixMs at);

  /// Whether the key's hash lies next to the key. It does for a long key, because hashing the key again would hold the shard's
  /// lock for too long.
  bool keeps_hash() const { return long_key() || (flags() & kKeyBlob) != 0; }
  /// The hash next to the key. Only if keeps_hash().
  std::uint64_t kept_hash() const {
    const std::size_t key = key_offset();
    return load<std::uint64_t>((flags() & kKeyBlob) != 0 ? key + sizeof(void*) : key - long_key_head);
  }
  std::string_view key() const {
    if (plain()) [[likely]]
      return {at_ + entry_header, static_cast<unsigned char>(at_[4])};
    const std::size_t at = key_offset();
    if ((flags() & kKeyBlob) != 0) return blob_view(at);
    return {at_ + at, key_size(at)};
  }
  /// The text of the value, inline or in its Blob. Only for a plain string.
  std::string_view value_text() const {
    const std::size_t at = value_offset();
    if ((flags() & kOutside) != 0) return blob_view(at);
    return {at_ + at, load<std::uint16_t>(2) & 0x3fffU};
  }
  /// The bytes of an inline value of any type, without its ValueKind. Only if handle() is empty.
  std::string_view inline_bytes() const {
    const std::size_t kind = kind_size();
    return {at_ + value_offset() + kind, (load<std::uint16_t>(2) & 0x3fffU) - kind};
  }
  /// The Blob of the key, as Blob::share() takes it; null if the key is inline. Its reference stays the entry's.
  void* key_blob() const { return (flags() & kKeyBlob) != 0 ? load<void*>(key_offset()) : nullptr; }
  /// The value outside of the log; empty if the value is inline. Its reference stays the entry's.
  Handle handle() const { return (flags() & kOutside) != 0 ? Handle(kind().type(), load<void*>(handle_offset())) : Handle(); }
  /// Replaces the handle, after its value has moved or has been changed. Only if the entry has a handle(). Changes no reference
  /// count: the entry takes over the reference of `handle`, and the caller that of the old handle.
  void set_handle(Handle handle) {
    void* const raw = handle.raw();
    std::memcpy(at_ + handle_offset(), &raw, sizeof raw);
  }
  bool has_value_outside() const { return (flags() & kOutside) != 0; }
  /// Whether the key or the value lies outside of the log.
  bool has_handles() const { return (flags() & (kKeyBlob | kOutside)) != 0; }
  /// Visits the key's Blob, if there is one, as the handle of a string, and then the value's handle, if there is one.
  template <class Visit>
  void for_each_handle(Visit&& visit) const {
    if (!has_handles()) [[likely]]
      return;
    if (void* const block = key_blob()) visit(Handle(Type::string, block));
    if (const Handle value = handle()) visit(value);
  }
  /// The bytes of the value, to be changed in place. Only for an inline plain string.
  char* value_data() { return at_ + value_offset(); }

  /// What value() returns, in less time. Only for a plain string.
  Value string_value() const {
    if (plain()) [[likely]] {
      const std::size_t key = static_cast<unsigned char>(at_[4]);
      return {{at_ + entry_header + key, load<std::uint16_t>(2) & 0x3fffU}, 0, 0, encoding(), frequency()};
    }
    void* const block = (flags() & kOutside) != 0 ? load<void*>(value_offset()) : nullptr;
    return {value_text(), expires_at(), accessed(), encoding(), frequency(), absent(), {}, block, extra()};
  }
  /// The value as Database returns it. It points into the entry.
  Value value() const {
    if (!typed()) [[likely]]
      return string_value();
    if ((flags() & ~unsigned{kOutside}) == 0 && !long_key()) [[likely]] {
      const std::size_t at = entry_header + static_cast<unsigned char>(at_[4]);
      const auto kind = load<ValueKind>(at);
      if (flags() != 0) return {{}, 0, 0, Encoding::typed, frequency(), false, kind, load<void*>(at + sizeof kind)};
      return {{at_ + at + sizeof kind, (load<std::uint16_t>(2) & 0x3fffU) - sizeof kind}, 0, 0, Encoding::typed, frequency(), false, kind};
    }
    const Handle outside = handle();
    const std::string_view packed = outside ? std::string_view() : inline_bytes();
    return {packed, expires_at(), accessed(), encoding(), frequency(), absent(), kind(), outside.raw(), extra()};
  }
  char* data() const { return at_; }
  /// Puts other packed bytes in the place of those that are there, with their kind. The entry must hold a packed value of another type
  /// than a string, and have room for the bytes in its extent, which may not overlap the entry.
  void set_packed(ValueKind kind, std::string_view bytes) {
    const std::size_t at = value_offset();
    store<std::uint16_t>(2, (bytes.size() + sizeof kind) | static_cast<unsigned>(Encoding::typed) << 14);
    std::memcpy(at_ + at, &kind, sizeof kind);
    std::memcpy(at_ + at + sizeof kind, bytes.data(), bytes.size());
  }
  /// Bytes that a packed value may have in this extent.
  std::size_t packed_room() const { return extent() - value_offset() - sizeof(ValueKind); }
  /// Overwrites with zeros the bytes between the end of the value and the end of the extent. A longer entry that lay here
  /// before may have left its bytes there.
  void wipe_slack() {
    const std::size_t value = (flags() & kOutside) != 0 ? kind_size() + sizeof(void*) : load<std::uint16_t>(2) & 0x3fffU;
    const std::size_t end = value_offset() + value;
    std::memset(at_ + end, 0, extent() - end);
  }
  /// Overwrites the entry with zeros, except for its extent and its mark as dead, which a walk through the segment needs. Only
  /// for an entry that is dead, or that the caller marks dead next.
  void wipe() {
    const unsigned dead = flags() & kDead;
    std::memset(at_ + 2, 0, extent() - 2);
    at_[5] = static_cast<char>(dead);
  }

 private:
  enum : unsigned { kDeadline = 1, kWideDeadline = 2, kKeyBlob = 4, kOutside = 8, kAccessed = 16, kExtra = 32, kAbsent = 64, kDead = 128 };
  static constexpr std::size_t long_key_mark = 255;
  static constexpr std::size_t long_key_head = sizeof(std::uint64_t) + sizeof(std::uint16_t);
  static constexpr std::size_t key_blob_size = sizeof(void*) + sizeof(std::uint64_t);

  template <class T>
  T load(std::size_t offset) const {
    T value;
    std::memcpy(&value, at_ + offset, sizeof value);
    return value;
  }
  template <class T>
  void store(std::size_t offset, auto value) {
    const T narrow = static_cast<T>(value);
    std::memcpy(at_ + offset, &narrow, sizeof narrow);
  }
  unsigned flags() const { return static_cast<unsigned char>(at_[5]); }
  // Whether the entry has a short key, an inline value of any type and no optional fields before the key, and is neither negative
  // nor dead. Most entries are like this, and are read without computing offsets.
  bool plain() const { return flags() == 0 && !long_key(); }
  bool long_key() const { return static_cast<unsigned char>(at_[4]) == long_key_mark; }
  std::size_t deadline_bytes() const { return (flags() & kDeadline) == 0 ? 0 : ((flags() & kWideDeadline) != 0 ? 8 : 6); }
  std::size_t access_offset() const { return entry_header + deadline_bytes(); }
  std::size_t extra_offset() const { return access_offset() + ((flags() & kAccessed) != 0 ? sizeof(std::uint32_t) : 0); }
  std::size_t key_offset() const {
    const std::size_t at = extra_offset() + (long_key() ? long_key_head : 0);
    return has_extra() ? at + Extra::size_at(at_ + extra_offset()) : at;
  }
  std::size_t key_size(std::size_t offset) const {
    return long_key() ? load<std::uint16_t>(offset - 2) : static_cast<unsigned char>(at_[4]);
  }
  std::size_t value_offset() const {
    const std::size_t key = key_offset();
    return key + ((flags() & kKeyBlob) != 0 ? key_blob_size : key_size(key));
  }
  std::size_t kind_size() const { return typed() ? sizeof(ValueKind) : 0; }
  std::size_t handle_offset() const { return value_offset() + kind_size(); }
  std::string_view blob_view(std::size_t offset) const {
    return Blob::borrow(load<void*>(offset), [](const Blob& blob) { return blob.view(); });
  }

  char* at_;
};

}  // namespace pinfold::store
