"""`python -m benchmarks [names] [--json] [--quick]`: measures, prints, and fails where a target is missed."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys

from benchmarks.figure import Figure

NAMES = (
    "acknowledgements", "deal_cpu", "messages", "latency", "burst", "flood", "memory", "inventory", "pressure",
    "growth",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    given = _options().parse_args(arguments)
    unknown = set(given.names) - set(NAMES)
    if unknown:
        _options().error(f"no benchmark of the name {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is cleaned up
    figures = []
    for name in given.names or NAMES:
        for figure in importlib.import_module(f"benchmarks.{name}").measure(is_quick=given.quick):
            figures.append(figure)
            if not given.json:
                print(f"{figure}\n", flush=True)
    if given.json:
        print(json.dumps([figure.to_json() for figure in figures], indent=2))
    return _status(figures)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"which of {', '.join(NAMES)}; default: all")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: minutes less, and more noise")
    return parser


def _status(figures: list[Figure]) -> int:
    return 0 if all(figure.is_met for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
