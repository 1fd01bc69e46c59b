"""Audit logs, as tests read them while the server writes them."""

import json

from .servers import eventually


def lines(path):
    """The whole lines of an audit log, each as a dictionary; the last may be half-written, and comes with the next call."""
    text = path.read_text("ascii") if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def events(path, event, **fields):
    """The lines of one event that have these fields."""
    return [line for line in lines(path) if line["event"] == event and fields.items() <= line.items()]


class Audited:
    """A server with an audit log, and what is in it."""

    def __init__(self, start, path, *args, **options):
        self.path = path
        self.server = start("--audit-log-file", path, *args, **options)

    def lines(self, path=None):
        return lines(path or self.path)

    def events(self, event, **fields):
        return events(self.path, event, **fields)

    def has_numbers_in_a_row(self):
        numbers = [line["seq"] for line in self.lines()]
        return numbers == list(range(1, len(numbers) + 1))

    def wait(self, event, **fields):
        return eventually(lambda: self.events(event, **fields))[-1]
