"""Benchmarks of Pinfold beside redis-server and memcached; started by scripts/bench, which builds what it needs.

Prints tables; a missed target is not an error. Exit status 1 only when a server could not be started or answered
wrongly, so that there is no figure.
"""

import argparse
import os
import signal
import sys

import churn
import cpu
import curve
import evict
import herd
import hits
import hostile
import idle
import instructions
import live
import machine
import memory
import policies
import report
import scale
import scrape
import stalls
import sweep
import tls
import traces
import typed
from context import Context
from servers import KINDS

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCS = os.path.join(ROOT, "docs", "benchmarks.md")
PLOTS = os.path.join(ROOT, "docs", "plots")
SUBCOMMANDS = ["cpu", "instructions", "scale", "idle", "memory", "stalls", "hostile", "scrape", "tls", "herd", "live", "types", "hits"]


def server_kinds(text):
    kinds = text.split(",")
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"unknown server '{kind}'; known: {', '.join(KINDS)}")
    return kinds


def positive(kind):
    def convert(text):
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError("must be positive")
        return value
    return convert


def parts(text):
    found = text.split(",")
    for part in found:
        if part not in typed.PARTS:
            raise argparse.ArgumentTypeError(f"unknown part '{part}'; known: {', '.join(typed.PARTS)}")
    return found


def factors(text):
    return [positive(float)(factor) for factor in text.split(",")]


def arguments(argv):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="cpu", choices=SUBCOMMANDS + ["all"],
                        help="cpu (default): CPU time per request; instructions: instructions per request; scale: two threads "
                             "beside one; idle: idle RSS and connections; memory: bytes per key, and RSS while sizes shift; stalls: latency while "
                             "something happens, and lock times; hostile: requests that are made to hurt; scrape: scrapes of the metrics, and whether clients notice; tls: what TLS costs; herd: leases, stale windows, policies and tags; live: scripts, publish/subscribe and tracking; types: collections; hits: "
                             "replay traces; all: everything")
    parser.add_argument("files", nargs="*", help="hits: trace files instead of those in --traces")
    parser.add_argument("--servers", type=server_kinds, default=list(KINDS), metavar="A,B",
                        help=f"which to measure, of {','.join(KINDS)}")
    parser.add_argument("--rounds", type=positive(int), default=3,
                        help="cpu, herd, live, scrape, types: rounds, interleaved between what is compared; stalls: rounds of Pinfold")
    parser.add_argument("--scale", type=positive(float), default=1.0,
                        help="share of the work, to try the harness; figures below 1 are not comparable")
    parser.add_argument("--quick", action="store_const", const=0.05, dest="scale", help="the same as --scale 0.05")
    parser.add_argument("--part", type=parts, metavar="A,B", help=f"types: only these of {','.join(typed.PARTS)}")
    parser.add_argument("--keys", type=positive(int), default=memory.KEYS, help="memory: number of keys")
    parser.add_argument("--traces", default=os.path.join(ROOT, "..", "shared", "traces"), metavar="DIR",
                        help="hits: where the traces are (default: ../shared/traces)")
    parser.add_argument("--value", type=int, help="hits: value bytes where the trace has none")
    parser.add_argument("--mb", type=positive(int), help="hits: memory of every server")
    parser.add_argument("--sweep", nargs="?", const=sweep.FACTORS, type=factors, metavar="F,F",
                        help="hits: replay also at these multiples of each trace's memory, for the plots (default: "
                             f"{','.join(f'{factor:g}' for factor in sweep.FACTORS)})")
    parser.add_argument("--json", metavar="FILE", help="write every figure")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables")
    parser.add_argument("--plots", metavar="DIR", help="write the plots, as SVG")
    parser.add_argument("--update-docs", action="store_true",
                        help="put the tables into docs/benchmarks.md and the plots into docs/plots")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--load", default=os.path.join(ROOT, "build", "release", "pinfold-load"),
                        help=argparse.SUPPRESS)
    parser.add_argument("--pinfold", default=os.path.join(ROOT, "build", "release", "pinfold-server"),
                        help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(argv)  # trace files may stand before and after options
    if options.files and options.what != "hits":
        parser.error("trace files belong to 'hits'")
    if options.part and options.what != "types":
        parser.error("--part belongs to 'types'")
    for file in options.files:
        if not os.path.isfile(file):
            parser.error(f"no such trace: {file}")
    if options.what in ("hits", "all") and not options.files and not os.path.isdir(options.traces):
        parser.error(f"no traces in {options.traces}. Name trace files, or a folder of them with --traces: text, one request a line: a "
                     "number for the key and, if wanted, one for the bytes of its value; gzipped or not. Published ones can be made so, such as those of the Caffeine "
                     "simulator (github.com/ben-manes/caffeine, simulator/src/main/resources) or of Twitter's caches "
                     "(github.com/twitter/cache-trace)")
    return options


def benchmarks(what, context, options):
    """What belongs to a subcommand: functions without arguments, each of which gives a list of reports."""
    if what == "cpu":
        return [lambda: [cpu.run(context)], lambda: [evict.run(context)]]
    if what == "instructions":
        return [lambda: [instructions.run(context)]] if "pinfold" in options.servers else []
    if what == "scale":
        return [lambda: [scale.run(context)]] if "pinfold" in options.servers else []
    if what == "idle":
        return [lambda: [idle.run(context)]]
    if what == "memory":
        return [lambda: [memory.run(context, options.keys)], lambda: [churn.run(context)]]
    if what == "stalls":
        return [lambda: stalls.run(context)]
    if what == "hostile":
        return [lambda: [hostile.run(context)]] if "pinfold" in options.servers else []
    if what == "scrape":
        return [lambda: [scrape.run(context)]] if "pinfold" in options.servers else []
    if what == "tls":
        return [lambda: [tls.run(context)]]
    if what == "herd":
        return [lambda: [herd.run(context)]] if "pinfold" in options.servers else []
    if what == "live":
        return [lambda: [live.run(context)]]
    if what == "types":
        return [lambda: typed.run(context, options.part or typed.PARTS)]
    files = options.files or traces.find(options.traces)
    selected = [traces.trace_of(file, options.value, options.mb) for file in files]
    found = [lambda: [hits.run(context, selected)]]
    if "pinfold" in options.servers and not options.files:
        found.append(lambda: [policies.run(context, options.traces), curve.run(context, options.traces)])
    if options.sweep:
        found.append(lambda: [sweep.run(context, selected, options.sweep)])
    return found


def main(argv):
    options = arguments(argv)
    # A plain `kill` unwinds the stack like Ctrl-C does, and so stops every server.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    context = Context(options.servers, os.path.abspath(options.load), os.path.abspath(options.pinfold),
                      options.rounds, options.scale, options.quiet)
    reports = []
    for what in SUBCOMMANDS if options.what == "all" else [options.what]:
        for benchmark in benchmarks(what, context, options):
            for found in benchmark():
                reports.append(found)
                print(found.text(), flush=True)

    described = machine.describe(context.versions)
    sentence = machine.sentence(described)
    print(sentence)
    if options.json:
        report.write_json(options.json, described, reports)
    if options.markdown:
        with open(options.markdown, "w") as out:
            out.write("\n".join(found.markdown(sentence) for found in reports))
    if options.plots:
        report.write_plots(options.plots, reports)
    if options.update_docs:
        report.write_plots(PLOTS, reports)
        for found in reports:
            report.update_docs(DOCS, found.name, found.markdown(sentence))
    return 1 if any(found.failures for found in reports) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        sys.exit(130)
