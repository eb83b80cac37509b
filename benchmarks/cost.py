"""CPU time a frame of the label paths: ``python -m benchmarks.cost``. Absolute, so only good on a quiet machine.

Prints the median CPU milliseconds of one thread for labelling a 512 x 512 frame, by descriptor, stride 4, and how
much of it is the descriptor's.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))

from frame import two_phases

from emreel.descriptors.geometry import pad_frame
from emreel.fit import fit_model
from emreel.recipe import Recipe

SIDE_PX, REPEATS = 512, 15
DESCRIPTORS = ("lattice", "translation")


def cpu_ms(call: Callable[[], Any]) -> float:
    """Median CPU time of a call, after one to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return 1e3 * statistics.median(times[1:])


def main() -> None:
    """Print one line a descriptor."""
    frame = two_phases(SIDE_PX)
    with threadpool_limits(1):
        for name in DESCRIPTORS:
            recipe = Recipe.from_dict({"descriptor": {"name": name, "stride": 4}, "cluster": {"n_clusters": 2}})
            model = fit_model(frame[None], recipe)
            padded, valid = pad_frame(frame, model.descriptor.halo)
            whole, part = cpu_ms(lambda: model.label(frame)), cpu_ms(lambda: model.descriptor(padded, valid))  # noqa: B023
            n_features = len(model.descriptor.features)
            print(f"{name:<12} {whole:6.1f} ms a frame of {SIDE_PX} x {SIDE_PX} px, {part:6.1f} ms of it features, "
                  f"{n_features} of them")  # fmt: skip


if __name__ == "__main__":
    main()
