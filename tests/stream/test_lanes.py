"""Policies: what is labelled next, what is dropped, and that nothing else is lost or repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from emreel.stream import Arrival, Policy, StreamError
from emreel.stream.lanes import Lanes


def drain(lanes: Lanes, n: int | None = None) -> list[int]:
    taken = []
    while n is None or len(taken) < n:
        arrival = lanes.take()
        if arrival is None:
            break
        taken.append(arrival.index)
    return taken


def offer(lanes: Lanes, *places: int) -> None:
    lanes.offer(Arrival(place) for place in places)


def test_newest_first_then_what_was_passed_over() -> None:
    lanes = Lanes(Policy())
    offer(lanes, 0, 1, 2, 3)
    assert drain(lanes, 2) == [3, 0]
    offer(lanes, 4, 5)
    assert drain(lanes) == [5, 1, 2, 4]
    assert lanes.counts.n_dropped == 0


def test_block_keeps_the_order_and_closes_the_door() -> None:
    lanes = Lanes(Policy(kind="block", n=3))
    offer(lanes, 0, 1)
    assert lanes.has_room
    offer(lanes, 2)
    assert not lanes.has_room
    assert drain(lanes) == [0, 1, 2] and lanes.has_room


def test_drop_oldest_counts_what_it_drops() -> None:
    lanes = Lanes(Policy(kind="drop-oldest", n=2))
    offer(lanes, 0, 1, 2, 3, 4)
    assert drain(lanes) == [3, 4]
    assert lanes.counts.n_dropped == 3
    assert [lanes.is_gone(place) for place in range(5)] == [True] * 3 + [False] * 2


def test_every_counts_what_it_skips() -> None:
    lanes = Lanes(Policy(kind="every", n=3))
    offer(lanes, *range(8))
    assert drain(lanes) == [0, 3, 6]
    assert lanes.counts.n_skipped == 5


def test_in_order_waits_for_a_gap_until_the_end() -> None:
    lanes = Lanes(Policy(kind="block"), done={0, 1}, in_order=True)
    offer(lanes, 4, 2)
    assert drain(lanes) == [2]
    offer(lanes, 3)
    assert drain(lanes) == [3, 4]
    offer(lanes, 7)
    assert lanes.take() is None
    last = lanes.take(at_last=True)
    assert last is not None and last.index == 7


@given(
    batches=st.lists(st.tuples(st.lists(st.integers(0, 30), max_size=6), st.integers(0, 4)), max_size=20),
    policy=st.sampled_from(
        [Policy(), Policy(kind="block", n=3), Policy(kind="drop-oldest", n=3), Policy(kind="every", n=4)]
    ),
    done=st.frozensets(st.integers(0, 30), max_size=10),
)
def test_once_each_and_everything_is_accounted_for(
    batches: list[tuple[list[int], int]], policy: Policy, done: frozenset[int]
) -> None:
    lanes = Lanes(policy, done)
    given_out: list[int] = []
    offered: list[int] = []
    for places, n in batches:
        offer(lanes, *places)
        offered += places
        given_out += drain(lanes, n)
    given_out += drain(lanes)
    counts = lanes.counts
    assert len(set(given_out)) == len(given_out), "a frame was given twice"
    assert not set(given_out) & done
    assert counts.n_seen == len(set(offered) - done)
    assert counts.n_seen + counts.n_twice == len(offered)
    assert len(given_out) + counts.n_dropped + counts.n_skipped == counts.n_seen
    if policy.kind in ("newest", "block"):
        assert set(given_out) == set(offered) - done


@pytest.mark.parametrize("text", ["newest", "block:8", "drop-oldest:2", "every:5"])
def test_policies_are_written_as_they_are_read(text: str) -> None:
    assert str(Policy.parse(text)) == text


@pytest.mark.parametrize("text", ["", "every", "newest:3", "block:x", "block:0", "fifo"])
def test_policies_that_do_not_exist(text: str) -> None:
    with pytest.raises(StreamError, match="polic"):
        Policy.parse(text)


def test_a_place_before_the_first_is_an_error() -> None:
    with pytest.raises(StreamError, match="place -1"):
        offer(Lanes(Policy()), -1)


class Watched(RuleBasedStateMachine):
    """Frames come out of order, twice, late or never; the watching is stopped and started again at any moment."""

    @initialize(policy=st.sampled_from([Policy(), Policy(kind="block", n=4)]), in_order=st.booleans())
    def begin(self, policy: Policy, in_order: bool) -> None:
        self.policy, self.in_order = policy, in_order
        self.there: set[int] = set()
        self.ledger: list[int] = []
        self.lanes = Lanes(policy, in_order=in_order)

    @rule(places=st.lists(st.integers(0, 25), max_size=5))
    def come(self, places: list[int]) -> None:
        self.there |= set(places)
        offer(self.lanes, *places)

    @rule(n=st.integers(0, 4))
    def label(self, n: int) -> None:
        for place in drain(self.lanes, n):
            assert place in self.there and place not in self.ledger
            if self.in_order:
                assert all(earlier in self.ledger for earlier in range(place)), "a gap was not waited for"
            self.ledger.append(place)

    @rule(n_lost=st.integers(0, 3))
    def kill_and_start_again(self, n_lost: int) -> None:
        """What was given out and not counted is lost with the process."""
        drain(self.lanes, n_lost)
        self.lanes = Lanes(self.policy, frozenset(self.ledger), in_order=self.in_order)
        offer(self.lanes, *sorted(self.there))

    def teardown(self) -> None:
        if not hasattr(self, "lanes"):
            return
        self.kill_and_start_again(0)
        while (arrival := self.lanes.take(at_last=True)) is not None:
            self.ledger.append(arrival.index)
        assert sorted(self.ledger) == sorted(self.there), "lost or repeated"


TestWatched = Watched.TestCase
