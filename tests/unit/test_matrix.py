"""The figures of the fault matrix, and how they get into its document."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import matrix
from tests.cluster.matrix import JOB_END, OTHER_CLOCKS, Note, percentile, rewrite, table, verdict
from tests.cluster.timeline import Seen
from tests.cluster.training import note_truth

_CALM = "test_endings.py::test_exit_code[1]"


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert percentile([7.0], 0.5) == 7


def test_a_row_has_its_median_and_its_worst() -> None:
    notes = [Note(_CALM, JOB_END, seconds) for seconds in (0.5, 0.25, 4.0)]
    found = table(notes, 3, 61.2)
    assert "| test_endings.py: exit_code[1] | Job's end to outcome | 3 | 0.50 | 4.00 |" in found
    assert "3 trainings, p50 0.50 s, p99 4.00 s, worst 4.00 s" in found
    assert found.startswith("3 rounds in a row, 61 min in all. ")


def test_figures_are_replaced_and_the_rest_stays() -> None:
    document = "before\n<!-- figures: make matrix -->\nold\n<!-- end of figures -->\nafter\n"
    new = "before\n<!-- figures: make matrix -->\nnew\n<!-- end of figures -->\nafter\n"
    assert rewrite(document, "new\n") == new


def test_the_truth_has_to_come_in_less_than_three_seconds() -> None:
    quick = [Note(_CALM, JOB_END, 0.5)] * 198
    assert verdict([*quick, Note(_CALM, JOB_END, 2.99), Note(_CALM, JOB_END, 60)]) is None, "one in a hundred may not"
    assert verdict([*quick, Note(_CALM, JOB_END, 3.0), Note(_CALM, JOB_END, 3.0), Note(_CALM, JOB_END, 3.0)]) == (
        "The truth took too long: p99 of 201 trainings without a fault of the platform is 3.00 s, "
        "and has to be below 3 s."
    )


def test_other_clocks_and_other_times_are_not_held_to_that() -> None:
    calm = Note(_CALM, JOB_END, 0.5)
    others = [Note(test, JOB_END, 60) for test in OTHER_CLOCKS]
    assert verdict([calm, *others, Note(_CALM, "deletion seen to run KILLED", 60)]) is None
    named_alike = Note("test_outcomes.py::test_an_operator_by_name_alone", JOB_END, 60)
    assert verdict([calm, named_alike]) is not None


def test_nothing_measured_is_no_success() -> None:
    assert verdict([Note(test, JOB_END, 0.1) for test in OTHER_CLOCKS]) == (
        "No time from a Job's end to its outcome was measured without a fault of the platform."
    )


def test_a_job_whose_end_or_outcome_was_not_seen_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "NOTES", tmp_path / "notes.jsonl")
    for seen in (Seen(), Seen(job_ended=1.0), Seen(told=1.0)):
        with pytest.raises(AssertionError, match="was not seen to come"):
            note_truth(seen, has_job=True)
        note_truth(seen, has_job=False)
    assert matrix.read() == []
    both = Seen(job_ended=1.0, told=3.5)
    for _ in range(2):
        note_truth(both, has_job=True)
    assert [(found.what, found.seconds) for found in matrix.read()] == [(JOB_END, 2.5)]


@pytest.mark.parametrize(("seconds", "code"), [(2.0, 0), (4.0, 1)])
def test_rounds_that_are_green_fail_where_the_truth_was_late(
    seconds: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, document = tmp_path / "notes.jsonl", tmp_path / "document.md"
    document.write_text("<!-- figures: make matrix -->\n<!-- end of figures -->\n")
    outages = []

    def passes(command: list[str], *, env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        outages.append(env["RUNYARD_OUTAGE_SECONDS"])
        with notes.open("a") as file:
            file.write(json.dumps({"test": _CALM, "what": JOB_END, "seconds": seconds}) + "\n")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(matrix, "NOTES", notes)
    monkeypatch.setattr(matrix, "DOCUMENT", document)
    monkeypatch.setattr(subprocess, "run", passes)
    monkeypatch.delenv("RUNYARD_OUTAGE_SECONDS", raising=False)
    monkeypatch.setattr(sys, "argv", ["matrix"])

    assert matrix.main() == code

    assert outages == ["300"] * 3, "three rounds of everything"
    assert f"3 trainings, p50 {seconds:.2f} s" in document.read_text(), "what was measured is written down"
    assert capsys.readouterr().err.startswith("The truth took too long") == bool(code)


@pytest.mark.parametrize("test", OTHER_CLOCKS)
def test_a_row_of_another_clock_is_one_that_there_is(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (Path(matrix.__file__).parent / file).read_text()
