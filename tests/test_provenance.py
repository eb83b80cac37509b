"""Digests: equal for equal things, different for different ones, and few frames read."""

from __future__ import annotations

import numpy as np
import pytest

from emreel.movie import make_movie
from emreel.provenance import Provenance, canonical_json, digest_of, movie_digest


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    a, b = np.arange(3), np.ones((2, 2))
    assert digest_of({"x": 1, "y": 2}, {"a": a, "b": b}) == digest_of({"y": 2, "x": 1}, {"b": b, "a": a})


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.arange(3, dtype=np.int32)},
        {"a": np.arange(3)[:, None]},
        {"b": np.arange(3)},
        {"a": np.array([0, 1, 3])},
    ],
)
def test_digests_tell_values_dtypes_shapes_and_names_apart(other: dict[str, np.ndarray]) -> None:
    assert digest_of({}, {"a": np.arange(3)}) != digest_of({}, other)


def test_a_movie_is_told_by_shape_times_and_frames() -> None:
    frames = np.random.default_rng(0).integers(0, 99, (30, 8, 8), dtype=np.uint8)
    digest = movie_digest(make_movie(frames))
    assert movie_digest(make_movie(frames.copy())) == digest
    assert movie_digest(make_movie(frames[:29])) != digest
    assert movie_digest(make_movie(frames, frame_times_s=np.arange(30.0))) != digest
    changed = frames.copy()
    changed[29, 7, 7] += 1
    assert movie_digest(make_movie(changed)) != digest


def test_nan_has_no_canonical_text() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})


def test_provenance_and_back() -> None:
    chain = Provenance(recipe="{}", movies=({"source": "a", "shape_tyx": [1, 2, 3]},))
    assert Provenance.from_dict(chain.to_dict()) == chain
