"""The programs of docs/recipes/ do what their pages say."""

import re
import shutil
import subprocess

import pytest

from tests.clients.test_libraries import NODE_MODULES, node_modules  # noqa: F401 (a fixture)
from tests.support import servers

RECIPES = servers.ROOT / "docs/recipes"
PYTHON = ["/usr/bin/python3", "-B"]

CACHE_ASIDE = ["50 readers, 1 load, 50 answers", "the reader got Ada, the next one Grace"]

# What each program prints.
PRINTED = {
    "cache_aside.py": [*CACHE_ASIDE, "nobody: None, empty: ''"],
    "cache_aside.rb": [*CACHE_ASIDE, 'nobody: nil, empty: ""'],
    "cache_aside.mjs": [*CACHE_ASIDE, 'nobody: null, empty: ""'],
    "negative_caching.py": ["1000 look-ups, 1 query, 1000 times nothing", "after it was created: pen", "the slow reader: None - the next one: ink"],
    "tags.py": [
        "first: 3 then: 0", "after a change of product:42: ['product:42', 'product:42:reviews']",
        "after a soft one of the category: ['product:42', 'category:electronics:page:1']", "erased: True - again: 0",
    ],
    "dependencies.py": [
        "Ada: 2 posts, Grace: 1 posts - made: 5 - again: 0",
        "Countess Ada: 2 posts, Grace: 1 posts - made: ['user:ada:posts', 'user:ada', 'page:front']",
        "Countess Ada: 2 posts, Grace: 1 posts - made: ['user:ada:posts', 'page:front']",
        "Countess Ada: 2 posts, Grace: 7 posts - made: ['user:grace:posts', 'user:grace', 'page:front']",
    ],
    "write_through.py": ["second: True first: False", "read: 9", "late: False read: 8 same version again: False"],
    "sessions.py": ["ada has half an hour again", "after log-out: None ada", "after log-out everywhere: None reader grace"],
    "rate_limit.py": [
        "20 of 30 passed, then ['Retry-After', 'X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset']", "another client: 200",
        "a request that counts as 5: [0, 10, 5, -1, 300]", "alone: 5 of 10 passed",
    ],
    "session_hashes.py": ["one field: 4 all: admin 4", "after log-out: None left: 1", "ended: 1 then: None grace"],
    "sliding_window.py": ["10 of 30 passed, 10 are kept, retry in a minute: True", "a short window: [True, True, False] then: True"],
    "beside_the_cache.py": [
        "the best: [('ada', 80.0), ('linus', 70.0)] grace is 3 nobody: None", "visitors are counted well: [True, True] in 12 KB",
        "within 5 km: [('nearer', 0.7), ('near', 2.2)]", "grace reads: ['post 1000', 'post 999', 'post 998'] of 800",
        "before post 500: ['post 499', 'post 498']",
    ],
    "fencing.py": [
        "second worker at once: None", "tokens grow: True - the first still has it: False", "fast writes: True - late: False",
        "late releases: False - fast: True", "in the database: by the fast one",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with servers.pinfold() as running:
        yield running


@pytest.fixture
def empty(server):
    with server.connect() as connection:
        assert connection.call("FLUSHALL") == "OK"
    return server


def run(server, command):
    result = subprocess.run([*map(str, command), str(server.port)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and not result.stderr, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout.splitlines()


@pytest.mark.parametrize("program", [name for name in PRINTED if name.endswith(".py")])
def test_python(empty, program):
    for _ in range(2):  # what one run leaves in the cache is nothing to the next
        assert run(empty, [*PYTHON, RECIPES / program]) == PRINTED[program]


def test_ruby(empty):
    assert run(empty, ["ruby", RECIPES / "cache_aside.rb"]) == PRINTED["cache_aside.rb"]


def test_node(empty, node_modules, tmp_path):  # noqa: F811
    shutil.copy(RECIPES / "cache_aside.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES / "node_modules")
    assert run(empty, ["node", tmp_path / "cache_aside.mjs"]) == PRINTED["cache_aside.mjs"]


def programs():
    return sorted(path for path in RECIPES.iterdir() if path.suffix not in (".md", "") and path.is_file())


def test_every_program_is_run_and_short():
    assert {path.name for path in programs()} == set(PRINTED)
    assert {path.name: lines for path in programs() if (lines := len(path.read_text().splitlines())) >= 60} == {}


def test_every_program_and_page_is_linked():
    pages = {path.name: path.read_text() for path in RECIPES.glob("*.md")}
    linked = {target for text in pages.values() for target in re.findall(r"\]\(([^)#]+)", text)}
    assert {path.name for path in programs()} | set(pages) - {"README.md"} <= linked
    assert all((RECIPES / target).exists() for target in linked if ":" not in target), linked


def test_the_pages_name_mistakes():
    """Each says which mistakes of common samples it avoids."""
    for path in RECIPES.glob("*.md"):
        if path.name != "README.md":
            assert "## Mistakes that this avoids\n" in path.read_text(), path


def test_no_page_is_about_a_command_that_is_not_there(server):
    with server.connect() as connection:
        known = {name.decode().upper() for name in connection.call("COMMAND", "LIST")}
    named = {word for path in RECIPES.glob("*.md") for word in re.findall(r"\b(?:CACHE|CL)\.[A-Z]+", path.read_text())}
    assert named and named <= known
