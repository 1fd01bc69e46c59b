"""Commands newer than the Redis of the differential checker, by their public documentation."""

import subprocess

import pytest

from tests.support import resp
from tests.support.servers import is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="newer than Redis 7")

SYNTAX = resp.ErrorReply("ERR syntax error")


def play(client, steps):
    for args, expected in steps:
        assert client.call(*args) == expected, args


@pytest.fixture(scope="session")
def xxh3(tmp_path_factory):
    """XXH3-64 by the library that defines it."""
    folder = tmp_path_factory.mktemp("xxh3")
    source, binary = folder / "xxh3.c", folder / "xxh3"
    source.write_text(
        "#define XXH_INLINE_ALL\n#include <xxhash.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
        "int main(void) { size_t cap = 1 << 25, n; char *b = malloc(cap); n = fread(b, 1, cap, stdin);\n"
        'printf("%016llx", (unsigned long long)XXH3_64bits(b, n)); return 0; }\n'
    )
    subprocess.run(["cc", "-O1", "-o", binary, source], check=True)
    return lambda data: subprocess.run([binary], input=data, capture_output=True, check=True).stdout


def test_set_ifeq_sets_only_over_the_expected_value(client):
    play(client, [
        (["SET", "k", "new", "IFEQ", "old"], None),
        (["EXISTS", "k"], 0),
        (["SET", "k", "old"], "OK"),
        (["SET", "k", "new", "IFEQ", "other"], None),
        (["GET", "k"], b"old"),
        (["SET", "k", "new", "IFEQ", "old"], "OK"),
        (["GET", "k"], b"new"),
        (["SET", "k", "", "ifeq", "new"], "OK"),
        (["SET", "k", "x", "IFEQ", ""], "OK"),
        (["SET", "k", "y", "IFEQ", "x\x00"], None),
        (["SET", "n", "10"], "OK"),
        (["SET", "n", "11", "IFEQ", "10"], "OK"),
        (["SET", "n", "12", "IFEQ", "+11"], None),
        (["SET", "n", "12", "IFEQ", "011"], None),
        (["GET", "n"], b"11"),
    ])  # fmt: skip


def test_set_ifeq_with_get_returns_the_old_value(client):
    play(client, [
        (["SET", "k", "new", "IFEQ", "old", "GET"], None),
        (["EXISTS", "k"], 0),
        (["SET", "k", "old"], "OK"),
        (["SET", "k", "new", "IFEQ", "other", "GET"], b"old"),
        (["GET", "k"], b"old"),
        (["SET", "k", "new", "GET", "IFEQ", "old"], b"old"),
        (["GET", "k"], b"new"),
    ])  # fmt: skip


def test_set_ifeq_and_times_to_live(client):
    play(client, [
        (["SET", "k", "a", "EXAT", "9000000000"], "OK"),
        (["SET", "k", "b", "IFEQ", "x", "EXAT", "8000000000"], None),
        (["EXPIRETIME", "k"], 9000000000),
        (["SET", "k", "b", "IFEQ", "a", "KEEPTTL"], "OK"),
        (["EXPIRETIME", "k"], 9000000000),
        (["SET", "k", "c", "IFEQ", "b", "EXAT", "8000000000"], "OK"),
        (["EXPIRETIME", "k"], 8000000000),
        (["SET", "k", "d", "IFEQ", "c"], "OK"),
        (["TTL", "k"], -1),
    ])  # fmt: skip


@pytest.mark.parametrize("options", [["IFEQ"], ["IFEQ", "a", "NX"], ["XX", "IFEQ", "a"], ["NX", "IFEQ", "a"], ["IFEQ", "a", "XX"], ["IFEQ", "a", "BOGUS"]])
def test_set_ifeq_wrongly_combined_is_a_syntax_error(client, options):
    client.call("SET", "k", "a")
    assert client.call("SET", "k", "b", *options) == SYNTAX
    assert client.call("GET", "k") == b"a"


def test_delifeq(client):
    play(client, [
        (["DELIFEQ", "k", "v"], 0),
        (["SET", "k", "v"], "OK"),
        (["DELIFEQ", "k", "w"], 0),
        (["DELIFEQ", "k", "V"], 0),
        (["DELIFEQ", "k", ""], 0),
        (["GET", "k"], b"v"),
        (["DELIFEQ", "k", "v"], 1),
        (["EXISTS", "k"], 0),
        (["SET", "k", ""], "OK"),
        (["DELIFEQ", "k", ""], 1),
        (["SET", "k", "100"], "OK"),
        (["DELIFEQ", "k", "100.0"], 0),
        (["delifeq", "k", "100"], 1),
        (["DELIFEQ", "k"], resp.ErrorReply("ERR wrong number of arguments for 'delifeq' command")),
        (["DELIFEQ", "k", "a", "b"], resp.ErrorReply("ERR wrong number of arguments for 'delifeq' command")),
    ])  # fmt: skip


