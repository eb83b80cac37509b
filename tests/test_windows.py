"""Windows in time: each item once, in order, with its neighbours, by the definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emreel.label.windows import slide_windows


@given(st.integers(0, 30), st.integers(0, 6))
def test_every_item_comes_once_with_those_around_it(n: int, lag: int) -> None:
    found = [(list(window), at) for window, at in slide_windows(range(n), lag)]
    assert [window[at] for window, at in found] == list(range(n))
    assert [window for window, _ in found] == [list(range(max(i - lag, 0), min(i + lag + 1, n))) for i in range(n)]


@given(st.integers(0, 5))
def test_no_more_is_taken_than_is_needed(lag: int) -> None:
    taken: list[int] = []
    windows = slide_windows((taken.append(i) or i for i in range(20)), lag)  # type: ignore[func-returns-value]
    for index in range(10):
        next(windows)
        assert len(taken) == index + lag + 1
