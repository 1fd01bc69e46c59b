"""A finding (src/command/findings.cpp) and the alert of its name in config/prometheus say the same: severity and runbook."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Findings that Prometheus has no alert for: what they say is news only while one looks for a cause.
OWN = {"PinfoldEvicts", "PinfoldLargeValues", "PinfoldWaitersNearLimit", "PinfoldLeasesNearLimit"}


def findings():
    """{name: (severity, runbook)}"""
    text = (ROOT / "src/command/findings.cpp").read_text()
    rows = re.findall(r'\{"(Pinfold\w+)",\s*Severity::(\w+),\s*"([^"]+)"', text)
    # That of policies is not in the table, because there may be several.
    rows += re.findall(r'\{"(PinfoldPolicy\w+)",\s*Severity::(\w+),.*?"([\w-]+\.md)"\}', text, re.DOTALL)
    return {name: (severity, runbook) for name, severity, runbook in rows}


def alerts():
    text = (ROOT / "config/prometheus/rules/alerts.yml").read_text()
    found = re.findall(r"- alert: (\w+)\n.*?severity: (\w+).*?runbook_url: '[^']*?([\w-]+\.md)'", text, re.DOTALL)
    return {name: (severity, runbook) for name, severity, runbook in found}


def test_findings_and_alerts_of_one_name_say_the_same():
    of_findings, of_alerts = findings(), alerts()
    assert len(of_findings) > 40 and len(of_alerts) > 40
    assert set(of_findings) - set(of_alerts) == OWN
    for name in set(of_findings) - OWN:
        assert of_findings[name] == of_alerts[name], name
