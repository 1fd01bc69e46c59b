"""The status page in a real browser, against a real server: what it shows, to whom, and what it survives."""

import contextlib
import json
import os
import pathlib
import re
import threading
import time

import pytest

from tests.support import servers
from tests.support.servers import eventually

from .browser import Browser

SHOTS = os.environ.get("PINFOLD_SCREENSHOTS")  # a folder; docs/images for those of docs/operations.md
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 360, "height": 740}, "isMobile": True, "hasTouch": True}
LIVE = "document.querySelector('#state').dataset.state === 'live' && document.querySelector('#tls, #security') !== null"


@pytest.fixture(scope="module")
def browser():
    driven = Browser()
    yield driven
    driven.close()


@pytest.fixture(autouse=True)
def quiet(browser, request):
    """No test leaves an error on the console, and none makes the page ask another host."""
    yield
    said = [line for line in browser("said") if "allow_failures" not in request.keywords or "Failed to load resource" not in line]
    assert said == []
    assert {url for url in browser("asked") if not url.startswith(("http://127.0.0.1:", "data:"))} == set()


class Watched:
    """A server with a status page."""

    def __init__(self, *settings):
        self.admin = servers.free_port()
        self.server = servers.pinfold("--admin-port", self.admin, "--maxmemory", "64mb", *settings)
        self.url = f"http://127.0.0.1:{self.admin}/"

    def info(self):
        with self.server.connect() as client:
            lines = client.call("INFO", "everything").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


