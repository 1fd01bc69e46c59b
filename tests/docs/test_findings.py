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


# {threshold of findings.cpp: alerts that have it, as a share where the finding has percent}
SHARES = {
    "low_hit_ratio": "PinfoldHitRatioLow PinfoldColdStart PinfoldCascadingFailure",
    "bad_hit_ratio": "PinfoldHitRatioCritical",
    "low_policy_hit_ratio": "PinfoldPolicyHitRatioLow",
    "many_stale": "PinfoldStaleServed",
    "many_negative": "PinfoldNegativeStorm",
    "many_expired_leases": "PinfoldLeasesExpire",
    "many_failed_loads": "PinfoldOriginFailing",
    "many_fills_refused": "PinfoldFillsRefused",
    "many_errors": "PinfoldErrorsHigh",
    "many_throttled": "PinfoldThrottled",
    "busy_thread": "PinfoldEventLoopBusy",
    "long_waits": "PinfoldLockWaits PinfoldWaitsForRoom",
    "evictions_of_writes": "PinfoldEvictionSpike",
    "most_evictions_of_writes": "PinfoldEvictionSpikeCritical",
    "memory_high": "PinfoldMemoryHigh",
    "memory_critical": "PinfoldMemoryCritical",
    "resident_critical": "PinfoldProcessMemoryHigh",
    "client_memory_high": "PinfoldClientMemoryHigh",
    "negative_memory_high": "PinfoldNegativeMemory",
    "connections_high": "PinfoldConnectionsHigh",
    "connections_critical": "PinfoldConnectionsCritical",
    "hot_key": "PinfoldHotKey",
    "hot_keys": "PinfoldHotKeys",
    "worth_more_memory": "PinfoldMoreMemoryWouldHelp",
}
PLAIN = {
    "few_reads": "PinfoldHitRatioLow PinfoldHitRatioCritical PinfoldPolicyHitRatioLow PinfoldColdStart PinfoldStaleServed PinfoldNegativeStorm"
    " PinfoldLatencyHigh PinfoldLatencyCritical PinfoldSlowCache",
    "few_leases": "PinfoldLeasesExpire PinfoldOriginFailing PinfoldFillsRefused",
    "errors_per_second": "PinfoldErrorsHigh",
    "many_evictions": "PinfoldEvictionSpike",
    "far_too_many_evictions": "PinfoldEvictionSpikeCritical",
    "high_fragmentation": "PinfoldFragmentation",
    "much_memory": "PinfoldFragmentation",
    "herd": "PinfoldStampede PinfoldCascadingFailure",
    "slow_commands_per_second": "PinfoldSlowCommands",
    "busy_server": "PinfoldHotKey PinfoldHotKeys",
    "imbalanced": "PinfoldShardImbalance",
    "much_data": "PinfoldShardImbalance",
    "long_lease_wait": "PinfoldLeaseWaitsLong",
    "long_load": "PinfoldCascadingFailure",
    "cold_seconds": "PinfoldColdStart",
    "auth_failures_per_second": "PinfoldAuthFailures",
    "denials_per_second": "PinfoldDenials",
    "protocol_errors_per_second": "PinfoldProtocolErrors",
    "certificate_warning": "PinfoldCertificateExpires",
    "certificate_critical": "PinfoldCertificateExpiresNow",
}
MICROSECONDS = {"high_p99_us": "PinfoldLatencyHigh", "bad_p99_us": "PinfoldLatencyCritical", "slow_p50_us": "PinfoldSlowCache"}
# A factor in the alert, what findings alone have, and what is no threshold.
NOT_COMPARED = {"herd_of_lease", "near_limit", "day", "most_policies_shown", "any"}


def thresholds():
    """{name: value} of the constants of findings.cpp"""
    values = {}
    text = (ROOT / "src/command/findings.cpp").read_text()
    for name, value in re.findall(r"^constexpr (?:double|std::u?int64_t|std::size_t) (\w+) = ([^;]+);", text, re.MULTILINE):
        values[name] = eval(value.replace("'", ""), {}, values)  # noqa: S307: numbers of our own
    return values


def numbers_of(alert):
    """What the alert compares with: "> 30 * 86400" is 2592000."""
    text = (ROOT / "config/prometheus/rules/alerts.yml").read_text()
    expression = re.search(rf"- alert: {alert}\n\s+expr: (.*?)\n\s+(?:for|labels):", text, re.DOTALL).group(1)
    found = re.findall(r"(?:[<>]=?|==)(?: bool)? (\d[\d. */^]*?)(?=[)\n]| and| or| unless|$)", expression)
    return [eval(one.replace("^", "**"), {}) for one in found]  # noqa: S307


def test_findings_and_alerts_have_the_same_thresholds():
    values = thresholds()
    assert set(values) == {*SHARES, *PLAIN, *MICROSECONDS, *NOT_COMPARED}
    assert numbers_of("PinfoldCertificateExpires") == [30 * 86400] and numbers_of("PinfoldEvictionSpike") == [0, 0.1, 100]
    for table, unit in ((SHARES, 0.01), (PLAIN, 1), (MICROSECONDS, 1e-6)):
        for name, alerts in table.items():
            for alert in alerts.split():
                assert any(abs(values[name] * unit - number) < 1e-9 for number in numbers_of(alert)), (name, values[name] * unit, alert)


def test_findings_and_alerts_of_one_name_say_the_same():
    of_findings, of_alerts = findings(), alerts()
    assert len(of_findings) > 40 and len(of_alerts) > 40
    assert set(of_findings) - set(of_alerts) == OWN
    for name in set(of_findings) - OWN:
        assert of_findings[name] == of_alerts[name], name
