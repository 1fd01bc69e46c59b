"""Tracing (docs/tracing.md): CLIENT TRACEPARENT, which requests are traced, what a span tells, and receivers that do not take spans."""

import contextlib
import http.server
import json
import socket
import threading
import time

import pytest

from tests.support import resp, servers
from tests.support.servers import eventually

from .conftest import info, only_pinfold

pytestmark = only_pinfold

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
PHASES = ("queue", "lock_wait", "room_wait", "execute", "wait", "write")
MS = 1_000_000


def value_of(value):
    [(kind, content)] = value.items()
    assert kind in ("stringValue", "intValue") and isinstance(content, str), value
    return int(content) if kind == "intValue" else content


def attributes_of(thing):
    found = {one["key"]: value_of(one["value"]) for one in thing["attributes"]}
    assert len(found) == len(thing["attributes"]), "no attribute twice"
    return found


class Span:
    def __init__(self, raw):
        self.raw = raw
        self.name, self.trace, self.id, self.parent = raw["name"], raw["traceId"], raw["spanId"], raw.get("parentSpanId")
        self.start, self.end = int(raw["startTimeUnixNano"]), int(raw["endTimeUnixNano"])
        self.attributes = attributes_of(raw)
        self.phases = {name: self.attributes[f"pinfold.{name}_ns"] for name in PHASES}

    @property
    def failed(self):
        return self.raw["status"].get("code") == 2

    def __repr__(self):
        return f"{self.name} {self.trace}/{self.id} {self.phases} {self.attributes}"


