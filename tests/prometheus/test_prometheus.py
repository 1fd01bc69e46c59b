"""A real Prometheus watches a loaded server: every panel and every rule finds data, and every alert looks at series that exist."""

import re

import pytest

from . import rules, scene
from .conftest import scrape

ALERTS = rules.alerts()
RECORDED = rules.recorded()
PANELS = rules.panels()


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    with scene.watched(tmp_path_factory.mktemp("watched")) as prometheus:
        yield prometheus


@pytest.fixture(scope="module")
def families(watched):
    return {line.split()[2] for line in scrape(watched.admin_port).splitlines() if line.startswith("# TYPE ")}


def test_each_metric_that_is_named_exists(families):
    queries = [*RECORDED.values(), *(rule["expr"] for rule in ALERTS.values()), *(query for _, _, query in PANELS)]
    named = set().union(*map(rules.series_of_server, queries))
    assert len(named) > 90
    assert not {one for one in named if rules.family(one, families) is None}


BUCKET = re.compile(r'\b(pinfold_\w+)_bucket\{[^}]*\ble="([^"]+)"')


def test_each_bucket_that_is_named_exists(watched):
    """In queries and in what the rules' tests put in: a bound that the server has not is never counted, and a quantile of it is wrong."""
    served = set(BUCKET.findall(scrape(watched.admin_port)))
    queries = [*RECORDED.values(), *(rule["expr"] for rule in ALERTS.values()), *(query for _, _, query in PANELS)]
    given = [series["series"] for _, test in rules.rule_tests() for series in test["input_series"]]
    named = {one for text in [*queries, *given] for one in BUCKET.findall(text)}
    assert len(named) > 30 and ("pinfold_command_duration_seconds", "0.00512") in named
    assert not named - served


@pytest.mark.parametrize("name", RECORDED)
def test_each_recording_rule_finds_data(watched, name):
    assert watched.query(name), RECORDED[name]


@pytest.mark.parametrize(("dashboard", "panel", "query"), PANELS, ids=[f"{file}-{panel['title']}-{n}" for n, (file, panel, _) in enumerate(PANELS)])
def test_each_panel_finds_data(watched, dashboard, panel, query):
    assert watched.query(query), query


# A name of a series with its labels.
SELECTOR = re.compile(r'\b(pinfold_\w+|\w+:pinfold_\w+:\w+|cache_\w+|up|scrape_\w+)(\{(?:[^}"]|"[^"]*")*\})?(?!\s*\()(?![\w:])')


def selectors(query):
    return {match[0] for match in SELECTOR.finditer(query)}


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_looks_at_series_that_exist(watched, name):
    for one in selectors(ALERTS[name]["expr"]):
        assert watched.query(one), one


def test_selectors_are_found():
    assert selectors('sum by (job) (rate(pinfold_a_total{b=~"c|}"}[5m])) / up{job="pinfold"} > instance:pinfold_d:rate5m') == {
        'pinfold_a_total{b=~"c|}"}',
        'up{job="pinfold"}',
        "instance:pinfold_d:rate5m",
    }


def test_rules_are_evaluated_without_errors(watched):
    known = [rule for group in watched.groups for rule in group["rules"]]
    assert len(known) == len(ALERTS) + len(RECORDED)
    assert not [(rule["name"], rule["lastError"]) for rule in known if rule.get("lastError")]
    # The load refuses writes, and is no well server: the texts of what fires are filled in.
    firing = [alert for rule in known for alert in rule.get("alerts", [])]
    assert {alert["labels"]["alertname"] for alert in firing} >= {"PinfoldWritesRefused", "PinfoldAuthFailures"}
    for alert in firing:
        assert "<error" not in str(alert["annotations"]) and alert["annotations"]["runbook_url"].startswith("docs/runbooks/")


def test_the_figures_are_those_of_the_load(watched):
    """What is known of the load, so that a query with a wrong sign or a wrong series does not pass for data."""
    value = lambda query: watched.query(query)[0][1]
    assert 0.5 < value("instance:pinfold_hit_ratio:rate5m") < 0.99
    assert value("cache_hits") > value("cache_misses") > 0
    assert 0 < value("instance:pinfold_memory:ratio") <= 1.05
    assert value('instance_policy:pinfold_hit_ratio:rate5m{policy="price"}') <= 1
    assert 0.01 < value("cache_miss_penalty") < 1
    assert 88 * 86400 < value('instance_certificate:pinfold_tls_cert_left:seconds{certificate="server"}') < 91 * 86400
    assert value("instance:pinfold_evictions_for_memory:rate5m") > 0 and value("up") == 1
    assert 0 < value("time() - pinfold_start_time_seconds") < 3600
