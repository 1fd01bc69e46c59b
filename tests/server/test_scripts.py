"""EVAL, EVALSHA and SCRIPT over the wire: what a script may do, what is locked for it, and how it ends."""

import contextlib
import hashlib
import random
import threading
import time

import pytest

from tests.support import resp, servers
from tests.support.servers import eventually, is_redis

from .conftest import info, only_pinfold

GET = "return redis.call('GET', KEYS[1])"
UNDECLARED = "return redis.call('GET', ARGV[1])"
ENDLESS = "while true do end"


def sha(script):
    return hashlib.sha1(script.encode()).hexdigest()


def error(text):
    return resp.ErrorReply(text)


@pytest.fixture
def scripts(client):
    """A client of a server without scripts, in which nothing was counted yet."""
    assert client.call("SCRIPT", "FLUSH") == "OK"
    assert client.call("CONFIG", "RESETSTAT") == "OK"
    return client


@contextlib.contextmanager
def setting(connection, name, value):
    before = connection.call("CONFIG", "GET", name)[1]
    assert connection.call("CONFIG", "SET", name, value) == "OK"
    try:
        yield
    finally:
        assert connection.call("CONFIG", "SET", name, before) == "OK"


def counts(connection):
    return {name: int(value) for name, value in info(connection, "scripts").items()}


# --- the commands ---


def test_a_script_gets_keys_and_arguments_and_calls_commands(scripts):
    assert scripts.call("EVAL", "return {KEYS[1], KEYS[2], ARGV[1], #KEYS, #ARGV}", 2, "a", "b", "c") == [b"a", b"b", b"c", 2, 1]
    assert scripts.call("EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", 1, "k", "v") == b"v"
    assert scripts.call("EVAL", "return redis.call('INCRBY', KEYS[1], 5)", 1, "n") == 5
    assert scripts.call("EVAL", "return 1", 0) == 1


def test_bytes_are_kept(scripts):
    value = bytes(range(256)) * 3
    assert scripts.call("EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", 1, b"k\0\xff", value) == value
    assert scripts.call("GET", b"k\0\xff") == value


@pytest.mark.parametrize("size", [20_000, 300_000, 3_000_000])
def test_large_values_come_and_go(scripts, size):
    value = random.Random(size).randbytes(size)
    assert scripts.call("EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", 1, "k", value) == value
    assert scripts.call("GET", "k") == value
    scripts.call("SET", "k", value[::-1])
    assert scripts.call("EVAL", "return {redis.call('GET', KEYS[1]), redis.call('MGET', KEYS[1], KEYS[1])}", 1, "k") == [value[::-1], [value[::-1]] * 2]


@pytest.mark.parametrize("command", ["EVAL", "EVAL_RO", "EVALSHA", "EVALSHA_RO"])
def test_the_number_of_keys_is_checked(scripts, command):
    word = "return 1" if "SHA" not in command else sha("return 1")
    assert scripts.call(command, word, "x") == error("ERR value is not an integer or out of range")
    assert scripts.call(command, word, "99999999999999999999") == error("ERR value is not an integer or out of range")
    assert scripts.call(command, word, -1) == error("ERR Number of keys can't be negative")
    for count in (3, 2**31, 2**32 + 1, 2**63 - 1):
        assert scripts.call(command, word, count, "a") == error("ERR Number of keys can't be greater than number of args")
    assert scripts.call(command, word) == error(f"ERR wrong number of arguments for '{command.lower()}' command")


def test_scripts_are_found_by_their_sha1(scripts):
    digest = sha(GET)
    missing = error("NOSCRIPT No matching script. Please use EVAL.")
    assert scripts.call("EVALSHA", digest, 1, "k") == missing
    assert scripts.call("EVALSHA", "short", 1, "k") == missing
    assert scripts.call("SCRIPT", "EXISTS", digest, digest) == [0, 0]
    assert scripts.call("SCRIPT", "LOAD", GET) == digest.encode()
    assert scripts.call("SCRIPT", "EXISTS", digest, digest.upper(), "x" * 40) == [1, 1, 0]
    scripts.call("SET", "k", "v")
    assert scripts.call("EVALSHA", digest, 1, "k") == scripts.call("EVALSHA", digest.upper(), 1, "k") == b"v"
    for mode in ([], ["SYNC"], ["ASYNC"]):
        scripts.call("EVAL", GET, 1, "k")
        assert scripts.call("EVALSHA", digest, 1, "k") == b"v", "EVAL has put it into the cache"
        assert scripts.call("SCRIPT", "FLUSH", *mode) == "OK"
        assert scripts.call("EVALSHA", digest, 1, "k") == missing
    assert scripts.call("SCRIPT", "FLUSH", "NOW") == error("ERR SCRIPT FLUSH only support SYNC|ASYNC option")


def test_a_flush_reaches_all_threads(scripts, connect):
    others = [connect() for _ in range(6)]
    for _ in range(3):
        assert scripts.call("SCRIPT", "LOAD", GET) == sha(GET).encode()
        assert [other.call("EVALSHA", sha(GET), 1, "none") for other in others] == [None] * 6
        assert scripts.call("SCRIPT", "FLUSH") == "OK"
        assert all(isinstance(other.call("EVALSHA", sha(GET), 1, "none"), resp.ErrorReply) for other in others)


def test_what_does_not_compile_is_said_and_not_cached(scripts):
    text = "ERR Error compiling script (new function): user_script:1: '=' expected near '1'"
    assert scripts.call("EVAL", "retu 1", 0) == error(text)
    assert scripts.call("SCRIPT", "LOAD", "retu 1") == error(text)
    assert scripts.call("SCRIPT", "EXISTS", sha("retu 1")) == [0]


