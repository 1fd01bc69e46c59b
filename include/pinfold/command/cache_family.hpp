#pragma once
// What the files of the CACHE family share.

#include <cstdint>
#include <optional>
#include <string>

#include "pinfold/command/call.hpp"
#include "pinfold/command/cursor.hpp"
#include "pinfold/command/option_errors.hpp"

namespace pinfold::command {

constexpr std::int64_t longest_lease_ms = 3'600'000;
constexpr std::int64_t longest_wait_ms = 86'400'000;
/// So that all integers stay exact in JavaScript.
constexpr std::int64_t most_exact = (std::int64_t{1} << 53) - 1;

struct CacheReadOptions {
  std::int64_t lease_ms = -1;  // negative: the policy's
  std::int64_t wait_ms = 0;
  double beta = -1;        // negative: the policy's
  bool makes_room = true;  // for a lease, with nothing locked meanwhile
  bool counts = true;      // as a hit or miss
};

/// Makes room for what leases may take, where there is none. True if that gave back the locks meanwhile, so that nothing holds any more
/// that was read before.
bool make_room_for_leases(Call& call, std::size_t bytes);

/// CACHE.GET of one key. False if the reply comes later.
bool cache_read(Call& call, store::Database& db, const store::Key& key, const CacheReadOptions& options);

/// The next argument, of which there must be one, as a tag; if it is none, the error has been replied.
std::optional<std::string_view> take_tag(Call& call, Cursor& options);

/// TAGS n tag ...: in the form in which entries keep them.
class TagsOption {
 public:
  /// Reads what follows TAGS, in place of what was read before. False: an error was replied.
  bool take(Call& call, Cursor& options);
  std::string_view encoded() const { return encoded_; }

 private:
  std::string encoded_;
};

}  // namespace pinfold::command
