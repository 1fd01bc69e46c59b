#pragma once
// A memory of what was evicted lately: fingerprints of hashes, no keys. Not thread-safe.
//
// Approximate on purpose. A word holds a 20-bit fingerprint and a 12-bit age, and lies in the one of two buckets of 8
// that had room or else the older word; an entry is forgotten after about `capacity` newer ones. A false memory
// (1 in ~30 000 look-ups) admits a key to the main queue that had not been there: harmless. 4 bytes per remembered
// entry.
//
// Nothing takes time with the size: a table is fresh memory of the system, which is zero without being written, and a
// table that was outgrown is asked beside its successor until everything in it is too old.

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
  /// Its pages come from `pages`; with null at once from the system, which takes a system call.
  explicit Ghost(GhostPages* pages = nullptr) : pages_(pages) {}

  /// Remembers `capacity` entries: at once if those take a few pages and `pages` is null, else once provide() has gone through them,
  /// and until then as many as before. What is remembered stays so if the capacity grows. Without memory from the system it
  /// goes on as before.
  void resize(std::size_t capacity);
  std::size_t capacity() const { return capacity_; }
  /// Bytes. Of a table whose pages are not all there yet, those that are: memory is counted as it comes, not a whole table at once, for
  /// which whoever asks for room next would have to evict.
  std::size_t memory() const { return current_.memory() + previous_.memory() + next_.provided(); }

  /// Forgets everything, and remembers nothing until resize().
  void clear();

  /// Has the system provide up to so many pages of a table of another size: each insertion would otherwise wait for one,
  /// and whoever evicts inserts by the hundred. False when all are there.
  bool provide(std::size_t pages = few_pages);

  /// Starts fetching what remember() and take() will read.
  void prefetch(std::uint64_t hash) const {
    if (!current_.empty()) current_.prefetch(hash);
  }
  void remember(std::uint64_t hash);
  /// How many entries were remembered after that of `hash`, within 1/1024 of the capacity; none if it is not known.
  /// It is forgotten by being asked for.
  std::optional<std::uint64_t> take(std::uint64_t hash);

 private:
  static constexpr std::size_t few_pages = 16;

  /// Zeroed pages of their own, not from the heap: that might have to clear them.
  class Words {
   public:
    Words() = default;
    /// They go back to `pages`, if that is not null.
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
    std::size_t provided_ = 0;  // words
    GhostPages* pages_ = nullptr;
  };

  class Table {
   public:
    Table() = default;
    Table(std::size_t capacity, std::span<std::uint32_t> words, GhostPages* pages);
    /// That one for `capacity` entries takes.
    static std::size_t words_for(std::size_t capacity);
    std::size_t memory() const { return words_.all().size_bytes(); }
    std::size_t provided() const { return words_.provided() * sizeof(std::uint32_t); }  // of that, bytes
    bool empty() const { return words_.all().empty(); }
    bool provide(std::size_t pages) { return words_.provide(pages); }
    /// One more entry was remembered, here or in a successor.
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
  std::size_t until_forgotten_ = 0;  // insertions until `previous_` holds nothing of use
  Table current_;
  Table previous_;
  std::shared_ptr<GhostPages::Order> order_;  // for next_
  Table next_;                                // takes over when its pages are there
};

}  // namespace pinfold::eviction
