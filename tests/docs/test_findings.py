"""A finding (src/command/findings.cpp) and the alert of its name in config/prometheus say the same: severity, runbook, thresholds, and figures."""

import pathlib
import re

from tests.prometheus import rules

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
    "good_hit_ratio": "PinfoldEvictionSpike",
    "low_hit_ratio": "PinfoldHitRatioLow PinfoldColdStart PinfoldCascadingFailure PinfoldEvictionSpikeCritical",
    "bad_hit_ratio": "PinfoldHitRatioCritical",
    "low_policy_hit_ratio": "PinfoldPolicyHitRatioLow",
    "many_stale": "PinfoldStaleServed",
    "many_negative": "PinfoldNegativeStorm",
    "many_expired_leases": "PinfoldLeasesExpire",
    "many_failed_loads": "PinfoldOriginFailing",
    "many_fills_refused": "PinfoldFillsRefused",
    "many_errors": "PinfoldErrorsHigh",
    "many_throttled": "PinfoldThrottled",
    "many_failed_handshakes": "PinfoldTlsHandshakesFail",
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
    " PinfoldLatencyHigh PinfoldLatencyCritical PinfoldSlowCache PinfoldEvictionSpike PinfoldEvictionSpikeCritical",
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
    "few_lease_waits": "PinfoldLeaseWaitsLong",
    "few_handshakes": "PinfoldTlsHandshakesFail",
    "long_load": "PinfoldCascadingFailure",
    "cold_seconds": "PinfoldColdStart",
    "auth_failures_per_second": "PinfoldAuthFailures",
    "denials_per_second": "PinfoldDenials",
    "protocol_errors_per_second": "PinfoldProtocolErrors",
    "certificate_warning": "PinfoldCertificateExpires",
    "certificate_critical": "PinfoldCertificateExpiresNow",
}
MICROSECONDS = {"high_p99_us": "PinfoldLatencyHigh", "bad_p99_us": "PinfoldLatencyCritical", "slow_p50_us": "PinfoldSlowCache", "long_script_us": "PinfoldScriptsHoldKeys"}
# A factor in the alert, what findings alone have, what their words depend on, and what is no threshold.
NOT_COMPARED = {"herd_of_lease", "near_limit", "evictions_of_misses", "day", "most_policies_shown", "any"}


def thresholds():
    """{name: value} of the constants of findings.cpp"""
    values = {}
    text = (ROOT / "src/command/findings.cpp").read_text()
    for name, value in re.findall(r"^constexpr (?:double|std::u?int64_t|std::size_t) (\w+) = ([^;]+);", text, re.MULTILINE):
        values[name] = eval(value.replace("'", ""), {}, values)  # noqa: S307: numbers of our own
    return values


def numbers_of(alert):
    """What the alert compares with: "> 30 * 86400" is 2592000. The bound of a bucket, le="0.1", is compared with as well."""
    text = (ROOT / "config/prometheus/rules/alerts.yml").read_text()
    expression = re.search(rf"- alert: {alert}\n\s+expr: (.*?)\n\s+(?:for|labels):", text, re.DOTALL).group(1)
    found = re.findall(r"(?:[<>]=?|==)(?: bool)? (\d[\d. */^]*?)(?=[)\n]| and| or| unless|$)", expression) + re.findall(r'\ble="([\d.]+)"', expression)
    return [eval(one.replace("^", "**"), {}) for one in found]  # noqa: S307


def test_findings_and_alerts_have_the_same_thresholds():
    values = thresholds()
    assert set(values) == {*SHARES, *PLAIN, *MICROSECONDS, *NOT_COMPARED}
    assert numbers_of("PinfoldCertificateExpires") == [30 * 86400] and numbers_of("PinfoldEvictionSpike") == [0, 0.1, 100, 0.9, 10]
    for table, unit in ((SHARES, 0.01), (PLAIN, 1), (MICROSECONDS, 1e-6)):
        for name, alerts in table.items():
            for alert in alerts.split():
                assert any(abs(values[name] * unit - number) < 1e-9 for number in numbers_of(alert)), (name, values[name] * unit, alert)


