"""Switches for an incident: bypass, admit, serve-stale and max-leases, by setting and by policy (docs/cache-commands.md, "Switches").

What each command does under them is in tests/unit/command/switches_test.cpp.
"""

import contextlib
import subprocess
import threading
import time

import pytest

from tests.server.conftest import info
from tests.support import servers
from tests.support.audit import Audited
from tests.support.cache import mapping, text
from tests.support.clock import Clock
from tests.support.resp import ErrorReply
from tests.support.servers import eventually, is_redis, pinfold_binary

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own settings")


@pytest.fixture
def switch(client):
    """switch(setting, value) lasts until the test ends."""
    before = {}

    def set_it(name, value):
        before.setdefault(name, client.call("CONFIG", "GET", name)[1])
        assert client.call("CONFIG", "SET", name, value) == "OK"

    yield set_it
    for name, value in before.items():
        client.call("CONFIG", "SET", name, value)


def figures(connection, *names):
    found = info(connection, "cache")
    return [int(found[name]) for name in names]


# | serve-stale | `serve-stale yes` | `serve-stale yes` | the origin is down: serve what there is, however old |
# | bypass | `bypass yes` | `bypass yes` | the cache is suspect: take it out of the way without a change of any client |
# | admit | `admit 10` | `admit 10%` | new keys push out what is needed: store a part of them only |
# | no leases | `max-leases 0` | `max-leases none` | the origin is overloaded: nobody is sent to load |


def test_bypass_takes_the_cache_out_of_the_way_and_leaves_nothing_old(client, switch):
    """reads find nothing; a write removes its key and is answered as if it was done"""
    client.call("MSET", "read", "v", "written", "old", "counted", "41", "deleted", "v")
    switch("bypass", "yes")
    assert client.call("MGET", "read", "written") == [None, None]
    assert client.call("SET", "written", "new") == "OK" and client.call("GET", "written") is None
    assert [client.call("INCR", "counted") for _ in range(2)] == [1, 1]
    assert client.call("DEL", "deleted") == 0
    assert [client.call("SET", "lock", owner, "NX") for owner in ("one", "two")] == ["OK", "OK"]
    assert client.call("DBSIZE") == 1 and client.call("KEYS", "*") == [b"read"]  # what is stored
    switch("bypass", "no")
    assert client.call("MGET", "read", "written", "counted", "deleted", "lock") == [b"v", None, None, None, None]


def test_bypass_by_policy_is_for_its_keys(cache, client, policy):
    client.call("MSET", "p:k", "v", "other", "v")
    policy("p", "match", "p:*", "bypass", "yes")
    assert client.call("MGET", "p:k", "other") == [None, b"v"]
    client.call("MSET", "p:k", "new", "other", "new")
    policy("p", "bypass", "no")
    assert client.call("MGET", "p:k", "other") == [None, b"new"]


# | its key is [bypassed](#switches) and somebody asks for it, or waits for it | it is void, and those who wait are told `miss` |


def test_a_bypass_answers_those_who_wait_at_once(client, connect, switch):
    """nobody waits for a key that is bypassed"""
    token = client.call("CACHE.GET", "k")[2]
    waiting = connect()
    waiting.send_command("CACHE.GET", "k", "WAIT", 3_600_000)
    eventually(lambda: figures(client, "lease_waiters") == [1])
    switch("bypass", "yes")
    assert waiting.read()[0] == b"miss"
    assert figures(client, "lease_waiters", "leases") == [0, 0]
    assert client.call("CACHE.SET", "k", "v", "TOKEN", token) is None
    status, value, own, ms = client.call("CACHE.GET", "k", "WAIT", 3_600_000)
    assert (status, value) == (b"miss", None) and own > token and ms == 10_000
    assert client.call("CACHE.SET", "k", "v", "TOKEN", own) is None
    assert figures(client, "leases") == [0]


