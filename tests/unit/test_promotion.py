"""Whether a run is promoted, and what an alias's history says it should be, by tables and by chance."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.alias_history import Change, Entry, Record, entries, next_number, reason, replay
from runyard.api.direction import Direction
from runyard.api.promotion import Holder, Promotion, WrongPromotion, asked, decide
from runyard.api.records import RunStatus
from runyard.api.when import Facts, read

NAN = float("nan")
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def run(status: RunStatus = RunStatus.FINISHED, **metrics: float) -> Facts:
    return Facts("a" * 32, status, metrics)


def holder(**metrics: float) -> Holder:
    return Holder(2, Facts("b" * 32, metrics=metrics))


GATE = read("metrics.f1 >= 0.9")
HIGH, LOW = Direction.HIGHEST, Direction.LOWEST
PLAIN = asked("heart")
GATED = asked("heart", when=GATE)
BETTER = asked("heart", better_than="champion", metric="f1")
BOTH = asked("heart", when=GATE, better_than="champion")
LOSS = asked("heart", better_than="champion", metric="log_loss")
TURNED = asked("heart", better_than="champion", metric="log_loss", direction=Direction.HIGHEST)


@pytest.mark.parametrize(
    ("when", "metric", "direction"),
    [
        ("metrics.variance >= 0.8", "variance", HIGH),
        ("0.8 < metrics.variance", "variance", HIGH),
        ("metrics.score < 3", "score", LOW),
        ("!(metrics.score > 3)", "score", LOW),
        ("metrics.f1 > 0.9 && (metrics.score <= 3 || metrics.score <= 4)", "score", LOW),
        # Neither bound says which way is better, so that the name does.
        ("metrics.loss > 0.1 && metrics.loss < 3", "loss", LOW),
        ("metrics.loss == 3", "loss", LOW),
        ("metrics.f1 > 0.9", "loss", LOW),
        ("metrics.f1 > metrics.loss", "loss", LOW),
        ("metrics.f1 > metrics.f1", "f1", HIGH),
    ],
)
def test_what_is_better_is_what_the_condition_asks_for(when: str, metric: str, direction: Direction) -> None:
    assert asked("heart", when=read(when), better_than="champion", metric=metric).direction is direction


@pytest.mark.parametrize(
    ("wanted", "found", "against", "promoted", "because"),
    [
        (PLAIN, run(), None, True, "no condition was set"),
        (PLAIN, run(), holder(), True, "no condition was set"),
        (PLAIN, run(RunStatus.FAILED), None, False, "run aaaaaaaa is FAILED, and only one that FINISHED is promoted"),
        (GATED, run(f1=0.9), None, True, "metrics.f1 >= 0.9 holds: f1 is 0.9"),
        (GATED, run(f1=0.89), None, False, "metrics.f1 >= 0.9 does not hold: f1 is 0.89"),
        (GATED, run(), None, False, "run aaaaaaaa has no metric f1; it has: no metrics"),
        (BETTER, run(f1=0.1), None, True, "heart has no champion yet"),
        (BETTER, run(), None, False, "run aaaaaaaa has no metric f1; it has: no metrics"),
        (BETTER, run(f1=0.93), holder(f1=0.91), True, "f1 0.93 is more than 0.91 of version 2, the champion"),
        (BETTER, run(f1=0.91), holder(f1=0.91), False, "f1 0.91 is not more than 0.91 of version 2, the champion"),
        # All digits are told: what looks equal need not be.
        (
            BETTER,
            run(f1=0.1 + 0.2),
            holder(f1=0.3),
            True,
            "f1 0.30000000000000004 is more than 0.3 of version 2, the champion",
        ),
        (BETTER, run(f1=NAN), holder(f1=0.9), False, "f1 of run aaaaaaaa is NaN, which is no number"),
        (BETTER, run(f1=NAN), None, False, "f1 of run aaaaaaaa is NaN, which is no number"),
        (
            BETTER,
            run(f1=0.9),
            holder(f1=NAN),
            False,
            "version 2, the champion, cannot be compared: f1 of run bbbbbbbb is NaN, which is no number",
        ),
        (
            BETTER,
            run(f1=0.9),
            holder(recall=0.9),
            False,
            "version 2, the champion, cannot be compared: run bbbbbbbb has no metric f1; it has: recall",
        ),
        (
            BETTER,
            run(f1=0.9),
            Holder(2, None),
            False,
            "version 2, the champion, cannot be compared: the run that it came from is not there",
        ),
        (LOSS, run(log_loss=0.3), holder(log_loss=0.4), True, "log_loss 0.3 is less than 0.4 of version 2"),
        (LOSS, run(log_loss=0.5), holder(log_loss=0.4), False, "log_loss 0.5 is not less than 0.4 of version 2"),
        (TURNED, run(log_loss=0.5), holder(log_loss=0.4), True, "log_loss 0.5 is more than 0.4 of version 2"),
        (
            BOTH,
            run(f1=0.95),
            holder(f1=0.9),
            True,
            "metrics.f1 >= 0.9 holds: f1 is 0.95; f1 0.95 is more than 0.9 of version 2, the champion",
        ),
        (BOTH, run(f1=0.95), holder(f1=0.96), False, "f1 0.95 is not more than 0.96 of version 2, the champion"),
        (BOTH, run(f1=0.8), holder(f1=0.7), False, "metrics.f1 >= 0.9 does not hold: f1 is 0.8"),
    ],
)
def test_a_run_is_promoted_or_not_and_why(
    wanted: Promotion, found: Facts, against: Holder | None, *, promoted: bool, because: str
) -> None:
    verdict = decide(wanted, found, against)
    assert verdict.holds is promoted
    assert verdict.because.startswith(because)


@given(st.floats(), st.floats(), st.sampled_from(Direction))
def test_of_two_runs_one_at_most_is_better(one: float, other: float, direction: Direction) -> None:
    wanted = asked("heart", better_than="champion", metric="f1", direction=direction)
    assert not (
        decide(wanted, run(f1=one), holder(f1=other)).holds and decide(wanted, run(f1=other), holder(f1=one)).holds
    )


def test_what_is_not_told_follows_from_the_rest() -> None:
    wanted = asked("heart", when=read("metrics.log_loss < 0.4 && metrics.f1 > 0.9"), better_than="champion")
    assert (wanted.alias, wanted.metric, wanted.direction) == ("champion", "log_loss", Direction.LOWEST)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"model": ""}, '"" is no name of a registered model'),
        ({"model": "a/b"}, '"a/b" is no name of a registered model: 1 to 200 characters without / and :'),
        ({"model": ".."}, '".." is no name of a registered model'),
        ({"model": "heart", "alias": "v1"}, '"v1" is no alias: 1 to 100 letters'),
        ({"model": "heart", "alias": "latest"}, '"latest" is no alias'),
        ({"model": "heart", "alias": "the champion"}, '"the champion" is no alias'),
        ({"model": "heart", "better_than": ""}, '"" is no alias'),
        ({"model": "heart", "better_than": "champion"}, "better than champion by which metric?"),
        (
            {"model": "heart", "better_than": "champion", "when": read('params.a == "x"')},
            "better than champion by which",
        ),
        ({"model": "heart", "metric": "f1"}, "metric and direction say how a run is better than another"),
        ({"model": "heart", "direction": Direction.LOWEST}, "metric and direction say how"),
    ],
)
def test_what_cannot_be_asked_is_refused(given_: dict[str, object], said: str) -> None:
    with pytest.raises(WrongPromotion) as refused:
        asked(**given_)  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert refused.value.exit_code == 2


def entry(number: int, version: int | None, instead_of: int | None = None, **more: object) -> Entry:
    fields: dict[str, object] = {"change": Change.PROMOTED, "at": NOW, **more}
    record = Record.model_validate({**fields, "version": version, "instead_of": instead_of})
    return Entry("champion", number, f"t{version or 0}", record)


def rival(number: int, version: int, instead_of: int | None, value: float, metric: str = "f1") -> Entry:
    return entry(number, version, instead_of, metric=metric, value=repr(value), must_be_better=True)


@pytest.mark.parametrize(
    ("history", "line"),
    [
        ([], [None]),
        ([entry(1, 1), entry(2, 2, 1)], [None, 1, 2]),
        # Two that saw the same: the better one, in whichever order they stand.
        ([rival(1, 1, None, 0.9), rival(1, 2, None, 0.8)], [None, 1]),
        ([rival(1, 1, None, 0.8), rival(1, 2, None, 0.9)], [None, 1, 2]),
        ([rival(1, 1, None, 0.9), rival(1, 2, None, 0.9)], [None, 1]),
        # One that is written down late, against a version that is not the champion any more.
        ([rival(1, 1, None, 0.5), rival(2, 2, 1, 0.7), rival(2, 3, 1, 0.6), rival(3, 4, 2, 0.8)], [None, 1, 2, 4]),
        ([rival(1, 1, None, 0.5), rival(2, 2, 1, 0.9), rival(2, 3, 1, 0.6), rival(3, 4, 3, 0.8)], [None, 1, 2]),
        # What cannot be compared takes nothing.
        ([rival(1, 1, None, 0.5, "recall"), rival(1, 2, None, 0.9)], [None, 1]),
        ([entry(1, 1), rival(1, 2, None, 0.9)], [None, 1]),
        ([rival(1, 1, None, float("nan")), rival(1, 2, None, 0.9)], [None, 1]),
        # What need not be better is not compared.
        ([rival(1, 1, None, 0.9), entry(2, 2, 1)], [None, 1, 2]),
        # A version that comes back later is compared by what it was promoted with.
        (
            [rival(1, 1, None, 0.9), entry(2, 2, 1), entry(3, 1, 2, change=Change.ROLLED_BACK), rival(3, 3, 2, 0.8)],
            [None, 1],
        ),
        ([entry(1, 1), entry(2, 2, 1), entry(3, 3, 2), entry(4, 2, 3, change=Change.ROLLED_BACK)], [None, 1, 2]),
        (
            [
                *(entry(1, 1), entry(2, 2, 1), entry(3, 3, 2)),
                *(entry(4, 2, 3, change=Change.ROLLED_BACK), entry(5, 1, 2, change=Change.ROLLED_BACK)),
            ],
            [None, 1],
        ),
        ([entry(1, 1), entry(2, None, 1, change=Change.MOVED), entry(3, 2, None)], [None, 1, None, 2]),
        ([entry(1, 1), entry(2, 1, 1)], [None, 1]),
    ],
)
def test_a_history_says_who_should_have_the_alias(history: list[Entry], line: list[int | None]) -> None:
    assert list(replay(in_order(history)).line) == line


def in_order(history: list[Entry]) -> list[Entry]:
    """Return what is read back where a history was written."""
    return entries({found.key: found.value for found in history})


@given(st.permutations([(1, 0.7), (2, 0.9), (3, 0.8), (4, 0.9)]), st.lists(st.booleans(), min_size=4, max_size=4))
def test_of_those_that_saw_the_same_the_best_is_the_champion_however_late(
    arrivals: list[tuple[int, float]], seen: list[bool]
) -> None:
    history: list[Entry] = []
    for (version, value), sees in zip(arrivals, seen, strict=True):
        # Each either sees all that is written before it, or nothing.
        now = replay(in_order(history)).holder if sees else None
        best = max((v for n, v in arrivals if n == now), default=None)
        if best is None or value > best:
            number = next_number(history) if sees else 1
            history.append(rival(number, version, now, value))
    values = dict(arrivals)
    found = replay(in_order(history)).holder
    assert found is not None
    assert values[found] == max(values[each.record.version] for each in history if each.record.version)


def test_what_is_written_is_read_back() -> None:
    found = entry(
        7, 3, 2, metric='val/"f1"', value=repr(float("inf")), run_id="a" * 32, by="ana", because='é \\ "', settled=True
    )
    (back,) = entries({found.key: found.value, "mlflow.note": "other"})
    assert back == found
    assert len(found.value) < 5_000


def test_the_longest_record_has_room() -> None:
    full = entry(
        1,
        10**6,
        10**6,
        metric='"' * 250,
        value="0." + "1" * 38,
        by='"' * 200,
        because=reason('"' * 3_000),
        run_id="a" * 32,
    )
    assert in_order([full]) == [full]
    assert len(full.value) < 5_000
    assert reason("a\x1b[31m\nb\udcff " + "x" * 3_000)[:8] == "a [31m b"


GOOD = entry(1, 1)


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_a_tag_that_is_no_entry_is_none(text: str) -> None:
    assert entries({GOOD.key: GOOD.value, "runyard.dev/alias.champion.000002.x": text}) == [GOOD]
    assert entries({GOOD.key: GOOD.value, text: GOOD.value}) == [GOOD]


@pytest.mark.parametrize(
    "value",
    [
        "[" * 4_000,
        "{" * 4_000,
        '{"change":"Promoted","version":0,"at":"2026-11-22T00:00:00Z"}',
        '{"change":"Promoted","version":1,"at":"2026-11-22T00:00:00"}',
        '{"change":"Promoted","version":1,"mustBeBetter":true,"value":"much","at":"2026-11-22T00:00:00Z"}',
        '{"change":"Promoted","version":1,"at":"2026-11-22T00:00:00Z","because":"' + "x" * 5_000 + '"}',
    ],
)
def test_a_record_that_is_none_is_left_alone(value: str) -> None:
    assert entries({"runyard.dev/alias.champion.000002.x": value}) == []


def test_who_does_not_end_a_move_within_an_hour_does_not_any_more() -> None:
    assert GOOD.is_open(NOW + timedelta(minutes=59))
    assert not GOOD.is_open(NOW + timedelta(minutes=61))
    assert not GOOD.settled.is_open(NOW)


def test_in_which_order_tags_are_read_does_not_matter() -> None:
    history = [rival(1, 1, None, 0.5), rival(1, 2, None, 0.9), rival(2, 3, 2, 0.95), entry(2, 1, 3)]
    lines = {
        replay(entries({each.key: each.value for each in order})).line for order in itertools.permutations(history)
    }
    assert len(lines) == 1


def test_histories_of_several_aliases_are_apart() -> None:
    other = replace(GOOD, alias="champion.old")
    assert entries({other.key: other.value}) == []
    spare = replace(GOOD, alias="spare")
    assert [each.alias for each in entries({GOOD.key: GOOD.value, spare.key: spare.value})] == ["champion", "spare"]