def test_delifeq_releases_only_ones_own_lock(client, connect):
    other = connect()
    assert client.call("SET", "lock", "mine", "NX", "EX", "100") == "OK"
    assert other.call("DELIFEQ", "lock", "theirs") == 0
    assert client.call("DELIFEQ", "lock", "mine") == 1
    assert other.call("SET", "lock", "theirs", "NX", "EX", "100") == "OK"


def test_delex_without_a_condition_deletes(client):
    play(client, [
        (["DELEX", "k"], 0),
        (["SET", "k", "v"], "OK"),
        (["DELEX", "k"], 1),
        (["EXISTS", "k"], 0),
    ])  # fmt: skip


def test_delex_by_value(client):
    play(client, [
        (["DELEX", "k", "IFEQ", "v"], 0),
        (["DELEX", "k", "IFNE", "v"], 0),
        (["SET", "k", "v"], "OK"),
        (["DELEX", "k", "IFEQ", "w"], 0),
        (["DELEX", "k", "IFNE", "v"], 0),
        (["EXISTS", "k"], 1),
        (["DELEX", "k", "ifeq", "v"], 1),
        (["SET", "k", "v"], "OK"),
        (["DELEX", "k", "IFNE", "w"], 1),
        (["EXISTS", "k"], 0),
    ])  # fmt: skip


def test_delex_by_digest(client):
    client.call("SET", "k", "v")
    digest = client.call("DIGEST", "k")
    client.call("SET", "other", "w")
    wrong = client.call("DIGEST", "other")
    play(client, [
        (["DELEX", "k", "IFDEQ", wrong], 0),
        (["DELEX", "k", "IFDNE", digest], 0),
        (["EXISTS", "k"], 1),
        (["DELEX", "k", "IFDEQ", digest], 1),
        (["SET", "k", "v"], "OK"),
        (["DELEX", "k", "IFDNE", wrong], 1),
        (["EXISTS", "k"], 0),
    ])  # fmt: skip


@pytest.mark.parametrize("args", [["k", "BOGUS", "v"], ["k", "IFEQ"], ["k", "IFEQ", "v", "IFNE", "w"], ["k", "IFEQ", "v", "x"], ["k", "v"]])
def test_a_wrong_delex_is_refused_and_deletes_nothing(client, args):
    client.call("SET", "k", "v")
    assert isinstance(client.call("DELEX", *args), resp.ErrorReply)
    assert client.call("GET", "k") == b"v"


@pytest.mark.parametrize("digest", ["", "abc", "0" * 15, "0" * 17, "g" * 16, "0x" + "0" * 14])
def test_a_digest_has_sixteen_hexadecimal_digits(client, digest):
    client.call("SET", "k", "v")
    reply = client.call("DELEX", "k", "IFDEQ", digest)
    assert isinstance(reply, resp.ErrorReply) and "16 hexadecimal characters" in reply
    assert client.call("EXISTS", "k") == 1


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 64, 127, 128, 129, 200, 239, 240, 241, 256, 511, 1000, 1024, 1025, 16384, 100_000, 1_000_003])
def test_digest_is_the_xxh3_of_the_value(client, xxh3, size):
    value = bytes((i * 131 + size) & 255 for i in range(size))
    client.call("SET", "k", value)
    digest = client.call("DIGEST", "k")
    assert digest == xxh3(value) and len(digest) == 16


def test_digest_of_numbers_and_of_nothing(client, xxh3):
    client.call("SET", "n", "12345")
    assert client.call("DIGEST", "n") == xxh3(b"12345")
    assert client.call("DIGEST", "none") is None
    assert client.call("DIGEST") == "ERR wrong number of arguments for 'digest' command"


def test_msetex_sets_all_keys_with_one_expiry(client):
    play(client, [
        (["MSETEX", "2", "a", "1", "b", "2", "EXAT", "9000000000"], 1),
        (["MGET", "a", "b"], [b"1", b"2"]),
        (["EXPIRETIME", "a"], 9000000000),
        (["EXPIRETIME", "b"], 9000000000),
        (["MSETEX", "1", "a", "3", "PXAT", "9000000000123"], 1),
        (["PEXPIRETIME", "a"], 9000000000123),
        (["MSETEX", "2", "a", "4", "b", "5", "keepttl"], 1),
        (["PEXPIRETIME", "a"], 9000000000123),
        (["EXPIRETIME", "b"], 9000000000),
        (["MSETEX", "1", "a", "6"], 1),
        (["TTL", "a"], -1),
        (["GET", "a"], b"6"),
    ])  # fmt: skip
    assert client.call("MSETEX", "1", "t", "v", "EX", "1000") == 1
    assert 990 <= client.call("TTL", "t") <= 1000
    assert client.call("MSETEX", "1", "t", "v", "PX", "2000000") == 1
    assert 1990 <= client.call("TTL", "t") <= 2000