def test_plain_readers_of_a_bypassed_key_do_not_wait(cache, client, connect, policy):
    """neither coalesce nor stale has an effect"""
    policy("p", "match", "p:*", "coalesce", "1h", "lease", "1h", "stale", "1h", "bypass", "yes")
    assert [connect().call("GET", "p:k") for _ in range(3)] == [None] * 3
    assert figures(client, "leases", "lease_waiters") == [0, 0]


def test_admit_stores_so_many_percent_of_new_keys_and_always_the_same(client, switch):
    keys = [f"key:{n}" for n in range(2000)]

    def stored():
        client.call("FLUSHALL")
        client.call("MSET", *(word for key in keys for word in (key, "v")))
        return {key for key in keys if client.call("EXISTS", key)}

    found = {}
    for percent in (0, 10, 50, 100):
        switch("admit", percent)
        found[percent] = stored()
        assert found[percent] == stored()
        assert abs(len(found[percent]) - 20 * percent) < 120
    assert found[0] < found[10] < found[50] < found[100]


def test_a_stored_key_is_written_to_whether_or_not_it_is_admitted(client, switch):
    client.call("SET", "stored", "old")
    switch("admit", 0)
    assert client.call("SET", "stored", "new") == "OK" and client.call("GET", "stored") == b"new"
    assert client.call("SET", "unknown", "v") == "OK" and client.call("GET", "unknown") is None
    assert client.call("RENAME", "stored", "unknown") == "OK" and client.call("EXISTS", "stored", "unknown") == 0


def test_waiting_clients_get_the_value_of_a_key_that_is_not_admitted(cache, client, park, switch):
    """coalescing goes on: they get the value that was loaded, although it is not stored"""
    switch("admit", 0)
    lease = cache.get("k")
    readers = [park("k") for _ in range(3)]
    eventually(lambda: figures(client, "lease_waiters") == [3])
    assert client.call("CACHE.SET", "k", "loaded", "PX", 100_000, "TOKEN", lease.token) == "OK"
    for reader in readers:
        answer = reader.answer()
        assert (answer.status, answer.value, answer.token) == ("hit", b"loaded", 0) and 0 < answer.ms <= 100_000
    assert client.call("EXISTS", "k") == 0
    assert figures(client, "leases", "lease_waiters") == [0, 0]


def test_plain_readers_get_it_too(cache, client, connect, policy):
    policy("p", "match", "p:*", "coalesce", "1h", "lease", "1h", "admit", "0%")
    assert client.call("GET", "p:k") is None
    answers = []
    readers = [threading.Thread(target=lambda: answers.append(connect().call("GET", "p:k"))) for _ in range(3)]
    for reader in readers:
        reader.start()
    eventually(lambda: figures(client, "lease_waiters") == [3])
    assert client.call("SET", "p:k", "loaded") == "OK"
    for reader in readers:
        reader.join()
    assert answers == [b"loaded"] * 3
    assert client.call("EXISTS", "p:k") == 0


def test_serve_stale_by_policy_is_for_its_entries(start, tmp_path):
    clock = Clock(tmp_path)
    server = start(env=clock.environment())
    with server.connect() as client:
        client.call("CACHE.POLICY", "SET", "p", "match", "p:*")
        for key in ("p:k", "other"):
            client.call("SET", key, "v", "EX", 10)
        client.call("CACHE.POLICY", "SET", "p", "serve-stale", "yes")
        clock.let_pass(60)
        assert eventually(lambda: client.call("DBSIZE") == 1)
        assert client.call("MGET", "p:k", "other") == [b"v", None]
        status, value, token, _ = client.call("CACHE.GET", "p:k")
        assert (status, value) == (b"stale", b"v") and token > 0
        client.call("CACHE.POLICY", "SET", "p", "serve-stale", "no")
        assert client.call("GET", "p:k") is None
        assert figures(client, "policies_serve_stale") == [0]


def test_without_leases_nobody_gets_one(cache, client, policy, switch):
    """max-leases 0, or none in a policy"""
    switch("max-leases", 0)
    assert cache.get("k").token == 0
    switch("max-leases", 100)
    assert cache.get("k").token > 0
    policy("p", "match", "p:*", "max-leases", "none")
    assert cache.get("p:k").token == 0
    policy("p", "max-leases", "unlimited")
    assert cache.get("p:k").token > 0