@pytest.fixture
def watched():
    """Starts servers that are stopped when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(*settings):
            one = Watched(*settings)
            stack.enter_context(one.server)
            return one

        yield start


@contextlib.contextmanager
def load(server, misses=20, rest=0):
    """Clients that read and write all the time: hits, misses, leases, evictions. They rest for so many seconds in each round."""
    over = threading.Event()

    def work(number):
        with server.connect() as client:
            round_ = 0
            while not over.is_set():
                round_ += 1
                for i in range(20):
                    client.call("SET", f"user:{number}:{round_ * 20 + i}", "x" * 2000, "EX", "60")
                    client.call("GET", f"user:{number}:{round_ * 20 + i - i % 3}")
                    if i < misses:
                        client.call("GET", f"page:{number}:{i}:{round_ % 7}")
                lease = client.call("CACHE.GET", f"page:{number}:{round_}", "LEASE", "5000")
                client.call("CACHE.SET", f"page:{number}:{round_}", "page", "TOKEN", lease[2], "EX", "60")
                time.sleep(rest)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def figure(browser, place):
    return browser.text(f"[data-figure='{place}']")


def number_in(text):
    return float(re.search(r"-?[\d,]+(\.\d+)?", text)[0].replace(",", ""))


def in_bytes(text):
    number, unit = re.match(r"([\d,.]+) (B|KiB|MiB|GiB)\b", text).groups()
    return float(number.replace(",", "")) * 1024 ** ["B", "KiB", "MiB", "GiB"].index(unit)


def test_the_numbers_are_those_of_info(browser, watched):
    one = watched()
    browser.open(one.url, **DESKTOP)
    with load(one.server):
        browser.until("parseFloat(document.querySelector(\"[data-figure='stats.keyspace_hits/s']\")?.textContent) > 0")
        browser.until("document.querySelector('#hit-ratio polyline').getAttribute('points').split(' ').length >= 2")
    info = one.info()
    browser.until(f"document.querySelector(\"[data-figure='stats.keyspace_hits']\").textContent === '{int(info['keyspace_hits']):,} reads'")
    totals = {
        "stats.keyspace_hits": "keyspace_hits", "stats.keyspace_misses": "keyspace_misses", "stats.evicted_keys": "evicted_keys",
        "stats.expired_keys": "expired_keys", "stats.auth_failures": "auth_failures", "cache.leases": "leases", "cache.lease_waiters": "lease_waiters",
    }  # fmt: skip
    for place, name in totals.items():
        assert number_in(figure(browser, place)) == float(info[name]), place
    for part in ("segments", "blobs", "index", "ghosts"):
        shown, told = in_bytes(figure(browser, f"memory.used_memory_{part}")), float(info[f"used_memory_{part}"])
        assert abs(shown - told) <= max(0.01 * told, 1), part
    assert figure(browser, "memory.maxmemory_policy") == info["maxmemory_policy"]
    assert figure(browser, "memory.headline").endswith(" of 64.00 MiB")
    # Commands are those that INFO commandstats has.
    rows = browser.evaluate("[...document.querySelectorAll('#commands tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")
    calls = {row[0]: number_in(row[3]) for row in rows}
    for name in ("set", "get", "cache.get", "cache.set"):
        assert calls[name] == float(re.search(r"calls=(\d+)", info[f"cmdstat_{name}"])[1])
    latency = browser.evaluate("[...document.querySelectorAll('#latency tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")
    assert latency[0][0] == "all" and {row[0] for row in latency} > {"get", "set"}
    assert all(re.fullmatch(r"[\d.,]+ (µs|ms|s)", cell) for row in latency for cell in row[2:])


def test_every_number_has_its_unit(browser, watched):
    one = watched()
    with load(one.server):
        browser.open(one.url, **DESKTOP)
        browser.until("document.querySelectorAll('#commands tbody tr').length > 2")
    bare = browser.evaluate(
        "[...document.querySelectorAll('dd, td, .headline')].map((at) => at.textContent).filter((text) => /\\d/.test(text) && !/[A-Za-z%µ]/.test(text))"
    )
    assert [text for text in bare if not re.fullmatch(r"\d{4}-\d\d-\d\d", text)] == []  # a day


def test_the_parts_of_memory_add_up(browser, watched):
    one = watched()
    with one.server.connect() as client:
        client.call("SET", "large", "v" * 100_000)
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    # The figures with a bar are the parts of the one that comes next.
    parts = browser.evaluate("[...document.querySelectorAll('#memory .bar')].map((bar) => bar.previousElementSibling.dataset.figure)")
    all_of_them = browser.evaluate("[...document.querySelectorAll('#memory .bar')].at(-1).nextElementSibling.nextElementSibling.dataset.figure")
    memory = browser.evaluate("fetch('status.json').then((answer) => answer.json())")["memory"]
    assert all_of_them == "memory.used_memory"
    assert sum(memory[place.removeprefix("memory.")] for place in parts) == memory["used_memory"]


class MadeUp:
    """Answers of a server with other figures than it has, each a minute after the one before."""

    def __init__(self, browser):
        self.browser = browser
        self.answer = browser.evaluate("fetch('status.json').then((answer) => answer.json())")

    def change(self, **parts):
        self.answer["at_us"] += 60_000_000
        for name, part in parts.items():
            self.answer[name] = self.answer[name] | part if isinstance(part, dict) else part
        self.browser("answer", path="status.json", body=json.dumps(self.answer))


def test_memory_is_called_high_only_while_nothing_is_evicted(browser, watched):
    one = watched()
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    answers, limit, evicted = MadeUp(browser), 1 << 30, 0
    meter = "((meter) => [meter.low, meter.high, meter.nextElementSibling.className, meter.nextElementSibling.textContent])(document.querySelector('meter'))"
    nothing = ", and nothing was evicted in the last minute: "
    for share, more, state, said in ((0.5, 0, "", ""), (0.94, 0, "warning", nothing + "warning"), (0.96, 0, "critical", nothing + "critical"), (0.97, 50, "", "")):
        evicted += more
        answers.change(memory={"maxmemory": limit, "used_memory": int(share * limit), "used_memory_clients": 0}, stats={"evicted_keys": evicted})
        browser.until(f"document.querySelector('meter').textContent === '{100 * share:g} %'")
        assert browser.evaluate(meter) == [*((1, 1) if more else (0.8, 0.95)), state, f"{100 * share:g} % of maxmemory{said}"]


def test_tables_fit_or_show_that_they_go_on(browser, watched):
    one = watched()
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    answers = MadeUp(browser)
    answers.change(
        databases=[{"number": 15, "keys": 1_234_567, "expires": 1_234_567, "avg_ttl": 36_000_000}],
        threads=[{"number": number, "busy": 1, "round_p99_us": 100_500, "round_longest_us": 999_900} for number in range(2)],
    )
    browser.until("document.querySelector('#databases tbody')?.textContent.includes('10 h')")
    cut = "[...document.querySelectorAll('#threads .scroll, #databases .scroll, #switches .scroll, #errors .scroll')].filter((at) => at.scrollWidth > at.clientWidth).map((at) => at.closest('section').id)"
    assert browser.evaluate(cut) == []
    assert browser.evaluate("[...document.querySelectorAll('.scroll')].every((at) => getComputedStyle(at).backgroundImage.includes('gradient'))")


def test_a_phone_shows_what_was_slow(browser, watched):
    one = watched("--slowlog-log-slower-than", "0")
    with one.server.connect() as client:
        client.call("SET", "k" * 120, "v")
    browser.open(one.url, **PHONE)
    browser.until("document.querySelectorAll('#slow-log tbody tr').length > 0")
    rows = browser.evaluate("[...document.querySelectorAll('#slow-log tbody tr')].map((row) => [...row.cells].slice(0, 2).map((cell) => [cell.textContent, cell.getBoundingClientRect().right]))")
    assert any(row[0][0].startswith("SET kkk") for row in rows)
    assert all(right <= 360 for row in rows for _, right in row), rows


def test_switches_say_what_they_are(browser, watched):
    one = watched()
    with one.server.connect() as client:
        client.call("CACHE.POLICY", "SET", "users", "match", "user:*", "admit", "10%")
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    rows = browser.evaluate("[...document.querySelectorAll('#switches tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))")
    assert rows == [
        ["serve-stale yes", "off", "no", "none"],
        ["bypass yes", "off", "no", "none"],
        ["admit below 100 %", "on in part", "100 %", "1 policy"],
        ["max-leases 0", "off", "at most 100,000 leases", "none"],
    ]


def test_of_many_users_the_first_are_shown(browser, watched):
    one = watched()
    with one.server.connect() as client:
        for i in range(70):
            assert client.call("ACL", "SETUSER", f"user-{i}") == "OK"
    browser.open(one.url, **DESKTOP)
    browser.until("document.querySelectorAll('#users tbody tr').length === 64")
    assert "at most 64" in browser.text("#users > p")


def test_the_certificate_of_the_admin_port_alone_is_shown(browser, watched):
    one = watched()
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    assert browser.evaluate("document.querySelector('#tls')?.hidden ?? true")
    MadeUp(browser).change(tls={"tls_port": "0", "tls_server_cert_expires_at": 1_893_456_000})
    browser.until("document.querySelector('#tls')?.hidden === false")
    assert figure(browser, "tls.tls_server_cert_expires_at") == "2030-01-01"


# The contrast of each text with what is behind it, as in WCAG 2.
CONTRASTS = """(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).slice(0, 3).map((value) => (value /= 255, value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (at) => { for (; at; at = at.parentElement) { const color = getComputedStyle(at).backgroundColor; if ((channels(color)[3] ?? 1) === 1) return color; } };
  return [...document.querySelectorAll('body *')]
    .filter((at) => at.getClientRects().length > 0 && [...at.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim()))
    .map((at) => {
      const [a, b] = [luminance(getComputedStyle(at).color), luminance(ground(at))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), at.tagName + ' ' + at.textContent.slice(0, 40)];
    });
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_can_be_read(browser, watched, scheme):
    one = watched()
    with one.server.connect() as client:
        client.call("CONFIG", "SET", "serve-stale", "yes")
    browser.open(one.url, colorScheme=scheme, **DESKTOP)
    browser.until(LIVE)
    dark = sum(map(int, re.findall(r"\d+", browser.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])) < 3 * 128
    assert dark == (scheme == "dark")
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [one for one in contrasts if one[0] < 4.5] == []


def test_a_phone_shows_all_without_scrolling_aside(browser, watched):
    one = watched()
    with one.server.connect() as client:
        client.call("CACHE.POLICY", "SET", "p" * 64, "match", "m" * 200 + "*")
        client.call("ACL", "SETUSER", "u" * 120)
    browser.open(one.url, **PHONE)
    browser.until(LIVE)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    out = "[...document.querySelectorAll('main *')].filter((at) => !at.closest('.scroll') && at.getBoundingClientRect().right > innerWidth).map((at) => at.outerHTML.slice(0, 80))"
    assert browser.evaluate(out) == []
    assert browser.evaluate("document.querySelector('#pause').getBoundingClientRect().height") >= 44
    assert browser.evaluate("document.querySelector('#policies .scroll').scrollWidth > document.querySelector('#policies .scroll').clientWidth")


def test_the_keyboard_reaches_everything_in_order(browser, watched):
    one = watched()
    with one.server.connect() as client:
        client.call("CACHE.POLICY", "SET", "users", "match", "user:*")
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    here = "((at) => at.id || at.closest('section')?.id || at.className)(document.activeElement)"
    seen = []
    for _ in range(20):
        browser("press", key="Tab")
        seen.append(browser.evaluate(here))
        assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
        if seen[-1] == "errors" or seen[-1] == "threads":
            break
    sections = browser.evaluate("[...document.querySelectorAll('main section')].map((one) => one.id)")
    assert seen[:2] == ["skip", "pause"]
    assert "policies" in seen and seen[2:] == [one for one in sections if one in seen]
    # The link over the head, by keys alone.
    browser.evaluate("document.activeElement.blur()")
    browser.evaluate("document.querySelector('.skip').focus()")
    browser("press", key="Enter")
    browser.until("document.activeElement.id === 'sections'")


def test_it_can_be_paused_and_goes_on(browser, watched):
    one = watched()
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    browser.evaluate("document.querySelector('#pause').focus()")
    browser("press", key="Space")
    browser.until("document.querySelector('#state-text').textContent === 'Paused'")
    assert browser.evaluate("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
    polls_in_vain(browser, 3)
    browser("press", key="Space")
    browser.until(LIVE)


def polls_in_vain(browser, seconds):
    """Waits longer than two questions are apart, and sees that there was none."""
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 300))")  # for an answer that is under way
    browser("asked")
    browser.evaluate(f"new Promise((resolve) => setTimeout(resolve, {seconds * 1000}))")
    assert browser("asked") == []


