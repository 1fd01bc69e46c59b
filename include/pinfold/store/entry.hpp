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
//   n       value, or a pointer to its Blob
//
// So an entry costs 6 bytes (12 with a deadline) and half a byte on average to round up. There are no pointers to other
// entries and no time stamps: the position in the log says what was written before what.

#include <cstdint>
#include <cstring>
#include <string_view>

#include "pinfold/base/blob.hpp"
#include "pinfold/store/extra.hpp"
#include "pinfold/store/value.hpp"

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
  std::string_view value;  // inline, if !value_blob
  Blob key_blob;
  Blob value_blob;
  std::uint64_t hash = 0;  // of the key
  UnixMs expires_at = 0;
  std::uint32_t accessed = 0;  // 0: not kept
  std::string_view extra;      // as Extra::write has written it; empty: none
  Encoding encoding = Encoding::natural;
  std::uint8_t frequency = 0;
  bool absent = false;  // a negative entry: it says that there is no value

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
    const std::size_t value = parts.value_blob ? sizeof(void*) : parts.value.size();
    const std::size_t accessed = parts.accessed != 0 ? sizeof parts.accessed : 0;
    const std::size_t size = entry_header + deadline_size(parts.expires_at) + accessed + parts.extra.size() + long_key + key + value;
    return (size + word - 1) & ~(word - 1);
  }
  /// Writes an entry of `extent` bytes (at least size_of), which owns the parts' blocks from then on. The parts must not
  /// overlap it.
  void write(EntryParts&& parts, std::size_t extent);
  /// Gives up the references to its blocks. The entry must not be used afterwards, but for its extent and mark_dead().
  void release_blobs() {
    Blob::attach(key_blob());
    Blob::attach(value_blob());
  }

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
  void set_encoding(Encoding e) { store<std::uint16_t>(2, (load<std::uint16_t>(2) & 0x3fffU) | static_cast<unsigned>(e) << 14); }

  /// Only for an inline value, within the extent.
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
  std::string_view value_text() const {
    const std::size_t at = value_offset();
    if ((flags() & kValueBlob) != 0) return blob_view(at);
    return {at_ + at, load<std::uint16_t>(2) & 0x3fffU};
  }
  void* key_blob() const { return (flags() & kKeyBlob) != 0 ? load<void*>(key_offset()) : nullptr; }
  void* value_blob() const { return (flags() & kValueBlob) != 0 ? load<void*>(value_offset()) : nullptr; }
  /// Takes the value's block out of the entry, and puts it back when it was changed; it may have moved meanwhile. Only
  /// where there is one.
  Blob take_value_blob() { return Blob::attach(value_blob()); }
  void return_value_blob(Blob blob) {
    void* const raw = blob.detach();
    std::memcpy(at_ + value_offset(), &raw, sizeof raw);
  }
  /// The inline value's bytes, to be changed in place.
  char* value_data() { return at_ + value_offset(); }

  Value value() const {
    if (plain()) [[likely]] {
      const std::size_t key = static_cast<unsigned char>(at_[4]);
      return {{at_ + entry_header + key, load<std::uint16_t>(2) & 0x3fffU}, 0, 0, encoding(), frequency()};
    }
    return {value_text(), expires_at(), accessed(), encoding(), frequency(), absent(), value_blob(), extra()};
  }
  char* data() const { return at_; }
  /// Overwrites what an older, longer entry has left behind this one.
  void wipe_slack() {
    const std::size_t value = (flags() & kValueBlob) != 0 ? sizeof(void*) : load<std::uint16_t>(2) & 0x3fffU;
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
  enum : unsigned {
    kDeadline = 1,
    kWideDeadline = 2,
    kKeyBlob = 4,
    kValueBlob = 8,
    kAccessed = 16,
    kExtra = 32,
    kAbsent = 64,
    kDead = 128
  };
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
  std::string_view blob_view(std::size_t offset) const {
    return Blob::borrow(load<void*>(offset), [](const Blob& blob) { return blob.view(); });
  }

  char* at_;
};

}  // namespace pinfold::store
