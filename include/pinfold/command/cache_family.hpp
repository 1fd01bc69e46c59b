#pragma once
// Shared by the files of the CACHE family.

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

struct CacheReadOptions {
  std::int64_t lease_ms = -1;  // negative: as the policy says
  std::int64_t wait_ms = 0;
  double beta = -1;             // negative: as the policy says
  bool makes_room = true;       // it may evict to make room for a lease, with nothing locked meanwhile
  bool one_of_several = false;  // a value of another type is no error then, but a miss
  bool counts = true;           // it counts as a hit or miss
};

/// What leases of all these keys take, for entries without tags.
std::size_t memory_of_leases(std::span<const store::Key> keys);

/// Makes room for what leases may take, where there is none. True if that gave back the locks meanwhile, so that nothing holds any more
/// that was read before.
bool make_room_for_leases(Call& call, std::size_t bytes);

/// Does CACHE.GET of one key. Returns false if the reply comes later.
bool cache_read(Call& call, store::Database& db, const store::Key& key, const CacheReadOptions& options);

/// Takes the next argument, which must be there, as a tag. Returns nothing if it is no tag. Then it has replied with the error.
std::optional<std::string_view> take_tag(Call& call, Cursor& options);

/// The option TAGS n tag ... Keeps the tags in the form in which entries keep them.
class TagsOption {
 public:
  /// Reads the words after TAGS. They replace tags that were read before. Returns false if it has replied with an error.
  bool take(Call& call, Cursor& options);
  std::string_view encoded() const { return encoded_; }

 private:
  std::string encoded_;
};

}  // namespace pinfold::command
