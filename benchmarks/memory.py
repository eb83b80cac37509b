"""Memory and scale: long movies on two worker processes, and frames larger than a worker.

    python -m benchmarks.memory                 # 250, 500, 1000 frames of 1024 x 1024; one frame of 8192 x 8192
    python -m benchmarks.memory --frames 100

Memory is the proportional set size (PSS) of the command and everything that it started, summed at every look,
above what the same number of processes hold after importing emreel.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from benchmarks.data import ROOT
from emreel.label import label_stream
from emreel.model import Model
from emreel.result import open_result
from emreel.synthetic import AmorphousFront, Detector

SIDE, DISTINCT, BLOCK = 1024, 10, 10
IMPORTED = "import emreel.fit, emreel.label, emreel.io, emreel.view.overview, distributed, time; time.sleep(60)"


def tree_of(pid: int) -> list[int]:
    """A process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        for task in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def pss_mib(pid: int) -> float:
    """Proportional set size of one process, MiB; 0 when it has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def import_baseline_mib(n: int) -> float:
    """Summed PSS of ``n`` processes that have imported everything and do nothing."""
    idle = [subprocess.Popen([sys.executable, "-c", IMPORTED]) for _ in range(n)]
    try:
        best = 0.0
        for _ in range(30):
            time.sleep(0.5)
            best = max(best, sum(pss_mib(process.pid) for process in idle))
        return best
    finally:
        for process in idle:
            process.terminate()
            process.wait()


def make_movie_file(path: Path, n_frames: int, side: int) -> None:
    """A zarr movie of a few distinct frames, repeated, so that making it does not take the day."""
    scene = AmorphousFront(shape_yx=(side, side), n_frames=DISTINCT, seed=5, detector=Detector(dose=50.0))
    distinct = min(DISTINCT, n_frames)
    frames = np.stack([scene.frame(i) for i in range(distinct)])
    array = zarr.create_array(
        str(path), shape=(n_frames, side, side), chunks=(1, side, side), dtype="uint8", compressors=None
    )
    for start in range(0, n_frames, distinct):
        array[start : start + distinct] = frames[: n_frames - start]


def watch(command: list[str]) -> tuple[float, float, int]:
    """Run a command; returns seconds, the largest summed PSS in MiB, and the number of its processes then."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most, n_processes = 0.0, 1
    while process.poll() is None:
        found = [size for pid in tree_of(process.pid) if (size := pss_mib(pid)) > 30]
        if sum(found) > most:
            most, n_processes = sum(found), len(found)
        time.sleep(0.2)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}")
    return time.perf_counter() - start, most, n_processes


def check_first_frame(movie: Path, model: Path, result: Path) -> bool:
    """Whether the labels that were made in tiles equal those of whole frames in a stream, made here in one piece."""
    label = open_result(result).label[0].values
    whole = next(label_stream(zarr.open_array(str(movie), mode="r")[:], Model.load(model)))
    return bool(np.array_equal(label, whole.label))


def measure(folder: Path, n_frames: int, side: int) -> dict[str, Any]:
    movie, model, result = folder / f"{side}_{n_frames}.zarr", folder / "model.zarr", folder / "result"
    make_movie_file(movie, n_frames, side)
    emreel = [sys.executable, "-m", "emreel"]
    if not model.exists():
        subprocess.run([*emreel, "fit", str(movie), "-o", str(model), "-k", "4"], check=True, stderr=subprocess.DEVNULL)
    shutil.rmtree(result, ignore_errors=True)
    label = [*emreel, "label", str(movie), "--model", str(model), "-o", str(result), "--workers", "2"]
    seconds, most, n_processes = watch(label)
    baseline = import_baseline_mib(n_processes)
    equal = check_first_frame(movie, model, result) if side > SIDE else None
    shutil.rmtree(movie)
    row = {
        "frames": n_frames,
        "side_px": side,
        "seconds": seconds,
        "frames_per_s": n_frames / seconds,
        "processes": n_processes,
        "peak_mib": most,
        "above_import_mib": most - baseline,
        "tiles_equal_whole": equal,
    }
    numbers = f"{seconds:8.1f} {n_frames / seconds:9.2f} {n_processes:9d} {most:9.0f} {most - baseline:13.0f}"
    numbers += "" if equal is None else f"  tiles equal the whole frame: {equal}"
    print(f"{n_frames:7d} {side:6d} {numbers}", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="*", default=[250, 500, 1000])
    parser.add_argument("--large", type=int, default=8192, help="side of the large frame, px; 0 leaves it out")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(" frames   side  seconds  frames/s processes  peak MiB  above import")
    with tempfile.TemporaryDirectory(prefix="emreel-memory-") as name:
        rows = [measure(Path(name), n, SIDE) for n in options.frames]
        if options.large:
            rows.append(measure(Path(name), 2, options.large))
    (ROOT / "benchmarks" / "memory.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
