"""A strict parser of Prometheus' text format (0.0.4). What it takes, Prometheus takes, and promtool finds nothing in it to complain of.

It refuses more than the format does: a metric without HELP or TYPE, a counter that is not called ..._total, and comments.
"""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL})(?:,{LABEL})*)?\}})? (\S+)")
HEAD = re.compile(rf"# (HELP|TYPE) ({NAME}) (.*)")
NUMBER = re.compile(r"[+-]Inf|NaN|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Metric:
    """What one name stands for. `samples` is {(name, labels as a frozenset of pairs): value}; the name may have _bucket, _sum or _count behind it."""

    def __init__(self, name, help_, kind):
        self.name, self.help, self.kind, self.samples = name, help_, kind, {}

    def names(self):
        """Those that its samples may have."""
        if self.kind == "histogram":
            return {self.name + end for end in ("_bucket", "_sum", "_count")}
        return {self.name}

    def check(self):
        assert self.samples, f"{self.name} has no samples"
        if self.kind == "counter":
            assert self.name.endswith("_total") and all(value >= 0 for value in self.samples.values()), self.name
        else:
            assert not self.name.endswith("_total"), self.name
        if self.kind == "histogram":
            self._check_histograms()

    def _check_histograms(self):
        by_labels = {}
        for (name, labels), value in self.samples.items():
            edge = [float(text) for label, text in labels if label == "le"]
            others = frozenset(pair for pair in labels if pair[0] != "le")
            parts = by_labels.setdefault(others, {"buckets": []})
            if name.endswith("_bucket"):
                assert len(edge) == 1, name
                parts["buckets"].append((edge[0], value))
            else:
                assert not edge, name
                parts[name.removeprefix(self.name)] = value
        for labels, parts in by_labels.items():
            where = f"{self.name} {sorted(labels)}"
            edges, counts = zip(*parts["buckets"])
            assert list(edges) == sorted(set(edges)) and edges[-1] == math.inf, where
            assert list(counts) == sorted(counts) and counts[-1] == parts["_count"] and "_sum" in parts, where


def number(text):
    assert NUMBER.fullmatch(text), f"no number: {text!r}"
    return float(text)


def labels_of(text):
    pairs = re.findall(LABEL, text or "")
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a label comes twice: {text!r}"
    return frozenset((name, re.sub(r"\\.", lambda found: ESCAPES[found[0]], value)) for name, value in pairs)


def parse(text):
    """{name: Metric}. Raises AssertionError for what is not in the format."""
    assert text.endswith("\n") and "\r" not in text
    metrics, waiting, metric = {}, None, None
    for line in text.split("\n")[:-1]:
        if head := HEAD.fullmatch(line):
            word, name, rest = head.groups()
            if word == "HELP":
                assert waiting is None and name not in metrics and rest, line
                waiting = (name, rest)
            else:
                assert waiting is not None and waiting[0] == name and rest in TYPES, line
                metric, waiting = Metric(name, waiting[1], rest), None
                metrics[name] = metric
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample and waiting is None, f"neither a sample nor HELP nor TYPE: {line!r}"
        assert metric is not None and sample[1] in metric.names(), f"not where its metric is: {line!r}"
        key = sample[1], labels_of(sample[2])
        assert key not in metric.samples, f"comes twice: {line!r}"
        metric.samples[key] = number(sample.groups()[-1])
    assert waiting is None
    for metric in metrics.values():
        metric.check()
    return metrics


def samples(text):
    """{(name, labels as a frozenset of pairs): value} of all metrics."""
    return {key: value for metric in parse(text).values() for key, value in metric.samples.items()}
