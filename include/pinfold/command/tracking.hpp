#pragma once
// Client-side caching as a client's session sees it (CLIENT TRACKING): what it has asked for, and the reads of its commands, which are
// noted in the table of the cache room (cache/tracking_table.hpp). What is told of changes is in tracking_feed.hpp.
//
// A read is noted under the lock under which the value was read. So a change is either seen by the read, or finds the read in the table.
// A client is told by its own I/O thread, which writes replies in the order in which it executes commands: what the client is told of a
// change comes behind the replies of all that it has executed before the change. So no reply that comes later can be older than the change.
// A read whose reply is written later than the value was read (a client that waits for a lease, a long command) is not noted. Its client is
// told behind the reply that it must not keep it.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pinfold/base/client_threads.hpp"
#include "pinfold/cache/tracking_table.hpp"
#include "pinfold/command/outcome.hpp"
#include "pinfold/store/value.hpp"

namespace pinfold::command {

struct Row;
struct Session;
struct SharedClient;
class Engine;
class Call;

/// What other threads may see of a client that tracks, in SharedClient::tracking.
enum TrackingFlag : std::uint8_t {
  kTracks = 1,
  kTracksPrefixes = 2,  // BCAST
  kRedirectBroken = 4,
};

/// What a client has asked for with CLIENT TRACKING ON. Owned by its session. Used by the client's thread only.
struct Tracking {
  explicit Tracking(Session& of) : session(of) {}
  Tracking(const Tracking&) = delete;
  Tracking& operator=(const Tracking&) = delete;

  Session& session;
  cache::Ticket ticket = 0;
  bool bcast = false;
  bool optin = false;
  bool optout = false;
  bool noloop = false;
  bool caching = false;  // CLIENT CACHING YES or NO was sent for the next command
  bool broken = false;   // the client to which invalidations are redirected has gone
  std::optional<ClientPlace> redirect;
  std::set<std::string, std::less<>> prefixes;  // with bcast
  std::size_t prefix_bytes = 0;                 // their memory, as it is counted in store::Use::clients
  std::vector<std::string> late;                // keys that were read, but are not noted, by the command whose reply comes later
  bool late_all = false;                        // the same, of so many that all that is cached is to be forgotten

  // For the feed of the thread: the client's place in its list, and what is to be sent to `redirect` at the end of a step.
  std::size_t place = 0;
  bool redirects = false;             // it is in the list of those for which something may have to be sent
  bool forget = false;                // that everything is to be forgotten
  std::string pending;                // messages
  Audience audience = Audience::all;  // their form; `all`: it cannot be told at present
};

/// The channel on which clients with RESP2 are told of invalidations.
inline constexpr std::string_view invalidation_channel = "__redis__:invalidate";

/// How this client can be told of invalidations of others: as a push, as messages of the channel, or not at all (Audience::all). Any thread
/// may call it, so it is not known whether a client with RESP2 subscribes to that channel or to another one.
Audience invalidations_for(const SharedClient& client);
/// What the client is to be sent of invalidations that were written in this form; empty if it takes none at present. A client that has
/// gone over to the other form meanwhile is told to forget everything. Called by its thread.
std::string_view invalidations_in_form(const Session& session, Audience form, std::string_view bytes, const Engine& engine);

/// That everything is to be forgotten, in the two forms.
inline constexpr std::string_view forget_push = ">2\r\n$10\r\ninvalidate\r\n_\r\n";
inline constexpr std::string_view forget_message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n";

/// Called by invoke() behind the handler of each command of a client that tracks, also inside EXEC, while the shards of its keys are
/// locked. Notes what it has read. O(keys).
void follow_tracked_call(Call& call, Outcome outcome);
/// Notes what a command has read whose reply comes later: see Tracking::late.
void note_late_reads(Session& session, std::span<const store::Key> keys);
/// Called when the reply of such a command has been written, or will never be.
void end_late_reads(Session& session, Engine& engine);
/// Called behind a request of a client that tracks, executed or not: CLIENT CACHING counts for one command.
void end_caching(Tracking& tracking, const Session& session, const Row* row);

/// As which client the commands of this session write (cache::Writer): only with NOLOOP it matters. 0: nobody.
cache::Ticket writer_of(const Session& session);

/// What CLIENT TRACKING ON asks for.
struct TrackingRequest {
  bool bcast = false;
  bool optin = false;
  bool optout = false;
  bool noloop = false;
  std::optional<ClientPlace> redirect;
  std::vector<std::string_view> prefixes;
};
/// Makes the client track. Returns an error, and then nothing has changed. The request must be one that CLIENT TRACKING allows. Throws
/// std::bad_alloc; then nothing has changed either.
std::optional<std::string_view> begin_tracking(Call& call, const TrackingRequest& request);
/// Ends it, if it tracks: CLIENT TRACKING OFF, RESET, the end of the connection. Takes no memory. O(prefixes).
void end_tracking(Session& session, Engine& engine);

}  // namespace pinfold::command