def test_errors_of_calls_are_those_of_redis(scripts):
    def evaluate(script, *args):
        return scripts.call("EVAL", script, *(args or (0,)))

    def raised(text, script):
        return error(f"ERR {text} script: {sha(script)}, on @user_script:1.")

    for script, text in [
        ("return redis.call('nosuch')", "Unknown Redis command called from script"),
        ("return redis.call('client', 'nosuch')", "Unknown Redis command called from script"),
        ("return redis.call('get')", "Wrong number of args calling Redis command from script"),
        ("return redis.call('client', 'list')", "This Redis command is not allowed from script"),
        ("return redis.call('multi')", "This Redis command is not allowed from script"),
        ("return redis.call('eval', 'return 1', '0')", "This Redis command is not allowed from script"),
        ("return redis.call('auth', 'x')", "This Redis command is not allowed from script"),
        ("return redis.call('config', 'get', 'x')", "This Redis command is not allowed from script"),
        ("return redis.call('shutdown')", "This Redis command is not allowed from script"),
        ("return redis.call('script', 'flush')", "This Redis command is not allowed from script"),
    ]:
        assert evaluate(script) == raised(text, script), script
    scripts.call("SET", "s", "abc")
    script = "return redis.call('incr', 's')"
    assert evaluate(script) == raised("value is not an integer or out of range", script)
    assert evaluate("return redis.pcall('incr', 's')") == error("ERR value is not an integer or out of range")
    assert evaluate("return redis.pcall('get', 'a', 'b')") == error("ERR Wrong number of args calling Redis command from script")
    assert evaluate("redis.pcall('nosuch') return 'on'") == b"on"


def test_errors_of_scripts_cannot_split_replies(scripts):
    assert scripts.raw("EVAL", "return redis.error_reply('A\\r\\n+OK')", 0).count(b"\r\n") == 1
    assert scripts.raw("EVAL", "return redis.status_reply('A\\r\\n+OK')", 0).count(b"\r\n") == 1
    assert scripts.raw("EVAL", "error('A\\r\\n+OK')", 0).count(b"\r\n") == 1
    assert scripts.call("PING") == "PONG"


def test_the_database_that_a_script_selects_is_its_own(scripts):
    scripts.call("SET", "k", "zero")
    assert scripts.call("EVAL", "redis.call('SELECT', 3) redis.call('SET', KEYS[1], 'three') return redis.call('GET', KEYS[1])", 1, "k") == b"three"
    assert scripts.call("GET", "k") == b"zero"
    assert " db=0 " in scripts.call("CLIENT", "INFO").decode()
    scripts.call("SELECT", 3)
    assert scripts.call("GET", "k") == b"three"
    scripts.call("SELECT", 0)


def test_a_reader_does_not_write(scripts):
    script = "return redis.call('SET', KEYS[1], '1')"
    text = f"ERR Write commands are not allowed from read-only scripts. script: {sha(script)}, on @user_script:1."
    assert scripts.call("EVAL_RO", script, 1, "k") == error(text)
    assert scripts.call("EVALSHA_RO", sha(script), 1, "k") == error(text)
    assert scripts.call("EXISTS", "k") == 0
    assert scripts.call("EVAL_RO", GET, 1, "k") is None


def test_the_first_line_of_a_script(scripts):
    for script, text in [
        ("#!lua", "ERR Invalid script shebang"),
        ("#!js\nreturn 1", "ERR Unexpected engine in script shebang: #!js"),
        ("#!LUA\nreturn 1", "ERR Unexpected engine in script shebang: #!LUA"),
        ("#!\nreturn 1", "ERR Unexpected engine in script shebang: #!"),
        ("#!lua foo=1\nreturn 1", "ERR Unknown lua shebang option: foo=1"),
        ("#!lua name=x\nreturn 1", "ERR Unknown lua shebang option: name=x"),
        ("#!lua flags=zz\nreturn 1", "ERR Unexpected flag in script shebang: zz"),
    ]:
        assert scripts.call("EVAL", script, 0) == scripts.call("SCRIPT", "LOAD", script) == error(text)
    assert scripts.call("EVAL", "#!lua  flags=\nreturn 1", 0) == 1
    assert scripts.call("EVAL", "#!lua flags=no-writes,allow-oom flags=allow-stale,no-cluster,allow-cross-slot-keys\nreturn 1", 0) == 1
    script = "#!lua flags=no-writes\nreturn redis.call('set', 'a', '1')"
    text = f"ERR Write commands are not allowed from read-only scripts. script: {sha(script)}, on @user_script:2."
    assert scripts.call("EVAL", script, 0) == error(text), "the first line counts"
    assert scripts.call("EVAL_RO", "#!lua\nreturn 1", 0) == error("ERR Can not execute a script with write flag using *_ro command.")


def test_replies_of_resp3(scripts, connect):
    three = connect(protocol=3)
    assert three.raw("EVAL", "redis.setresp(3) return {true, false}", 0) == b"*2\r\n#t\r\n#f\r\n"
    assert three.raw("EVAL", "return {double=3.5}", 0) == b",3.5\r\n"
    assert three.raw("EVAL", "return {map={a=1}}", 0) == b"%1\r\n$1\r\na\r\n:1\r\n"
    assert three.raw("EVAL", "return {set={a=true}}", 0) == b"~1\r\n$1\r\na\r\n"
    assert three.raw("EVAL", "return false", 0) == b"_\r\n"
    assert scripts.raw("EVAL", "return {double=3.5}", 0) == b"$3\r\n3.5\r\n"
    assert scripts.raw("EVAL", "return {map={a=1}}", 0) == b"*2\r\n$1\r\na\r\n:1\r\n"
    assert scripts.raw("EVAL", "return false", 0) == b"$-1\r\n"


def test_scripts_in_a_transaction(scripts):
    digest = scripts.call("SCRIPT", "LOAD", "return redis.call('INCR', KEYS[1])")
    replies = scripts.pipeline([
        ("MULTI",), ("SET", "n", 1), ("EVALSHA", digest, 1, "n"), ("EVAL", UNDECLARED, 0, "n"), ("EVAL", "return redis.call('nosuch')", 0), ("GET", "n"), ("EXEC",),
    ])  # fmt: skip
    assert replies[:6] == ["OK"] + ["QUEUED"] * 5
    assert replies[6][:3] == ["OK", 2, b"2"] and isinstance(replies[6][3], resp.ErrorReply) and replies[6][4] == b"2"


def test_a_watched_key_that_a_script_changes(scripts, connect):
    other = connect()
    scripts.call("WATCH", "k")
    assert other.call("EVAL", "return redis.call('SET', ARGV[1], 'x')", 0, "k") == "OK"
    assert scripts.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None


