#include "pinfold/base/glob.hpp"

#include <algorithm>
#include <array>

#include "pinfold/base/text.hpp"
#include "pinfold/base/work.hpp"

namespace pinfold {

namespace {

constexpr std::size_t nowhere = std::string_view::npos;
constexpr std::size_t word_bits = 64;
constexpr std::size_t most_words = 16;              // of one mask of a piece with wildcards
constexpr std::size_t most_mask_words = 64 * 1024;  // of all masks of a pattern: 512 KB
constexpr std::size_t short_piece = 2;              // a piece up to this long is compared at each place

unsigned char byte_of(char c) { return static_cast<unsigned char>(c); }

}  // namespace

unsigned char Glob::folded(char c) const { return byte_of(ignore_case_ ? lower(c) : c); }

Glob::Glob(std::string_view pattern, bool ignore_case) : ignore_case_(ignore_case) {
  if (pattern.size() > longest) {
    refused_ = "is longer than 65536 bytes";
    return;
  }
  elements_.reserve(pattern.size());
  pieces_.emplace_back();
  for (std::size_t at = 0; at < pattern.size();) {
    const char c = pattern[at++];
    switch (c) {
      case '*':
        end_piece();
        break;
      case '?':
        elements_.push_back(any);
        break;
      case '[':
        at = parse_class(pattern, at);
        break;
      case '\\':
        elements_.push_back(folded(at < pattern.size() ? pattern[at] : c));
        ++at;
        break;
      default:
        elements_.push_back(folded(c));
    }
  }
  pieces_.back().size = static_cast<std::uint32_t>(elements_.size()) - pieces_.back().begin;
  for (std::size_t i = 1; i + 1 < pieces_.size() && refused_ == nullptr; ++i) prepare(pieces_[i]);
}

// Ends the present piece at a star and begins the next one.
void Glob::end_piece() {
  Piece& piece = pieces_.back();
  piece.size = static_cast<std::uint32_t>(elements_.size()) - piece.begin;
  starred_ = true;
  // Several stars in a row are one.
  if (piece.size > 0 || pieces_.size() == 1) {
    pieces_.emplace_back().begin = static_cast<std::uint32_t>(elements_.size());
  }
}

// Adds the class whose text begins at `at`, after its bracket. A class without a closing bracket ends with the pattern. Returns where
// the pattern goes on.
std::size_t Glob::parse_class(std::string_view pattern, std::size_t at) {
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  Class caseless;  // folded bytes, if case is ignored
  Class exact;     // escaped bytes, which match literally even if case is ignored
  while (at < pattern.size() && pattern[at] != ']') {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) {
      exact.set(byte_of(pattern[at + 1]));
      at += 2;
    } else if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
      const auto [first, last] = std::minmax({byte_of(pattern[at]), byte_of(pattern[at + 2])});
      const unsigned end = folded(static_cast<char>(last));
      for (unsigned c = folded(static_cast<char>(first)); c <= end; ++c) caseless.set(c);
      at += 3;
    } else {
      caseless.set(folded(pattern[at]));
      ++at;
    }
  }
  Class all;
  work::bytes(all.size());
  for (unsigned c = 0; c < all.size(); ++c) {
    all[c] = (caseless.test(folded(static_cast<char>(c))) || exact.test(c)) != negated;
  }
  if (all.all()) {
    elements_.push_back(any);
  } else if (all.count() == 1 && !ignore_case_) {
    elements_.push_back(static_cast<Element>(all._Find_first()));
  } else {
    elements_.push_back(static_cast<Element>(first_class + classes_.size()));
    classes_.push_back(all);
  }
  return std::min(at + 1, pattern.size());
}

// Chooses the algorithm that searches for the piece, and prepares it.
void Glob::prepare(Piece& piece) {
  const auto begin = elements_.begin() + piece.begin;
  const auto end = begin + piece.size;
  if (std::all_of(begin, end, [](Element e) { return e < any; })) {
    piece.search = Search::plain;
    cost_ = std::max(cost_, 2U);
    return prepare_plain(piece);
  }
  if (piece.size <= short_piece || std::all_of(begin, end, [](Element e) { return e == any; })) {
    cost_ = std::max(cost_, static_cast<unsigned>(short_piece));
    return;
  }
  piece.search = Search::bits;
  prepare_bits(piece);
}

void Glob::prepare_plain(const Piece& piece) {
  failures_.resize(elements_.size());
  const Element* const elements = &elements_[piece.begin];
  std::uint16_t* const failures = &failures_[piece.begin];
  std::size_t fitting = 0;
  for (std::size_t i = 1; i < piece.size; ++i) {
    while (fitting > 0 && elements[i] != elements[fitting]) fitting = failures[fitting - 1];
    if (elements[i] == elements[fitting]) ++fitting;
    failures[i] = static_cast<std::uint16_t>(fitting);
  }
}

