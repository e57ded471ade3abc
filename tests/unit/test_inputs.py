"""Source and datasets as a person writes them, and what is told of them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runyard import validation
from runyard.api import datasets, preparation
from runyard.api.datasets import Dataset, FetchedDataset
from runyard.api.outcome import Reason
from runyard.api.preparation import Failure, Report
from runyard.api.source import ResolvedSource, source_tags
from runyard.errors import InvalidManifest, UnknownField
from runyard.prepare.failures import Unprepared
from tests.support.factories import manifest, training_run

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
COMMIT = "0123456789" * 4


def problems(**spec: Any) -> list[str]:
    """Return what is said of a manifest."""
    try:
        validation.parse(manifest(**spec))
    except InvalidManifest as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    "source",
    [
        *(
            {"git": git}
            for git in (
                "https://git.example/team/wine.git",
                "http://127.0.0.1:8080/wine",
                "ssh://git@git.example:2222/team/wine.git",
                "ssh://git.example/wine",
                "file:///data/wine.git",
                "https://git.example/~team/wine@home",
            )
        ),
        *(
            {"git": "https://h/p", "revision": revision}
            for revision in (None, "main", "feature/#12-a+b", "v1.0", "refs/heads/main", COMMIT, "@", "größe")
        ),
        *({"git": "https://h/p", "path": path} for path in (None, "train", "deep/er/", "a..b", "...")),
        {"git": "https://h/p", "secretName": "git"},
    ],
)
def test_a_source_is_taken(source: dict[str, Any]) -> None:
    assert problems(source=source) == []


GIT = (
    "spec.source.git: Forbidden: must be https://HOST/PATH, http://HOST/PATH, ssh://USER@HOST/PATH or "
    "file:///PATH, without a password: that is for secretName"
)
REVISION = (
    "spec.source.revision: Forbidden: must be the name of a branch, a tag or a commit; an expression, "
    "such as main~1, is none"
)
PATH = (
    "spec.source.path: Forbidden: must be a folder inside the repository, without a / at its beginning and without .."
)
NAME = (
    "spec.datasets[0].name: Forbidden: must be lower case letters, digits, '-' or '.', and begin and "
    "end with a letter or a digit"
)
URI = (
    "spec.datasets[0].uri: Forbidden: must be https://HOST/PATH, http://HOST/PATH, s3://BUCKET/KEY or "
    "file:///PATH, without a password"
)
FORM = "spec.datasets[0].digest: Forbidden: must be sha256: and the 64 digits that sha256sum prints, in lower case"
WORKERS = (
    "spec.source.revision: Forbidden: workers fetch one by one, and a branch or a tag may move "
    "meanwhile: give the whole name of a commit"
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        *(
            ({"git": git}, GIT)
            for git in (
                "git@git.example:team/wine.git",
                "/data/wine.git",
                "https://user:password@git.example/wine",
                "https://token@git.example/wine",
                "ssh://git:password@git.example/wine",
                "https://git.example",
                "https:///wine",
                "file://host/wine",
                "ext::sh -c id",
                "https://git.example/a b",
                "--upload-pack=id",
                "",
            )
        ),
        *(
            ({"git": "https://h/p", "revision": revision}, REVISION)
            for revision in (
                "-x",
                "+main",
                "/main",
                "main~1",
                "main^",
                "a:b",
                "a b",
                "a\tb",
                "*",
                "a?",
                "[a",
                "a..b",
                "@{0}",
            )
        ),
        *(({"git": "https://h/p", "path": path}, PATH) for path in ("/train", "..", "../x", "a/../b", "a/..")),
        ({}, "spec.source.git: Required value"),
        (
            {"git": "https://h/p", "revision": "", "path": ""},
            'spec.source.path: Invalid value: "": spec.source.path in body should be at least 1 chars long',
        ),
    ],
)
def test_a_source_is_refused_in_a_sentence(source: dict[str, Any], expected: str) -> None:
    assert expected in problems(source=source)


@pytest.mark.parametrize("revision", [None, "main", "v1", COMMIT[:10]])
def test_workers_train_one_commit(revision: str | None) -> None:
    assert problems(workers=2, source={"git": "https://h/p", "revision": revision}) == [WORKERS]
    assert problems(workers=1, source={"git": "https://h/p", "revision": revision}) == []
    assert problems(workers=2, source={"git": "https://h/p", "revision": COMMIT}) == []


@pytest.mark.parametrize(
    "change",
    [
        *({"name": name} for name in ("wine", "wine.csv", "red-wine-2", "7")),
        *(
            {"uri": uri}
            for uri in (
                "https://h/wine.csv",
                "http://h:8080",
                "https://h/a?b=c",
                "s3://data/a key with spaces",
                "file:///data/wine.csv",
            )
        ),
        *({"digest": digest} for digest in (None, DIGEST)),
    ],
)
def test_a_dataset_is_taken(change: dict[str, Any]) -> None:
    assert problems(datasets=[{"name": "wine", "uri": "https://h/x"} | change]) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        *(({"name": name}, NAME) for name in ("Wine", "wine_csv", "-wine", "wine.", "a/b", "..", "")),
        *(
            ({"uri": uri}, URI)
            for uri in ("wine.csv", "/data/wine.csv", "ftp://h/x", "s3://bucket", "file://h/x", "https://u:p@h/x", "")
        ),
        *(
            ({"digest": digest}, FORM)
            for digest in ("sha256:", "md5:0", DIGEST.upper(), DIGEST[:-1], DIGEST.removeprefix("sha256:"), "")
        ),
        ({"name": None}, "spec.datasets[0].name: Required value"),
        ({"uri": None}, "spec.datasets[0].uri: Required value"),
    ],
)
def test_a_dataset_is_refused_in_a_sentence(change: dict[str, Any], expected: str) -> None:
    assert expected in problems(datasets=[{"name": "wine", "uri": "https://h/x"} | change])


def test_names_are_given_once() -> None:
    twice = [{"name": "wine", "uri": "https://h/a"}, {"name": "wine", "uri": "https://h/b"}]
    assert problems(datasets=twice) == ['spec.datasets[1]: Duplicate value: {"name":"wine"}']
    alike = [{"name": "wine.csv", "uri": "https://h/a"}, {"name": "wine-csv", "uri": "https://h/b"}]
    [found] = problems(datasets=alike)
    assert found.startswith(
        'spec.datasets[1].name: Invalid value: "wine-csv": RUNYARD_DATASET_WINE_CSV is the variable of'
    )


def test_there_may_be_sixteen() -> None:
    many = [{"name": f"d{number}", "uri": "https://h/x"} for number in range(17)]
    assert problems(datasets=many[:16]) == []
    assert problems(datasets=many) == ["spec.datasets: Too many: 17: must have at most 16 items"]


def test_a_field_that_there_is_not() -> None:
    with pytest.raises(UnknownField, match=r'unknown field "spec.source.branch"'):
        validation.parse(manifest(source={"git": "https://h/p", "branch": "main"}))


def test_the_example_in_the_docs_is_taken() -> None:
    text = (Path(__file__).parents[2] / "docs" / "source-and-datasets.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert example
    run = validation.parse(yaml.safe_load(example[1]))
    assert preparation.wanted(run.spec)


def test_each_dataset_has_a_variable() -> None:
    spec = training_run(datasets=[{"name": "red-wine.csv", "uri": "https://h/x"}]).spec
    assert preparation.variables(spec) == {"RUNYARD_DATASET_RED_WINE_CSV": "/runyard/datasets/red-wine.csv"}
    assert preparation.variables(spec, "/elsewhere") == {
        "RUNYARD_DATASET_RED_WINE_CSV": "/elsewhere/datasets/red-wine.csv"
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (None, "None"),
        ({"git": "https://h/p"}, "/runyard/source"),
        ({"git": "https://h/p", "path": "a/b/"}, "/runyard/source/a/b"),
    ],
)
def test_a_training_starts_in_its_source(source: dict[str, Any] | None, expected: str) -> None:
    assert str(preparation.working_folder(training_run(source=source).spec)) == expected


def test_there_may_be_nothing_to_fetch() -> None:
    assert preparation.wanted(training_run().spec) is None
    assert preparation.wanted(training_run(datasets=[]).spec) is None


def test_mlflow_has_its_own_names_for_the_code() -> None:
    assert source_tags(None) == {}
    assert source_tags(ResolvedSource(git="https://h/p", commit=COMMIT)) == {
        "mlflow.source.git.commit": COMMIT,
        "mlflow.source.git.repoURL": "https://h/p",
    }
    assert source_tags(ResolvedSource(git="g", commit="c", branch="main"))["mlflow.source.git.branch"] == "main"


@pytest.mark.parametrize(
    ("uri", "kind", "source"),
    [
        ("https://h/wine.csv", "http", {"url": "https://h/wine.csv"}),
        ("http://h/wine.csv", "http", {"url": "http://h/wine.csv"}),
        ("s3://data/wine.csv", "s3", {"uri": "s3://data/wine.csv"}),
        ("file:///data/wine.csv", "local", {"uri": "file:///data/wine.csv"}),
    ],
)
@pytest.mark.parametrize(("digest", "is_verified"), [(DIGEST, "true"), (None, "false")])
def test_mlflow_is_told_of_a_dataset(
    uri: str, kind: str, source: dict[str, str], digest: str | None, is_verified: str
) -> None:
    wanted = [Dataset(name="wine", uri=uri, digest=digest), Dataset(name="other", uri=uri)]
    [found] = datasets.inputs(wanted, [FetchedDataset(name="wine", digest=DIGEST)])
    assert found == {
        "dataset": {"name": "wine", "digest": DIGEST[:36], "source_type": kind, "source": json.dumps(source)},
        "tags": [
            {"key": "mlflow.data.context", "value": "training"},
            {"key": "runyard.dev/digest", "value": DIGEST},
            {"key": "runyard.dev/verified", "value": is_verified},
            {"key": "runyard.dev/uri", "value": uri},
        ],
    }


@pytest.mark.parametrize(
    "text", ["", "Traceback (most recent call last):", "{}x", "[]", '{"failure": {"reason": "?"}}']
)
def test_a_last_word_that_is_no_report(text: str) -> None:
    assert preparation.read_report(text) is None


@given(st.lists(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", fullmatch=True), max_size=16, unique=True))
def test_a_report_fits_into_a_termination_message(names: list[str]) -> None:
    fetched = [FetchedDataset(name=name, digest=DIGEST) for name in names]
    message = Unprepared(Reason.SOURCE_UNAVAILABLE, "größer" * 1000, is_permanent=True)
    failure = Failure(reason=message.reason, message=str(message))
    without = Report(source=ResolvedSource(git="h" * 1024, commit="c" * 64, branch="b" * 255), failure=failure)
    assert len(without.model_dump_json(by_alias=True, exclude_none=True).encode()) <= 4096
    report = Report(source=ResolvedSource(git="h" * 1024, commit="c" * 64, branch="b" * 255), datasets=fetched)
    text = report.model_dump_json(by_alias=True, exclude_none=True)
    assert len(text) <= 4096
    assert preparation.read_report(text) == report