def test_commands_are_counted_once(scripts):
    scripts.call("SET", "s", "abc")
    scripts.call("CONFIG", "RESETSTAT")
    for script in ("return redis.call('incr', 's', 'y')", "return redis.call('incr', 's')", "return redis.pcall('incr', 's')", "return redis.call('nosuch')"):
        assert isinstance(scripts.call("EVAL", script, 0), resp.ErrorReply)
    assert isinstance(scripts.call("EVAL", "return {1, redis.error_reply('MY err')}", 0)[1], resp.ErrorReply)
    commands, errors = info(scripts, "commandstats"), info(scripts, "errorstats")
    assert commands["cmdstat_eval"].startswith("calls=5,") and commands["cmdstat_eval"].endswith("rejected_calls=0,failed_calls=5")
    assert commands["cmdstat_incr"].startswith("calls=2,") and commands["cmdstat_incr"].endswith("rejected_calls=1,failed_calls=2")
    assert errors == {"errorstat_ERR": "count=4", "errorstat_MY": "count=1"}
    assert info(scripts, "stats")["total_error_replies"] == "5"


@only_pinfold
def test_scripts_cannot_invent_any_number_of_codes(scripts):
    for i in range(300):
        scripts.call("EVAL", "return redis.error_reply(ARGV[1])", 0, f"CODE{i} x")
    scripts.call("EVAL", "return redis.error_reply(ARGV[1])", 0, "odd:code x")
    errors = info(scripts, "errorstats")
    assert len(errors) <= 130 and "errorstat_odd" not in errors
    assert sum(int(value.removeprefix("count=")) for value in errors.values()) == 301


def test_the_slow_log_has_the_script_and_its_commands(scripts):
    with setting(scripts, "slowlog-log-slower-than", 0):
        scripts.call("SLOWLOG", "RESET")
        scripts.call("EVAL", "redis.call('SET', KEYS[1], 'x') return 1", 1, "k")
        entries = [entry[3] for entry in scripts.call("SLOWLOG", "GET", -1)]
    assert [b"EVAL", b"redis.call('SET', KEYS[1], 'x') return 1", b"1", b"k"] in entries
    assert [b"SET", b"k", b"x"] in entries


def test_monitor_shows_the_commands_of_a_script(scripts, connect):
    monitor = connect()
    assert monitor.call("MONITOR") == "OK"
    scripts.call("EVAL", "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SELECT', 2) return redis.call('GET', KEYS[1])", 1, "k", "v")
    lines = [monitor.read().split(" ", 1)[1] for _ in range(4)]
    assert "] \"EVAL\"" in lines[0] and "lua" not in lines[0]
    assert lines[1] == '[0 lua] "SET" "k" "v"' and lines[3] == '[2 lua] "GET" "k"'
    assert lines[2].endswith('lua] "SELECT" "2"')


def test_keys_of_scripts_are_found(scripts):
    assert scripts.call("COMMAND", "GETKEYS", "EVAL", "x", 2, "a", "b", "c") == [b"a", b"b"]
    assert isinstance(scripts.call("COMMAND", "GETKEYS", "EVAL", "x", 3, "a"), (resp.ErrorReply, list))


# --- what is locked ---


@only_pinfold
def test_a_script_that_keeps_to_its_keys_locks_only_these(scripts):
    for _ in range(16):
        assert scripts.call("EVAL", GET, 1, "k") is None
    assert (counts(scripts)["scripts_locked_all"], counts(scripts)["scripts_locked_declared"]) == (16, 0)
    for _ in range(5):
        scripts.call("EVALSHA", sha(GET), 1, "k")
    assert (counts(scripts)["scripts_locked_all"], counts(scripts)["scripts_locked_declared"]) == (16, 5)
    assert counts(scripts)["scripts_executed"] == 21


@only_pinfold
def test_a_script_that_uses_other_keys_locks_everything(scripts):
    scripts.call("SET", "k", "v")
    for _ in range(30):
        assert scripts.call("EVAL", UNDECLARED, 0, "k") == b"v"
    assert counts(scripts)["scripts_locked_all"] == 30


@only_pinfold
def test_a_trusted_script_that_reaches_for_another_key_gets_it(scripts):
    script = "local v = redis.call('GET', KEYS[1]) if ARGV[1] then return redis.call('GET', ARGV[1]) end return v"
    scripts.call("SET", "other", "there")
    for _ in range(20):
        scripts.call("EVAL", script, 1, "k")
    assert scripts.call("EVAL", script, 1, "k", "other") == b"there"
    assert counts(scripts)["scripts_locked_more"] + counts(scripts)["scripts_run_again"] == 1
    before = counts(scripts)["scripts_locked_all"]
    scripts.call("EVAL", script, 1, "k")
    assert counts(scripts)["scripts_locked_all"] == before + 1, "it is not trusted any more"


@only_pinfold
def test_the_whole_keyspace_counts_as_undeclared(scripts):
    for command in ("DBSIZE", "RANDOMKEY", "KEYS *", "SCAN 0", "FLUSHDB", "INFO"):
        script = "if ARGV[1] then return redis.call(unpack(ARGV)) end -- " + command
        for _ in range(20):
            scripts.call("EVAL", script, 0)
        before = counts(scripts)
        assert not isinstance(scripts.call("EVAL", script, 0, *command.split()), resp.ErrorReply)
        assert counts(scripts)["scripts_locked_more"] + counts(scripts)["scripts_run_again"] == before["scripts_locked_more"] + before["scripts_run_again"] + 1
        scripts.call("EVAL", script, 0)
        assert counts(scripts)["scripts_locked_all"] > before["scripts_locked_all"]


