"""A server under a load in which everything happens that a metric tells of, and a Prometheus that watches it.

    with scene.watched(folder) as prometheus:
        prometheus.query("instance:pinfold_hit_ratio:rate5m")

Windows of minutes and weeks are of seconds here (`shortened`), in the rules as in the queries of panels.
"""

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

from tests.support import servers, tls
from tests.support.connection import Closed, Connection
from tests.support.servers import eventually

from . import rules

WINDOW, LONG_WINDOW, EARLIER = "10s", "20s", "5s"


def shortened(query):
    """The query with windows of seconds: those of a minute or five, those that are longer, and what lies further back."""
    query = re.sub(r"\[(1m|5m|\$__rate_interval)\]", f"[{WINDOW}]", query)
    query = re.sub(r"\[\d+[mhdw]\]", f"[{LONG_WINDOW}]", query)
    query = re.sub(r"\boffset \d+[mhdw]\b", f"offset {EARLIER}", query)
    return query.replace("$instance", ".*")


class Prometheus:
    """Debian's Prometheus on a free port of loopback, with the rules of config/prometheus."""

    def __init__(self, folder, admin_port):
        self.folder = pathlib.Path(folder)
        self.port = servers.free_port()
        self.process = None
        self.start = self.end = None  # of the load, in Unix time
        self.groups = None  # of rules, with the alerts that were pending or firing then
        self.admin_port = admin_port
        config = yaml.safe_load((rules.CONFIG / "prometheus.yml").read_text())
        config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{admin_port}"]
        (self.folder / "rules").mkdir(parents=True)
        for name in config["rule_files"]:
            content = yaml.safe_load((rules.CONFIG / name).read_text())
            for group in content["groups"]:
                for rule in group["rules"]:
                    rule["expr"] = shortened(rule["expr"])
            (self.folder / name).write_text(yaml.safe_dump(content))
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self):
        program = shutil.which("prometheus")
        assert program, "prometheus is missing: scripts/setup monitoring"
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

        def ready():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                return self._get("/-/ready")
            except OSError:
                return None

        eventually(ready, 60, 0.1)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _get(self, path, **parameters):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
            return answer.read()

    def api(self, path, **parameters):
        try:
            answer = json.loads(self._get("/api/v1/" + path, **parameters))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, query):
        """What a query finds at the end of the load: pairs of labels and a value."""
        found = self.api("query", query=shortened(query), time=self.end)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in found["result"]]

    def finds(self, metric):
        """Whether a metric is there now."""
        return bool(self.api("query", query=metric)["result"])

    def between(self, query, start, end, step=1):
        """What it found at each step: pairs of labels and [(time, value)]."""
        found = self.api("query_range", query=shortened(query), start=start, end=end, step=step)["result"]
        return [(series["metric"], [(at, float(value)) for at, value in series["values"]]) for series in found]


POLICIES = (
    ("page", "page:*", "ttl", "1s", "stale", "60s", "coalesce", "500ms", "lease", "2s"),
    ("price", "price:*", "ttl", "30s", "max-memory", "1mb"),
    ("bulk", "bulk:*", "priority", "first-out"),
)


