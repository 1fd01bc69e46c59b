#include "pinfold/types/number_set.hpp"

#include <algorithm>
#include <bit>

#include "pinfold/base/work.hpp"

namespace pinfold::types {

static_assert(std::endian::native == std::endian::little, "the low bytes of a number come first");

namespace {
thread_local NumberSetBuffer scratch_numbers;
}  // namespace

NumberSetBuffer& NumberSetBuffer::scratch() {
  scratch_numbers.clear();
  return scratch_numbers;
}

void NumberSetBuffer::forget_scratch() {
  std::memset(scratch_numbers.bytes_.data(), 0, scratch_numbers.most_);
  scratch_numbers.most_ = 0;
}

void NumberSetBuffer::assign(std::string_view bytes) {
  size_ = bytes.size();
  if (size_ > 0) std::memcpy(bytes_.data(), bytes.data(), size_);
  most_ = std::max(most_, size_);
  work::bytes(size_);
}

bool NumberSetBuffer::insert(std::int64_t number) {
  const std::size_t place = numbers().place_of(number);
  if (place < size() && numbers().at(place) == number) return false;
  insert_at(place, number);
  return true;
}

void NumberSetBuffer::insert_at(std::size_t place, std::int64_t number) {
  if (size_ == 0) {
    bytes_[0] = static_cast<char>(NumberSet::width_of(number));
    size_ = 1;
  }
  if (NumberSet::width_of(number) > numbers().width()) widen(NumberSet::width_of(number));
  const std::size_t width = numbers().width();
  char* const at = bytes_.data() + 1 + place * width;
  const std::size_t behind = size_ - 1 - place * width;
  std::memmove(at + width, at, behind);
  std::memcpy(at, &number, width);
  size_ += width;
  most_ = std::max(most_, size_);
  work::bytes(behind);
}

void NumberSetBuffer::erase(std::size_t place) {
  const std::size_t width = numbers().width();
  char* const at = bytes_.data() + 1 + place * width;
  const std::size_t behind = size_ - 1 - (place + 1) * width;
  std::memmove(at, at + width, behind);
  size_ -= width;
  work::bytes(behind);
}

// From the last number to the first, since each moves to a later place.
void NumberSetBuffer::widen(std::size_t width) {
  const NumberSet old = numbers();
  const std::size_t count = old.size();
  for (std::size_t place = count; place > 0; --place) {
    const std::int64_t number = old.at(place - 1);
    std::memcpy(bytes_.data() + 1 + (place - 1) * width, &number, width);
  }
  bytes_[0] = static_cast<char>(width);
  size_ = 1 + count * width;
  most_ = std::max(most_, size_);
  work::bytes(size_);
}

}  // namespace pinfold::types
