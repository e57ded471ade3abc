"""`runyard audit` on a server of 1,000 runs: each measure as counted by hand, the gate, and what is printed."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from mlflow.store.tracking.dbmodels.models import SqlRun
from sqlalchemy import create_engine, func, update

from runyard.audit import Report, Times, audit, markdown, reading
from runyard.cli import main
from runyard.errors import TrackingUnavailable
from runyard.history import History
from tests.science.seeded import Seeded, seeded

EXAMPLES = Path(__file__).parents[2] / "examples/audit"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    with seeded(tmp_path_factory.mktemp("audited")) as found:
        yield found


@pytest.fixture(scope="module")
def report(past: Seeded) -> Report:
    return audit(History(past.uri))


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runyard(past: Seeded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runyard", *words, "--store", str(past.folder)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_the_server_has_a_thousand_runs(past: Seeded, report: Report) -> None:
    assert (len(past.rows), len({row.id for row in past.rows}), report.runs) == (1000, 1000, 1000)


def test_three_of_four_earlier_results_came_again(past: Seeded, report: Report) -> None:
    found = report["reproduction"]
    assert (found.count, found.of, found.value) == (3, 4, 75.0)
    # 600, 1200, 1800, 2400 and, of two attempts, 3000 seconds.
    assert found.times == Times(5, timedelta(seconds=1800), timedelta(seconds=2760))
    assert found.facts == {"results": 905, "asked": 4, "succeeded": 3, "reproductions": 6, "open": 1} | {
        "withoutVerdict": 0,
        "varied": 0,
    }
    ids = {row.name: row.id for row in past.rows}
    assert [(each.runs[0], each.says) for each in found.behind] == [
        (ids["whole-12"], "not the same (off by 25 %) after 40m"),
        (ids["whole-13"], "not ended"),
        (ids["whole-14"], "the same after 50m"),
        (ids["whole-11"], "the same after 30m, not the same after 20m"),
        (ids["whole-10"], "the same after 10m"),
    ]
    assert found.behind[2].runs == (ids["whole-14"], ids["again-5"], ids["again-6"])


def test_64_of_910_finished_runs_lack_metadata(report: Report) -> None:
    found = report["metadata"]
    # Finished: 800 whole, 60 bare, 2 grids, 30 repetitions, 5 reproductions, 10 lacking, 1 assigned, 2 of one pod.
    assert (found.count, found.of) == (910 - 60 - 1 - 3, 910)
    assert found.facts == {
        "commit": 60 - 20,
        "parameters": 4,
        "seeds": 60 - 10 + 3,
        "datasets": 60 - 5 + 3,
        "environment": 60 + 1,
        "metrics": 3 + 1,
        "fingerprint": 60,
        "unread": 0,
    }
    says = {each.name: each.says for each in found.behind}
    assert len(says) == 64
    assert says["whole-0"] == "no seeds and datasets"
    assert says["whole-2"] == "no seeds, datasets and environment"
    assert says["grid-1"] == "no metrics"
    assert says["bare-59"] == "no commit, seeds, environment, metrics and fingerprint"


def test_one_of_three_promoted_versions_has_all_evidence(report: Report) -> None:
    found = report["promotion"]
    assert (found.count, found.of) == (1, 3)
    # Their own runs began 500 and 100 minutes after the first.
    took = [timedelta(days=10, minutes=-500), timedelta(days=20, minutes=-100)]
    assert found.times == Times.of(took)
    assert found.facts == {"run": 1, "metrics": 1, "reason": 2, "selected": 0, "sinceFirstRunSeconds": 15 * 86_400}
    # 1,000 without 60 bare ones, two grids of 21, and the two of a pod in other experiments.
    assert [(each.name, each.says) for each in found.behind] == [
        ("lost 1 (champion)", "its run is gone; no run, metrics and reason"),
        ("heart-forest 2 (challenger)", "896 runs before it, 20d since the first, 19.9d since its own; no reason"),
        ("heart-forest 1 (champion)", "896 runs before it, 10d since the first, 9.65d since its own"),
    ]


def test_20_of_845_runs_repeat_an_earlier_one(past: Seeded, report: Report) -> None:
    found = report["distinct"]
    assert (found.count, found.of) == (825, 800 + 2 + 30 + 10 + 1 + 2)
    assert found.facts == {
        "groups": 10,
        "repeats": 20,
        "secondsAgain": 20 * 60,
        "groupsThatDiffer": 3,
        "withoutFingerprint": 60,
    }
    ids = {row.name: row.id for row in past.rows}
    assert found.behind[1].runs == (ids["three-1"], ids["three-11"], ids["three-21"])
    assert [each.says.partition("; ")[2] for each in found.behind].count("metrics differ: accuracy") == 3


def test_15_of_870_attempts_are_not_complete(report: Report) -> None:
    found = report["completeness"]
    # Ended: 800 whole, 2 grids, 20 failed, 30 repetitions, 6 of reproductions, 10 lacking, 1 assigned, 1 astray.
    assert (found.count, found.of) == (855, 870)
    assert found.facts == {"outcome": 2, "log": 5, "manifest": 3, "results": 5, "unread": 0, "open": 26, "others": 60}
    says = {each.name: each.says for each in found.behind}
    assert [says[f"lacking-{number}"] for number in (0, 3, 5, 7)] == [
        "no manifest",
        "no outcome",
        "no model",
        "no metric auc",
    ]


def test_one_experiment_is_looked_at_with_what_it_needs_from_others(past: Seeded) -> None:
    wine = audit(History(past.uri), "wine")
    assert (wine.runs, wine["metadata"].of, wine["promotion"].of, wine["completeness"].of) == (102, 62, 0, 2)
    other = audit(History(past.uri), "heart", datetime(2023, 11, 16, tzinfo=UTC))
    assert (other.runs, other["distinct"].count, other["distinct"].of) == (30, 10, 30)
    # What came before counts for what was promoted since.
    assert (
        other["promotion"].behind[0].says == "896 runs before it, 20d since the first, 19.9d since its own; no reason"
    )
    assert audit(History(past.uri), "heart", datetime(2023, 12, 1, tzinfo=UTC))["promotion"].of == 1


def test_an_attempts_log_may_be_in_another_experiment(past: Seeded) -> None:
    away = audit(History(past.uri), "away")
    assert (away.runs, away["completeness"].count, away["completeness"].of) == (1, 1, 1)


def test_progress_is_told(past: Seeded) -> None:
    told: list[tuple[int, int]] = []
    audit(History(past.uri), "wine", progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_a_store_that_is_out_of_reach_is_no_lack(past: Seeded) -> None:
    history = History(past.uri)
    runs = history.search("heart", limit=12)

    def elsewhere(scheme: str, count: int) -> reading.Reader:
        reader = reading.Reader(history, set(), lambda _done, _of: None)
        reader.read([], [replace(run, artifact_uri=f"{scheme}://nowhere/{run.id}") for run in runs[:count]])
        return reader

    found = elsewhere("carrier-pigeon", 10)
    assert (len(found.unread), found.folders) == (10, {})
    assert "carrier-pigeon" in found.unread[runs[0].id]
    with pytest.raises(TrackingUnavailable):
        elsewhere("carrier-pigeon", 11)


def test_what_cannot_be_read_is_told_with_the_reason(runyard: Command, past: Seeded) -> None:
    [row] = [row for row in past.rows if row.name == "at-home"]

    def place(old: str, new: str) -> None:
        with create_engine(past.uri).begin() as connection:
            moved = func.replace(SqlRun.artifact_uri, old, new)
            connection.execute(update(SqlRun).where(SqlRun.run_uuid == row.id).values(artifact_uri=moved))

    place("file:", "carrier-pigeon:")
    try:
        said = "Not all could be read: "
        why = f"MLflow at {past.uri} cannot read artifacts of run {row.id}: "
        assert f"\n{said}{why}" in runyard("audit", "other")[1]
        assert f"\n{said}`{why}" in runyard("audit", "other", "-o", "markdown")[1]
        found = json.loads(runyard("audit", "other", "-o", "json")[1])
        assert found["unread"][row.id].startswith(why)
        assert found["measures"]["completeness"]["value"] is None
    finally:
        place("carrier-pigeon:", "file:")


def test_a_table_says_what_lies_behind(runyard: Command) -> None:
    code, out, error = runyard("audit", "wine", "--runs", "1")
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "experiment wine: 102 runs"
    assert [line.split()[:5] for line in lines[3:8]] == [
        ["reproduction", "-", "0", "0", "earlier"],
        ["metadata", "1.6", "%", "1", "62"],
        ["promotion", "-", "0", "0", "model"],
        ["distinct", "100.0", "%", "2", "2"],
        ["completeness", "100.0", "%", "2", "2"],
    ]
    assert "61 of 62 finished runs lack something" in out
    assert "60 more; --runs shows more." in lines
    assert [line for line in lines if "bare-59" in line]
    assert not [line for line in lines if "bare-58" in line]


def test_data_has_all_of_it(runyard: Command, past: Seeded) -> None:
    code, out, _ = runyard("audit", "wine", "-o", "json")
    found = json.loads(out)
    assert (code, found["experiment"], found["runs"], list(found["measures"])) == (
        0,
        "wine",
        102,
        ["reproduction", "metadata", "promotion", "distinct", "completeness"],
    )
    metadata = found["measures"]["metadata"]
    assert (metadata["count"], metadata["of"], metadata["unit"], len(metadata["behind"])) == (1, 62, "%", 61)
    assert metadata["value"] == pytest.approx(100 / 62)
    ids = {row.name: row.id for row in past.rows}
    assert metadata["behind"][0]["runs"] == [ids["bare-59"]]
    again = yaml.safe_load(runyard("audit", "wine", "-o", "yaml")[1])
    assert {**again, "at": found["at"]} == found


def test_a_gate_ends_with_1_and_says_by_how_much(runyard: Command) -> None:
    code, out, error = runyard(
        *("audit", "wine", "-o", "markdown", "--fail-under", "metadata=90", "--fail-under", "distinct=100"),
        *("--fail-under", "promotion=50", "--fail-over", "reproduction=2h"),
    )
    assert code == 1
    assert error.splitlines() == [
        "runyard: metadata is 1.6 % (1 of 62 finished runs), 88.39 points below 90 %",
        "promotion has nothing to look at (no model versions with an alias), so it is not at least 50 %",
        "reproduction has nothing to look at (no earlier results asked for again), so it is not median at most 2h",
    ]
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert rows[3] == "| metadata | 1.6 % | 1 / 62 |  |  | ❌ at least 90 % |"
    assert rows[5] == "| distinct | 100.0 % | 2 / 2 |  |  | ✅ at least 100 % |"
    assert runyard("audit", "wine", "--fail-under", "distinct=100", "--fail-under", "metadata=1")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hart"], 'there is no experiment "hart"; there are: Default, away, empty, heart, other, wine'),
        (["wine", "--fail-under", "speed=1"], '--fail-under speed=1: there is no measure "speed" for it; there are: '),
        (["wine", "--since", "soon"], "--since soon: give how long ago, such as 30d or 12h, or a date, such as"),
        (["wine", "--since", f"{'9' * 9}d"], "--since 999999999d: give how long ago"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(runyard: Command, words: list[str], said: str) -> None:
    code, out, error = runyard("audit", *words)
    assert (code, out) == (2, "")
    assert error.startswith(f"runyard: {said}")


def test_an_experiment_without_runs_has_nothing_to_measure(runyard: Command) -> None:
    code, out, _ = runyard("audit", "empty", "--since", "1960-01-01")
    assert (code, out.splitlines()[0]) == (0, "experiment empty since 1960-01-01 00:00 UTC: 0 runs")
    assert runyard("audit", "empty", "--fail-under", "metadata=1")[0] == 1
    assert json.loads(runyard("audit", "wine", "--since", "1d", "-o", "json")[1])["runs"] == 0


def test_a_server_that_does_not_answer_ends_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(sys, "argv", ["runyard", "audit", "--tracking-uri", "http://127.0.0.1:9"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 4
    assert capsys.readouterr().err.startswith("runyard: MLflow at http://127.0.0.1:9 cannot ")


def test_a_report_of_the_whole_server_fits_a_comment(report: Report) -> None:
    text = markdown(report)
    assert len(text.encode()) < 65_536 / 4
    assert text.count("<details>") == text.count("</details>") == 5


def commands(step: str) -> list[str]:
    """Return the words of the `runyard audit` in a shell script, its lines joined."""
    [line] = [line for line in step.replace("\\\n", " ").splitlines() if line.startswith("runyard audit")]
    words = shlex.split(line, comments=True)
    return words[1 : next((at for at, word in enumerate(words) if word.startswith((">", "|"))), None)]


def test_the_github_example_is_a_workflow_whose_command_works(runyard: Command) -> None:
    workflow = yaml.load((EXAMPLES / "github-actions.yml").read_text(), yaml.BaseLoader)  # noqa: S506 `on` is a word
    [job] = workflow["jobs"].values()
    assert workflow["on"]
    assert job["permissions"]["pull-requests"] == "write"
    [step] = [step for step in job["steps"] if "runyard audit" in step.get("run", "")]
    words = [word.replace("$EXPERIMENT", "wine") for word in commands(step["run"])]
    code, out, error = runyard(*words)
    assert (code, out.startswith("### Audit of `wine`")) == (1, True)
    assert error


@pytest.mark.parametrize(
    ("known", "written"),
    [
        ("", ["pr comment 7 --body-file comment.md"]),
        ("41\n42\n", ["api --method PATCH repos/us/it/issues/comments/41 --field body=@comment.md --silent"]),
    ],
    ids=["the first time", "again"],
)
def test_the_github_example_writes_over_its_own_comment_alone(tmp_path: Path, known: str, written: list[str]) -> None:
    workflow = yaml.load((EXAMPLES / "github-actions.yml").read_text(), yaml.BaseLoader)  # noqa: S506 `on` is a word
    [step] = [step for job in workflow["jobs"].values() for step in job["steps"] if step.get("name") == "Comment"]
    # GitHub's command, as far as the script goes: it notes what it is asked, and lists what is known.
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\necho "$*" >> asked\ncase "$*" in *--paginate*) printf "{known}";; esac\n')
    gh.chmod(0o755)
    (tmp_path / "audit.md").write_text("### Audit of `wine`\n")
    variables = {"GH_REPO": "us/it", "NUMBER": "7", "EXPERIMENT": "wine", "GITHUB_STEP_SUMMARY": "summary"}
    subprocess.run(
        ["/bin/bash", "-e", "-c", step["run"]],
        cwd=tmp_path,
        env={**variables, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        timeout=60,
    )
    looked, *then = (tmp_path / "asked").read_text().splitlines()
    assert looked.startswith("api --paginate repos/us/it/issues/7/comments --jq .[] | select(.user.login == ")
    assert then == written
    mark, *rest = (tmp_path / "comment.md").read_text().splitlines()
    assert (mark, rest) == ("<!-- runyard-audit wine -->", ["### Audit of `wine`"])
    assert (tmp_path / "summary").read_text() == "### Audit of `wine`\n"


def test_the_gitlab_example_is_a_job_whose_command_works(runyard: Command) -> None:
    [job] = [found for found in yaml.safe_load((EXAMPLES / "gitlab-ci.yml").read_text()).values() if "script" in found]
    assert job["artifacts"]["when"] == "always"
    [step] = [step for step in job["script"] if "runyard audit" in step]
    words = [word.replace("$EXPERIMENT", "wine") for word in commands(step)]
    code, out, _ = runyard(*words)
    assert (code, out.startswith("### Audit of `wine`")) == (1, True)
