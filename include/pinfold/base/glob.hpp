#pragma once
// Redis' glob patterns, compiled: * ? [abc] [^a-z] and \ to escape.
//
// A pattern is cut at its stars. What stands before the first and behind the last must be the beginning and the end of the text;
// of the pieces in between, each must follow somewhere behind the one before, and taking the first place where it fits is never
// wrong. A piece of plain characters is searched for as Knuth, Morris and Pratt do (1977), any other with a bit for each of its
// characters (shift-and: Baeza-Yates and Gonnet, 1992). So the time to match is linear in the text for every pattern, and there is
// no recursion (unlike Redis before CVE-2022-36021 and CVE-2024-31228). Matching allocates nothing.

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pinfold {

class Glob {
 public:
  /// The longest pattern, and what it takes at most when it is compiled.
  static constexpr std::size_t longest = 64 * 1024;
  static constexpr std::size_t most_compiled = 2 * 1024 * 1024;

  explicit Glob(std::string_view pattern, bool ignore_case = false);

  /// What is wrong with the pattern: "is longer than 65536 bytes". Null: it can be used.
  const char* refused() const { return refused_; }
  /// A pattern that was refused matches nothing. Thread-safe.
  bool matches(std::string_view text) const;
  /// The most comparisons that are made for each byte of a text, beyond one for each character of the pattern.
  unsigned cost() const { return cost_; }
  /// Bytes that a pattern takes at most when it is compiled.
  static std::size_t most_memory(std::string_view pattern) {
    constexpr std::size_t header = 256;
    constexpr std::size_t for_a_character = 1024;  // of a piece with wildcards that is as short as can be
    return std::min(header + std::min(pattern.size(), longest) * for_a_character, most_compiled);
  }
  /// The most comparisons that matches() makes for `text`.
  std::uint64_t most_compared(std::string_view text) const {
    return std::uint64_t{cost_} * text.size() + std::min(elements_.size(), text.size());
  }
  /// Bytes of what was compiled.
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
    std::uint32_t words = 0;  // with bits: of a mask
    std::uint32_t masks = 0;  // its first, among masks_
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
  std::vector<Piece> pieces_;  // the first and the last are fixed in place; without a star there is one
  std::vector<Class> classes_;
  std::vector<std::uint16_t> failures_;  // by element: how much of the piece still fits when the next one does not
  std::vector<std::uint64_t> masks_;     // of a piece, by byte: which elements the byte fits
};

}  // namespace pinfold
