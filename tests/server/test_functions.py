"""FUNCTION and FCALL over the wire: libraries, which all threads share, and calls of their functions."""

import hashlib
import random
import struct
import threading

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

from .conftest import info, only_pinfold
from .test_scripts import ENDLESS, counts, error, in_background, kill_until_ended, setting, sha

LIBRARY = """#!lua name=mylib
redis.register_function("get", function(keys, args) return redis.call("GET", keys[1]) end)
redis.register_function{function_name="hi", callback=function(keys, args) return "hi " .. (args[1] or "") end, flags={"no-writes"}, description="greets"}
"""


def library(name, *functions, body="return 1"):
    return f"#!lua name={name}\n" + "".join(f"redis.register_function('{one}', function(keys, args) {body} end)\n" for one in functions)


@pytest.fixture
def functions(client):
    """A client of a server without libraries, in which nothing was counted yet."""
    assert client.call("FUNCTION", "FLUSH") == "OK"
    assert client.call("CONFIG", "RESETSTAT") == "OK"
    return client


def listed(connection, *options):
    found = {}
    for one in connection.call("FUNCTION", "LIST", *options):
        fields = dict(zip(one[::2], one[1::2]))
        fields[b"functions"] = {inner[1]: (inner[3], inner[5]) for inner in fields[b"functions"]}
        found[fields[b"library_name"]] = fields
    return found


def test_functions_are_called_with_keys_and_arguments(functions):
    assert functions.call("FUNCTION", "LOAD", LIBRARY) == b"mylib"
    functions.call("SET", "k", "v")
    assert functions.call("FCALL", "get", 1, "k") == b"v"
    assert functions.call("FCALL", "hi", 0, "there") == functions.call("FCALL_RO", "hi", 0, "there") == b"hi there"
    assert functions.call("FCALL_RO", "get", 1, "k") == error("ERR Can not execute a script with write flag using *_ro command.")
    assert functions.call("FCALL", "nosuch", 0) == error("ERR Function not found")


def test_the_number_of_keys_is_checked(functions):
    functions.call("FUNCTION", "LOAD", LIBRARY)
    assert functions.call("FCALL", "hi", "x") == error("ERR Bad number of keys provided")
    assert functions.call("FCALL", "hi", -1) == error("ERR Number of keys can't be negative")
    for count in (2, 2**31, 2**63 - 1):
        assert functions.call("FCALL", "hi", count, "a") == error("ERR Number of keys can't be greater than number of args")


def test_libraries_are_listed(functions):
    functions.call("FUNCTION", "LOAD", LIBRARY)
    functions.call("FUNCTION", "LOAD", library("other", "f"))
    assert listed(functions) == {
        b"mylib": {b"library_name": b"mylib", b"engine": b"LUA", b"functions": {b"get": (None, []), b"hi": (b"greets", ["no-writes"])}},
        b"other": {b"library_name": b"other", b"engine": b"LUA", b"functions": {b"f": (None, [])}},
    }
    assert set(listed(functions, "LIBRARYNAME", "my*")) == {b"mylib"}
    assert listed(functions, "WITHCODE", "LIBRARYNAME", "mylib")[b"mylib"][b"library_code"] == LIBRARY.encode()
    assert functions.call("FUNCTION", "LIST", "LIBRARYNAME") == error("ERR library name argument was not given")
    assert functions.call("FUNCTION", "LIST", "nosuch") == error("ERR Unknown argument nosuch")
    assert functions.call("FUNCTION", "LIST", "WITHCODE", "WITHCODE") == error("ERR Unknown argument WITHCODE")


def test_a_list_in_resp3(functions, connect):
    functions.call("FUNCTION", "LOAD", library("one", "f"))
    assert connect(protocol=3).raw("FUNCTION", "LIST") == (
        b"*1\r\n%3\r\n$12\r\nlibrary_name\r\n$3\r\none\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n"
        b"*1\r\n%3\r\n$4\r\nname\r\n$1\r\nf\r\n$11\r\ndescription\r\n_\r\n$5\r\nflags\r\n~0\r\n"
    )