def test_a_file_of_before_keeps_its_meaning(start, tmp_path):
    """In a policy, 0 leases have always meant any number."""
    file = tmp_path / "pinfold.yaml"
    file.write_text(
        'policies:\n  - name: before\n    match: "b:*"\n    max-leases: 0\n'
        '  - name: now\n    match: "n:*"\n    max-leases: none\n    admit: 25%\n    bypass: no\n    serve-stale: yes\n'
    )
    with start(file=file).connect() as client:
        before, now = (mapping(client.call("CACHE.POLICY", "SHOW", name)) for name in ("before", "now"))
        assert [text(before[field]) for field in ("max-leases", "admit", "bypass", "serve-stale")] == ["unlimited", "100%", "no", "no"]
        assert [text(now[field]) for field in ("max-leases", "admit", "bypass", "serve-stale")] == ["none", "25%", "no", "yes"]
        assert client.call("CACHE.GET", "b:k")[2] > 0 and client.call("CACHE.GET", "n:k")[2] == 0


@pytest.mark.parametrize(
    "field, value",
    [("admit", "50"), ("admit", "101%"), ("admit", "-1%"), ("admit", "x"), ("bypass", "1"), ("bypass", ""), ("serve-stale", "maybe"),
     ("max-leases", "nobody"), ("max-leases", "-1"), ("max-leases", "99999999999999999999")],
)  # fmt: skip
def test_what_is_no_value_of_a_switch_is_refused(client, field, value):
    reply = client.call("CACHE.POLICY", "SET", "p", "match", "*", field, value)
    assert isinstance(reply, ErrorReply) and field in str(reply)
    assert client.call("CACHE.POLICY", "LIST") == []


@pytest.mark.parametrize("setting, value", [("admit", "101"), ("admit", "-1"), ("admit", "x"), ("bypass", "maybe")])
def test_what_is_no_value_of_a_setting_is_refused(client, setting, value):
    assert isinstance(client.call("CONFIG", "SET", setting, value), ErrorReply)


def test_contradictions_are_warned_of(cache, client, policy):
    policy("p", "match", "p:*", "bypass", "yes", "serve-stale", "yes", "admit", "10%")
    warnings = [text(warning) for warning in cache.mapping(cache.policy("SHOW", "p"))["warnings"]]
    assert len(warnings) == 2 and all("'bypass' (yes)" in warning for warning in warnings)


def test_each_figure_says_what_is_on_and_what_it_does(cache, client, policy, switch):
    client.call("CONFIG", "RESETSTAT")
    policy("p", "match", "p:*", "bypass", "yes")
    policy("q", "match", "q:*", "admit", "0%", "serve-stale", "yes", "max-leases", "none")
    switch("max-leases", 77)
    assert figures(client, "admit_percent", "bypass", "max_leases") == [100, 0, 77]
    assert figures(client, "policies_admit", "policies_bypassed", "policies_serve_stale", "policies_no_leases") == [1, 1, 1, 1]
    client.call("MGET", "p:1", "p:2", "q:1")
    client.call("SET", "p:1", "v")
    client.call("MSET", "q:1", "v", "q:2", "v", "other", "v")
    assert figures(client, "reads_bypassed", "writes_bypassed", "writes_not_admitted") == [2, 1, 2]
    shown = {name: cache.mapping(cache.policy("SHOW", name)) for name in "pq"}
    assert [shown["p"][name] for name in ("reads-bypassed", "writes-bypassed", "writes-not-admitted")] == [2, 1, 0]
    assert shown["q"]["writes-not-admitted"] == 2
    switch("admit", 40)
    switch("bypass", "yes")
    assert figures(client, "admit_percent", "bypass") == [40, 1]


