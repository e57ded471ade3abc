"""Who may hold a Lease, and what it then says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runyard_operator.lease import Lease, Step, decide, held, is_handed_over, released

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LENGTH = 15
CASES = [
    ("there is none", None, 0, Step.CREATE),
    ("it is mine", Lease(holder="me", seconds=LENGTH), 0, Step.RENEW),
    ("it is mine, and was not renewed for long", Lease(holder="me", seconds=LENGTH), 100, Step.RENEW),
    ("it is another's", Lease(holder="other", seconds=LENGTH), 0, Step.WAIT),
    ("it is another's for a moment more", Lease(holder="other", seconds=LENGTH), LENGTH - 0.001, Step.WAIT),
    ("it is over", Lease(holder="other", seconds=LENGTH), LENGTH, Step.TAKE),
    ("it was released", Lease(holder="", seconds=1), 0, Step.TAKE),
    ("it says nothing", Lease(), 0, Step.TAKE),
    ("it says no length", Lease(holder="other"), 0, Step.TAKE),
    ("its length is its own", Lease(holder="other", seconds=60), LENGTH, Step.WAIT),
    (
        "another's clock is of no account",
        Lease(holder="other", seconds=LENGTH, renewed_at=NOW - timedelta(days=1)),
        0,
        Step.WAIT,
    ),
]


@pytest.mark.parametrize(("found", "unchanged", "step"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_to_do(found: Lease | None, unchanged: float, step: Step) -> None:
    assert decide(found, "me", timedelta(seconds=unchanged)) is step


def test_who_takes_it_says_since_when_and_counts() -> None:
    before = Lease(holder="other", seconds=3, acquired_at=NOW, renewed_at=NOW, transitions=4)
    later = NOW + timedelta(seconds=9)
    taken = held(before, "me", LENGTH, later)
    assert taken == Lease(holder="me", seconds=LENGTH, acquired_at=later, renewed_at=later, transitions=5)
    last = later + timedelta(seconds=9)
    assert held(taken, "me", LENGTH, last) == taken.model_copy(update={"renewed_at": last})
    assert held(None, "me", LENGTH, NOW).transitions == 0


class Candidate:
    """One that follows the rules, with a clock of its own that began anywhere and shows what passes."""

    def __init__(self, name: str, ahead: float) -> None:
        self.name, self.ahead = name, ahead
        self.seen: tuple[Lease | None, int] = (None, -1)
        self.changed_at = 0.0
        self.leads_until = -1.0

    def look(self, store: tuple[Lease | None, int], now: float) -> None:
        if store[0] != self.seen[0] or self.seen[1] < 0:
            self.changed_at = now + self.ahead
        self.seen = store

    def decides(self, now: float) -> Step:
        return decide(self.seen[0], self.name, timedelta(seconds=now + self.ahead - self.changed_at))


# To look and to write are two moves, between which anything may happen, or one.
moves = st.tuples(
    st.sampled_from("abc"), st.sampled_from(["look", "write", "look and write", "leave"]), st.sampled_from(range(9))
)


@settings(max_examples=300, deadline=None)
@given(st.lists(moves, max_size=40), st.lists(st.integers(-1000, 1000), min_size=3, max_size=3))
def test_two_never_lead_at_once_whatever_their_clocks_and_however_late_they_write(
    steps: list[tuple[str, str, int]], aheads: list[int]
) -> None:
    candidates = {name: Candidate(name, ahead) for name, ahead in zip("abc", aheads, strict=True)}
    store: tuple[Lease | None, int] = (None, 0)
    now = 0
    for name, move, pause in steps:
        now += pause
        me = candidates[name]
        if "look" in move:
            me.look(store, now)
        if me.seen[1] == store[1]:  # or the API server refuses what is written
            if "write" in move and me.decides(now) is not Step.WAIT:
                moment = NOW + timedelta(seconds=now + me.ahead)
                store = (held(store[0], name, LENGTH, moment), store[1] + 1)
                me.look(store, now)
                me.leads_until = now + LENGTH
            if move == "leave" and store[0] and now < me.leads_until:
                store = (released(store[0], NOW, is_all_done=bool(pause % 2)), store[1] + 1)
                me.leads_until = now
        assert len([each for each in candidates.values() if now < each.leads_until]) < 2


MINE = Lease(holder="me", seconds=LENGTH)


@pytest.mark.parametrize(
    ("found", "is_so"),
    [
        (None, True),
        (released(MINE, NOW, is_all_done=True), True),
        (released(MINE, NOW, is_all_done=False), False),
        (MINE, False),
        (Lease(holder="other", seconds=LENGTH), False),
        (Lease(holder="other", seconds=1), False),
    ],
    ids=["new", "released", "released with work left", "of this pod's earlier container", "another's", "a short one"],
)
def test_only_who_released_it_when_all_was_done_has_left_nothing_that_may_still_come(
    found: Lease | None,
    is_so: bool,  # noqa: FBT001
) -> None:
    assert is_handed_over(found) is is_so


def test_whoever_releases_it_is_followed_at_once_though_something_is_left() -> None:
    assert decide(released(MINE, NOW, is_all_done=False), "other", timedelta(0)) is Step.TAKE


@given(st.floats(0, 1000))
def test_a_lease_that_nobody_renews_is_taken_in_the_end(wait: float) -> None:
    dead = Lease(holder="dead", seconds=LENGTH, renewed_at=NOW)
    assert (decide(dead, "me", timedelta(seconds=wait)) is Step.TAKE) == (wait >= LENGTH)
