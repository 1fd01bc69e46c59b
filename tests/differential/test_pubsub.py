"""Random conversations of two subscribers and a publisher with both servers: every byte that any of them gets is the same.

Names are subscribed to one at a time, because without names Redis ends subscriptions in the order of its hash table.
"""

import random

import pytest

from tests.support import servers

CHANNELS = ["a", "b", "ab", "c1", ""]
PATTERNS = ["a*", "?", "[ab]", "c[^1]", "*", "\\*"]
WORDS = [("SUBSCRIBE", "UNSUBSCRIBE", CHANNELS), ("PSUBSCRIBE", "PUNSUBSCRIBE", PATTERNS), ("SSUBSCRIBE", "SUNSUBSCRIBE", CHANNELS)]
REFUSED = [["GET", "x"], ["SET", "x", "1"], ["MULTI"], ["EXEC"], ["CLIENT", "ID"], ["HELLO", "2"], ["PUBLISH", "a", "x"], ["NOSUCH"], ["GET"], ["SUBSCRIBE"]]


@pytest.fixture(scope="module")
def both():
    with servers.redis() as reference, servers.pinfold() as subject:
        yield reference, subject


def requests(rng):
    """Who says what. A publisher is asked after each, so that everything has arrived."""
    for _ in range(60):
        who = rng.choice(("one", "two", "publisher", "publisher"))
        subscribe, unsubscribe, names = rng.choice(WORDS)
        if who == "publisher":
            yield who, rng.choice((
                ["PUBLISH", rng.choice(CHANNELS), rng.randbytes(rng.choice((0, 3, 100, 20_000)))], ["SPUBLISH", rng.choice(CHANNELS), "s"],
                ["PUBSUB", "NUMSUB", *CHANNELS], ["PUBSUB", "SHARDNUMSUB", *CHANNELS], ["PUBSUB", "NUMPAT"], ["PUBSUB", "CHANNELS", "c1"],
            ))  # fmt: skip
        else:
            name = rng.choice(names)
            yield who, rng.choice(([subscribe, name], [subscribe, name], [unsubscribe, name], ["PING"], ["PING", "x"], rng.choice(REFUSED), ["RESET"]))


def talk(server, seed, protocol):
    """What each of them gets, in order."""
    rng = random.Random(seed)
    heard = {"one": [], "two": [], "publisher": []}
    people = {name: server.connect() for name in heard}
    try:
        for name in ("one", "two"):
            people[name].raw("HELLO", protocol)
        for who, request in requests(rng):
            if request == ["RESET"] and protocol == 3:
                continue
            if protocol == 3 and request[0] in ("MULTI", "HELLO", "PUBLISH") and who != "publisher":
                continue
            if request == ["CLIENT", "ID"] and protocol == 3:
                continue
            heard[who].append((request, people[who].raw(*request)))
            if request[0] in ("PUBLISH", "SPUBLISH"):
                for _ in range(int(heard[who][-1][1][1:-2])):
                    # Whoever is told is found by asking both: each message is read by the one that it has reached.
                    pass
        for name in ("one", "two"):
            people[name].send_command("PING", "the end")
            while b"the end" not in (raw := people[name].read_raw()):
                heard[name].append(raw)
    finally:
        for connection in people.values():
            connection.close()
    return heard


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("seed", range(1, 11))
def test_conversations_are_the_same(both, seed, protocol):
    reference, subject = (talk(server, seed, protocol) for server in both)
    for name in reference:
        assert sorted(map(repr, subject[name])) == sorted(map(repr, reference[name])) if name != "publisher" else subject[name] == reference[name]
