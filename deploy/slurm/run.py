"""Run an emreel command on workers that SLURM starts, and end them with it.

    deploy/make_keys.sh ~/emreel-keys                       # once
    export DASK_CONFIG=~/emreel-keys/dask.yaml
    python deploy/slurm/run.py --jobs 4 -- emreel run heating.mrc -o heating -k 4

Needs dask-jobqueue in emreel's environment (``pip install dask-jobqueue``), and a file system that all nodes share.
``--settings`` names what a job asks for, jobqueue.yaml beside this file if left out. ``--at-most N`` starts and ends
jobs as there is work. Exits with what the command exits with.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import yaml
from dask_jobqueue import SLURMCluster
from distributed import Client
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.security import Security

SETTINGS = Path(__file__).with_name("jobqueue.yaml")


class TasksDone(SchedulerPlugin):  # type: ignore[misc]
    """Counts the tasks that each worker has done."""

    name = "tasks-done"

    def __init__(self) -> None:
        self.by_worker: Counter[str] = Counter()
        self._names: dict[str, str] = {}

    def add_worker(self, scheduler: Any, worker: str) -> None:
        self._names[worker] = str(scheduler.workers[worker].name)
        self.by_worker[self._names[worker]] += 0

    def transition(self, key: Any, start: str, finish: str, *_: Any, worker: str | None = None, **__: Any) -> None:
        if worker is not None and (start, finish) == ("processing", "memory"):
            self.by_worker[self._names[worker]] += 1


def read_settings(path: Path) -> dict[str, Any]:
    """What a job asks for."""
    settings = yaml.safe_load(path.read_text())
    if not isinstance(settings, dict) or set(settings) != {"jobqueue"}:
        sys.exit(f"{path}: wanted the key 'jobqueue', as in {SETTINGS}.")
    return settings


def require_keys() -> Security:
    """The keys of Dask's configuration; without them anybody on the cluster could run code as you."""
    security = Security(require_encryption=True)
    if not security.tls_ca_file:
        sys.exit("No keys. Make some (deploy/make_keys.sh ~/emreel-keys) and set DASK_CONFIG=~/emreel-keys/dask.yaml.")
    return security


@contextlib.contextmanager
def slurm_workers(settings: dict[str, Any], jobs: int, at_most: int | None) -> Iterator[tuple[str, TasksDone]]:
    """A scheduler here and workers in jobs; its address, and who has done how many tasks."""
    done = TasksDone()
    dask.config.update(dask.config.config, settings)
    with SLURMCluster(security=require_keys(), protocol="tls://") as cluster:
        cluster.scheduler.add_plugin(done)
        if at_most is None:
            cluster.scale(jobs=jobs)
        else:
            cluster.adapt(minimum_jobs=jobs, maximum_jobs=at_most)
        with Client(cluster) as client:
            print(f"slurm: waiting for {jobs} jobs", flush=True)
            client.wait_for_workers(jobs * settings["jobqueue"]["slurm"]["processes"])
            yield cluster.scheduler_address, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="jobs to start with, and to keep at least")
    parser.add_argument("--at-most", type=int, help="jobs, as there is work")
    parser.add_argument("--settings", type=Path, default=SETTINGS)
    parser.add_argument("command", nargs="+", help="an emreel command; --scheduler is added")
    given = parser.parse_args()
    with slurm_workers(read_settings(given.settings), given.jobs, given.at_most) as (address, done):
        print(f"slurm: {len(done.by_worker)} workers at {address}", flush=True)
        code = subprocess.run([*given.command, "--scheduler", address]).returncode
        for name, count in sorted(done.by_worker.items()):
            print(f"slurm: worker {name} did {count} tasks", flush=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
