#pragma once
// What the commands of scripts and of functions share.

#include "pinfold/command/call.hpp"
#include "pinfold/command/command_table.hpp"
#include "pinfold/command/script_runner.hpp"

namespace pinfold::command {

/// The scripts of the I/O thread that executes the call.
ScriptRunner& runner_of(const Call& call);

/// SCRIPT KILL and FUNCTION KILL: ends what runs on any I/O thread and has not written. Locks no shard. A thread that waits for a shard
/// which the script has locked cannot execute it, nor can the thread of the script.
Outcome kill_script(Call& call, bool function);

/// How an argument of EVAL or FCALL may appear: the keys as keys, what comes before them and behind them as it is.
Shown shown_in_eval(Args args, std::size_t index);
/// How an argument may appear that is the text of scripts: not at all. The logs are no place for it.
Shown shown_in_load(Args args, std::size_t index);

}  // namespace pinfold::command