class Receiver:
    """Takes spans as an OpenTelemetry collector does. `status` is what it answers with."""

    def __init__(self):
        receiver = self
        self.spans, self.requests, self.resources, self.status = [], [], [], 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self.path, self.headers, body)
                self.send_response(receiver.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def take(self, path, headers, body):
        self.requests.append((path, dict(headers), body))
        if self.status != 200:
            return
        for resource in json.loads(body)["resourceSpans"]:
            self.resources.append(attributes_of(resource["resource"]))
            for scope in resource["scopeSpans"]:
                self.spans.extend(Span(raw) for raw in scope["spans"])

    def named(self, *names):
        """The spans of these commands, once there is one of each."""
        eventually(lambda: set(names) <= {span.name for span in self.spans})
        return [span for span in self.spans if span.name in names]

    def one(self, name):
        [span] = self.named(name)
        return span

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver():
    with contextlib.closing(Receiver()) as made:
        yield made


@pytest.fixture
def traced(start, receiver):
    """A server that traces what is given a context."""
    return start("--trace-endpoint", receiver.url, "--threads", "2", "--enable-debug-command", "yes")


def fails(connection, *words):
    """The error that a request is answered with."""
    reply = connection.call(*words)
    assert isinstance(reply, resp.ErrorReply), reply
    return reply


def sent(connection):
    """What has become of spans: (exported, dropped, failed)."""
    figures = info(connection, "stats")
    return tuple(int(figures[f"spans_{name}"]) for name in ("exported", "dropped", "failed"))


def after_all(connection, receiver):
    """All spans of this connection up to now: one behind them has come."""
    mark = f"{len(receiver.spans) + 1:032x}"
    assert connection.call("CLIENT", "TRACEPARENT", f"00-{mark}-{PARENT}-01") == "OK"
    connection.call("ECHO", "end")
    eventually(lambda: any(span.trace == mark for span in receiver.spans))
    return [span for span in receiver.spans if not span.trace.startswith("0" * 16)]


def flood(connection, requests=1000):
    assert len(connection.pipeline([("GET", "k")] * requests)) == requests


# --- what a span tells ---


def test_a_span_says_whose_request_it_was_and_how_long_each_part_took(traced, receiver):
    before = time.time_ns()
    with traced.connect() as client:
        assert client.call("SET", "secret-key", "secret-value") == "OK"
        assert client.call("SELECT", "3") == "OK"
        assert client.call("CLIENT", "TRACEPARENT", SAMPLED) == "OK"
        assert client.call("MGET", "secret-key", "other") == [None, None]
        _, port = client.socket.getsockname()
        span = receiver.one("MGET")
    after = time.time_ns()
    assert (span.trace, span.parent) == (TRACE, PARENT)
    assert len(span.id) == 16 and int(span.id, 16) != 0 and span.id != PARENT
    assert span.raw["kind"] == 2 and span.raw["flags"] == 0x301 and not span.failed
    assert before - 1000 * MS <= span.start <= span.end <= after + 1000 * MS
    assert sum(span.phases.values()) == span.end - span.start
    assert span.phases["wait"] == 0 and span.phases["execute"] > 0
    told = {name: value for name, value in span.attributes.items() if not name.endswith("_ns")}
    assert told == {
        "db.system.name": "pinfold", "db.operation.name": "MGET", "db.namespace": "3", "user.name": "default", "pinfold.arguments": 3,
        "client.address": "127.0.0.1", "client.port": port,
    }  # fmt: skip
    [(path, headers, body)] = receiver.requests
    assert path == "/v1/traces" and headers["Content-Type"] == "application/json" and headers["Host"] == receiver.url.split("/")[2]
    assert b"secret" not in body, "no key and no value is in a span"
    [resource] = receiver.resources
    assert resource["service.name"] == "pinfold" and resource["service.version"] == "0.1.0" and len(resource["service.instance.id"]) == 40


def test_no_text_of_a_client_is_in_a_span(traced, receiver):
    with traced.connect() as client:
        assert client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY") == "OK"
        fails(client, "secret-command", "secret-argument")
        fails(client, "CLIENT", "secret-subcommand")
        fails(client, "GET", "secret-key", "secret-word")
        fails(client, "AUTH", "secret-user", "secret-password")
        client.call("ECHO", "secret-word")
        spans = receiver.named("unknown", "CLIENT", "GET", "AUTH", "ECHO")
    assert {span.name: span.attributes.get("error.type") for span in spans} == {
        "unknown": "ERR", "CLIENT": "ERR", "GET": "ERR", "AUTH": "WRONGPASS", "ECHO": None}  # fmt: skip
    assert not any(b"secret" in body for _, _, body in receiver.requests)


def test_an_error_is_the_status_of_its_span(traced, receiver):
    with traced.connect() as client:
        client.call("SET", "text", "abc")
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        fails(client, "INCR", "text")
        fails(client, "DECRBY", "text")
        assert client.call("STRLEN", "text") == 3
        spans = {span.name: span for span in receiver.named("INCR", "DECRBY", "STRLEN")}
    assert spans["INCR"].failed and spans["INCR"].attributes["error.type"] == "ERR"
    assert spans["DECRBY"].failed
    assert not spans["STRLEN"].failed and "error.type" not in spans["STRLEN"].attributes


def test_the_user_is_named(traced, receiver):
    with traced.connect() as client:
        client.call("ACL", "SETUSER", "jane", "on", ">pw", "+@all", "-get", "~*")
        client.call("AUTH", "jane", "pw")
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        fails(client, "GET", "k")
        span = receiver.one("GET")
    assert span.attributes["user.name"] == "jane" and span.attributes["error.type"] == "NOPERM"


def test_the_commands_of_a_transaction_are_spans_and_exec_tells_how_many(traced, receiver):
    with traced.connect() as client:
        client.call("SET", "text", "abc")
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        client.call("MULTI")
        client.call("INCR", "text")
        client.call("STRLEN", "text")
        client.raw("EXEC")
        spans = {span.name: span for span in receiver.named("MULTI", "INCR", "STRLEN", "EXEC")}
    assert all(span.trace == TRACE and span.parent == PARENT for span in spans.values())
    assert len({span.id for span in spans.values()}) == 4
    assert spans["EXEC"].attributes["db.operation.batch.size"] == 2
    assert not spans["EXEC"].failed, "a command of it has failed, and its reply says which"
    assert not spans["INCR"].failed, "it was queued"


def test_an_exec_that_does_nothing_has_failed(traced, receiver):
    with traced.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        client.call("MULTI")
        fails(client, "GET")
        fails(client, "EXEC")
        assert receiver.one("EXEC").attributes["error.type"] == "EXECABORT"


def test_waiting_for_the_load_of_another_client_is_told_apart(traced, receiver):
    with traced.connect() as loader, traced.connect() as reader:
        reader.call("CLIENT", "TRACEPARENT", SAMPLED)
        token = loader.call("CACHE.GET", "k", "LEASE", "10000")[2]
        reader.send_command("CACHE.GET", "k", "WAIT", "10000")
        eventually(lambda: info(loader, "cache")["lease_waiters"] == "1")
        time.sleep(0.05)  # a wait of which the least is known
        assert not receiver.spans, "its reply is to come"
        assert loader.call("CACHE.SET", "k", "v", "TOKEN", token)
        assert b"v" in reader.read_raw()
        span = receiver.one("CACHE.GET")
    assert span.phases["wait"] >= 50 * MS
    assert sum(span.phases.values()) == span.end - span.start >= 50 * MS
    assert span.phases["execute"] < span.phases["wait"] and not span.failed


def test_a_client_that_leaves_while_it_waits_has_a_span_that_says_so(traced, receiver):
    with traced.connect() as loader:
        loader.call("CACHE.GET", "k", "LEASE", "10000")
        with traced.connect() as reader:
            reader.call("CLIENT", "TRACEPARENT", SAMPLED)
            number = reader.call("CLIENT", "ID")
            reader.call("CLIENT", "TRACEPARENT", SAMPLED)
            reader.send_command("CACHE.GET", "k", "WAIT", "10000")
            eventually(lambda: info(loader, "cache")["lease_waiters"] == "1")
            assert loader.call("CLIENT", "KILL", "ID", number) == 1
            span = receiver.one("CACHE.GET")
    assert span.failed and span.attributes["error.type"] == "closed"


def test_requests_behind_one_that_waits_are_in_the_queue_meanwhile(traced, receiver):
    with traced.connect() as loader, traced.connect() as reader:
        reader.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        token = loader.call("CACHE.GET", "k", "LEASE", "10000")[2]
        reader.send_command("CACHE.GET", "k", "WAIT", "10000")
        eventually(lambda: info(loader, "cache")["lease_waiters"] == "1")
        reader.send_command("STRLEN", "behind")
        number = reader_id(loader, "cache.get")
        eventually(lambda: int(client_field(loader, number, "qbuf")) > 0)
        time.sleep(0.05)
        loader.call("CACHE.SET", "k", "v", "TOKEN", token)
        reader.read(), reader.read()
        first, second = receiver.named("CACHE.GET", "STRLEN")
        reader.call("TTL", "later")
        later = receiver.one("TTL")
    assert first.phases["wait"] >= 50 * MS and first.phases["queue"] < 50 * MS
    assert second.phases["queue"] >= 50 * MS and second.phases["wait"] == 0
    assert later.phases["queue"] < second.phases["queue"], "that wait is over"


def reader_id(connection, command):
    # Another thread may not have come to its request yet.
    [line] = eventually(lambda: [line for line in connection.call("CLIENT", "LIST").decode().splitlines() if f"cmd={command} " in line])
    return line.split()[0].split("=")[1]


def client_field(connection, number, field):
    [line] = connection.call("CLIENT", "LIST", "ID", number).decode().splitlines()
    return dict(word.split("=", 1) for word in line.split())[field]


def test_a_paused_request_was_in_the_queue(traced, receiver):
    with traced.connect() as client, traced.connect() as admin:
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        admin.call("CLIENT", "PAUSE", "60000", "WRITE")
        client.send_command("SET", "k", "v")
        eventually(lambda: info(admin, "clients")["blocked_clients"] == "1")
        time.sleep(0.05)
        admin.call("CLIENT", "UNPAUSE")
        client.read()
        span = receiver.one("SET")
    assert span.phases["queue"] >= 50 * MS


def test_a_reply_that_is_not_read_is_being_written(traced, receiver):
    with traced.connect() as writer, traced.connect() as reader:
        writer.call("SET", "large", b"x" * (32 << 20))
        reader.call("CLIENT", "TRACEPARENT", SAMPLED)
        reader.send_command("GET", "large")
        number = reader_id(writer, "get")
        eventually(lambda: int(client_field(writer, number, "omem")) > 0)
        assert not receiver.spans
        time.sleep(0.05)
        assert len(reader.read()) == 32 << 20
        span = receiver.one("GET")
    assert span.phases["write"] >= 50 * MS


def test_a_long_command_is_executed_in_steps_and_waits_between_them(traced, receiver):
    with traced.connect() as client:
        for at in range(0, 20_000, 1000):
            client.call("MSET", *(word for i in range(at, at + 1000) for word in (f"key:{i}", "v")))
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        assert len(client.call("KEYS", "key:*")) == 20_000
        span = receiver.one("KEYS")
    assert span.phases["execute"] > 0 and sum(span.phases.values()) == span.end - span.start and not span.failed


def test_replies_that_are_turned_off_are_no_errors(traced, receiver):
    with traced.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        client.send_command("CLIENT", "REPLY", "OFF")
        client.send_command("HGET")
        client.send_command("GET", "k")
        client.send_command("CLIENT", "REPLY", "ON")
        assert client.read_raw() == b"+OK\r\n"
        receiver.named("GET")
        assert not any(span.failed for span in after_all(client, receiver))


# --- which requests are traced ---


def test_a_context_is_for_the_next_request_only(traced, receiver):
    with traced.connect() as client:
        for word in ((), ("ONCE",), ("once",)):
            client.call("CLIENT", "TRACEPARENT", SAMPLED, *word)
            client.call("GET", "k")
            client.call("TTL", "k")
        assert [span.name for span in after_all(client, receiver)] == ["GET"] * 3


def test_in_a_pipeline_it_is_for_the_request_behind_it(traced, receiver):
    with traced.connect() as client:
        client.pipeline([("CLIENT", "TRACEPARENT", SAMPLED), ("GET", "k"), ("TTL", "k")])
        assert [span.name for span in after_all(client, receiver)] == ["GET"]


def test_a_request_that_is_refused_uses_it_up(traced, receiver):
    with traced.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        fails(client, "GET")
        client.call("TTL", "k")
        [span] = after_all(client, receiver)
        assert span.name == "GET" and span.failed


@pytest.mark.parametrize("end", [("CLIENT", "TRACEPARENT", "OFF"), ("CLIENT", "TRACEPARENT", "off"), ("CLIENT", "TRACEPARENT", ""), ("RESET",)])
def test_a_sticky_context_is_for_all_until_it_ends(traced, receiver, end):
    with traced.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        for _ in range(3):
            client.call("GET", "k")
        client.raw(*end)
        client.call("TTL", "k")
        names = [span.name for span in after_all(client, receiver)]
    assert names == ["GET"] * 3 + ["RESET" if end[0] == "RESET" else "CLIENT TRACEPARENT"]


def test_a_context_replaces_the_one_before(traced, receiver):
    other = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with traced.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        client.call("CLIENT", "TRACEPARENT", other)
        client.call("GET", "k")
        client.call("TTL", "k")
        assert [(span.name, span.trace[0]) for span in after_all(client, receiver)] == [("CLIENT TRACEPARENT", "4"), ("GET", "a")]


def test_the_context_is_of_one_connection(traced, receiver):
    with traced.connect() as client, traced.connect() as other:
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        other.call("TTL", "k")
        client.call("GET", "k")
        assert [span.name for span in after_all(client, receiver)] == ["GET", "CLIENT TRACEPARENT"]


def test_what_its_caller_does_not_sample_is_not_traced(traced, receiver):
    with traced.connect() as client:
        client.call("CONFIG", "SET", "trace-sample-percent", "100")
        client.call("CLIENT", "TRACEPARENT", NOT_SAMPLED, "STICKY")
        client.call("GET", "k")
        client.call("CONFIG", "SET", "trace-sample-percent", "0")
        names = [span.name for span in after_all(client, receiver)]
    assert names == ["CLIENT TRACEPARENT"], "it had no context yet"


def test_none_or_all_of_the_others_are_traced_as_roots(traced, receiver):
    with traced.connect() as client:
        for _ in range(50):
            client.call("GET", "k")
        assert not after_all(client, receiver), "trace-sample-percent is 0"
        client.call("CONFIG", "SET", "trace-sample-percent", "100")
        for _ in range(50):
            client.call("STRLEN", "k")
        client.call("CONFIG", "SET", "trace-sample-percent", "0")
        spans = [span for span in after_all(client, receiver) if span.name == "STRLEN"]
    assert len(spans) == 50 and len({span.trace for span in spans}) == 50
    assert all(span.parent is None and len(span.trace) == 32 and int(span.trace, 16) for span in spans)
    assert all(span.raw["flags"] == 0x101 for span in spans)


def test_some_of_them_are_traced_if_some_are_wanted(traced, receiver):
    with traced.connect() as client:
        client.call("CONFIG", "SET", "trace-sample-percent", "20")
        flood(client)
        client.call("CONFIG", "SET", "trace-sample-percent", "0")
        count = len([span for span in after_all(client, receiver) if span.name == "GET"])
    assert 100 <= count <= 320, "7 standard deviations, and more"


def test_all_of_a_long_pipeline_are_traced(traced, receiver):
    with traced.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        flood(client)
        spans = [span for span in after_all(client, receiver) if span.name == "GET"]
        for span in spans:
            assert sum(span.phases.values()) == span.end - span.start
        assert len(spans) == len({span.id for span in spans}) == 1000
        assert eventually(lambda: (found := sent(client))[0] >= 1000 and found)[1:] == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "x", SAMPLED[:-1], SAMPLED + "0", SAMPLED + "-00", SAMPLED.upper(), "ff" + SAMPLED[2:], "0g" + SAMPLED[2:],
        SAMPLED.replace(TRACE, "0" * 32), SAMPLED.replace(PARENT, "0" * 16), SAMPLED.replace("-", "_"), " " + SAMPLED[1:],
        "01" + SAMPLED[2:] + "x", "x" * (1 << 20),
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_a_malformed_traceparent_is_refused_and_the_one_before_stays(traced, receiver, text):
    with traced.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        assert fails(client, "CLIENT", "TRACEPARENT", text).startswith("ERR invalid traceparent")
        client.call("GET", "k")
        assert receiver.one("GET").trace == TRACE


@pytest.mark.parametrize("words", [(SAMPLED, "TWICE"), (SAMPLED, "ONCE", "STICKY"), (SAMPLED, "STICKY", "ONCE"), ("OFF", "STICKY"), ("", "ONCE")])
def test_options_that_there_are_not_are_refused(traced, words):
    with traced.connect() as client:
        assert fails(client, "CLIENT", "TRACEPARENT", *words) == "ERR syntax error"


def test_a_later_version_is_read_as_far_as_it_is_known(traced, receiver):
    with traced.connect() as client:
        assert client.call("CLIENT", "TRACEPARENT", "01" + SAMPLED[2:] + "-what-may-come") == "OK"
        client.call("GET", "k")
        assert receiver.one("GET").parent == PARENT


# --- the receiver ---


class BadReceiver:
    """Calls behave(socket) with each connection, in a thread of its own."""

    def __init__(self, behave):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1/traces"
        self.behave, self.connections = behave, []
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.listener.accept()
                self.connections.append(one)
                threading.Thread(target=self.serve, args=(one,), daemon=True).start()

    def serve(self, one):
        with contextlib.suppress(OSError):
            self.behave(one)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for one in self.connections:
            one.close()


def bad_receiver(behave):
    return contextlib.closing(BadReceiver(behave))


def hang(_):
    pass


def close_at_once(one):
    one.close()


def read_all(one):
    head = b""
    while b"\r\n\r\n" not in head:
        head += one.recv(65536)
    length = int([line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")][0].split(b":")[1])
    got = len(head.split(b"\r\n\r\n", 1)[1])
    while got < length:
        got += len(one.recv(65536))


def answer_without_end(one):
    read_all(one)
    one.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        one.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def head_without_end(one):
    read_all(one)
    one.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        one.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")


def trickle(one):
    read_all(one)
    for byte in b"HTTP/1.1 200 OK\r\nX-More: " + b"x" * 10_000:
        one.sendall(bytes([byte]))
        time.sleep(0.1)


def no_http(one):
    read_all(one)
    one.sendall(b"+OK\r\n" * 10)




def test_spans_are_dropped_while_the_receiver_hangs_and_requests_go_on(start):
    with bad_receiver(hang) as receiver:
        server = start("--trace-endpoint", receiver.url, "--trace-sample-percent", "100", "--threads", "1")
        with server.connect() as client:
            before = server.rss()
            for _ in range(20):
                flood(client)
            exported, dropped, _ = eventually(lambda: (found := sent(client))[1] > 0 and found)
            assert exported == 0 and dropped > 0, "the queue has room for 4,096"
            flood(client)
            assert server.rss() - before < servers.bound(16 << 20)
            lines = eventually(lambda: [line for line in server.log().splitlines() if "spans were dropped" in line])
            assert len(lines) == 1, "at most one a minute"
            assert " warning " in lines[0]
        tried = len(receiver.connections)
        server.stop()
        assert len(receiver.connections) - tried <= 2, "to send all would take eight requests of five seconds"


@pytest.mark.parametrize("behave", [close_at_once, head_without_end, no_http, trickle, hang], ids=lambda one: one.__name__)
def test_spans_that_the_receiver_does_not_take_are_counted(start, behave):
    with bad_receiver(behave) as receiver:
        server = start("--trace-endpoint", receiver.url)
        with server.connect() as client:
            client.call("CLIENT", "TRACEPARENT", SAMPLED)
            client.call("GET", "k")
            assert eventually(lambda: (found := sent(client)) != (0, 0, 0) and found) == (0, 0, 1)
            [line] = eventually(lambda: [line for line in server.log().splitlines() if "spans cannot be delivered to" in line])
            assert receiver.url.split("/")[2] in line


def test_of_an_answer_without_end_only_the_head_is_read(start):
    with bad_receiver(answer_without_end) as receiver:
        server = start("--trace-endpoint", receiver.url)
        with server.connect() as client:
            for count in (1, 2, 3):
                client.call("CLIENT", "TRACEPARENT", SAMPLED)
                client.call("GET", "k")
                eventually(lambda: sent(client) == (count, 0, 0))


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_a_status_other_than_success_is_a_failure_which_is_told_once_and_so_is_its_end(traced, receiver, status):
    receiver.status = status
    with traced.connect() as client:
        for failed in (1, 2):
            client.call("CLIENT", "TRACEPARENT", SAMPLED)
            client.call("GET", "k")
            eventually(lambda: sent(client) == (0, 0, failed))
        receiver.status = 200
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        client.call("GET", "k")
        eventually(lambda: sent(client) == (1, 0, 2))
        told = lambda: [line.split(" ", 2)[2] for line in traced.log().splitlines() if "spans" in line]  # noqa: E731
        eventually(lambda: len(told()) == 2)
        assert told()[0] == f"spans cannot be delivered to {receiver.url.split('/')[2]}: it answers with the status {status}; they are dropped and counted"
        assert told()[1] == "spans are delivered again"


def test_nobody_who_listens_is_a_failure(start):
    server = start("--trace-endpoint", f"http://127.0.0.1:{servers.free_port()}/v1/traces")
    with server.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        client.call("GET", "k")
        eventually(lambda: sent(client) == (0, 0, 1))
        assert "cannot connect" in eventually(lambda: "\n".join(line for line in server.log().splitlines() if "spans" in line))


def test_a_name_that_nobody_has_is_a_failure(start):
    server = start("--trace-endpoint", "http://no-such-host.invalid:4318/v1/traces")
    with server.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        client.call("GET", "k")
        eventually(lambda: sent(client) == (0, 0, 1))


def test_a_name_is_looked_up(start, receiver):
    server = start("--trace-endpoint", receiver.url.replace("127.0.0.1", "localhost"))
    with server.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        client.call("GET", "k")
        receiver.one("GET")


def test_what_waits_is_sent_before_the_end(start, receiver):
    server = start("--trace-endpoint", receiver.url)
    with server.connect() as client:
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        client.call("GET", "k")
    server.stop()
    assert [span.name for span in receiver.spans] == ["GET"]


def test_the_receiver_may_change_and_go_while_the_server_runs(start, receiver):
    server = start()
    with server.connect() as client, contextlib.closing(Receiver()) as other:
        before = int(info(client, "memory")["used_memory_sampling"])
        assert client.call("CONFIG", "GET", "trace-endpoint") == [b"trace-endpoint", b""]
        client.call("CLIENT", "TRACEPARENT", SAMPLED)
        client.call("GET", "k")
        client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
        client.call("GET", "k")
        assert client.call("CONFIG", "SET", "trace-endpoint", receiver.url, "trace-service-name", "cache of orders") == "OK"
        client.call("STRLEN", "k")
        assert receiver.one("STRLEN").trace == TRACE
        assert receiver.resources[0]["service.name"] == "cache of orders"
        assert int(info(client, "memory")["used_memory_sampling"]) - before >= 1 << 20, "the queue is in the account"
        assert client.call("CONFIG", "SET", "trace-endpoint", other.url) == "OK"
        client.call("TTL", "k")
        assert other.one("TTL").trace == TRACE
        assert client.call("CONFIG", "SET", "trace-endpoint", "") == "OK"
        client.call("EXISTS", "k")
        # Samples of keys are in it as well, and come and go.
        eventually(lambda: int(info(client, "memory")["used_memory_sampling"]) - before < 1 << 18)
        assert client.call("CONFIG", "SET", "trace-endpoint", receiver.url) == "OK"
        client.call("PTTL", "k")
        receiver.named("PTTL")
        assert not [span for span in receiver.spans + other.spans if span.name in ("EXISTS", "GET")]


@pytest.mark.parametrize(
    "url, why",
    [
        ("https://127.0.0.1:4318/v1/traces", "https is not supported"),
        ("127.0.0.1:4318/v1/traces", "does not begin with http://"),
        ("ftp://127.0.0.1:4318/v1/traces", "does not begin with http://"),
        ("http://127.0.0.1/v1/traces", "no port"),
        ("http://127.0.0.1:4318", "no path"),
        ("http://127.0.0.1:4318/", "no path"),
        ("http://127.0.0.1:0/v1/traces", "no valid port"),
        ("http://127.0.0.1:65536/v1/traces", "no valid port"),
        ("http://127.0.0.1:x/v1/traces", "no valid port"),
        ("http://:4318/v1/traces", "no valid host"),
        ("http://a b:4318/v1/traces", "no valid host"),
        ("http://::1:4318/v1/traces", "no valid host"),
        ("http://name:password@127.0.0.1:4318/v1/traces", "a user or a password"),
        ("http://127.0.0.1:4318/v1/traces#x", "must be encoded"),
        ("http://127.0.0.1:4318/v1 traces", "must be encoded"),
    ],
)
def test_an_address_that_is_no_receivers_is_refused(client, url, why):
    error = fails(client, "CONFIG", "SET", "trace-endpoint", url)
    assert "trace-endpoint" in error and why in error and "http://host:port/path" in error
    assert client.call("CONFIG", "GET", "trace-endpoint") == [b"trace-endpoint", b""]


def test_a_server_does_not_start_with_such_an_address():
    with servers.pinfold("--trace-endpoint", "https://collector:4318/v1/traces", wait=False) as server:
        server.expected_exits = (1,)
        assert server.process.wait(30) == 1
        assert "trace-endpoint" in server.log() and "https is not supported" in server.log()


@pytest.mark.parametrize("percent", ["-1", "101", "x", "0.5"])
def test_a_share_that_is_none_is_refused(client, percent):
    assert "trace-sample-percent" in fails(client, "CONFIG", "SET", "trace-sample-percent", percent)


def test_a_service_without_a_name_is_refused(client):
    assert "trace-service-name" in fails(client, "CONFIG", "SET", "trace-service-name", "")


def test_with_little_memory_the_queue_is_small(start):
    with bad_receiver(hang) as receiver:
        server = start("--maxmemory", "1mb", "--trace-endpoint", receiver.url, "--threads", "1")
        with server.connect() as client:
            client.call("SET", "k", "v")
            client.call("CLIENT", "TRACEPARENT", SAMPLED, "STICKY")
            flood(client)
            assert sent(client)[1] > 0
            assert client.call("GET", "k") == b"v"
            assert int(info(client, "memory")["used_memory_sampling"]) < 512 << 10
