#pragma once
// The answer that a client gets after it has waited for a key, because another client held the key's lease (leases.hpp). Plain
// values, which their owners guard.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "pinfold/base/blob.hpp"
#include "pinfold/base/client_threads.hpp"

namespace pinfold::cache {

/// `hit`: the value is fresh. `stale`: its deadline has passed, but not its stale window. `absent`: the origin is known
/// to have no value. `miss`: there is nothing to answer with.
enum class Status : std::uint8_t { hit, stale, absent, miss };

/// A value that many readers share. It stays valid after the shard is unlocked.
struct SharedValue {
  std::string text;
  Blob blob;  // in place of `text`, if the value is a block of its own
};

/// A lease's token, and the key that the lease is for.
struct TokenOf {
  std::uint64_t token = 0;
  unsigned db = 0;
  std::string key;
};

/// What a client is answered. `ms` is in milliseconds, and means: for a `hit`, how long the value stays fresh; for `stale`, how
/// long it stays usable; for `absent`, how long the key stays absent. In these three cases, -1 means without end. With a `miss`
/// the client may get the next lease. Then `token` is the lease's, and `ms` is how long the lease lasts. Without a lease,
/// `token` is 0, and `ms` is how long to wait before asking again.
struct Answer {
  Status status = Status::miss;
  std::uint64_t token = 0;
  std::int64_t ms = 0;
  std::shared_ptr<const SharedValue> value;
  TokenOf token_of;  // the same token with its key, so that the lease can be released if the answer reaches no client
};

/// A client that waits for a key.
struct Waiter {
  std::uint64_t client = 0;
  unsigned thread = 0;        // the I/O thread of its connection
  std::int64_t lease_ms = 0;  // how long its lease lasts if it has to load the value; 0: it wants no lease
  bool takes_stale = true;    // whether a stale value is an answer to it
};
/// The clients that wait for one key, by ticket. A ticket is the number of one wait; tickets grow in the order of
/// arrival, and the tickets of clients that want no lease are higher than all others.
using Waiters = std::map<std::uint64_t, Waiter>;

class Cache;

/// One answer, and the clients that it is for. All I/O threads share one object, so handing it over costs the same for
/// one client and for many.
struct Answers final : Delivery {
  explicit Answers(Cache& of) : cache(of) {}
  std::uint64_t visit(std::uint64_t from, const Visitor& visitor) const override;
  /// Releases the lease of the token, if there is one. So the next client that waits for the key gets a lease.
  void not_taken() const override;

  Cache& cache;
  Waiters to;
  Answer answer;
};

}  // namespace pinfold::cache
