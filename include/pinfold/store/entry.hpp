#pragma once
// How one entry lies in the log: header, deadline, key and value in one run of bytes, a multiple of 2 long.
//
//   bytes   content
//   2       extent in 2-byte words (14 bits), frequency (2 bits)
//   2       size of an inline value (14 bits), encoding (2 bits)
//   1       size of an inline key, 255: a 2-byte size stands before the key
//   1       flags
//   0/6/8   deadline in Unix milliseconds (8 bytes only for years after 10889)
//   0/4     last access in Unix seconds, if the entry was written under a policy that shows it
//   0/n     what it carries beside its value (extra.hpp)
//   0/10    hash and size of a key of 255 bytes or more
//   n       key, or a pointer to its Blob and its hash
//   0/1     type and form of the value (ValueKind), if its encoding says that it is no plain string
//   n       value, or a handle: a pointer to what it keeps outside of the log, a string's Blob
//
// So an entry costs 6 bytes (12 with a deadline) and half a byte on average to round up. There are no pointers to other
// entries and no time stamps: the position in the log says what was written before what.

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
/// Larger entries keep their value in a Blob: a segment must hold several, or its end is wasted. The most that 14 bits
/// can say of a value.
constexpr std::size_t max_inline_entry = 16 * 1024 - 2;
constexpr std::size_t max_inline_key = 2 * 1024;

/// What an entry is to be made of. Each part that is a block holds a reference of its own, also where another entry
/// holds the same block; Entry::write() moves these references into the entry.
struct EntryParts {
  std::string_view key;    // inline, if !key_blob
  std::string_view value;  // inline, if !outside
  Blob key_blob;
  OwnedHandle outside;
  std::uint64_t hash = 0;  // of the key
  UnixMs expires_at = 0;
  std::uint32_t accessed = 0;  // 0: not kept
  std::string_view extra;      // as Extra::write has written it; empty: none
  Encoding encoding = Encoding::natural;
  std::uint8_t frequency = 0;
  bool absent = false;  // a negative entry: it says that there is no value
  ValueKind kind{};     // if the encoding is `typed`; that of `outside`, if it is set

  /// As Extra::gone_at().
  UnixMs gone_at() const { return Extra::gone_at(expires_at, extra.empty() ? nullptr : extra.data()); }
};

/// A view of an entry's bytes. Copying it copies a pointer.
class Entry {
 public:
  explicit Entry(char* at) : at_(at) {}

  static std::size_t deadline_size(UnixMs at) { return at == 0 ? 0 : (at > 0 && at < (1LL << 48) ? 6 : 8); }
  /// Bytes that `parts` need, rounded up to words.
  static std::size_t size_of(const EntryParts& parts) {
    const std::size_t key = parts.key_blob ? key_blob_size : parts.key.size();
    const std::size_t long_key = !parts.key_blob && parts.key.size() >= long_key_mark ? long_key_head : 0;
    const std::size_t value =
        (parts.outside ? sizeof(void*) : parts.value.size()) + (parts.encoding == Encoding::typed ? sizeof(ValueKind) : 0);
    const std::size_t accessed = parts.accessed != 0 ? sizeof parts.accessed : 0;
    const std::size_t size = entry_header + deadline_size(parts.expires_at) + accessed + parts.extra.size() + long_key + key + value;
    return (size + word - 1) & ~(word - 1);
  }
  /// Writes an entry of `extent` bytes (at least size_of), which owns the parts' block and handle from then on. The parts must not
  /// overlap it.
  void write(EntryParts&& parts, std::size_t extent);

  std::size_t extent() const { return (load<std::uint16_t>(0) & 0x3fffU) * word; }
  std::uint8_t frequency() const { return static_cast<std::uint8_t>(load<std::uint16_t>(0) >> 14); }
  void set_frequency(unsigned f) { store<std::uint16_t>(0, (load<std::uint16_t>(0) & 0x3fff) | f << 14); }
  /// One more access, up to the 3 that two bits can say.
  void touch() {
    const unsigned f = frequency();
    if (f < 3) set_frequency(f + 1);
  }
  /// Unix seconds, 0 if that is not kept.
  std::uint32_t accessed() const { return (flags() & kAccessed) != 0 ? load<std::uint32_t>(access_offset()) : 0; }
  /// Only where it is kept.
  void set_accessed(std::uint32_t seconds) { store<std::uint32_t>(access_offset(), seconds); }
  Encoding encoding() const { return static_cast<Encoding>(load<std::uint16_t>(2) >> 14); }
  /// Whether the value is of another type than a plain string.
  bool typed() const { return encoding() == Encoding::typed; }
  ValueKind kind() const { return typed() ? load<ValueKind>(value_offset()) : ValueKind{}; }
  void set_encoding(Encoding e) { store<std::uint16_t>(2, (load<std::uint16_t>(2) & 0x3fffU) | static_cast<unsigned>(e) << 14); }

