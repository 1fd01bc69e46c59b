"""What COMMAND says of each command that both servers have: arity, flags, keys, categories."""

import pytest

from tests.differential.differences import KEY_SPECS, NEWER_COMMANDS, OTHER_FIELDS, differing_fields
from tests.support import resp, servers


@pytest.fixture(scope="module")
def tables():
    found = []
    with servers.redis("--enable-debug-command", "yes") as reference, servers.pinfold("--enable-debug-command", "yes") as subject:
        for server in (reference, subject):
            with server.connect() as connection:
                found.append({entry[0]: entry for entry in connection.call("COMMAND")})
    return found


# Redis 7.0 does not have them; "new in" is what the documentation of the others says. CLIENT TRACEPARENT is Pinfold's own.
NEWER_SUBCOMMANDS = {b"client|setinfo", b"client|no-touch", b"client|traceparent"}


def subcommands(entry):
    return {sub[0]: sub for sub in entry[9]}


def test_only_known_or_newer_commands_are_listed(tables):
    reference, subject = tables
    assert set(subject) - set(reference) <= NEWER_COMMANDS


@pytest.mark.parametrize("field, name", [(1, "arity"), (2, "flags"), (3, "first key"), (4, "last key"), (5, "step"), (6, "ACL categories")])
def test_commands_are_described_as_in_redis(tables, field, name):
    reference, subject = tables
    wrong = []
    for command, entry in sorted(subject.items()):
        if command not in reference:
            continue
        rows = [(command, reference[command], entry)]
        theirs, ours = subcommands(reference[command]), subcommands(entry)
        rows += [(sub, theirs[sub], ours[sub]) for sub in sorted(ours) if sub in theirs]
        for row, expected, actual in rows:
            if field in differing_fields(expected, actual):
                wrong.append(f"{row.decode()}: {expected[field]} in redis, {actual[field]} here")
    assert not wrong, "\n".join([name, *wrong])


def test_subcommands_exist_in_redis(tables):
    reference, subject = tables
    for command, entry in subject.items():
        if command in reference:
            assert set(subcommands(entry)) - set(subcommands(reference[command])) <= NEWER_SUBCOMMANDS


def test_key_specs_name_the_keys_of_redis(tables):
    """begin_search and find_keys; the flags are compared as sets."""

    def spec(entry):
        normal = []
        for item in entry[8]:
            fields = dict(zip(item[::2], item[1::2])) if isinstance(item, list) else item
            normal.append((sorted(fields[b"flags"]), fields[b"begin_search"], fields[b"find_keys"]))
        return normal

    reference, subject = tables
    wrong = [
        f"{command.decode()}: {spec(reference[command])} in redis, {spec(entry)} here"
        for command, entry in sorted(subject.items())
        if command in reference and (command, KEY_SPECS) not in OTHER_FIELDS and spec(reference[command]) != spec(entry)
    ]
    assert not wrong, "\n".join(wrong)


UNKNOWN = [
    (b"nosuch",), (b"nosuch", b""), (b"nosuch", b"a", b"b c", b"d\r\ne"), (b"x" * 127, b"a"), (b"x" * 128, b"a"), (b"x" * 129, b"a"), (b"x" * 1000, b"a"),
    (b"nosuch", b"a" * 127, b"b"), (b"nosuch", b"a" * 128, b"b"), (b"nosuch", b"a" * 129, b"b"), (b"nosuch", b"a" * 120, b"b" * 20, b"c"),
    (b"nosuch", *[b"arg"] * 100), (b"nosuch", *[b""] * 100), (b"no\x00such", b"a\x00b"), (b"no\r\nsuch",), (b"\xff\xfe",), (b"",), (b"nosuch|sub",), (b"%s%n", b"%s"),
    (b"client|id",), (b"get ", b"k"), (b" get", b"k"),
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3])
def test_an_unknown_command_is_refused_in_the_words_of_redis(protocol):
    with servers.redis() as reference, servers.pinfold() as subject:
        with reference.connect() as left, subject.connect() as right:
            left.raw("HELLO", protocol)
            right.raw("HELLO", protocol)
            for args in UNKNOWN:
                assert right.raw(*args) == left.raw(*args), args


def test_commands_of_other_types_are_unknown():
    with servers.pinfold() as server, server.connect() as connection:
        if servers.is_redis():
            pytest.skip("Redis has them")
        types = ["XADD", "BF.ADD", "BF.RESERVE", "CF.ADD", "CMS.INCRBY", "TOPK.ADD", "TDIGEST.ADD"]
        others = ["SYNC", "PSYNC", "REPLICAOF", "CLUSTER", "MIGRATE", "DUMP", "RESTORE", "MODULE", "BGSAVE"]
        for name in types + others:
            reply = connection.call(name, "a", "b")
            assert reply == resp.ErrorReply(f"ERR unknown command '{name}', with args beginning with: 'a' 'b' "), name
