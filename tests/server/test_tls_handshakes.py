"""Handshakes: sessions are resumed, who does not finish is closed, and a storm makes progress."""

import contextlib
import re
import ssl
import subprocess
import threading
import time

import pytest

from tests.support.connection import Closed, Connection, is_closed
from tests.support.servers import bound, eventually
from tests.support.tls import V12, V13, Wire, client_context

from .conftest import clients, info, only_pinfold


# --- resumption ---


def resumed(server, context, session):
    """Whether the server takes the session up again; and the session of the new connection."""
    with server.connect(context=context, session=session) as connection:
        assert connection.call("PING") == "PONG"
        return connection.socket.session_reused, connection.session


@pytest.mark.parametrize("ask", ["no", "yes"])
def test_a_session_is_resumed(start_tls, authority, version, ask):
    server = start_tls(ask=ask)
    context = client_context(authority, authority.client("someone"), version)
    reused, session = resumed(server, context, None)
    assert not reused and session is not None
    for _ in range(3):
        reused, session = resumed(server, context, session)
        assert reused


@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
def test_openssl_reconnects(tls_server, option):
    """Of TLS 1.3 s_client takes tickets only while it reads: then it may begin anew, and how often it does is its own affair."""
    client = ["openssl", "s_client", "-connect", f"127.0.0.1:{tls_server.tls_port}", option, "-reconnect"]
    said = subprocess.run(client, input="", capture_output=True, text=True, timeout=60).stdout
    if option == "-tls1_2":
        assert len(re.findall(r"^Reused, ", said, re.MULTILINE)) == 5
    assert len(re.findall(r"^(?:New|Reused), TLSv1.[23], Cipher is", said, re.MULTILINE)) == 6


@only_pinfold
def test_a_session_is_resumed_with_every_io_thread(start_tls, authority, version):
    server = start_tls("--threads", "4")
    context = client_context(authority, versions=version)
    _, session = resumed(server, context, None)
    outcomes = []
    for _ in range(12):
        reused, session = resumed(server, context, session)
        outcomes.append(reused)
    assert all(outcomes)


@only_pinfold
def test_a_session_is_not_resumed_after_a_reload(start_tls, authority, version):
    """The authorities may be others since then. Clients make a full handshake, and notice nothing."""
    server = start_tls()
    context = client_context(authority, versions=version)
    _, session = resumed(server, context, None)
    with server.connect_plain() as admin:
        assert admin.call("CONFIG", "SET", "tls-cert-file", server.certificate.cert) == "OK"
    reused, session = resumed(server, context, session)
    assert not reused
    assert resumed(server, context, session)[0]


def test_sessions_are_not_resumed_where_that_is_off(start_tls, authority):
    """As in Redis, of TLS 1.2: what a session is resumed with in 1.3 is a ticket, of which the setting says nothing there."""
    server = start_tls("--tls-session-caching", "no")
    context = client_context(authority, versions=V12)
    context.options |= ssl.OP_NO_TICKET
    _, session = resumed(server, context, None)
    assert not resumed(server, context, session)[0]


@only_pinfold
def test_no_session_is_resumed_where_that_is_off(start_tls, authority, version):
    server = start_tls("--tls-session-caching", "no")
    context = client_context(authority, versions=version)
    with server.connect(context=context) as first:
        assert first.call("PING") == "PONG"
        session = first.session
    if session is not None:
        assert not resumed(server, context, session)[0]


@only_pinfold
def test_a_session_is_forgotten_after_its_time(start_tls, authority):
    server = start_tls("--tls-session-cache-timeout", "1")
    begun = []
    for version in (V12, V13):
        context = client_context(authority, versions=version)
        begun.append((context, resumed(server, context, None)[1]))
    time.sleep(2.1)  # the clock of sessions counts seconds
    for context, session in begun:
        assert not resumed(server, context, session)[0]


@only_pinfold
def test_a_session_of_another_server_is_not_resumed(tls_server, start_tls, authority, version):
    context = client_context(authority, versions=version)
    _, session = resumed(tls_server, context, None)
    assert not resumed(start_tls(), context, session)[0]


# --- who does not finish ---