def test_the_finding_and_the_alert_of_scripts_know_the_same_commands():
    of_finding = re.findall(r'"(\w+)"', re.search(r"histogram::Counts script_runs.*?commands\[\] = \{(.*?)\}", (ROOT / "src/command/findings.cpp").read_text(), re.DOTALL)[1])
    assert set(re.findall(r'command=~"([^"]+)"', rules.alerts()["PinfoldScriptsHoldKeys"]["expr"])) == {"|".join(of_finding)}


def test_findings_and_alerts_of_one_name_say_the_same():
    of_findings, of_alerts = findings(), alerts()
    assert len(of_findings) > 40 and len(of_alerts) > 40
    assert set(of_findings) - set(of_alerts) == OWN
    for name in set(of_findings) - OWN:
        assert of_findings[name] == of_alerts[name], name


# What findings look at, other than by the name of a figure: a part of the code, and the metric that it is.
OTHER = {
    "distributions.loads": "pinfold_load_duration_seconds_bucket",
    "distributions.waits": "pinfold_lease_wait_duration_seconds_bucket",
    "recent_calls(": "pinfold_command_duration_seconds_bucket",
    "figures.errors": "pinfold_errors_total",
    "&StatsFigures::evicted_keys": "pinfold_evicted_keys_total",
    "&CacheFigures::fills_refused": "pinfold_leases_refused_total",
    "figures.commands": "pinfold_command_calls_total",
    "&CacheFigures::fills_refused)": "pinfold_leases_refused_total",
    "now.threads.size()": "pinfold_io_threads",
    "evidence.clients": "pinfold_connected_clients",
    "evidence.most_clients": "pinfold_max_clients",
    "evidence.monitors": "pinfold_monitor_clients",
    "evidence.up_seconds": "pinfold_start_time_seconds",
}
# {variable of findings.cpp: what it is}
VARIABLES = {"cache": "Cache", "keys": "Key", "memory": "Memory", "stats": "Stats", "tls": "Tls", "set": "WorkingSet", "thread": "Thread"}
# What only the words of a finding mention.
IN_WORDS = {
    "PinfoldHitRatioCritical": {"pinfold_evicted_keys_total", "pinfold_bypass"},
    "PinfoldHitRatioLow": {"pinfold_evicted_keys_total", "pinfold_bypass"},
    "PinfoldScriptsHoldKeys": {"pinfold_script_runs_total"},
    "PinfoldNoMemoryLimit": {"pinfold_memory_used_bytes"},
    "PinfoldMemoryHigh": {"pinfold_memory_limit_bytes"},
    "PinfoldMemoryCritical": {"pinfold_memory_limit_bytes"},
    "PinfoldWritesRefused": {"pinfold_memory_data_bytes", "pinfold_memory_data_limit_bytes", "pinfold_memory_limit_bytes", "pinfold_eviction_enabled"},
}
# The calls that have durations are counted with these in a finding, so that there are enough of them. In an alert, commands are.
ENOUGH_CALLS = {name: {"pinfold_commands_processed_total"} for name in ("PinfoldSlowCache", "PinfoldLatencyCritical", "PinfoldLatencyHigh")}


def functions_of_findings():
    """{name: text without literals} of the functions of findings.cpp; those of one name are one."""
    found, name = {}, None
    for line in (ROOT / "src/command/findings.cpp").read_text().splitlines():
        if head := re.match(r"(?!constexpr|using|namespace|//|struct)\w[^(]*?(\w+)\(.*", line):
            name = head[1]
        if name:
            found[name] = found.get(name, "") + re.sub(r'"[^"]*"', '""', line) + "\n"
        if line == "}" or (line.endswith("}") and not line.startswith(" ")):
            name = None
    return found


def metrics_of_figures():
    """{member of figures: the metric that shows it}"""
    rows = re.findall(r'\{"(\w+)", (?:counter|gauge),[^{}]*?&(\w+)Figures::(\w+)', (ROOT / "src/admin/metrics.cpp").read_text())
    return {(struct, member): "pinfold_" + name for name, struct, member in rows}


