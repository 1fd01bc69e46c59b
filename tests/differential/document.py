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
        "The differential checker (`tests/differential`) sends random command sequences to Pinfold and to redis-server 7.0. Every reply must be",
        "the same byte for byte, and the keys, values, expiry times and encodings must be the same afterwards. These are the only exceptions.",
        "`tests/differential/document.py` makes this page from `tests/differential/differences.py`.",
        "",
        "These commands are unknown: those of streams, of replication and cluster, snapshots (SAVE, DUMP, RESTORE, MIGRATE ...), and MODULE.",
        "`docs/commands.md` lists all commands. Some are newer than",
        "Redis 7.2: DIGEST, DELEX, DELIFEQ, MSETEX and the IF conditions of SET. They are tested from their documentation in `tests/server`. The CACHE",
        "commands, which no Redis has, are tested from [their contract](cache-commands.md).",
        "",
        "One thing takes as long as in Redis: a WATCH of many keys makes other clients of the same shards wait until all keys are noted.",
        "",
        "A user of Redis 7.2 will also notice:",
        "",
        "- `CONFIG SET port` and `bind` are refused: a server listens on the addresses that it was started with.",
        "- `CONFIG SET` does not know settings of features that do not exist, so that nobody believes to have set them:",
        "  settings for streams and for replication.",
        "- A client that has not authenticated gets NOAUTH for DEBUG too. Redis says first whether DEBUG is allowed.",
        "- Too many wrong passwords from one address are answered with an error that says so (`auth-failures-per-minute`,",
        "  [security.md](security.md)).",
        "- `rdb_changes_since_last_save` in INFO is always 0, and some fields are left out: [info.md](info.md) says which, and why.",
        "- `MEMORY MALLOC-STATS` has nothing to tell, as in a Redis that was built with the allocator of the C library.",
        "- HOTKEYS has no subcommands: keys are counted all the time ([hot-keys.md](hot-keys.md)). That of Redis 8.6 (START, STOP, GET, RESET) measures on request.",
        "- CLIENT TRACEPARENT is Pinfold's own: it gives requests the context of a distributed trace ([tracing.md](tracing.md)).",
        "- While clients are paused, no expired key is removed, but a lowered `maxmemory` still evicts.",
        "",
    ]
    for kind in (differences.BY_DESIGN, differences.BY_NATURE):
        rows = [d for d in differences.DIFFERENCES if d.kind == kind]
        if rows:
            lines += [f"## {kind}", "", "| commands | what differs, and why |", "|---|---|"]
            lines += [f"| {', '.join(f'`{name}`' if name.isupper() else name for name in d.commands)} | {d.reason} |" for d in rows]
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