def test_replacing_and_deleting(functions):
    functions.call("FUNCTION", "LOAD", library("one", "f", "g"))
    assert functions.call("FUNCTION", "LOAD", library("one", "f")) == error("ERR Library 'one' already exists")
    assert functions.call("FUNCTION", "LOAD", library("two", "f")) == error("ERR Function f already exists")
    assert functions.call("FUNCTION", "LOAD", "REPLACE", library("one", "f", "h", body="return 2")) == b"one"
    assert functions.call("FCALL", "f", 0) == 2
    assert functions.call("FCALL", "g", 0) == error("ERR Function not found")
    assert functions.call("FUNCTION", "LOAD", "REPLACE", library("two", "f")) == error("ERR Function f already exists")
    assert functions.call("FUNCTION", "LOAD", "NOSUCH", library("two", "x")) == error("ERR Unknown option given: NOSUCH")
    assert functions.call("FUNCTION", "DELETE", "one") == "OK"
    assert functions.call("FUNCTION", "DELETE", "one") == error("ERR Library not found")
    assert functions.call("FCALL", "f", 0) == error("ERR Function not found")


@pytest.mark.parametrize("code, text", [
    ("return 1", "Missing library metadata"),
    ("#!lua", "Invalid library metadata"),
    ("#!lua\nx", "Library name was not given"),
    ("#!lua name=\nx", "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"),
    ("#!lua name=a b=1\nx", "Invalid metadata value given: b=1"),
    ("#!lua name=a name=b\nx", "Invalid metadata value, name argument was given multiple times"),
    ("#!js name=a\nx", "Engine 'js' not found"),
    ("#!lua name=a-b\nx", "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"),
    ("#!lua name=a\nx", "Error compiling function: user_function:2: '=' expected near '<eof>'"),
    ("#!lua name=a\nreturn 1", "No functions registered"),
    ("#!lua name=a\nredis.register_function('g', function() end)\nredis.register_function('g', function() end)",
     "Error registering functions: ERR Function already exists in the library"),
    ("#!lua name=a\nredis.register_function{function_name='g', callback=function() end, flags={'xx'}}",
     "Error registering functions: ERR unknown flag given"),
])  # fmt: skip
def test_what_is_no_library_is_refused(functions, code, text):
    assert functions.call("FUNCTION", "LOAD", code) == error("ERR " + text)
    assert functions.call("FUNCTION", "LIST") == []


def test_loading_does_not_go_on_for_ever(functions):
    reply = functions.call("FUNCTION", "LOAD", "#!lua name=a\nwhile true do end")
    assert "FUNCTION LOAD timeout" in reply
    assert functions.call("FUNCTION", "LIST") == []


def test_all_threads_share_libraries(server, functions, connect):
    others = [connect() for _ in range(6)]
    for version in range(5):
        functions.call("FUNCTION", "LOAD", "REPLACE", library("shared", "version", body=f"return {version}"))
        assert [other.call("FCALL", "version", 0) for other in others] == [version] * 6
    functions.call("FUNCTION", "FLUSH")
    assert {other.call("FCALL", "version", 0) for other in others} == {error("ERR Function not found")}


def test_dump_and_restore(functions):
    functions.call("FUNCTION", "LOAD", LIBRARY)
    functions.call("FUNCTION", "LOAD", library("other", "f"))
    dumped = functions.call("FUNCTION", "DUMP")
    before = listed(functions, "WITHCODE")
    assert functions.call("FUNCTION", "RESTORE", dumped) in [error(f"ERR Library {name} already exists") for name in ("mylib", "other")]
    assert functions.call("FUNCTION", "RESTORE", dumped, "REPLACE") == "OK"
    functions.call("FUNCTION", "FLUSH", "SYNC")
    assert functions.call("FUNCTION", "RESTORE", dumped, "APPEND") == "OK"
    assert listed(functions, "WITHCODE") == before
    functions.call("FUNCTION", "LOAD", "REPLACE", library("third", "x"))
    assert functions.call("FUNCTION", "RESTORE", dumped, "FLUSH") == "OK"
    assert listed(functions, "WITHCODE") == before
    functions.call("FUNCTION", "FLUSH", "ASYNC")
    functions.call("FUNCTION", "LOAD", library("third", "hi"))
    assert functions.call("FUNCTION", "RESTORE", dumped, "REPLACE") == error("ERR Function hi already exists")
    assert set(listed(functions)) == {b"third"}, "all of it or nothing"
    assert functions.call("FUNCTION", "RESTORE", dumped, "NOSUCH") == error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    assert functions.call("FUNCTION", "RESTORE", dumped, "FLUSH", "x") == error(
        "ERR unknown subcommand or wrong number of arguments for 'RESTORE'. Try FUNCTION HELP."
    )
    assert functions.call("FUNCTION", "FLUSH", "NOSUCH") == error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")


