"""The commands of docs/runbooks and what they print.

    /usr/bin/python3 -m tests.prometheus.runbooks [page ...]      writes what they print on a loaded server into the pages, or into some of them

A command is a line of a code block that begins with "$ ", and the lines after it are what it prints; "..." leaves something out.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import typing

from tests.support import servers, tls

from . import rules, scene

MOST_LINES = 14


class Printed(typing.NamedTuple):
    """A command of a page with what the page says that it prints."""

    line: int
    command: str
    output: list


def commands(page):
    """Those of a page's text."""
    found, block = [], False
    for number, line in enumerate(page.splitlines()):
        if line.startswith("```"):
            block = not block
        elif block and line.startswith("$ "):
            found.append(Printed(number, line[2:], []))
        elif block and found:
            found[-1].output.append(line)
    return found


def can_be_run(command):
    return command.startswith(("redis-cli ", "curl ", "timeout 1 redis-cli "))


def run(command, port, admin_port):
    """Its output on a server; as on a terminal, unless the command itself goes through a pipe."""
    raw = "" if "|" in command else " --no-raw"
    command = command.replace("redis-cli", f"redis-cli -p {port}{raw}", 1).replace("127.0.0.1:9121", f"127.0.0.1:{admin_port}")
    environment = os.environ | {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert not done.stderr, (command, done.stderr)
    return [line.rstrip() for line in done.stdout.replace("\r", "").splitlines()]


GREP = re.compile(r"^grep (?:-\w+ )*'([^']+)'")


def alternatives(pattern):
    """The patterns between which the bars of a pattern of grep -E choose: "^a_(b|c):" is "^a_b:" and "^a_c:"."""
    group = re.search(r"\(([^()]*)\)(?![*+?{])", pattern)
    if group is None:
        return set(pattern.split("|"))
    return {one for part in group[1].split("|") for one in alternatives(pattern[: group.start()] + part + pattern[group.end() :])}


def found_nowhere(command, *ports):
    """Of the patterns that the command greps for, those that match no line of what is piped there."""
    before, *filters = command.split(" | ")
    nowhere = []
    for one in filters:
        if grep := GREP.match(one):
            shown = run(before + " | cat", *ports)
            nowhere += [wanted for wanted in sorted(alternatives(grep[1])) if not any(re.search(wanted, line) for line in shown)]
        before += " | " + one
    return nowhere


# What depends on the moment: names, words and how many lines there are.
CHANGING = re.compile(r"PINFOLD\.DIAGNOSE|HOTKEYS|SLOWLOG|LATENCY|ACL LOG|ACL LIST|RANDOMKEY|SCAN|CLIENT LIST|INFO users|INFO threads|errorstats|commandstats|MEMORY DOCTOR|MONITOR|CACHE\.")


def masked(line, changing):
    """The line without what differs from run to run."""
    line = re.sub(r"-?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?[KMG]?", "#", line.strip())
    if changing:
        line = re.sub(r'"[^"]*"', '"..."', line)
        line = re.sub(r"(?<=[=:])[^,\s]+", "...", line)
    return re.sub(r"\s+", " ", line)


@contextlib.contextmanager
def herd(server, key):
    """Readers that all wait for a value which nobody ever fills."""
    over = threading.Event()

    def read():
        with server.connect_plain() as client:
            while not over.is_set():
                client.call("CACHE.GET", key, "WAIT", 100)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def loaded_server():
    """Pairs of its port and its admin port; it has been through two rounds of the load."""
    with tempfile.TemporaryDirectory() as folder:
        admin_port = servers.free_port()
        arguments = ["--admin-port", admin_port, "--maxmemory", "24mb", "--slowlog-log-slower-than", 50, "--audit-log-file", f"{folder}/audit.log"]
        with tls.pinfold(*arguments, authority=tls.Authority(folder)) as server:
            load = scene.Load(server)
            load.prepare()
            with server.connect_plain() as client:
                for _ in range(2):
                    load.round(client)
                    load.rounds += 1
                client.call("CONFIG", "SET", "serve-stale", "no")
                client.call("CACHE.SET", "page:1", "v" * 200, "EX", 3600, "VERSION", 3, "TAGS", 2, "product:42", "category:7")
                client.call("CACHE.ABSENT", "page:nobody", "EX", 60)
                client.call("GET", "page:1")
            with herd(server, "page:herd"):
                yield server.port, admin_port


def main():
    with loaded_server() as (port, admin_port):
        for page in [rules.RUNBOOKS / name for name in sys.argv[1:]] or sorted(rules.RUNBOOKS.glob("*.md")):
            lines = page.read_text().splitlines()
            found = [one for one in commands(page.read_text()) if can_be_run(one.command)]
            outputs = [run(one.command, port, admin_port) for one in found]
            # From the end of the page on, so that the numbers of the lines before stay right.
            for one, output in reversed(list(zip(found, outputs))):
                # The findings are shown once, and are others each time.
                most = 0 if "DIAGNOSE" in one.command and page.name != "README.md" else MOST_LINES
                if len(output) > most:
                    output[most:] = ["..."]
                lines[one.line + 1 : one.line + 1 + len(one.output)] = output
            page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
