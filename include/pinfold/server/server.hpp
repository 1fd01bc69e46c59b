#pragma once
// The server as a whole: settings, keyspace, engine, network and the background worker, wired together.

namespace pinfold::server {

/// Runs a server until it is told to stop; returns the process' exit code. What is wrong with the settings, or with
/// an address to listen on, is one line on stderr and exit code 1.
int run(int argc, char** argv, char** environment);

}  // namespace pinfold::server
