"""What a repetition is made of, and what it shows: manifests, names, matches and verdicts, from values alone."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runyard import validation
from runyard.api.model import JsonObject
from runyard.api.records import RunStatus
from runyard.comparison import MetricChange
from runyard.errors import RunyardError
from runyard.history import LoggedRun
from runyard.reproduction import (
    Gap,
    Receipt,
    Reproduction,
    Verdict,
    Where,
    WrongChange,
    again,
    changes_of,
    derived_name,
    matched,
    read_off,
    relative,
)
from runyard.reproduction.marking import marks, topmost
from runyard.reproduction.receipts import read_manifest
from runyard.reproduction.verdicts import in_the_way, judged
from tests.support.factories import manifest

COMMIT, DIGEST, OTHER = "b5c0b187fe309af0f4d35982fd961d7e1b1ae3c2", f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
GIT = "https://git.example/wine"
IMAGE = f"registry.example/wine@{DIGEST}"
IN_CLUSTER = {"runyard.dev/installation": "here"}
FIRST = datetime(2026, 1, 2, tzinfo=UTC)


def run(name: str = "wine", number: int = 0, **more: Any) -> LoggedRun:
    given = {"status": RunStatus.FINISHED, "metrics": {"f1": 0.9}} | more
    started = FIRST + timedelta(seconds=number)
    return LoggedRun(id=f"{name}-{number}", name=name, experiment="e", started_at=started, finished_at=started, **given)


def of(chief: LoggedRun | None = None, provenance: Mapping[str, Any] | None = None, **spec: Any) -> Receipt:
    found = chief or run()
    document = manifest(**spec)
    return read_off(found, [found], document, dict(provenance or {}))


def whats(receipt: Receipt, where: Where) -> list[str]:
    return [gap.what for gap in receipt.gaps_of(where)]


names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?){0,6}", fullmatch=True)


@given(names.filter(lambda name: len(name) <= 253), st.from_regex("[a-z0-9]{5}", fullmatch=True))
def test_the_name_of_a_repetition_is_one_that_a_cluster_takes(name: str, suffix: str) -> None:
    found = derived_name(name, suffix)
    assert found.endswith(f"-again-{suffix}")
    assert validation.parse({**manifest(), "metadata": {"name": found}}).metadata.name == found
    assert len(derived_name(found, "x7k2p")) <= len(found), "it does not grow from one to the next"


def test_the_longest_name_is_cut() -> None:
    assert len(derived_name("a" * 253, "x7k2p")) == 253
    assert derived_name(f"{'a' * 240}.{'b' * 12}", "x7k2p") == f"{'a' * 240}-again-x7k2p"


def test_code_data_and_image_are_pinned_to_what_they_were() -> None:
    tags = IN_CLUSTER | {
        "mlflow.source.git.commit": COMMIT,
        "mlflow.source.git.repoURL": GIT,
        "runyard.dev/image-digest": IMAGE,
    }
    found = of(
        run(tags=tags, datasets={"a.csv": DIGEST, "b.csv": "md5-of-another"}),
        source={"git": GIT, "revision": "main", "path": "training"},
        datasets=[{"name": "a.csv", "uri": "https://h/a"}, {"name": "b.csv", "uri": "https://h/b"}],
        parameters={"depth": 3},
        suspend=True,
        onDuplicate="Reuse",
        promote={"model": "wine", "alias": "champion"},
    )
    document: Any = again(found, "wine-again-x7k2p", Where.CLUSTER)
    spec = document["spec"]
    assert validation.parse(document)
    assert spec["source"] == {"git": GIT, "revision": COMMIT, "path": "training"}
    assert [dataset.get("digest") for dataset in spec["datasets"]] == [DIGEST, None]
    assert (spec["image"], spec["parameters"]) == (IMAGE, {"depth": 3})
    # What is there already would be its own repetition; and nobody asked for another champion.
    assert not {"suspend", "onDuplicate", "promote"} & spec.keys()
    assert document["metadata"]["annotations"] == {"runyard.dev/reproduces": "wine-0"}
    assert whats(found, Where.CLUSTER) == ["dataset b.csv", "seeds and packages"]
    on_machine: Any = again(found, "wine-again-x7k2p", Where.MACHINE)
    assert on_machine["spec"]["image"] == found.spec["image"], "no image is used there"
    assert found.spec["source"] == {"git": GIT, "revision": "main", "path": "training"}, "what was read stays as it is"


@pytest.mark.parametrize(
    ("chief", "spec", "where", "missing"),
    [
        pytest.param(run(), {}, Where.MACHINE, ["seeds and packages"], id="a script that tells nothing"),
        pytest.param(
            run(tags=IN_CLUSTER),
            {},
            Where.CLUSTER,
            ["the image's digest", "seeds and packages"],
            id="a tag of an image",
        ),
        pytest.param(
            run(tags=IN_CLUSTER | {"runyard.dev/image-digest": DIGEST}),
            {},
            Where.CLUSTER,
            ["the image's digest", "seeds and packages"],
            id="a node's own name of an image, which no other node knows",
        ),
        pytest.param(
            run(tags=IN_CLUSTER | {"runyard.dev/image-digest": DIGEST}),
            {"image": IMAGE},
            Where.CLUSTER,
            ["seeds and packages"],
            id="pinned by the manifest",
        ),
        pytest.param(
            run(tags=IN_CLUSTER),
            {"image": IMAGE},
            Where.MACHINE,
            ["the environment", "seeds and packages"],
            id="an image, and a machine",
        ),
        pytest.param(run(), {}, Where.CLUSTER, ["the environment", "seeds and packages"], id="a machine, and an image"),
        pytest.param(
            run(tags={"mlflow.source.git.commit": COMMIT, "mlflow.source.git.repoURL": "https://git.example/other"}),
            {"source": {"git": GIT}},
            Where.MACHINE,
            ["the commit", "seeds and packages"],
            id="a commit of another repository",
        ),
        pytest.param(
            run(),
            {"source": {"git": GIT, "revision": COMMIT}},
            Where.MACHINE,
            ["seeds and packages"],
            id="a commit in the manifest",
        ),
    ],
)
def test_what_is_not_recorded_is_told_where_it_matters(
    chief: LoggedRun, spec: dict[str, Any], where: Where, missing: list[str]
) -> None:
    found = of(chief, **spec)
    assert whats(found, where) == missing
    assert not any(gap.is_in_the_way for gap in found.gaps)


@pytest.mark.parametrize(
    ("chief", "said"),
    [
        (run(status=RunStatus.RUNNING), "wine has not ended: it is RUNNING"),
        (
            run(
                status=RunStatus.FAILED,
                tags={"runyard.dev/outcome": "Failed", "runyard.dev/reason": "OOMKilled"},
            ),
            "wine ended as Failed (OOMKilled): what it logged before is no result",
        ),
        (run(status=RunStatus.KILLED), "wine ended as Killed: what it logged before is no result"),
        (run(metrics={"system/cpu_utilization_percentage": 3.0}), "wine logged none"),
    ],
)
def test_what_has_no_result_cannot_be_reproduced(chief: LoggedRun, said: str) -> None:
    [gap] = [gap for gap in of(chief).gaps if gap.is_in_the_way]
    assert gap.why == said


def test_a_run_of_no_training_is_told_with_what_is_known_of_it() -> None:
    gap = Gap("the manifest", "no TrainingRun made this run", "", is_in_the_way=True)
    provenance: JsonObject = {"code": {"commit": COMMIT}, "command": ["train.py", "--depth=3"]}
    [told] = read_off(run(), [run()], {}, provenance, gap).gaps
    assert told.remedy == (
        f'write a TrainingRun with `command: ["python", "train.py", "--depth=3"]` at commit {COMMIT}, which its '
        "provenance has, and start that with `runyard run`"
    )
    [told] = read_off(run(), [run()], {}, {}, gap).gaps
    assert told.remedy == "write a TrainingRun with its command, and start that with `runyard run`"


def test_the_experiment_stays_where_the_namespace_does_not() -> None:
    found = replace(of(), manifest={**manifest(), "metadata": {"name": "wine", "namespace": "team"}})
    document: Any = again(found, "wine-again-x7k2p", Where.CLUSTER, namespace="other")
    assert (document["metadata"]["namespace"], document["spec"]["experiment"]) == ("other", "team")
    assert "namespace" not in again(found, "wine-again-x7k2p", Where.MACHINE)["metadata"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("before", "text", "now"),
    [
        (3, "4", 4),
        (3, "three", "three"),
        (0.1, "1e-3", 0.001),
        (True, "false", False),
        ("5,25", "5", "5"),
        (3, "NaN", "NaN"),
        (3, "[1]", "[1]"),
        (3, "3", 3),
    ],
)
def test_a_parameter_is_set_to_what_it_can_be(before: Any, text: str, now: Any) -> None:
    document: Any = again(of(parameters={"a": before, "b": 1}), "n", Where.MACHINE, changes={"a": text})
    assert document["spec"]["parameters"] == {"a": now, "b": 1}
    assert type(document["spec"]["parameters"]["a"]) is type(now)
    varies = {} if before == now else {"runyard.dev/varies": "parameters.a"}
    assert document["metadata"]["annotations"] == {"runyard.dev/reproduces": "wine-0"} | varies


def test_a_parameter_that_is_none_is_refused() -> None:
    with pytest.raises(WrongChange, match='--set: wine has no parameter "depht"; it has: depth'):
        again(of(parameters={"depth": 3}), "n", Where.MACHINE, changes={"depht": "3"})
    with pytest.raises(WrongChange, match="it has: none"):
        again(of(), "n", Where.MACHINE, changes={"depth": "3"})


def test_changes_are_names_with_values() -> None:
    assert changes_of(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for words, said in ((["a"], 'is "a": give NAME=VALUE'), (["=1"], "give NAME=VALUE"), (["a=1", "a=2"], '"a" twice')):
        with pytest.raises(WrongChange, match=said):
            changes_of(words)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: &a [*a]", "a reference to what it is itself a part of"),
        (b"x" * (2 * 1024 * 1024 + 1), "has more than 2 MiB, which no TrainingRun may have"),
        (b"a: [", "is not YAML"),
        (b"[" * 100_000, "nested more deeply than a TrainingRun can be"),
        (b"", "holds 0 objects"),
        (b"kind: Pod", "not a TrainingRun"),
        (yaml.safe_dump(manifest(workers=0)).encode(), "spec.workers"),
        (yaml.safe_dump(manifest(colour="red")).encode(), "unknown field"),
        (b"\xff\x00", "is not UTF-8"),
        (b"a: !!python/object/apply:os.system [id]", "the tag !!python/object/apply:os.system stands for nothing here"),
    ],
)
def test_a_manifest_that_anybody_may_have_written_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(RunyardError, match=said) as refused:
        read_manifest(content)
    assert refused.value.exit_code == 2


nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "same"),
    [
        (0.1 + 0.2, 0.3, 0.0, False),
        (0.1 + 0.2, 0.3, 1e-9, True),
        (nan, nan, 0.0, True),
        (nan, 0.3, 1.0, False),
        (inf, inf, 0.0, True),
        (inf, 1e308, 0.5, False),
        (inf, -inf, 1.0, False),
        (0.0, -0.0, 0.0, True),
        (1.0, 1.1, 0.1, True),
        (1.0, 1.2, 0.1, False),
        (0.0, 1e-300, 0.1, False),
        (None, 0.3, 1.0, False),
        (0.3, None, 1.0, False),
    ],
)
def test_metrics_are_the_same_to_the_last_bit_or_within_what_is_allowed(
    one: float | None, other: float | None, tolerance: float, *, same: bool
) -> None:
    assert MetricChange("f1", one, other).is_within(tolerance) is same


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(2.0, 1.0, -0.5), (-2.0, -1.0, 0.5), (0.0, 1.0, None), (None, 1.0, None), (nan, 1.0, None), (nan, nan, None)],
)
def test_a_difference_is_told_in_parts_of_what_it_was(
    one: float | None, other: float | None, expected: float | None
) -> None:
    assert relative(MetricChange("f1", one, other)) == expected


def ids(before: list[LoggedRun], now: list[LoggedRun]) -> list[tuple[str | None, str | None]]:
    pairs = matched(before, now)
    return [(pair.before.id if pair.before else None, pair.now.id if pair.now else None) for pair in pairs]


def test_runs_are_matched_by_name_and_parameters_then_by_either() -> None:
    before = [
        run("grid"),
        run("both", 1, params={"depth": "3"}),
        run("both", 2, params={"depth": "5"}),
        run("named", 3, params={"at": "10:00"}),
        run("bold-fish", 4, params={"depth": "9"}),
        run("fold", 5),
        run("fold", 6),
        run("gone", 7, params={"depth": "1"}),
    ]
    now = [
        run("grid-again", 10),
        run("shy-bird", 11, params={"depth": "9"}),
        run("both", 12, params={"depth": "5"}),
        run("both", 13, params={"depth": "3"}),
        run("named", 14, params={"at": "11:00"}),
        run("fold", 15),
        run("fold", 16),
        run("new", 17, params={"depth": "2"}),
    ]
    assert ids(before, now) == [
        ("grid-0", "grid-again-10"),
        ("both-1", "both-13"),
        ("both-2", "both-12"),
        ("named-3", "named-14"),
        ("bold-fish-4", "shy-bird-11"),
        ("fold-5", "fold-15"),
        ("fold-6", "fold-16"),
        ("gone-7", None),
        (None, "new-17"),
    ]


def test_where_a_parameter_was_changed_the_others_match() -> None:
    def grid(*depths: str, trees: str) -> list[LoggedRun]:
        children = [
            run(f"{trees}-{depth}", n, params={"trees": trees, "depth": depth}) for n, depth in enumerate(depths)
        ]
        return [run("grid", 9), *children]

    before, now = grid("2", "3", trees="5"), grid("3", "2", "4", trees="6")
    assert [each for each in matched(before, now)[1:] if each.before and each.now] == []
    pairs = [(each.before, each.now) for each in matched(before, now, ["trees"])[1:]]
    assert [(one and one.params["depth"], other and other.params["depth"]) for one, other in pairs] == [
        ("2", "2"),
        ("3", "3"),
        (None, "4"),
    ]
    # Where that does not tell them apart, nothing is guessed.
    assert not [each for each in matched(before, now, ["trees", "depth"])[1:] if each.before and each.now]


some_runs = st.lists(
    st.builds(run, st.sampled_from("abc"), st.integers(0, 99), params=st.sampled_from([{}, {"d": "1"}, {"d": "2"}])),
    min_size=1,
    max_size=8,
    unique_by=lambda found: found.id,
)


@given(some_runs, some_runs)
def test_each_run_is_matched_once(before: list[LoggedRun], now: list[LoggedRun]) -> None:
    now = [replace(found, id=f"{found.id}-now") for found in now]
    pairs = matched(before, now)
    assert [pair.before for pair in pairs if pair.before] == before
    assert sorted(pair.now.id for pair in pairs if pair.now) == sorted(found.id for found in now)


@given(some_runs)
def test_what_was_repeated_as_it_was_is_matched_run_by_run(before: list[LoggedRun]) -> None:
    now = [replace(found, id=f"{found.id}-now") for found in before]
    assert ids(before, now) == [(found.id, f"{found.id}-now") for found in before]


def compared(before: list[LoggedRun], now: list[LoggedRun], **more: Any) -> Reproduction:
    found = Reproduction(Verdict.FAILED, of(before[0]), Where.MACHINE, pairs=matched(before, now), **more)
    return replace(found, verdict=judged(found.is_same, found.varies))


ONE = {"f1": 0.9, "loss": 0.5}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            compared([run(metrics=ONE)], [run(metrics=ONE)]),
            "Reproduced: all 2 metrics are the same to the last bit.",
        ),
        (
            compared([run()], [run()]),
            "Reproduced: its one metric is the same to the last bit.",
        ),
        (
            compared([run(), run("a", 1)], [run(), run("a", 1)]),
            "Reproduced: all 2 metrics of 2 runs are the same to the last bit.",
        ),
        (
            compared([run(metrics=ONE)], [run(metrics=ONE | {"f1": 0.9000001})], tolerance=1e-3),
            "Reproduced: all 2 metrics are the same within 0.001, 1 of them to the last bit.",
        ),
        (
            compared([run(metrics=ONE)], [run(metrics=ONE | {"f1": 0.45})]),
            "Differs: 1 of 2 metrics differs, relatively by at most 0.5.",
        ),
        (
            compared([run(metrics=ONE)], [run(metrics=ONE | {"f1": 0.45})], only=("loss",)),
            "Reproduced: its one metric is the same to the last bit.",
        ),
        (
            compared([run(metrics=ONE)], [run(metrics=ONE | {"more": 1.0})]),
            "Differs: 1 of 3 metrics differs (1 not there before).",
        ),
        (
            compared([run(), run("gone", 1)], [run()]),
            "Differs: 1 of 2 metrics of 2 runs differs (1 not there any more).",
        ),
        (
            compared([run()], [run(metrics={"f1": 0.9, "system/memory": 3.0})]),
            "Reproduced: its one metric is the same to the last bit.",
        ),
        (
            compared([run(metrics=ONE)], [run(metrics={"f1": 0.81, "loss": 0.6})], changed={"depth": ("3", "4")}),
            (
                "Changed: depth was 3 and is 4, so this is another training: 2 of 2 metrics differ, relatively by at "
                "most 0.2."
            ),
        ),
        (
            compared([run()], [run(metrics={"f1": 0.45})], changed={"depth": ("3", "4")}, is_other_code=True),
            (
                "Changed: the code is not what ran, depth was 3 and is 4, so this is another training: its one metric "
                "differs, relatively by at most 0.5."
            ),
        ),
        (
            Reproduction(Verdict.FAILED, of(), Where.MACHINE, reason="Error", message="exit code 1: no such file"),
            "Failed: the repeated training failed (Error): exit code 1: no such file.",
        ),
        (
            Reproduction(
                Verdict.CANNOT,
                of(),
                Where.MACHINE,
                gaps=(Gap("the code", "it is gone", "look", is_in_the_way=True), Gap("seeds", "?", "!")),
            ),
            "Cannot: the code: it is gone.",
        ),
    ],
)
def test_what_came_of_it_is_said_in_a_sentence(found: Reproduction, said: str) -> None:
    assert found.sentence == said


@pytest.mark.parametrize(
    ("found", "tags"),
    [
        (
            compared([run(metrics=ONE)], [run(metrics=ONE)]),
            {"verdict": "Reproduced", "greatest-difference": "0.0"},
        ),
        (
            compared([run(metrics=ONE)], [run(metrics=ONE | {"f1": 0.45})], tolerance=0.6, only=("f1",)),
            {"verdict": "Reproduced", "greatest-difference": "0.5", "tolerance": "0.6", "compared": "f1"},
        ),
        (
            compared([run(metrics=ONE)], [run(metrics=ONE | {"f1": 0.45})], changed={"depth": ("3", "4")}),
            {"verdict": "Changed", "greatest-difference": "0.5", "varies": "parameters.depth"},
        ),
        (
            compared([run()], [run()], is_other_code=True),
            {"verdict": "Changed", "greatest-difference": "0.0", "varies": "code"},
        ),
        (compared([run()], [run(metrics={"f1": nan})]), {"verdict": "Differs", "greatest-difference": "inf"}),
        (
            compared([run(metrics={"f1": nan})], [run(metrics={"f1": nan})]),
            {"verdict": "Reproduced", "greatest-difference": "0.0"},
        ),
        (compared([run(), run("gone", 1)], [run()]), {"verdict": "Differs", "greatest-difference": "inf"}),
        (Reproduction(Verdict.FAILED, of(), Where.MACHINE, run=run()), {"verdict": "Failed"}),
        # What somebody stopped says nothing of the result.
        (Reproduction(Verdict.FAILED, of(), Where.MACHINE, run=run(), reason="Cancelled"), {}),
    ],
)
def test_what_came_of_it_is_on_record(found: Reproduction, tags: dict[str, str]) -> None:
    wanted = {"reproduces": found.receipt.run.id, **tags}
    assert marks(found) == {f"runyard.dev/{name}": value for name, value in wanted.items()}


def test_the_verdict_is_on_the_runs_that_are_no_part_of_another() -> None:
    fold = run("fold", 1, tags={"mlflow.parentRunId": "grid-0"})
    beside = run("beside", 2, tags={"mlflow.parentRunId": "a run of somebody else's"})
    found = compared([run("grid"), fold, beside], [run("grid"), fold, beside])
    assert [each.id for each in topmost(found)] == ["grid-0", "beside-2"]
    assert topmost(Reproduction(Verdict.CANNOT, of(), Where.MACHINE)) == []


@pytest.mark.parametrize(
    ("reasons", "what"),
    [
        (["ImagePull"], "the image"),
        (["Error", "DatasetMismatch"], "the data as they were"),
        (["DatasetUnavailable"], "the data"),
        (["SourceUnavailable"], "the source"),
        (["InvalidSpec"], "a manifest that the cluster takes"),
        (["Error"], None),
        (["OOMKilled", None], None),
        (["made up by someone"], None),
    ],
)
def test_what_kept_a_training_from_beginning_is_missing_and_no_failure(
    reasons: list[str | None], what: str | None
) -> None:
    found = in_the_way(reasons, "the kubelet's words")
    assert (found.what if found else None) == what
    assert found is None or (found.is_in_the_way and found.why.endswith(": the kubelet's words") and found.remedy)
