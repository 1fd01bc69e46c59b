#!/usr/bin/python3
"""Writes docs/differences.md from tests/differential/differences.py; --check fails when it is out of date."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.differential import differences

TARGET = ROOT / "docs/differences.md"


def render():
    lines = [
        "# Differences from Redis",
        "",
        "The differential checker (`tests/differential`) sends random command sequences to Pinfold and to redis-server 7.0 and wants every reply",
        "byte for byte the same, and the same keys, values, expiry times and encodings left behind. These are the only exceptions. This page is made",
        "from `tests/differential/differences.py` by `tests/differential/document.py`.",
        "",
        "Unknown commands here are those of other data types (lists, hashes, sets, sorted sets, streams, geo, HyperLogLog), scripts (so a client",
        "library's lock that releases itself by a script does not work: use `SET key token NX PX ms` and `DELEX key IFEQ token`), publish/subscribe,",
        "replication and cluster, snapshots (SAVE, DUMP, RESTORE, MIGRATE ...), ACL, MODULE, MONITOR, SLOWLOG, LATENCY and SORT; of CLIENT the",
        "subcommands TRACKING, CACHING and TRACKINGINFO. `docs/commands.md` lists what there is, which includes newer ones that 7.2 does",
        "not have: DIGEST, DELEX, DELIFEQ, MSETEX and the IF conditions of SET. Those are tested from their documentation in `tests/server`, and",
        "the CACHE commands, which no Redis has, from [their contract](cache-commands.md).",
        "",
        "What takes as long as in Redis: a WATCH of many keys holds up those who use the same shards until all of them are noted.",
        "",
        "Beside these, a user of Redis 7.2 will notice:",
        "",
        "- `CONFIG SET port` and `bind` are refused: the addresses that a server listens on are those that it was started with.",
        "- Settings of what there is not are unknown to `CONFIG SET`, so that nobody believes to have set them: `protected-mode` (the server listens on",
        "  127.0.0.1 unless it is told otherwise, and warns when it listens beyond the machine without a password), `latency-tracking`, `slowlog-*`, `notify-keyspace-events`,",
        "  those for other data types and for replication.",
        "- `rdb_changes_since_last_save` in INFO is always 0, and some fields are left out: [info.md](info.md) says which, and why.",
        "- `MEMORY MALLOC-STATS` has nothing to tell, as in a Redis that was built with the allocator of the C library.",
        "- While clients are paused nothing is removed for its age, but a lowered `maxmemory` still evicts.",
        "",
    ]
    for kind in (differences.BY_DESIGN, differences.BY_NATURE):
        rows = [d for d in differences.DIFFERENCES if d.kind == kind]
        if rows:
            lines += [f"## {kind}", "", "| commands | what differs, and why |", "|---|---|"]
            lines += [f"| {', '.join(f'`{name}`' for name in d.commands)} | {d.reason} |" for d in rows]
            lines.append("")
    return "\n".join(lines)


def main():
    text = render()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != text:
            print(f"{TARGET.relative_to(ROOT)} is out of date: run tests/differential/document.py", file=sys.stderr)
            return 1
        return 0
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
