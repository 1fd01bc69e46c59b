#pragma once
// Elements of collections: how one element (a member, a field, a value of a field) lies in a run of bytes.
//
// A run has elements one behind the other, with nothing between them. The first byte of an element says what follows:
//
//   0 to 127    the element is this number
//   128 to 191  a text of 0 to 63 bytes follows (the low six bits)
//   192 to 207  a text of up to 4095 bytes: the low four bits and the next byte are its size
//   208 to 215  a number of 1 to 8 bytes, little-endian, in two's complement
//   216         a text in a block of its own: a pointer to its Blob, and its hash (hash_of_text)
//
// A text that is a number in canonical form is always kept as a number, and the shortest form is always used. So two elements are the
// same text if and only if their bytes are the same, unless they lie in blocks. A text of 16 bytes costs 17, a number below 128 one,
// and one below 32768 three.

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "pinfold/base/blob.hpp"

namespace pinfold::store {

/// A longer text lies in a block of its own.
constexpr std::size_t most_inline_element = 512;
/// The longest packed form.
constexpr std::size_t most_packed_element = most_inline_element + 2;

/// The keyed hash of an element's text, by which sets and hashes are ordered, and their cursors count. Its key is drawn once per
/// process. 53 bits, so that a cursor of SSCAN stays exact in JavaScript. O(size).
std::uint64_t hash_of_text(std::string_view text);
constexpr unsigned element_hash_bits = 53;

/// A packed element where it lies. A view that owns nothing. Thread-safe as far as the bytes are only read.
class Element {
 public:
  explicit Element(const char* at) : at_(at) {}

  const char* data() const { return at_; }
  /// Bytes of the packed form. O(1), as everything here that does not say otherwise.
  std::size_t size() const {
    const unsigned first = byte(0);
    if (first < 128) return 1;
    if (first < 192) return 1 + (first & 63U);
    if (first < 208) return 2 + ((first & 15U) << 8 | byte(1));
    if (first < 216) return first - 206;
    return block_form;
  }
  /// The packed form. For a block this is the pointer and the hash.
  std::string_view packed() const { return {at_, size()}; }
  const char* end() const { return at_ + size(); }

  bool is_number() const { return byte(0) < 128 || (byte(0) >= 208 && byte(0) < 216); }
  bool is_block() const { return byte(0) == 216; }
  /// Only if is_number().
  std::int64_t number() const;
  /// A new reference to the block. Only if is_block().
  Blob share() const { return Blob::share(block()); }
  /// The pointer that stands for the reference. Only if is_block().
  void* block() const {
    void* raw = nullptr;
    std::memcpy(&raw, at_ + 1, sizeof raw);
    return raw;
  }

  /// Room for the text of a number.
  using Digits = std::array<char, 20>;
  /// The text. It lies in the element, in its block, or in `digits`.
  std::string_view text(Digits& digits) const;
  /// Bytes of the text.
  std::size_t text_size() const;
  /// hash_of_text() of the text. O(size), but O(1) for a block.
  std::uint64_t hash() const;

 private:
  static constexpr std::size_t block_form = 1 + sizeof(void*) + sizeof(std::uint64_t);

  unsigned byte(std::size_t at) const { return static_cast<unsigned char>(at_[at]); }

  const char* at_;
};

/// The packed form of a text: for storing it, and for finding it among elements. Owns its bytes, and a reference to the block if it has
/// one. Not thread-safe.
class PackedElement {
 public:
  /// A text of more than most_inline_element bytes gets no block yet: the object can then only be compared. The text must stay valid as
  /// long as the object is used. O(size).
  explicit PackedElement(std::string_view text);
  explicit PackedElement(std::int64_t number);
  /// The same with the block in which a long text has been received (Call::take_blob()); an empty one is no block.
  PackedElement(std::string_view text, Blob block);
  /// The same text as an element, with a further reference to its block. The element must stay valid as long as the object is used.
  explicit PackedElement(const Element& element);
  PackedElement(const PackedElement&) = delete;
  PackedElement& operator=(const PackedElement&) = delete;

  std::string_view text() const { return text_; }
  std::uint64_t hash() const;

  bool needs_block() const { return size_ == 0; }
  /// Makes the block of a long text. Returns false if there is no memory. Does nothing if none is needed.
  bool provide_block(BlockHeap& heap);
  /// The packed form; not while needs_block(). A block's reference stays with this object until keep_block() has been called.
  std::string_view packed() const { return {bytes_.data(), size_}; }
  /// To be called when packed() has been stored: whoever has stored it owns the reference now.
  void keep_block() { block_.detach(); }
  /// Overwrites the packed form, after which the object may only be destroyed.
  void forget();

  /// Whether `other` is the same text. O(size) for a text of the same size.
  bool equals(const Element& other) const {
    if (size_ != 0 && !block_) [[likely]]
      return other.size() == size_ && std::memcmp(other.data(), bytes_.data(), size_) == 0;
    return equals_block(other);
  }

 private:
  void pack(std::string_view text);
  void pack_number(std::int64_t number);
  void pack_block();
  bool equals_block(const Element& other) const;

  std::string_view text_;
  Blob block_;
  std::size_t size_ = 0;  // of the packed form; 0: a long text without a block
  Element::Digits digits_;
  std::array<char, most_packed_element> bytes_;
};

/// -1, 0 or 1: the order of the texts as bytes, which is that of members with the same score. O(size).
int compare_texts(const Element& a, std::string_view b);

}  // namespace pinfold::store
