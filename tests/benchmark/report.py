"""Tables for the screen, for Markdown and for the generated parts of docs/benchmarks.md."""

import json
import os
import re
from dataclasses import dataclass, field


@dataclass
class Table:
    """Cells are text; the columns named in `left` are aligned left, figures right."""

    columns: list
    left: tuple = ()
    rows: list = field(default_factory=list)

    def add(self, *cells):
        assert len(cells) == len(self.columns)
        self.rows.append([str(cell) for cell in cells])

    def text(self):
        widths = [max(len(row[i]) for row in [self.columns, *self.rows]) for i in range(len(self.columns))]

        def line(cells):
            aligned = [cell.ljust(width) if column in self.left else cell.rjust(width)
                       for cell, width, column in zip(cells, widths, self.columns)]
            return "  ".join(aligned).rstrip()

        return "\n".join([line(self.columns), line(["-" * width for width in widths]), *map(line, self.rows)])

    def markdown(self):
        rule = ["---" if column in self.left else "---:" for column in self.columns]
        rows = [[cell.replace("|", "\\|") for cell in row] for row in [self.columns, rule, *self.rows]]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


@dataclass
class Report:
    """What one subcommand found. `failures` are runs without a figure, and make the exit status 1."""

    name: str
    title: str
    table: Table
    data: list
    notes: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    plots: dict = field(default_factory=dict)  # file name: SVG

    def text(self):
        parts = [f"== {self.title} ==", self.table.text(), *self.notes]
        return "\n".join(parts + [f"FAILED: {failure}" for failure in self.failures]) + "\n"

    def markdown(self, machine):
        # One paragraph each: what was measured on, the table, then remarks.
        parts = [f"{self.title}. Measured on: {machine}", self.table.markdown(), *self.notes]
        parts += [f"Failed: {failure}" for failure in self.failures]
        return "\n\n".join(parts + [f"![{self.title}](plots/{name})" for name in self.plots]) + "\n"


def write_json(path, machine, reports):
    document = {"machine": machine}
    for report in reports:
        document[report.name] = {"results": report.data, "failures": report.failures}
    with open(path, "w") as out:
        json.dump(document, out, indent=2)
        out.write("\n")


def write_plots(directory, reports):
    for report in reports:
        for name, svg in report.plots.items():
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, name), "w") as out:
                out.write(svg)


def update_docs(path, name, markdown):
    """Replaces what stands between the marks of that name; the rest of the page stays as it is."""
    with open(path) as page:
        text = page.read()
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{path} needs exactly one pair of marks for '{name}'")
    text = pattern.sub(lambda unused: begin + markdown + end, text)
    with open(path, "w") as page:
        page.write(text)


def mb(count):
    return f"{count / 2**20:.1f}"