def test_a_hidden_page_asks_nothing(browser, watched):
    one = watched()
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    hide = "Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }}); document.dispatchEvent(new Event('visibilitychange'))"
    browser.evaluate(hide.format("true"))
    browser.until("document.querySelector('#state').dataset.state === 'paused'")
    polls_in_vain(browser, 3)
    browser.evaluate(hide.format("false"))
    browser.until(LIVE)


HOSTILE = "<script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>", "\"'&lt;</td></table>"


def test_names_of_clients_are_text_whatever_they_are(browser, watched):
    one = watched()
    odd = {
        b"a\xffb\xc0\xaf": "a\\xffb\\xc0\\xaf", "right\u202eleft".encode(): "right\\u{202e}left", b"\x1b(31m\x07": "\\u{1b}(31m\\u{7}",
        "caf\u00e9 \u65e5\u672c \u05e9\u05dc\u05d5\u05dd".encode(): "caf\u00e9 \u65e5\u672c \u05e9\u05dc\u05d5\u05dd", "zero\u200bwidth".encode(): "zero\\u{200b}width",
    }  # fmt: skip
    patterns = {text.encode() + b"*": text + "*" for text in HOSTILE} | {name + b"*": shown + "*" for name, shown in odd.items()}
    with one.server.connect() as client:
        for i, pattern in enumerate(patterns):
            assert client.call("CACHE.POLICY", "SET", f"policy-{i}", "match", pattern) == "OK"
        for name in HOSTILE:
            if " " not in name:
                assert client.call("ACL", "SETUSER", name) == "OK"
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    shown = browser.evaluate("[...document.querySelectorAll('#policies tbody tr')].map((row) => row.cells[1].textContent)")
    assert shown == list(patterns.values())
    users = browser.evaluate("[...document.querySelectorAll('#users tbody th')].map((cell) => cell.textContent)")
    assert {name for name in HOSTILE if " " not in name} < set(users)
    assert browser.evaluate("document.querySelectorAll('main script, main img').length") == 0
    assert browser.evaluate("typeof window.hacked") == "undefined"
    assert browser.evaluate("[...document.querySelectorAll('#policies bdi')].every((at) => getComputedStyle(at).unicodeBidi === 'isolate')")


