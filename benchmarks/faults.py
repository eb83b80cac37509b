"""The table of faults, run: a line a row with number, tries and failures.

    make faults              # a tenth of the counts
    FULL=1 make faults       # all of them, once a release
    python -m benchmarks.faults 1 2 6

A try is what a test counts itself (kills, cuts, flips); where it counts nothing, one case of it. Exits with 1 when
anything failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

from benchmarks.data import ROOT


def load_table() -> ModuleType:
    """tests/faults/table.py"""
    spec = importlib.util.spec_from_file_location("faults_table", ROOT / "tests" / "faults" / "table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run_tests(names: tuple[str, ...]) -> tuple[int, int, str]:
    """Tries, failures, and what failed with the first line of why."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-o",
            "junit_family=xunit1",
            f"--junitxml={report}",
        ]
        done = subprocess.run(
            [*command, *(f"tests/{name}" for name in names)],
            cwd=ROOT,
            env={**os.environ, "FAULTS": "1"},
            capture_output=True,
            text=True,
        )
        if not report.exists():
            return 0, 1, done.stdout + done.stderr
        cases = ElementTree.parse(report).getroot().findall(".//testcase")
    tries, failed = 0, []
    for case in cases:
        counted = [int(p.attrib["value"]) for p in case.findall(".//property") if p.attrib["name"] == "tries"]
        tries += sum(counted) or 1
        wrong = [end for kind in ("failure", "error", "skipped") for end in case.findall(kind)]
        if wrong:
            failed.append(f"{case.attrib['name']}: {wrong[0].attrib.get('message', '').strip()}".splitlines()[0])
    if done.returncode and not failed:
        failed.append(done.stdout[-200:])
    return tries, len(failed), ", ".join(failed)


def main() -> None:
    """Print one line a row."""
    table = load_table().ROWS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, help="numbers of rows; all when left out")
    wanted = parser.parse_args().rows or [row.number for row in table]
    bad = 0
    print(f"{'row':>3}  {'fault':<58} {'tries':>6} {'failures':>8} {'s':>6}", flush=True)
    for row in table:
        if row.number in wanted:
            start = time.monotonic()
            tries, failures, names = run_tests(row.tests)
            bad += failures
            took = time.monotonic() - start
            print(
                f"{row.number:>3}  {row.fault:<58} {tries:>6} {failures:>8} {took:>6.0f}  {names}".rstrip(), flush=True
            )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
