"""Logs joined to frames: by clocks that differ, within a tolerance, never from afar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emreel.result import Result, StorageError
from emreel.track.errors import TrackError
from emreel.track.fronts import track_fronts
from emreel.track.logs import add_log, join_log, read_log
from emreel.track.velocity import front_velocity


def heating(n: int = 20, step_s: float = 0.5) -> pd.DataFrame:
    """A degree every 0.1 s."""
    time = step_s * np.arange(n)
    return pd.DataFrame({"time_s": time, "temperature_C": 20 + 10 * time, "bias_V": 1.5})


def test_csv_files_are_read_by_seconds_or_by_dates(tmp_path: Path) -> None:
    plain = tmp_path / "plain.csv"
    plain.write_text("Time (s), temperature_C, note\n1.5, 30, a\n0.5, 20, b\n, 99, c\n")
    log = read_log(plain)
    assert log.to_numpy().tolist() == [[0.5, 20], [1.5, 30]]
    assert list(log.columns) == ["time_s", "temperature_C"]
    dated = tmp_path / "dated.csv"
    dated.write_text("temperature_C,when\n20,2026-01-31 12:00:00\n30,2026-01-31 12:00:02.5\n")
    assert read_log(dated, time="when")["time_s"].tolist() == [0, 2.5]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), offset=st.floats(-5, 5), tolerance=st.floats(0.05, 2))
def test_every_frame_takes_the_nearest_entry_within_the_tolerance(seed: int, offset: float, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    times, entries = np.sort(rng.uniform(0, 10, 12)), np.sort(rng.uniform(-3, 13, 9))
    log = pd.DataFrame({"time_s": entries + offset, "x_V": rng.normal(0, 1, 9)})
    table = join_log(times, log, offset_s=offset, tolerance_s=tolerance)
    for time, delay, value in table[["time_s", "log_delay_s", "x_V"]].to_numpy():
        gaps = np.abs(entries - time)
        if gaps.min() < tolerance - 1e-9:
            assert abs(delay) == pytest.approx(gaps.min(), abs=1e-9)
            assert value == log["x_V"][int(gaps.argmin())]
        elif gaps.min() > tolerance + 1e-9:
            assert np.isnan(value)


def test_between_entries_the_line_is_taken() -> None:
    times = np.array([0.2, 0.5, 1.3, 30.0])
    table = join_log(times, heating(), how="linear")
    assert table["temperature_C"].to_numpy() == pytest.approx([22, 25, 33, np.nan], nan_ok=True)
    assert join_log(times, heating())["temperature_C"].to_numpy() == pytest.approx([20, 25, 35, np.nan], nan_ok=True)


def test_fronts_against_temperature(make_result: Callable[..., Result]) -> None:
    movie = np.ones((15, 70, 40), np.uint8)
    for t in range(15):
        movie[t, 20 + 2 * t :] = 2
    result = make_result(movie, times_s=0.2 * np.arange(15), pixel_size_nm=0.5)
    fronts = track_fronts(result, between=((1,), (2,)))
    log = join_log(result, heating(200, 0.1).assign(time_s=lambda table: table["time_s"] + 7), offset_s=7)
    pd.testing.assert_frame_equal(result.table("log"), log)
    joined = add_log(fronts, log)
    assert len(joined) == len(fronts)
    velocity = front_velocity(joined, against="temperature_C")
    assert velocity.unit == "nm/temperature_C"
    assert velocity.value == pytest.approx(0.5, abs=1e-6)  # 1 nm and 2 degrees a frame


def test_what_cannot_be_joined_is_refused(tmp_path: Path, make_result: Callable[..., Result]) -> None:
    with pytest.raises(TrackError, match="--frame-time-s"):
        join_log(make_result(np.ones((2, 40, 40), np.uint8)), heating())
    with pytest.raises(TrackError, match="no entries"):
        join_log(np.arange(3.0), heating(0))
    with pytest.raises(TrackError, match="nearest or linear"):
        join_log(np.arange(3.0), heating(), how="cubic")  # type: ignore[arg-type]
    bad = tmp_path / "bad.csv"
    bad.write_text("time,word\nnoon,a\n")
    with pytest.raises(TrackError, match="neither seconds nor dates"):
        read_log(bad)
    bad.write_text("time,word\n1,a\n")
    with pytest.raises(TrackError, match="no column of numbers"):
        read_log(bad)
    with pytest.raises(TrackError, match="no column 't'"):
        read_log(bad, time="t")
    bad.write_text("")
    with pytest.raises(TrackError, match="no CSV"):
        read_log(bad)
    with pytest.raises(StorageError):
        read_log(tmp_path / "missing.csv")
