"""The benchmark harness runs, at a tiny size, against the peers that need no environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_table_and_its_file(tmp_path):
    output = tmp_path / "latest.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "translation_stride4_scipy", "frame_dask_scipy"]
    done = subprocess.run(
        [*command, "--tiny", "--repeats", "1", "--output", str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(output.read_text())
    assert [one["item"] for one in results] == ["translation_stride4_scipy", "frame_dask_scipy"]
    for one in results:
        assert set(one) == {"item", "peer", "ratio", "ours_ns", "peer_ns", "error"}
        assert one["ratio"] > 0 and one["ours_ns"] > 0 and one["peer_ns"] > 0
        assert one["item"] in done.stdout
    assert results[0]["error"] <= 1e-6
    assert results[1]["error"] <= 0.02


def test_an_unknown_item_is_named():
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "nothing"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "unknown item 'nothing'" in done.stderr


#: Run by environments of their own, with the peers in them.
OF_PEERS = {"pystem_worker", "pystem_polar_worker", "resnet_reference"}


def test_every_benchmark_finds_what_it_imports():
    names = {file.stem for file in (ROOT / "benchmarks").glob("*.py")} - OF_PEERS - {"__init__"}
    assert "scaling" in names
    code = "\n".join(f"import benchmarks.{name}" for name in sorted(names))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