@only_pinfold
def test_undeclared_keys_can_be_an_error(scripts):
    with setting(scripts, "undeclared-keys", "error"):
        scripts.call("SET", "k", "v")
        text = "ERR The script uses keys that its caller has not declared (undeclared-keys error): GET uses 'k'"
        text += f" script: {sha(UNDECLARED)}, on @user_script:1."
        assert scripts.call("EVAL", UNDECLARED, 0, "k") == error(text)
        assert scripts.call("EVAL", UNDECLARED, 1, "k", "k") == b"v"
        assert "(undeclared-keys error): DBSIZE uses all keys" in str(scripts.call("EVAL", "return redis.call('DBSIZE')", 0))
        assert isinstance(scripts.pipeline([("MULTI",), ("DBSIZE",), ("EVAL", UNDECLARED, 0, "k"), ("EXEC",)])[-1][1], resp.ErrorReply)
        assert counts(scripts)["scripts_refused_undeclared"] == 3
        assert counts(scripts)["scripts_locked_declared"] == 3 and counts(scripts)["scripts_locked_all"] == 1


@only_pinfold
def test_scripts_of_many_clients_are_atomic_whatever_keys_they_declare(server, client):
    """Each moves something between accounts, named as keys or not, and sometimes only late; nothing is lost, and all sums are right."""
    names = [f"account{i}" for i in range(20)]
    client.call("MSET", *[word for name in names for word in (name, 100)])
    move = """
        local from, to = KEYS[1] or ARGV[2], KEYS[2] or ARGV[3]
        local n = tonumber(redis.call('GET', from))
        if n < tonumber(ARGV[1]) then return 0 end
        redis.call('SET', to, redis.call('GET', to) + ARGV[1])
        redis.call('SET', from, redis.call('GET', from) - ARGV[1])
        return 1"""
    total = "local sum = 0 for _, key in ipairs(%s) do sum = sum + redis.call('GET', key) end return sum"
    sums, failures = [], []

    def work(seed):
        rng = random.Random(seed)
        with server.connect() as connection:
            for i in range(300):
                a, b = rng.sample(names, 2)
                if seed % 3 == 0 and i % 3 == 0:
                    sums.append(connection.call("EVAL", total % "KEYS", len(names), *names) if i % 2 else connection.call("EVAL", total % "ARGV", 0, *names))
                    continue
                request = ["EVAL", move, 2, a, b, 1] if rng.random() < 0.9 else ["EVAL", move, 0, 1, a, b]
                reply = connection.call(*request) if rng.random() < 0.8 else connection.pipeline([("MULTI",), request, ("EXEC",)])[-1][0]
                # A script that has written cannot be run anew. Such errors are told before anything is written by these scripts.
                if reply not in (0, 1):
                    failures.append(reply)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(sums) == {2000}
    assert sum(int(value) for value in client.call("MGET", *names)) == 2000
    assert all("has not declared" in reply for reply in failures), failures


# --- how scripts end ---


def in_background(server, *request):
    """Sends a request from a connection of its own; returns a function that waits for the reply."""
    connection = server.connect()
    connection.send_command(*request)

    def reply():
        with connection:
            return connection.read()

    return reply


@only_pinfold
def test_a_script_is_stopped_when_its_time_is_up(scripts):
    with setting(scripts, "script-time-limit", 50):
        stopped = "ERR The script was stopped: it has run for longer than script-time-limit."
        assert scripts.call("EVAL", ENDLESS, 0) == error(f"{stopped} script: {sha(ENDLESS)}, on @user_script:1.")
        assert "longer than script-time-limit" in scripts.call("EVAL", "while true do pcall(function() while true do end end) end", 0)
        busy = "while true do redis.pcall('PING') end"
        assert scripts.call("EVAL", busy, 0).startswith(f"{stopped} script: {sha(busy)}")
        reply = scripts.call("EVAL", "redis.call('SET', KEYS[1], 'x') while true do end", 1, "k")
        assert reply.startswith(stopped + " What it had written before stays. script: ")
        assert scripts.call("GET", "k") == b"x"
        assert counts(scripts)["scripts_out_of_time"] == 4 and counts(scripts)["scripts_longest_us"] >= 50_000
        replies = scripts.pipeline([("MULTI",), *[("EVAL", ENDLESS, 0)] * 40, ("PING",), ("EXEC",)])[-1]
        assert all("longer than script-time-limit" in reply for reply in replies[:40]) and replies[40] == "PONG"


@only_pinfold
def test_the_log_has_scripts_that_were_stopped(server, scripts):
    with setting(scripts, "script-time-limit", 50):
        scripts.call("EVAL", ENDLESS, 1, "k")
    eventually(lambda: f"script {sha(ENDLESS)} of client" in server.log() and "script-time-limit" in server.log())


@only_pinfold
def test_the_log_tells_once_why_a_script_locks_everything(start):
    server = start()
    script = "return redis.call('GET', 'built' .. ARGV[1])"
    with server.connect() as client:
        for i in range(3):
            client.call("EVAL", script, 0, i)
    eventually(lambda: f"script {sha(script)} of client" in server.log())
    assert server.log().count(sha(script)) == 1 and "so it locks all keys: GET uses 'built0'" in server.log()


def test_a_pause_of_writes_holds_transactions_with_scripts(scripts, connect):
    other = connect()
    for command in (("EVAL", "return redis.call('SET', 'paused', '1')", 0), ("EVALSHA", scripts.call("SCRIPT", "LOAD", "return redis.call('SET', 'paused', '1')"), 0)):
        assert scripts.call("MULTI") == "OK" and scripts.call(*command) == "QUEUED"
        assert other.call("CLIENT", "PAUSE", "600000", "WRITE") == "OK"
        scripts.send_command("EXEC")
        for _ in range(20):
            assert other.call("GET", "paused") is None
        assert other.call("CLIENT", "UNPAUSE") == "OK"
        assert scripts.read() == ["OK"]
        assert other.call("DEL", "paused") == 1


@only_pinfold
def test_the_end_of_the_server_ends_scripts(start):
    """Their limit of ten minutes is longer than the test may take."""
    with contextlib.ExitStack() as stack:
        server = start("--threads", "4", "--script-time-limit", "600000")
        clients = [stack.enter_context(server.connect()) for _ in range(8)]
        for client in clients:
            client.socket.sendall(resp.encode(("EVAL", ENDLESS, 0)) * 10)

        def ticks():
            """CPU time: nobody is served while they run."""
            with open(f"/proc/{server.process.pid}/stat") as text:
                return sum(map(int, text.read().rpartition(")")[2].split()[11:13]))

        eventually(lambda: ticks() > 30)


