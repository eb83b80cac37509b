"""``emreel watch``, ``compact`` and ``repair`` of what was watched, as a user meets them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr

from emreel.cli import main
from emreel.label import label_stream
from emreel.model import Model
from emreel.result import open_result, read_ledger

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def emreel(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``emreel ...`` in an empty folder; returns exit code, output and messages, spaces made single."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), re.sub(r"\s+", " ", out), re.sub(r"\s+", " ", err)

    return run


@pytest.fixture
def filled(front_movie: xr.DataArray, front_model: Model, tmp_path: Path) -> Path:
    """A folder of frames, and a model beside it."""
    (tmp_path / "f").mkdir()
    for index, frame in enumerate(front_movie.values):
        tifffile.imwrite(tmp_path / "f" / f"frame_{index}.tif", frame)
    front_model.save(tmp_path / "m.zarr")
    return tmp_path / "f"


def test_watch_verify_damage_repair_compact(
    emreel: Command, filled: Path, front_movie: xr.DataArray, front_model: Model, tmp_path: Path
) -> None:
    given = ["--frame-time-s", 0.5, "--pixel-size-nm", 0.04]
    code, out, err = emreel("watch", "f", "--model", "m.zarr", "-o", "r", "--idle-s", 0.5, *given)
    assert code == 0, err
    assert "10 frames labelled, 0 late, 0 twice, 0 dropped, 0 skipped, 0 missing" in out
    wanted = [labels.label for labels in label_stream(front_movie.values, front_model)]
    result = open_result(tmp_path / "r")
    np.testing.assert_array_equal(result.label.values, wanted)
    np.testing.assert_allclose(result.label.time, 0.5 * np.arange(10))
    assert result.pixel_size_nm == 0.04
    (tmp_path / "r/movie.zarr/labels/segments/label/c/4/0/0").write_bytes(b"x")
    code, out, _ = emreel("verify", "r")
    assert code == 1 and "block 4, label" in out
    code, out, err = emreel("repair", "r")
    assert code == 0 and "1 damaged frames labelled again" in out, err
    code, out, _ = emreel("compact", "r")
    assert code == 0 and "compacted" in out
    assert emreel("verify", "r")[0] == 0
    np.testing.assert_array_equal(open_result(tmp_path / "r").label.values, wanted)
    assert "nothing to do" in emreel("compact", "r")[1]


def test_a_movie_is_played(emreel: Command, filled: Path, front_movie: xr.DataArray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", front_movie.values, imagej=True, metadata={"axes": "TYX"})
    code, out, err = emreel(
        *["watch", "m.tif", "--speed", "inf", "--model", "m.zarr", "-o", "r", "--policy", "every:3", "--threads", 2]
    )
    assert code == 0, err
    assert "4 frames labelled" in out and "6 skipped" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--model", "m.zarr", "-o", "r"], "nowhere is not there"),
        (["f", "--model", "none.zarr", "-o", "r"], "not a saved model"),
        (["f", "--model", "m.zarr", "-o", "r", "--policy", "fifo"], "policy"),
        (["f", "--model", "m.zarr", "-o", "r", "--policy", "every"], "every:4"),
        (["f", "--model", "m.zarr", "-o", "r", "--pixel-size-nm", "1"], "pixels of 1 nm"),
        (["empty", "--model", "m.zarr", "-o", "r", "--idle-s", "0.1"], "no frame came"),
        (["f", "--model", "m.zarr", "-o", "r", "--speed", "1", "--first", "1"], "--first is for folders"),
        (["f", "--model", "m.zarr", "-o", "r", "--speed", "1"], "tells no frame times"),
        (["f", "--model", "m.zarr", "-o", "f"], "f is not a result"),
    ],
)
def test_mistakes(emreel: Command, filled: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = emreel("watch", *arguments)
    assert code == 1
    assert err.count("emreel: error: ") == 1 and message in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_exits_with_130_and_goes_on(
    interrupt: signal.Signals, emreel: Command, filled: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "emreel", "watch", "f", "--model", "m.zarr", "-o", "r"]
    run = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    ledger = tmp_path / "r" / "ledger.jsonl"
    while time.monotonic() < deadline and (not ledger.exists() or ledger.read_bytes().count(b"\n") < 4):
        time.sleep(0.02)
    run.send_signal(interrupt)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert b"Give the same command again to go on" in err
    assert read_ledger(tmp_path / "r").done
    code, out, err_again = emreel("watch", "f", "--model", "m.zarr", "-o", "r", "--idle-s", 0.5)
    assert code == 0 and "10 frames labelled" in out, err_again


def test_watch_without_a_model_fits_one(
    emreel: Command, filled: Path, front_movie: xr.DataArray, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text('[descriptor]\nname = "lattice"\nstride = 4\n[cluster]\nn_clusters = 3\n')
    code, out, err = emreel("watch", "f", "-o", "r", "--recipe", "r.toml", "--idle-s", 0.5, "--frame-time-s", 0.5)
    assert code == 0, err
    assert "10 frames labelled" in out and "model version 1 from frame 0: labels [1, 2, 3]" in out
    assert "fitting a first model on 8 frames" in err
    assert set(np.unique(open_result(tmp_path / "r").label.values)) <= {1, 2, 3, 254, 255}
    assert emreel("verify", "r")[0] == 0
    code, _, err = emreel("watch", "f", "-o", "q", "--recipe", "r.toml", "--model", "m.zarr")
    assert code == 1 and "Give --model or --recipe" in err


def test_a_front_is_followed_and_its_marks_told(
    emreel: Command, filled: Path, front_model: Model, tmp_path: Path
) -> None:
    given = ["--model", "m.zarr", "--idle-s", 0.5, "--pixel-size-nm", 0.04]
    front = ["--front", "y:1,2/3,4", "--mark-nm", 0.2, "--mark-px", 2, "--mark-px", 500]
    code, _, err = emreel("watch", "f", "-o", "r", *given, *front)
    assert code == 0, err
    assert "mark passed front 1,2/3,4, 0.2 nm" in err and "mark passed front 1,2/3,4, 2 px" in err
    assert "500 px" not in err
    table = open_result(tmp_path / "r").table("fronts")
    assert table["front"].unique().tolist() == ["1,2/3,4"] and table["frame"].nunique() == 10
    code, _, err = emreel("watch", "f", "-o", "r", *given, *front)
    assert code == 0 and "mark passed" not in err, "events are told once"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mark-px", "3", "--model", "m.zarr"], "give --front and --model"),
        (["--front", "y:1/2"], "give --front and --model"),
        (["--front", "1/2", "--model", "m.zarr"], "such as y:1,2/3,4"),
        (["--front", "z:1/2", "--model", "m.zarr"], "--axis is y, x, contour"),
        (["--front", "y:1/1", "--model", "m.zarr"], "no label in both"),
        (["--front", "0,0:9,9:1/2", "--rest", "1", "--model", "m.zarr"], "both sides of a slash"),
    ],
)
def test_mistakes_of_fronts(emreel: Command, filled: Path, arguments: list[str], message: str) -> None:
    code, out, err = emreel("watch", "f", "-o", "r", *arguments)
    assert code == 1 and message in err
    assert "Traceback" not in out + err
