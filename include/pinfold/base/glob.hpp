#pragma once
// Redis' glob patterns, compiled: * ? [abc] [^a-z] and \ to escape.
//
// A pattern is cut at its stars into pieces. The text must begin with the first piece and end with the last. Each piece in between must
// follow somewhere after the one before it; taking the first place where it fits is never wrong. A piece of plain characters is found
// by the algorithm of Knuth, Morris and Pratt (1977), any other piece by shift-and with a bit for each of its characters (Baeza-Yates
// and Gonnet, 1992). So the time to match is linear in the text for every pattern, and there is no recursion (unlike Redis before
// CVE-2022-36021 and CVE-2024-31228). Matching allocates nothing.

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pinfold {

class Glob {
 public:
  /// The longest pattern, and the most bytes that a compiled pattern takes.
  static constexpr std::size_t longest = 64 * 1024;
  static constexpr std::size_t most_compiled = 2 * 1024 * 1024;

  explicit Glob(std::string_view pattern, bool ignore_case = false);

  /// The error in the pattern, such as "is longer than 65536 bytes"; null if it can be used.
  const char* refused() const { return refused_; }
  /// Whether all of `text` matches. A refused pattern matches nothing. Thread-safe.
  bool matches(std::string_view text) const;
  /// The most comparisons for each byte of a text. One for each character of the pattern comes on top.
  unsigned cost() const { return cost_; }
  /// The most bytes that this pattern takes once it is compiled.
  static std::size_t most_memory(std::string_view pattern) {
    constexpr std::size_t header = 256;
    constexpr std::size_t for_a_character = 1024;  // in the shortest piece with wildcards
    return std::min(header + std::min(pattern.size(), longest) * for_a_character, most_compiled);
  }
  /// The most comparisons that matches() makes for `text`.
  std::uint64_t most_compared(std::string_view text) const {
    return std::uint64_t{cost_} * text.size() + std::min(elements_.size(), text.size());
  }
  /// Bytes of the compiled pattern.
  std::size_t memory() const {
    return elements_.capacity() * sizeof(Element) + failures_.capacity() * sizeof(std::uint16_t) + classes_.capacity() * sizeof(Class) +
           masks_.capacity() * sizeof(std::uint64_t) + pieces_.capacity() * sizeof(Piece);
  }

 private:
  using Element = std::uint16_t;  // a byte, `any`, or first_class and the number of a class
  using Class = std::bitset<256>;
  static constexpr Element any = 256;
  static constexpr Element first_class = 257;

  enum class Search : std::uint8_t { plain, naive, bits };
  struct Piece {
    std::uint32_t begin = 0;  // among elements_
    std::uint32_t size = 0;
    Search search = Search::naive;
    std::uint32_t words = 0;  // of one mask, for Search::bits
    std::uint32_t masks = 0;  // index of its first mask in masks_
  };

  std::size_t parse_class(std::string_view pattern, std::size_t at);
  void end_piece();
  void prepare(Piece& piece);
  void prepare_plain(const Piece& piece);
  void prepare_bits(Piece& piece);

  unsigned char folded(char c) const;
  bool fits(Element element, char c) const {
    if (element < any) return element == folded(c);
    return element == any || classes_[element - first_class].test(static_cast<unsigned char>(c));
  }
  bool fits_at(const Piece& piece, std::string_view text, std::size_t at, std::uint64_t& compared) const;
  std::size_t find(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const;
  std::size_t find_plain(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const;
  std::size_t find_naive(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const;
  std::size_t find_bits(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const;

  bool ignore_case_;
  bool starred_ = false;
  unsigned cost_ = 0;
  const char* refused_ = nullptr;
  std::vector<Element> elements_;
  std::vector<Piece> pieces_;  // the first and the last have a fixed place; a pattern without a star is one piece
  std::vector<Class> classes_;
  std::vector<std::uint16_t> failures_;  // for each element, how much of its piece still fits when the next element does not
  std::vector<std::uint64_t> masks_;     // for each piece and byte, the elements that the byte fits
};

}  // namespace pinfold
