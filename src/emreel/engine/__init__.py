"""The one room that knows Dask's work: cuts movies into regions, runs them anywhere, folds partial sums in order.

Whichever scheduler is active is used: the threads of this process, or a `distributed.Client`. Nothing here
changes a number: regions are fixed in absolute coordinates, and what they return is put in order.
"""

from emreel.engine.errors import EngineError, SchedulerLostError, WorkerKilledError
from emreel.engine.features import describe_movie
from emreel.engine.regions import (
    Parts,
    Region,
    add_in_order,
    fold_regions,
    join_parts,
    keep_regions,
    map_regions,
    read_frame,
    run_regions,
)
from emreel.engine.schedulers import (
    Workers,
    active_workers,
    local_threads,
    local_workers,
    single_threaded_kernels,
)

__all__ = [
    "EngineError",
    "Parts",
    "Region",
    "SchedulerLostError",
    "WorkerKilledError",
    "Workers",
    "active_workers",
    "add_in_order",
    "describe_movie",
    "fold_regions",
    "join_parts",
    "keep_regions",
    "local_threads",
    "local_workers",
    "map_regions",
    "read_frame",
    "run_regions",
    "single_threaded_kernels",
]
