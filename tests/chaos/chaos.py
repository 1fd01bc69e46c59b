"""One run of clients that go wrong on the wire, while an operator reloads certificates, kills clients and deletes users."""

import collections
import multiprocessing
import os
import random
import signal
import tempfile
import time

from tests.support import tls
from tests.support.connection import PATIENCE
from tests.support.servers import eventually, is_redis
from tests.support.tls import Authority

from .worker import Deck, Worker, work

WORKERS = 3
USERS = ("first", "second")


class Operator:
    def __init__(self, server, seed, certificates):
        self.server, self.rng = server, random.Random(f"{seed}:operator")
        self.certificates = certificates
        self.connection = server.connect_plain()
        self.counts = collections.Counter()
        self.ways = Deck(self.WAYS, self.rng)
        self.has_acl = bool(self.connection.call("COMMAND", "INFO", "acl")[0])

    def call(self, *words, expected=("OK",)):
        reply = self.connection.call(*words)
        assert expected is None or reply in expected, (words, reply)
        return reply

    def figures(self):
        text = self.call("INFO", "everything", expected=None).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    def another_certificate(self):
        chosen = self.rng.choice(self.certificates)
        self.call("CONFIG", "SET", "tls-cert-file", chosen.cert, "tls-key-file", chosen.key)

    def replace_files(self):
        """As a renewal does it: the files change, and the server may see the one before the other."""
        if not is_redis():  # which takes files only when it is told
            self.server.certificate.replace(self.rng.choice(self.certificates))
            self.call("CONFIG", "SET", "tls-cert-file", self.server.certificate.cert, "tls-key-file", self.server.certificate.key)

    def hang_up(self):
        if not is_redis():  # which SIGHUP ends
            self.server.process.send_signal(signal.SIGHUP)

    def kill_one(self):
        lines = [line for line in self.call("CLIENT", "LIST", expected=None).decode().splitlines() if "name=operator" not in line]
        if lines:
            number = self.rng.choice(lines).split(" ", 1)[0].removeprefix("id=")
            self.counts["killed"] += self.call("CLIENT", "KILL", "ID", number, expected=(0, 1))

    def ask_for_certificates(self):
        self.call("CONFIG", "SET", "tls-auth-clients", self.rng.choice(("no", "optional")))

    def change_sessions(self):
        self.call("CONFIG", "SET", "tls-session-caching", self.rng.choice(("yes", "yes", "no")))

    def change_users(self):
        """Their certificates log them in, so connections of theirs are closed when they are deleted, in the middle of anything."""
        if not self.has_acl:
            return
        name = self.rng.choice(USERS)
        if self.rng.random() < 0.5:
            self.counts["deleted"] += self.call("ACL", "DELUSER", name, expected=(0, 1))
        else:
            self.call("ACL", "SETUSER", name, *self.rng.choice((("on", "~*", "+@all"), ("on", "~*", "-@all", "+get"), ("off",))))

    WAYS = (another_certificate, another_certificate, replace_files, hang_up, kill_one, kill_one, kill_one, ask_for_certificates, change_sessions, change_users, change_users)

    def be_calm(self):
        """Workers verify what they have written, while others still hold stalled handshakes: nobody may lose a place to those."""
        self.call("CONFIG", "SET", "tls-auth-clients", "optional")
        if not is_redis():
            self.call("CONFIG", "SET", "tls-handshake-timeout", "60000", "tls-max-handshakes", "1000")

    def step(self):
        way = self.ways.draw()
        way(self)
        self.counts[way.__name__] += 1


def run(seconds, seed):
    """Returns what was done; an AssertionError says what went wrong."""
    with tempfile.TemporaryDirectory(prefix="pinfold-chaos-") as folder:
        authority = Authority(folder)
        certificates = [authority.server(), authority.server(key="rsa"), authority.server()]
        own = [] if is_redis() else ["--tls-handshake-timeout", "2000", "--tls-max-handshakes", "8", "--tls-auth-clients-user", "CN"]
        with tls.pinfold("--maxmemory", "512mb", *own, authority=authority, certificate=authority.server(), ask="optional") as server:
            return Run(server, authority, certificates, seed).go(seconds)


class Run:
    def __init__(self, server, authority, certificates, seed):
        self.server, self.seed = server, seed
        self.operator = Operator(server, seed, certificates)
        self.operator.call("CLIENT", "SETNAME", "operator")
        self.users = [authority.client(name) for name in USERS]

    def quiet(self):
        """Clients, their memory and descriptors, when nobody but the operator is there."""
        eventually(lambda: self.operator.figures()["connected_clients"] == "1", deadline=PATIENCE)
        figures = self.operator.figures()
        return {"memory": int(figures.get("used_memory_clients", figures.get("mem_clients_normal", 0))), "descriptors": self.operator.descriptors()}

    def warm_up(self):
        """What is made once is there before anything is counted."""
        worker = Worker((self.server.port, self.server.tls_port), 99, self.seed, [])
        for _ in range(5):
            worker.exchange()
        for way in self.operator.WAYS:
            way(self.operator)

    def go(self, seconds):
        self.warm_up()
        before = self.quiet()
        context = multiprocessing.get_context("fork")
        results, calm = context.Queue(), context.Event()
        until = time.monotonic() + seconds
        ports = (self.server.port, self.server.tls_port)
        workers = [context.Process(target=work, args=(ports, number, self.seed, until, results, self.users, calm)) for number in range(WORKERS)]
        for worker in workers:
            worker.start()
        try:
            most = 0
            while time.monotonic() < until and self.server.alive():
                self.operator.step()
                most = max(most, int(self.operator.figures()["connected_clients"]))
                time.sleep(0.05)
            self.operator.be_calm()
            calm.set()
            reports = [results.get(timeout=PATIENCE + 60) for _ in workers]
        finally:
            calm.set()
            for worker in workers:
                worker.join(10)
                worker.kill()
        assert self.server.alive(), self.server.log()[-8000:]
        for number, _, error in reports:
            assert error is None, f"worker {number}:\n{error}"
        counts = sum((counts for _, counts, _ in reports), self.operator.counts)
        counts["most at once"] = most
        self.check_the_end(before)
        return counts

    def check_the_end(self, before):
        """What came for the clients has gone with them."""
        assert self.operator.call("EXISTS", "chaos:never", expected=None) == 0
        slack = 2000  # the operator's own buffers
        eventually(lambda: self.quiet()["memory"] <= before["memory"] + slack, deadline=PATIENCE)
        eventually(lambda: self.quiet()["descriptors"] <= before["descriptors"], deadline=PATIENCE)
        after = self.operator.figures()
        if not is_redis():
            names = ("tls_connected_clients", "tls_handshakes_under_way", "tls_handshakes_waiting")
            assert [after[name] for name in names] == ["0"] * 3