@only_pinfold
def test_a_script_goes_through_the_keyspace_with_scan(start):
    with start().connect() as client:
        client.pipeline([("SET", f"key:{i}", "v") for i in range(20_000)])
        script = """local cursor, seen = '0', 0
        repeat local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1]) cursor, seen = page[1], seen + #page[2] until cursor == '0' return seen"""
        assert client.call("EVAL", script, 0, "key:*") == 20_000
        asked = client.call("EVAL", "for i = 1, 1000 do local r = redis.pcall('INFO', 'server') if type(r) == 'table' then return r.err end end", 0)
        assert "the commands of a script may together visit 4194304 keys" in str(asked)


@only_pinfold
def test_a_script_that_could_not_be_cached_is_refused(scripts):
    with setting(scripts, "script-cache-size", "1mb"):
        large = "return 1 --" + "x" * (1 << 20)
        for command in (("EVAL", large, 0), ("SCRIPT", "LOAD", large)):
            assert "larger than script-cache-size" in str(scripts.call(*command))
        assert "larger than script-cache-size" in str(scripts.pipeline([("MULTI",), ("EVAL", large, 0), ("EXEC",)])[-1][0])


@only_pinfold
def test_compiling_within_a_transaction_is_a_part_of_its_time(scripts):
    """EXEC has locked everything meanwhile."""
    slow = "if a" + " or a" * 100_000 + " then end"
    with setting(scripts, "script-time-limit", 50):
        for commands in ([("EVAL", f"{slow} return {i}", 0) for i in range(12)], [("SCRIPT", "LOAD", f"{slow} return -{i}") for i in range(12)]):
            began = time.monotonic()
            replies = scripts.pipeline([("MULTI",), ("SET", "k", "v"), *commands, ("EXEC",)])[-1]
            assert time.monotonic() - began < 3
            assert replies[0] == "OK" and set(replies[1:]) == {"ERR Error compiling script (new function): it takes too long"}


@only_pinfold
def test_redis_names_of_the_time_limit(scripts):
    with setting(scripts, "script-time-limit", 1234):
        assert scripts.call("CONFIG", "GET", "lua-time-limit") == [b"lua-time-limit", b"1234"]
        assert scripts.call("CONFIG", "GET", "busy-reply-threshold") == [b"busy-reply-threshold", b"1234"]
    with setting(scripts, "lua-time-limit", 77):
        assert scripts.call("CONFIG", "GET", "script-time-limit") == [b"script-time-limit", b"77"]


def kill_until_ended(server, command, reply):
    """Kills from connections of all threads: those of the script's own thread are served only when it has ended."""
    ended = threading.Event()
    answers = []

    def kill():
        with server.connect() as connection:
            while not ended.is_set():
                answers.append(connection.call(command, "KILL"))
                time.sleep(0.01)

    threads = [threading.Thread(target=kill) for _ in range(4)]
    for thread in threads:
        thread.start()
    result = reply()
    ended.set()
    for thread in threads:
        thread.join()
    return result, answers


@only_pinfold
def test_a_script_is_killed_from_another_thread(server, scripts):
    not_busy = error("NOTBUSY No scripts in execution right now.")
    assert scripts.call("SCRIPT", "KILL") == scripts.call("FUNCTION", "KILL") == not_busy
    with setting(scripts, "script-time-limit", 3_600_000):
        result, answers = kill_until_ended(server, "SCRIPT", in_background(server, "EVAL", ENDLESS, 0))
        assert result == error(f"ERR Script killed by user with SCRIPT KILL... script: {sha(ENDLESS)}, on @user_script:1.") or "killed by user" in result
        assert "OK" in answers
    assert scripts.call("SCRIPT", "KILL") == not_busy
    assert counts(scripts)["scripts_killed"] == 1


@only_pinfold
def test_a_script_that_has_written_is_not_killed_but_stopped_in_the_end(server, scripts):
    with setting(scripts, "script-time-limit", 1000):
        result, answers = kill_until_ended(server, "SCRIPT", in_background(server, "EVAL", "redis.call('SET', KEYS[1], 'x') " + ENDLESS, 1, "k"))
        assert "What it had written before stays" in result
        assert "OK" not in answers
        assert any(answer.startswith("UNKILLABLE Sorry the script already executed write commands against the dataset.") for answer in answers)


@only_pinfold
def test_other_clients_go_on_while_a_script_runs_that_has_locked_other_keys(start):
    server = start("--threads", 2, "--script-time-limit", 3_600_000)
    with server.connect() as client:
        script = "if ARGV[1] then while true do end end return redis.call('GET', KEYS[1])"
        for _ in range(16):
            client.call("EVAL", script, 1, "locked")
        ended = threading.Event()
        served = []

        def use(connection):
            while not ended.is_set():
                served.append(connection.call("SET", "free", "x"))

        connections = [server.connect() for _ in range(4)]
        reply = in_background(server, "EVAL", script, 1, "locked", "loop")
        threads = [threading.Thread(target=use, args=(connection,)) for connection in connections]
        for thread in threads:
            thread.start()
        running = next(connection for connection in [server.connect()] * 1)
        # One thread runs the script; clients of the other one go on.
        before = len(served)
        eventually(lambda: len(served) > before + 100)
        result, answers = kill_until_ended(server, "SCRIPT", reply)
        ended.set()
        for thread in threads:
            thread.join()
        running.close()
        for connection in connections:
            connection.close()
        assert "killed by user" in result and "OK" in answers


@only_pinfold
def test_memory_of_scripts_is_bounded_and_accounted(scripts):
    grow = "local t = {} for i = 1, 1e8 do t[i] = string.rep('x', 1000) .. i end"
    with setting(scripts, "script-memory-limit", "2mb"):
        assert "not enough memory" in scripts.call("EVAL", grow, 0)
        assert "not enough memory" in scripts.call("EVAL", "return string.rep('x', 1e9)", 0)
        assert "not enough memory" in scripts.call("EVAL", "local s = 'x' while true do s = s .. s end", 0)
        assert scripts.call("EVAL", "return 1", 0) == 1
        figures = info(scripts, "memory")
        assert 0 < int(figures["used_memory_lua"]) < 16 << 20


