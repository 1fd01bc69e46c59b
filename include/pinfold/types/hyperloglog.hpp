#pragma once
// HyperLogLog: estimates in 12 KB how many different elements were added, with an error of 0.81 %.
//
// An element's hash chooses one of 16384 registers and has a rank, which is the number of zeros at its end plus one. A register keeps the
// highest rank that it was given. The estimate follows from how many registers hold which rank: O. Ertl, "New cardinality estimation
// algorithms for HyperLogLog sketches" (2017), algorithm 6.
//
// The value is a plain string in the format of Redis, so that clients can GET it from one server and SET it in another:
//
//   "HYLL", encoding (1 byte), 3 bytes of zeros, the last estimate (8 bytes, little-endian; bit 63: it is out of date), registers
//
// Dense registers (encoding 0) have 6 bits each, from the lowest bit of each byte upwards: 12288 bytes. Sparse ones (encoding 1) are runs:
//
//   00nnnnnn            n + 1 registers of 0
//   01nnnnnn nnnnnnnn   the same for up to 16384 registers
//   1vvvvvnn            n + 1 registers of v + 1
//
// Clients write these strings too, so nothing in them is trusted: each run is checked against the end of the string and the number of
// registers.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pinfold::types::hyperloglog {

constexpr std::size_t register_count = 16384;
constexpr std::size_t header_bytes = 16;
constexpr std::size_t dense_bytes = header_bytes + register_count * 6 / 8;
/// No valid value is longer: each run has two bytes at most, and one register at least.
constexpr std::size_t most_bytes = header_bytes + register_count * 2;

/// Whether `text` begins as a HyperLogLog, and has the length of one if it is dense. O(1).
bool is_one(std::string_view text);

// The functions below require is_one().

bool is_dense(std::string_view text);
/// The estimate that was stored with the registers; nothing if they have changed since. O(1).
std::optional<std::uint64_t> stored_estimate(std::string_view text);
/// Stores the estimate in the header of a value.
void store_estimate(char* text, std::uint64_t estimate);

/// What an element does: the register that it is for, and the rank for it.
struct Element {
  std::uint32_t index;
  std::uint8_t rank;  // 1 to 51
};
/// O(bytes of the element).
Element element_of(std::string_view text);

/// A register of a dense value. O(1).
std::uint8_t dense_register(std::string_view text, std::size_t index);
/// Raises a register of a dense value, which is the caller's to change, and marks the stored estimate as out of date.
void raise_dense(char* text, Element element);

/// All registers, a byte each. Large, so a thread should have one (scratch()). Not thread-safe.
class Registers {
 public:
  /// The registers of this thread. Each call begins with zeros.
  static Registers& scratch();

  std::uint8_t operator[](std::size_t index) const { return ranks_[index]; }
  void clear() { ranks_.fill(0); }
  /// Takes the higher rank of these registers and those of a value. Returns false if the value is corrupt; its valid part is then taken.
  /// O(registers).
  bool merge(std::string_view text);
  /// Returns whether the register has become higher.
  bool raise(Element element) {
    if (ranks_[element.index] >= element.rank) return false;
    ranks_[element.index] = element.rank;
    return true;
  }
  /// How many different elements were added. O(registers).
  std::uint64_t estimate() const;

 private:
  friend class Buffer;
  bool merge_sparse(std::string_view runs);
  void merge_dense(std::string_view packed);

  std::array<std::uint8_t, register_count> ranks_{};
};

/// A value that is being made or changed. Large, so a thread should have one (scratch()). Not thread-safe.
class Buffer {
 public:
  /// The most bytes of the sparse form, whatever the setting says. With more, the dense form is smaller or nearly so, and a change would
  /// have to go through too much.
  static constexpr std::size_t most_sparse = 16000;

  /// The buffer of this thread. Each call begins with an empty HyperLogLog in the sparse form.
  static Buffer& scratch();

  /// Takes over a copy of a value of most_bytes at most.
  void assign(std::string_view text);
  std::string_view bytes() const { return {bytes_.data(), size_}; }

  enum class Raised : std::uint8_t { no, yes, corrupt };
  /// Raises a register, and marks the stored estimate as out of date. A value in the sparse form becomes dense if it would be longer than
  /// `sparse_max` bytes, or if the rank does not fit. O(bytes) in the sparse form, otherwise O(1).
  Raised raise(Element element, std::size_t sparse_max);
  /// Makes a value of registers, with a stored estimate that is out of date: sparse if that takes `sparse_max` bytes at most, unless it
  /// has to be dense. O(registers).
  void encode(const Registers& registers, bool dense, std::size_t sparse_max);

 private:
  struct Run {
    std::size_t at;     // where it begins
    std::size_t bytes;  // 1 or 2
    std::size_t first;  // its first register
    std::size_t count;  // of registers
    std::uint8_t rank;  // 0 to 32
  };
  Run run_at(std::size_t at, std::size_t first) const;
  Run run_with(std::size_t index, std::size_t& before) const;
  Raised raise_sparse(Element element, std::size_t sparse_max);
  Raised raise_as_dense(Element element);
  void join_runs(std::size_t at);
  void begin(bool dense);
  void encode_dense(const Registers& registers);
  bool encode_sparse(const Registers& registers, std::size_t sparse_max);

  std::size_t size_ = 0;
  std::array<char, most_bytes> bytes_{};
};

}  // namespace pinfold::types::hyperloglog
