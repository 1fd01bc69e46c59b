#pragma once
// What the files of the CACHE family share.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "pinfold/command/call.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/option_errors.hpp"

namespace pinfold::command {

constexpr std::int64_t longest_lease_ms = 3'600'000;
constexpr std::int64_t longest_wait_ms = 86'400'000;
/// The largest integer that JavaScript keeps exact.
constexpr std::int64_t most_exact = (std::int64_t{1} << 53) - 1;

/// How CACHE.GET reads one key.
struct CacheReadOptions {
  std::int64_t lease_ms = -1;   // how long a lease is to last; negative: as long as the policy says
  std::int64_t wait_ms = 0;     // how long the client waits for the holder of a lease at most
  double beta = -1;             // how early the value is refreshed; negative: as the policy says
  bool makes_room = true;       // whether it may evict to make room for a lease, for which it releases the locks for a while
  bool one_of_several = false;  // whether it is one of several keys, so that a value of another type is a miss and no error
  bool counts = true;           // whether it counts as a hit or miss
};

/// The most bytes that leases of all these keys take, if their entries have no tags.
std::size_t memory_of_leases(std::span<const store::Key> keys);

/// Makes room for leases that may take `bytes`, if there is none. Returns true if it has released the locks of the call for
/// that. Then everything that was read before may have changed, and values are no longer valid.
bool make_room_for_leases(Call& call, std::size_t bytes);

/// Does CACHE.GET of one key and writes the reply. Returns false if the reply comes later.
bool cache_read(Call& call, store::Database& db, const store::Key& key, const CacheReadOptions& options);

/// Takes the next argument, which must exist, as a tag, and returns its name (store/tag_names.hpp). If it is none, replies the error and
/// returns nothing.
std::optional<std::string> take_tag(Call& call, Cursor& options);

/// Finds the option DEPENDS of CACHE.SET and CACHE.ABSENT: the index of the word; 0 if it is not there.
std::size_t depends_in_cache_set(Args args);
std::size_t depends_in_cache_absent(Args args);

/// The option TAGS n tag ... It has the tags in the form in which entries keep them (store::Extra).
class TagsOption {
 public:
  /// Reads the words after TAGS. They replace tags that were read before. Returns false if it has replied an error.
  bool take(Call& call, Cursor& options);
  std::string_view encoded() const { return encoded_; }

 private:
  std::string encoded_;
};

}  // namespace pinfold::command
