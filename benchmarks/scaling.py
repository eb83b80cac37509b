"""What grows with frames and workers: graph, scheduler, driver, bytes; a model of a million frames on 1000 workers.

    make scaling                                   # writes benchmarks/scaling.json, prints the tables in docs
    python -m benchmarks.scaling --frames 1000 --workers 2 --blocks 100

Everything is measured at its true size but the labelling itself: the driver cuts and sends blocks of a movie of 10^6
frames, a real scheduler deals them out to up to 64 workers, and these do nothing, so that what is left is what the
cluster costs. What labelling costs is measured on one core.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import dask.array as da
import numpy as np
import psutil
from distributed import Client

from benchmarks.data import ROOT
from benchmarks.memory import make_movie_file, pss_mib
from emreel import engine
from emreel.engine.regions import Reel, _delayed_work
from emreel.fit import fit_model
from emreel.io import open_movie
from emreel.label import frames_per_block, label_movie
from emreel.label.blocks import Job, LabelBlock
from emreel.model import Model
from emreel.prepare.measure import FRAMES_AT_ONCE, survey_movie
from emreel.prepare.survey import Survey
from emreel.result import Layout, acquire_lock, create_store, open_ledger, plan_layout
from emreel.result.ledger import Record
from emreel.synthetic import AmorphousFront, Detector

SIDE = 1024
FRAMES, WORKERS, BLOCKS = (1_000, 10_000, 100_000, 1_000_000), (2, 8, 32, 64), 400

#: Frames, workers, and whether these keep memory (else as Dask has it), of the runs that the model is held against.
RUNS = ((32, 1, False), (32, 1, True), (96, 2, True))


@dataclass(frozen=True)
class DriverCost:
    """Of a movie of so many frames, before anything is run."""

    frames: int
    blocks: int
    open_s: float
    plan_s: float
    cut_ms: float
    tasks_a_block: int
    kib_a_block: float
    memory_mib: float


@dataclass(frozen=True)
class Run:
    """A movie labelled for true, by processes of this machine."""

    frames: int
    workers: int
    memory: str
    cpu_s: float
    system_s: float
    predicted_s: float
    worker_mib: float


@dataclass(frozen=True)
class ClusterCost:
    """A block of work that does nothing, on so many workers."""

    workers: int
    scheduler_ms: float
    driver_ms: float
    wall_ms: float
    most_tasks: int
    scheduler_mib: float
    kib_to_scheduler: float
    kib_from_scheduler: float


def scene(n_frames: int, side: int = SIDE) -> AmorphousFront:
    return AmorphousFront(shape_yx=(side, side), n_frames=n_frames, seed=5, detector=Detector(dose=50.0))


def layout_of(n_frames: int, model: Model) -> Layout:
    return plan_layout(
        (n_frames, SIDE, SIDE), model.stride, model.n_clusters, frames_per_block=frames_per_block((SIDE, SIDE))
    )


def measure_driver(n_frames: int, model: Model) -> DriverCost:
    process = psutil.Process()
    before, start = process.memory_info().rss, time.perf_counter()
    movie = open_movie(scene(n_frames))
    opened = time.perf_counter()
    layout = layout_of(n_frames, model)
    blocks = list(layout.blocks())
    planned = time.perf_counter()
    reel, locate = Reel(movie), partial(Job.region, reach_px=model.reach, shape_yx=(SIDE, SIDE))
    work = LabelBlock(model, layout, "/result")
    middle = blocks[len(blocks) // 2 :][:64]
    jobs = [Job(block, block.frames, None) for block in middle]
    started = time.perf_counter()
    graphs = [dict(dask.optimize(_delayed_work(work, reel.cut(locate(job)), job))[0].__dask_graph__()) for job in jobs]
    took = time.perf_counter() - started
    return DriverCost(
        n_frames,
        len(blocks),
        opened - start,
        planned - opened,
        1e3 * took / len(jobs),
        max(len(graph) for graph in graphs),
        max(len(pickle.dumps(graph)) for graph in graphs) / 2**10,
        (process.memory_info().rss - before) / 2**20,
    )


SERVE = """
import asyncio, sys
from distributed import Worker
async def main(address, n):
    workers = [Worker(address, nthreads=1, host="127.0.0.1", dashboard=False, memory_limit=0) for _ in range(n)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@contextmanager
def scheduler_and_workers(n_workers: int) -> Iterator[tuple[Client, psutil.Process]]:
    """A scheduler in a process of its own, workers in others, 16 in each; on loopback."""
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "scheduler.json"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        program = [str(Path(sys.executable).parent / "dask"), "scheduler", "--host", "127.0.0.1", "--port", "0"]
        started = [
            subprocess.Popen([*program, "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(note)], **quiet)
        ]
        try:
            with Client(scheduler_file=str(note), timeout=60) as client:
                for first in range(0, n_workers, 16):
                    n = str(min(16, n_workers - first))
                    started.append(
                        subprocess.Popen([sys.executable, "-c", SERVE, client.scheduler.address, n], **quiet)
                    )
                client.wait_for_workers(n_workers, timeout=120)
                yield client, psutil.Process(started[0].pid)
        finally:
            for one in reversed(started):
                one.terminate()
                one.wait(30)


class Nothing:
    """A task that takes what labelling takes, and does nothing."""

    def __init__(self, model: Model, layout: Layout) -> None:
        self.model, self.layout = model, layout

    def __call__(self, pixels: Any, job: Job) -> Record:
        rows = tuple(
            {"frame": frame, "gain": 1.0, "signature": "0" * 16, "label_px": [0] * 256} for frame in range(*job.frames)
        )
        return Record(block=job.block, checksums={"label": 1, "preview": 2, "membership": 3}, rows=rows)


def socket_bytes(port: int) -> tuple[int, int]:
    """Bytes that the scheduler has taken and given over all connections that are open now (ss of iproute2)."""
    listed = subprocess.run(["ss", "-tinH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return tuple(sum(map(int, re.findall(rf"{name}:(\d+)", listed))) for name in ("bytes_received", "bytes_sent"))  # type: ignore[return-value]


def measure_cluster(n_workers: int, n_blocks: int, model: Model) -> ClusterCost:
    blocks_frames = frames_per_block((SIDE, SIDE))
    n_frames = n_blocks * blocks_frames
    movie = open_movie(da.zeros((n_frames, 1, 1), chunks=(16, 1, 1), dtype=np.uint8))  # chunks as of true frames
    layout = layout_of(n_frames, model)
    jobs = [Job(block, block.frames, None) for block in layout.blocks()]
    locate = lambda job: engine.Region(*job.frames, engine.regions.Tile(0, 1, 0, 1))  # noqa: E731
    most = [0]
    with scheduler_and_workers(n_workers) as (client, scheduler):
        port = int(client.scheduler.address.rsplit(":", 1)[1])
        engine.run_regions(movie, jobs[: 4 * n_workers], locate, Nothing(model, layout), lambda *_: None)
        rss = scheduler.memory_info().rss

        def note(job: Job, record: Record) -> None:
            if job.block.index % 50 == 0:
                most[0] = max(most[0], client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

        bytes_before, cpu = socket_bytes(port), sum(scheduler.cpu_times()[:2])
        own, wall = time.process_time(), time.perf_counter()
        engine.run_regions(movie, jobs, locate, Nothing(model, layout), note)
        own, wall = time.process_time() - own, time.perf_counter() - wall
        cpu = sum(scheduler.cpu_times()[:2]) - cpu
        moved = [after - before for after, before in zip(socket_bytes(port), bytes_before, strict=True)]
        grown = max(scheduler.memory_info().rss, rss)
    return ClusterCost(
        n_workers,
        1e3 * cpu / n_blocks,
        1e3 * own / n_blocks,
        1e3 * wall / n_blocks,
        most[0],
        grown / 2**20,
        moved[0] / n_blocks / 2**10,
        moved[1] / n_blocks / 2**10,
    )


def new_store(path: Path, layout: Layout, model: Model) -> None:
    create_store(
        path,
        layout,
        identity={},
        label_names=model.label_names,
        label_colors=[(0, 0, 0)] * model.n_clusters,
        times_s=None,
        pixel_size_nm=None,
        origin_yx_px=(0.0, 0.0),
        provenance={},
    )


def measure_ledger(model: Model, n_blocks: int = 200) -> float:
    """Milliseconds a block to count it as done: a line, flushed to the disk."""
    layout = layout_of(n_blocks * frames_per_block((SIDE, SIDE)), model)
    work = Nothing(model, layout)
    records = [work(None, Job(block, block.frames, None)) for block in layout.blocks()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result"
        with acquire_lock(path) as lock:
            new_store(path, layout, model)
            ledger = open_ledger(path, lock, identity={})
            start = time.perf_counter()
            for record in records:
                ledger.append(record)
            return 1e3 * (time.perf_counter() - start) / len(records)


def measure_label(model: Model) -> float:
    """Seconds of one core a frame: a block in the middle of a movie, with the frames around it, and written."""
    n = frames_per_block((SIDE, SIDE))
    layout, source = layout_of(3 * n, model), scene(3 * n)
    block = layout.block(1)
    around = (block.frames[0] - model.lag, block.frames[1] + model.lag)
    job = Job(block, around, None, np.zeros((around[1] - around[0], 2)) if model.survey else None)
    pixels = np.stack([source.frame(i) for i in range(*around)])
    with engine.schedulers.single_threaded_kernels(), tempfile.TemporaryDirectory() as folder:
        new_store(Path(folder) / "result", layout, model)
        work = LabelBlock(model, layout, str(Path(folder) / "result"))
        work(pixels, job)
        start = time.process_time()
        work(pixels, job)
        return (time.process_time() - start) / n


def measure_survey(model: Model, n_frames: int = 12) -> tuple[float, float]:
    """Seconds of one core to look at a frame, and milliseconds of the driver to put it in order."""
    survey, source = Survey(reference_mean=model.prepare.reference_mean), scene(n_frames)
    movie, bin_px, state = (
        open_movie(np.stack([source.frame(i) for i in range(n_frames)])),
        survey.bin_px((SIDE, SIDE)),
        None,
    )
    glances = [survey.glance(frame) for frame in movie.values]
    start = time.process_time()
    for index, glance in enumerate(glances):
        state, _ = survey.step(state, index, glance, bin_px)
    step = time.process_time() - start
    with engine.local_threads(1):
        start = time.process_time()
        survey_movie(movie, survey)
        both = time.process_time() - start
    return (both - step) / n_frames, 1e3 * step / n_frames


def measure_run(n_frames: int, n_workers: int, keeps: bool, model: Model, costs: dict[str, Any]) -> Run:
    """Label frames on worker processes: CPU time of all of them, and the memory of the largest (PSS)."""
    driver = psutil.Process()
    stop, most = threading.Event(), [0.0]

    def look() -> None:
        while not stop.wait(0.5):
            most[0] = max([most[0], *(pss_mib(child.pid) for child in driver.children(recursive=True))])

    def cpu_s() -> np.ndarray:
        return np.sum([one.cpu_times()[:2] for one in (driver, *driver.children(recursive=True))], axis=0)

    kept = engine.schedulers.KEPT_MEMORY if keeps else {}
    with (
        mock.patch.object(engine.schedulers, "KEPT_MEMORY", kept),
        tempfile.TemporaryDirectory() as folder,
        engine.local_workers(n_workers),
    ):
        make_movie_file(Path(folder) / "movie.zarr", n_frames, SIDE)
        movie = open_movie(Path(folder) / "movie.zarr", pixel_size_nm=model.pixel_size_nm)
        label_movie(movie[: 8 * n_workers], model, Path(folder) / "warm")
        looker = threading.Thread(target=look)
        looker.start()
        before = cpu_s()
        label_movie(movie, model, Path(folder) / "result")
        took = cpu_s() - before
        stop.set()
        looker.join()
    memory = "kept" if keeps else "Dask's setting"
    return Run(n_frames, n_workers, memory, float(took.sum()), float(took[1]), predict_cpu(costs, n_frames), most[0])


def predict_cpu(costs: dict[str, Any], n_frames: int) -> float:
    """CPU seconds of all processes together."""
    blocks = -(-n_frames // frames_per_block((SIDE, SIDE)))
    a_frame = costs["glance_s"] + costs["step_ms"] / 1e3 + costs["label_s"]
    a_block = costs["cluster"][0]["scheduler_ms"] + costs["cluster"][0]["driver_ms"]
    return n_frames * a_frame + blocks * a_block / 1e3


def together(parts: dict[str, float]) -> float:
    """The survey comes first; of what follows, the slowest decides."""
    return parts["survey"] + max(parts["labelling"], parts["scheduler"], parts["driver"])


def predict(costs: dict[str, Any], n_frames: int, n_workers: int) -> dict[str, float]:
    """Seconds of each part of labelling, were it alone; see docs/scaling.md for what is assumed."""
    blocks = -(-n_frames // frames_per_block((SIDE, SIDE)))
    a_block = max(costs["cluster"], key=lambda row: row["workers"])
    ahead = min(n_workers, costs["survey_at_once"])
    cut_ms = max(row["cut_ms"] for row in costs["driver"])
    return {
        "survey": n_frames * max(costs["glance_s"] / ahead, costs["step_ms"] / 1e3),
        "labelling": n_frames * costs["label_s"] / min(n_workers, blocks),
        "scheduler": blocks * a_block["scheduler_ms"] / 1e3,
        "driver": blocks * (a_block["driver_ms"] + cut_ms + costs["ledger_ms"]) / 1e3,
    }


def in_words(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def table(*columns: tuple[str, str], rows: list[dict[str, Any]]) -> list[str]:
    """A Markdown table: each column's head, and how a row is written there."""
    heads = [head for head, _ in columns]
    body = [[form.format(**row) for _, form in columns] for row in rows]
    return ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *body)]


def tables(costs: dict[str, Any]) -> str:
    """What docs/scaling.md shows."""
    driver = table(
        ("frames", "{frames:,}"),
        ("blocks", "{blocks:,}"),
        ("open, s", "{open_s:.2f}"),
        ("plan, s", "{plan_s:.2f}"),
        ("cut and send a block, ms", "{cut_ms:.1f}"),
        ("tasks a block", "{tasks_a_block}"),
        ("KiB a block", "{kib_a_block:.1f}"),
        ("MiB more in the driver", "{memory_mib:.0f}"),
        rows=costs["driver"],
    )
    cluster = table(
        ("workers", "{workers}"),
        ("scheduler CPU, ms a block", "{scheduler_ms:.1f}"),
        ("driver CPU, ms a block", "{driver_ms:.1f}"),
        ("most tasks at once", "{most_tasks}"),
        ("MiB of the scheduler", "{scheduler_mib:.0f}"),
        ("KiB a block to the scheduler", "{kib_to_scheduler:.1f}"),
        ("from it", "{kib_from_scheduler:.1f}"),
        rows=costs["cluster"],
    )
    sizes = [(n_frames, n_workers) for n_frames in (10_000, 1_000_000) for n_workers in (2, 16, 128, 1000)]
    predicted = [{"frames": f, "workers": w, **parts_in_words(predict(costs, f, w))} for f, w in sizes]
    names = ("survey", "labelling", "scheduler", "driver", "together")
    model = table(
        ("frames", "{frames:,}"),
        ("workers", "{workers:,}"),
        *((name, f"{{{name}}}") for name in names),
        rows=predicted,
    )
    runs = table(
        ("frames", "{frames}"),
        ("workers", "{workers}"),
        ("memory of workers", "{memory}"),
        ("CPU of all processes, s", "{cpu_s:.1f}"),
        ("of it system, s", "{system_s:.1f}"),
        ("predicted, s", "{predicted_s:.1f}"),
        ("MiB of the largest worker", "{worker_mib:.0f}"),
        rows=costs["runs"],
    )
    one_core = (
        "One core takes {label_s:.3f} s to label a frame and {glance_s:.3f} s to look at it before; the driver takes "
        "{step_ms:.1f} ms to put a look in order, and {ledger_ms:.1f} ms to count a block as done."
    )
    return "\n".join([*driver, "", *cluster, "", *runs, "", *model, "", one_core.format(**costs)])


def parts_in_words(parts: dict[str, float]) -> dict[str, str]:
    return {name: in_words(seconds) for name, seconds in {**parts, "together": together(parts)}.items()}


def measure(
    frames: Iterable[int], workers: Iterable[int], n_blocks: int, runs: Iterable[tuple[int, int, bool]]
) -> dict[str, Any]:
    movie = open_movie(np.stack([scene(4).frame(i) for i in range(4)]), pixel_size_nm=scene(4).pixel_size_nm)
    model = fit_model(movie, n_clusters=4)
    glance_s, step_ms = measure_survey(model)
    costs = {
        "side_px": SIDE,
        "label_s": measure_label(model),
        "glance_s": glance_s,
        "step_ms": step_ms,
        "survey_at_once": FRAMES_AT_ONCE,
        "ledger_ms": measure_ledger(model),
        "driver": [asdict(measure_driver(n, model)) for n in frames],
        "cluster": [asdict(measure_cluster(n, n_blocks, model)) for n in workers],
    }
    return costs | {"runs": [asdict(measure_run(*sizes, model, costs)) for sizes in runs]}


def main() -> None:
    """Print the tables, keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--no-runs", dest="runs", action="store_false", help="label nothing for true")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "scaling.json")
    given = parser.parse_args()
    costs = measure(given.frames, given.workers, given.blocks, RUNS if given.runs else ())
    given.output.write_text(json.dumps(costs, indent=1) + "\n")
    print(tables(costs))


if __name__ == "__main__":
    main()
