#pragma once
// What a reader of the cache is told, at once or after having waited.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

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

/// Somebody who waits for a key.
struct Waiter {
  std::uint64_t client = 0;
  unsigned thread = 0;        // where it lives
  std::int64_t lease_ms = 0;  // of the lease that it gets if it must load
  bool takes_stale = true;    // a stale value is an answer
};
/// By ticket, which is the order of their coming; those who want no lease come last.
using Waiters = std::map<std::uint64_t, Waiter>;

/// An answer on its way to all who waited for it. The threads on which they live share it: to hand it over takes no longer
/// for many than for one.
struct Answers {
  Waiters to;
  Answer answer;
};

}  // namespace pinfold::cache
