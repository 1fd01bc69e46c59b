"""The dashboards are those that scripts/dashboards makes, and say of every panel what it means."""

import json
import re
import subprocess

import pytest
import yaml

from . import rules

FILES = sorted(rules.DASHBOARDS.glob("*.json"))


def test_they_are_current():
    done = subprocess.run([rules.ROOT / "scripts" / "dashboards", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_four_are_there():
    assert [file.stem for file in FILES] == ["herd", "memory", "overview", "security"]


def test_health_comes_first():
    content = json.loads((rules.DASHBOARDS / "overview.json").read_text())
    assert [panel["title"].split(":")[0] for panel in content["panels"][1:5]] == ["Hit ratio", "Miss latency", "Read latency", "Evictions"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_panel_is_explained(file):
    content = json.loads(file.read_text())
    assert content["schemaVersion"] == 39 and content["uid"] == "pinfold-" + file.stem
    assert len({panel["id"] for panel in content["panels"]}) == len(content["panels"])
    for panel in content["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        text, page = re.fullmatch(r"(.{20,}) Runbook: docs/runbooks/([\w-]+\.md)", panel["description"]).groups()
        assert text and (rules.RUNBOOKS / page).is_file(), panel["description"]
        for target in panel["targets"]:
            assert target["legendFormat"] and '$instance' in target["expr"], panel["title"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_do_not_overlap(file):
    taken = {}
    for panel in json.loads(file.read_text())["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24 and (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]


def test_panels_use_what_is_recorded():
    for dashboard, panel, query in rules.panels():
        unknown = {one for one in rules.metrics_in(query) if ":" in one} - rules.recorded().keys()
        assert not unknown, f"{dashboard}, {panel['title']}: {unknown}"


def test_provisioning_names_what_dashboards_ask_for():
    folder = rules.ROOT / "config" / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "pinfold.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((folder / "dashboards" / "pinfold.yml").read_text())["providers"][0]
    assert source["type"] == "prometheus" and provider["type"] == "file" and provider["options"]["path"].startswith("/")
