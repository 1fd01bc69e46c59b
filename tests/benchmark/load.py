"""Runs pinfold-load and reads what it measured."""

import functools
import json
import subprocess


class InvalidRun(Exception):
    """The server was wrong, or the load could not be made: there is no figure."""


@functools.cache
def may_be_urgent():
    return subprocess.run(["chrt", "-f", "1", "true"], stderr=subprocess.DEVNULL).returncode == 0


class Load:
    def __init__(self, binary, core=None, quiet=False):
        self._binary = binary
        self._core = core
        self._quiet = quiet

    def command(self, mode, server, urgent=False, tls=False, **options):
        """`urgent`: before everything else that runs on its core, where that is allowed. `tls`: to the server's TLS port."""
        # setpriv: a generator must not outlive a benchmark that was killed.
        command = ["setpriv", "--pdeathsig", "KILL"]
        if urgent and may_be_urgent():
            command += ["chrt", "-f", "1"]
        if self._core is not None:
            command += ["taskset", "-c", str(self._core)]
        command += [self._binary, mode]
        where = {"port": server.tls_port, "tls": True} if tls else {"port": server.port}
        arguments = {"protocol": server.protocol, **where, **options}
        for name, value in arguments.items():
            if value is False:
                continue
            command.append("--" + name.replace("_", "-"))
            if value is not True:
                command.append(str(value))
        return command + (["--quiet"] if self._quiet else [])

    def run(self, mode, server, stdin=subprocess.DEVNULL, max_seconds=300, **options):
        command = self.command(mode, server, max_seconds=max_seconds, **options)
        try:
            done = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, timeout=max_seconds + 60)
        except subprocess.TimeoutExpired:
            raise InvalidRun(f"{server.name}: {mode} took longer than {max_seconds} s") from None
        return self._result(done, mode, server)

    def begin(self, mode, server, max_seconds=300, **options):
        """A run in the background; its result comes from Begun.result()."""
        return Begun(self.command(mode, server, max_seconds=max_seconds, **options), mode, server, self)

    def open_idle(self, server, connections, **options):
        return IdleConnections(self.command("idle", server, connections=connections, **options), server)

    @staticmethod
    def _result(done, mode, server):
        try:
            result = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise InvalidRun(f"{server.name}: {mode} could not be run, exit status {done.returncode}") from None
        if done.returncode != 0 or not result["valid"]:
            raise InvalidRun(f"{server.name}: {mode} is invalid: {result['errors']} errors, {result['wrong']} wrong, "
                             f"{result['misses']} misses, {result['refused']} refused: "
                             f"{result['problem'] or result['refusal'] or 'keys are missing'}")
        return result


class Begun:
    """A run that goes on beside others; use it in a `with` block."""

    def __init__(self, command, mode, server, load):
        self._mode, self._server, self._load = mode, server, load
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def ended(self):
        return self._process.poll() is not None

    def result(self):
        out, _ = self._process.communicate()
        return self._load._result(subprocess.CompletedProcess([], self._process.returncode, out), self._mode, self._server)


PARKED_KEY = "pinfold-load:parked"


class IdleConnections:
    """Connections held by a generator in the background; use it in a `with` block."""

    def __init__(self, command, server):
        self._server = server
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        try:
            self._expect("open")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        try:
            self._process.stdin.close()
            self._process.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def ask_each(self):
        """Every connection sends one GET and gets its reply."""
        self._do("ask", "asked")

    def park(self):
        """Every connection waits for the same missing key, PARKED_KEY."""
        self._do("park", "parked")

    def receive_answers(self):
        """Every parked connection receives the value."""
        self._do("answered", "answered")

    def _do(self, line, event):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._expect(event)

    def _expect(self, event):
        line = self._process.stdout.readline()
        if not line:
            raise InvalidRun(f"{self._server.name}: the idle connections could not be opened")
        result = json.loads(line)
        if result["event"] != event or not result["valid"] or result["open"] != result["connections"]:
            raise InvalidRun(f"{self._server.name}: {result['open']} of {result['connections']} connections are "
                             f"open: {result['problem']}")