def test_a_payload_that_was_changed_is_refused(functions):
    functions.call("FUNCTION", "LOAD", LIBRARY)
    dumped = functions.call("FUNCTION", "DUMP")
    wrong = error("ERR DUMP payload version or checksum are wrong")
    rng = random.Random(1)
    payloads = [b"", b"abc", dumped[:-1], dumped + b"x", dumped[1:], dumped[:20]]
    for _ in range(200):
        at = rng.randrange(len(dumped))
        payloads.append(dumped[:at] + bytes([dumped[at] ^ (1 << rng.randrange(8))]) + dumped[at + 1 :])
    for payload in payloads:
        assert functions.call("FUNCTION", "RESTORE", payload, "FLUSH") == wrong
    assert set(listed(functions)) == {b"mylib"}


def payload(*codes):
    body = b"PFLIB001" + b"".join(struct.pack("<I", len(code)) + code for code in (code.encode() for code in codes))
    return body + hashlib.sha256(body).digest()


@only_pinfold
def test_what_restore_loads_is_bounded_before_it_is_loaded(functions):
    slow = [f"#!lua name=s{i}\nlocal function f() end for i = 1, 1e5 do f() end redis.register_function('s{i}', f)" for i in range(1000)]
    with setting(functions, "script-time-limit", 50):
        assert "FUNCTION LOAD timeout" in functions.call("FUNCTION", "RESTORE", payload(*slow))
    full = error("OOM the libraries of functions would take more memory than they may (script-cache-size)")
    with setting(functions, "script-cache-size", "64kb"):
        before = int(info(functions, "memory")["used_memory_lua"])
        assert functions.call("FUNCTION", "RESTORE", payload(*[library(f"l{i}", f"f{i}") for i in range(1000)])) == full
        assert functions.call("FUNCTION", "RESTORE", payload(*[""] * 100_000)) == full
        assert int(info(functions, "memory")["used_memory_lua"]) - before < 1_000_000
    assert functions.call("FUNCTION", "LIST") == []


def test_statistics(functions):
    functions.call("FUNCTION", "LOAD", LIBRARY)
    assert functions.call("FUNCTION", "STATS") == [b"running_script", None, b"engines", [b"LUA", [b"libraries_count", 1, b"functions_count", 2]]]
    figures = info(functions, "memory")
    assert (figures["number_of_libraries"], figures["number_of_functions"]) == ("1", "2")
    assert int(figures["used_memory_functions"]) > 0


@only_pinfold
def test_a_user_is_shown_running_scripts_whose_keys_it_may_read_and_of_others_the_command(server, functions, connect):
    functions.call("FUNCTION", "LOAD", library("l", "endless", body="while true do end"))
    functions.call("ACL", "SETUSER", "limited", "on", "nopass", "%R~seen:*", "%W~*", "+function|stats")
    functions.call("ACL", "SETUSER", "reader", "on", "nopass", "%R~*", "+function|stats")
    askers = [(user, connect()) for user in ("limited", "reader") for _ in range(4)]
    for user, connection in askers:
        assert connection.call("AUTH", user, "") == "OK"

    def watch(*request):
        """What each user is shown while the request runs. Those on its own thread are served only when it has ended."""
        ended = threading.Event()
        found = {"limited": [], "reader": []}

        def ask(user, connection):
            while not ended.is_set():
                running = connection.call("FUNCTION", "STATS")[1]
                if running is not None:
                    found[user].append((running[1], running[3]))

        threads = [threading.Thread(target=ask, args=asker) for asker in askers]
        result = in_background(server, *request)
        for thread in threads:
            thread.start()
        assert "script-time-limit" in result()
        ended.set()
        for thread in threads:
            thread.join()
        return found if found["limited"] and found["reader"] else None

    with setting(functions, "script-time-limit", 300):
        for request, name, shown in (
            (("EVAL", ENDLESS, 1, "hidden:1", "text"), sha(ENDLESS), False),
            (("EVAL", ENDLESS, 0, "text"), sha(ENDLESS), False),
            (("FCALL", "endless", 2, "seen:1", "hidden:1"), "endless", False),
            (("EVAL", ENDLESS, 1, "seen:" + "k" * 200), sha(ENDLESS), False),
            (("EVAL", ENDLESS, 1, "seen:1", "text"), sha(ENDLESS), True),
        ):
            found = eventually(lambda: watch(*request))
            words = [str(word).encode() for word in request]
            for seen_name, command in found["reader"]:
                assert seen_name == name.encode() and command[:3] == words[:3] and len(command) == len(words)
            for seen in found["limited"]:
                assert seen == ((name.encode(), words) if shown else (b"(redacted)", [words[0], b"(redacted)"]))
    functions.call("ACL", "DELUSER", "limited", "reader")