class Load:
    """Makes one round of everything after the other, until it is stopped. A round takes about half a second."""

    def __init__(self, server):
        self.server = server
        self.over = threading.Event()
        self.rounds = 0
        self.failure = None
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.prepare()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)

    def prepare(self):
        with self.server.connect_plain() as client:
            for name, match, *fields in POLICIES:
                assert client.call("CACHE.POLICY", "SET", name, "match", match, *fields) == "OK"
            assert client.call("ACL", "SETUSER", "shop", "on", ">secret", "~*", "+@all", "-@admin", "rate=300") == "OK"
            assert client.call("ACL", "SETUSER", "reader", "on", ">secret", "~page:*", "+@read") == "OK"

    def _run(self):
        try:
            with self.server.connect_plain() as client, contextlib.ExitStack() as stack:
                watcher = stack.enter_context(self.server.connect_plain())
                watcher.call("MONITOR")
                self._drain(watcher)
                while not self.over.is_set():
                    self.round(client)
                    self.rounds += 1
        except Exception as error:  # noqa: BLE001: told by the test
            self.failure = error

    @staticmethod
    def _drain(connection):
        """Reads what a connection is sent, so that it is not closed for not reading."""

        def read():
            with contextlib.suppress(OSError, Closed):
                while True:
                    connection._receive()
                    connection.buffer.clear()

        connection.socket.settimeout(None)
        threading.Thread(target=read, daemon=True).start()

    def round(self, client):
        n = self.rounds
        self.traffic(client, n)
        self.leases(client, n)
        self.refusals(n)
        self.over_tls(n)
        self.scripts(client, n)
        self.operators(client, n)

    def traffic(self, client, n):
        """Reads, of which some keys are far more often asked for, writes beyond the memory, deadlines."""
        commands = [("SET", f"item:{n}:{i}", "v" * 4000, "EX", 60 * (1 + i % 100)) for i in range(800)]
        commands += [("SET", f"bulk:{n}:{i}", "v" * 2000) for i in range(100)]
        commands += [("SET", f"price:{n}:{i}", "v" * 2000) for i in range(200)]
        commands += [("SET", f"brief:{i}", "v", "PX", 100) for i in range(50)]
        commands += [("GET", f"item:{n}:{760 + i % 40}") for i in range(3000)] + [("GET", "item:hot")] * 1000 + [("GET", f"none:{i}") for i in range(300)]
        commands += [("GET", f"price:{n}:{i}") for i in range(150)] + [("CACHE.ABSENT", f"gone:{i}", "EX", 100) for i in range(5)]
        commands += [("GET", f"gone:{i % 5}") for i in range(50)] + [("CACHE.GET", "page:gone", "LEASE", 0)] * 5 + [("MGET", *(f"item:{n}:{i}" for i in range(700, 800)))] * 10
        commands += [("SET", "item:hot", "v"), ("CACHE.ABSENT", "page:gone", "EX", 100), ("GET", "bulk:0:0"), ("INCR", "item:hot"), ("MSET", "item:1", "v", "item:2", "v"), ("NOSUCH",)]
        assert len(client.pipeline(commands)) == len(commands)

    def leases(self, client, n):
        """Loads that are filled, voided, late, given back and refused; readers who wait; stale values."""
        get = lambda key, *options: client.call("CACHE.GET", key, *options)
        for i in range(3):
            _, _, token, _ = get(f"page:{n}:{i}", "LEASE", 2000)
            with self.server.connect_plain() as waiter:
                waiter.send_command("CACHE.GET", f"page:{n}:{i}", "WAIT", 2000)
                time.sleep(0.02)
                client.call("CACHE.SET", f"page:{n}:{i}", "v", "TOKEN", token, "PX", 50, "STALE", 60000)
                waiter.read()
        get(f"page:late:{n}", "LEASE", 1)
        _, _, token, _ = get(f"page:void:{n}", "LEASE", 2000)
        client.call("DEL", f"page:void:{n}")
        client.call("CACHE.SET", f"page:void:{n}", "v", "TOKEN", token)
        _, _, token, _ = get(f"page:back:{n}", "LEASE", 2000)
        client.call("CACHE.RELEASE", f"page:back:{n}", token)
        time.sleep(0.1)
        for i in range(3):
            for _ in range(5):
                get(f"page:{n}:{i}", "LEASE", 0)
            get(f"page:{n}:{i}", "BETA", 1000)
        client.call("CONFIG", "SET", "max-lease-waiters", 0)
        get(f"page:held:{n}", "LEASE", 1000)
        get(f"page:held:{n}", "WAIT", 10)
        client.call("CONFIG", "SET", "max-lease-waiters", 100000)
        client.call("CACHE.SET", f"page:tag:{n}", "v", "TAGS", 1, f"t{n}")
        client.call("CACHE.PURGE", "TAGS", 1, f"t{n}")
        client.call("CACHE.PURGE", "PREFIX", "page:tag:")

    def refusals(self, n):
        """What is not let in, or may not do what it asks for."""
        with self.server.connect_plain() as stranger:
            stranger.call("AUTH", "shop", "wrong")
            stranger.call("AUTH", "reader", "secret")
            stranger.call("SET", "page:1", "v")
            stranger.call("GET", "item:1")
            stranger.call("GET", "page:1")
        with self.server.connect_plain() as shop:
            shop.call("AUTH", "shop", "secret")
            shop.pipeline([("GET", f"page:{n}:{i % 4}") for i in range(200)])
        with self.server.connect_plain() as noise, contextlib.suppress(Closed, OSError):
            noise.send(b"*1\r\n!x\r\n")
            noise.read()

    def over_tls(self, n):
        with self.server.connect() as client:
            client.call("GET", "item:hot")
        if n % 2 == 0:
            with Connection(self.server.tls_port) as plain, contextlib.suppress(Closed, OSError):
                plain.send(b"PING\r\n")
                plain.read()

    def scripts(self, client, n):
        """Scripts that name their keys and some that do not, one that is stopped; messages, and values that clients keep."""
        client.pipeline([("EVAL", "return redis.call('GET', KEYS[1])", 1, f"item:{n}:{760 + i}") for i in range(20)])
        client.pipeline([("EVAL", "return redis.call('GET', 'item:' .. ARGV[1])", 0, i) for i in range(10)])
        client.call("CONFIG", "SET", "script-time-limit", 100)
        client.call("EVAL", "while true do end", 0)
        client.call("CONFIG", "SET", "script-time-limit", 5000)
        with self.server.connect_plain() as reader:
            reader.call("HELLO", 3)
            reader.call("CLIENT", "TRACKING", "ON")
            reader.call("GET", "item:hot")
            reader.call("SUBSCRIBE", "news")
            client.call("SET", "item:hot", "v")
            client.pipeline([("PUBLISH", "news", "v" * 100)] * 20)

    def operators(self, client, n):
        """Slow commands, refused writes, and switches that go on and off."""
        client.call("KEYS", "*")
        client.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        client.pipeline([("SETRANGE", "full", 30_000_000, "v")] * 10)
        client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        client.call("CONFIG", "SET", "serve-stale", "yes" if n % 4 == 0 else "no")


@contextlib.contextmanager
def watched(folder, seconds=30):
    """Runs the load for so long, and yields Prometheus, with `start` and `end` of the load. Queries are for the end, when all was going on."""
    folder = pathlib.Path(folder)
    authority = tls.Authority(folder)
    admin_port = servers.free_port()
    arguments = ["--admin-port", admin_port, "--maxmemory", "24mb", "--slowlog-log-slower-than", 50, "--audit-log-file", folder / "audit.log"]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(tls.pinfold(*arguments, authority=authority))
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", admin_port))
        prometheus.start = time.time()
        with Load(server) as load:
            end = time.monotonic() + seconds
            # The hit ratio with other amounts of memory is known once enough of the traffic was sampled.
            while load.failure is None and (time.monotonic() < end or load.rounds < 10 or not prometheus.finds("pinfold_hit_ratio_at_memory")):
                time.sleep(0.2)
            prometheus.end, prometheus.groups = time.time(), prometheus.api("rules")["groups"]
        if load.failure is not None:
            raise load.failure
        yield prometheus