def test_msetex_conditions_hold_for_all_keys_or_none(client):
    play(client, [
        (["MSETEX", "2", "a", "1", "b", "1", "NX"], 1),
        (["MSETEX", "2", "b", "2", "c", "2", "NX"], 0),
        (["MGET", "b", "c"], [b"1", None]),
        (["MSETEX", "2", "a", "3", "c", "3", "XX"], 0),
        (["MGET", "a", "c"], [b"1", None]),
        (["MSETEX", "2", "a", "4", "b", "4", "XX", "EXAT", "9000000000"], 1),
        (["MGET", "a", "b"], [b"4", b"4"]),
        (["MSETEX", "1", "n", "1", "EXAT", "9000000000", "NX"], 1),
    ])  # fmt: skip


def test_msetex_takes_a_key_twice(client):
    assert client.call("MSETEX", "2", "a", "1", "a", "2", "NX", "EX", "100") == 1
    assert client.call("GET", "a") == b"2"


def test_msetex_takes_option_words_as_keys_and_values(client):
    assert client.call("MSETEX", "2", "EX", "NX", "PX", "XX") == 1
    assert client.call("MGET", "EX", "PX") == [b"NX", b"XX"]


@pytest.mark.parametrize(
    "args, error",
    [
        ([], "ERR wrong number of arguments for 'msetex' command"),
        (["1", "a"], "ERR wrong number of arguments for 'msetex' command"),
        (["0", "a", "1"], "ERR invalid numkeys value"),
        (["-1", "a", "1"], "ERR invalid numkeys value"),
        (["x", "a", "1"], "ERR invalid numkeys value"),
        (["2147483648", "a", "1"], "ERR invalid numkeys value"),
        (["9223372036854775807", "a", "1"], "ERR invalid numkeys value"),
        (["2", "a", "1", "b"], "ERR wrong number of key-value pairs"),
        (["2147483647", "a", "1", "b"], "ERR wrong number of key-value pairs"),
        (["1", "a", "1", "BOGUS"], "ERR syntax error"),
        (["1", "a", "1", "NX", "XX"], "ERR syntax error"),
        (["1", "a", "1", "EX", "10", "PX", "10"], "ERR syntax error"),
        (["1", "a", "1", "EX", "10", "KEEPTTL"], "ERR syntax error"),
        (["1", "a", "1", "EX"], "ERR syntax error"),
        (["1", "a", "1", "EX", "0"], "ERR invalid expire time in 'msetex' command"),
        (["1", "a", "1", "EX", "-1"], "ERR invalid expire time in 'msetex' command"),
        (["1", "a", "1", "EX", "9223372036854775807"], "ERR invalid expire time in 'msetex' command"),
        (["1", "a", "1", "EX", "x"], "ERR value is not an integer or out of range"),
        (["1", "a", "1", "b", "2"], "ERR syntax error"),
    ],
)
def test_a_wrong_msetex_is_refused_and_sets_nothing(client, args, error):
    assert client.call("MSETEX", *args) == error
    assert client.call("DBSIZE") == 0


def test_the_newer_commands_void_a_watch(client, connect):
    other = connect()
    for change in (["SET", "w", "x", "IFEQ", "v"], ["DELIFEQ", "w", "v"], ["DELEX", "w", "IFEQ", "v"], ["MSETEX", "1", "w", "x", "XX"]):
        client.call("SET", "w", "v")
        client.call("WATCH", "w")
        assert other.call(*change) in ("OK", 1), change
        assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None, change
    for nothing in (["SET", "w", "x", "IFEQ", "other"], ["DELIFEQ", "w", "other"], ["DELEX", "w", "IFNE", "v"], ["MSETEX", "1", "w", "x", "NX"], ["DIGEST", "w"]):
        client.call("SET", "w", "v")
        client.call("WATCH", "w")
        assert other.call(*nothing) in (None, 0) or nothing[0] == "DIGEST", nothing
        assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] == ["PONG"], nothing


@pytest.mark.parametrize(
    "line, keys",
    [
        (["DELIFEQ", "k", "v"], [b"k"]),
        (["DELEX", "k", "IFEQ", "v"], [b"k"]),
        (["DIGEST", "k"], [b"k"]),
        (["MSETEX", "2", "a", "1", "b", "2", "EX", "10"], [b"a", b"b"]),
        (["SET", "k", "v", "IFEQ", "w"], [b"k"]),
    ],
)
def test_their_keys_are_known(client, line, keys):
    assert client.call("COMMAND", "GETKEYS", *line) == keys


@pytest.mark.parametrize("numkeys", ["0", "-1", "3", "99999999999", "x", ""])
def test_the_keys_of_a_wrong_msetex_are_not_read_beyond_its_end(client, numkeys):
    assert isinstance(client.call("COMMAND", "GETKEYS", "MSETEX", numkeys, "a", "1", "b", "2"), resp.ErrorReply)
