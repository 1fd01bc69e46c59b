"""What config/prometheus and config/grafana say: rules, their tests, panels, and the metrics that a query names."""

import functools
import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "prometheus"
DASHBOARDS = ROOT / "config" / "grafana" / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULE_FILES = [CONFIG / "rules" / name for name in ("recording.yml", "alerts.yml")]
TEST_FILES = sorted((CONFIG / "tests").glob("*.yml"))


@functools.cache
def all_rules():
    return [rule for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return {rule["alert"]: rule for rule in all_rules() if "alert" in rule}


def recorded():
    return {rule["record"]: rule["expr"] for rule in all_rules() if "record" in rule}


def rule_tests():
    """Pairs of a test file's name and a group of tests in it."""
    return [(file.name, test) for file in TEST_FILES for test in yaml.safe_load(file.read_text())["tests"]]


def panels():
    """Triples of a dashboard's file, a panel and a query of it."""
    found = []
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            found += [(file.stem, panel, target["expr"]) for target in panel.get("targets", [])]
    return found


def without_texts(query):
    """A query without what stands between quotes, and without label lists after by, on and the like."""
    query = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
    return re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", query)


def metrics_in(query):
    """The names of series in a query, of the server and of recording rules alike."""
    return set(re.findall(r"\b(?:pinfold_\w+|cache_\w+|eviction_rate|\w+:pinfold_\w+:\w+|up|scrape_\w+)\b(?!\s*\()", without_texts(query)))


def series_of_server(query, known=None):
    """The server's own metrics that a query rests on, through recording rules."""
    known = recorded() if known is None else known
    seen, todo = set(), [query]
    while todo:
        names = metrics_in(todo.pop()) - seen
        seen |= names
        todo += [known[name] for name in names if name in known]
    return {name for name in seen if name.startswith("pinfold_") and name not in known}


# What Prometheus adds to the name of a histogram.
PARTS = re.compile(r"_(bucket|count|sum)$")


def family(metric, families):
    """The family that a series belongs to, of the names in `families`; none if there is no such."""
    return metric if metric in families else next((base for base in [PARTS.sub("", metric)] if base in families), None)