@only_pinfold
def test_the_cache_of_scripts_is_bounded(scripts):
    kept = "return 'loaded'"
    scripts.call("SCRIPT", "LOAD", kept)
    for i in range(700):
        assert scripts.call("EVAL", f"return {i}", 0) == i
    figures = info(scripts, "memory")
    assert int(figures["number_of_cached_scripts"]) == 501
    assert scripts.call("SCRIPT", "EXISTS", sha(kept), sha("return 0"), sha("return 699")) == [1, 0, 1]
    assert counts(scripts)["cached_scripts_evicted"] >= 200
    with setting(scripts, "script-cache-size", "64kb"):
        scripts.call("SCRIPT", "LOAD", "return 0 --" + "x" * 40_000)
        large = "return 1 --" + "x" * 40_000
        assert scripts.call("EVAL", large, 0) == 1
        assert scripts.call("SCRIPT", "EXISTS", sha(large)) == [0]
        assert scripts.call("SCRIPT", "LOAD", large) == error("OOM the cache of scripts is full (script-cache-size)")
    before = int(info(scripts, "memory")["used_memory_scripts_eval"])
    assert before > 0 and scripts.call("SCRIPT", "FLUSH") == "OK"
    assert info(scripts, "memory")["used_memory_scripts_eval"] == "0"


@only_pinfold
def test_memory_that_is_full(start):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "noeviction")
    with server.connect() as client:
        i = 0
        while client.call("SET", f"k{i}", "x" * 10_000) == "OK":
            i += 1
        full = "OOM command not allowed when used memory > 'maxmemory'."
        script = "return redis.call('SET', KEYS[1], ARGV[1])"
        assert client.call("EVAL", script, 1, "q", "x" * 1000) == error(f"{full} script: {sha(script)}, on @user_script:1.")
        assert client.call("EVAL", "return redis.call('GET', KEYS[1])", 1, "k0") == b"x" * 10_000
        assert client.call("EVAL", "#!lua\nreturn 1", 0) == error(full)
        assert client.call("EVAL", "#!lua flags=no-writes\nreturn 1", 0) == 1
        assert client.call("EVAL", "#!lua flags=allow-oom\nreturn redis.call('DEL', KEYS[1])", 1, "k0") == 1


# --- rights ---


@pytest.fixture
def ada(scripts, connect):
    """A client of a user that may use few keys."""
    assert scripts.call("ACL", "SETUSER", "ada", "reset", "on", ">x", "~k*", "%R~r*", "+eval", "+eval_ro", "+evalsha", "+get", "+set", "+fcall", "+auth") == "OK"
    connection = connect()
    assert connection.call("AUTH", "ada", "x") == "OK"
    yield connection
    scripts.call("ACL", "DELUSER", "ada")


def test_a_script_has_the_rights_of_its_caller(scripts, ada):
    scripts.call("SET", "secret", "s")
    scripts.call("SET", "r1", "r")

    def refused(script, text):
        return error(f"ERR The user executing the script {text} script: {sha(script)}, on @user_script:1.")

    keys = "can't access at least one of the keys mentioned in the command arguments"
    for script in ("return redis.call('get', 'secret')", "return redis.call('set', 'r1', 'x')"):
        assert ada.call("EVAL", script, 0) == refused(script, keys)
    script = "return redis.call('del', 'k1')"
    assert ada.call("EVAL", script, 0) == refused(script, "can't run this command or subcommand")
    assert ada.call("EVAL", "redis.call('set', 'k1', 'v') return redis.call('get', 'k1') .. redis.call('get', 'r1')", 0) == b"vr"
    assert ada.call("EVAL", "return redis.pcall('get', 'secret')", 0) == error("ERR The user executing the script " + keys)
    assert scripts.call("GET", "secret") == b"s"
    entry = dict(zip(*[iter(scripts.call("ACL", "LOG", 1)[0])] * 2))
    assert (entry[b"context"], entry[b"object"], entry[b"username"]) == (b"lua", b"secret", b"ada")


def test_the_declared_keys_of_a_script_are_checked(scripts, ada):
    denied = error("NOPERM this user has no permissions to access one of the keys used as arguments")
    assert ada.call("EVAL", "return 1", 1, "secret") == denied
    assert ada.call("EVAL", "return 1", 1, "r1") == denied, "it might write"
    assert ada.call("EVAL_RO", "return 1", 1, "r1") == 1
    assert ada.call("EVAL", "return 1", 2, "k1", "secret") == denied


def test_a_script_asks_what_it_may_do(scripts, ada):
    script = "return redis.acl_check_cmd(unpack(ARGV))"
    assert ada.call("EVAL", script, 0, "get", "k1") == 1
    assert not ada.call("EVAL", script, 0, "get", "secret")
    assert not ada.call("EVAL", script, 0, "del", "k1")
    assert "Invalid command" in ada.call("EVAL", script, 0, "nosuch")


def test_rights_that_change_hold_from_the_next_command_of_a_script_on(scripts, ada):
    script = "return redis.call('get', KEYS[1])"
    assert ada.call("EVAL", script, 1, "k1") is None
    scripts.call("ACL", "SETUSER", "ada", "-get")
    assert "can't run this command or subcommand" in ada.call("EVAL", script, 1, "k1")


@only_pinfold
def test_denials_in_a_loop_are_counted_and_few_are_noted(scripts, ada):
    scripts.call("ACL", "LOG", "RESET")
    assert ada.call("EVAL", "for i = 1, 500 do redis.pcall('get', 'secret' .. i) end return 1", 0) == 1
    assert info(scripts, "stats")["acl_access_denied_key"] == "500"
    assert len(scripts.call("ACL", "LOG", 200)) <= 20


# --- Pinfold's commands ---