def test_functions_in_a_transaction(functions):
    functions.call("FUNCTION", "LOAD", LIBRARY)
    assert functions.pipeline([("MULTI",), ("SET", "k", "v"), ("FCALL", "get", 1, "k"), ("FCALL_RO", "hi", 0), ("EXEC",)])[-1] == ["OK", b"v", b"hi "]


@only_pinfold
def test_functions_are_trusted_as_scripts_are(functions):
    functions.call("FUNCTION", "LOAD", LIBRARY)
    for _ in range(20):
        functions.call("FCALL", "get", 1, "k")
    assert counts(functions)["scripts_locked_all"] == 16 and counts(functions)["scripts_locked_declared"] == 4
    functions.call("FUNCTION", "LOAD", "REPLACE", LIBRARY)
    functions.call("FCALL", "get", 1, "k")
    assert counts(functions)["scripts_locked_all"] == 17, "another function of that name is another one"


@only_pinfold
def test_a_function_is_killed_from_another_thread(server, functions):
    functions.call("FUNCTION", "LOAD", library("l", "endless", body="while true do end"))
    with setting(functions, "script-time-limit", 3_600_000):
        result, answers = kill_until_ended(server, "FUNCTION", in_background(server, "FCALL", "endless", 0, "x"))
    assert "killed by user" in result and "OK" in answers
    with setting(functions, "script-time-limit", 1000):
        result, answers = kill_until_ended(server, "SCRIPT", in_background(server, "FCALL", "endless", 0, "x"))
    assert "script-time-limit" in result and "OK" not in answers
    assert any(answer == "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE." for answer in answers)


@only_pinfold
def test_libraries_are_bounded(functions):
    with setting(functions, "script-cache-size", "64kb"):
        full = error("OOM the libraries of functions would take more memory than they may (script-cache-size)")
        assert functions.call("FUNCTION", "LOAD", library("large", "f", body="return 1 --" + "x" * 100_000 + "\n")) == full
        loaded = 0
        while functions.call("FUNCTION", "LOAD", library(f"l{loaded}", f"f{loaded}")) != full:
            loaded += 1
        assert 10 < loaded < 100
        assert functions.call("FUNCTION", "DELETE", "l0") == "OK"
        assert functions.call("FUNCTION", "LOAD", library("l0", "f0")) == b"l0"


def test_a_function_has_the_rights_of_its_caller_whoever_has_loaded_it(functions, connect):
    """CVE-2025-46818: code of one user that runs as another one."""
    functions.call("FUNCTION", "LOAD", library("l", "peek", body="return redis.call('get', args[1])"))
    functions.call("SET", "secret", "s")
    functions.call("ACL", "SETUSER", "ada", "reset", "on", ">x", "~k*", "+fcall", "+get", "+function|load", "+auth")
    ada = connect()
    assert ada.call("AUTH", "ada", "x") == "OK"
    assert functions.call("FCALL", "peek", 0, "secret") == b"s"
    assert "can't access at least one of the keys" in ada.call("FCALL", "peek", 0, "secret")
    assert ada.call("FCALL", "peek", 0, "k") is None
    # And the other way around: what ada has loaded is executed with the rights of whoever calls it, and changes no table of others.
    poison = "#!lua name=poison\nlocal ok = pcall(function() string.upper = function() return 'poisoned' end end)\n"
    ada.call("FUNCTION", "LOAD", poison + "redis.register_function('p', function() return 1 end)\n")
    assert functions.call("EVAL", "return string.upper('a')", 0) == b"A"
    functions.call("ACL", "DELUSER", "ada")


def test_libraries_change_while_they_are_used(server, functions):
    failures = []
    stop = threading.Event()

    def call():
        with server.connect() as connection:
            while not stop.is_set():
                reply = connection.call("FCALL", "version", 0)
                if not isinstance(reply, int) and reply != "ERR Function not found":
                    failures.append(reply)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(100):
        functions.call("FUNCTION", "LOAD", "REPLACE", library("l", "version", body=f"return {version}"))
        if version % 10 == 9:
            functions.call("FUNCTION", "FLUSH")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert is_redis() or info(functions, "memory")["number_of_libraries"] == "0"


def test_help(functions):
    assert any("LOAD" in str(line) for line in functions.call("FUNCTION", "HELP"))
    assert isinstance(functions.call("FUNCTION"), resp.ErrorReply)
