"""Random conversations of two subscribers and a publisher with both servers: every byte that any of them gets is the same.

Names are subscribed to one at a time, because without names Redis ends subscriptions in the order of its hash table.
"""

import random

import pytest

from tests.support import servers

CHANNELS = ["a", "b", "ab", "c1", "c\x00\r\n"]
PATTERNS = ["a*", "?", "[ab]", "c[^1]", "*", "\\*"]
WORDS = [("SUBSCRIBE", "UNSUBSCRIBE", CHANNELS), ("PSUBSCRIBE", "PUNSUBSCRIBE", PATTERNS), ("SSUBSCRIBE", "SUNSUBSCRIBE", CHANNELS)]
REFUSED = [["GET", "x"], ["SET", "x", "1"], ["CLIENT", "GETNAME"], ["DISCARD"], ["NOSUCH"], ["GET"], ["SUBSCRIBE"], ["PUBLISH", "nobody", "x"]]


@pytest.fixture(scope="module")
def both():
    with servers.redis() as reference, servers.pinfold() as subject:
        yield reference, subject


def requests(rng):
    """Who says what."""
    for _ in range(80):
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


def until(connection, token):
    """What has come up to the reply to a PING."""
    connection.send_command("PING", token)
    frames = []
    while token.encode() not in (raw := connection.read_raw()):
        frames.append(raw)
    return frames


def talk(server, seed, protocol):
    """What each of them gets, step by step. A message to several subscriptions of one client comes in any order."""
    rng = random.Random(seed)
    people = {name: server.connect() for name in ("one", "two", "publisher")}
    heard = []
    everything = [["PUBSUB", "CHANNELS"], ["PUBSUB", "SHARDCHANNELS"], ["PUBSUB", "NUMPAT"]]
    servers.eventually(lambda: not any(people["publisher"].pipeline(everything)))  # what others have left behind is over
    try:
        for name in ("one", "two"):
            people[name].raw("HELLO", protocol)
        for number, (who, request) in enumerate(requests(rng)):
            if request == ["RESET"] and protocol == 3:
                continue
            people[who].send_command(*request)
            step = {"said": (who, request)}
            if who == "publisher":
                step[who] = people[who].read_raw()
            others = sorted({"one", "two"}, key=lambda name: name != who)  # who has said something first
            # The first PING may be answered before a message that is on its way from another thread.
            for name in others:
                step[name] = sorted(until(people[name], f"token-{number}-1") + until(people[name], f"token-{number}-2"))
            heard.append(step)
    finally:
        for connection in people.values():
            connection.close()
    return heard


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("seed", range(1, 16))
def test_conversations_are_the_same(both, seed, protocol):
    reference, subject = (talk(server, seed, protocol) for server in both)
    for left, right in zip(reference, subject):
        assert right == left
    assert len(reference) == len(subject)
