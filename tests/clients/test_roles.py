"""The templates of users in config/roles.yaml: each can run its recipes, and cannot do what it is not for."""

import itertools
import re
import subprocess

import pytest
import redis

from tests.clients.test_recipes import PRINTED, PYTHON, RECIPES
from tests.support import servers

ROLES = servers.ROOT / "config/roles.yaml"
NAMES = re.findall(r'^  (\w+): "off ', ROLES.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def server():
    """A user "keeper" looks after the others."""
    with servers.pinfold(file=ROLES) as running:
        with redis.Redis(port=running.port) as first:
            first.execute_command("ACL", "SETUSER", "keeper", "on", ">keeper", "~*", "+@all")
        yield running


@pytest.fixture
def keeper(server):
    """The others are what a test makes of them until it ends."""
    with redis.Redis(port=server.port, username="keeper", password="keeper") as connection:
        before = users_of(connection)
        assert denials(connection) == []
        yield connection
        for line in before:
            _, name, *rules = line.split(b" ")
            connection.execute_command("ACL", "SETUSER", name, "reset", *rules)
        assert users_of(connection) == before
        # A recipe counts its runs, because the versions of an earlier one are remembered.
        connection.delete("", *(key for key in connection.keys() if key != b"runs"))
        connection.execute_command("ACL", "LOG", "RESET")


@pytest.fixture
def log_in(server, keeper):
    """log_in(role) is a client with this role."""
    clients = []

    def connect(role):
        keeper.execute_command("ACL", "SETUSER", role, "on", ">secret")
        clients.append(redis.Redis(port=server.port, username=role, password="secret"))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


def users_of(keeper):
    """All lines, without what reset adds to a new user's and changes nothing."""
    return [line.replace(b" sanitize-payload", b"") for line in keeper.execute_command("ACL", "LIST")]


def rules_of(keeper, role):
    line = next(line for line in keeper.execute_command("ACL", "LIST") if line.startswith(b"user " + role.encode() + b" "))
    return [word for word in line.split()[2:] if word not in (b"on", b"off") and not word.startswith(b"#")]


def denials(keeper):
    return [(entry["username"], entry["object"]) for entry in keeper.acl_log(count=100)]


RUN_BY = {
    "filler": ["cache_aside.py", "negative_caching.py", "fencing.py"],
    "writer": ["cache_aside.py", "negative_caching.py", "fencing.py", "write_through.py", "tags.py", "dependencies.py", "sessions.py", "session_hashes.py", "rate_limit.py", "sliding_window.py", "beside_the_cache.py"],
    "limiter": ["rate_limit.py"],
    "admin": [name for name in PRINTED if name.endswith(".py")],
}


def test_every_role_is_tested():
    assert set(NAMES) == {"reader", "writer", "filler", "limiter", "operator", "metrics", "admin"} == set(RUN_BY) | set(MAY)


def test_every_recipe_is_run_by_a_role_that_may_not_do_everything():
    assert set(itertools.chain(*(RUN_BY[role] for role in RUN_BY if role != "admin"))) == {name for name in PRINTED if name.endswith(".py")}


@pytest.mark.parametrize("role, program", [(role, program) for role, programs in RUN_BY.items() for program in programs])
def test_a_role_runs_its_recipes(server, keeper, role, program):
    """The recipes log in as nobody, so the default user is given the rights of the role."""
    keeper.execute_command("ACL", "SETUSER", "default", "reset", "on", "nopass", *rules_of(keeper, role))
    result = subprocess.run([*PYTHON, str(RECIPES / program), str(server.port)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stdout.splitlines() == PRINTED[program], f"{result.stdout}\n{result.stderr}\n{denials(keeper)}"
    assert denials(keeper) == []


# What roles that run no recipe may do.
MAY = {
    "reader": ["GET limit:1", "MGET a b", "EXISTS a", "TTL a", "STRLEN a", "CACHE.INSPECT a", "SCAN 0", "PING", "SELECT 1", "CLIENT SETNAME x"],
    "operator": [
        "INFO", "CLIENT LIST", "CLIENT KILL ID 99999999", "CONFIG GET maxmemory", "CONFIG RESETSTAT", "CACHE.POLICY LIST", "CACHE.POLICY SET p match p:*",
        "CACHE.POLICY DEL p", "CACHE.PURGE PREFIX a", "CACHE.PURGE TAGS 1 t", "FLUSHALL", "MEMORY STATS", "ACL LOG", "ACL WHOAMI", "DBSIZE",
    ],
    "metrics": ["INFO everything", "DBSIZE", "CONFIG GET *", "CLIENT LIST", "MEMORY STATS", "CACHE.POLICY LIST", "PING", "CLIENT SETNAME exporter", "SLOWLOG LEN", "LATENCY LATEST", "LATENCY HISTOGRAM", "HOTKEYS", "PINFOLD.DIAGNOSE"],
}  # fmt: skip
# What a role may not do. Nobody but the administrator may change users or settings.
COMMON = ["ACL SETUSER x on", "ACL LIST", "ACL DELUSER reader", "CONFIG SET requirepass x", "DEBUG SLEEP 0"]
MAY_NOT = {
    "reader": [*COMMON, "SET a 1", "DEL a", "INCR a", "GETDEL a", "GETEX a EX 1", "EXPIRE a 1", "CACHE.GET a", "CACHE.MGET 1 a", "CACHE.SET a 1", "CACHE.PURGE PREFIX a", "KEYS *", "FLUSHALL", "INFO", "CLIENT LIST", "CLIENT KILL ID 1", "CONFIG GET *"],
    "writer": [*COMMON, "KEYS *", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "INFO", "CLIENT LIST", "CLIENT KILL ID 1", "CONFIG GET *", "CACHE.POLICY SET p match p:*", "SHUTDOWN ABORT", "FUNCTION FLUSH", "FUNCTION LOAD x", "SCRIPT FLUSH", "SCRIPT KILL"],
    "filler": [*COMMON, "SET a 1", "INCR a", "APPEND a x", "EXPIRE a 1", "RENAME a b", "CACHE.PURGE TAGS 1 t", "CACHE.PURGE PREFIX a", "CACHE.POLICY SET p match p:*", "FLUSHALL", "KEYS *", "INFO", "CL.THROTTLE limit:a 1 1 1"],
    "limiter": [*COMMON, "GET limit:a", "SET limit:a 1", "CL.THROTTLE other 1 1 1", "DEL other", "CACHE.GET limit:a", "SCAN 0", "INFO", "FLUSHALL"],
    "operator": [*COMMON, "CONFIG REWRITE", "GET a", "SET a 1", "MGET a", "CACHE.GET a", "CACHE.INSPECT a", "SCAN 0", "KEYS *", "RANDOMKEY", "ACL GETUSER reader"],
    "metrics": [*COMMON, "GET a", "SET a 1", "SCAN 0", "KEYS *", "RANDOMKEY", "EXISTS a", "FLUSHALL", "CLIENT KILL ID 1", "CONFIG RESETSTAT", "CACHE.PURGE PREFIX a", "CACHE.POLICY SET p match p:*", "MEMORY USAGE a", "SLOWLOG GET", "SLOWLOG RESET", "COMMANDLOG GET 1 slow", "LATENCY RESET", "MONITOR", "CACHE.INSPECT a"],
}  # fmt: skip


@pytest.mark.parametrize("role", MAY)
def test_what_a_role_may_do(log_in, keeper, role):
    client = log_in(role)
    for request in MAY[role]:
        client.execute_command(*request.split())
    assert denials(keeper) == []


@pytest.mark.parametrize("role", MAY_NOT)
def test_what_a_role_may_not_do(log_in, keeper, role):
    keeper.mset({"a": "1", "other": "2"})
    keys = set(keeper.keys())
    client = log_in(role)
    for request in MAY_NOT[role]:
        with pytest.raises(redis.exceptions.NoPermissionError):
            print(request, client.execute_command(*request.split()))
    assert keeper.get("a") == b"1" and keeper.get("other") == b"2" and set(keeper.keys()) == keys


def test_nobody_logs_in_as_a_role_without_a_password(server, keeper):
    for role in NAMES:
        with redis.Redis(port=server.port, username=role, password="") as client, pytest.raises(redis.exceptions.ResponseError, match="WRONGPASS"):
            client.ping()


def test_the_example_of_the_readme(server, keeper, log_in):
    text = (servers.ROOT / "README.md").read_text()
    rules = re.search(r"ACL SETUSER filler (on >secret .*)", text)[1].split()
    keeper.execute_command("ACL", "SETUSER", "filler", "reset", *rules)
    filler = redis.Redis(port=server.port, username="filler", password="secret")
    status, _, token, _ = filler.execute_command("CACHE.GET", "product:1", "LEASE", 60_000)
    assert status == b"miss" and token
    assert filler.execute_command("CACHE.SET", "product:1", "pen", "TOKEN", token, "EX", 60) is not None
    assert filler.execute_command("CACHE.GET", "product:1")[1] == b"pen"
    assert filler.delete("product:1") == 1
    for request in ("CACHE.GET user:1", "SET user:1 x", "FLUSHALL", "KEYS *", "CACHE.PURGE PREFIX product:", "CONFIG GET *", "ACL LIST"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            filler.execute_command(*request.split())
    filler.close()