@only_pinfold
def test_commands_of_the_cache_in_scripts(scripts):
    scripts.call("CACHE.SET", "k", "v", "PX", 60_000, "TAGS", 1, "t")
    assert scripts.call("EVAL", "return redis.call('CACHE.GET', KEYS[1])", 1, "k")[:2] == [b"hit", b"v"]
    lease = scripts.call("EVAL", "return redis.call('CACHE.GET', KEYS[1], 'LEASE', 10000, 'WAIT', 10000)", 1, "none")
    assert lease[0] == b"miss" and lease[2] > 0
    again = scripts.call("EVAL", "return redis.call('CACHE.GET', KEYS[1], 'LEASE', 10000, 'WAIT', 10000)", 1, "none")
    assert again[0] == b"miss", "it does not wait"
    assert scripts.call("EVAL", "return redis.call('DEL', KEYS[1])", 1, "none") == 0
    assert scripts.call("CACHE.SET", "none", "late", "TOKEN", lease[2]) is None
    assert scripts.call("GET", "none") is None, "the script has voided the lease"


@only_pinfold
def test_scripts_that_go_through_the_keyspace(scripts):
    """What frameworks do to clear a cache. Bounded, but far beyond what is possible inside EXEC."""
    for i in range(3000):
        scripts.send_command("SET", f"cache:{i}", "x")
    assert [scripts.read() for _ in range(3000)] == ["OK"] * 3000
    script = "local n = 0 for _, key in ipairs(redis.call('KEYS', ARGV[1])) do n = n + redis.call('DEL', key) end return n"
    assert scripts.call("EVAL", script, 0, "cache:1*") == 1111
    script = """
        local cursor, n = '0', 0
        repeat
          local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 200)
          cursor = page[1]
          for _, key in ipairs(page[2]) do n = n + redis.call('DEL', key) end
        until cursor == '0'
        return n"""
    assert scripts.call("EVAL", script, 0, "cache:*") == 1889
    assert scripts.call("DBSIZE") == 0


@only_pinfold
def test_there_is_no_debugger(scripts):
    assert scripts.call("SCRIPT", "DEBUG", "NO") == "OK"
    assert scripts.call("SCRIPT", "DEBUG", "YES") == error("ERR there is no debugger for scripts")
    assert scripts.call("SCRIPT", "DEBUG", "x") == error("ERR Use SCRIPT DEBUG YES/SYNC/NO")


@only_pinfold
def test_the_text_of_a_script_is_in_no_log(start, tmp_path):
    audit = tmp_path / "audit.log"
    server = start("--audit-log-file", audit)
    with server.connect() as client:
        client.call("SCRIPT", "LOAD", "return 'very secret'")
        client.call("EVAL", "return 'very secret'", 0)
        client.call("EVAL", "error('very secret')", 0)
        client.call("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 'very secret' end)")
        client.call("SCRIPT", "FLUSH")
    eventually(lambda: b"script|flush" in audit.read_bytes().lower() or b"SCRIPT FLUSH" in audit.read_bytes())
    assert b"very secret" not in audit.read_bytes()
    assert "very secret" not in server.log()
    assert b"LOAD" in audit.read_bytes()


@only_pinfold
def test_what_a_script_logs_is_in_the_log(server, scripts):
    scripts.call("EVAL", "redis.log(redis.LOG_WARNING, 'from\\r\\na script')", 0)
    eventually(lambda: "a script" in server.log())
    assert "from\r" not in server.log()


# --- what scripts have been used for against other servers ---

# Not part of Lua here (CVE-2022-0543, CVE-2015-4335), or not to be changed for others (CVE-2025-46818).
ABSENT = ["os.execute('true')", "io.open('/etc/passwd')", "require('os')", "package.loadlib('x', 'y')", "dofile('/etc/passwd')", "loadfile('/etc/passwd')",
          "debug.getregistry()", "getfenv(0).os.exit()", "loadstring(string.dump(function() return 1 end))()", "load(function() return '\\27Lua' end)()"]  # fmt: skip
POISON = ["string.upper = function() return 'poisoned' end", "redis.call = function() return 'poisoned' end", "_G.new = 1", "setmetatable(_G, {})",
          "getmetatable('').__index = function() return 'poisoned' end", "rawset(_G, 'redis', nil)", "rawset(string, 'upper', nil)", "table.insert = nil",
          "getmetatable('').__index.upper = nil", "setfenv(0, {})", "cjson.encode = nil", "redis.setresp = nil", "math.random = nil"]  # fmt: skip
HOSTILE = [
    "return unpack({}, 0, 2147483647)", "return unpack({}, -2147483648, 2147483647)", "return unpack({}, 1, 1e308)",  # CVE-2025-46817
    "return bit.tohex(65535, -2147483648)", "return bit.tohex(1, 2147483647)",  # CVE-2024-31449
    "local t = {} for i = 1, 1e6 do t = {t} end return cjson.encode(t)", "return cjson.decode(string.rep('[', 1e6))",  # CVE-2022-24834
    "local s = string.rep('x', 1e6) local t = {} for i = 1, 1000 do t[i] = s end return cjson.encode(t)",
    "local t = {} for i = 1, 1e6 do t = {t} end return cmsgpack.pack(t)", "return cmsgpack.unpack(string.rep('\\145', 1e6))",  # CVE-2018-11218
    "return cmsgpack.unpack('\\223\\255\\255\\255\\255')", "return struct.pack('>I2147483647', 1)", "return struct.unpack('>I2147483647', 'x')",  # CVE-2018-11219
    "return struct.pack(string.rep('i', 1e6))", "return struct.unpack('s', 'x', 2147483647)", "return struct.size('!2147483647i')",
    "return string.rep('x', 2147483647)", "return string.rep('x', -1)", "return ('x'):rep(1e9):rep(1e9)", "return string.format('%99999999d', 1)",
    "return string.format('%' .. string.rep('1', 1000) .. 'd', 1)", "return string.find(string.rep('a', 1e4), string.rep('a?', 1e4) .. string.rep('a', 1e4))",
    "return string.find(string.rep('a', 1e5), '.-.-.-.-.-.-b')", "return string.gsub(string.rep('x', 1e6), '', string.rep('y', 1e6))",
    "return string.match(string.rep('(', 1e5), string.rep('(', 1e5))", "local function f() return f() + 1 end return f()",
    "local function f() return coroutine.wrap(f)() end return f()", "local t = {} for i = 1, 1e8 do t[i] = i end", "return loadstring(string.rep('(', 1e6))",
    "return loadstring('return ' .. string.rep('a .. ', 1e6) .. '1')", "return loadstring('local ' .. string.rep('a,', 1e5) .. 'b')",
    "local s = '' for i = 1, 1e6 do s = s .. 'x' end", "return table.concat({}, 'x', 1, 2147483647)", "return table.concat(setmetatable({}, {__index = function() return 'x' end}), '', 1, 1e9)",
    "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]", "table.sort({1, 2, 3, 4}, function() return true end)",
    "local t = {} for i = 1, 1e5 do t[i] = i end table.sort(t, function(a, b) while true do end end)", "return setmetatable({}, {__gc = function() error('x') end})",
    "local t = {} t[1] = t return t", "local t = {} t.t = t return cjson.encode(t)", "return {err = string.rep('x', 1e6)}", "return redis.error_reply(string.rep('\\r\\n', 1000))",
    "return tostring(newproxy and newproxy(true))", "for i = 1, 1e6 do pcall(error) end", "return select(-2147483648)", "return select(2147483647, 1)",
    "return math.random(0)", "return math.random(1, -1)", "return math.ldexp(1, 2147483647)", "return string.char(-1)", "return ('x'):byte(-2147483648, 2147483647)",
    "return redis.call(unpack({'MGET', 'a', 'b', {}}))", "return redis.call('SET', string.rep('k', 1e6), 'v')", "return redis.sha1hex(string.rep('x', 1e8))",
    "while true do pcall(function() while true do redis.pcall('PING') end end) end", "coroutine.wrap(function() while true do end end)()",
    "coroutine.wrap(function() redis.call('GET', 'k') coroutine.yield(redis.pcall('nosuch')) end)()", "return coroutine.wrap(function() return redis.call('GET', 'k') end)()",
]  # fmt: skip


