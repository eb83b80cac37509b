"""What a benchmark item is, and how two programs are timed against each other.

An item is a function that returns a `Contest`; ``@item`` puts it into the table. Both sides are timed in CPU seconds
of one thread, in one run, in turns, so that what else the machine does meets both alike. Only ratios are worth
quoting. Items of one subject stand in a module of their own beside this one; ``run.py`` imports them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Side = Callable[[], tuple[float, Any]]  # runs once: CPU seconds, and what came out


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Two sides that compute the same outputs."""

    ours: Side
    peer: Side
    n_outputs: int  # numbers that one run computes; times are told per output
    error: Callable[[Any, Any], float]  # of our output and the peer's: how far ours is from the truth
    peer_name: str
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Result:
    """One line of the table."""

    item: str
    peer: str
    ratio: float  # median over the turns of peer time / our time
    ours_ns: float
    peer_ns: float
    error: float


ITEMS: dict[str, Callable[[bool], Contest]] = {}


def item(name: str) -> Callable[[Callable[[bool], Contest]], Callable[[bool], Contest]]:
    """Put a function into the table of items; it is called with True for tiny sizes (a test of the benchmark)."""

    def register(build: Callable[[bool], Contest]) -> Callable[[bool], Contest]:
        ITEMS[name] = build
        return build

    return register


def in_process(call: Callable[[], Any]) -> Side:
    """A side that runs here, timed by this thread's CPU clock."""

    def side() -> tuple[float, Any]:
        start = time.thread_time()
        out = call()
        return time.thread_time() - start, out

    return side


def run_item(name: str, *, repeats: int, tiny: bool) -> Result:
    """Time an item: one warm-up each, then ``repeats`` turns."""
    contest = ITEMS[name](tiny)
    try:
        _, ours_out = contest.ours()
        _, peer_out = contest.peer()
        turns = [(contest.ours()[0], contest.peer()[0]) for _ in range(repeats)]
        return Result(
            item=name,
            peer=contest.peer_name,
            ratio=statistics.median(peer / ours for ours, peer in turns),
            ours_ns=statistics.median(ours for ours, _ in turns) / contest.n_outputs * 1e9,
            peer_ns=statistics.median(peer for _, peer in turns) / contest.n_outputs * 1e9,
            error=contest.error(ours_out, peer_out),
        )
    finally:
        contest.close()


def largest_difference(a: Any, b: Any) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())
