"""The runbooks: what they print is what a server prints, their links lead somewhere, and each has the parts that it needs."""

import re

import pytest

from . import rules, runbooks

PAGES = sorted(rules.RUNBOOKS.glob("*.md"))
OF_ALERTS = [page for page in PAGES if page.name != "README.md"]


@pytest.fixture(scope="module")
def ports():
    with runbooks.loaded_server() as found:
        yield found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_it_prints_is_what_the_server_prints(ports, page):
    for one in runbooks.commands(page.read_text()):
        assert runbooks.can_be_run(one.command), one.command
        changing = bool(runbooks.CHANGING.search(one.command))
        printed = {runbooks.masked(line, changing) for line in runbooks.run(one.command, *ports)}
        assert one.output, f"{page.name}:{one.line + 1}: {one.command} prints nothing"
        for line in one.output:
            if line and line != "...":
                assert runbooks.masked(line, changing) in printed, f"{page.name}:{one.line + 1}: {one.command}: {line!r} is not in {sorted(printed)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_field_that_it_looks_for_is_there(ports, page):
    for one in runbooks.commands(page.read_text()):
        assert not runbooks.found_nowhere(one.command, *ports), one.command


def test_a_field_that_is_not_there_would_be_noticed(ports):
    assert runbooks.alternatives("^a_(b|c):|d(e|f)") == {"^a_b:", "^a_c:", "de", "df"}
    assert runbooks.found_nowhere("redis-cli INFO tls | grep -E '^tls_(port|certificate_last_load|handshakes):' | grep handshakes", *ports) == ["^tls_certificate_last_load:"]
    assert runbooks.found_nowhere("redis-cli INFO stats | grep evicted_keys: | grep -o 'evicted_key:'", *ports) == ["evicted_key:"]


def test_a_wrong_line_would_be_noticed(ports):
    [one] = runbooks.commands("```\n$ redis-cli INFO stats | grep evicted_keys:\nevicted_key:3\n```\n")
    assert runbooks.masked(one.output[0], False) not in {runbooks.masked(line, False) for line in runbooks.run(one.command, *ports)}


@pytest.mark.parametrize("page", OF_ALERTS, ids=lambda page: page.stem)
def test_it_says_who_decides_what_and_where_to_look(page):
    text = page.read_text()
    assert re.search(r"^Alerts: `Pinfold", text, re.MULTILINE) and re.search(r"^Owner: ", text, re.MULTILINE)
    assert text.index("**Decide first.**") < text.index("## Look") < text.index("| ") < text.index("## ", text.index("## Look") + 5) + 10_000
    assert f"]({page.name})" in (rules.RUNBOOKS / "README.md").read_text()


def test_each_alert_is_listed_on_its_page_alone():
    listed = {page.name: set(re.findall(r"`(Pinfold\w+)`", re.search(r"^Alerts: (?:.+\n)+?(?=Owner)", page.read_text(), re.MULTILINE)[0])) for page in OF_ALERTS}
    wanted = {page.name: set() for page in OF_ALERTS}
    for name, rule in rules.alerts().items():
        wanted[re.search(r"[\w-]+\.md", rule["annotations"]["runbook_url"])[0]].add(name)
    assert listed == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link
