"""The admin port: metrics in Prometheus' format, probes, and who may ask for what."""

import base64
import concurrent.futures
import http.client
import os
import re
import resource
import socket
import ssl
import subprocess
import threading
import time

import pytest

from tests.support import exposition, faults, outside, resp, servers, tls
from tests.support.admin import Admin, at, rest_of
from tests.support.audit import Audited
from tests.support.servers import eventually

from .conftest import info, only_pinfold

pytestmark = only_pinfold
OPEN, CLOSED = ("/", "/status.css", "/status.js", "/health", "/ready"), ("/pages", "/status.json", "/metrics")
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def basic(token, name="any name"):
    return "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()


@pytest.fixture
def admin(start):
    return Admin(start)


# --- metrics ---


def test_the_metrics_are_in_the_format_of_prometheus(admin):
    text = admin.ask("/metrics")[1]
    metrics = exposition.parse(text)
    assert all(name.startswith("pinfold_") for name in metrics) and len(metrics) > 50
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr and not done.stdout, done


@pytest.mark.parametrize(
    "text",
    [
        "", "a 1", "# HELP a h\n# TYPE a gauge\n", "a 1\n", "# TYPE a gauge\na 1\n", "# HELP a h\na 1\n", "# HELP a h\n# TYPE a gauge\na x\n", "# HELP a h\n# TYPE a gauge\na 1\na 1\n",
        '# HELP a h\n# TYPE a gauge\na{b="\\x"} 1\n', '# HELP a h\n# TYPE a gauge\na{b="1",b="2"} 1\n', "# HELP a h\n# TYPE a counter\na 1\n", "# HELP a h\n# TYPE a gauge\nb 1\n",
        '# HELP a h\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n', "# HELP a h\n# TYPE a gauge\n\na 1\n",
    ],
)  # fmt: skip
def test_the_parser_of_the_tests_refuses_what_is_not_in_the_format(text):
    with pytest.raises(AssertionError):
        exposition.parse(text)


def test_each_metric_moves_by_what_was_done(admin):
    before = admin.metrics()
    with admin.server.connect() as client:
        client.call("SET", "a", "1")
        client.call("GET", "a")
        client.call("GET", "b")
        client.call("GET", "b")
        client.call("NOSUCH")
        client.call("INCR", "a", "b")
        client.call("CACHE.GET", "c", "LEASE", "10000")
        after = admin.metrics()
    moved = {key: value - before.get(key, 0.0) for key, value in after.items()}
    assert at(moved, "command_calls_total", command="get") == 3
    assert at(moved, "command_calls_total", command="set") == 1
    assert at(moved, "command_calls_rejected_total", command="incr") == 1
    assert at(moved, "keyspace_hits_total") == 1
    assert at(moved, "keyspace_misses_total") == 3
    assert at(moved, "connections_received_total") == 1
    assert at(moved, "errors_total", code="ERR") == 2
    assert at(moved, "leases_granted_total") == 1
    assert at(moved, "leases") == 1
    assert at(moved, "db_keys", db="0") == 1
    assert at(moved, "admin_requests_total") == 1


def test_scrapes_at_once_and_under_load_are_whole(admin):
    stop = threading.Event()

    def load(number):
        with admin.server.connect(timeout=60) as client:
            while not stop.is_set():
                client.call("MULTI")
                for n in range(50):
                    client.call("SET", f"{number}:{n}", "x" * 100)
                client.call("EXEC")
                client.call("FLUSHALL")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        loads = [pool.submit(load, number) for number in range(3)]
        scrapes = [pool.submit(lambda: [admin.metrics() for _ in range(10)]) for _ in range(4)]
        try:
            for scrape in scrapes:
                calls = [at(metrics, "commands_processed_total") for metrics in scrape.result()]
                assert calls == sorted(calls)
        finally:
            stop.set()
        for one in loads:
            one.result()


# --- probes and pages ---


def test_a_server_that_serves_is_healthy_and_ready(admin):
    assert admin.ask("/health")[:2] == (200, "ok\n")
    eventually(lambda: admin.ask("/ready")[:2] == (200, "ready\n"))


