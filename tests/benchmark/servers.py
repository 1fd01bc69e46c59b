"""Starts and stops the servers that are measured: on loopback, on a free port, in a directory of their own."""

import atexit
import functools
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

from load import InvalidRun


class CannotStart(Exception):
    pass


@dataclass
class Setup:
    """What a benchmark wants of a server; every server translates it to its own options."""

    threads: int = 1
    memory_mb: int = 1024
    policy: str = ""  # Redis' name of an eviction policy; empty: the server's default
    connections: int = 1000
    longest_value: int = 0  # memcached refuses values above 1 MB unless told otherwise
    core: int | None = None
    pinfold_options: tuple = ()  # more of its command line
    tls: str = ""  # a key's kind, "P-256" or "RSA": it listens with TLS as well (not memcached)


@functools.cache
def certificates(kind):
    """The folder with what scripts/certs makes, kept until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="pinfold-bench-certs-")
    atexit.register(folder.cleanup)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/certs")
    subprocess.run([script, *(["--rsa"] if kind == "RSA" else []), folder.name], check=True, stdout=subprocess.DEVNULL)
    return folder.name


_given_ports = set()


def free_port():
    """A port that nothing listens at; each is given once."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


class Server:
    """A running server; use it in a `with` block, which always stops it."""

    name = ""
    protocol = "resp"
    pipelined_get_protocol = "resp"
    ping = (b"PING\r\n", b"+PONG")
    _START_SECONDS = 10

    def __init__(self, setup, binary=None):
        self.setup = setup
        self.binary = binary or self.name
        self.port = 0
        self.tls_port = 0
        self.pid = 0
        self._process = None
        self._directory = None

    def command(self):
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def _environment(self):
        """More of it, for the server alone."""
        return {}

    def __enter__(self):
        if shutil.which(self.binary) is None:
            raise CannotStart(f"{self.name}: no program {os.path.basename(self.binary)}")
        self._directory = tempfile.mkdtemp(prefix="pinfold-bench-")
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *unused):
        self._stop()

    def _start(self):
        # Another process may take the port between its choice and its use.
        for attempt in range(3):
            self.port = free_port()
            if self.setup.tls:
                self.tls_port = free_port()
            # setpriv: a server must not outlive a benchmark that was killed without a chance to clean up.
            prefix = ["setpriv", "--pdeathsig", "KILL"]
            if self.setup.core is not None:
                prefix += ["taskset", "-c", str(self.setup.core)]
            log = os.path.join(self._directory, "log")
            # What is measured does not depend on settings that the shell happens to have.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("PINFOLD_")}
            environment |= self._environment()
            with open(log, "wb") as out:
                self._process = subprocess.Popen(
                    prefix + self.command(), cwd=self._directory, stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT, env=environment)
            self.pid = self._process.pid
            if self._answers():
                return
            self._end_process()
        with open(log, errors="replace") as text:
            tail = " / ".join(text.read().strip().splitlines()[-3:])
        raise CannotStart(f"{self.name} did not start: {tail or 'no answer'}")

    def _answers(self):
        deadline = time.monotonic() + self._START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.ask(self.ping[0]).startswith(self.ping[1]):
                    return self._process.poll() is None
            except OSError:
                pass
            time.sleep(0.02)
        return False

    def ask(self, request, timeout=2):
        """The first bytes that the server answers; enough for its short replies."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            return connection.recv(65536)

    def order(self, request, expected=b"+OK"):
        """Has the server do something that may take it long."""
        reply = self.ask(request, timeout=60)
        if not reply.startswith(expected):
            raise InvalidRun(f"{self.name}: {request[:40]!r} was answered {reply[:80]!r}")

    def _end_process(self):
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _stop(self):
        self._end_process()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def alive(self):
        return self._process.poll() is None


class _RespServer(Server):
    _version_field = ""

    def version(self):
        return self._info("server", self._version_field) or "unknown"

    def _info(self, section, name):
        for line in self.ask(f"INFO {section}\r\n".encode(), timeout=60).decode(errors="replace").splitlines():
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
        return None

    def statistic(self, name):
        """A number of INFO's section on statistics; None where the server has none of that name."""
        found = self._info("stats", name)
        return None if found is None else int(found)

    def reset_statistics(self):
        self.order(b"CONFIG RESETSTAT\r\n")

    def used_memory(self):
        return int(self._info("memory", "used_memory"))

    def evictions(self):
        return self.statistic("evicted_keys")

    def limit_memory(self, limit):
        self.order(f"CONFIG SET maxmemory {limit}\r\n".encode())

    def flush(self):
        self.order(b"FLUSHALL\r\n")

    def store(self, key, size):
        value = os.urandom(1 << 20) * (size // 2**20) + os.urandom(size % 2**20)
        head = f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${size}\r\n".encode()
        self.order(head + value + b"\r\n")

    def delete(self, key):
        self.order(f"DEL {key}\r\n".encode(), b":1")

    def _common(self):
        setup = self.setup
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--maxclients", str(setup.connections),
                   "--maxmemory", f"{setup.memory_mb}mb"]
        if setup.policy:
            options += ["--maxmemory-policy", setup.policy]
        if setup.tls:
            folder = certificates(setup.tls)
            options += ["--tls-port", str(self.tls_port), "--tls-cert-file", f"{folder}/server.crt", "--tls-key-file",
                        f"{folder}/server.key", "--tls-ca-cert-file", f"{folder}/ca.crt", "--tls-auth-clients", "no"]
        return options


class Pinfold(_RespServer):
    name = "pinfold"
    _version_field = "pinfold_version"

    def command(self):
        return [self.binary, *self._common(), "--threads", str(self.setup.threads), *self.setup.pinfold_options]


class Redis(_RespServer):
    name = "redis-server"
    _version_field = "redis_version"

    def command(self):
        # Loads come from several loopback addresses, which protected mode refuses.
        return [self.binary, *self._common(), "--save", "", "--appendonly", "no", "--daemonize", "no",
                "--protected-mode", "no"]


class Memcached(Server):
    name = "memcached"
    protocol = "memcached"
    pipelined_get_protocol = "memcached-meta"
    ping = (b"version\r\n", b"VERSION")

    def command(self):
        setup = self.setup
        command = [self.binary, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-t", str(setup.threads),
                   "-m", str(setup.memory_mb), "-c", str(setup.connections)]
        if setup.longest_value > 1_000_000:
            command += ["-I", f"{2 * setup.longest_value // 2**20 + 1}m"]
        if os.geteuid() == 0:
            command += ["-u", getpass.getuser()]
        return command

    def version(self):
        return self.ask(b"version\r\n").decode(errors="replace").split()[1]

    def _stat(self, name):
        for line in self.ask(b"stats\r\n", timeout=60).decode(errors="replace").splitlines():
            if line.startswith(f"STAT {name} "):
                return int(line.split()[2])
        raise InvalidRun(f"{self.name}: no statistic '{name}'")

    def used_memory(self):
        return self._stat("bytes")

    def evictions(self):
        return self._stat("evictions")

    def limit_memory(self, limit):
        # In whole MB, and eight at least.
        self.order(f"cache_memlimit {max(8, limit >> 20)}\r\n".encode(), b"OK")

    def flush(self):
        self.order(b"flush_all\r\n", b"OK")


KINDS = {"pinfold": Pinfold, "redis": Redis, "memcached": Memcached}