def test_sections_are_shown_if_they_are_there_and_left_out_if_not(browser, watched):
    """With answers that are made up, of a server that has more and of one that has less."""
    one = watched()
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    answer = browser.evaluate("fetch('status.json').then((answer) => answer.json())")
    answer |= {
        "hot_keys": [{"db": 0, "key": HOSTILE[0], "rate": 1234.5, "share": 0.0625}],
        "slow_log": [{"at": 1767225600, "seconds": 0.0125, "waited": 2, "request": f"GET {HOSTILE[1]}", "client": HOSTILE[2]}],
        "working_set": {"workingset_state": "known"} | {f"hit_ratio_at_memory_{factor}": ratio for factor, ratio in ((0.25, 40), (0.5, 75), (1, 85.5), (2, 90), (4, 95))},
    }
    for name in ("policies", "users", "latency", "findings"):
        answer.pop(name)
    answer["at_us"] += 60_000_000
    browser("answer", path="status.json", body=json.dumps(answer))
    browser.until("document.querySelectorAll('#what-if tbody tr').length === 5")
    cells = "[...document.querySelectorAll('#{} tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    assert browser.evaluate(cells.format("hot-keys")) == [[HOSTILE[0], "db 0", "1,235 requests/s", "6.3 %"]]
    assert browser.evaluate(cells.format("slow-log")) == [[f"GET {HOSTILE[1]}", "12.5 ms", "2 s", "2026-01-01 00:00:00 UTC", HOSTILE[2]]]
    assert browser.evaluate(cells.format("what-if")) == [["0.25 times", "40 %"], ["0.5 times", "75 %"], ["as it is", "85.5 %"], ["2 times", "90 %"], ["4 times", "95 %"]]
    for id_ in ("policies", "users", "latency", "findings"):
        assert browser.evaluate(f"document.querySelector('#{id_}').hidden"), id_
    assert browser.evaluate("document.querySelectorAll('main script, main img').length") == 0
    order = browser.evaluate("[...document.querySelectorAll('main section')].map((one) => one.id)")
    assert order.index("latency") < order.index("hot-keys") < order.index("policies") < order.index("slow-log")