void Glob::prepare_bits(Piece& piece) {
  piece.words = static_cast<std::uint32_t>((piece.size + word_bits - 1) / word_bits);
  const std::size_t needed = std::size_t{256} * piece.words;
  if (piece.words > most_words) {
    refused_ = "has more than 1024 characters with a '?' or '[' among them between two '*'";
    return;
  }
  if (masks_.size() + needed > most_mask_words) {
    refused_ = "has too many parts with a '?' or '[' between two '*'";
    return;
  }
  piece.masks = static_cast<std::uint32_t>(masks_.size());
  masks_.resize(masks_.size() + needed);
  work::bytes(std::uint64_t{256} * piece.size);
  for (unsigned c = 0; c < 256; ++c) {
    std::uint64_t* const mask = &masks_[piece.masks + std::size_t{c} * piece.words];
    for (std::size_t i = 0; i < piece.size; ++i) {
      const bool fit = fits(elements_[piece.begin + i], static_cast<char>(c));
      mask[i / word_bits] |= std::uint64_t{fit} << i % word_bits;
    }
  }
  cost_ = std::max(cost_, piece.words);
}

bool Glob::matches(std::string_view text) const {
  if (refused_ != nullptr || text.size() < elements_.size() || (!starred_ && text.size() > elements_.size())) return false;
  std::uint64_t compared = 0;
  const Piece& head = pieces_.front();
  const Piece& tail = pieces_.back();
  bool found = fits_at(head, text, 0, compared);
  if (found && starred_) {
    const std::size_t end = text.size() - tail.size;
    found = fits_at(tail, text, end, compared);
    const std::string_view middle = text.substr(0, end);
    std::size_t at = head.size;
    for (std::size_t i = 1; found && i + 1 < pieces_.size(); ++i) {
      at = find(pieces_[i], middle, at, compared);
      found = at != nowhere;
    }
  }
  work::bytes(compared);
  return found;
}

bool Glob::fits_at(const Piece& piece, std::string_view text, std::size_t at, std::uint64_t& compared) const {
  for (std::size_t i = 0; i < piece.size; ++i) {
    ++compared;
    if (!fits(elements_[piece.begin + i], text[at + i])) return false;
  }
  return true;
}

// Finds the first place from `from` on at which the piece fits. Returns where the text goes on after it.
std::size_t Glob::find(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const {
  if (text.size() - from < piece.size) return nowhere;
  switch (piece.search) {
    case Search::plain:
      return find_plain(piece, text, from, compared);
    case Search::bits:
      return find_bits(piece, text, from, compared);
    case Search::naive:
      break;
  }
  return find_naive(piece, text, from, compared);
}

std::size_t Glob::find_naive(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const {
  for (std::size_t at = from; at + piece.size <= text.size(); ++at) {
    if (fits_at(piece, text, at, compared)) return at + piece.size;
  }
  return nowhere;
}

std::size_t Glob::find_plain(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const {
  const Element* const elements = &elements_[piece.begin];
  const std::uint16_t* const failures = &failures_[piece.begin];
  std::size_t fitting = 0;
  for (std::size_t at = from; at < text.size(); ++at) {
    const Element c = folded(text[at]);
    ++compared;
    for (; fitting > 0 && elements[fitting] != c; ++compared) fitting = failures[fitting - 1];
    if (elements[fitting] == c) ++fitting;
    if (fitting == piece.size) return at + 1;
  }
  return nowhere;
}

std::size_t Glob::find_bits(const Piece& piece, std::string_view text, std::size_t from, std::uint64_t& compared) const {
  std::array<std::uint64_t, most_words> fitting{};  // bit i: the elements up to i fit the text that ends here
  const std::size_t last = piece.words - 1;
  const std::uint64_t whole = std::uint64_t{1} << (piece.size - 1) % word_bits;
  for (std::size_t at = from; at < text.size(); ++at) {
    const std::uint64_t* const mask = &masks_[piece.masks + std::size_t{byte_of(text[at])} * piece.words];
    std::uint64_t carry = 1;  // the piece may begin at any place
    for (std::size_t w = 0; w <= last; ++w) {
      const std::uint64_t next = fitting[w] << 1 | carry;
      carry = fitting[w] >> (word_bits - 1);
      fitting[w] = next & mask[w];
    }
    compared += piece.words;
    if ((fitting[last] & whole) != 0) return at + 1;
  }
  return nowhere;
}

}  // namespace pinfold
