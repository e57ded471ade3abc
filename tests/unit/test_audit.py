"""The measures of an audit, for any runs."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from runyard.api.alias_history import Change, Entry, Record
from runyard.api.records import RunStatus
from runyard.api.trainingrun import Tracking
from runyard.audit import Evidence, Finding, Folder, Measure, Name, PromotedVersion, Report, Times, markdown, measured
from runyard.audit import completeness as measure_completeness
from runyard.audit import distinct as measure_distinct
from runyard.audit import metadata as measure_metadata
from runyard.audit import promotion as measure_promotion
from runyard.audit import reproduction as measure_reproduction
from runyard.audit.completeness import attempts
from runyard.audit.distinct import fingerprinted, repeated
from runyard.audit.markdown import literal
from runyard.audit.measures import percentile
from runyard.audit.metadata import Field, provided, recorded, to_read
from runyard.audit.promotion import moment
from runyard.audit.reading import asked_for
from runyard.audit.thresholds import Least, WrongThreshold, failures, least, length, longest
from runyard.history import LoggedRun
from runyard.trees import topmost, trees

START = datetime(2026, 1, 1, tzinfo=UTC)
FINGERPRINT, PARENT = "runyard.dev/fingerprint", "mlflow.parentRunId"
COMMIT = "mlflow.source.git.commit"
WHOLE = Folder(has_log=True, has_manifest=True, recorded=frozenset({"seeds", "datasets", "environment"}))


def run(name: str, tags: Mapping[str, str] | None = None, **more: Any) -> LoggedRun:
    given = {"status": RunStatus.FINISHED, "started_at": START, "finished_at": START + timedelta(minutes=1), **more}
    return LoggedRun(id=name, name=name, experiment="heart", tags=tags or {}, **given)


def below(parent: str) -> dict[str, str]:
    return {PARENT: parent}


def marked(fingerprint: str) -> dict[str, str]:
    return {FINGERPRINT: fingerprint}


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.floats(0, 1))
def test_percentiles_are_numpys(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(float(np.percentile(values, share * 100)), rel=1e-9, abs=1e-6)
    assert min(values) <= percentile(values, share) <= max(values)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 9)), unique_by=lambda pair: pair[0]))
def test_every_run_is_in_one_tree_whatever_its_parents_are(pairs: list[tuple[int, int]]) -> None:
    runs = [run(str(number), below(str(parent))) for number, parent in pairs]
    found = [one.id for tree in trees(runs) for one in tree.runs]
    assert sorted(found) == sorted(one.id for one in runs)
    for tree in trees(runs):
        assert all(one.parent_id in {other.id for other in tree.runs} for one in tree.below)


def test_what_a_parent_says_its_children_need_not() -> None:
    runs = [run("a", marked("x")), run("b", {**below("a"), **marked("x")}), run("c", below("b")), run("d", below("?"))]
    assert [tree.root.id for tree in trees(runs)] == ["a", "d"]
    assert [one.id for one in topmost(runs, lambda one: one.tags.get(FINGERPRINT))] == ["a"]
    each_others = [run("a", {**below("b"), **marked("x")}), run("b", {**below("a"), **marked("x")})]
    assert [tree.root.id for tree in trees(each_others)] == ["a", "b"]


# Fingerprints, and the tree each run is in.
_RUNS = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), max_size=12)


@given(_RUNS, st.randoms())
def test_as_many_are_distinct_as_there_are_fingerprints(drawn: list[tuple[str, int]], random: Any) -> None:
    parents = [run(f"parent-{number}") for number in range(4)]
    runs = [
        run(f"{number}", {**below(f"parent-{tree}"), **marked(mark)}, started_at=START + timedelta(seconds=number))
        for number, (mark, tree) in enumerate(drawn)
    ]
    shuffled = [*parents, *runs]
    random.shuffle(shuffled)
    found = measure_distinct(shuffled)
    # Within a tree a fingerprint counts once.
    assert (found.count, found.of) == (len({mark for mark, _ in drawn}), len(set(drawn)))
    assert found.facts["repeats"] == sum(len(group.runs) - 1 for group in repeated(shuffled))
    for group in fingerprinted(shuffled).values():
        assert all(one.started_at < other.started_at for one, other in itertools.pairwise(group))


def test_only_what_has_a_result_and_was_not_meant_repeats() -> None:
    runs = [
        run("first", marked("x"), metrics={"accuracy": 0.9, "nan": float("nan"), "system/cpu": 1}),
        run("failed", marked("x"), status=RunStatus.FAILED),
        run("on purpose", {**marked("x"), "runyard.dev/reproduces": "first"}),
        run("grid", {**marked("x")}, metrics={"accuracy": 0.9, "nan": float("nan"), "system/cpu": 2, "more": 1}),
        run("fold", {**below("grid"), **marked("y")}),
        run("other", marked("y")),
        run("none"),
    ]
    [group] = repeated(runs)
    assert ([one.id for one in group.runs], group.differing) == (["first", "grid"], [])
    assert measure_distinct(runs).facts == {
        "groups": 1,
        "repeats": 1,
        "secondsAgain": 60,
        "groupsThatDiffer": 0,
        "withoutFingerprint": 1,
    }


def test_a_time_that_cannot_be_is_none() -> None:
    ends_before = [run(name, marked("x"), finished_at=START - timedelta(1)) for name in ("a", "b")]
    assert measure_distinct(ends_before).facts["secondsAgain"] == 0
    tags = {"runyard.dev/reproduces": "z", "runyard.dev/verdict": "Differs"}
    found = measure_reproduction([run("a", tags, finished_at=START - timedelta(1))])
    assert (found.of, found.times) == (1, Times(1, timedelta(), timedelta()))
    assert [each.says for each in found.behind] == ["not the same after 0s"]


@pytest.mark.parametrize(
    ("status", "tags", "counts", "times", "says"),
    [
        ("FINISHED", {"verdict": "Reproduced", "greatest-difference": "0.0"}, (1, 1), 1, "the same after 1m"),
        ("FINISHED", {"verdict": "Reproduced", "greatest-difference": "1e-7"}, (1, 1), 1, "the same (off by 1e-05 %)"),
        ("FINISHED", {"verdict": "Differs", "greatest-difference": "0.4"}, (0, 1), 1, "not the same (off by 40 %)"),
        ("FINISHED", {"verdict": "Differs", "greatest-difference": "inf"}, (0, 1), 1, "not the same (off beyond meas"),
        ("FINISHED", {"verdict": "Differs", "greatest-difference": "much"}, (0, 1), 1, "not the same after 1m"),
        ("FAILED", {"verdict": "Failed"}, (0, 1), 0, "failed after 1m"),
        ("FAILED", {"verdict": "Cannot"}, (0, 1), 0, "failed after 1m"),
        # Whoever asked was gone before it ended: that it failed needs no comparison, that it came again does.
        ("FAILED", {}, (0, 1), 0, "failed after 1m"),
        ("FINISHED", {}, (0, 0), 0, "no verdict after 1m"),
        ("FINISHED", {"verdict": "made up"}, (0, 0), 0, "no verdict after 1m"),
        ("KILLED", {"verdict": "Failed"}, (0, 0), 0, "stopped after 1m"),
        ("RUNNING", {}, (0, 0), 0, "not ended"),
    ],
)
def test_only_what_was_compared_or_failed_says_whether_a_result_comes_again(
    status: str, tags: dict[str, str], counts: tuple[int, int], times: int, says: str
) -> None:
    marked = {f"runyard.dev/{name}": value for name, value in tags.items()}
    found = measure_reproduction([run("a", {"runyard.dev/reproduces": "z", **marked}, status=RunStatus(status))])
    assert ((found.count, found.of), found.times.count if found.times else 0) == (counts, times)
    [behind] = found.behind
    assert behind.says.startswith(says)


def test_with_something_changed_it_is_a_training_of_its_own() -> None:
    tags = {"runyard.dev/reproduces": "z", "runyard.dev/varies": "parameters.depth", "runyard.dev/verdict": "Changed"}
    runs = [run("z", marked("x")), run("a", {**tags, **marked("y")}), run("b", marked("y"))]
    found = measure_reproduction(runs)
    assert (found.of, found.times, found.behind, found.facts["varied"], found.facts["results"]) == (0, None, (), 1, 3)
    assert found.meaning.endswith(
        "there are 3 finished results to ask for. 1 repetition with something changed not counted."
    )
    # What it tried had been tried, or is tried again: that is a repetition.
    assert measure_distinct(runs).facts["repeats"] == 1


def test_children_that_took_over_their_parents_tags_reproduce_nothing_more() -> None:
    tags = {"runyard.dev/reproduces": "z", "runyard.dev/verdict": "Reproduced"}
    runs = [run("z"), run("parent", tags), run("child", {**below("parent"), **tags})]
    found = measure_reproduction(runs)
    assert (found.count, found.of, found.facts["reproductions"], found.facts["results"]) == (1, 1, 1, 1)
    assert found.behind == (Finding(("z", "parent"), "z", "the same after 1m"),)


@pytest.mark.parametrize(
    ("given", "folder", "missing"),
    [
        ({}, None, set(Field)),
        ({"tags": {COMMIT: "1", FINGERPRINT: "x"}}, None, set(Field) - {Field.COMMIT, Field.FINGERPRINT}),
        ({"tags": {COMMIT: ""}}, None, set(Field)),
        ({"params": {"rate": "1"}}, None, set(Field) - {Field.PARAMETERS}),
        ({"params": {"split__random_state": "1"}}, None, set(Field) - {Field.PARAMETERS, Field.SEEDS}),
        ({"metrics": {"accuracy": float("nan")}}, None, set(Field) - {Field.METRICS}),
        ({"metrics": {"system/cpu_utilization_percentage": 3.0}}, None, set(Field)),
        ({"datasets": {"heart": ""}}, None, set(Field)),
        ({"datasets": {"heart": "0123"}}, None, set(Field) - {Field.DATASETS}),
        ({}, WHOLE, set(Field) - {Field.SEEDS, Field.DATASETS, Field.ENVIRONMENT}),
    ],
)
def test_each_field_has_its_sign(given: dict[str, Any], folder: Folder | None, missing: set[Field]) -> None:
    assert set(Field) - provided(run("a", **given), folder) == missing


@pytest.mark.parametrize(
    ("provenance", "fields"),
    [
        ({}, set()),
        ({"seeds": {}, "datasets": {}, "packages": {}}, set()),
        ({"seeds": {"a": "0"}}, {"seeds"}),
        ({"datasets": {"a": "sha256:1"}, "packages": {"numpy": "2"}}, {"datasets", "environment"}),
        ({"seeds": ["a"]}, set()),
    ],
)
def test_provenance_has_what_it_names(provenance: dict[str, Any], fields: set[str]) -> None:
    assert recorded(provenance) == fields


def test_a_parent_has_what_all_its_children_have() -> None:
    parent = run("grid", {COMMIT: "1", FINGERPRINT: "x"})
    children = [run(f"{n}", below("grid"), params={"depth": "3"}, metrics={"accuracy": 1}) for n in range(3)]
    folders = {"grid": WHOLE}
    assert measure_metadata([parent, *children], folders, {}).count == 1
    children[1] = replace(children[1], metrics={})
    found = measure_metadata([parent, *children], folders, {})
    assert (found.count, found.of, found.behind) == (0, 1, (Finding(("grid",), "grid", "no metrics"),))
    # One that was pruned has nothing to say of the grid; one that groups others has what they have.
    pruned = [parent, *children[:1], replace(children[1], status=RunStatus.FAILED), children[2]]
    assert measure_metadata(pruned, folders, {}).count == 1
    groups = [run(f"group-{n}", below("grid"), params={"fold": "1"}) for n in range(2)]
    folds = [run(f"fold-{n}-{g.id}", below(g.id), metrics={"accuracy": 1}) for g in groups for n in range(2)]
    assert measure_metadata([*folds, *groups, parent], folders, {}).count == 1
    assert measure_metadata([*folds[1:], groups[1], parent], folders, {}).behind[0].says.startswith("no ")


def test_what_could_not_be_read_is_no_lack() -> None:
    runs = [run("a", {**marked("x"), "runyard.dev/uid": "1"}), run("b", status=RunStatus.FAILED)]
    assert [one.id for one in to_read(runs)] == ["a"]
    found = measure_metadata(runs, {}, {"a": "out of reach"})
    assert (found.value, found.facts["unread"]) == (None, 1)
    whole = measure_completeness(runs, [], {}, {"a": "out of reach"})
    assert (whole.value, whole.facts["unread"], whole.facts["others"]) == (None, 1, 1)


def of_pod(pod: str, outcome: str = "Succeeded", **more: str) -> dict[str, str]:
    return {"runyard.dev/uid": "1", "runyard.dev/pod": pod, "runyard.dev/outcome": outcome, **more}


def test_an_attempts_log_is_with_its_last_run_that_has_no_parent_in_it() -> None:
    later = START + timedelta(minutes=1)
    first, last = run("first", of_pod("p")), run("last", of_pod("p"), started_at=later)
    child = run("child", {**of_pod("p"), **below("last")}, started_at=later)
    retried, going_on = run("retried", of_pod("q")), run("going on", of_pod("r"), status=RunStatus.RUNNING)
    assert [one.chief.id for one in attempts([first, last, child, retried, going_on])] == ["last", "retried"]
    assert measure_completeness([retried, going_on], [], {}, {}).facts["open"] == 1
    whole = run("whole", {"runyard.dev/uid": "1", "runyard.dev/made": "assigned"})
    assert [one.chief.id for one in attempts([first, last, child, retried, going_on, whole])] == ["whole"]
    assert [one.chief.id for one in attempts([run("a", of_pod("p", **below("a")))])] == ["a"]


@pytest.mark.parametrize(
    ("asked", "outcome", "says"),
    [
        (Tracking(), "Succeeded", None),
        (Tracking(require_model=True), "Succeeded", "no model"),
        (Tracking(require_metrics=["loss", "auc", "f1"]), "Succeeded", "no metric auc and metric f1"),
        (Tracking(require_model=True), "Failed", None),
    ],
)
def test_only_of_a_success_results_are_asked(asked: Tracking, outcome: str, says: str | None) -> None:
    runs = [run("a", of_pod("p", outcome)), run("b", {**of_pod("p"), **below("a")}, metrics={"loss": 1})]
    found = measure_completeness(runs, [], {"a": Folder(has_log=True, has_manifest=True, asked=asked)}, {})
    assert [each.says for each in found.behind] == ([says] if says else [])


# Merged, a few lines stand for 9 to the power of 9 keys.
BOMB = b"a: &a0 {x: 1}\n" + b"".join(
    f"b{n}: &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}]}}\n".encode() for n in range(9)
)


@pytest.mark.parametrize(
    ("manifest", "asked"),
    [
        (b"spec: {tracking: {requireModel: true, run: Assigned}}", Tracking(require_model=True)),
        (b"spec: {}", Tracking()),
        (b"[]", Tracking()),
        (b"spec: {tracking: {requireMetrics: auc}}", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"when: 2026-13-99", Tracking()),
        (b"a: !!bool maybe", None),
        (b"a: !!timestamp soon", None),
        (BOMB, None),
    ],
)
def test_a_manifest_is_anybodys(manifest: bytes, asked: Tracking | None) -> None:
    assert asked_for(manifest) == asked


def version(**more: Any) -> PromotedVersion:
    known = {
        "run_id": "a",
        "run": run("a", metrics={"recall": 1}),
        "experiment_runs": [run("a"), run("b", started_at=START + timedelta(hours=1))],
        "tags": {"runyard.dev/promoted-because": "recall", "runyard.dev/promoted-at": "2026-01-01T00:30:00+00:00"},
        **more,
    }
    alias = known.pop("alias", "champion")
    return PromotedVersion("heart", "1", alias, START + timedelta(hours=2), **known)


PROMOTED = {"runyard.dev/promoted-because": "recall", "runyard.dev/promoted-at": "2026-01-01T00:30:00Z"}
CHOSEN = [
    ("", None),
    ("2026-01-01T00:20:00Z/2026-01-01T00:30:00Z", 600),
    ("2026-01-01T00:20:00+00:00/2026-01-01T01:30:00+01:00", 600),
    ("2026-01-01T00:20:00Z/2026-01-01T00:25:00Z", None),  # of an earlier promotion
    ("2026-01-01T00:40:00Z/2026-01-01T00:30:00Z", None),
    ("2026-01-01T00:20:00Z", None),
    ("now/then", None),
]


@pytest.mark.parametrize(("written", "seconds"), CHOSEN)
def test_how_long_somebody_chose_counts_for_the_promotion_that_it_ended_with(written: str, seconds: int | None) -> None:
    given = version(tags={**PROMOTED, "runyard.dev/selected-during": written})
    assert (given.selection and given.selection.total_seconds()) == seconds
    found = measure_promotion([given, version()])
    assert found.facts["selected"] == (seconds is not None)
    assert found.facts.get("selectionSeconds") == seconds
    assert any("chosen in 10m" in each.says for each in found.behind) is (seconds is not None)


@pytest.mark.parametrize(
    ("given", "lacks", "minutes", "candidates"),
    [
        (version(), [], 30, 1),
        (version(tags={}), ["reason"], 120, 2),
        (version(tags={"runyard.dev/promoted-at": "soon"}), ["reason"], 120, 2),
        (version(run=run("a")), ["metrics"], 30, 1),
        (version(run=run("a", metrics={"system/memory": 1.0})), ["metrics"], 30, 1),
        (version(run=None, experiment_runs=[]), ["run", "metrics"], None, 0),
        (version(tags={"runyard.dev/promoted-at": "1999-01-01"}), ["reason"], 0, 0),
    ],
)
def test_promotion_has_its_time_and_evidence(
    given: PromotedVersion, lacks: list[str], minutes: int | None, candidates: int
) -> None:
    took = None if minutes is None else timedelta(minutes=minutes)
    assert (given.lacks, given.took, len(given.candidates)) == (lacks, took, candidates)
    found = measure_promotion([given])
    assert (found.count, found.of, found.times) == (
        int(not lacks),
        1,
        Times.of([] if took is None else [took]),
    )


def moved(
    number: int, version: int, change: str = "Promoted", at: datetime = START, alias: str = "champion", **more: Any
) -> dict[str, str]:
    """Return what a registered model says of a move of its champion, as `runyard promote` writes it."""
    record = Record(change=Change(change), version=version, at=at, because="better", settled=True, **more)
    entry = Entry(alias, number, "a", record)
    return {entry.key: entry.value}


DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SIX_DAYS = 6 * DAY + HOUR
NIGHTLY = [run(f"night-{number}", metrics={"recall": 1}, started_at=START + number * DAY) for number in range(100)]


def nightly(night: int, **more: Any) -> PromotedVersion:
    """Return version 9, which was promoted an hour after its training began."""
    at = (NIGHTLY[night].started_at + HOUR).isoformat()
    tags = {"runyard.dev/promoted-because": "recall", "runyard.dev/promoted-at": at}
    known = {"run": NIGHTLY[night], "experiment_runs": NIGHTLY, "tags": tags, **more}
    return PromotedVersion("heart", "9", "champion", START, run_id=f"night-{night}", **known)


REPLACED = moved(1, 8, at=START + 92.5 * DAY)
GRID = run("grid", started_at=START + 98 * DAY)
OVERTAKEN: dict[str, Any] = {"must_be_better": True, "instead_of": 1, "metric": "recall", "value": "0.1"}


@pytest.mark.parametrize(
    ("night", "known", "took", "says"),
    [
        pytest.param(99, {}, HOUR, "1h since its own", id="nothing is known of an earlier one"),
        pytest.param(0, {}, HOUR, "", id="the first of all"),
        pytest.param(99, {"model_tags": REPLACED}, SIX_DAYS, "6.04d since the first after version 8", id="six tried"),
        pytest.param(
            99,
            {"model_tags": REPLACED | moved(2, 7, at=START + 98.5 * DAY)},
            HOUR,
            "1h since the first after version 7",
            id="the last of two",
        ),
        pytest.param(92, {"model_tags": REPLACED}, HOUR, "1h since its own", id="what came later replaced it"),
        pytest.param(
            99, {"model_tags": REPLACED | moved(2, 7, "Moved", START + 98.5 * DAY)}, SIX_DAYS, "8", id="found"
        ),
        pytest.param(
            99,
            {"model_tags": REPLACED | moved(2, 7, at=START + 98.5 * DAY, **OVERTAKEN)},
            SIX_DAYS,
            "6.04d since the first after version 8",
            id="one that did not come to have it",
        ),
        pytest.param(99, {"model_tags": moved(1, 8, alias="other")}, HOUR, "1h since its own", id="another alias"),
        pytest.param(
            99,
            {"model_tags": moved(1, 9) | moved(2, 9, at=START + 99 * DAY + HOUR)},
            HOUR,
            "1h since its own",
            id="it was promoted before",
        ),
        pytest.param(
            99,
            {
                "run": replace(NIGHTLY[99], tags=below("grid")),
                "experiment_runs": [*NIGHTLY[:99], GRID, replace(NIGHTLY[99], tags=below("grid"))],
            },
            DAY + HOUR,
            "1.04d since its own",
            id="a part of a grid",
        ),
    ],
)
def test_a_promotion_takes_from_what_it_came_of_however_old_the_experiment_is(
    night: int, known: dict[str, Any], took: timedelta, says: str
) -> None:
    given = nightly(night, **known)
    assert given.took == took
    found = measure_promotion([given])
    assert found.facts["sinceFirstRunSeconds"] == (night * DAY + HOUR).total_seconds()
    assert says in found.behind[0].says
    assert failures([longest("promotion=2w")], [found]) == []


def test_the_first_promotion_takes_from_the_first_run_of_all() -> None:
    at = START + 99 * DAY + HOUR
    given = nightly(99, model_tags=moved(1, 9, at=at), tags={"runyard.dev/promoted-at": at.isoformat()})
    assert given.promoted_at == at
    assert given.took == given.since_first == 99 * DAY + HOUR
    assert "99d since the first" in measure_promotion([given]).behind[0].says


def test_what_was_trained_before_the_last_promotion_takes_from_its_own_training() -> None:
    given = nightly(90, model_tags=moved(1, 8, at=START + 90 * DAY + HOUR / 2))
    assert given.took == HOUR


@pytest.mark.parametrize(
    ("tags", "lacks"),
    [
        (moved(1, 1), []),
        (moved(1, 2) | moved(2, 1), []),
        (moved(1, 1) | moved(2, 2), ["reason"]),
        (moved(1, 2), ["reason"]),
        (moved(1, 1) | moved(2, 2) | moved(3, 1, "Moved"), ["reason"]),
        (moved(1, 1) | moved(2, 2) | moved(3, 1, "RolledBack"), []),
        ({"runyard.dev/alias.champion.000001.a": "anybody's"}, []),
    ],
)
def test_an_alias_that_was_moved_by_hand_has_no_reason(tags: dict[str, str], lacks: list[str]) -> None:
    given = version(model_tags=tags)
    assert given.lacks == lacks
    says = measure_promotion([given]).behind[0].says
    assert says.endswith("; no reason; champion moved by hand") is bool(lacks)
    assert version(model_tags=tags, alias="challenger").lacks == []


# First a candidate, then the champion; the version tells of the last.
TWICE = moved(1, 1, at=START + 0.5 * HOUR, alias="staging") | moved(1, 1, at=START + 3 * HOUR)
LOST = TWICE | moved(2, 2, at=START + 4 * HOUR)
LAST = {
    "runyard.dev/promoted-to": "heart@champion",
    "runyard.dev/promoted-at": "2026-01-01T03:00:00Z",
    "runyard.dev/promoted-because": "better",
    "runyard.dev/selected-during": "2026-01-01T02:50:00Z/2026-01-01T03:00:00Z",
}


@pytest.mark.parametrize(
    ("alias", "history", "at", "because", "lacks", "selection"),
    [
        ("staging", TWICE, 0.5, "better", [], None),
        ("champion", TWICE, 3, "better", [], HOUR / 6),
        # Of which nothing is on record: what the version says is of the other.
        ("staging", moved(1, 1, at=START + 3 * HOUR), 2, "", ["reason"], None),
        ("champion", {}, 3, "better", [], HOUR / 6),
        ("staging", {}, 2, "", ["reason"], None),
        # It came back: by a promotion of its own, or to what it was promoted for.
        (
            "champion",
            TWICE | moved(2, 2, at=START + 4 * HOUR) | moved(3, 1, at=START + 5 * HOUR),
            5,
            "better",
            [],
            None,
        ),
        (
            "champion",
            TWICE | moved(2, 2, at=START + 4 * HOUR) | moved(3, 1, "RolledBack", START + 5 * HOUR),
            3,
            "better",
            [],
            HOUR / 6,
        ),
    ],
)
def test_under_each_alias_a_version_has_its_own_time_and_reason(
    alias: str,
    history: dict[str, str],
    at: float,
    because: str,
    lacks: list[str],
    selection: timedelta | None,
) -> None:
    given = version(alias=alias, tags=LAST, model_tags=history)
    assert (given.promoted_at, given.because) == (START + at * HOUR, because)
    assert (given.lacks, given.selection) == (lacks, selection)
    assert given.since_first == given.promoted_at - START


def test_a_version_under_two_aliases_counts_twice() -> None:
    found = measure_promotion([version(alias=alias, tags=LAST, model_tags=TWICE) for alias in ("staging", "champion")])
    assert (found.count, found.of) == (2, 2)
    assert [each.name for each in found.behind] == ["heart 1 (champion)", "heart 1 (staging)"]
    assert [each.says for each in found.behind] == [
        "2 runs before it, 3h since the first, chosen in 10m",
        "1 run before it, 30m since the first",
    ]


@pytest.mark.parametrize("text", ["", "soon", "0001-01-01T00:00:00+23:00", "2026-02-30"])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert moment(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "speed=1",
            'there is no measure "speed" for it; there are: reproduction, metadata, promotion, distinct, compl',
        ),
        ("=1", 'there is no measure ""'),
        ("metadata", "give a value, such as metadata=90"),
        ("metadata=", "give a value, such as metadata=90"),
        ("metadata=much", "'much' is no percentage: give a number from 0 to 100"),
        ("metadata=nan", "'nan' is no percentage"),
        ("metadata=-1", "'-1' is no percentage"),
        ("metadata=100.1", "'100.1' is no percentage"),
        ("metadata=0.9", "give per cent, 90; or 0.9% if that is meant"),
    ],
)
def test_a_threshold_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(WrongThreshold) as refused:
        least(text)
    assert str(refused.value).startswith(f"--fail-under {text}: {said}")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "text", ["metadata=1h", "promotion=1", "promotion=h", "promotion=-1h", f"promotion={'9' * 30}w"]
)
def test_a_longest_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(WrongThreshold):
        longest(text)


def measure(count: int, of: int, times: Times | None = None) -> Measure:
    return Measure(Name.PROMOTION, count, of, "versions", "", "", times=times)


@pytest.mark.parametrize(
    ("count", "of", "text", "said"),
    [
        (9, 10, "90", None),
        (9, 10, "90%", None),
        (89, 100, "90", "promotion is 89.0 % (89 of 100 versions), 1 points below 90 %"),
        (19_999, 20_000, "100", "promotion is 99.9 % (19999 of 20000 versions), 0.005 points below 100 %"),
        (0, 0, "1", "promotion has nothing to look at (no versions), so it is not at least 1 %"),
        (0, 0, "0", None),
        (0, 10, "0", None),
        (1, 1000, "0.1%", None),
    ],
)
def test_a_gate_says_by_how_much_it_is_missed(count: int, of: int, text: str, said: str | None) -> None:
    assert failures([least(f"promotion={text}")], [measure(count, of)]) == ([said] if said else [])


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_a_share_reaches_itself_and_nothing_above(count: int, of: int) -> None:
    found = measure(min(count, of), of)
    assert found.value is not None
    assert Least(Name.PROMOTION, found.value).failure(found) is None
    assert Least(Name.PROMOTION, found.value + 0.001).failure(found)
    assert float(found.percent.removesuffix(" %")) <= found.value


def test_a_gate_for_times_looks_at_the_median() -> None:
    found = measure(1, 1, Times.of([timedelta(hours=hours) for hours in (1, 3, 30)]))
    assert failures([longest("promotion=3h")], [found]) == []
    assert failures([longest("promotion=90m")], [found]) == ["promotion takes 3h (median of 3), 1.5h longer than 1.5h"]
    assert failures([longest("promotion=1d")], [measure(0, 0)]) == [
        "promotion has nothing to look at (no versions), so it is not median at most 1d"
    ]
    assert length("1.2.3h") is None


HOSTILE = [
    "a | b",
    "`|`\\|\\`|",
    "line\nline\r\n\n| x | y |",
    "<script>alert(1)</script></details>",
    "@everyone #1 www.example.com https://example.com a@b.c",
    "\x1b[2J\u202e",
    "[x](javascript:1) ![y](http://example.com) **b** _i_ &lt;",
    "\ud800",
    " ",
    "",
    "x" * 10_000,
]


@given(st.one_of(st.sampled_from(HOSTILE), st.text()))
def test_names_are_only_shown_in_markdown(name: str) -> None:
    found = measure(0, 1)
    found = replace(found, behind=(Finding((name,), name, name),))
    report = Report(name, None, START, 1, (found,), {})
    text = markdown(report, thresholds=[Least(Name.PROMOTION, 50)])
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in {"th_open", "td_open"}]
    assert (len(rows), len(cells)) == (4, 2 * 6 + 2 * 3)
    # Whatever is made of a name is one span of code, or a dash.
    spans = [child for token in tokens if token.type == "inline" for child in token.children or ()]
    assert {span.type for span in spans} <= {"text", "code_inline"}
    shown = [span.content for span in spans if span.type == "code_inline"]
    inside = literal(name)[1:-1]
    # Of a span that begins and ends with a space both are dropped.
    seen = inside[1:-1] if inside.startswith(" ") and inside.endswith(" ") else inside
    assert shown == ([seen] * 4 if name.strip() else [])
    assert len(text) < 4 * 200 + 2_000
    assert "\n".join(token.content for token in tokens if token.type == "html_block").count("<") == 4


def test_nothing_at_all_can_be_measured() -> None:
    report = measured(Evidence([], [], {}, {}, []), None, None)
    assert [found.value for found in report.measures] == [None] * 5
    assert [found.name for found in report.measures] == list(Name)
    assert markdown(report).startswith("### Audit of the whole server\n\n0 runs.\n")