def begin(server, version, how):
    """A connection whose handshake does not end."""
    wire = server.wire(context=client_context(versions=version))
    hello = wire.hello()
    wire.socket.sendall({"nothing": b"", "a byte": hello[:1], "half": hello[: len(hello) // 2], "the hello": hello}[how])
    return wire


@only_pinfold
def test_a_handshake_that_does_not_end_is_closed_after_its_time(start_tls):
    """However far it has come."""
    server = start_tls("--tls-handshake-timeout", "1000")
    with server.connect_plain() as admin, server.connect() as settled:
        stalled = [begin(server, version, how) for version in (V12, V13) for how in ("nothing", "a byte", "half", "the hello")]
        for wire in stalled:
            eventually(lambda: is_closed(wire.socket), deadline=60)
        eventually(lambda: clients(admin) == 2)
        assert int(info(admin, "tls")["tls_handshakes_timed_out"]) == len(stalled)
        assert settled.call("PING") == "PONG" and settled.call("PING") == "PONG"
        for wire in stalled:
            wire.socket.close()


@only_pinfold
def test_bytes_that_drip_do_not_put_the_end_off(start_tls):
    """The deadline counts from the beginning, not from the last byte."""
    server = start_tls("--tls-handshake-timeout", "1000")
    with server.wire() as wire, server.connect_plain() as admin:
        hello = wire.hello()
        try:
            for byte in hello:
                wire.socket.sendall(bytes([byte]))
                if is_closed(wire.socket):
                    break
                time.sleep(0.02)
            else:
                raise AssertionError(f"{len(hello)} bytes were read, one every 20 ms")
        except ConnectionError:
            pass
        eventually(lambda: clients(admin) == 1)


@only_pinfold
def test_a_plain_connection_is_not_held_to_the_deadline_of_handshakes(start_tls):
    server = start_tls("--tls-handshake-timeout", "1000")
    with server.connect_plain() as quiet, server.connect() as settled:
        time.sleep(1.5)
        assert quiet.call("PING") == "PONG" and settled.call("PING") == "PONG"


@only_pinfold
def test_handshakes_are_not_clients_that_may_do_anything(start_tls, version):
    """Requests that come before the handshake are not there, whatever the bytes say."""
    server = start_tls()
    with server.connect_plain() as admin, server.wire(context=client_context(versions=version)) as wire:
        wire.socket.sendall(wire.hello() + b"*1\r\n$8\r\nFLUSHALL\r\n" * 3)
        admin.call("SET", "k", "v")
        eventually(lambda: is_closed(wire.socket))
        assert admin.call("GET", "k") == b"v"


# --- many at once ---


@only_pinfold
def test_beyond_the_cap_of_handshakes_others_wait_or_are_refused_and_all_goes_on(start_tls, many_files):
    server = start_tls("--tls-max-handshakes", "8", "--tls-handshake-timeout", "60000", "--threads", "2")
    with server.connect() as settled, server.connect_plain() as admin:
        # Those that are silent for a second lose their places, so what counts is what was seen while they came.
        stalled, under_way, waiting = [], 0, 0
        while waiting < 20:
            assert len(stalled) < 200, f"at most {waiting} of them have waited"
            stalled.append(begin(server, V13, "the hello"))
            figures = info(admin, "tls")
            under_way = max(under_way, int(figures["tls_handshakes_under_way"]))
            waiting = max(waiting, int(figures["tls_handshakes_waiting"]))
        assert under_way == 8
        # Who is connected is served meanwhile, and so are the plain port and the figures.
        for _ in range(100):
            assert settled.call("PING") == "PONG"
        # Whoever comes with an honest handshake gets in at the first attempt, before the deadline of those that stall.
        with server.connect(timeout=60) as late:
            assert late.call("PING") == "PONG"
        for wire in stalled:
            wire.reset()
        eventually(lambda: clients(admin) == 2)
        assert settled.call("PING") == "PONG"


# The head of a ClientHello that announces 128 KB.
LONG_HELLO = bytes.fromhex("160301000401020144")


@only_pinfold
@pytest.mark.parametrize("bytes_of", [Wire.hello, lambda wire: LONG_HELLO[:8]], ids=["hello", "head"])
def test_an_honest_client_gets_in_while_silent_ones_keep_coming(start_tls, many_files, bytes_of):
    """They come again as soon as they are closed. The deadline alone would keep every place taken."""
    server = start_tls("--tls-max-handshakes", "4", "--tls-handshake-timeout", "600000", "--threads", "1")
    stop = threading.Event()
    begun, failures = [], []

    def attack():
        held = []
        try:
            while not stop.is_set():
                held = [wire for wire in held if not is_closed(wire.socket) or wire.socket.close()]
                while len(held) < 12:
                    held.append(server.wire())
                    with contextlib.suppress(OSError):  # closed already
                        held[-1].socket.sendall(bytes_of(held[-1]))
                    begun.append(time.monotonic())
        except BaseException as failure:
            failures.append(failure)
        for wire in held:
            wire.reset()

    with server.connect_plain() as admin:
        attacker = threading.Thread(target=attack)
        attacker.start()
        try:
            for _ in range(3):
                eventually(lambda: failures or int(info(admin, "tls")["tls_handshakes_waiting"]) >= 8)
                with server.connect(timeout=60) as honest:
                    assert honest.call("PING") == "PONG"
            # They kept coming until now, and still do.
            so_far = len(begun)
            assert so_far > 12
            eventually(lambda: failures or len(begun) > so_far)
        finally:
            stop.set()
            attacker.join()
        assert not failures


@only_pinfold
def test_a_hello_that_announces_much_takes_no_memory(start_tls, many_files):
    """On every place of a handshake, the first 9 bytes of one: it is refused. Of one that may come, memory is counted."""
    server = start_tls("--maxclients", "2000", "--maxmemory-clients", "512mb", "--threads", "1")
    with server.connect_plain() as admin:
        for head, bytes_each in ((LONG_HELLO, 0), (bytes.fromhex("160301000401004000"), 96 << 10)):
            before = server.rss()
            wires = [server.wire() for _ in range(400)]
            for wire in wires:
                wire.socket.sendall(head)
            if bytes_each == 0:
                eventually(lambda: all(is_closed(wire.socket) for wire in wires), deadline=60)
            else:
                eventually(lambda: int(info(admin, "tls")["tls_handshakes_under_way"]) == 400)
            assert server.rss() - before < bound((4 << 20) + 400 * bytes_each)
            for wire in wires:
                wire.socket.close()
            eventually(lambda: clients(admin) == 1)


@only_pinfold
def test_who_waits_for_a_turn_in_vain_is_told_so(start_tls):
    """With the alert "access denied", as for any other client that is refused before its handshake."""
    server = start_tls("--tls-max-handshakes", "1", "--tls-handshake-timeout", "1000", "--threads", "1")
    with server.connect_plain() as admin:
        stalled = begin(server, V13, "the hello")
        eventually(lambda: info(admin, "tls")["tls_handshakes_under_way"] == "1")
        waiting = [begin(server, V13, "the hello") for _ in range(5)]
        said = []
        for wire in waiting:
            said.append(b"")
            try:
                while data := wire.socket.recv(4096):
                    said[-1] += data
            except ConnectionError:
                pass
            wire.socket.close()
        # One may have got its turn when the first was closed.
        assert sum(text == bytes([21, 3, 1, 0, 2, 2, 49]) for text in said) >= 4, said
        assert is_closed(stalled.socket)
        stalled.socket.close()
        eventually(lambda: clients(admin) == 1)


@only_pinfold
def test_handshakes_take_no_more_than_their_share_of_the_clients_memory(start_tls, many_files):
    """Whatever tls-max-handshakes allows: an eighth of maxmemory-clients. Those that do not fit wait, and nobody is closed for them."""
    server = start_tls("--maxmemory-clients", "16mb", "--maxclients", "2000", "--threads", "2")
    with server.connect() as settled, server.connect_plain() as admin:
        base = int(info(admin, "memory")["used_memory_clients"])
        stalled = [begin(server, V13, "the hello") for _ in range(400)]
        eventually(lambda: int(info(admin, "tls")["tls_handshakes_waiting"]) > 100)
        found = info(admin, "tls")
        # 88 KB are counted for each. Those that are silent may have been closed for the others.
        assert int(found["tls_handshakes_under_way"]) <= (16 << 20) / 8 / (88 << 10)
        assert int(found["tls_handshakes_under_way"]) + int(found["tls_handshakes_waiting"]) <= 400
        # What is no handshake yet takes what an idle connection does.
        assert int(info(admin, "memory")["used_memory_clients"]) - base < (16 << 20) / 8 + 400 * 4096
        assert int(info(admin, "stats")["evicted_clients"]) == 0
        assert settled.call("PING") == "PONG"
        for wire in stalled:
            wire.reset()
        eventually(lambda: clients(admin) == 2)


def gets_in(wire):
    """Whether a client is served; false if it was refused before its handshake, or its place was given to another."""
    try:
        wire.handshake()
        wire.send(b"PING\r\n")
        assert wire.read(7) == b"+PONG\r\n"
        return True
    except (Closed, ConnectionError, ssl.SSLEOFError):
        return False
    except ssl.SSLError as refusal:
        assert "ACCESS_DENIED" in str(refusal)
        return False


@only_pinfold
def test_a_storm_of_handshakes_all_finish(start_tls, many_files):
    """More at once than the cap: they take turns. A client of which nothing comes for a second may lose its place, and gets in when it comes again."""
    server = start_tls("--tls-max-handshakes", "16", "--tls-handshake-timeout", "60000", "--maxclients", "2000")
    with server.connect_plain() as admin:
        wires = [server.wire(timeout=60) for _ in range(300)]
        for wire in wires:
            wire.socket.sendall(wire.hello())
        refused = [at for at, wire in enumerate(wires) if not gets_in(wire)]
        assert len(refused) < len(wires) / 2
        for at in refused:
            wires[at].socket.close()
            wires[at] = server.wire(timeout=60)
            assert gets_in(wires[at])
        eventually(lambda: clients(admin) == len(wires) + 1)
        for wire in wires:
            wire.socket.close()
        eventually(lambda: clients(admin) == 1)


@only_pinfold
def test_figures_of_handshakes(start_tls, authority):
    server = start_tls("--tls-handshake-timeout", "60000")
    with server.connect_plain() as admin:

        def figures(*names):
            found = info(admin, "everything")
            return [int(found[f"tls_{name}"]) for name in names]

        counters = ("handshakes", "handshakes_resumed", "handshakes_failed", "handshakes_timed_out")
        levels = ("connected_clients", "handshakes_under_way", "handshakes_waiting")
        assert figures(*counters, *levels) == [0] * 7
        context = client_context(authority, versions=V12)
        _, session = resumed(server, context, None)
        assert resumed(server, context, session)[0]
        eventually(lambda: figures(*counters, *levels) == [2, 1, 0, 0, 0, 0, 0])
        with Connection(server.tls_port) as plain:
            plain.send(b"PING\r\n\r\n\r\n")
            plain.read_until_closed()
        eventually(lambda: figures("handshakes_failed") == [1])
        stalled = begin(server, V13, "the hello")
        with server.connect() as connected:
            assert connected.call("PING") == "PONG"
            assert figures("connected_clients", "handshakes_under_way") == [1, 1]
            assert admin.call("CONFIG", "SET", "tls-handshake-timeout", "1000") == "OK"
            eventually(lambda: is_closed(stalled.socket), deadline=60)
            eventually(lambda: figures("handshakes_timed_out", "handshakes_under_way", "connected_clients") == [1, 0, 1])
        stalled.socket.close()
        assert admin.call("CONFIG", "RESETSTAT") == "OK"
        assert figures(*counters) == [0, 0, 0, 0]


@only_pinfold
def test_memory_of_handshakes_under_way_is_counted_and_given_back(start_tls, many_files):
    server = start_tls("--maxclients", "2000", "--maxmemory-clients", "128mb")
    with server.connect_plain() as admin:
        eventually(lambda: clients(admin) == 1)
        base, before = int(info(admin, "memory")["used_memory_clients"]), server.rss()
        stalled = [begin(server, V13, "the hello") for _ in range(100)]
        eventually(lambda: int(info(admin, "tls")["tls_handshakes_under_way"]) == 100)
        counted = int(info(admin, "memory")["used_memory_clients"]) - base
        assert counted > 100 * 4000
        assert server.rss() - before < bound(counted + (4 << 20))
        for wire in stalled:
            wire.reset()
        eventually(lambda: int(info(admin, "memory")["used_memory_clients"]) < base + 1000)
