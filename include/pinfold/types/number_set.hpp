#pragma once
// Small sets of numbers: what lies in an entry under Form::packed_numbers.
//
// The first byte is the width of a number: 2, 4 or 8 bytes. The numbers follow, little-endian, in two's complement, and in ascending order.
// All have the width that the widest one needs. So a set of N such numbers takes 1 + N * width bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace pinfold::types {

/// A small set of numbers where it lies. A view that owns nothing. Empty bytes are an empty set.
class NumberSet {
 public:
  /// A set with more numbers is kept differently. To bring all of them into a tree must fit into the budget of a lock hold (512 entries).
  static constexpr std::size_t most = 448;

  explicit NumberSet(std::string_view bytes) : bytes_(bytes) {}

  std::string_view bytes() const { return bytes_; }
  std::size_t width() const { return bytes_.empty() ? least_width : static_cast<unsigned char>(bytes_.front()); }
  std::size_t size() const { return bytes_.empty() ? 0 : (bytes_.size() - 1) / width(); }
  /// The number at a place, in ascending order. O(1).
  std::int64_t at(std::size_t place) const {
    switch (width()) {
      case 2:
        return load<std::int16_t>(place);
      case 4:
        return load<std::int32_t>(place);
      default:
        return load<std::int64_t>(place);
    }
  }
  /// The place of the first number that is not less than this one; size() if there is none. O(log size).
  std::size_t place_of(std::int64_t number) const {
    switch (width()) {
      case 2:
        return search<std::int16_t>(number);
      case 4:
        return search<std::int32_t>(number);
      default:
        return search<std::int64_t>(number);
    }
  }
  bool contains(std::int64_t number) const {
    const std::size_t place = place_of(number);
    return place < size() && at(place) == number;
  }
  /// The width that a number needs.
  static std::size_t width_of(std::int64_t number) {
    if (number >= INT16_MIN && number <= INT16_MAX) return 2;
    return number >= INT32_MIN && number <= INT32_MAX ? 4 : 8;
  }

 private:
  static constexpr std::size_t least_width = 2;

  template <class Number>
  std::int64_t load(std::size_t place) const {
    Number number = 0;
    std::memcpy(&number, bytes_.data() + 1 + place * sizeof number, sizeof number);
    return number;
  }
  template <class Number>
  std::size_t search(std::int64_t number) const {
    std::size_t first = 0;
    for (std::size_t count = size(); count > 0;) {
      const std::size_t half = count / 2;
      const bool before = load<Number>(first + half) < number;
      first = before ? first + half + 1 : first;
      count = before ? count - half - 1 : half;
    }
    return first;
  }

  std::string_view bytes_;
};

/// Such a set that is being changed: a copy of its bytes, with room for one number more than `NumberSet::most`. Not thread-safe.
class NumberSetBuffer {
 public:
  /// The buffer of this thread. Each call begins with no numbers. Whoever uses it calls types::forget_scratch() in the end.
  static NumberSetBuffer& scratch();
  /// Overwrites all that has been in the buffer of this thread since the last call.
  static void forget_scratch();

  void clear() { size_ = 0; }
  /// Takes over a copy of the bytes of a set.
  void assign(std::string_view bytes);

  std::string_view bytes() const { return {bytes_.data(), size_}; }
  NumberSet numbers() const { return NumberSet(bytes()); }
  std::size_t size() const { return numbers().size(); }
  /// Whether the set may still be kept in this way.
  bool fits() const { return size() <= NumberSet::most; }

  /// Adds a number. Returns false if it is there already. Requires fits(). O(size).
  bool insert(std::int64_t number);
  /// Adds a number that is larger than all that are there. O(1), but O(size) if it is the first one that needs its width.
  void append(std::int64_t number) { insert_at(size(), number); }
  /// Removes the number at a place. O(size).
  void erase(std::size_t place);

 private:
  void insert_at(std::size_t place, std::int64_t number);
  void widen(std::size_t width);

  std::size_t size_ = 0;  // bytes
  std::size_t most_ = 0;  // bytes that have been in it since it was last overwritten
  std::array<char, 1 + (NumberSet::most + 1) * sizeof(std::int64_t)> bytes_{};
};

}  // namespace pinfold::types
