"""The figures of the fault matrix, and how they get into its document."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster import matrix
from tests.cluster.matrix import JOB_END, OTHER_CLOCKS, MemoryKill, Note, percentile, rewrite, table, verdict
from tests.cluster.timeline import Seen
from tests.cluster.training import note_truth

_CALM = "test_endings.py::test_exit_code[1]"
_BURST = "test_burst.py::test_two_hundred_at_once"
_OUT_OF_MEMORY = "test_outcomes.py::test_out_of_memory"


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert percentile([7.0], 0.5) == 7


def test_a_row_has_its_median_and_its_worst() -> None:
    notes = [Note(_CALM, JOB_END, seconds) for seconds in (0.5, 0.25, 4.0)]
    found = table(notes, [], 3, 61.2, "abc1234")
    assert "| test_endings.py: exit_code[1] | Job's end to outcome | 3 | 0.50 | 4.00 |" in found
    assert "3 trainings, p50 0.50 s, p99 4.00 s, worst 4.00 s" in found
    assert found.startswith("3 rounds in a row of abc1234, 61 min in all. ")


def test_how_many_memory_kills_were_called_so_is_in_the_figures() -> None:
    kills = [MemoryKill(_OUT_OF_MEMORY, said) for said in ("OOMKilled", "Error", "OOMKilled")]
    found = table([Note(_CALM, JOB_END, 0.5)], kills, 3, 1, "abc1234")
    assert "\nOf 3 memory kills the kubelet called 2 OOMKilled.\n" in found


def test_figures_are_replaced_and_the_rest_stays() -> None:
    document = "before\n<!-- figures: make matrix -->\nold\n<!-- end of figures -->\nafter\n"
    new = "before\n<!-- figures: make matrix -->\nnew\n<!-- end of figures -->\nafter\n"
    assert rewrite(document, "new\n") == new


def test_the_truth_has_to_come_in_less_than_three_seconds() -> None:
    quick = [Note(_CALM, JOB_END, 0.5)] * 198
    late = Note(_CALM, JOB_END, 3.0)
    assert verdict([*quick, Note(_CALM, JOB_END, 2.99), Note(_CALM, JOB_END, 60)], []) == [], "one in a hundred may not"
    [said] = verdict([*quick, late, late, late], [])
    assert said == (
        "The truth took too long: p99 of 201 trainings without a fault of the platform is 3.00 s, "
        "and has to be below 3 s."
    )


def test_two_hundred_at_once_have_a_limit_of_their_own() -> None:
    calm = Note(_CALM, JOB_END, 0.5)
    assert verdict([calm, *[Note(_BURST, JOB_END, 19.9)] * 200], []) == []
    assert verdict([calm, *[Note(_BURST, JOB_END, 20.0)] * 200], []) == [
        "The truth took too long: p99 of 200 trainings begun 200 at once is 20.00 s, and has to be below 20 s."
    ]


def test_other_clocks_and_other_times_are_not_held_to_that() -> None:
    calm = Note(_CALM, JOB_END, 0.5)
    others = [Note(test, JOB_END, 60) for test in OTHER_CLOCKS if test != _BURST]
    assert verdict([calm, *others, Note(_CALM, "deletion seen to run KILLED", 60)], []) == []
    named_alike = Note("test_outcomes.py::test_an_operator_by_name_alone", JOB_END, 60)
    assert verdict([calm, named_alike], []) != []


def test_the_end_of_an_obstacle_is_followed_by_the_outcome_within_a_limit() -> None:
    calm, row = Note(_CALM, JOB_END, 0.5), "test_obstacles.py::test_quota_exceeded_then_lifted"
    quick = [Note(row, "quota raised to outcome", seconds) for seconds in (13.2, 44.9)]
    assert verdict([calm, *quick], []) == []
    assert verdict([calm, *quick, Note(row, "quota raised to outcome", 45.0)], []) == [
        f"The truth took too long: {row}, quota raised to outcome, took 45.00 s, and has to be below 45 s."
    ]


def test_nothing_measured_is_no_success() -> None:
    assert verdict([Note(test, JOB_END, 0.1) for test in OTHER_CLOCKS], []) == [
        "No time from a Job's end to its outcome was measured without a fault of the platform."
    ]


def test_a_row_of_memory_that_was_never_called_so_is_not_shown() -> None:
    calm, another = Note(_CALM, JOB_END, 0.5), "test_endings.py::test_out_of_memory_in_a_child"
    missed = [MemoryKill(_OUT_OF_MEMORY, "Error"), MemoryKill(another, "Error")]
    assert verdict([calm], [*missed, MemoryKill(_OUT_OF_MEMORY, "OOMKilled"), MemoryKill(another, "OOMKilled")]) == []
    assert verdict([calm], [*missed, MemoryKill(another, "OOMKilled")]) == [
        f"In no round did the kubelet say OOMKilled in {_OUT_OF_MEMORY}: it is not shown."
    ]


def test_times_and_memory_kills_are_read_as_they_were_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "NOTES", tmp_path / "notes.jsonl")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", f"tests/cluster/{_OUT_OF_MEMORY} (call)")
    matrix.note(JOB_END, 0.5)
    matrix.note_memory_kill("OOMKilled")
    assert matrix.read() == ([Note(_OUT_OF_MEMORY, JOB_END, 0.5)], [MemoryKill(_OUT_OF_MEMORY, "OOMKilled")])


@pytest.mark.parametrize("name", ["has no branch (or tag) x", "404", ""])
def test_a_test_is_noted_by_its_whole_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = f"test_preparation.py::test_what_cannot_be_had_is_the_cause[{name}]"
    monkeypatch.setattr(matrix, "NOTES", tmp_path / "notes.jsonl")
    for phase in ("setup", "call", "teardown"):
        monkeypatch.setenv("PYTEST_CURRENT_TEST", f"tests/cluster/{row} ({phase})")
        matrix.note(JOB_END, 0.5)
    assert matrix.read() == ([Note(row, JOB_END, 0.5)] * 3, [])


def test_a_job_whose_end_or_outcome_was_not_seen_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "NOTES", tmp_path / "notes.jsonl")
    for seen in (Seen(), Seen(job_ended=1.0), Seen(told=1.0)):
        with pytest.raises(AssertionError, match="was not seen to come"):
            note_truth(seen, has_job=True)
        note_truth(seen, has_job=False)
    assert matrix.read() == ([], [])
    both = Seen(job_ended=1.0, told=3.5)
    for _ in range(2):
        note_truth(both, has_job=True)
    assert [(found.what, found.seconds) for found in matrix.read()[0]] == [(JOB_END, 2.5)]


class Rounds(NamedTuple):
    """Rounds in which no test fails, and what they were told."""

    document: Path
    outages: list[str]
    handed_on: list[list[str]]

    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["matrix", *arguments])
        return matrix.main()


_NO_FIGURES = "<!-- figures: make matrix -->\n<!-- end of figures -->\n"


@pytest.fixture(params=[2.0])
def rounds(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    found = Rounds(tmp_path / "document.md", [], [])
    found.document.write_text(_NO_FIGURES)

    def passes(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        found.outages.append(env["RUNYARD_OUTAGE_SECONDS"])
        found.handed_on.append(command[command.index("--ignore=tests/cluster/commands") + 1 :])
        with matrix.NOTES.open("a") as file:
            file.write(json.dumps({"test": _CALM, "what": JOB_END, "seconds": request.param}) + "\n")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(matrix, "NOTES", tmp_path / "notes.jsonl")
    monkeypatch.setattr(matrix, "DOCUMENT", found.document)
    monkeypatch.setattr(subprocess, "run", passes)
    monkeypatch.setattr(matrix, "commit_of", lambda _root: "abc1234")
    for name in ("RUNYARD_OUTAGE_SECONDS", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return found


@pytest.mark.parametrize(("rounds", "code"), [(2.0, 0), (4.0, 1)], indirect=["rounds"])
def test_rounds_that_are_green_fail_where_the_truth_was_late(
    rounds: Rounds, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rounds.run(monkeypatch) == code

    assert rounds.outages == ["300"] * 3, "three rounds of everything"
    assert rounds.handed_on == [[]] * 3
    assert "3 trainings, p50 " in rounds.document.read_text(), "what was measured is written down"
    assert capsys.readouterr().err.startswith("The truth took too long") == bool(code)


@pytest.mark.parametrize(
    ("arguments", "addopts", "why"),
    [
        (["-k", "burst"], "", "pytest was told -k burst, which may leave rows out"),
        ([f"--deselect={_BURST}"], "", f"pytest was told --deselect={_BURST}, which may leave rows out"),
        ([], "-k burst", "pytest was told PYTEST_ADDOPTS=-k burst, which may leave rows out"),
        (["--rounds=1"], "", "there are to be 3 rounds, and this was 1"),
    ],
)
def test_figures_of_a_part_are_printed_and_not_published(
    rounds: Rounds,
    arguments: list[str],
    addopts: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", addopts)

    assert rounds.run(monkeypatch, *arguments) == 0

    assert rounds.document.read_text() == _NO_FIGURES
    said = capsys.readouterr().out
    assert "| test_endings.py: exit_code[1] | Job's end to outcome |" in said
    assert said.endswith(f"{rounds.document} is left as it was: {why}.\n")
    assert rounds.handed_on[0] == [argument for argument in arguments if "--rounds" not in argument]


def test_figures_of_a_tree_that_was_changed_are_printed_and_not_published(
    rounds: Rounds, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(matrix, "commit_of", lambda _root: "abc1234-dirty")

    assert rounds.run(monkeypatch) == 0

    assert rounds.document.read_text() == _NO_FIGURES
    said = capsys.readouterr().out
    assert "3 rounds in a row of abc1234-dirty" in said
    why = "the tree is abc1234-dirty, and nobody can have it again: commit what was changed first"
    assert said.endswith(f"{rounds.document} is left as it was: {why}.\n")


def test_a_tree_that_was_changed_says_so(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    file = tmp_path / "file"
    file.write_text("as committed")
    git("init")
    git("add", ".")
    git("commit", "--message=one")
    clean = matrix.commit_of(tmp_path)
    file.write_text("changed since")

    assert matrix.commit_of(tmp_path) == f"{clean}-dirty"
    assert matrix.why_not_published(3, [], "", clean) is None
    assert matrix.why_not_published(3, [], "", f"{clean}-dirty") is not None


@pytest.mark.parametrize("test", OTHER_CLOCKS)
def test_a_row_of_another_clock_is_one_that_there_is(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (Path(matrix.__file__).parent / file).read_text()