def test_a_server_that_shuts_down_is_healthy_and_not_ready(start, tmp_path):
    """The end of the audit log is waited for, here in vain: a pipe that nobody reads, into which a write does not return."""
    pipe = tmp_path / "audit.log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        admin = Admin(start, "--audit-log-file", pipe)
        with admin.server.connect() as client:
            while info(client, "stats")["audit_lines_lost"] == "0":
                client.exchange(resp.encode(["CONFIG", "SET", "hz", "10"]) * 2000, 2000)
        admin.server.process.terminate()
        eventually(lambda: admin.ask("/ready")[:2] == (503, "shutting down: clients are no longer served\n"))
        assert admin.ask("/health")[0] == 200
        admin.server.process.wait(60)
    finally:
        os.close(reader)


def test_what_is_no_page_is_refused_in_words(admin):
    for path in ("/metrics/x", "/metric", "//metrics", "/METRICS", "/%6detrics", "http://localhost/metrics"):
        assert admin.ask(path)[:2] == (404, "There is no such page.\n")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        status, text, headers = admin.ask("/metrics", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD") and "GET and HEAD" in text
    assert admin.ask("/metrics?x=1")[0] == admin.ask("/metrics?")[0] == 200


def test_head_is_answered_as_get_without_the_page(admin):
    for path in OPEN + CLOSED:
        status, text, headers = admin.ask(path, "HEAD")
        assert (status, text) == (200, "") and int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("token", ["", "s3cret"], ids=["without a token", "with a token"])
def test_browsers_are_told_to_do_nothing_with_a_page_but_show_it(start, token):
    admin = Admin(start, "--admin-token", token)
    for path in (*OPEN, *CLOSED, "/none"):
        headers = admin.ask(path, Origin="http://elsewhere.example")[2]
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer" and headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert not [name for name in headers if name.lower().startswith("access-control-")]


# --- who may ask ---


def test_metrics_need_the_token_and_probes_do_not(start):
    admin = Admin(start, "--admin-token", "s3cret")
    wrong = ["Bearer wrong", "Bearer", "Bearer ", "s3cret", "Basic s3cret", "Basic ====", "Basic " + "=" * 8, basic(""), basic("s3cre"), basic("s3cret")[:-4], "Digest s3cret"]
    for headers in ({}, *({"Authorization": value} for value in wrong)):
        for path in CLOSED:
            status, text, given = admin.ask(path, **headers)
            assert status == 401 and "s3cret" not in text, headers
            assert given.get_all("WWW-Authenticate") == ['Bearer realm="pinfold"', 'Basic realm="pinfold", charset="UTF-8"']
    for path in OPEN:
        assert admin.ask(path)[0] == 200
    for right in ("Bearer s3cret", "bearer s3cret", "Bearer  s3cret", basic("s3cret"), basic("s3cret", ""), basic("s3cret").replace("Basic", "basic")):
        assert admin.ask("/metrics", Authorization=right)[0] == 200, right
    with admin.server.connect() as client:
        assert client.call("CONFIG", "GET", "admin-token") == [b"admin-token", b"(hidden)"]
        assert client.call("CONFIG", "SET", "admin-token", "other:one") == "OK"
    assert admin.ask("/metrics", Authorization="Bearer s3cret")[0] == 401
    assert admin.ask("/metrics", Authorization="Bearer other:one")[0] == admin.ask("/metrics", Authorization=basic("other:one"))[0] == 200


@pytest.mark.parametrize("token", [" ", " lead", "trail ", "two words", "t\r\nX: y", "t\x00", "\x7f", "s\u00e9cret"])
def test_a_token_that_no_header_can_carry_is_refused(start, token):
    why = "argument must be printable ASCII characters without spaces"
    with start().connect() as client:
        assert client.call("CONFIG", "SET", "admin-token", token) == f"ERR CONFIG SET failed (possibly related to argument 'admin-token') - {why}"
        assert client.call("CONFIG", "GET", "admin-token") == [b"admin-token", b""]
    if "\x00" in token:
        return
    failed = servers.pinfold("--admin-token", token, wait=False)
    failed.process.wait(20)
    assert failed.process.returncode == 1 and f"bad value for 'admin-token': {why}" in failed.log()
    failed.directory.cleanup()


def test_wrong_tokens_are_limited_counted_and_in_the_audit_log(start, tmp_path):
    limit = 5
    made = {}

    def start_admin(*args):
        made["admin"] = Admin(start, *args)
        return made["admin"].server

    log = Audited(start_admin, tmp_path / "audit.log", "--admin-token", "s3cret", "--auth-failures-per-minute", limit, "--requirepass", "pw")
    admin = made["admin"]
    for _ in range(limit):
        assert admin.ask("/metrics", Authorization="Bearer wrong")[0] == 401
    for given in ("Bearer s3cret", "Bearer wrong"):
        status, text, headers = admin.ask("/metrics", Authorization=given)
        assert status == 429 and "nothing was checked" in text and 1 <= int(headers["Retry-After"]) <= 60
    assert admin.ask("/metrics")[0] == 401  # who shows none has tried nothing
    assert admin.ask("/ready")[0] == 200
    assert log.wait("auth-failed", by="admin-token")["address"].startswith("127.0.0.1:")
    eventually(lambda: len(log.events("auth-failed", by="admin-token")) == limit and len(log.events("auth-limited", by="admin-token")) == 2)
    with admin.server.connect() as client:
        assert client.call("AUTH", "pw") == "OK"  # passwords have an account of their own
        stats = info(client, "stats")
        assert (stats["auth_failures"], stats["auth_attempts_limited"]) == (str(limit), "2")
    eventually(lambda: "too many wrong tokens" in admin.server.log())
    assert not [line for line in log.lines() if "s3cret" in str(line) or "wrong" in str(line)]


GOOD_HOSTS = ["127.0.0.1", "127.0.0.1:9121", "[::1]", "[::1]:9121", "localhost", "localhost:80", "pinfold:9121"]
BAD_HOSTS = ["evil.example", "evil.example:9121", "127.0.0.1.evil.example", "localhost.evil.example", "[::1].evil.example.", "[evil.example]", "localhost.", ":80", "[", "127.0.0.1.", "a.b"]


def test_without_a_token_a_name_that_somebody_else_may_own_is_refused(admin):
    """A page of the internet whose name was made to point to this machine is of that name's origin (DNS rebinding)."""
    for host in GOOD_HOSTS:
        assert admin.ask("/metrics", Host=host)[0] == 200, host
    for host in BAD_HOSTS:
        status, text, _ = admin.ask("/metrics", Host=host)
        assert status == 421 and "admin-token" in text, host
        assert admin.ask("/health", Host=host)[0] == 200, host
    with admin.server.connect() as client:
        assert client.call("CONFIG", "SET", "admin-token", "s3cret") == "OK"
    for host in BAD_HOSTS:
        assert admin.ask("/metrics", Host=host, Authorization="Bearer s3cret")[0] == 200, host


def from_outside(admin, path, **headers):
    assert outside.address() is not None, "the test needs an address of this machine that is not loopback"
    connection = http.client.HTTPConnection(outside.address(), admin.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_protected_mode_lets_in_this_machine_and_whoever_has_the_token(start, tmp_path):
    made = {}

    def start_admin(*args):
        made["admin"] = Admin(start, *args)
        return made["admin"].server

    log = Audited(start_admin, tmp_path / "audit.log", "--admin-bind", "*")
    admin = made["admin"]
    assert from_outside(admin, "/ready")[0] == admin.ask("/metrics")[0] == 200
    status, text = from_outside(admin, "/metrics")
    assert status == 403 and "protected-mode" in text
    assert log.wait("denied", by="admin-token", reason="protected-mode")["address"].startswith(outside.address())
    assert "reaches beyond this machine without admin-token" in admin.server.log()
    with admin.server.connect() as client:
        assert info(client, "stats")["admin_requests_protected_mode"] == "1"
        client.call("CONFIG", "SET", "protected-mode", "no")
        assert from_outside(admin, "/metrics")[0] == 200
        client.call("CONFIG", "SET", "protected-mode", "yes")
        client.call("CONFIG", "SET", "admin-token", "s3cret")
    assert from_outside(admin, "/metrics", Authorization="Bearer s3cret")[0] == 200
    assert from_outside(admin, "/metrics")[0] == 401


# --- what is no request ---


@pytest.mark.parametrize(
    "bytes_, status",
    [
        (b"\0" * 100 + b"\r\n\r\n", 400),
        (b"*1\r\n$4\r\nPING\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000, 431),
        (b"GET /" + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000, 431),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n", 413),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody", 413),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        *[(b"GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n" % coding + REQUEST, 413) for coding in (b"gzip", b"xchunked", b"identity", b"chunked, gzip", b"")],
    ],
)
def test_what_is_no_request_is_answered_in_words_and_ends_its_connection(admin, bytes_, status):
    answer = admin.exchange(bytes_)
    assert answer.startswith(b"HTTP/1.1 %d " % status) and b"Connection: close\r\n" in answer and answer.count(b"HTTP/1.1 ") == 1, answer
    assert admin.ask("/health")[0] == 200


def test_half_a_request_is_answered_with_nothing(admin):
    with admin.wire() as wire:
        wire.sendall(REQUEST[:-2])
        wire.shutdown(socket.SHUT_WR)
        assert rest_of(wire) == b""


def test_http_1_0_needs_no_host_and_is_closed_unless_it_asks_otherwise(admin):
    answer = admin.exchange(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    two = admin.exchange(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n\r\n")
    assert two.count(b"HTTP/1.0 200 OK\r\n") == 2


def test_a_pipeline_is_answered_in_order(admin):
    paths = [b"/health", b"/none", b"/ready", b"/metrics"] * 25
    requests = b"".join(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in paths)
    answer = admin.exchange(requests + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 200] * 25 + [200]


def test_a_request_may_come_byte_by_byte(admin):
    with admin.wire() as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in REQUEST:
            wire.sendall(bytes([byte]))
        assert wire.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")


# --- limits ---


def served(wire):
    wire.sendall(REQUEST)
    try:
        return wire.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
    except ConnectionError:
        return False


def test_beyond_64_replies_that_are_not_read_the_rest_is_refused_and_clients_notice_nothing(admin):
    with admin.server.connect() as client:
        wires = [admin.wire(read_buffer=2048) for _ in range(64)]
        for wire in wires:
            wire.sendall(REQUEST.replace(b"/health", b"/metrics") * 100)
        requests = lambda: info(client, "stats")["admin_requests"]
        before = None
        while before != (before := requests()):  # until all of them wait for their peers
            time.sleep(10 if "PINFOLD_SANITIZED" in os.environ else 0.5)  # a page takes that long where the machine is busy
        assert int(before) < 6400
        more = [admin.wire() for _ in range(36)]
        assert not any([refused(wire) for wire in more])
        assert client.call("SET", "a", "1") == "OK"
        eventually(lambda: info(client, "stats")["admin_connections_rejected"] == "36")
        for wire in wires + more:
            wire.close()
    eventually(lambda: served(admin.wire()))


def test_requests_that_do_not_end_keep_nobody_out(admin):
    begun = REQUEST + b"G"
    wires = []
    for number in range(200):
        wires.append(admin.wire())
        wires[-1].sendall((b"", b"G", REQUEST[:-2], begun)[number % 4])
        if number % 4 == 3:
            assert wires[-1].recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
        assert number % 10 or admin.status("/health") == 200
    with admin.server.connect() as client:
        assert info(client, "stats")["admin_connections_rejected"] == "0"
    for wire in wires:
        wire.close()


def test_connections_that_wait_for_a_next_request_make_room_for_others(admin):
    wires = []
    for _ in range(200):
        wires.append(admin.wire())
        assert served(wires[-1])
    closed = [wire for wire in wires if is_closed(wire)]
    assert wires[:136] == closed  # those that have waited longest
    assert all([served(wire) for wire in wires[136:]])
    with admin.server.connect() as client:
        assert info(client, "stats")["admin_connections_rejected"] == "0"
    for wire in wires:
        wire.close()


def is_closed(wire):
    wire.setblocking(False)
    try:
        return wire.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        wire.settimeout(20)


def refused(wire):
    """What a connection that is closed at once brings: nothing."""
    try:
        return wire.recv(1)
    except ConnectionError:
        return b""


def test_silent_connections_keep_no_place_for_ever(admin):
    silent = [admin.wire() for _ in range(70)]
    eventually(lambda: admin.status("/health") == 200)
    for wire in silent:
        wire.close()


def test_there_are_descriptors_for_the_admin_port_and_for_all_clients(start):
    """The limit of the process is what it has asked for, so neither takes those of the other."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    admin = Admin(start, "--maxclients", "100", before_exec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))
    with admin.server.connect() as client:
        assert client.call("CONFIG", "GET", "maxclients") == [b"maxclients", b"100"]
        wires = [admin.wire() for _ in range(64)]
        others = [admin.server.connect() for _ in range(99)]
        assert {other.call("PING") for other in others} == {"PONG"}
        for wire in wires:
            wire.sendall(REQUEST)
            assert wire.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")
        for one in wires + others:
            one.close()
    assert resource.prlimit(admin.server.process.pid, resource.RLIMIT_NOFILE)[0] < 250


@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers have an allocator of their own, which cannot be replaced")
def test_a_request_for_which_there_is_no_memory_costs_its_connection_at_most(start, tmp_path):
    failing = faults.Faults(tmp_path, faults.seed())
    admin = Admin(start, env=failing.environment())
    for chance in (0.001, 0.01, 0.1, 0.5):
        failing.fail(chance, faults.HEAP)
        for _ in range(20):
            assert {admin.status("/metrics"), admin.status("/status.json")} <= {200, 503, None}
        failing.off()
        eventually(lambda: admin.status("/metrics") == 200)
    with admin.server.connect() as client:
        assert client.call("PING") == "PONG"
    assert failing.failed() > 20


@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers have an allocator of their own, which cannot be replaced")
def test_a_page_for_which_memory_runs_out_is_not_answered_in_part(start, tmp_path):
    """Prometheus would take a number that is cut off for a smaller one."""
    failing = faults.Faults(tmp_path, faults.seed())
    admin = Admin(start, env=failing.environment())
    whole = admin.ask("/metrics")[1].count("\n")
    answers = []
    for _ in range(60):
        failing.fail(0.3, faults.HEAP, least=8192)  # what the text needs when it grows
        try:
            status, text, _ = admin.ask("/metrics")
        except (OSError, http.client.HTTPException):
            continue
        finally:
            failing.off()
        answers.append(status)
        if status == 200:
            assert text.endswith("\n") and text.count("\n") >= whole, text[-100:]
    assert set(answers) <= {200, 503} and failing.failed() > 20


# --- where it listens ---


@pytest.mark.parametrize(
    "settings, error",
    [
        (["--admin-port", "{taken}"], "cannot listen on 127.0.0.1 port {taken} (admin-port): Address already in use"),
        (["--admin-port", "{free}", "--admin-bind", "nonsense"], "cannot listen on nonsense port {free} (admin-port): not an IP address"),
        (["--admin-port", "{free}", "--admin-bind", ""], "admin-port is set, and admin-bind names no address"),
        (["--admin-port", "{free}", "--admin-bind", "-203.0.113.1"], "admin-port is set, and admin-bind names no address of this machine"),
        (["--admin-port", "{free}", "--port", "{free}"], "admin-port and port are the same: {free}"),
        (["--admin-port", "{free}", "--admin-tls", "yes"], "admin-tls is on: tls-cert-file is not set: TLS needs a certificate"),
    ],
)
def test_where_it_cannot_listen_the_server_does_not_start(start, settings, error):
    taken, free = start().port, servers.free_port()
    names = {"taken": taken, "free": free}
    failed = servers.pinfold(*[setting.format(**names) for setting in settings], port=0 if "--port" in settings else None, wait=False)
    failed.process.wait(20)
    assert failed.process.returncode == 1 and error.format(**names) in failed.log()
    failed.directory.cleanup()


def test_the_check_of_the_settings_looks_at_the_admin_port():
    def checked(*settings):
        done = subprocess.run([servers.pinfold_binary(), *settings, "--check"], capture_output=True, text=True, timeout=20, env=servers.environment(), check=False)
        return done.stdout + done.stderr

    assert "not an IP address" in checked("--admin-port", "9121", "--admin-bind", "nonsense")
    assert "admin-tls is on: tls-cert-file is not set" in checked("--admin-port", "9121", "--admin-tls", "yes")
    assert "no effect while admin-port is 0" in checked("--admin-tls", "yes")
    assert "set one, or bind to 127.0.0.1" in checked("--admin-port", "9121", "--admin-bind", "*", "--protected-mode", "no")


def test_by_default_there_is_no_admin_port(start):
    server = start()
    assert "http://" not in server.log()
    with server.connect() as client:
        assert client.call("CONFIG", "GET", "admin-port") == [b"admin-port", b"0"]


# --- TLS ---


@pytest.fixture
def start_secure(start, authority):
    """An admin port with TLS, beside a plain port for clients."""

    def begin(*settings, certificate=None, ask="no"):
        certificate = certificate or authority.server()
        files = ["--tls-cert-file", certificate.cert, "--tls-key-file", certificate.key, "--tls-ca-cert-file", authority.cert, "--tls-auth-clients", ask]
        return Admin(start, "--admin-tls", "yes", *files, *settings, context=tls.client_context(authority))

    return begin


def shown_serial(admin):
    with admin.wire(tls.client_context()) as wire:
        from cryptography import x509

        return x509.load_der_x509_certificate(wire.getpeercert(binary_form=True)).serial_number


@pytest.mark.parametrize("version", [tls.V12, tls.V13], ids=["1.2", "1.3"])
def test_with_tls_everything_is_as_without(start_secure, authority, version):
    admin = start_secure("--admin-token", "s3cret")
    context = tls.client_context(authority, versions=version)
    assert admin.ask("/ready", context=context)[0] == 200
    assert admin.ask("/metrics", context=context)[0] == 401
    status, text, _ = admin.ask("/metrics", context=context, Authorization=basic("s3cret"))
    assert status == 200 and len(exposition.parse(text)) > 50
    connection = admin.connection(context)
    for _ in range(20):
        connection.request("GET", "/metrics", headers={"Authorization": "Bearer s3cret"})
        assert len(connection.getresponse().read()) > 1000
    connection.close()
    eventually(lambda: f"https://127.0.0.1:{admin.port}" in admin.server.log())


def test_who_does_not_speak_tls_gets_no_page(start_secure):
    admin = start_secure()
    assert b"HTTP/1" not in admin.exchange(REQUEST)
    assert admin.exchange(b"\0" * 100)[:1] in (b"", b"\x15")
    with admin.server.connect() as client:
        failed = lambda: int(re.search(rb"tls_handshakes_failed:(\d+)", client.call("INFO", "tls"))[1])
        eventually(lambda: failed() == 2)
    silent = [admin.wire() for _ in range(70)]
    eventually(lambda: admin.status("/health") == 200)
    for wire in silent:
        wire.close()


def test_new_connections_get_the_certificates_of_the_moment(start_secure, authority):
    certificate = authority.server()
    admin = start_secure(certificate=certificate)
    kept = admin.connection()
    kept.request("GET", "/health")
    assert kept.getresponse().read() == b"ok\n"
    for _ in range(2):
        other = authority.server()
        certificate.replace(other)
        admin.server.process.send_signal(1)  # SIGHUP
        eventually(lambda: shown_serial(admin) == other.serial)
    kept.request("GET", "/health")
    assert kept.getresponse().read() == b"ok\n"
    kept.close()
    with admin.server.connect() as client:
        another = authority.server()
        assert client.call("CONFIG", "SET", "tls-cert-file", another.cert, "tls-key-file", another.key) == "OK"
        assert shown_serial(admin) == another.serial
        assert "is not the key of the certificate" in str(client.call("CONFIG", "SET", "tls-key-file", certificate.key))
        assert shown_serial(admin) == another.serial


def test_certificates_that_change_all_the_time_break_no_connection(start_secure, authority):
    certificate = authority.server()
    admin = start_secure(certificate=certificate)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            certificate.replace(authority.server())
            admin.server.process.send_signal(1)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert {admin.ask("/ready")[0] for _ in range(100)} == {200}
    finally:
        stop.set()
        thread.join()


def test_certificates_are_asked_of_clients_as_on_the_port_for_clients(start_secure, authority, stranger):
    def status(admin, certificate):
        try:
            return admin.ask("/metrics", context=tls.client_context(authority, certificate))[0]
        except (OSError, ssl.SSLError, http.client.HTTPException):
            return None

    known, unknown = authority.client("prometheus"), stranger.client("prometheus")
    ended = authority.client("prometheus", begins=-tls.DAY * 2, ends=-tls.HOUR)
    asking = start_secure(ask="yes")
    assert [status(asking, one) for one in (known, None, unknown, ended)] == [200, None, None, None]
    optional = start_secure(ask="optional")
    assert [status(optional, one) for one in (known, None, unknown, ended)] == [200, 200, None, None]


def test_a_certificate_is_let_in_by_protected_mode(start, authority):
    address = outside.address()
    certificate = authority.issue("localhost", addresses=["127.0.0.1", address])
    files = ["--tls-cert-file", certificate.cert, "--tls-key-file", certificate.key, "--tls-ca-cert-file", authority.cert, "--tls-auth-clients", "optional"]
    admin = Admin(start, "--admin-tls", "yes", "--admin-bind", "*", *files)

    def status(own):
        connection = http.client.HTTPSConnection(address, admin.port, timeout=20, context=tls.client_context(authority, own))
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().status
        finally:
            connection.close()

    assert status(None) == 403
    assert status(authority.client("prometheus")) == 200


def test_no_session_is_resumed(start_secure, authority, version):
    """A ticket would outlive the certificate that it was given for."""
    admin = start_secure()
    context = tls.client_context(authority, versions=version)
    with admin.wire(context) as wire:
        wire.sendall(REQUEST)
        wire.recv(1 << 16)
        session = wire.session
    assert session is None or not session.has_ticket
