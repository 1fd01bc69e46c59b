"""Starts and stops the server under test and the peers it is compared with."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

from .connection import PATIENCE, Connection

ROOT = pathlib.Path(__file__).resolve().parents[2]
SANITIZER_REPORT = re.compile(r"ERROR: AddressSanitizer|WARNING: ThreadSanitizer|ThreadSanitizer:|runtime error:|LeakSanitizer")
START_DEADLINE = 60.0
SLOWNESS = 10 if os.environ.get("PINFOLD_SANITIZED") else 1  # how much longer a test's own work may take
STOP_DEADLINE = 240.0 if os.environ.get("PINFOLD_SANITIZED") else 60.0


_given_ports = set()


def free_port():
    """A port that nothing listens at, and that this process has not been given before: what asks for two gets two."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def eventually(condition, deadline=30.0, step=0.01):
    """Polls until condition() is true and returns its value; fails after the deadline, never because of a short wait."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline} s: {condition}"
        time.sleep(step)


def environment(extra=None):
    """The environment without the suites' own PINFOLD_ variables, which the server would take for settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PINFOLD_")} | (extra or {})


def bound(size):
    """A limit on resident memory; sanitizers need several bytes of their own for each, and keep 32 MB of what was freed (scripts/test)."""
    return size * 10 + (32 << 20) if os.environ.get("PINFOLD_SANITIZED") else size


class Server:
    """One server process on a free port, with its own directory for logs and sockets."""

    def __init__(self, binary, *args, port=None, file=None, env=None, host="127.0.0.1", wait=True, before_exec=None):
        self.binary = str(binary)
        self.directory = tempfile.TemporaryDirectory(prefix="pinfold-test-")
        self.path = pathlib.Path(self.directory.name)
        self.host = host
        self.port = free_port() if port is None else port
        self.args = [self.binary]
        if file is not None:
            self.args.append(str(file))
        if port != 0:
            self.args += ["--port", str(self.port)]
        self.args += [str(arg) for arg in args]
        self.env = environment(env)
        self.before_exec = before_exec  # called in the new process, before the server is
        self.process = None
        self.expected_exits = (0,)
        self.start(wait)

    def start(self, wait=True):
        with open(self.path / "out", "ab") as out, open(self.path / "err", "ab") as err:
            self.process = subprocess.Popen(
                self.args, cwd=self.path, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env, preexec_fn=self.before_exec
            )
        if wait:
            self.wait_ready()

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"{self.args} exited {self.process.returncode}: {self.log()}"
            try:
                with self.connect(timeout=5) as connection:
                    return connection.raw("PING")
            except OSError:
                return None

        eventually(ready, START_DEADLINE, 0.02)

    def connect(self, timeout=PATIENCE, **where):
        return Connection(**(where or {"port": self.port, "host": self.host}), timeout=timeout)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return "".join((self.path / name).read_text(errors="replace") for name in ("out", "err"))

    def rss(self):
        """Resident bytes of the process."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def cpu_seconds(self):
        """What its threads have run for, in user and in system mode."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        if self.alive():
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Asks for a clean exit and checks that it was one."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {STOP_DEADLINE} s of SIGTERM: {self.log()[-4000:]}") from None
        self.check_exit()

    def check_exit(self):
        log = self.log()
        assert not SANITIZER_REPORT.search(log), f"sanitizer report:\n{log[-8000:]}"
        assert self.process.returncode in self.expected_exits, f"exited {self.process.returncode}, not {self.expected_exits}:\n{log[-4000:]}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill()
            self.directory.cleanup()


def pinfold_binary():
    return os.environ.get("PINFOLD_SERVER") or str(ROOT / "build/release/pinfold-server")


def is_redis():
    """The suites can be pointed at Redis itself, to check the suites."""
    return os.path.basename(pinfold_binary()) == "redis-server"


def pinfold(*args, kind=Server, **options):
    """The server under test."""
    args = [str(arg) for arg in args]
    if is_redis():
        while "--threads" in args:
            at = args.index("--threads")
            del args[at : at + 2]
        args += ["--save", ""]
    elif "--threads" not in args and options.get("file") is None:
        args += ["--threads", "2"]
    return kind(pinfold_binary(), *args, **options)


def redis(*args, **options):
    """Debian's redis-server, without persistence."""
    return Server("redis-server", "--save", "", "--appendonly", "no", *args, **options)
