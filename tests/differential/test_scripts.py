"""Random scripts do on Pinfold what they do on redis-server: the same replies, errors and keys. The seeds are fixed; PINFOLD_DIFFERENTIAL_SCRIPT_SEEDS takes more."""

import os

import pytest

from tests.differential import scripts
from tests.differential.checker import COMMON_SETTINGS, OWN_SETTINGS
from tests.differential.scripts import ScriptChecker, ScriptGenerator, names_and_arguments, rng_of, sha_of
from tests.support import servers

SEEDS = int(os.environ.get("PINFOLD_DIFFERENTIAL_SCRIPT_SEEDS", "400"))
FIRST = int(os.environ.get("PINFOLD_DIFFERENTIAL_SCRIPT_FIRST", "1"))
BLOCK = 50
STEPS = 60


@pytest.fixture(scope="module")
def checker():
    with servers.redis(*COMMON_SETTINGS) as reference, servers.pinfold(*COMMON_SETTINGS, *OWN_SETTINGS) as subject:
        yield ScriptChecker([reference, subject])


def steps_of(seed, length=STEPS):
    """EVAL and its siblings in both protocols, and other commands between them, inside MULTI too."""
    rng = rng_of(seed)
    steps = [(1, (b"HELLO", b"3"))]
    known, inside = [], {0: False, 1: False}
    while len(steps) < length:
        who = rng.choice((0, 1))
        g = ScriptGenerator(rng, writes=rng.random() < 0.8)
        roll = rng.random()
        if roll < 0.6:
            name = b"EVAL_RO" if rng.random() < 0.12 else b"EVAL"
            script = g.script()
            steps.append((who, (name, script, *names_and_arguments(g, rng))))
            known.append(sha_of(script))
        elif roll < 0.7:
            sha = rng.choice(known) if known and rng.random() < 0.85 else rng.choice((b"a" * 40, b"x", b"", b"A" * 41))
            sha = sha.upper() if rng.random() < 0.2 else sha
            steps.append((who, (rng.choice((b"EVALSHA", b"EVALSHA", b"EVALSHA_RO")), sha, *names_and_arguments(g, rng))))
        elif roll < 0.78:
            script = g.script()
            steps.append((who, rng.choice((
                (b"SCRIPT", b"LOAD", script), (b"SCRIPT", b"EXISTS", *rng.sample(known, min(len(known), 3)), b"a" * 40), (b"SCRIPT", b"EXISTS"), (b"SCRIPT", b"KILL"),
                (b"SCRIPT", b"FLUSH", *rng.choice(((), (b"ASYNC",), (b"SYNC",), (b"NOSUCH",), (b"SYNC", b"x")))), (b"SCRIPT",), (b"SCRIPT", b"NOSUCH"), (b"EVAL",), (b"EVAL", b"return 1"),
                (b"EVALSHA", b"x"), (b"SCRIPT", b"LOAD"), (b"SCRIPT", b"NOSUCH"),
            ))))  # fmt: skip
            known.append(sha_of(script))
        elif roll < 0.82:
            steps.append((who, (b"EXEC",) if inside[who] else (b"MULTI",)))
            inside[who] = not inside[who]
        else:
            scripts.ordinary(rng, g, steps, who)
    return steps + [(who, (b"EXEC",)) for who in (0, 1) if inside[who]]


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEEDS, BLOCK))
def test_scripts_answer_and_leave_behind_what_they_do_in_redis(checker, start):
    reports = []
    for seed in range(start, min(start + BLOCK, FIRST + SEEDS)):
        report = checker.check_steps(seed, steps_of(seed), relative=False)
        if report:
            reports.append(report)
        if len(reports) == 3:
            break
    assert not reports, "\n\n".join(reports)


def test_most_scripts_run_to_their_end(checker):
    """What the generator makes is right often enough to show something: replies of all kinds, and not only errors."""
    kinds, errors, sent = set(), 0, 0
    for seed in range(1, 100):
        with checker.servers[0].connect() as one, checker.servers[0].connect() as other:
            for who, args in steps_of(seed):
                if args[0].upper() in (b"EVAL", b"HELLO"):
                    reply = (one, other)[who].raw(*args)
                    sent += 1
                    kinds.add(reply[:1])
                    errors += reply[:1] == b"-"
    assert kinds >= {b"+", b"-", b":", b"$", b"*", b",", b"#", b"_", b"%", b"~"}, kinds
    assert errors < sent * 0.6, f"{errors} of {sent} are errors"


def test_the_same_seed_makes_the_same_scripts():
    assert steps_of(5) == steps_of(5) != steps_of(6)


def test_a_server_with_a_bug_is_caught_and_the_script_shrunk(checker):
    """A proxy changes what scripts do: the report has one script with the statement that matters."""
    from tests.differential.test_checker import Proxy

    proxy = Proxy(checker.servers[0].port, request=(b'("SETNX"', b'("GET", '))
    try:
        report = next(filter(None, (ScriptChecker([checker.servers[0], proxy]).check_steps(seed, steps_of(seed), False) for seed in range(1, 40))), None)
    finally:
        proxy.listener.close()
    assert report and "are left after shrinking" in report
