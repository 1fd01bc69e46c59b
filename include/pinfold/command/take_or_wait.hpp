#pragma once
// Commands that take elements and wait until there are some: BLPOP, BZPOPMIN and their like.
//
// Such a command is written as if it never waited. Its handler parses its arguments, and then calls take_or_wait() with the keys that it
// takes from, the type of their values, and a function that takes from one of them and replies:
//
//   return take_or_wait(call, {.keys = call.keys, .type = store::Type::list, .timeout_ms = *timeout},
//                       [&](const store::Key& key) { ...; return Outcome::done; });
//
// If no key has an element, the client waits: the request is kept, and the client joins a queue at each of the keys (blocked_pops.hpp).
// When it is woken, its own thread executes the request once more, from its first line on and with all its shards locked. So the command
// may do then whatever it may do at first: push to a destination, ask for room, be refused because its user has lost a right. It takes its
// element in the same hold of the locks in which it replies. If it finds nothing, because others were faster, it waits on in its place.
//
// Order. At each key the first in the queue has the right to the next element. Commands of this kind that come later, or that are further
// behind, pass by a key for which others wait. Commands that do not wait (LPOP) may take an element before a client that was woken has come
// to it.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// What a command takes from, and how long it waits.
struct TakeOptions {
  /// What is replied to a call that cannot wait if there is nothing: null, or null in place of an array, which is also what every client
  /// gets when its time is up.
  enum class Nothing : std::uint8_t { null, null_array };

  std::span<const store::Key> keys;  // among those of the call, in the order in which they are tried
  store::Type type{};
  std::int64_t timeout_ms = 0;  // 0: without end
  Nothing nothing = Nothing::null_array;
};

/// Calls `take(key)` for the first key that has a value of this type and for which nobody waits who comes before this client, and returns
/// what `take` returns. If there is no such key, the client waits. Inside EXEC and scripts, and if the client gets no replies, it is not
/// asked who waits, and the reply is that there is nothing. Throws store::WrongType if a key has a value of another type, but not
/// when the request is executed again: a client that has begun to wait waits for a value of its type. O(keys * log of those waited for).
Outcome take_or_wait(Call& call, const TakeOptions& options, const std::function<Outcome(const store::Key& key)>& take);

/// A timeout in milliseconds, from its text in seconds. Nothing: the error was replied.
std::optional<std::int64_t> parse_timeout(Call& call, std::string_view text);

}  // namespace pinfold::command
