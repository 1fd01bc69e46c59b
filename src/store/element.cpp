#include "pinfold/store/element.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "pinfold/base/numbers.hpp"
#include "pinfold/base/siphash.hpp"
#include "pinfold/base/work.hpp"

namespace pinfold::store {

std::uint64_t hash_of_text(std::string_view text) {
  static const HashKey key = random_hash_key();
  work::bytes(text.size());
  return siphash13(key, text) >> (64 - element_hash_bits);
}

std::int64_t Element::number() const {
  const unsigned first = byte(0);
  if (first < 128) return first;
  const std::size_t bytes = first - 207;
  std::uint64_t bits = 0;
  std::memcpy(&bits, at_ + 1, bytes);
  const unsigned unused = static_cast<unsigned>(8 * (sizeof bits - bytes));
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

std::string_view Element::text(Digits& digits) const {
  const unsigned first = byte(0);
  if (first >= 128 && first < 192) return {at_ + 1, first & 63U};
  if (first >= 192 && first < 208) return {at_ + 2, size() - 2};
  if (is_block()) return Blob::borrow(block(), [](const Blob& blob) { return blob.view(); });
  return {digits.data(), static_cast<std::size_t>(write_i64(digits.data(), number()) - digits.data())};
}

std::size_t Element::text_size() const {
  Digits digits;
  return text(digits).size();
}

std::uint64_t Element::hash() const {
  if (is_block()) {
    std::uint64_t hash = 0;
    std::memcpy(&hash, at_ + 1 + sizeof(void*), sizeof hash);
    return hash;
  }
  Digits digits;
  return hash_of_text(text(digits));
}

PackedElement::PackedElement(std::string_view text) : text_(text) { pack(text); }

PackedElement::PackedElement(std::int64_t number) : text_(digits_.data(), 0) {
  text_ = {digits_.data(), static_cast<std::size_t>(write_i64(digits_.data(), number) - digits_.data())};
  pack_number(number);
}

PackedElement::PackedElement(std::string_view text, Blob block) : text_(text) {
  if (block && text.size() > most_inline_element) {
    block_ = std::move(block);
    pack_block();
  } else {
    pack(text);
  }
}

PackedElement::PackedElement(const Element& element) : size_(element.size()) {
  text_ = element.text(digits_);
  std::memcpy(bytes_.data(), element.data(), size_);
  if (element.is_block()) block_ = element.share();
}

std::uint64_t PackedElement::hash() const { return block_ ? Element(bytes_.data()).hash() : hash_of_text(text_); }

void PackedElement::forget() { ::explicit_bzero(bytes_.data(), bytes_.size()); }

bool PackedElement::provide_block(BlockHeap& heap) {
  if (!needs_block()) return true;
  block_ = Blob::copy_of(heap, text_);
  if (!block_) return false;
  pack_block();
  return true;
}

void PackedElement::pack(std::string_view text) {
  constexpr std::size_t most_digits = 20;
  if (!text.empty() && text.size() <= most_digits && text.front() <= '9') {  // most texts begin with a letter
    if (const auto number = parse_i64(text)) return pack_number(*number);
  }
  if (text.size() > most_inline_element) return;
  std::size_t at = 0;
  if (text.size() < 64) {
    bytes_[at++] = static_cast<char>(128 | text.size());
  } else {
    bytes_[at++] = static_cast<char>(192 | text.size() >> 8);
    bytes_[at++] = static_cast<char>(text.size() & 255);
  }
  if (!text.empty()) std::memcpy(bytes_.data() + at, text.data(), text.size());
  size_ = at + text.size();
}

void PackedElement::pack_number(std::int64_t number) {
  if (number >= 0 && number < 128) {
    bytes_[0] = static_cast<char>(number);
    size_ = 1;
    return;
  }
  std::size_t bytes = 1;
  for (; bytes < sizeof number; ++bytes) {
    const unsigned unused = static_cast<unsigned>(8 * (sizeof number - bytes));
    if (static_cast<std::int64_t>(static_cast<std::uint64_t>(number) << unused) >> unused == number) break;
  }
  bytes_[0] = static_cast<char>(207 + bytes);
  std::memcpy(bytes_.data() + 1, &number, bytes);
  size_ = 1 + bytes;
}

void PackedElement::pack_block() {
  void* const raw = Blob(block_).detach();
  Blob::release(raw);  // block_ keeps the reference that the pointer stands for
  const std::uint64_t hash = hash_of_text(text_);
  bytes_[0] = static_cast<char>(216);
  std::memcpy(bytes_.data() + 1, &raw, sizeof raw);
  std::memcpy(bytes_.data() + 1 + sizeof raw, &hash, sizeof hash);
  size_ = 1 + sizeof raw + sizeof hash;
}

bool PackedElement::equals_block(const Element& other) const {
  if (!other.is_block()) return false;
  Element::Digits digits;
  const std::string_view text = other.text(digits);
  if (text.size() != text_.size()) return false;
  work::bytes(text.size());
  return text == text_;
}

int compare_texts(const Element& a, std::string_view b) {
  Element::Digits digits;
  const std::string_view text = a.text(digits);
  work::bytes(std::min(text.size(), b.size()));
  const int order = text.compare(b);
  return (order > 0) - (order < 0);
}

}  // namespace pinfold::store
