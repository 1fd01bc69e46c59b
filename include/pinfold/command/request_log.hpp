#pragma once
// The log's lines about what clients do to the server, and about requests that it refuses (EventLog).

#include <optional>
#include <string>

#include "pinfold/command/call.hpp"

namespace pinfold::command {

/// "client 7 (127.0.0.1:40000): CONFIG SET maxmemory 1gb", for a request that has been done. Long arguments and long lists
/// are shortened, the password is left out.
std::string describe_request(const Session& session, Args args);

/// Notes such a line: for commands with kLogged, and for others by their handlers, if they have changed anything.
void note_request(const Call& call);
/// The same for one whose outcome is known later; `request` is its line. With an error, that it has failed.
void note_outcome(Engine& engine, const std::string& request, const std::optional<std::string>& error);
/// Notes that a request was refused for want of memory.
void note_out_of_memory(const Session& session, const Row& row, Engine& engine);
/// Notes that somebody talks HTTP.
void note_http(const Session& session, Engine& engine);

}  // namespace pinfold::command
