"""A server for each file of tests, connections to it, and servers with other settings on demand."""

import contextlib
import resource

import pytest

from tests.support import outside, servers, tls
from tests.support.cache import Cache, Reader

only_pinfold = pytest.mark.skipif(servers.is_redis(), reason="how Pinfold does it")
needs_ipv6 = pytest.mark.skipif(not outside.has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture(scope="module")
def server():
    with servers.pinfold("--enable-debug-command", "yes") as running:
        yield running


@pytest.fixture
def connect(server):
    """Opens connections that are closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def open_connection(protocol=2, **options):
            connection = stack.enter_context(server.connect(**options))
            if protocol != 2:
                connection.raw("HELLO", protocol)
            return connection

        yield open_connection


@pytest.fixture
def many_files():
    """For tests that open thousands of connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def client(connect):
    connection = connect()
    assert connection.call("FLUSHALL") == "OK"
    return connection


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def cache(request, client, connect):
    """CACHE.* in either protocol, on a server without entries."""
    found = Cache(connect(protocol=request.param), request.param)

    def is_quiet():
        """A reader of the test before may have been given a lease on its way out."""
        counts = found.counts()
        if counts["leases"] or counts["lease_waiters"]:
            client.call("FLUSHALL")
        return not counts["leases"] and not counts["lease_waiters"]

    servers.eventually(is_quiet)
    return found


@pytest.fixture
def park(cache, connect):
    """park(key, options ...) is one more reader that waits for the key."""
    return lambda key, *options, **how: Reader(connect(protocol=cache.protocol), cache, key, *options, **how)


@pytest.fixture
def policy(cache):
    """policy(name, field, value ...) sets one that lasts until the test ends."""
    names = []

    def set_policy(name, *fields):
        assert cache.policy("SET", name, *fields) == "OK"
        names.append(name)

    yield set_policy
    for name in names:
        cache.policy("DEL", name)


@pytest.fixture
def start():
    """Starts servers with settings of the test's own; they have to stop cleanly."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(servers.pinfold(*args, **options))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """The one that the servers of the tests trust."""
    return tls.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """An authority of the same name that nobody trusts."""
    return tls.Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def tls_server(authority):
    """With a plain port beside it."""
    with tls.pinfold("--enable-debug-command", "yes", authority=authority) as running:
        yield running


@pytest.fixture
def start_tls(authority):
    """Starts servers with a TLS port and settings of the test's own; they have to stop cleanly."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(tls.pinfold(*args, **({"authority": authority} | options)))


@pytest.fixture(params=[tls.V12, tls.V13], ids=["1.2", "1.3"])
def version(request):
    """The version of TLS that the client speaks."""
    return request.param


def clients(connection):
    """How many there are, this one included."""
    return len(connection.call("CLIENT", "LIST").splitlines())


def info(connection, section="everything"):
    """INFO as a dictionary."""
    text = connection.call("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
