"""CPU time a frame of the label paths: ``python -m benchmarks.cost``. Absolute, so only good on a quiet machine.

Prints CPU milliseconds of one thread for a 512 x 512 frame at stride 4: the descriptor's features; labels of the frame
alone; labels kept still in time, from counts to final labels; and with the survey (quality, gain, drift) as well.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))

from frame import two_phases

from emreel.descriptors.geometry import pad_frame
from emreel.fit import fit_model
from emreel.label import label_stream
from emreel.model import Model
from emreel.movie import make_movie
from emreel.recipe import Recipe
from emreel.synthetic import make_scene

SIDE_PX, REPEATS, FRAMES = 512, 15, 12
DESCRIPTORS = ("lattice", "translation")


def cpu_ms(call: Callable[[], Any]) -> float:
    """Median CPU time of a call, after one to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return 1e3 * statistics.median(times[1:])


def stream_ms(model: Model, frames: npt.NDArray[Any]) -> float:
    """CPU time a frame of a stream, after a short one to warm up."""
    list(label_stream(frames[:4], model))
    start = time.thread_time()
    list(label_stream(frames, model))
    return 1e3 * (time.thread_time() - start) / len(frames)


def movies() -> dict[str, npt.NDArray[Any]]:
    """Movies by what they show."""
    rng = np.random.default_rng(0)
    two = two_phases(SIDE_PX)
    lowest = two.min()
    counts = rng.poisson(40 * (two - lowest) / (two.mean() - lowest), (FRAMES, *two.shape)).astype(np.uint16)
    scene = make_scene("decahedron", shape_yx=(SIDE_PX, SIDE_PX), n_frames=FRAMES, dose=40.0)
    return {"two phases": counts, "decahedron": np.stack([scene.frame(i) for i in range(FRAMES)])}


def main() -> None:
    """Print one line a movie and descriptor."""
    print(f"ms a frame of {SIDE_PX} x {SIDE_PX} px:   features   alone   in time   with survey   reflections, classes")
    with threadpool_limits(1):
        for title, frames in movies().items():
            for name in DESCRIPTORS:
                n_clusters = 2 if title == "two phases" else 6
                recipe = Recipe.from_dict({"descriptor": {"name": name, "stride": 4}}).with_clusters(n_clusters)
                model = replace(fit_model(make_movie(frames), recipe), survey=False)
                padded, valid = pad_frame(frames[0].astype(np.float32), model.descriptor.halo)
                part = cpu_ms(lambda: model.descriptor(padded, valid))  # noqa: B023
                alone = stream_ms(replace(model, steady=None), frames)
                in_time, surveyed = stream_ms(model, frames), stream_ms(replace(model, survey=True), frames)
                n = len(model.descriptor.features)
                figures = f"{part:14.1f} {alone:7.1f} {in_time:9.1f} {surveyed:13.1f}"
                print(f"{title:12} {name:12} {figures}   {n}, {n_clusters}", flush=True)


if __name__ == "__main__":
    main()