@pytest.mark.allow_failures
def test_the_token_is_asked_for_and_kept_in_the_tab(browser, watched):
    one = watched("--admin-token", "s3cret")
    browser.open(one.url, **DESKTOP)
    browser.until("document.activeElement.id === 'token'")
    assert browser.evaluate("document.querySelectorAll('main section').length") == 0
    browser("type", text="wrong")
    browser("press", key="Enter")
    browser.until("document.querySelector('#login-error').textContent === 'That is not the token.'")
    browser("type", text="s3cret")
    browser("press", key="Enter")
    browser.until(LIVE)
    assert browser.evaluate("document.querySelector('#login').hidden")
    browser.evaluate("window.before = true, void location.reload()")
    browser.until("window.before === undefined")
    browser.until(LIVE)
    assert not any("s3cret" in url for url in browser("asked"))
    assert "s3cret" not in browser.evaluate("document.documentElement.outerHTML + document.cookie + JSON.stringify(localStorage)")
    # The token is changed while the page is open.
    with one.server.connect() as client:
        client.call("CONFIG", "SET", "admin-token", "another")
    browser.until("!document.querySelector('#login').hidden")


@pytest.mark.allow_failures
def test_it_says_that_the_server_is_away_and_goes_on_when_it_is_back(browser, watched):
    one = watched()
    with one.server.connect() as client:
        for i in range(50):
            client.call("GET", f"missing:{i}")
    browser.open(one.url, **DESKTOP)
    browser.until("document.querySelector(\"[data-figure='stats.keyspace_misses']\")?.textContent === '50 reads'")
    one.server.stop()
    browser.until("document.querySelector('#state').dataset.state === 'away'")
    assert re.fullmatch(r"The server does not answer since \d\d:\d\d:\d\d UTC\. The figures are old; asking again every 2 s\.", browser.text("#state-text"))
    assert figure(browser, "stats.keyspace_misses") == "50 reads"
    one.server.start()
    browser.until("document.querySelector('#state').dataset.state === 'live'")
    assert browser.text("#state-text") == "Live; the server was restarted"
    assert figure(browser, "stats.keyspace_misses") == "0 reads"
    browser.until("document.querySelector(\"[data-figure='stats.keyspace_misses/s']\").textContent === '0 reads/s'")


