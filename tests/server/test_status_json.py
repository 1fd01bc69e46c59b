"""/status.json and the files of the status page, over HTTP. What a browser makes of them is in tests/browser."""

import json
import time

import pytest

from tests.support import resp, servers
from tests.support.admin import Admin
from tests.support.servers import eventually

from .conftest import info, only_pinfold

pytestmark = only_pinfold

FILES = {"/": ("status.html", "text/html"), "/status.css": ("status.css", "text/css"), "/status.js": ("status.js", "text/javascript")}
SECTIONS = {
    "at_us", "server", "findings", "stats", "clients", "memory", "cpu", "cache", "limits", "switches", "tls", "latency", "commands", "policies", "threads",
    "slow_log", "keys", "hot_keys", "working_set", "users", "databases", "errors",
}  # fmt: skip


def status(admin):
    """A fresh one: the server keeps each for a second."""
    code, text, headers = admin.ask("/status.json")
    assert (code, headers["Content-Type"], headers["Cache-Control"]) == (200, "application/json", "no-store")
    return json.loads(text)


def fresh(admin):
    former = status(admin)["at_us"]
    return eventually(lambda: (found := status(admin))["at_us"] != former and found)


@pytest.fixture
def admin(start):
    return Admin(start)


@pytest.mark.parametrize("path", FILES)
def test_the_files_are_those_of_the_source_and_need_no_token(start, path):
    admin = Admin(start, "--admin-token", "s3cret")
    name, type_ = FILES[path]
    code, text, headers = admin.ask(path)
    assert (code, headers["Content-Type"]) == (200, f"{type_}; charset=utf-8")
    assert text == (servers.ROOT / "src/admin" / name).read_text()
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_needs_nothing_from_elsewhere():
    for name, _ in FILES.values():
        text = (servers.ROOT / "src/admin" / name).read_text()
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")  # which is a name
        for forbidden in ("https:", "@import", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "onclick", "style="):
            assert forbidden not in text, (name, forbidden)


def test_the_figures_need_the_token(start):
    admin = Admin(start, "--admin-token", "s3cret")
    assert admin.ask("/status.json")[0] == 401
    assert admin.ask("/status.json", Authorization="Bearer s3cret")[0] == 200


def test_the_figures_are_those_of_info(admin):
    with admin.server.connect() as client:
        client.call("SET", "a", "1", "EX", "100")
        client.call("GET", "a")
        client.call("GET", "b")
        client.call("CACHE.GET", "c", "LEASE", "10000")
        client.call("CACHE.POLICY", "SET", "users", "match", "user:*")
        client.call("GET", "user:1")
        client.call("NOSUCH")
        found = fresh(admin)
        assert set(found) == SECTIONS
        told = info(client, "everything")
        for section, names in {"stats": ("keyspace_hits", "keyspace_misses", "total_error_replies"), "cache": ("leases", "lease_granted")}.items():
            for name in names:
                assert found[section][name] == int(told[name]), name
        assert found["server"]["run_id"] == told["run_id"]
        assert found["databases"] == [{"number": 0, "keys": 1, "expires": 1, "avg_ttl": found["databases"][0]["avg_ttl"]}]
        assert {"code": "ERR", "count": 1} in found["errors"]
        assert [(one["name"], one["match"], one["misses"]) for one in found["policies"]] == [("users", "user:*", 1)]
        calls = {one["name"]: one for one in found["commands"]}
        assert calls["get"]["calls"] == 3
        latency = {one["name"]: one for one in found["latency"]}
        assert latency["get"]["calls"] == 3 and latency["all"]["calls"] >= 6
        assert 0 < latency["get"]["p50"] <= latency["get"]["p99"] <= latency["get"]["p999"] <= latency["get"]["longest"] < 10
        assert [(one["name"], one["on"]) for one in found["switches"]] == [(name, False) for name in ("serve-stale", "bypass", "admit", "max-leases")]


def test_a_switch_that_is_on_is_shown_and_found(admin):
    with admin.server.connect() as client:
        client.call("CONFIG", "SET", "admit", "40")
        found = fresh(admin)
    assert {"name": "admit", "on": True, "value": "40 %", "policies": 0} in found["switches"]
    assert "PinfoldAdmissionLimited" in {one["name"] for one in found["findings"]}


def test_the_hottest_keys_are_named(admin):
    with admin.server.connect() as client:
        for _ in range(20):
            client.pipeline([("GET", "hot\u202e")] * 500 + [("GET", f"cold:{i}") for i in range(100)])
        hottest = fresh(admin)["hot_keys"][0]
    assert (hottest["db"], hottest["key"]) == (0, "hot\\u{202e}") and hottest["rate"] > 100 and 0.5 < hottest["share"] <= 1


def test_the_slow_log_shows_no_values(start):
    admin = Admin(start, "--slowlog-log-slower-than", "0")
    with admin.server.connect() as client:
        client.call("SET", b"key\xff", "a secret", "EX", "100")
        client.call("MSET", *[word for i in range(30) for word in (f"many:{i}", "another secret")])
        found = fresh(admin)
        requests = [one["request"] for one in found["slow_log"]]
        assert {"SET key\\xff ...", "MSET many:0 ..."} <= set(requests)
        assert "secret" not in json.dumps(found)
        for i in range(40):
            client.call("GET", "x" * 1000)
        assert len(fresh(admin)["slow_log"]) == 16


def test_pages_that_ask_at_once_share_an_answer(admin):
    begin = time.monotonic()
    at = [status(admin)["at_us"] for _ in range(100)]
    assert len(set(at)) <= 2 + (time.monotonic() - begin)
    assert at == sorted(at)


def test_the_answer_is_small_whatever_names_there_are(admin):
    """With as many policies as there may be, more users than are shown, and names that take most space."""
    with admin.server.connect() as client:
        def fill(pattern, user):
            for i in range(250):
                assert client.call("CACHE.POLICY", "SET", f"{i:064}", "match", pattern + b"%d" % i) == "OK"
            for i in range(200):
                assert client.call("ACL", "SETUSER", user + b"%d" % i) == "OK"
            fresh(admin)
            return admin.ask("/status.json")[1]

        assert len(fill(b"user:", b"user-")) < 110_000
        worst = fill(b"\x01" * 300, b"\xff" * 300)
        assert len(worst.encode()) < 512 * 1024
        found = json.loads(worst)
    assert len(found["policies"]) == 250 and len(found["users"]) == 64
    assert found["policies"][0]["match"].startswith("\\u{1}\\u{1}")


def test_diagnose_is_for_administrators(admin):
    with admin.server.connect() as client:
        found = client.call("PINFOLD.DIAGNOSE")
        assert [one[::2] for one in found] == [[b"name", b"severity", b"value", b"text", b"runbook"]] * len(found)
        client.call("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@read")
        client.call("ACL", "SETUSER", "operator", "on", "nopass", "+@admin")
        client.call("AUTH", "reader", "x")
        refused = client.call("PINFOLD.DIAGNOSE")
        assert isinstance(refused, resp.ErrorReply) and refused.startswith("NOPERM")
        client.call("AUTH", "operator", "x")
        assert isinstance(client.call("PINFOLD.DIAGNOSE"), list)
