"""Which frame is labelled next when frames come faster than they are labelled.

===============  =================================================================================================
``newest``       the newest first, so that what is shown is now; those passed over follow when there is time.
                 Nothing is dropped: as long as the source keeps its frames, all are labelled in the end
``block``        one after another; the source is not asked for more while the queue is full, and falls behind
``drop-oldest``  one after another; when the queue is full the frame that waits longest is dropped, and counted
``every``        only every n-th frame (0, n, 2 n ...) is wanted; the others are counted as skipped
===============  =================================================================================================

A model that looks at the frames around gets them in the order of their places whatever the policy's order is: then
``newest`` is ``block`` without a bound.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Set
from dataclasses import dataclass

from emreel.stream.errors import StreamError
from emreel.stream.source import Arrival

KINDS = ("newest", "block", "drop-oldest", "every")
#: Frames that wait at most, where a policy bounds them.
CAPACITY = 64


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy and its number: how many frames may wait (block, drop-oldest), or which are wanted (every)."""

    kind: str = "newest"
    n: int = CAPACITY

    def __post_init__(self) -> None:
        if self.kind not in KINDS or self.n < 1:
            raise StreamError(
                f"got the policy '{self}', wanted one of {', '.join(KINDS)}, with a number of at least 1."
            )

    def __str__(self) -> str:
        return self.kind if self.kind == "newest" else f"{self.kind}:{self.n}"

    @classmethod
    def parse(cls, text: str) -> Policy:
        """``newest``, ``block``, ``block:64``, ``drop-oldest:64``, ``every:4``. Raises StreamError."""
        kind, colon, number = text.partition(":")
        if not colon:
            if kind == "every":
                raise StreamError("the policy 'every' needs its number: every:4 labels frames 0, 4, 8 ...")
            return cls(kind=kind)
        if kind == "newest" or not number.isdecimal():
            raise StreamError(f"got the policy {text!r}, wanted newest, block:64, drop-oldest:64 or every:4.")
        return cls(kind=kind, n=int(number))


@dataclass
class Counts:
    """How many frames did not go the straight way."""

    n_seen: int = 0
    n_late: int = 0
    n_twice: int = 0
    n_dropped: int = 0
    n_skipped: int = 0


class Lanes:
    """The frames that wait. ``done``: places that are labelled already; they are never given out again.

    again : those of ``done`` that are given out once more, should they come again; nothing waits for them.
    in_order : give frames by their place, each when the one before it has been given, see `take`.
    """

    def __init__(
        self, policy: Policy, done: Set[int] = frozenset(), again: Set[int] = frozenset(), *, in_order: bool = False
    ) -> None:
        self.policy = policy
        self.counts = Counts()
        self._known = set(done)
        self._again = set(again)
        self._newest = max(done, default=-1)
        self._in_order = in_order
        self._next = 0
        self._arrivals: dict[int, Arrival] = {}
        self._by_place: list[int] = []  # a heap; what is not in _arrivals any more is stale
        self._fresh: list[int] = []  # a heap of negative places: newer than all that were taken as newest
        self._gone: set[int] = set()
        self._skip_known()

    def __len__(self) -> int:
        return len(self._arrivals)

    @property
    def has_room(self) -> bool:
        """Whether the source may be asked for more."""
        return self.policy.kind != "block" or len(self) < self.policy.n

    def offer(self, arrivals: Iterable[Arrival]) -> None:
        """Frames that have come."""
        for arrival in arrivals:
            self._offer(arrival)
        while self.policy.kind == "drop-oldest" and len(self) > self.policy.n:
            dropped = self._lowest()
            del self._arrivals[dropped]
            self._gone.add(dropped)
            self.counts.n_dropped += 1

    def take(self, *, at_last: bool = False) -> Arrival | None:
        """The frame to label next, or None. ``at_last``: do not wait for a place that has not come."""
        if not self._arrivals:
            return None
        if self._in_order:
            place = self._lowest()
            if place > self._next and not at_last:
                return None
            if place >= self._next:
                self._next = place + 1
                self._skip_known()
        elif self.policy.kind == "newest":
            place = self._freshest()
        else:
            place = self._lowest()
        return self._arrivals.pop(place)

    def is_gone(self, place: int) -> bool:
        """Whether a frame has been dropped or skipped."""
        return place in self._gone

    def _offer(self, arrival: Arrival) -> None:
        place = arrival.index
        if place < 0:
            raise StreamError(f"got a frame with the place {place}, wanted 0, 1, 2 ...")
        if place in self._again:
            self._again.remove(place)
        elif place in self._known:
            self.counts.n_twice += 1
            return
        else:
            self._known.add(place)
            self.counts.n_seen += 1
            if place < self._newest:
                self.counts.n_late += 1
            self._newest = max(self._newest, place)
        if self.policy.kind == "every" and place % self.policy.n:
            self._gone.add(place)
            self.counts.n_skipped += 1
            return
        self._arrivals[place] = arrival
        heapq.heappush(self._by_place, place)
        heapq.heappush(self._fresh, -place)

    def _lowest(self) -> int:
        while self._by_place[0] not in self._arrivals:
            heapq.heappop(self._by_place)
        return self._by_place[0]

    def _freshest(self) -> int:
        """The newest frame if it is newer than the last that was taken so; else the oldest that was passed over."""
        if self._fresh:
            newest = -self._fresh[0]
            self._fresh.clear()  # what lies below has been passed over
            if newest in self._arrivals:
                return newest
        return self._lowest()

    def _skip_known(self) -> None:
        while self._next in self._known and self._next not in self._arrivals:
            self._next += 1