@pytest.fixture(scope="module")
def fortress():
    with servers.pinfold("--script-time-limit", 200, "--script-memory-limit", "8mb", "--maxmemory", "100mb") as running:
        yield running


@only_pinfold
@pytest.mark.parametrize("script", ABSENT + POISON)
def test_a_script_reaches_nothing_outside_and_changes_nothing_for_others(fortress, script):
    with fortress.connect() as client:
        assert isinstance(client.call("EVAL", script + " return 1", 0), resp.ErrorReply), script
        client.call("EVAL", f"pcall(function() {script} end) return 1", 0)
        reply = client.call("EVAL", "return {string.upper('a'), ('b'):upper(), redis.pcall('PING').ok, cjson.encode({1})}", 0)
        assert reply == [b"A", b"B", b"PONG", b"[1]"], script


@only_pinfold
@pytest.mark.parametrize("script", HOSTILE)
def test_hostile_scripts_end_and_leave_the_server_as_it_was(fortress, script):
    with fortress.connect() as client:
        client.raw("EVAL", script, 0)
        client.raw("EVAL", f"return pcall(function() {script} end)", 0)
        client.raw("EVAL", f"#!lua flags=no-writes\n{script}", 0)
        assert client.call("EVAL", "return {string.upper('a'), redis.call('PING'), 1.9}", 0) == [b"A", "PONG", 1]
    assert fortress.alive()


@pytest.mark.parametrize("script, text", [
    ("return 1 1", "user_script:1: '<eof>' expected near '1'"), ("if x", "user_script:1: 'then' expected near '<eof>'"),
    ("do return 1", "user_script:1: 'end' expected near '<eof>'"), ("end", "user_script:1: '<eof>' expected near 'end'"),
    ("return 1 end", "user_script:1: '<eof>' expected near 'end'"), ("return [[", "user_script:1: unfinished long string near '<eof>'"),
    ("--[[ x", "user_script:1: unfinished long comment near '<eof>'"), ('return "a', "user_script:1: unfinished string near '<eof>'"),
    ("#!lua\nreturn 1 1", "user_script:2: '<eof>' expected near '1'"),
])  # fmt: skip
def test_a_script_that_is_not_whole(scripts, script, text):
    assert scripts.call("EVAL", script, 0) == error("ERR Error compiling script (new function): " + text)
    assert scripts.call("EVAL", "", 0) is None
    assert scripts.call("EVAL", "return select('#', ...)", 0) == 0


# --- publish/subscribe and client-side caching ---


def test_a_script_publishes(scripts, connect):
    subscriber = connect()
    assert subscriber.call("SUBSCRIBE", "news") == [b"subscribe", b"news", 1]
    assert scripts.call("EVAL", "return redis.call('PUBLISH', KEYS[1], ARGV[1])", 1, "news", "text") == 1
    assert subscriber.read() == [b"message", b"news", b"text"]
    assert scripts.pipeline([("MULTI",), ("EVAL", "return redis.call('PUBLISH', 'news', 'more')", 0), ("EXEC",)])[-1] == [1]
    assert subscriber.read() == [b"message", b"news", b"more"]
    script = "return redis.call('SUBSCRIBE', 'news')"
    assert scripts.call("EVAL", script, 0) == error(f"ERR This Redis command is not allowed from script script: {sha(script)}, on @user_script:1.")
    script = "return redis.call('PUBLISH', 'news', 'x')"
    assert "Write commands are not allowed from read-only scripts" in scripts.call("EVAL_RO", script, 0)


def test_a_script_publishes_to_the_channels_of_its_caller(scripts, ada):
    scripts.call("ACL", "SETUSER", "ada", "+publish", "&mine")
    assert ada.call("EVAL", "return redis.call('PUBLISH', 'mine', 'x')", 0) == 0
    assert "can't publish to the channel mentioned in the command" in ada.call("EVAL", "return redis.call('PUBLISH', 'other', 'x')", 0)


def test_keys_that_a_script_reads_are_tracked(scripts, connect):
    tracker = connect(protocol=3)
    assert tracker.call("CLIENT", "TRACKING", "ON") == "OK"
    tracker.call("EVAL", "redis.call('GET', ARGV[1]) return redis.call('GET', KEYS[1])", 1, "a", "b")
    scripts.call("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "a")
    assert tracker.read() == resp.Push([b"invalidate", [b"a"]])
    if is_redis():
        return  # 7.0 knows declared keys only, 7.2 all of them
    scripts.call("SET", "b", "x")
    assert tracker.read() == resp.Push([b"invalidate", [b"b"]])
