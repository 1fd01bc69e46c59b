#pragma once
// What a reader of the cache is told, at once or after having waited.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/blob.hpp"

namespace pinfold::cache {

enum class Status : std::uint8_t { hit, stale, absent, miss };

/// A value that many readers are given: shared, and valid without the shard's lock.
struct SharedValue {
  std::string text;
  Blob blob;  // in place of text, if the store keeps a block
};

/// The key that a token is for.
struct TokenOf {
  std::uint64_t token = 0;
  unsigned db = 0;
  std::string key;
};

/// Milliseconds: how long it is fresh, usable or negative for, how long the lease lasts, or within which time to retry.
struct Answer {
  Status status = Status::miss;
  std::uint64_t token = 0;
  std::int64_t ms = 0;
  std::shared_ptr<const SharedValue> value;
  TokenOf token_of;  // filled in where there is a token, so that it can be given back
};

/// An answer on its way to a client that waits.
struct Delivery {
  std::uint64_t client = 0;
  std::uint64_t ticket = 0;  // of the wait that it is for
  Answer answer;
};

}  // namespace pinfold::cache
