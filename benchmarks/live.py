"""Latency and sustained rate of `emreel watch`, beside the rates at which cameras take frames.

    python -m benchmarks.live                     # 512, 1024, 2048 and 4096 px
    python -m benchmarks.live --sides 512 --threads 2

Frames are pushed from memory by a thread that plays the detector; they are labelled, written, counted and told to a
listener as always. Sustained rate: pushed as fast as they are taken. Latency: from push to listener, with frames
pushed at the camera's rate, or at 0.7 of the sustained rate where that is less. Camera rates are what CMOS cameras for
in-situ work are commonly run at; makers' data sheets tell more exactly.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.data import ROOT
from emreel.fit import fit_model
from emreel.io import open_movie
from emreel.model import Model
from emreel.recipe import Recipe
from emreel.stream import Event, LabelledFrame, Policy, PushedFrames, Watching, watch
from emreel.synthetic import AmorphousFront, Detector

#: Frame side in px -> frames a second of a camera.
CAMERA_FPS = {512: 300.0, 1024: 100.0, 2048: 50.0, 4096: 25.0}
DISTINCT = 4
SECONDS = 8.0


class Clock:
    """A listener that notes when it was told of each frame."""

    def __init__(self) -> None:
        self.told_at: dict[int, float] = {}

    def add(self, frame: LabelledFrame) -> Iterable[Event]:
        self.told_at[frame.index] = time.perf_counter()
        return ()

    def finish(self) -> Iterable[Event]:
        return ()


def run(model: Model, frames: np.ndarray, n_frames: int, fps: float | None, threads: int, place: Path) -> list[float]:
    """Latencies in s of ``n_frames`` frames pushed at a rate (None: as fast as they are taken); their count over the
    time of all, frames a second, is the last entry."""
    source = PushedFrames(capacity=2 * threads, pixel_size_nm=model.pixel_size_nm)
    pushed_at: dict[int, float] = {}

    def push() -> None:
        start = time.perf_counter()
        for index in range(n_frames):
            if fps is not None:
                time.sleep(max(start + index / fps - time.perf_counter(), 0.0))
            pushed_at[index] = time.perf_counter()
            source.push(frames[index % len(frames)])
        source.close()

    clock, detector = Clock(), threading.Thread(target=push)
    how = Watching(policy=Policy(kind="block"), threads=threads)
    detector.start()
    watch(source, model, place, how=how, listeners=[clock])
    detector.join()
    took = max(clock.told_at.values()) - min(pushed_at.values())
    return [clock.told_at[i] - pushed_at[i] for i in range(n_frames)] + [n_frames / took]


def measure(side: int, descriptor: str, threads: int, seconds: float) -> str:
    """One line of the table."""
    scene = AmorphousFront(shape_yx=(side, side), n_frames=DISTINCT, seed=5, detector=Detector(dose=50.0))
    movie = open_movie(np.stack([scene.frame(i) for i in range(DISTINCT)]), pixel_size_nm=scene.pixel_size_nm)
    model = fit_model(movie, Recipe.from_dict({"descriptor": {"name": descriptor}}), n_clusters=3)
    frames = movie.values
    model.label(frames[0])
    with tempfile.TemporaryDirectory() as folder:
        rate = run(model, frames, 3 * threads, None, threads, Path(folder) / "warm")[-1]
        rate = run(model, frames, max(int(rate * seconds), 6), None, threads, Path(folder) / "rate")[-1]
        fps = min(CAMERA_FPS[side], 0.7 * rate)
        *latencies, _ = run(model, frames, max(int(fps * seconds), 6), fps, threads, Path(folder) / "latency")
    median, high = np.percentile(latencies, [50, 99])
    return (
        f"{side:>5} px  {descriptor:<12} {rate:>8.1f} frames/s  camera {CAMERA_FPS[side]:>5.0f}  "
        f"one in {max(1, -(-CAMERA_FPS[side] // rate)):>3.0f}   at {fps:>6.1f}/s: "
        f"median {1e3 * median:>7.1f} ms, 99 % {1e3 * high:>7.1f} ms"
    )


def main() -> None:
    """Print one line a frame size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=list(CAMERA_FPS), choices=list(CAMERA_FPS))
    parser.add_argument("--descriptors", nargs="+", default=["lattice"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "live.txt")
    options = parser.parse_args()
    lines = []
    for side in options.sides:
        for descriptor in options.descriptors:
            lines.append(measure(side, descriptor, options.threads, options.seconds))
            print(lines[-1], flush=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
