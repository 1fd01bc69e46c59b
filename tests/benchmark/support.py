"""What the benchmarks' tests share: running the generator and the benchmarks, and a server that answers wrongly."""

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LOAD = os.environ.get("PINFOLD_LOAD", os.path.join(ROOT, "build", "release", "pinfold-load"))
PINFOLD = os.environ.get("PINFOLD_SERVER", os.path.join(ROOT, "build", "release", "pinfold-server"))
BENCH = [sys.executable, os.path.join(HERE, "bench.py"), "--load", LOAD, "--pinfold", PINFOLD, "--quiet"]


def load(mode, server, **options):
    """(exit status, what was printed as JSON)"""
    command = [LOAD, mode, "--quiet", "--port", str(server.port)]
    for name, value in {"protocol": server.protocol, "max_seconds": 30, **options}.items():
        command.append("--" + name.replace("_", "-"))
        if value is not True:
            command.append(str(value))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.stdout, done.stderr
    assert done.stdout.count(b"\n") == 1
    return done.returncode, json.loads(done.stdout)


def write_trace(path, trace):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "wt") as out:
        for key, size in trace:
            out.write(f"{key}\n" if size is None else f"{key} {size}\n")
    return path


class FakeServer:
    """Answers every GET and SET that arrives with the same bytes; None hangs up instead.

    With a pause, it does nothing for so many seconds when the first of them arrives.
    """

    protocol = "resp"
    name = "fake"

    def __init__(self, reply, pause=0):
        self._reply = reply
        self._resume = pause and time.monotonic() + 3600
        self._pause = pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                while self._reply is not None and (data := connection.recv(65536)):
                    self._wait()
                    for unused in range(data.count(b"GET\r\n") + data.count(b"SET\r\n") + data.count(b"get ")):
                        connection.sendall(self._reply)
            except OSError:
                pass

    def _wait(self):
        if self._pause:
            self._resume = min(self._resume, time.monotonic() + self._pause)
            time.sleep(max(0.0, self._resume - time.monotonic()))


def run_bench(*arguments):
    return subprocess.run([*BENCH, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=120)