def test_the_audit_log_says_which_switch_changed_to_what(start, tmp_path):
    log = Audited(start, tmp_path / "audit.log")
    with log.server.connect() as client:
        for request in (["CONFIG", "SET", "bypass", "yes"], ["CONFIG", "SET", "admit", "10"], ["CONFIG", "SET", "serve-stale", "yes"],
                        ["CONFIG", "SET", "max-leases", "0"], ["CACHE.POLICY", "SET", "p", "match", "p:*", "bypass", "yes", "admit", "5%"]):  # fmt: skip
            assert client.call(*request) == "OK"
            assert log.wait("configuration", request=" ".join(request))["result"] == "ok"


def told(server):
    return [line for line in server.log().splitlines() if "switch" in line and "incident" in line]


def test_the_log_says_what_is_on_and_that_it_is_off_again(start):
    server = start("--bypass", "yes")
    assert "bypass (reads find nothing" in eventually(lambda: told(server))[0] and " warning " in told(server)[0]
    with server.connect() as client:
        client.call("CACHE.POLICY", "SET", "p", "match", "p:*", "admit", "5%", "max-leases", "none")
        eventually(lambda: "policy 'p' (admit 5%, max-leases none)" in told(server)[-1])
        client.call("CONFIG", "SET", "bypass", "no")
        eventually(lambda: "bypass" not in told(server)[-1])
        client.call("CACHE.POLICY", "DEL", "p")
        eventually(lambda: "no switch for an incident is on any more" in told(server)[-1])
        client.call("CONFIG", "SET", "admit", "7", "max-leases", "0", "serve-stale", "yes")
        eventually(lambda: all(word in told(server)[-1] for word in ("admit 7%", "max-leases 0", "serve-stale")))


def test_the_log_reminds_once_an_hour(start, tmp_path):
    clock = Clock(tmp_path)
    server = start("--admit", "50", env=clock.environment())
    eventually(lambda: len(told(server)) == 1)
    clock.let_pass(3000)
    time.sleep(0.5)
    assert len(told(server)) == 1
    clock.let_pass(700)
    eventually(lambda: len(told(server)) == 2)
    assert "still on: admit 50%" in told(server)[-1]


def test_a_switch_turned_under_load_never_brings_an_old_value_back(start):
    """Each writer's value grows, and a reader never sees one below what was acknowledged before it asked."""
    server = start("--threads", "2")
    keys = [f"k:{n}" for n in range(8)]
    acknowledged = dict.fromkeys(keys, 0)
    stop, faults, seen = threading.Event(), [], []

    def write(key):
        with server.connect() as client:
            number = 0
            while not stop.is_set():
                number += 1
                if client.call("SET", key, number) == "OK":
                    acknowledged[key] = number

    def read():
        with server.connect() as client:
            while not stop.is_set():
                for key in keys:
                    least = acknowledged[key]
                    value = client.call("GET", key)
                    if value is None:
                        continue
                    seen.append(key)
                    if int(value) < least:
                        faults.append((key, least, value))

    with contextlib.ExitStack() as stack:
        client = stack.enter_context(server.connect())
        threads = [threading.Thread(target=write, args=(key,)) for key in keys] + [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(60):
            on = turn % 2 == 0
            switches = (("bypass", "yes" if on else "no"), ("admit", "30" if on else "100"))
            client.call("CONFIG", "SET", *switches[turn // 2 % 2])
            client.call("CACHE.POLICY", "SET", "p", "match", "k:[0-3]", "bypass", "no" if on else "yes")
            time.sleep(0.02)
        stop.set()
        for thread in threads:
            thread.join()
        assert not faults and seen
        bypassed, not_admitted = figures(client, "writes_bypassed", "writes_not_admitted")
        assert bypassed > 0


def test_check_accepts_a_file_with_switches(tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text('admit: 10\nbypass: yes\npolicies:\n  - name: p\n    match: "p:*"\n    admit: 10%\n    bypass: yes\n')
    done = subprocess.run([pinfold_binary(), str(file), "--check"], env=servers.environment(), capture_output=True, text=True, timeout=60)
    assert "'admit' (10%) has no effect: 'bypass' (yes) stores no key at all" in done.stdout
