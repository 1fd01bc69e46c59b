#pragma once
// The server as a whole: it makes the settings, the keyspace, the engine, the network and the background worker, and connects them.

namespace pinfold::server {

/// Runs a server until it is told to stop. Returns the exit code of the process. An error in the settings, or in an address to listen
/// on, is one line on stderr and exit code 1.
int run(int argc, char** argv, char** environment);

}  // namespace pinfold::server
