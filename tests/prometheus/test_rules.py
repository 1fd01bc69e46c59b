"""The rules of config/prometheus are right, each alert is tested with a server that has reason for it and with one that has not, and has a runbook."""

import re
import subprocess

import pytest
import yaml

from tests.support import servers

from . import rules

ALERTS = rules.alerts()
IN_QUERY = re.compile(r'ALERTS\{alertname="(\w+)",alertstate="firing"\}')


def run(promtool, *arguments):
    done = subprocess.run([promtool, *arguments], cwd=rules.CONFIG, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_right(promtool):
    run(promtool, "check", "config", "prometheus.yml")


@pytest.mark.parametrize("file", rules.RULE_FILES, ids=lambda file: file.stem)
def test_rules_are_right(promtool, file):
    run(promtool, "check", "rules", file)


# Days and weeks of samples take promtool half a minute.
ON_DEMAND = {"weeks": pytest.mark.on_demand}


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem, marks=ON_DEMAND.get(file.stem, ())) for file in rules.TEST_FILES])
def test_rules_do_what_their_tests_say(promtool, file):
    run(promtool, "test", "rules", file)


def test_a_rule_that_changed_would_be_noticed(promtool, tmp_path):
    """A threshold is raised above the tests' values: promtool has to say so."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules").mkdir()
    for file in rules.RULE_FILES:
        text = file.read_text().replace("pinfold_lease_waiters > 100\n", "pinfold_lease_waiters > 102\n")
        (tmp_path / "rules" / file.name).write_text(text)
    content = yaml.safe_load((rules.CONFIG / "tests" / "alerts.yml").read_text())
    content["tests"] = [test for test in content["tests"] if test["name"] == "PinfoldStampede"]
    (tmp_path / "tests" / "alerts.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run([promtool, "test", "rules", tmp_path / "tests" / "alerts.yml"], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "PinfoldStampede" in done.stdout + done.stderr


def instances_in_tests():
    """{alert: (instances for which it must fire, instances in the tests for which it must not)}; of an alert without instances, the group's name."""
    found = {name: (set(), set()) for name in ALERTS}
    for _, group in rules.rule_tests():
        given = {match[1] for series in group["input_series"] if (match := re.search(r'instance="(\w+)"', series["series"]))}
        for query in group.get("promql_expr_test", []):
            for name in IN_QUERY.findall(query["expr"]):
                fires = {sample.get("labels", "") or group["name"] for sample in query["exp_samples"]}
                found[name][0].update(fires)
                found[name][1].update(one for one in given if not any(f'"{one}"' in labels for labels in fires))
    return found


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_a_test_that_fires_and_one_that_does_not(name):
    fires, silent = instances_in_tests()[name]
    assert fires, f"no test makes {name} fire"
    assert silent, f"no test leaves {name} silent"


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    notes = rule["annotations"]
    assert notes["summary"] and "{{ $value" in notes["description"]
    page = re.fullmatch(r"\{\{ \$externalLabels\.runbooks \}\}([\w-]+\.md)", notes["runbook_url"])
    assert page, notes["runbook_url"]
    assert re.search(rf"\b{name}\b", (rules.RUNBOOKS / page[1]).read_text()), f"{page[1]} does not name {name}"


def test_runbooks_name_no_alert_that_is_gone():
    for page in rules.RUNBOOKS.glob("*.md"):
        gone = {name for name in re.findall(r"`(Pinfold[A-Z]\w+)`", page.read_text())} - ALERTS.keys()
        assert not gone, f"{page.name}: {gone}"


def test_recording_rules_use_what_others_record_or_the_server_has():
    for name, expr in rules.recorded().items():
        unknown = {one for one in rules.metrics_in(expr) if ":" in one} - rules.recorded().keys()
        assert not unknown, f"{name}: {unknown}"


def test_writes_are_all_commands_that_store():
    """The rule has to name them. Which they are the server knows: those that it refuses when memory is full."""
    names = re.search(r'command=~"([^"]+)"', rules.recorded()["instance:pinfold_writes:rate5m"])[1].split("|")
    with servers.pinfold() as server, server.connect() as client:
        assert names == sorted(row[0].decode() for row in client.call("COMMAND") if "denyoom" in map(str, row[2]))


def test_alerts_use_what_is_recorded():
    for name, rule in ALERTS.items():
        unknown = {one for one in rules.metrics_in(rule["expr"]) if ":" in one or one.startswith("cache_")} - rules.recorded().keys()
        assert not unknown, f"{name}: {unknown}"


def test_metrics_are_found_in_queries():
    query = 'sum by (pinfold_x) (rate(pinfold_a_total{b="pinfold_b"}[5m])) / on (job) instance:pinfold_c:rate5m > pinfold_d'
    assert rules.metrics_in(query) == {"pinfold_a_total", "instance:pinfold_c:rate5m", "pinfold_d"}
    assert rules.series_of_server(query, {"instance:pinfold_c:rate5m": "pinfold_e_bucket"}) == {"pinfold_a_total", "pinfold_d", "pinfold_e_bucket"}
    assert rules.family("pinfold_e_bucket", {"pinfold_e"}) == "pinfold_e" and rules.family("pinfold_f", {"pinfold_e"}) is None
