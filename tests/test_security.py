"""What docs/threats.md promises and no other test shows: who is let in, what is opened, what is never executed."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import yaml
import zarr
from distributed import Client

from emreel import engine
from emreel.engine import SchedulerLostError, schedulers
from emreel.engine.schedulers import active_client
from emreel.io import ReaderError, open_movie
from emreel.io.addresses import PROTOCOLS
from emreel.label import label_movie
from emreel.model import Model
from emreel.movie import EmreelError
from emreel.stream import open_source

ROOT = Path(__file__).parents[1]
DASK = Path(sys.executable).parent / "dask"


class Bomb:
    """Unpickling this leaves a folder behind."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.place),))


# ------------------------------------------------------------------------------------------------ who is let in


def listening(process: psutil.Process) -> set[str]:
    """Addresses at which a process and what it started listen."""
    found = set()
    for one in (process, *process.children(recursive=True)):
        found |= {c.laddr.ip for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


def make_keys(folder: Path) -> Path:
    subprocess.run([ROOT / "deploy" / "make_keys.sh", folder], check=True)
    return folder


@contextmanager
def configured(keys: Path | None) -> Iterator[None]:
    """As with ``DASK_CONFIG=keys/dask.yaml``."""
    before = copy.deepcopy(dask.config.config)
    if keys is not None:
        dask.config.update(dask.config.config, dask.config.collect(paths=[str(keys / "dask.yaml")], env={}))
    try:
        yield
    finally:
        dask.config.config.clear()
        dask.config.update(dask.config.config, before)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_keys(tmp_path_factory.mktemp("tls") / "keys")


@pytest.fixture(scope="module")
def scheduler(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a scheduler with one worker, both with the settings of deploy/, and its process."""
    note = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    common = ["--scheduler-file", str(note), "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    env = {**os.environ, "DASK_CONFIG": str(keys / "dask.yaml")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env}
    started = [
        subprocess.Popen([DASK, "scheduler", *common, "--port", "0"], **quiet),
        subprocess.Popen([DASK, "worker", *common, "--nthreads", "1"], **quiet),
    ]
    try:
        with configured(keys), Client(scheduler_file=str(note), timeout=60) as client:
            client.wait_for_workers(1, timeout=60)
        yield json.loads(note.read_text())["address"], psutil.Process(started[0].pid)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)


def test_with_the_keys_work_is_done(scheduler: tuple[str, psutil.Process], keys: Path) -> None:
    address, process = scheduler
    assert address.startswith("tls://127.0.0.1:") and listening(process) == {"127.0.0.1"}
    movie = open_movie(np.arange(4 * 8 * 8, dtype=np.uint16).reshape(4, 8, 8))
    regions = [engine.Region(i, i + 1, engine.regions.Tile(0, 8, 0, 8)) for i in range(4)]
    with configured(keys), engine.local_workers(1, scheduler=address):
        sums = engine.map_regions(movie, regions, lambda region: region, lambda pixels, _: int(pixels.sum()))
    assert sums == movie.values.sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize("who", ["without keys", "plain", "keys of another authority"])
def test_without_the_keys_nobody_is_let_in(
    who: str, scheduler: tuple[str, psutil.Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _ = scheduler
    monkeypatch.setattr(schedulers, "CONNECT_S", 3.0)
    own = make_keys(tmp_path / "keys") if "another" in who else None
    knocked = address.replace("tls://", "tcp://") if who == "plain" else address
    with configured(own), pytest.raises(SchedulerLostError, match="check address and keys"):
        with engine.local_workers(1, scheduler=knocked):
            pass
    assert active_client() is None and engine.active_workers().n_tasks >= 1  # threads, as before


def test_processes_of_this_machine_listen_on_loopback_only() -> None:
    own = psutil.Process()
    before = listening(own)
    with engine.local_workers(2):
        assert listening(own) - before <= {"127.0.0.1"} and len(own.children(recursive=True)) >= 2


def test_keys_are_for_their_owner_and_never_replaced(keys: Path) -> None:
    assert {file.name for file in keys.iterdir()} == {"ca.pem", "cert.pem", "key.pem", "dask.yaml"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in keys.iterdir())
    spawned = yaml.safe_load((keys / "dask.yaml").read_text())["distributed"]["nanny"]["pre-spawn-environ"]
    assert spawned == schedulers.KEPT_MEMORY
    before = (keys / "key.pem").read_bytes()
    again = subprocess.run([ROOT / "deploy" / "make_keys.sh", keys], capture_output=True, text=True)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert (keys / "key.pem").read_bytes() == before


# ------------------------------------------------------------------------------------------------ what is opened


@pytest.mark.parametrize(
    "address",
    [
        "ssh://host/movie.zarr",
        "sftp://host/movie.zarr",
        "github://owner:repo@main/movie.zarr",
        "reference://index.json",
        "local:///etc/hostname",
        "dask://movie.zarr",
        "filecache::s3://bucket/movie.zarr",
        "zip://movie.zarr::https://host/archive.zip",
        "https://host/archive.zip::zip://movie.zarr",
        "S3X://bucket/movie.zarr",
    ],
)
def test_addresses_of_other_kinds_are_refused(address: str) -> None:
    for door in (open_movie, open_source):
        with pytest.raises(ReaderError, match=r"no address that emreel reads.*s3://"):
            door(address)


def test_passwords_in_addresses_are_refused_and_not_repeated() -> None:
    with pytest.raises(ReaderError, match="password") as caught:
        open_movie("https://user:hush-hush@host/movie.zarr")
    assert "hush" not in str(caught.value)


def test_every_kind_of_address_is_one_of_fsspec() -> None:
    from fsspec.registry import known_implementations

    assert set(PROTOCOLS) <= set(known_implementations)


# ------------------------------------------------------------------------------------------- what is never executed


def write_zarr_v2(folder: Path, shape: tuple[int, ...], dtype: str, chunk: bytes, **codecs: Any) -> None:
    folder.mkdir(parents=True)
    facts = {"zarr_format": 2, "shape": shape, "chunks": (1, *shape[1:]), "dtype": dtype, "order": "C"}
    filled = {"fill_value": "" if dtype == "|O" else 0, "compressor": None, "filters": None}
    (folder / ".zarray").write_text(json.dumps({**facts, **filled, **codecs}))
    (folder / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["time", "y", "x"][: len(shape)], "units": "s"}))
    for index in range(shape[0]):
        (folder / ".".join([str(index), *"0" * (len(shape) - 1)])).write_bytes(chunk)


PICKLE = {"id": "pickle"}


@pytest.mark.parametrize(
    ("dtype", "codecs"),
    [
        ("|O", {"filters": [PICKLE]}),
        ("|O", {"filters": [{"id": "vlen-utf8"}, PICKLE]}),
        ("|O", {"filters": [{"id": "vlen-utf8"}], "compressor": PICKLE}),
        ("<u2", {"filters": [{"id": "delta", "dtype": "<u2"}, PICKLE]}),
        ("<u2", {"compressor": PICKLE}),
    ],
)
def test_pickles_behind_codecs_of_zarr(dtype: str, codecs: dict[str, Any], tmp_path: Path) -> None:
    """Zarr 2 lets an array name pickle among its codecs; coordinates are read as soon as a movie is opened."""
    bomb = pickle.dumps(Bomb(tmp_path / "sprung"))
    for name in ("coordinate", "movie"):
        place = tmp_path / f"{name}.zarr"
        place.mkdir()
        (place / ".zgroup").write_text('{"zarr_format": 2}')
        hostile = {"chunk": bomb, "dtype": dtype, **codecs}
        harmless = {"chunk": bytes(128), "dtype": "<u2"}
        write_zarr_v2(place / "time", (3,), **(hostile if name == "coordinate" else {**harmless, "chunk": bytes(2)}))
        write_zarr_v2(place / "movie", (3, 8, 8), **(harmless if name == "coordinate" else hostile))
        with pytest.raises(EmreelError):
            open_movie(place).values  # noqa: B018
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_in_the_columns_of_a_table(front_model: Model, front_movie: xr.DataArray, tmp_path: Path) -> None:
    """Older versions of Arrow built columns of this kind by unpickling."""
    marks = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Bomb(tmp_path / "sprung")),
    }
    hostile = pa.table([pa.array([1, 2])], schema=pa.schema([pa.field("frame", pa.int64(), metadata=marks)]))
    result = label_movie(front_movie[:1], front_model, tmp_path / "r")
    pq.write_table(hostile, tmp_path / "r" / "tables" / "events.parquet")
    assert list(result.table("events")["frame"]) == [1, 2]
    assert not (tmp_path / "sprung").exists()


def test_codecs_of_zarr_3_that_nobody_knows(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "m.zarr", data=np.ones((3, 8, 8), "u2"), chunks=(1, 8, 8))
    assert array.metadata.zarr_format == 3
    place = tmp_path / "m.zarr" / "zarr.json"
    facts = json.loads(place.read_text())
    facts["codecs"].append({"name": "numcodecs.pickle", "configuration": {}})
    place.write_text(json.dumps(facts))
    with pytest.raises(ReaderError):
        open_movie(tmp_path / "m.zarr")
