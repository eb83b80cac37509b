"""Times emreel's kernels against other programs: ``python benchmarks/run.py [ITEM ...] [--repeats N] [--tiny]``.

Prints one table and writes ``benchmarks/latest.json``: a list of {item, peer, ratio, ours_ns, peer_ns, error}.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
from pathlib import Path

from harness import ITEMS, Result, run_item
from threadpoolctl import threadpool_limits

SUBJECTS = ("translation", "frame", "polar", "gabor", "radon", "spectrum", "louvain")
LATEST = Path(__file__).with_name("latest.json")


def show(results: list[Result]) -> None:
    """Print the table."""
    print(f"{'item':<32} {'ratio':>8} {'ours ns':>10} {'peer ns':>10} {'error':>9}  peer")
    for one in results:
        print(
            f"{one.item:<32} {one.ratio:>7.1f}x {one.ours_ns:>10.2f} {one.peer_ns:>10.1f} {one.error:>9.1e}  {one.peer}"
        )


def main() -> None:
    """Run the items that are named, or all."""
    for subject in SUBJECTS:
        importlib.import_module(subject)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", metavar="ITEM", help=f"default: all of {', '.join(ITEMS)}")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: a test that the benchmark runs")
    parser.add_argument("--output", type=Path, default=LATEST)
    options = parser.parse_args()
    unknown = sorted(set(options.items) - set(ITEMS))
    if unknown:
        parser.error(f"unknown item {unknown[0]!r}; there are {', '.join(ITEMS)}")
    with threadpool_limits(1):
        results = [run_item(name, repeats=options.repeats, tiny=options.tiny) for name in options.items or ITEMS]
    show(results)
    options.output.write_text(json.dumps([dataclasses.asdict(one) for one in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
