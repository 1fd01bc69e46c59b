#pragma once
// Remembers which entries were evicted lately, by fingerprints of their hashes and without keys. Not thread-safe.
//
// It is approximate on purpose. A word of 4 bytes holds a 20-bit fingerprint and a 12-bit age. It lies in one of two buckets of 8
// words: in a free place, or in place of the oldest word of both. An entry is forgotten after about `capacity` newer ones. A false
// hit (1 in about 30 000 look-ups) admits a key to the main queue that was not evicted before, which does no harm.
//
// No operation takes longer for a larger ghost. The memory of a table comes zeroed from the system, so it is not cleared. After a
// resize, the old table is asked beside the new one until everything in it is too old.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "pinfold/eviction/ghost_pages.hpp"

namespace pinfold::eviction {

class Ghost {
 public:
  /// Memory comes from `pages`. If that is null, it comes from the system, with a system call in resize().
  explicit Ghost(GhostPages* pages = nullptr) : pages_(pages) {}

  /// Changes how many entries are remembered. That takes effect when provide() has gone through all pages of the new table; at once, if
  /// the table has only a few pages and there are no GhostPages. What is remembered stays if the capacity grows. If the system has no
  /// memory, nothing changes.
  void resize(std::size_t capacity);
  std::size_t capacity() const { return capacity_; }
  /// Bytes in use. A new table counts by the pages that it has got so far. If it counted as a whole at once, the next command that needs
  /// room would have to evict for all of it.
  std::size_t memory() const { return current_.memory() + previous_.memory() + next_.provided(); }

  /// Forgets everything, and remembers nothing until resize().
  void clear();

  /// Makes the system provide up to `pages` pages of a new table. Without that each insertion would wait for a page, and an eviction
  /// inserts hundreds of entries. Returns false when all pages are there.
  bool provide(std::size_t pages = few_pages);

  /// Starts fetching what remember() and take() will read.
  void prefetch(std::uint64_t hash) const {
    if (!current_.empty()) current_.prefetch(hash);
  }
  void remember(std::uint64_t hash);
  /// Forgets the entry with this hash and returns its age: how many entries were remembered after it, to 1/1024 of the capacity.
  /// Returns nothing if the entry is not known.
  std::optional<std::uint64_t> take(std::uint64_t hash);

 private:
  static constexpr std::size_t few_pages = 16;

  /// Zeroed pages of their own. The C library's heap might have to clear them, so they do not come from there.
  class Words {
   public:
    Words() = default;
    /// At the end the memory goes back to `pages`, or to the system if that is null.
    Words(std::span<std::uint32_t> words, GhostPages* pages) : words_(words), pages_(pages) {}
    ~Words();
    Words(Words&& other) noexcept
        : words_(std::exchange(other.words_, {})), provided_(std::exchange(other.provided_, 0)), pages_(other.pages_) {}
    Words& operator=(Words&& other) noexcept {
      std::swap(words_, other.words_);
      std::swap(provided_, other.provided_);
      std::swap(pages_, other.pages_);
      return *this;
    }
    std::span<std::uint32_t> all() const { return words_; }
    bool provide(std::size_t pages);
    std::size_t provided() const { return std::min(provided_, words_.size()); }

   private:
    std::span<std::uint32_t> words_;
    std::size_t provided_ = 0;  // words whose pages are there
    GhostPages* pages_ = nullptr;
  };

  class Table {
   public:
    Table() = default;
    Table(std::size_t capacity, std::span<std::uint32_t> words, GhostPages* pages);
    /// The number of words of a table for `capacity` entries.
    static std::size_t words_for(std::size_t capacity);
    std::size_t memory() const { return words_.all().size_bytes(); }
    std::size_t provided() const { return words_.provided() * sizeof(std::uint32_t); }  // bytes whose pages are there
    bool empty() const { return words_.all().empty(); }
    bool provide(std::size_t pages) { return words_.provide(pages); }
    /// To be called for each entry that is remembered, here or in a newer table.
    void advance() { ++clock_; }
    void prefetch(std::uint64_t hash) const;
    void put(std::uint64_t hash);
    std::optional<std::uint64_t> take(std::uint64_t hash);

   private:
    std::array<std::span<std::uint32_t>, 2> buckets_of(std::uint64_t hash) const;
    std::uint32_t age(std::uint32_t word) const;

    Words words_;
    std::uint64_t clock_ = 0;
    std::uint64_t per_tick_ = 1;
  };

  void install();
  void drop_order();

  GhostPages* pages_;
  std::size_t capacity_ = 0;
  std::size_t until_forgotten_ = 0;  // insertions until everything in previous_ is too old
  Table current_;
  Table previous_;
  std::shared_ptr<GhostPages::Order> order_;  // for the pages of next_
  Table next_;                                // takes the place of current_ when its pages are there
};

}  // namespace pinfold::eviction