  /// Only for an inline string, within the extent.
  void set_value_size(std::size_t size) { store<std::uint16_t>(2, (load<std::uint16_t>(2) & 0xc000U) | size); }

  bool dead() const { return (flags() & kDead) != 0; }
  void mark_dead() { at_[5] = static_cast<char>(flags() | kDead); }
  UnixMs expires_at() const {
    if ((flags() & kDeadline) == 0) return 0;
    if ((flags() & kWideDeadline) != 0) return load<std::int64_t>(entry_header);
    return static_cast<UnixMs>(load<std::uint32_t>(entry_header) | std::uint64_t{load<std::uint16_t>(entry_header + 4)} << 32);
  }
  /// As Extra::gone_at(). 0: never.
  UnixMs gone_at() const { return Extra::gone_at(expires_at(), extra()); }
  bool expired(UnixMs now) const {
    const UnixMs at = gone_at();
    return at != 0 && at <= now;
  }
  /// Not stale, and with a value: what plain commands call existing.
  bool live(UnixMs now) const {
    const UnixMs at = expires_at();
    return (at == 0 || at > now) && !absent();
  }
  bool absent() const { return (flags() & kAbsent) != 0; }
  bool has_extra() const { return (flags() & kExtra) != 0; }
  /// Where its Extra was written; null if it has none.
  const char* extra() const { return has_extra() ? at_ + extra_offset() : nullptr; }
  /// The same as bytes, for another entry's parts.
  std::string_view extra_bytes() const { return has_extra() ? std::string_view(extra(), Extra::size_at(extra())) : std::string_view(); }
  /// Changes the deadline if that does not change the entry's layout.
  bool set_deadline_in_place(UnixMs at);

  /// A long key's hash lies beside it: computing it anew would take too long for a lock that is held.
  bool keeps_hash() const { return long_key() || (flags() & kKeyBlob) != 0; }
  /// Only where it is kept.
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
  /// Only of a plain string.
  std::string_view value_text() const {
    const std::size_t at = value_offset();
    if ((flags() & kOutside) != 0) return blob_view(at);
    return {at_ + at, load<std::uint16_t>(2) & 0x3fffU};
  }
  /// The inline value's bytes, whatever its type, without its ValueKind. Only if there is no handle().
  std::string_view inline_bytes() const {
    const std::size_t kind = kind_size();
    return {at_ + value_offset() + kind, (load<std::uint16_t>(2) & 0x3fffU) - kind};
  }
  void* key_blob() const { return (flags() & kKeyBlob) != 0 ? load<void*>(key_offset()) : nullptr; }
  /// What the value keeps outside of the log; nothing if it lies in the log.
  Handle handle() const { return (flags() & kOutside) != 0 ? Handle(kind().type(), load<void*>(handle_offset())) : Handle(); }
  /// Puts in its place what it has come to be. Only where there is one; the references are the caller's business.
  void set_handle(Handle handle) {
    void* const raw = handle.raw();
    std::memcpy(at_ + handle_offset(), &raw, sizeof raw);
  }
  /// Whether it keeps anything outside of the log, for key or value.
  bool has_handles() const { return (flags() & (kKeyBlob | kOutside)) != 0; }
  /// Visits what it keeps there; a long key's block is visited as a string's.
  template <class Visit>
  void for_each_handle(Visit&& visit) const {
    if (!has_handles()) [[likely]]
      return;
    if (void* const block = key_blob()) visit(Handle(Type::string, block));
    if (const Handle value = handle()) visit(value);
  }
  /// The inline string's bytes, to be changed in place.
  char* value_data() { return at_ + value_offset(); }

  /// Only of a plain string.
  Value string_value() const {
    if (plain()) [[likely]] {
      const std::size_t key = static_cast<unsigned char>(at_[4]);
      return {{at_ + entry_header + key, load<std::uint16_t>(2) & 0x3fffU}, 0, 0, encoding(), frequency()};
    }
    void* const block = (flags() & kOutside) != 0 ? load<void*>(value_offset()) : nullptr;
    return {value_text(), expires_at(), accessed(), encoding(), frequency(), absent(), {}, block, extra()};
  }
  Value value() const {
    if (!typed()) [[likely]]
      return string_value();
    const Handle outside = handle();
    const std::string_view packed = outside ? std::string_view() : inline_bytes();
    return {packed, expires_at(), accessed(), encoding(), frequency(), absent(), kind(), outside.raw(), extra()};
  }
  char* data() const { return at_; }
  /// Overwrites what an older, longer entry has left behind this one.
  void wipe_slack() {
    const std::size_t value = (flags() & kOutside) != 0 ? kind_size() + sizeof(void*) : load<std::uint16_t>(2) & 0x3fffU;
    const std::size_t end = value_offset() + value;
    std::memset(at_ + end, 0, extent() - end);
  }
  /// Overwrites all but what a walk through the segment needs. Only for an entry that is dead or dies next.
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
  /// A key and a value, and nothing else: what most caches are full of.
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
