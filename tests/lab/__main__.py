"""The lab: a slow origin, instances of a cache-aside service, and an identical load for every layer of protection.

Started by scripts/lab, which builds the server; docs/lab.md explains what is shown and has the results. Exit status 1
only when there is no figure, because a server could not be started or answered wrongly.
"""

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace

import machine
import report
from context import Context
from load import InvalidRun
from proc import Disturbance
from redis.exceptions import RedisError
from servers import CannotStart

from . import alerts, cutover, fencing, levels, metastable, xfetch
from .progress import Progress

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCS = os.path.join(ROOT, "docs", "lab.md")
PLOTS = os.path.join(ROOT, "docs", "plots")
EXPERIMENTS = ["levels", "xfetch", "fencing", "metastable", "cutover"]
START_SECONDS = 2.5  # of the processes of one run, for the progress only


def chosen_levels(text):
    names = text.split(",")
    for name in names:
        if name not in levels.BY_NAME:
            raise argparse.ArgumentTypeError(f"unknown level '{name}'; known: {', '.join(levels.BY_NAME)}")
    return names


def arguments(argv):
    parser = argparse.ArgumentParser(prog="scripts/lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="experiment", help=f"of {', '.join(EXPERIMENTS)}; all by default")
    parser.add_argument("--levels", type=chosen_levels, default=list(levels.BY_NAME), metavar="A,B",
                        help=f"levels: which, of {','.join(levels.BY_NAME)}")
    parser.add_argument("--quick", action="store_true", help="shorter runs, to try the lab; the figures are coarser")
    parser.add_argument("--json", metavar="FILE", help="write every figure")
    parser.add_argument("--plots", metavar="DIR", help="write the plots, as SVG")
    parser.add_argument("--update-docs", action="store_true", help="put the tables into docs/lab.md and the plots into docs/plots")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--pinfold", default=os.path.join(ROOT, "build", "release", "pinfold-server"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    for name in options.what:
        if name not in EXPERIMENTS:
            parser.error(f"unknown experiment '{name}'; known: {', '.join(EXPERIMENTS)}")
    return options


def plans(quick):
    found = {"levels": levels.Plan(), "xfetch": xfetch.Plan(), "fencing": fencing.Plan(), "metastable": metastable.Plan(),
             "cutover": cutover.Plan()}
    if quick:
        found["levels"] = replace(found["levels"], seconds=3.5, ttl_ms=1000, query_ms=100)
        found["xfetch"] = replace(found["xfetch"], seconds=4.8)
        found["fencing"] = replace(found["fencing"], keys=3)
        found["metastable"] = replace(found["metastable"], normal_seconds=1, after_seconds=5, quiet_seconds=2)
        found["cutover"] = replace(found["cutover"], seconds=1.5)
    return found


def runs(options, plan):
    """(experiment, what is run, its title, seconds) of everything that was asked for."""
    for name in options.what or EXPERIMENTS:
        if name == "levels":
            for level in (levels.BY_NAME[level] for level in options.levels):
                yield name, level, f"{level.title} ({level.cache})", plan[name].seconds
        elif name == "xfetch":
            for variant in xfetch.VARIANTS:
                yield name, variant, variant.title, plan[name].seconds
        elif name == "fencing":
            for variant in fencing.VARIANTS:
                yield name, variant, f"late writes, {variant.title}", 1.0
        elif name == "metastable":
            for variant in metastable.variants(plan[name]):
                yield name, variant, f"metastable failure, {variant.title}", plan[name].end
        else:
            for variant in cutover.VARIANTS:
                yield name, variant, f"cutover, {variant.title}", plan[name].seconds


MODULES = {"levels": levels, "xfetch": xfetch, "fencing": fencing, "metastable": metastable, "cutover": cutover}


def measure(context, planned, plan):
    """The reports of everything that was planned."""
    seconds = sum(run[-1] + START_SECONDS for run in planned)
    with Progress(len(planned), seconds, context.quiet) as progress:
        for name in dict.fromkeys(run[0] for run in planned):
            data, failures = [], []
            with Disturbance() as disturbance:
                for _, variant, title, _ in (run for run in planned if run[0] == name):
                    progress.step(title)
                    try:
                        data.append(asyncio.run(MODULES[name].measure(context, variant, plan[name])))
                    except (CannotStart, InvalidRun, RedisError, OSError, TimeoutError) as failure:
                        failures.append(f"{title}: {failure or type(failure).__name__}")
            found = MODULES[name].report(plan[name], data, failures)
            found.notes.append(disturbance.sentence())
            yield found
            if name == "levels":
                yield alerts.report(plan[name], {level.name: level.title for level in levels.LEVELS}, data)


def main(argv):
    options = arguments(argv)
    # A plain `kill` unwinds the stack like Ctrl-C does, and so stops every process.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    context = Context([], "", os.path.abspath(options.pinfold), quiet=options.quiet)
    plan = plans(options.quick)
    found = list(measure(context, list(runs(options, plan)), plan))
    for each in found:
        print(each.text(), flush=True)

    described = machine.describe(context.versions)
    sentence = machine.sentence(described)
    print(sentence)
    if options.json:
        report.write_json(options.json, described, found)
    if options.plots:
        report.write_plots(options.plots, found)
    if options.update_docs:
        report.write_plots(PLOTS, found)
        for each in found:
            report.update_docs(DOCS, each.name, each.markdown(sentence))
    return 1 if any(each.failures for each in found) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        sys.exit(130)