def test_alerts_are_those_of_diagnose(browser, watched):
    one = watched()
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    with one.server.connect() as client:
        client.call("CONFIG", "SET", "serve-stale", "yes")
        browser.until("document.querySelector('#findings .warning')?.textContent.includes('serve-stale')")
        found = client.call("PINFOLD.DIAGNOSE")
    told = [dict(zip((name.decode() for name in one[::2]), (value.decode() for value in one[1::2]), strict=True)) for one in found]
    shown = browser.evaluate("[...document.querySelectorAll('#findings li')].map((one) => [...one.children].map((part) => part.textContent))")
    assert [text for _, text, _ in shown] == [one["text"] for one in told]
    assert shown[0] == [f"{told[0]['severity']}:", told[0]["text"], f"{told[0]['name']} · docs/runbooks/{told[0]['runbook']}"]
    assert browser.evaluate("document.title") == f"({sum(one['severity'] != 'info' for one in told)}) Pinfold"


def test_it_is_usable_by_those_who_do_not_see_it(browser, watched):
    one = watched()
    with one.server.connect() as client:
        client.call("CACHE.POLICY", "SET", "users", "match", "user:*")
    browser.open(one.url, **DESKTOP)
    browser.until(LIVE)
    nameless = """[...document.querySelectorAll('section, [role=region], [role=img], meter, table, button, input')].filter((at) => {
      const names = [at.getAttribute('aria-label'), ...(at.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent), at.labels?.[0]?.textContent, at.tagName === 'BUTTON' && at.textContent];
      return !names.some((name) => name && name.trim());
    }).map((at) => at.outerHTML.slice(0, 80))"""
    assert browser.evaluate(nameless) == []
    assert browser.evaluate("document.querySelector('#state').getAttribute('role')") == "status"
    assert browser.evaluate("[...document.querySelectorAll('thead th')].every((at) => at.scope === 'col') && [...document.querySelectorAll('tbody th')].every((at) => at.scope === 'row')")
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.querySelectorAll('h1').length") == 1
    ids = browser.evaluate("[...document.querySelectorAll('[id]')].map((at) => at.id)")
    assert len(ids) == len(set(ids))


def test_nothing_moves_for_those_who_do_not_want_it(browser, watched):
    one = watched()
    animation = "getComputedStyle(document.querySelector('.mark')).animationName"
    browser.open(one.url, reducedMotion="no-preference", **DESKTOP)
    browser.until(LIVE)
    assert browser.evaluate(animation) == "pulse"
    browser.open(one.url, reducedMotion="reduce", **DESKTOP)
    browser.until(LIVE)
    assert browser.evaluate(animation) == "none"


@pytest.mark.on_demand
def test_pictures_for_the_documents(browser, watched, tmp_path):
    """Under load, and with some things wrong. They are kept if PINFOLD_SCREENSHOTS names a folder."""
    folder = pathlib.Path(SHOTS or tmp_path)
    folder.mkdir(exist_ok=True)
    one = watched()
    with one.server.connect() as client:
        client.call("CONFIG", "SET", "maxmemory", "256mb")
        client.call("CACHE.POLICY", "SET", "users", "match", "user:*", "ttl", "1m", "stale", "30s")
        client.call("CACHE.POLICY", "SET", "pages", "match", "page:*", "coalesce", "100ms", "early-refresh", "1")
        client.call("CONFIG", "SET", "serve-stale", "yes")
    desk = {"viewport": {"width": 1100, "height": 900}}
    looks = {"light": ({"colorScheme": "light", **desk}, 940), "dark": ({"colorScheme": "dark", **desk}, 940), "phone": ({"colorScheme": "light", **PHONE}, 1400)}
    with load(one.server, misses=2, rest=0.05):
        for name, (options, height) in looks.items():
            browser.open(one.url, **options)
            browser.until("(document.querySelector('#hit-ratio polyline')?.getAttribute('points') ?? '').split(' ').length >= 8")
            path = folder / f"status-{name}.png"
            browser("shot", path=str(path), height=height)
            assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < 200_000