def text_of(function, functions):
    """The text of a function, and of all that it calls."""
    seen, todo = set(), [function]
    while todo:
        name = todo.pop()
        seen.add(name)
        todo += [other for other in functions if other not in seen and re.search(rf"(?<![\w.:]){other}\(", functions[name])]
    return "".join(functions[name] for name in seen)


def looked_at(function, functions, metrics):
    """The metrics whose figures a function looks at, or one that it calls."""
    text = text_of(function, functions)
    members = set(re.findall(r"&(\w+)Figures::(\w+)", text))
    members |= {(VARIABLES[variable], member) for variable, member in re.findall(rf"\b({'|'.join(VARIABLES)})\.(\w+)", text)}
    members |= {("User", member) for member in re.findall(r"\bnow\.(requests|refused)\b", text)}
    return {metrics[one] for one in members if one in metrics} | {metric for code, metric in OTHER.items() if code in text}


def test_findings_and_alerts_look_at_the_same_figures():
    functions, metrics = functions_of_findings(), metrics_of_figures()
    assert len(functions) > 80 and len(metrics) > 150
    rows = re.findall(r'\{"(Pinfold\w+)",\s*Severity::\w+,\s*"[^"]+",\s*(\w+)\}', (ROOT / "src/command/findings.cpp").read_text())
    assert len(rows) > 50
    for name, function in rows:
        if name not in OWN:
            # A finding looks at a histogram as a whole.
            of_alert = {re.sub("_duration_seconds_count$", "_duration_seconds_bucket", one) for one in rules.series_of_server(rules.alerts()[name]["expr"])}
            of_finding = looked_at(function, functions, metrics)
            assert of_finding - IN_WORDS.get(name, set()) == of_alert - ENOUGH_CALLS.get(name, set()), name


def rows_with_labels():
    """[(metric, {label: value}, member of figures)] of the metrics whose rows a label tells apart."""
    text = (ROOT / "src/admin/metrics.cpp").read_text()
    rows = re.findall(r'\{"(\w+)", (?:counter|gauge),[^{}]*?&\w+Figures::(\w+),\s*\w+,((?:\s*"[^"]*",?)+)\}', text)
    pairs = lambda labels: dict(zip(*[iter(re.findall(r'"([^"]*)"', labels))] * 2))
    return [("pinfold_" + name, pairs(labels), member) for name, member, labels in rows]


def chooses(matchers, labels):
    """Whether the matchers of a query, such as 'reason!="auth"', choose a series with these labels."""
    tests = {"=": str.__eq__, "!=": str.__ne__, "=~": lambda value, form: re.fullmatch(form, value), "!~": lambda value, form: not re.fullmatch(form, value)}
    return all(tests[how](labels.get(label, ""), value) for label, how, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers))


def test_findings_and_alerts_choose_the_same_labels():
    """An alert that asks for a part of a metric has a finding that looks at the figures of that part."""
    functions, rows, compared = functions_of_findings(), rows_with_labels(), 0
    table = re.findall(r'\{"(Pinfold\w+)",\s*Severity::\w+,\s*"[^"]+",\s*(\w+)\}', (ROOT / "src/command/findings.cpp").read_text())
    for name, function in table:
        if name in OWN:
            continue
        expression = rules.alerts()[name]["expr"]
        for metric in {metric for metric, _, _ in rows if re.search(rf"\b{metric}\b", expression)}:
            chosen = re.findall(rf"\b{metric}(\{{[^}}]*\}})?(?!\w)", expression)
            of_alert = {member for of, labels, member in rows if of == metric and any(chooses(matchers, labels) for matchers in chosen)}
            of_finding = {member for of, _, member in rows if of == metric and re.search(rf"(::|\.){member}\b", text_of(function, functions))}
            if of_finding:  # else it looks at their sum, or at another figure that says the same
                assert of_finding == of_alert, (name, metric)
                compared += 1
    assert compared > 10


def test_what_a_finding_looks_at_is_found():
    functions, metrics = functions_of_findings(), metrics_of_figures()
    assert looked_at("key_is_hot", functions, metrics) == {"pinfold_hottest_key_share", "pinfold_key_accesses_per_second"}
    assert looked_at("throttled", functions, metrics) == {"pinfold_user_requests_total", "pinfold_user_requests_refused_total"}
